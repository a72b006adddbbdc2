//! Configurations in documents are taken by the program that they are for.

use std::fs;

use crate::support;
use crate::{operations, pages};

// "every configuration snippet in README/docs passes `sidegate check`"
#[test]
fn every_configuration_passes_sidegate_check() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed(["home.example".to_owned()]).expect("a certificate");
    let mut wrong = Vec::new();
    let mut count = 0;
    for page in pages::all() {
        for block in page.blocks().iter().filter(|block| block.language == "toml") {
            count += 1;
            // Files that it names are put where it then finds them.
            let here = folder.path().join(count.to_string());
            fs::create_dir_all(here.join("data")).expect("a folder");
            let text = block.text.replace("/etc/sidegate/", "");
            for (name, content) in [
                ("home.pem", made.cert.pem()),
                ("home.key", made.signing_key.serialize_pem()),
                ("decision.secret", "7cH0pXk2vQ9fLw4eTn6bYs1d".to_owned()),
            ] {
                fs::write(here.join(name), content).expect("is written");
                make_private(&here.join(name));
            }
            let file = here.join("sidegate.toml");
            fs::write(&file, text).expect("is written");
            let file = file.display().to_string();
            let data = here.join("data").display().to_string();
            let ran = support::run_cli(&["--config", &file, "--data", &data, "check"], "", &[]);
            if ran.code != 0 {
                wrong.push(format!("{}: {}", block.place, ran.stderr));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 8, "only {count} configurations were found");
}

fn make_private(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("is ours");
}

/// `section.key` for every key of a plain section, and the sections.
fn known() -> (Vec<String>, Vec<String>) {
    let ran = support::run_cli(&["config", "schema"], "", &[]).success();
    let schema: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let resolve = |value: &serde_json::Value| -> serde_json::Value {
        let reference = value["$ref"].as_str().and_then(|text| text.strip_prefix('#'));
        reference
            .and_then(|at| schema.pointer(at))
            .unwrap_or(value)
            .clone()
    };
    let mut keys = Vec::new();
    let sections = schema["properties"].as_object().expect("sections");
    for (section, described) in sections {
        let described = resolve(described);
        for described in [resolve(&described["items"]), described] {
            let inside = described["properties"].as_object().cloned().unwrap_or_default();
            keys.extend(inside.keys().map(|key| format!("{section}.{key}")));
        }
    }
    (sections.keys().cloned().collect(), keys)
}

// A key that is named in a sentence is one that the reader can write.
#[test]
fn every_key_that_is_named_exists() {
    let (sections, keys) = known();
    assert!(keys.contains(&"guard.ban_for".to_owned()), "{keys:?}");
    let events = operations::words_of("observe/audit/line.rs", "Event");
    let mut wrong = Vec::new();
    let mut count = 0;
    for page in pages::all() {
        for (number, code) in page.code() {
            let name = code.split([' ', '=']).next().unwrap_or("");
            let Some((section, key)) = name.split_once('.') else {
                continue;
            };
            let is_word = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            let is_file = [
                "rs", "md", "toml", "sock", "db", "key", "json", "jsonl", "log", "lock", "pem", "yml",
            ]
            .contains(&key);
            if !sections.iter().any(|known| known == section)
                || !is_word(key)
                || is_file
                || events.iter().any(|event| event == name)
            {
                continue;
            }
            count += 1;
            if !keys.iter().any(|known| known == name) {
                wrong.push(format!("{}:{number}: {name}", page.name));
            }
        }
    }
    assert!(wrong.is_empty(), "keys that are not there:\n{}", wrong.join("\n"));
    assert!(count > 30, "only {count} keys were found");
}
