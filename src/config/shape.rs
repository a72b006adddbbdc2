//! Names and types: what the tree holds against what the schema knows. All problems are
//! found, each is taken out of the tree, and what is left can be read by serde.

use std::collections::BTreeSet;

use serde_json::Value;

use super::error::{ConfigError, Wrong, nearest};
use super::file::NOT_IN_THIS_VERSION;
use super::schema;
use super::tree::{Entry, Node, Origin, Table, element, join, shortened};

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Problems {
    /// In the order in which they were found.
    pub(super) errors: Vec<ConfigError>,
    /// What is allowed and should be looked at.
    pub(super) warnings: Vec<String>,
    /// The keys that are wrong already: what follows from them is not worth a second error.
    broken: BTreeSet<String>,
}

impl Problems {
    /// Adds one, unless the key, or a part of it, is known to be wrong.
    pub(super) fn add(&mut self, key: &str, error: ConfigError) {
        if !self.is_broken(key) {
            self.errors.push(error);
            self.broken.insert(key.to_owned());
        }
    }

    /// Whether something is wrong with this key or with a part of it.
    pub(super) fn is_broken(&self, key: &str) -> bool {
        self.broken
            .range(key.to_owned()..)
            .take_while(|broken| broken.starts_with(key))
            .any(|broken| {
                let rest = &broken[key.len()..];
                rest.is_empty() || rest.starts_with(['.', '['])
            })
    }
}

/// Checks the whole tree and takes out what is wrong.
pub(super) fn check(tree: &mut Table, problems: &mut Problems) {
    check_table("", "", tree, schema::root(), problems);
}

/// `pattern` is `key` as [`NOT_IN_THIS_VERSION`] writes it.
fn check_table(key: &str, pattern: &str, table: &mut Table, schema: &Value, problems: &mut Problems) {
    let known = schema::properties(schema);
    let open = schema.get("additionalProperties").filter(|open| open.is_object());
    table.retain(|name, entry| {
        let key = join(key, name);
        let pattern = if pattern.is_empty() {
            name.clone()
        } else {
            format!("{pattern}.{name}")
        };
        if not_yet(&key, &pattern, entry, problems) {
            return false;
        }
        let Some(schema) = known.and_then(|known| known.get(name)).or(open) else {
            let wrong = unknown(
                &key,
                name,
                known.into_iter().flatten().map(|(name, _)| name.as_str()),
            );
            problems.add(&key, at(&entry.origin, &key, None, wrong));
            return false;
        };
        check_entry(&key, &pattern, entry, schema, problems)
    });
}

/// Whether the value can stay.
fn check_entry(key: &str, pattern: &str, entry: &mut Entry, schema: &Value, problems: &mut Problems) -> bool {
    let Some(schema) = schema::of_kind(schema, entry.node.kind()) else {
        let wrong = wrong_type(key, &entry.node, schema);
        let value = match entry.node {
            Node::Table(_) | Node::List { .. } => None,
            _ if schema::is_secret(key) => None,
            _ => Some(shown(&entry.node)),
        };
        problems.add(key, at(&entry.origin, key, value, wrong));
        return false;
    };
    match &mut entry.node {
        Node::Table(table) => {
            check_table(key, pattern, table, schema, problems);
            let required = schema
                .get("required")
                .and_then(Value::as_array)
                .into_iter()
                .flatten();
            for name in required.filter_map(Value::as_str) {
                let missing = join(key, name);
                if !table.contains_key(name) && !problems.is_broken(&missing) {
                    let example = schema::properties(schema)
                        .and_then(|known| known.get(name))
                        .map(example);
                    let wrong = Wrong::new("is missing").hint(match example {
                        Some(example) => format!("write for example {name} = {example}"),
                        None => format!("write {name} = …"),
                    });
                    // A variable that began the section is not what is missing.
                    let error = ConfigError {
                        key: missing.clone(),
                        ..at(&entry.origin, &missing, None, wrong)
                    };
                    problems.add(&missing, error);
                }
            }
            // A table that lacks a key cannot be read; its error was said.
            !schema
                .get("required")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .any(|name| !table.contains_key(name))
        }
        Node::List { items, .. } => {
            if let Some(schema) = schema.get("items") {
                let mut index = 0;
                // Elements stay even when wrong: later ones keep their number, and a list with
                // one error is not a shorter list.
                let fits = items.iter_mut().fold(true, |fits, item| {
                    let fit = check_entry(
                        &element(key, index),
                        &format!("{pattern}.*"),
                        item,
                        schema,
                        problems,
                    );
                    index += 1;
                    fits && fit
                });
                return fits;
            }
            true
        }
        Node::Text(text) => {
            let words = schema::words(schema);
            if words.is_empty() || words.iter().any(|(word, _)| word == text) {
                return true;
            }
            let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let mut hint = format!("write {}", one_of(&all));
            if let Some(near) = nearest(text, all.iter().copied()) {
                hint = format!("did you mean \"{near}\"? {hint}");
            }
            problems.add(
                key,
                at(
                    &entry.origin,
                    key,
                    Some(shown(&entry.node)),
                    Wrong::new("is not known").hint(hint),
                ),
            );
            false
        }
        Node::Integer(number) => {
            let bound = |name: &str| schema.get(name).and_then(Value::as_i64);
            let (least, most) = (
                bound("minimum").unwrap_or(0),
                bound("maximum").unwrap_or(i64::from(u32::MAX)),
            );
            if (least..=most).contains(number) {
                return true;
            }
            let wrong = Wrong::new("is out of range").hint(format!("write a number from {least} to {most}"));
            problems.add(key, at(&entry.origin, key, Some(shown(&entry.node)), wrong));
            false
        }
        Node::Boolean(_) | Node::Other(_) => true,
    }
}

