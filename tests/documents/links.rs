//! Links between documents lead somewhere.

use crate::pages::{self, Page};

/// `(line, target)` of every link in the prose.
fn links(page: &Page) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in page.prose() {
        for rest in line.split("](").skip(1) {
            if let Some((target, _)) = rest.split_once(')') {
                found.push((number, target.to_owned()));
            }
        }
    }
    found
}

/// What the forges make of a heading: lower case, spaces as hyphens, punctuation gone.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim();
    text.chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}

fn anchors(text: &str) -> Vec<String> {
    let page = Page {
        name: String::new(),
        text: text.to_owned(),
    };
    page.prose()
        .into_iter()
        .filter(|(_, line)| line.starts_with('#'))
        .map(|(_, line)| anchor(line))
        .collect()
}

#[test]
fn every_link_between_documents_resolves() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for page in pages::all() {
        for (number, target) in links(&page) {
            if target.contains("://") {
                continue;
            }
            count += 1;
            let (file, wanted) = target.split_once('#').unwrap_or((&target, ""));
            let here = pages::root().join(&page.name);
            let path = match file {
                "" => here,
                file => here.parent().expect("a folder").join(file),
            };
            let leads = if path.is_dir() {
                wanted.is_empty()
            } else {
                std::fs::read_to_string(&path)
                    .is_ok_and(|text| wanted.is_empty() || anchors(&text).iter().any(|known| known == wanted))
            };
            if !leads {
                wrong.push(format!("{}:{number}: {target}", page.name));
            }
        }
    }
    assert!(wrong.is_empty(), "links that lead nowhere:\n{}", wrong.join("\n"));
    assert!(count > 40, "only {count} links were found");
}

#[test]
fn headings_become_anchors_as_on_the_forges() {
    assert_eq!(
        anchor("## 401 with a token that worked yesterday"),
        "401-with-a-token-that-worked-yesterday"
    );
    assert_eq!(anchor("## \"no credential was sent\""), "no-credential-was-sent");
    assert_eq!(anchor("## 502, 503, 504, 508"), "502-503-504-508");
    assert_eq!(
        anchor("## Failures or bans from 127.0.0.1"),
        "failures-or-bans-from-127001"
    );
    assert_eq!(anchor("### `[tls]`"), "tls");
}

/// Words with a slash that end like a file of the project.
fn named_files(text: &str) -> Vec<&str> {
    text.split(|c: char| c.is_whitespace() || "`()[]|,;:'\"".contains(c))
        .filter(|word| {
            word.contains('/') && !word.starts_with(['/', '~', '.']) && !word.contains(['<', '…', '*', '$'])
        })
        .filter(|word| {
            [".rs", ".md", ".toml", ".txt"]
                .iter()
                .any(|ending| word.ends_with(ending))
        })
        .collect()
}

// ARCHITECTURE.md is a map: every place on it is there.
#[test]
fn every_file_that_is_named_exists() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for page in pages::all() {
        let here = pages::root().join(&page.name);
        let folders = [
            pages::root(),
            pages::root().join("src"),
            here.parent().expect("a folder").to_owned(),
        ];
        for file in named_files(&page.text) {
            count += 1;
            if !folders.iter().any(|folder| folder.join(file).exists()) {
                wrong.push(format!("{}: {file}", page.name));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "files that are not there:\n{}",
        wrong.join("\n")
    );
    assert!(count > 50, "only {count} were found");
}
