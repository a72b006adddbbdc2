//! Every `sidegate …` command line in documents and messages is one that the program takes.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::pages;
use crate::support;

/// A command line, from the verb on.
#[derive(Debug)]
struct Line {
    place: String,
    words: Vec<String>,
    /// In a block: then it is meant to be pasted, and has all that it needs.
    whole: bool,
}

/// What may stand before `sidegate` where it is a command and not a name.
const BEFORE: [&str; 9] = [
    "",
    "$(",
    "| ",
    "&& ",
    "; ",
    "-- ",
    "sudo ",
    "exec sidegate ",
    "run: ",
];

/// The command lines in a line of text.
fn commands(place: &str, text: &str, whole: bool, found: &mut Vec<Line>) {
    for (at, _) in text.match_indices("sidegate ") {
        let before = &text[..at];
        let is_command = before.trim().is_empty() || BEFORE.iter().skip(1).any(|word| before.ends_with(word));
        if !is_command {
            continue;
        }
        let rest = &text[at + "sidegate ".len()..];
        let end = rest
            .find(['|', ';', '>', '<', '#', '`', '"', '\\', ')'])
            .into_iter()
            .chain(rest.find("&&"))
            .chain(rest.find(", "))
            .min()
            .unwrap_or(rest.len());
        let mut words = rest[..end].split_whitespace().map(str::to_owned).peekable();
        // Global options stand before or after the verb.
        let mut line = Vec::new();
        while let Some(word) = words.next() {
            if ["--config", "--data", "--output"].contains(&word.as_str()) {
                words.next();
            } else {
                line.push(word);
            }
        }
        if line
            .first()
            .is_some_and(|verb| verb == "sidegate" || verb == "--")
        {
            continue;
        }
        found.push(Line {
            place: place.to_owned(),
            words: line,
            whole,
        });
    }
}

fn of_the_documents() -> Vec<Line> {
    let mut found = Vec::new();
    for page in pages::all() {
        for (number, code) in page.code() {
            if code.starts_with("sidegate ") || code.contains("-- sidegate ") {
                commands(&format!("{}:{number}", page.name), &code, false, &mut found);
            }
        }
        for block in page.blocks() {
            if ["sh", ""].contains(&block.language.as_str()) {
                for line in block.text.lines() {
                    commands(&block.place, line, true, &mut found);
                }
            }
        }
    }
    found
}

/// Messages tell people to run commands, in quotes, backticks or after a colon.
fn of_the_messages() -> Vec<Line> {
    let mut found = Vec::new();
    for file in sources(&pages::root().join("src")) {
        let text = fs::read_to_string(&file).expect("text");
        for (index, line) in text.lines().enumerate() {
            for mark in ["\\\"sidegate ", "`sidegate ", ": sidegate "] {
                for (at, _) in line.match_indices(mark) {
                    let place = format!("{}:{}", file.display(), index + 1);
                    let command = &line[at + mark.len() - "sidegate ".len()..];
                    commands(&place, command, false, &mut found);
                }
            }
        }
    }
    // `sidegate: ...` is how errors begin, not a command.
    found.retain(|line| {
        line.words
            .first()
            .is_some_and(|word| word.bytes().all(|byte| byte.is_ascii_lowercase()))
    });
    found
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else {
            files.push(path);
        }
    }
    files
}

/// The help of verbs, each asked for once.
#[derive(Default)]
struct Helps(HashMap<Vec<String>, Option<String>>);

impl Helps {
    fn of(&mut self, verb: &[String]) -> Option<&str> {
        let help = self.0.entry(verb.to_vec()).or_insert_with(|| {
            let mut arguments: Vec<&str> = verb.iter().map(String::as_str).collect();
            arguments.push("--help");
            let ran = support::run_cli(&arguments, "", &[]);
            (ran.code == 0).then_some(ran.stdout)
        });
        help.as_deref()
    }

    /// What is wrong with the line.
    fn complaint(&mut self, line: &Line) -> Option<String> {
        let mut verb = vec![line.words.first()?.clone()];
        if verb[0].starts_with('-') {
            return (!["--help", "--version"].contains(&verb[0].as_str())).then(|| "no verb".to_owned());
        }
        let Some(help) = self.of(&verb) else {
            return Some(format!("there is no verb {}", verb[0]));
        };
        let has_verbs = help.contains("\nCommands:\n");
        if let Some(second) = line.words.get(1).filter(|word| has_verbs && *word != "…") {
            verb.push(second.clone());
        } else if has_verbs && line.whole {
            return Some("the second verb is missing".to_owned());
        }
        let Some(help) = self.of(&verb) else {
            return Some(format!("there is no verb {}", verb.join(" ")));
        };
        let options: Vec<&str> = help
            .split([' ', '\n', ',', '[', ']', '='])
            .filter(|word| word.starts_with('-'))
            .collect();
        for word in &line.words {
            let option = word.split('=').next().unwrap_or(word);
            if option.starts_with('-') && option.len() > 1 && option != "--" && !options.contains(&option) {
                return Some(format!("{} has no option {option}", verb.join(" ")));
            }
        }
        // What the usage line has outside of brackets is needed.
        let usage = help
            .lines()
            .find(|line| line.starts_with("Usage: "))
            .unwrap_or("");
        let needed: Vec<&str> = usage
            .split(" --")
            .skip(1)
            .filter_map(|rest| rest.split([' ', ']']).next())
            .collect();
        let missing = needed
            .iter()
            .find(|option| line.whole && !line.words.contains(&format!("--{option}")));
        missing.map(|option| format!("{} needs --{option}", verb.join(" ")))
    }
}

fn complaints(lines: &[Line]) -> Vec<String> {
    let mut helps = Helps::default();
    let say = |line: &Line| {
        let complaint = helps.complaint(line)?;
        Some(format!(
            "{}: sidegate {}: {complaint}",
            line.place,
            line.words.join(" ")
        ))
    };
    lines.iter().filter_map(say).collect()
}

// "every `sidegate …` command line mentioned in README/docs parses"
#[test]
fn every_command_in_the_documents_exists_with_its_options() {
    let lines = of_the_documents();
    assert!(lines.len() > 60, "only {} were found", lines.len());
    let wrong = complaints(&lines);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_command_in_a_message_exists_with_its_options() {
    let lines = of_the_messages();
    assert!(lines.len() > 15, "only {} were found: {lines:?}", lines.len());
    let wrong = complaints(&lines);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_wrong_command_would_be_found() {
    let mut lines = Vec::new();
    commands("here", "sidegate token mint phone", true, &mut lines);
    commands(
        "here",
        "T=$(sidegate token create phone --name anna)",
        true,
        &mut lines,
    );
    commands(
        "here",
        "sidegate token create phone --expires 90d",
        true,
        &mut lines,
    );
    commands("here", "sidegate login anna", true, &mut lines);
    assert_eq!(complaints(&lines).len(), 4, "{:?}", complaints(&lines));
}

// The words of the usage text, in the manual too.
#[test]
fn the_manual_has_a_page_for_every_verb() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().display().to_string();
    support::run_cli(&["man", "--dir", &path], "", &[]).success();
    let page = fs::read_to_string(folder.path().join("sidegate-token-create.1")).expect("a page");
    let title = page
        .lines()
        .find(|line| line.starts_with(".TH"))
        .expect("a title");
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        title.starts_with(".TH sidegate-token-create 1 ") && title.contains(version),
        "{title}"
    );
    for verb in ["serve", "user-add", "token-revoke", "audit-verify"] {
        assert!(
            folder.path().join(format!("sidegate-{verb}.1")).is_file(),
            "{verb}"
        );
    }
}
