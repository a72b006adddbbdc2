//! What all sources wrote, merged, with the place where each value was written.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A file and the line in it, from 1.
    File(Arc<Path>, usize),
    /// An environment variable.
    Variable(String),
    /// A flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(path, line) => write!(f, "{}:{line}", path.display()),
            Origin::Variable(name) => f.write_str(name),
            Origin::Flag(name) => f.write_str(name),
        }
    }
}

impl Origin {
    /// An error about the value of `key` that was written here.
    pub(super) fn error(&self, key: &str, value: Option<String>, message: impl Into<String>) -> ConfigError {
        let (file, line, key) = match self {
            Origin::File(path, line) => (Some(path.to_path_buf()), Some(*line), key.to_owned()),
            Origin::Variable(name) => (None, None, name.clone()),
            Origin::Flag(name) => (None, None, (*name).to_owned()),
        };
        ConfigError {
            file,
            line,
            key,
            value,
            message: message.into(),
            hint: None,
        }
    }

    /// Where relative paths start: the directory of the file; none: where the program was started.
    pub(super) fn directory(&self) -> Option<&Path> {
        match self {
            Origin::File(path, _) => path.parent(),
            Origin::Variable(_) | Origin::Flag(_) => None,
        }
    }
}

/// A value and where it comes from. No `Debug`: it may be a secret.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) node: Node,
    pub(super) origin: Origin,
}

/// A value, as far as a configuration needs to tell them apart.
#[derive(Clone)]
pub(super) enum Node {
    Table(Table),
    /// `appends`: written as `[[…]]`, so that it adds to what earlier files say.
    List {
        items: Vec<Entry>,
        appends: bool,
    },
    Text(String),
    Integer(i64),
    Boolean(bool),
    /// What no key takes: a float, a date, a number beyond 64 bits; as written.
    Other(String),
}

pub(super) type Table = BTreeMap<String, Entry>;

impl Node {
    /// The JSON type that the schema calls it by.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Node::Table(_) => "object",
            Node::List { .. } => "array",
            Node::Text(_) => "string",
            Node::Integer(_) => "integer",
            Node::Boolean(_) => "boolean",
            Node::Other(_) => "other",
        }
    }

    /// As TOML on one line.
    pub(super) fn to_toml(&self) -> String {
        match self {
            Node::Table(table) if table.is_empty() => "{}".into(),
            Node::Table(table) => {
                let pairs: Vec<String> = table
                    .iter()
                    .map(|(name, entry)| format!("{} = {}", bare_or_quoted(name), entry.node.to_toml()))
                    .collect();
                format!("{{ {} }}", pairs.join(", "))
            }
            Node::List { items, .. } => {
                let items: Vec<String> = items.iter().map(|entry| entry.node.to_toml()).collect();
                format!("[{}]", items.join(", "))
            }
            Node::Text(text) => quoted(text),
            Node::Integer(number) => number.to_string(),
            Node::Boolean(yes) => yes.to_string(),
            Node::Other(text) => text.clone(),
        }
    }

    /// As serde sees it.
    pub(super) fn to_value(&self) -> toml::Value {
        match self {
            Node::Table(table) => toml::Value::Table(
                table
                    .iter()
                    .map(|(name, entry)| (name.clone(), entry.node.to_value()))
                    .collect(),
            ),
            Node::List { items, .. } => {
                toml::Value::Array(items.iter().map(|entry| entry.node.to_value()).collect())
            }
            Node::Text(text) | Node::Other(text) => toml::Value::String(text.clone()),
            Node::Integer(number) => toml::Value::Integer(*number),
            Node::Boolean(yes) => toml::Value::Boolean(*yes),
        }
    }
}

/// A text as a TOML string.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// For error messages: a value that is long is cut, in the middle of nothing that matters.
pub(super) fn shortened(mut toml: String) -> String {
    const ENOUGH: usize = 120;
    if toml.len() > ENOUGH {
        let cut = (0..=ENOUGH)
            .rev()
            .find(|at| toml.is_char_boundary(*at))
            .unwrap_or(0);
        toml.truncate(cut);
        toml.push('…');
    }
    toml
}

/// `parent.name`, with a name in quotes where TOML needs them.
pub(super) fn join(parent: &str, name: &str) -> String {
    let name = bare_or_quoted(name);
    if parent.is_empty() {
        name
    } else {
        format!("{parent}.{name}")
    }
}

/// The key of the element with this index, from 0; people count from 1.
pub(super) fn element(list: &str, index: usize) -> String {
    format!("{list}[{}]", index + 1)
}

fn bare_or_quoted(name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !name.is_empty() && name.bytes().all(bare) {
        name.to_owned()
    } else {
        quoted(name)
    }
}

