//! The configuration reference, made from the schema: what the code knows is what it says.

use serde_json::Value;

use super::print::SECTIONS;
use super::schema;
use super::shape::{example, json_to_toml};

const HEAD: &str = "\
# Configuration reference

This page is made from the code; `sidegate config schema` prints the same as a JSON schema, and
`sidegate config print` shows what is in force and where each value comes from.

**Sources.** Later ones win: the files given with `--config` in their order, `conf.d/*.toml` beside
the first of them in lexical order, environment variables, flags. Tables merge over files, `[[…]]`
append, other lists are replaced. `sidegate check` reports every problem with its file and line; an
unknown key is one of them.

**Environment.** `SIDEGATE_SECTION__KEY`, in capitals, with two underscores between section and key:
`SIDEGATE_GUARD__BAN_FOR=1h`. Lists are comma-separated: `SIDEGATE_SERVER__LISTEN=0.0.0.0:8480,[::]:8480`.
Routes, scopes, certificates and trusted networks are tables, and only files have them. A variable that is set and
empty is an error.

**Paths.** Files that the instance owns (store, audit file, access log) are relative to `server.data`;
files that are only read (certificates, keys) are relative to the directory of the file that names them.

| Kind | Written as |
|---|---|
| duration | whole numbers with a unit, the longest first: `15m`, `1h30m`, `90d`, `500ms` (w, d, h, m, s, ms) |
| size | a whole number with a unit: `64KiB`, `10MB` (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB) |
| rate | `10/s`, `50/s burst 100`, `10/m`, or `off` (s, m, h, d); without a burst it is the number itself |
| count in time | `10 in 5m` |
| network | CIDR without bits beyond the mask: `192.168.1.0/24`, `fd00::/8`; or one address. Not `/0` |
| address | `127.0.0.1:8480`, `[::1]:8480`; where said, also `unix:/path` |
| header name | letters, digits and `-` |
| color | `#2352cc`, or `#25c` for `#2255cc` |
| path prefix | starts with `/` and covers whole segments: `/public` does not cover `/publicity` |
";

/// The reference as Markdown, for `docs/configuration.md`.
pub fn reference() -> String {
    let mut text = HEAD.to_owned();
    for section in SECTIONS {
        let Some(described) = schema::lookup([*section]) else {
            continue;
        };
        let (title, table) = match (described.get("items"), described.get("additionalProperties")) {
            (Some(items), _) => (format!("[[{section}]]"), items),
            (None, Some(open)) if open.is_object() => (format!("[{section}.NAME]"), open),
            _ => (format!("[{section}]"), described),
        };
        text.push_str(&format!("\n## `{title}`\n\n{}\n\n", description(described)));
        keys(&mut text, table);
        for (name, known) in schema::properties(table).into_iter().flatten() {
            inner(&mut text, section, name, known);
        }
    }
    text
}

/// The tables that may stand as the value of a key, or in its list.
fn inner(text: &mut String, section: &str, name: &str, known: &Value) {
    let in_list = schema::of_kind(known, "array").and_then(|list| list.get("items"));
    let title = match in_list {
        Some(_) => format!("Each of `{section}.{name}`"),
        None => format!("`{section}.{name}` as a table"),
    };
    if let Some(table) = schema::of_kind(in_list.unwrap_or(known), "object") {
        text.push_str(&format!("\n### {title}\n\n"));
        keys(text, table);
    }
}

fn keys(text: &mut String, table: &Value) {
    text.push_str("| Key | Type | Default | Meaning |\n|---|---|---|---|\n");
    let required = |name: &str| {
        let list = table.get("required").and_then(Value::as_array);
        list.is_some_and(|list| list.iter().any(|required| required == name))
    };
    for (name, known) in schema::properties(table).into_iter().flatten() {
        let default = match known.get("default") {
            Some(value) => format!("`{}`", json_to_toml(value)),
            None if required(name) => format!("required, as `{}`", example(known)),
            None if known.get("examples").is_some() => format!("not set; as `{}`", example(known)),
            None => "not set".into(),
        };
        let row = format!(
            "| `{name}` | {} | {} | {} |\n",
            type_of(known),
            cell(&default),
            cell(&meaning(known))
        );
        text.push_str(&row);
    }
}

/// The type in the words of the table of kinds.
fn type_of(known: &Value) -> String {
    let kinds = schema::alternatives(known).into_iter().map(|one| {
        let unit = known
            .get("x-kind")
            .or_else(|| one.get("x-kind"))
            .and_then(Value::as_str);
        match schema::kind_of(one) {
            "boolean" => "true or false".into(),
            "integer" => match (
                one.get("minimum").and_then(Value::as_i64),
                one.get("maximum").and_then(Value::as_i64),
            ) {
                (Some(least), Some(most)) => format!("number, {least} to {most}"),
                _ => "number".into(),
            },
            "array" => match one.get("items").map(schema::kind_of) {
                Some("object") => "list of tables".into(),
                _ => format!("list of {}", unit.unwrap_or("text")),
            },
            "object" => "table".into(),
            _ if !schema::words(one).is_empty() => "word".into(),
            _ => unit.unwrap_or("text").to_owned(),
        }
    });
    kinds.collect::<Vec<String>>().join(" or ")
}

/// The description, then what each word means.
fn meaning(known: &Value) -> String {
    let mut text = description(known).to_owned();
    for one in schema::alternatives(known) {
        for (word, what) in schema::words(one) {
            text.push_str(&format!("<br>`\"{word}\"`: {what}"));
        }
    }
    text
}

fn description(known: &Value) -> &str {
    known
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// For a cell of a table: on one line, without what ends a cell.
fn cell(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}
