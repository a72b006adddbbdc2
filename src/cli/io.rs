//! The terminal as a verb sees it: results go to stdout, all other talk to stderr.

use std::io::{self, IsTerminal, Read, Write};

use zeroize::Zeroizing;

use crate::control::{Exit, Failure};
use crate::crypto::Secret;

/// The longest password that is read: far above what anyone types, far below what would hurt.
const MAX_SECRET: usize = 4096;

/// How a secret is asked for: the prompt in, what was typed out.
pub type Prompt<'a> = &'a mut dyn FnMut(&str) -> io::Result<Secret>;

/// The streams of one run. Tests hand in their own.
pub struct Io<'a> {
    /// Standard input.
    pub stdin: &'a mut dyn Read,
    /// Results, and secrets once.
    pub stdout: &'a mut dyn Write,
    /// All other talk.
    pub stderr: &'a mut dyn Write,
    /// Whether a person sits at standard input.
    pub interactive: bool,
    /// Whether stdout takes colours: a terminal, and no `NO_COLOR`.
    pub color_out: bool,
    /// Whether stderr takes colours.
    pub color_err: bool,
    /// Whether a person looks at both, and nobody keeps what is shown.
    pub on_screen: bool,
    /// Asks for a password without echo.
    pub prompt: Prompt<'a>,
}

/// Runs `verb` with the streams of this process.
pub fn of_this_process<T>(verb: impl FnOnce(&mut Io<'_>) -> T) -> T {
    let colorful = crate::config::wants_color();
    let mut prompt = |text: &str| rpassword::prompt_password(text).map(Secret::new);
    verb(&mut Io {
        interactive: io::stdin().is_terminal(),
        color_out: colorful && io::stdout().is_terminal(),
        color_err: colorful && io::stderr().is_terminal(),
        on_screen: io::stdout().is_terminal() && io::stderr().is_terminal(),
        stdin: &mut io::stdin().lock(),
        stdout: &mut io::stdout().lock(),
        stderr: &mut io::stderr(),
        prompt: &mut prompt,
    })
}

impl Io<'_> {
    /// One line of talk on stderr. What comes from records or files cannot move the cursor.
    pub fn say(&mut self, text: &str) {
        // Nobody to talk to is no reason to fail.
        let _ = writeln!(self.stderr, "{}", printable(text));
    }

    /// A result on stdout.
    ///
    /// # Errors
    /// [`Exit::Io`]; a reader that closed its end early (`| head`) is no error.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self.stdout.write_all(bytes).and_then(|()| self.stdout.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::new(Exit::Io, format!("standard output: {error}")))
            }
            _ => Ok(()),
        }
    }

    /// A secret on stdout, alone on its line. Here a closed reader is an error: the secret is
    /// lost, and whoever typed the command must know.
    ///
    /// # Errors
    /// [`Exit::Io`].
    pub fn put_secret(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.stdout
            .write_all(bytes)
            .and_then(|()| self.stdout.flush())
            .map_err(|error| Failure::new(Exit::Io, format!("standard output: {error}")))
    }

    /// A secret from standard input: everything, without the line's end.
    ///
    /// # Errors
    /// [`Exit::Data`] when there is nothing, more than a line, or no text; [`Exit::Io`].
    pub fn read_secret(&mut self) -> Result<Secret, Failure> {
        let mut typed = Zeroizing::new(Vec::with_capacity(MAX_SECRET + 3));
        let mut limited = Read::take(&mut *self.stdin, MAX_SECRET as u64 + 3);
        limited
            .read_to_end(&mut typed)
            .map_err(|error| Failure::new(Exit::Io, format!("standard input: {error}")))?;
        if typed.last() == Some(&b'\n') {
            typed.pop();
            if typed.last() == Some(&b'\r') {
                typed.pop();
            }
        }
        if typed.is_empty() {
            return Err(Failure::data("standard input is empty; write the secret there"));
        }
        if typed.len() > MAX_SECRET {
            return Err(Failure::data(format!(
                "the secret on standard input is longer than {MAX_SECRET} bytes"
            )));
        }
        if typed.contains(&b'\n') || std::str::from_utf8(&typed).is_err() {
            return Err(Failure::data(
                "standard input must hold the secret alone: one line of UTF-8 text",
            ));
        }
        Ok(Secret::new(typed.as_slice()))
    }

    /// A new password, typed twice; none when the first is empty.
    ///
    /// # Errors
    /// [`Exit::Data`] when the two differ; [`Exit::Io`].
    pub fn ask_new_password(&mut self, whose: &str) -> Result<Option<Secret>, Failure> {
        let whose = printable(whose);
        let first = self.ask(&format!("New password for {whose}: "))?;
        if first.is_empty() {
            return Ok(None);
        }
        if self.ask("The same again: ")? != first {
            return Err(Failure::data("the two passwords differ; nothing was changed"));
        }
        Ok(Some(first))
    }

    /// Asks for a word before something that cannot easily be taken back.
    ///
    /// # Errors
    /// [`Exit::Usage`] when nobody can answer; [`Exit::Data`] when the answer is another.
    pub fn confirm(&mut self, question: &str, word: &str) -> Result<(), Failure> {
        if !self.interactive {
            return Err(Failure::usage(
                "nobody is there to confirm this; repeat the command with --yes",
            ));
        }
        let _ = write!(self.stderr, "{} Type {word} to go on: ", printable(question));
        let _ = self.stderr.flush();
        let mut answer = String::new();
        let mut piece = [0; 1];
        while answer.len() < 64 {
            match self.stdin.read(&mut piece) {
                Ok(1) if piece[0] != b'\n' => answer.push(char::from(piece[0])),
                Ok(_) => break,
                Err(error) => return Err(Failure::new(Exit::Io, format!("standard input: {error}"))),
            }
        }
        if answer.trim() == word {
            Ok(())
        } else {
            Err(Failure::data("not confirmed; nothing was changed"))
        }
    }

    fn ask(&mut self, prompt: &str) -> Result<Secret, Failure> {
        (self.prompt)(prompt).map_err(|error| Failure::new(Exit::Io, format!("the terminal: {error}")))
    }
}

/// Text with every control character but the line's end written out, so that a display name
/// cannot recolour or rewrite an administrator's terminal.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if (character.is_control() && character != '\n') || is_reordering(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Unicode's bidirectional controls, which show text in another order than it has (CVE-2021-42574).
fn is_reordering(character: char) -> bool {
    matches!(character, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::Terminal;

    #[test]
    fn a_password_on_stdin_loses_its_line_end_and_nothing_else() {
        for (typed, secret) in [
            ("hunter2\n", "hunter2"),
            ("hunter2\r\n", "hunter2"),
            ("hunter2", "hunter2"),
            (" two words \n", " two words "),
        ] {
            let mut terminal = Terminal::typing(typed);
            let read = terminal.io(|io| io.read_secret());
            assert_eq!(read, Ok(Secret::new(secret)), "{typed:?}");
        }
        for typed in ["", "\n", "two\nlines\n", &"x".repeat(5000)] {
            let mut terminal = Terminal::typing(typed);
            let failure = terminal.io(|io| io.read_secret()).expect_err("refused");
            assert_eq!(failure.exit, Exit::Data, "{typed:?}");
            assert!(typed.trim().is_empty() || !failure.message.contains(typed));
        }
    }

    #[test]
    fn names_cannot_move_the_cursor() {
        assert_eq!(
            printable("a\u{1b}[2Jb\u{202e}c\u{e4}"),
            "a\\u{1b}[2Jb\\u{202e}c\u{e4}"
        );
    }
}
