//! Results as tables or JSON.

use serde::Serialize;
use zeroize::Zeroizing;

use super::globals::Output;
use super::io::{Io, printable};
use crate::control::{Exit, Failure};
use crate::time::Timestamp;

/// Columns under their headings, padded to the widest cell.
#[derive(Clone, Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with its headings.
    pub(super) fn new(headings: &[&str]) -> Self {
        Self {
            rows: vec![headings.iter().map(|heading| (*heading).to_owned()).collect()],
        }
    }

    /// Adds a row; an empty cell is shown as `-`.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        let shown = cells.into_iter().map(|cell| {
            if cell.is_empty() {
                "-".to_owned()
            } else {
                printable(&cell).replace('\n', " ")
            }
        });
        self.rows.push(shown.collect());
    }

    /// The lines, the last column without padding.
    pub(super) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Shows a list: `rows` adds each entry to the table.
///
/// # Errors
/// [`Exit::Io`] when stdout fails.
pub(super) fn list<T: Serialize>(
    io: &mut Io<'_>,
    output: Output,
    headings: &[&str],
    entries: &[T],
    row: impl Fn(&mut Table, &T),
) -> Result<(), Failure> {
    match output {
        Output::Json => json(io, &entries),
        Output::Table => {
            let mut table = Table::new(headings);
            for entry in entries {
                row(&mut table, entry);
            }
            io.put(table.render().as_bytes())
        }
    }
}

/// Shows one thing as `name  value` lines.
///
/// # Errors
/// [`Exit::Io`] when stdout fails.
pub(super) fn one<T: Serialize>(
    io: &mut Io<'_>,
    output: Output,
    entry: &T,
    lines: &[(&str, String)],
) -> Result<(), Failure> {
    match output {
        Output::Json => json(io, entry),
        Output::Table => {
            let mut table = Table { rows: Vec::new() };
            for (name, value) in lines {
                table.row([(*name).to_owned(), value.clone()]);
            }
            io.put(table.render().as_bytes())
        }
    }
}

/// Shows what a change led to: a sentence on stderr, or the object on stdout.
///
/// # Errors
/// [`Exit::Io`] when stdout fails.
pub(super) fn changed<T: Serialize>(
    io: &mut Io<'_>,
    output: Output,
    entry: &T,
    sentence: &str,
) -> Result<(), Failure> {
    match output {
        Output::Json => json(io, entry),
        Output::Table => {
            io.say(sentence);
            Ok(())
        }
    }
}

/// A value as indented JSON on stdout.
///
/// # Errors
/// [`Exit::Io`] when stdout fails.
pub(super) fn json<T: Serialize>(io: &mut Io<'_>, value: &T) -> Result<(), Failure> {
    io.put(&encode(value)?)
}

/// A value with a secret in it as indented JSON on stdout.
///
/// # Errors
/// [`Exit::Io`] when stdout fails.
pub(super) fn secret_json<T: Serialize>(io: &mut Io<'_>, value: &T) -> Result<(), Failure> {
    io.put_secret(&encode(value)?)
}

fn encode<T: Serialize>(value: &T) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut text = Zeroizing::new(Vec::with_capacity(16 * 1024));
    serde_json::to_writer_pretty(&mut *text, value)
        .map_err(|error| Failure::new(Exit::Internal, format!("the result is no JSON: {error}")))?;
    text.push(b'\n');
    Ok(text)
}

/// A moment to the minute, UTC: `2026-01-01 00:00Z`.
pub(super) fn moment(moment: Timestamp) -> String {
    let text = moment.to_string();
    match (text.get(..10), text.get(11..16)) {
        (Some(day), Some(time)) if text.ends_with('Z') && text.as_bytes().get(10) == Some(&b'T') => {
            format!("{day} {time}Z")
        }
        _ => text,
    }
}

/// Items joined by commas.
pub(super) fn joined<T: std::fmt::Display>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(T::to_string).collect();
    items.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["NAME", "ROLE"]);
        table.row(["anna".into(), "owner".into()]);
        table.row(["\u{f6}rsted-long".into(), String::new()]);
        table.row(["x\u{1b}[31m".into(), "a\nb".into()]);
        assert_eq!(
            table.render(),
            "NAME         ROLE\nanna         owner\n\u{f6}rsted-long  -\nx\\u{1b}[31m  a b\n"
        );
    }

    #[test]
    fn moments_are_shown_to_the_minute() {
        assert_eq!(
            moment(Timestamp::from_millis(1_767_225_600_123)),
            "2026-01-01 00:00Z"
        );
        assert_eq!(moment(Timestamp::from_millis(i64::MAX)), format!("@{}", i64::MAX));
    }
}
