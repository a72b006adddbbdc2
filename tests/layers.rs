//! The shape of the house, as a test: imports point down, every kind stands in its table, the
//! clock and the environment are read in one place each.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// An import may only point to an earlier name.
const ORDER: &[&str] = &[
    "time", "crypto", "wire", "model", "config", "request", "outbound", "store", "instance", "accounts",
    "authn", "policy", "decision", "observe", "dialect", "upstream", "control", "pages", "api", "gate",
    "server", "doctor", "app", "cli", "main",
];

/// `(layer, crates that only it may name)`: one folder per foreign crate.
const FOREIGN: &[(&str, &[&str])] = &[
    ("aws_lc_rs", &["crypto"]),
    ("argon2", &["crypto"]),
    ("bcrypt", &["crypto"]),
    ("totp_rs", &["crypto"]),
    ("webauthn_rs", &["crypto"]),
    ("rusqlite", &["store"]),
    ("moka", &["authn"]),
    ("quick_cache", &["decision"]),
    ("httparse", &["wire"]),
    ("memchr", &["wire"]),
    ("simdutf8", &["wire"]),
    ("wide", &["wire"]),
    ("prometheus_client", &["observe"]),
    ("tracing_subscriber", &["observe"]),
    ("toml", &["config"]),
    ("schemars", &["config", "model", "control", "api"]),
    ("clap", &["cli"]),
    ("rpassword", &["cli"]),
    ("tokio_rustls", &["outbound", "server"]),
    ("rustls", &["outbound", "server", "app"]),
    ("notify", &["app"]),
    ("jiff", &["time"]),
    ("askama", &["pages"]),
    ("fluent_bundle", &["pages"]),
    ("qrcode", &["wire"]),
    ("rustix", &["wire"]),
];

/// Folders whose every file is one entry of a table: `(folder, table file, files that are not entries)`.
const TABLES: &[(&str, &str, &[&str])] = &[
    ("authn/carrier", "authn/carrier/mod.rs", &["mod"]),
    ("authn/scheme", "authn/scheme/mod.rs", &["mod"]),
    (
        "dialect",
        "dialect/mod.rs",
        &["mod", "question", "metadata", "answers"],
    ),
];

struct File {
    path: PathBuf,
    layer: String,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files() -> Vec<File> {
    let mut folders = vec![root()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let inside = path.strip_prefix(root()).expect("below src");
                let first = inside
                    .components()
                    .next()
                    .expect("a name")
                    .as_os_str()
                    .to_string_lossy();
                let layer = first.trim_end_matches(".rs").to_owned();
                let text = fs::read_to_string(&path).expect("utf-8");
                files.push(File { path, layer, text });
            }
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(files.len() > 60, "the walk found only {} files", files.len());
    files
}

/// The code without comments and without test modules at its end.
fn code(file: &File) -> String {
    let is_test = file
        .path
        .file_stem()
        .is_some_and(|stem| stem == "tests" || stem == "testing")
        || file.path.components().any(|part| part.as_os_str() == "tests");
    if is_test {
        return String::new();
    }
    let body = file.text.split("#[cfg(test)]\nmod ").next().unwrap_or("");
    let body = body.split("#[cfg(test)]\npub(").next().unwrap_or("");
    body.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn rank(layer: &str) -> usize {
    ORDER
        .iter()
        .position(|known| *known == layer)
        .unwrap_or_else(|| panic!("{layer} is not in ORDER"))
}

#[test]
fn imports_point_down() {
    let mut wrong = Vec::new();
    for file in files()
        .iter()
        .filter(|file| file.layer != "lib" && file.layer != "main")
    {
        let own = rank(&file.layer);
        for rest in code(file).split("crate::").skip(1) {
            let name: String = rest
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if name != file.layer && rank(&name) > own {
                wrong.push(format!("{} imports {name}", file.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "imports that point up:\n{}", wrong.join("\n"));
}

#[test]
fn a_foreign_crate_stays_in_its_folder() {
    let mut wrong = Vec::new();
    for file in files() {
        let code = code(&file);
        for (name, folders) in FOREIGN {
            // `use rustls::crypto::aws_lc_rs` names a module of rustls.
            let renamed = code.contains(&format!("rustls::crypto::{name}"));
            let names = !renamed
                && code.lines().any(|line| {
                    line.match_indices(&format!("{name}::")).any(|(at, _)| {
                        !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
                    })
                });
            if names && !folders.contains(&file.layer.as_str()) {
                wrong.push(format!("{} names {name}", file.path.display()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "foreign crates outside their folder:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn every_kind_stands_in_its_table() {
    for (folder, table, others) in TABLES {
        let text = fs::read_to_string(root().join(table)).expect("the table's file");
        for entry in fs::read_dir(root().join(folder)).expect("the folder") {
            let path = entry.expect("an entry").path();
            let stem = path.file_stem().expect("a name").to_string_lossy().into_owned();
            if path.is_file() && !others.contains(&stem.as_str()) {
                assert!(
                    text.contains(&format!("{stem}::build)")),
                    "{folder}/{stem}.rs is in no table"
                );
            }
        }
    }
}

#[test]
fn clock_and_environment_are_read_in_one_place() {
    let only: BTreeMap<&str, &str> = [
        ("SystemTime::now", "time.rs"),
        ("env::var", "config/env.rs"),
        ("env::vars", "config/env.rs"),
    ]
    .into();
    for file in files() {
        let inside = file
            .path
            .strip_prefix(root())
            .expect("below src")
            .to_string_lossy()
            .into_owned();
        let code = code(&file);
        for (call, place) in &only {
            assert!(
                inside == *place || !code.contains(call),
                "{inside} calls {call}; only {place} may"
            );
        }
    }
}

#[test]
fn no_file_outgrows_a_reader() {
    let long: Vec<String> = files()
        .iter()
        .map(|file| (file.path.display(), code(file).lines().count()))
        .filter(|(_, lines)| *lines > 500)
        .map(|(path, lines)| format!("{path}: {lines} lines of code"))
        .collect();
    assert!(long.is_empty(), "split:\n{}", long.join("\n"));
}

#[test]
fn only_the_decision_makes_permits() {
    for file in files().iter().filter(|file| file.layer != "decision") {
        let code = code(file);
        for made in ["Permit::new", "Permit::preflight", " Permit {"] {
            assert!(!code.contains(made), "{} makes a permit", file.path.display());
        }
    }
}