/// Whether this key belongs to a feature that is not built; says so.
fn not_yet(key: &str, pattern: &str, entry: &Entry, problems: &mut Problems) -> bool {
    let not_yet = NOT_IN_THIS_VERSION.iter().any(|known| matches(known, pattern));
    if not_yet {
        problems.add(key, at(&entry.origin, key, None, not_in_this_version()));
    }
    not_yet
}

/// What such a key, section or value gets.
pub(super) fn not_in_this_version() -> Wrong {
    Wrong::new("is not in this version").hint("leave it out")
}

/// Whether a pattern with `*` for any one name matches a dotted key.
pub(super) fn matches(pattern: &str, key: &str) -> bool {
    let (mut pattern, mut key) = (pattern.split('.'), key.split('.'));
    loop {
        match (pattern.next(), key.next()) {
            (None, None) => return true,
            (Some(want), Some(have)) if want == "*" || want == have => {}
            _ => return false,
        }
    }
}

fn unknown<'n>(key: &str, name: &str, known: impl Iterator<Item = &'n str> + Clone) -> Wrong {
    let what = if key == name { "section" } else { "key" };
    let wrong = Wrong::new(format!("is not a known {what}"));
    if let Some(near) = nearest(name, known.clone()) {
        return wrong.hint(format!("did you mean `{near}`?"));
    }
    let all: Vec<&str> = known.collect();
    wrong.hint(format!("known here: {}", all.join(", ")))
}

fn wrong_type(key: &str, node: &Node, schema: &Value) -> Wrong {
    let kinds: Vec<&str> = schema::alternatives(schema)
        .into_iter()
        .map(schema::kind_of)
        .collect();
    let is = match node {
        Node::Table(_) => "is a table",
        Node::List { .. } => "is a list",
        Node::Text(_) => "is a text",
        Node::Integer(_) => "is a number",
        Node::Boolean(_) => "is true or false",
        Node::Other(_) => "is a fraction, a date or beyond 64 bits",
    };
    let wanted: Vec<&str> = kinds
        .iter()
        .map(|kind| match *kind {
            "object" => "a table",
            "array" => "a list",
            "string" => "a text",
            "integer" => "a whole number",
            _ => "true or false",
        })
        .collect();
    let wrong = Wrong::new(format!("{is}, and {} is wanted", wanted.join(" or ")));
    match (node, kinds.as_slice()) {
        (Node::Table(_), ["array"]) if !key.contains('.') => wrong.hint(format!("write [[{key}]]")),
        (Node::List { .. }, ["object"]) if !key.contains('.') => wrong.hint(format!("write [{key}]")),
        (Node::Text(text), ["boolean"]) if text == "true" || text == "false" => {
            wrong.hint(format!("write {text} without quotes"))
        }
        (Node::Text(text), ["integer"]) if text.parse::<i64>().is_ok() => {
            wrong.hint(format!("write {text} without quotes"))
        }
        (Node::Text(_), ["array"]) => wrong.hint(format!("write [{}]", node.to_toml())),
        (_, ["object"]) if !key.contains('.') => wrong.hint(format!("write [{key}] and keys below it")),
        _ => wrong.hint(format!("write for example {}", example(schema))),
    }
}

/// Something that could be written for this key, as TOML.
pub(super) fn example(schema: &Value) -> String {
    let given = schema.get("examples").and_then(|list| list.get(0)).or_else(|| {
        schema
            .get("default")
            .filter(|value| value.as_array().is_none_or(|list| !list.is_empty()))
    });
    if let Some(value) = given {
        return json_to_toml(value);
    }
    if let Some((word, _)) = schema::words(schema).first() {
        return format!("\"{word}\"");
    }
    match schema::kind_of(schema::alternatives(schema).first().copied().unwrap_or(schema)) {
        "boolean" => "true".into(),
        "integer" => "1".into(),
        "array" => "[…]".into(),
        "object" => "{ … }".into(),
        _ => "\"…\"".into(),
    }
}

/// A default or an example of the schema, as TOML.
pub(super) fn json_to_toml(value: &Value) -> String {
    match value {
        Value::Array(list) => format!(
            "[{}]",
            list.iter().map(json_to_toml).collect::<Vec<_>>().join(", ")
        ),
        Value::Object(table) => {
            let pairs = table
                .iter()
                .map(|(name, value)| format!("{name} = {}", json_to_toml(value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        Value::String(text) => super::tree::quoted(text),
        other => other.to_string(),
    }
}

/// `"a", "b" or "c"`
pub(super) fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

fn shown(node: &Node) -> String {
    shortened(node.to_toml())
}

/// The error for `wrong`, at a place.
pub(super) fn at(origin: &Origin, key: &str, value: Option<String>, wrong: Wrong) -> ConfigError {
    ConfigError {
        hint: wrong.hint,
        ..origin.error(key, value, wrong.message)
    }
}
