//! The only reader of the environment, and what `SIDEGATE_SECTION__KEY` means.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::error::{ConfigError, Wrong, nearest};
use super::file::NOT_IN_THIS_VERSION;
use super::schema;
use super::secret;
use super::shape::{Problems, at, matches, not_in_this_version};
use super::tree::{Entry, Node, Origin, Table, quoted, set, shortened};

const PREFIX: &str = "SIDEGATE_";
const SYSTEM_DATA: &str = "/var/lib/sidegate";

/// The variables of this process that start with `SIDEGATE_`, in the order of their names.
///
/// # Errors
///
/// Those whose name or value is not UTF-8.
pub fn environment() -> Result<Vec<(String, String)>, Vec<ConfigError>> {
    let mut variables = Vec::new();
    let mut errors = Vec::new();
    for (name, value) in std::env::vars_os() {
        if !name.as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => variables.push((name, value)),
            (name, _) => errors.push(ConfigError {
                key: name.unwrap_or_else(|name| name.to_string_lossy().into_owned()),
                message: "is not UTF-8".into(),
                ..ConfigError::default()
            }),
        }
    }
    variables.sort();
    if errors.is_empty() {
        Ok(variables)
    } else {
        Err(errors)
    }
}

/// Whether output to a terminal may have colours: not where `NO_COLOR` is present and not empty
/// (<https://no-color.org>), nor on a terminal that calls itself dumb.
pub fn wants_color() -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}

/// Whether standard error goes to the journal of systemd, which keeps the time itself.
pub fn writes_to_journal() -> bool {
    std::env::var_os("JOURNAL_STREAM").is_some()
}

/// The effective user: 0 is root. Without a call into libc: it is the owner of /proc/self. Where there
/// is no /proc nobody is taken for root.
pub fn effective_user() -> u32 {
    std::fs::metadata("/proc/self")
        .map(|me| me.uid())
        .unwrap_or(u32::MAX)
}

/// Where an instance keeps its things unless told: `/var/lib/sidegate` as root, else
/// `$XDG_DATA_HOME/sidegate`, else `~/.local/share/sidegate`.
///
/// A user without an absolute `XDG_DATA_HOME` or `HOME` gets that of the system: what fails
/// there names a path that can be looked up.
pub fn default_data() -> PathBuf {
    data_for(
        effective_user(),
        std::env::var_os("XDG_DATA_HOME").map(PathBuf::from),
        std::env::var_os("HOME").map(PathBuf::from),
    )
    .unwrap_or_else(|| PathBuf::from(SYSTEM_DATA))
}

fn data_for(uid: u32, xdg_data_home: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    if uid == 0 {
        return Some(PathBuf::from(SYSTEM_DATA));
    }
    // XDG Base Directory Specification 0.8: "All paths set in these environment variables must
    // be absolute. If [one is] relative [it should be considered] invalid and ignore[d]."
    let absolute = |path: &PathBuf| path.is_absolute();
    let data = xdg_data_home
        .filter(absolute)
        .or_else(|| Some(home.filter(absolute)?.join(".local/share")))?;
    Some(data.join("sidegate"))
}

/// Lays the variables over the tree.
pub(super) fn overlay(tree: &mut Table, variables: &[(String, String)], problems: &mut Problems) {
    let names = settable();
    for (name, value) in variables {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        if is_of_kubernetes(rest) {
            continue;
        }
        let origin = Origin::Variable(name.clone());
        match read(rest, value, &names, variables) {
            Ok((path, mut node)) => {
                if let Node::List { items, .. } = &mut node {
                    items.iter_mut().for_each(|item| item.origin = origin.clone());
                }
                // A secret from here replaces one that a file says where to find.
                if let [section, key] = path.as_slice()
                    && let Some(Entry {
                        node: Node::Table(table),
                        ..
                    }) = tree.get_mut(*section)
                {
                    table.remove(&format!("{key}_file"));
                }
                set(tree, &path, Entry { node, origin });
            }
            Err((value, wrong)) => problems.add(name, at(&origin, name, value, wrong)),
        }
    }
}

/// Kubernetes sets `SIDEGATE_SERVICE_HOST`, `SIDEGATE_PORT_8480_TCP_ADDR` and so on in every
/// pod beside a Service named "sidegate" (`enableServiceLinks`). They are none of ours.
fn is_of_kubernetes(rest: &str) -> bool {
    let plain = !rest.contains("__");
    plain && (rest.starts_with("SERVICE_") || rest == "PORT" || rest.starts_with("PORT_"))
}

/// Every key that one variable can hold, by the name of the variable without the prefix.
fn settable() -> Names {
    let mut names = BTreeMap::new();
    for (section, schema) in schema::properties(schema::root()).into_iter().flatten() {
        let keys = schema::of_kind(schema, "object").and_then(schema::properties);
        for (key, schema) in keys.into_iter().flatten() {
            let holds = match schema::of_kind(schema, "array").and_then(|list| list.get("items")) {
                Some(items) => schema::of_kind(items, "string").is_some(),
                None => true,
            };
            if holds && schema::of_kind(schema, "object").is_none() {
                let name = format!("{section}__{key}").to_ascii_uppercase();
                names.insert(name, (vec![section.as_str(), key.as_str()], schema));
            }
        }
    }
    names
}

