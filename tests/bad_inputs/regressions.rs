//! The table of what went wrong elsewhere names tests that exist.

use std::collections::BTreeSet;
use std::path::Path;

use crate::case::{self, Case};

#[test]
fn every_test_named_in_the_table_of_regressions_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut functions = BTreeSet::new();
    collect(&root.join("tests"), &mut functions);
    collect(&root.join("src"), &mut functions);
    let cases: Vec<Case> = ["vectors/requests", "vectors/requests_with_passwords"]
        .into_iter()
        .flat_map(case::all)
        .collect();
    let text = std::fs::read_to_string(root.join("tests/regressions.md")).expect("the table is there");
    let mut rows = BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with("| R-")) {
        let cells: Vec<&str> = line.split(" | ").collect();
        let [id, .., tests] = cells[..] else {
            panic!("a row of other than four cells: {line}");
        };
        assert!(
            rows.insert(id.trim_start_matches("| ").to_owned()),
            "{id} is there twice"
        );
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{id} names no test");
        for name in names {
            let known = match name.split_once(".txt ") {
                Some((file, title)) => cases.iter().any(|case| {
                    case.place.starts_with(&format!("{file}.txt:")) && case.title.starts_with(title)
                }),
                None => functions.contains(name),
            };
            assert!(known, "{id} names {name}, which is no test");
        }
    }
    assert!(rows.len() > 40, "only {} rows", rows.len());
    // And every case that was written for an advisory has its row.
    for case in cases.iter().filter(|case| case.title.starts_with("R-")) {
        let id = case.title.split(' ').next().unwrap_or_default();
        assert!(rows.contains(id), "{}: {id} has no row", case.place);
    }
}

/// The names of all functions that are marked as tests.
fn collect(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, names);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = std::fs::read_to_string(&path).expect("text");
            let mut marked = false;
            for line in text.lines().map(str::trim) {
                if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                    marked = true;
                } else if let Some((_, rest)) = line.split_once("fn ") {
                    let name = rest.split('(').next().unwrap_or_default();
                    if std::mem::take(&mut marked) {
                        names.insert(name.to_owned());
                    }
                }
            }
        }
    }
}
