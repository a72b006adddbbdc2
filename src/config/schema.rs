//! The JSON schema of the configuration file, made from [`super::file`].

use std::sync::OnceLock;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::file::File;

/// The JSON schema (draft 2020-12) of the configuration file, for editors and for
/// `config schema`.
pub fn schema() -> Value {
    root().clone()
}

/// The same, made once.
pub(super) fn root() -> &'static Value {
    static ROOT: OnceLock<Value> = OnceLock::new();
    ROOT.get_or_init(|| {
        let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
        let mut schema = settings
            .into_generator()
            .into_root_schema_for::<File>()
            .to_value();
        without_null(&mut schema);
        with_secret_files(&mut schema);
        if let Some(object) = schema.as_object_mut() {
            object.insert("title".into(), "Sidegate configuration".into());
        }
        schema
    })
}

/// What a schema says about one kind of value, where it allows several: that for `kind`
/// (`string`, `array`, `object`, `integer`, `boolean`).
pub(super) fn of_kind<'s>(schema: &'s Value, kind: &str) -> Option<&'s Value> {
    alternatives(schema).into_iter().find(|one| kind_of(one) == kind)
}

/// The schemas of which a value must fit one.
pub(super) fn alternatives(schema: &Value) -> Vec<&Value> {
    match schema.get("anyOf").and_then(Value::as_array) {
        Some(list) => list.iter().collect(),
        None => vec![schema],
    }
}

/// The JSON type that a schema without alternatives asks for.
pub(super) fn kind_of(schema: &Value) -> &str {
    match schema.get("type").and_then(Value::as_str) {
        Some(kind) => kind,
        // An enum whose variants are described is a list of constants, all of them strings.
        None => "string",
    }
}

/// The words that a text may be, with what they mean; empty: any text.
pub(super) fn words(schema: &Value) -> Vec<(&str, &str)> {
    let Some(list) = schema.get("oneOf").and_then(Value::as_array) else {
        return Vec::new();
    };
    list.iter()
        .filter_map(|one| {
            let word = one.get("const")?.as_str()?;
            Some((
                word,
                one.get("description").and_then(Value::as_str).unwrap_or_default(),
            ))
        })
        .collect()
}

/// The keys of a table that are known by name.
pub(super) fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties").and_then(Value::as_object)
}

/// The description of one key, by its dotted path without indexes (`route.path`); the keys of
/// an open table such as `scope` match any name.
pub(super) fn lookup<'p>(path: impl IntoIterator<Item = &'p str>) -> Option<&'static Value> {
    let mut at = root();
    for name in path {
        if let Some(list) = of_kind(at, "array").and_then(|list| list.get("items")) {
            at = list;
        }
        let table = of_kind(at, "object")?;
        at = match properties(table).and_then(|known| known.get(name)) {
            Some(known) => known,
            None => table
                .get("additionalProperties")
                .filter(|open| open.is_object())?,
        };
    }
    Some(at)
}

/// Whether the value of this key, given as in an error message, may not be shown.
pub(super) fn is_secret(key: &str) -> bool {
    let names = key.split('.').map(|name| name.split('[').next().unwrap_or(name));
    lookup(names).is_some_and(|known| known.get("writeOnly").is_some())
}

/// TOML has no null: what may be null may be left out. And the default of a section is that of
/// its keys.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Array(kinds)) = object.get_mut("type") {
                kinds.retain(|kind| kind != "null");
                if let [only] = kinds.as_slice() {
                    let only = only.clone();
                    object.insert("type".into(), only);
                }
            }
            if let Some(Value::Array(list)) = object.get_mut("anyOf") {
                list.retain(|one| one.get("type").is_none_or(|kind| kind != "null"));
                if let [Value::Object(only)] = list.as_slice() {
                    // What is said at the place wins over what is said at the type.
                    let mut merged = only.clone();
                    object.remove("anyOf");
                    merged.extend(std::mem::take(object));
                    *object = merged;
                }
            }
            if matches!(object.get("default"), Some(Value::Null | Value::Object(_))) {
                object.remove("default");
            }
            object.values_mut().for_each(without_null);
        }
        Value::Array(list) => list.iter_mut().for_each(without_null),
        _ => {}
    }
}

/// Gives every secret a second key, `…_file`.
fn with_secret_files(schema: &mut Value) {
    let Value::Object(object) = schema else { return };
    if let Some(Value::Object(properties)) = object.get_mut("properties") {
        let secrets: Vec<String> = properties
            .iter()
            .filter(|(_, schema)| schema.get("writeOnly").is_some())
            .map(|(name, _)| name.clone())
            .collect();
        for name in secrets {
            properties.insert(
                format!("{name}_file"),
                serde_json::json!({
                    "type": "string",
                    "x-kind": "path",
                    "description": format!("A file that holds `{name}`, instead of `{name}` itself; not readable by everybody."),
                }),
            );
        }
        properties.values_mut().for_each(with_secret_files);
    }
    for name in ["items", "additionalProperties"] {
        if let Some(inner) = object.get_mut(name) {
            with_secret_files(inner);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_knows_types_defaults_words_and_closed_tables() {
        assert_eq!(root()["additionalProperties"], false);
        assert_eq!(lookup(["guard", "ban_for"]).unwrap()["default"], "15m");
        assert_eq!(kind_of(lookup(["server", "public_url"]).unwrap()), "string");
        assert_eq!(kind_of(lookup(["tls"]).unwrap()), "object");
        assert_eq!(lookup(["limits", "connections"]).unwrap()["maximum"], 1_000_000);
        let access = lookup(["route", "access"]).unwrap();
        let allowed: Vec<_> = words(of_kind(access, "string").unwrap())
            .iter()
            .map(|(word, _)| *word)
            .collect();
        assert_eq!(allowed, ["public", "user", "admin"]);
        assert!(lookup(["route", "access", "users"]).is_some());
        assert!(lookup(["scope", "admin.items", "paths"]).is_some());
        assert!(lookup(["server", "nothing"]).is_none());
        assert_eq!(kind_of(lookup(["store", "url_file"]).unwrap()), "string");
    }

    #[test]
    fn every_key_is_described() {
        fn walk(path: &str, schema: &Value) {
            for one in alternatives(schema) {
                for (name, known) in properties(one).into_iter().flatten() {
                    let path = format!("{path}.{name}");
                    assert!(known.get("description").is_some(), "{path}");
                    walk(&path, known);
                }
                for inner in [one.get("items"), one.get("additionalProperties")]
                    .into_iter()
                    .flatten()
                {
                    walk(path, inner);
                }
            }
        }
        walk("", root());
    }
}
