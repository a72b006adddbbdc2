//! The settings in force, as a file that could be loaded again, with the origin of each value.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::Value;

use super::load::Loaded;
use super::schema;
use super::settings::StoreUrl;
use super::shape::json_to_toml;
use super::tree::{Entry, Node, Origin, Table, element, join, quoted};

/// The sections in the order of the file, which is also that of the reference.
pub(super) const SECTIONS: &[&str] = &[
    "server",
    "tls",
    "operations",
    "store",
    "route",
    "credentials",
    "tokens",
    "networks",
    "guard",
    "audit",
    "log",
    "timeouts",
    "limits",
    "password",
    "session",
    "pages",
    "scope",
    "compat",
];

/// TOML with a comment of origin behind each value: `# default`, `# from FILE:LINE`,
/// `# SIDEGATE_…` or `# --listen`. Paths are absolute; secrets are not shown.
pub fn print(loaded: &Loaded) -> String {
    let mut text = String::new();
    for section in SECTIONS {
        let Some(schema) = schema::lookup([*section]) else {
            continue;
        };
        let written = loaded.tree.get(*section);
        match written.map(|entry| &entry.node) {
            Some(Node::List { items, .. }) => {
                let Some(schema) = schema::of_kind(schema, "array").and_then(|list| list.get("items")) else {
                    continue;
                };
                for (index, item) in items.iter().enumerate() {
                    let Node::Table(table) = &item.node else { continue };
                    header(&mut text, &format!("[[{section}]]  # {}", origin(item)));
                    keys(&mut text, loaded, &element(section, index), table, schema);
                }
            }
            Some(Node::Table(table)) if *section == "scope" => {
                for (name, entry) in table {
                    let (Node::Table(table), Some(open)) = (&entry.node, schema.get("additionalProperties"))
                    else {
                        continue;
                    };
                    let key = join(section, name);
                    header(&mut text, &format!("[{key}]  # {}", origin(entry)));
                    keys(&mut text, loaded, &key, table, open);
                }
            }
            Some(Node::Table(table)) => {
                header(&mut text, &format!("[{section}]"));
                keys(&mut text, loaded, section, table, schema);
            }
            // Sections without defaults are not there unless they are written.
            _ if ["tls", "route", "scope"].contains(section) => {}
            _ => {
                header(&mut text, &format!("[{section}]"));
                keys(&mut text, loaded, section, &Table::new(), schema);
            }
        }
    }
    text
}

fn header(text: &mut String, line: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(line);
    text.push('\n');
}

/// One line for each key of a table.
fn keys(text: &mut String, loaded: &Loaded, at: &str, table: &Table, schema: &Value) {
    for (name, schema) in schema::properties(schema).into_iter().flatten() {
        line(
            text,
            name,
            schema,
            table.get(name),
            in_force(loaded, &join(at, name)),
        );
    }
}

fn line(text: &mut String, name: &str, schema: &Value, written: Option<&Entry>, in_force: Option<String>) {
    let from = written.map_or("default".to_owned(), origin);
    let value = in_force
        .clone()
        .or_else(|| Some(written?.node.to_toml()))
        .or_else(|| schema.get("default").map(json_to_toml));
    let is_secret = schema.get("writeOnly").is_some() && written.is_some();
    let shown = if is_secret && in_force.is_none() {
        format!("# {name} is set and not shown  # {from}")
    } else {
        match value {
            Some(value) => format!("{name} = {value}  # {from}"),
            None => format!("# {name} is not set"),
        }
    };
    text.push_str(&shown);
    text.push('\n');
}

/// What holds for this key where it is more than what was written: relative paths start at
/// the file that they were written in, and this is another.
fn in_force(loaded: &Loaded, key: &str) -> Option<String> {
    let settings = &loaded.settings;
    let path = |path: &std::path::Path| quoted(&path.to_string_lossy());
    match key {
        "server.data" => Some(path(&settings.server.data)),
        "store.url" => Some(quoted(&settings.store.to_string())),
        "server.decision_secret_file" => settings
            .server
            .decision_secret
            .as_ref()
            .map(|secret| path(&secret.file)),
        "pages.logo" => settings.pages.logo.as_ref().map(|logo| path(&logo.file)),
        "tls.certificates" => {
            let pairs = settings.tls.iter().flat_map(|tls| &tls.certificates);
            let pairs: Vec<String> = pairs
                .map(|pair| format!("{{ cert = {}, key = {} }}", path(&pair.cert), path(&pair.key)))
                .collect();
            Some(format!("[{}]", pairs.join(", ")))
        }
        _ => {
            let index = key
                .strip_prefix("route[")?
                .strip_suffix("].ca_file")?
                .parse::<usize>()
                .ok()?;
            settings
                .routes
                .get(index.checked_sub(1)?)?
                .ca_file
                .as_deref()
                .map(path)
        }
    }
}

/// Where the value and its elements come from, each place once.
fn origin(entry: &Entry) -> String {
    let mut places: Vec<&Origin> = vec![&entry.origin];
    if let Node::List { items, .. } = &entry.node {
        let mut seen = BTreeSet::new();
        for item in items {
            // Elements below one another in a file are one place.
            let new =
                !matches!((&item.origin, &entry.origin), (Origin::File(a, _), Origin::File(b, _)) if a == b);
            if new && item.origin != entry.origin && seen.insert(item.origin.to_string()) {
                places.push(&item.origin);
            }
        }
    }
    let mut text = String::new();
    for (index, place) in places.into_iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        let from = if matches!(place, Origin::File(..)) {
            "from "
        } else {
            ""
        };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{from}{place}");
    }
    // A file name may hold a line end; a comment may not.
    text.replace(char::is_control, "?")
}

/// `sqlite:PATH` or `memory:`; neither can hold a password.
impl std::fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StoreUrl::Memory => f.write_str("memory:"),
            StoreUrl::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_section_has_its_place() {
        let mut listed = SECTIONS.to_vec();
        listed.sort_unstable();
        let known: Vec<&str> = schema::properties(schema::root())
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(listed, known);
    }

    #[test]
    fn a_secret_is_said_to_be_set_and_not_shown() {
        let mut text = String::new();
        let entry = Entry {
            node: Node::Text("abracadabra".into()),
            origin: Origin::Variable("SIDEGATE_X__Y".into()),
        };
        line(
            &mut text,
            "y",
            &serde_json::json!({"type": "string", "writeOnly": true}),
            Some(&entry),
            None,
        );
        assert_eq!(text, "# y is set and not shown  # SIDEGATE_X__Y\n");
    }
}
