//! A terminal and an instance for tests: what was typed goes in, what was shown comes out.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, Cursor};

use super::io::Io;
use super::{Programs, Surroundings, run_with};
use crate::config::Sources;
use crate::control::protocol::{Payload, Request};
use crate::control::view::Speed;
use crate::control::{Absent, Checked, Failure, Measured, Replaced};
use crate::crypto::Secret;
use crate::time::Timestamp;

/// 2026-01-01T00:00:00Z, the present of all tests here.
pub(super) const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// What a run was given and what it showed.
#[derive(Debug, Default)]
pub(super) struct Terminal {
    stdin: Vec<u8>,
    interactive: bool,
    on_screen: bool,
    passwords: VecDeque<String>,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

impl Terminal {
    /// Something is piped into standard input.
    pub(super) fn typing(stdin: &str) -> Self {
        Self {
            stdin: stdin.into(),
            ..Self::default()
        }
    }

    /// A person answers the password prompts, and types into standard input.
    pub(super) fn person(passwords: &[&str], stdin: &str) -> Self {
        Self {
            interactive: true,
            passwords: passwords.iter().map(|text| (*text).to_owned()).collect(),
            ..Self::typing(stdin)
        }
    }

    /// A person sees all that is shown.
    pub(super) fn screen() -> Self {
        Self {
            on_screen: true,
            ..Self::default()
        }
    }

    pub(super) fn io<T>(&mut self, verb: impl FnOnce(&mut Io<'_>) -> T) -> T {
        let passwords = &mut self.passwords;
        let mut prompt = |_: &str| {
            let typed = passwords.pop_front().ok_or(io::ErrorKind::UnexpectedEof)?;
            Ok(Secret::new(typed))
        };
        verb(&mut Io {
            stdin: &mut Cursor::new(&self.stdin),
            stdout: &mut self.stdout,
            stderr: &mut self.stderr,
            interactive: self.interactive,
            color_out: false,
            color_err: false,
            on_screen: self.on_screen,
            prompt: &mut prompt,
        })
    }

    /// Runs `sidegate` with these words; the exit code.
    pub(super) fn run(&mut self, words: &[&str]) -> u8 {
        let arguments: Vec<OsString> = std::iter::once("sidegate")
            .chain(words.iter().copied())
            .map(OsString::from)
            .collect();
        let mut surroundings = INSTANCE.with_borrow(|instance| instance.surroundings.clone());
        // Whoever runs the tests, nothing here is done as somebody else.
        surroundings.program = None;
        self.io(|io| run_with(arguments, io, &surroundings, &PROGRAMS))
    }

    pub(super) fn stdout(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("text")
    }

    pub(super) fn stderr(&self) -> &str {
        std::str::from_utf8(&self.stderr).expect("text")
    }
}

/// The instance of this test's thread: what it was asked, and what it answers.
#[derive(Debug, Default)]
pub(super) struct Instance {
    pub(super) surroundings: Surroundings,
    pub(super) answers: VecDeque<Result<Payload, Failure>>,
    pub(super) asked: Vec<(Request, Absent)>,
    pub(super) sources: Vec<Sources>,
    pub(super) checked: Checked,
}

thread_local! {
    pub(super) static INSTANCE: RefCell<Instance> = RefCell::default();
}

/// Sets what the instance answers next.
pub(super) fn answering(answers: impl IntoIterator<Item = Result<Payload, Failure>>) {
    INSTANCE.with_borrow_mut(|instance| {
        instance.answers = answers.into_iter().collect();
    });
}

/// What the instance was asked, oldest first.
pub(super) fn asked() -> Vec<(Request, Absent)> {
    INSTANCE.with_borrow(|instance| instance.asked.clone())
}

/// What was handed to the program, the last of it.
pub(super) fn sources() -> Sources {
    INSTANCE.with_borrow(|instance| instance.sources.last().cloned().expect("the program was called"))
}

pub(super) const PROGRAMS: Programs = Programs {
    serve: |sources| {
        INSTANCE.with_borrow_mut(|instance| instance.sources.push(sources));
        Ok(())
    },
    demo: |_| Ok(()),
    bench: |span, connections| {
        let row = |what: &str, per_second, p50_us, p99_us| Speed {
            what: what.into(),
            per_second,
            p50_us,
            p99_us,
        };
        Ok(Measured {
            processors: 2,
            connections,
            rows: vec![
                row("nginx", 41_234.5, 640, 1900),
                row("argon2id, 19 MiB", 38.2, span.as_micros() as u64, 27_000_000),
            ],
        })
    },
    check: |sources| {
        INSTANCE.with_borrow_mut(|instance| {
            instance.sources.push(sources);
            Ok(instance.checked.clone())
        })
    },
    explain: |_, _| Err(Failure::unavailable("no server")),
    locally: |_, request, absent| {
        INSTANCE.with_borrow_mut(|instance| {
            instance.asked.push((request, absent));
            instance.answers.pop_front().expect("an answer is there")
        })
    },
    restore: |_, _| {
        Ok(Replaced {
            kept: None,
            sentence: "restored".into(),
        })
    },
    reset: |_| {
        Ok(Replaced {
            kept: Some("/kept".into()),
            sentence: "all accounts are in /kept".into(),
        })
    },
};