/// What was written, if it may be shown, and what is wrong with it.
type Refused = (Option<String>, Wrong);

type Names = BTreeMap<String, (Vec<&'static str>, &'static Value)>;

/// The path and the value that a variable sets.
fn read(
    rest: &str,
    value: &str,
    names: &Names,
    variables: &[(String, String)],
) -> Result<(Vec<&'static str>, Node), Refused> {
    let Some((path, schema)) = names.get(rest) else {
        return Err((None, unknown(rest, names)));
    };
    let shown = || (!is_secret(schema)).then(|| shortened(quoted(value)));
    if value.trim().is_empty() {
        return Err((
            shown(),
            Wrong::new("is empty").hint("unset the variable, or give it a value"),
        ));
    }
    if is_secret(schema)
        && variables
            .iter()
            .any(|(name, _)| name.strip_prefix(PREFIX) == Some(&format!("{rest}_FILE")))
    {
        return Err((
            None,
            Wrong::new(format!("and {PREFIX}{rest}_FILE are both set")).hint("unset one of them"),
        ));
    }
    // Read here and not as the key `x_file`, so that it wins over an `x` in a file.
    if let Some(of) = rest
        .strip_suffix("_FILE")
        .and_then(|of| names.get(of))
        .filter(|of| is_secret(of.1))
    {
        let text = secret::read(Path::new(value)).map_err(|wrong| (shown(), wrong))?;
        return Ok((of.0.clone(), Node::Text(text)));
    }
    let node = match schema::kind_of(schema::alternatives(schema).first().copied().unwrap_or(schema)) {
        "boolean" => match value {
            "true" => Node::Boolean(true),
            "false" => Node::Boolean(false),
            _ => {
                return Err((
                    shown(),
                    Wrong::new("is neither true nor false").hint("write true or false"),
                ));
            }
        },
        "integer" => match value.parse() {
            Ok(number) => Node::Integer(number),
            Err(_) => return Err((shown(), Wrong::new("is not a whole number"))),
        },
        "array" => list(value).map_err(|wrong| (shown(), wrong))?,
        _ => Node::Text(value.to_owned()),
    };
    Ok((path.clone(), node))
}

fn is_secret(schema: &Value) -> bool {
    schema.get("writeOnly").is_some()
}

/// `a, b, c`
fn list(value: &str) -> Result<Node, Wrong> {
    let parts: Vec<&str> = value.split(',').map(str::trim).collect();
    if parts.iter().any(|part| part.is_empty()) {
        return Err(Wrong::new("has an empty element").hint("write the elements with one comma between two"));
    }
    let items = parts
        .into_iter()
        .map(|part| Entry {
            node: Node::Text(part.to_owned()),
            origin: Origin::Variable(String::new()),
        })
        .collect();
    Ok(Node::List {
        items,
        appends: false,
    })
}

fn unknown(rest: &str, names: &Names) -> Wrong {
    let key = rest.to_ascii_lowercase().replace("__", ".");
    if NOT_IN_THIS_VERSION
        .iter()
        .any(|known| matches(known, &key) || (!known.contains('*') && key.starts_with(&format!("{known}."))))
    {
        return not_in_this_version().hint("unset the variable");
    }
    let section = key.split('.').next().unwrap_or_default();
    let is_table = key.split('.').count() > 1 && schema::lookup(key.split('.')).is_some();
    if section == "route" || section == "scope" || is_table {
        return Wrong::new("cannot be set from the environment").hint("write it in a file");
    }
    let wrong = Wrong::new("is not a known variable");
    // Most often a single underscore, or the section was forgotten.
    let forgotten = names.keys().find(|name| name.ends_with(&format!("__{rest}")));
    match nearest(rest, names.keys().map(String::as_str)).or(forgotten.map(String::as_str)) {
        Some(near) => wrong.hint(format!("did you mean {PREFIX}{near}?")),
        None => wrong.hint(format!(
            "variables are named {PREFIX}SECTION__KEY, for example {PREFIX}SERVER__LISTEN"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Product 1: "default `/var/lib/sidegate` as root, else `$XDG_DATA_HOME/sidegate`"
    #[test]
    fn the_data_directory_is_that_of_the_system_for_root_and_of_the_user_else() {
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(data_for(0, path("/x"), path("/root")), path("/var/lib/sidegate"));
        assert_eq!(
            data_for(1000, path("/x"), path("/home/anna")),
            path("/x/sidegate")
        );
        assert_eq!(
            data_for(1000, None, path("/home/anna")),
            path("/home/anna/.local/share/sidegate")
        );
        assert_eq!(
            data_for(1000, path("x"), path("/home/anna")),
            path("/home/anna/.local/share/sidegate")
        );
        assert_eq!(data_for(1000, None, None), None);
        assert_eq!(data_for(1000, path(""), path("")), None);
    }
}