/// Parses one file; every syntax error, not only the first.
pub(super) fn parse(path: &Arc<Path>, text: &str) -> Result<Table, Vec<ConfigError>> {
    let lines = Lines::of(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(read_table(table.get_ref(), text, &lines, path));
    }
    let mut problems: Vec<ConfigError> = Vec::new();
    for error in errors {
        let line = error.span().map(|span| lines.at(span.start));
        // One slip of the pen often gives several errors in its line: the first says enough.
        if problems.iter().any(|earlier| earlier.line == line) {
            continue;
        }
        problems.push(ConfigError {
            file: Some(path.to_path_buf()),
            line,
            message: format!("not TOML: {}", error.message().replace('\n', ", ")),
            ..ConfigError::default()
        });
    }
    Err(problems)
}

/// Puts what a later source wrote over what earlier ones wrote: tables merge, `[[…]]`
/// append, everything else is replaced.
pub(super) fn merge(under: &mut Table, over: Table) {
    for (name, entry) in over {
        match (under.get_mut(&name).map(|below| &mut below.node), entry.node) {
            (Some(Node::Table(below)), Node::Table(above)) => merge(below, above),
            (
                Some(Node::List { items: below, .. }),
                Node::List {
                    items: above,
                    appends: true,
                },
            ) => below.extend(above),
            (_, node) => {
                under.insert(
                    name,
                    Entry {
                        node,
                        origin: entry.origin,
                    },
                );
            }
        }
    }
}

/// Sets the key at a path of plain names, making tables on the way.
pub(super) fn set(table: &mut Table, path: &[&str], entry: Entry) {
    let [first, rest @ ..] = path else { return };
    if rest.is_empty() {
        table.insert((*first).to_owned(), entry);
        return;
    }
    let below = table.entry((*first).to_owned()).or_insert_with(|| Entry {
        node: Node::Table(Table::new()),
        origin: entry.origin.clone(),
    });
    if !matches!(below.node, Node::Table(_)) {
        below.node = Node::Table(Table::new());
    }
    if let Node::Table(inner) = &mut below.node {
        set(inner, rest, entry);
    }
}

/// Every key with its origin; elements of lists by index.
pub(super) fn origins(table: &Table) -> BTreeMap<String, Origin> {
    fn walk(key: &str, entry: &Entry, found: &mut BTreeMap<String, Origin>) {
        found.insert(key.to_owned(), entry.origin.clone());
        match &entry.node {
            Node::Table(table) => table
                .iter()
                .for_each(|(name, entry)| walk(&join(key, name), entry, found)),
            Node::List { items, .. } => {
                items
                    .iter()
                    .enumerate()
                    .for_each(|(index, entry)| walk(&element(key, index), entry, found));
            }
            _ => {}
        }
    }
    let mut found = BTreeMap::new();
    table
        .iter()
        .for_each(|(name, entry)| walk(&join("", name), entry, &mut found));
    found
}

fn read_table(table: &DeTable<'_>, text: &str, lines: &Lines, path: &Arc<Path>) -> Table {
    table
        .iter()
        .map(|(name, value)| {
            let node = read_value(value, text, lines, path);
            let line = lines.at(name.span().start);
            (
                name.get_ref().to_string(),
                Entry {
                    node,
                    origin: Origin::File(path.clone(), line),
                },
            )
        })
        .collect()
}

fn read_value(value: &Spanned<DeValue<'_>>, text: &str, lines: &Lines, path: &Arc<Path>) -> Node {
    match value.get_ref() {
        DeValue::String(string) => Node::Text(string.to_string()),
        DeValue::Boolean(yes) => Node::Boolean(*yes),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Node::Integer(number),
            Err(_) => Node::Other(number.to_string()),
        },
        DeValue::Float(number) => Node::Other(number.to_string()),
        DeValue::Datetime(moment) => Node::Other(moment.to_string()),
        DeValue::Table(table) => Node::Table(read_table(table, text, lines, path)),
        DeValue::Array(array) => {
            let appends = array.first().is_some_and(|first| {
                // The span of a table in `[[name]]` starts with that header, that of an inline
                // table with a brace.
                first.get_ref().is_table()
                    && text
                        .get(first.span().start..)
                        .is_some_and(|from| from.starts_with("[["))
            });
            let items = array
                .iter()
                .map(|item| Entry {
                    node: read_value(item, text, lines, path),
                    origin: Origin::File(path.clone(), lines.at(item.span().start)),
                })
                .collect();
            Node::List { items, appends }
        }
    }
}

/// Where lines start.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(
            text.bytes()
                .enumerate()
                .filter(|(_, byte)| *byte == b'\n')
                .map(|(at, _)| at + 1)
                .collect(),
        )
    }

    /// The line, from 1, that holds this byte.
    fn at(&self, offset: usize) -> usize {
        self.0.partition_point(|start| *start <= offset) + 1
    }
}
