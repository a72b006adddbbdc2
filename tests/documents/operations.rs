//! The page for operators names what there is: metrics, events, exit codes.

use std::fmt::Write as _;
use std::fs;

use crate::pages;
use crate::support::{self, Backend, Sidegate};

const BEGIN: &str = "<!-- metrics -->\n";
const END: &str = "<!-- end of metrics -->";

/// Every metric of a server with all that it can have, as a table.
fn table() -> String {
    let backend = Backend::start();
    let folder = tempfile::tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed(["home.example".to_owned()]).expect("a certificate");
    for (name, content) in [
        ("home.pem", made.cert.pem()),
        ("home.key", made.signing_key.serialize_pem()),
    ] {
        use std::os::unix::fs::PermissionsExt;
        let file = folder.path().join(name);
        fs::write(&file, content).expect("is written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("is ours");
    }
    let gate = Sidegate::in_front_of(
        &backend,
        &format!(
            "[tls]\nlisten = [\"127.0.0.1:{port}\"]\ncertificates = [{{ cert = \"{0}/home.pem\", key = \"{0}/home.key\" }}]\n",
            folder.path().display(),
            port = support::free_port(),
        ),
    );
    let page = support::ask(gate.operations, b"GET /metrics HTTP/1.1\r\nHost: o\r\n\r\n").expect("an answer");
    let mut table = String::from("| Metric | Type | Labels | |\n|---|---|---|---|\n");
    let mut names = Vec::new();
    for line in page.lines() {
        let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) else {
            continue;
        };
        // A name twice makes the page unreadable for strict readers.
        assert!(!names.contains(&name), "{name} is there twice");
        names.push(name);
        let kind = page
            .lines()
            .find_map(|line| line.strip_prefix(&format!("# TYPE {name} ")))
            .unwrap_or_else(|| panic!("{name} has no type"));
        let labels = labels(&page, name);
        let _ = writeln!(table, "| `{name}` | {kind} | {labels} | {help} |");
    }
    assert!(names.len() > 15, "{names:?}");
    table
}

/// The labels of a metric, without that of the buckets.
fn labels(page: &str, name: &str) -> String {
    let mut found: Vec<String> = Vec::new();
    for line in page.lines() {
        let Some(rest) = line.strip_prefix(name).and_then(|rest| rest.strip_prefix('{')) else {
            continue;
        };
        for pair in rest.split("\",") {
            if let Some((label, _)) = pair.split_once("=\"")
                && !found.contains(&format!("`{label}`"))
            {
                found.push(format!("`{label}`"));
            }
        }
    }
    found.join(", ")
}

fn around(text: &str) -> (usize, usize) {
    let begin = text.find(BEGIN).expect("the beginning is marked") + BEGIN.len();
    (begin, text.find(END).expect("the end is marked"))
}

#[test]
fn the_list_of_metrics_is_that_of_a_running_server() {
    let page = pages::page("docs/operations.md");
    let (begin, end) = around(&page.text);
    let command = "cargo test --test documents -- --ignored write_the_metrics";
    assert_eq!(
        page.text[begin..end],
        table(),
        "docs/operations.md is out of date; {command}"
    );
}

#[test]
#[ignore = "writes docs/operations.md"]
fn write_the_metrics() {
    let page = pages::page("docs/operations.md");
    let (begin, end) = around(&page.text);
    let text = format!("{}{}{}", &page.text[..begin], table(), &page.text[end..]);
    fs::write(pages::root().join(&page.name), text).expect("is written");
}

// Alerts on metrics that are not there never fire.
#[test]
fn every_metric_that_is_named_exists() {
    let known = table();
    let mut count = 0;
    for page in pages::all() {
        for (number, code) in page.code() {
            for word in code.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
                if word.starts_with("sidegate_") {
                    count += 1;
                    assert!(
                        known.contains(&format!("`{word}`")),
                        "{}:{number}: {word}",
                        page.name
                    );
                }
            }
        }
    }
    assert!(count > 20, "only {count} were found");
}

/// The words of `pub const fn as_str` of an enum in a file of the sources.
pub(crate) fn words_of(file: &str, name: &str) -> Vec<String> {
    let text = fs::read_to_string(pages::root().join("src").join(file)).expect("text");
    let words: Vec<String> = text
        .lines()
        .filter_map(|line| {
            line.trim()
                .strip_prefix(&format!("{name}::"))?
                .split_once("=> \"")
        })
        .filter_map(|(_, rest)| rest.split('"').next().map(str::to_owned))
        .collect();
    assert!(words.len() > 3, "{words:?}");
    words
}

#[test]
fn every_event_and_decision_of_the_audit_file_is_explained() {
    let page = pages::page("docs/operations.md");
    let audit = page
        .text
        .split("\n## ")
        .find(|part| part.starts_with("Audit"))
        .expect("a section");
    for word in words_of("observe/audit/line.rs", "Event")
        .into_iter()
        .chain(words_of("observe/outcome.rs", "Outcome"))
    {
        assert!(audit.contains(&format!("`{word}`")), "{word} is not explained");
    }
}

// A field that the program writes and nobody explains, or the other way round.
#[test]
fn every_field_of_an_audit_line_is_explained() {
    let backend = Backend::start();
    let gate = Sidegate::with_anna(&backend, "server: trusted_proxies = [\"127.0.0.1/32\"]\n");
    let token = gate.token("anna", "phone");
    gate.get(
        "/",
        &[
            "X-Forwarded-For: 203.0.113.9",
            &format!("Authorization: Bearer {token}"),
            "User-Agent: test",
        ],
    );
    gate.get("/", &["X-Forwarded-For: 203.0.113.9", "User-Agent: test"]);
    gate.cli(&["ban", "add", "203.0.113.9"]).success();
    let file = gate.state().join("audit.jsonl");
    let mut fields: Vec<String> = Vec::new();
    support::eventually(
        || fs::read_to_string(&file).is_ok_and(|text| text.contains("ban.add")),
        || "the ban is not in the audit file".into(),
    );
    for line in fs::read_to_string(&file).expect("text").lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        fields.extend(line.as_object().expect("an object").keys().cloned());
    }
    fields.sort();
    fields.dedup();
    assert!(fields.len() >= 18, "{fields:?}");
    let page = pages::page("docs/operations.md");
    for field in &fields {
        assert!(
            page.text.contains(&format!("`{field}`")),
            "{field} is not explained"
        );
    }
    let shown = page
        .blocks()
        .into_iter()
        .find(|block| block.language == "json")
        .expect("a line");
    let shown: serde_json::Value = serde_json::from_str(&shown.text).expect("JSON");
    for field in shown.as_object().expect("an object").keys() {
        assert!(fields.contains(field), "{field} is never written");
    }
}

#[test]
fn the_exit_codes_are_those_of_the_program() {
    let help = support::run_cli(&["--help"], "", &[]).success().stdout;
    let codes = help.split("Exit codes:").nth(1).expect("a list");
    let codes: Vec<&str> = codes
        .split(',')
        .filter_map(|code| code.split_whitespace().next())
        .collect();
    assert_eq!(codes.len(), 10, "{codes:?}");
    let page = pages::page("docs/operations.md");
    let table = page.text.split("## Exit codes").nth(1).expect("a section");
    let table = table.split("\n## ").next().expect("a section");
    let listed: Vec<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(' ').next())
        .filter(|word| word.parse::<u8>().is_ok())
        .collect();
    assert_eq!(listed, codes);
}
