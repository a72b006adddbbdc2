//! Secrets that stand in a file of their own.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::Value;

use super::error::Wrong;
use super::schema;
use super::shape::{Problems, at};
use super::source::reason;
use super::tree::{Entry, Node, Table, element, join, quoted};

/// Puts the content of every `x_file` in the place of `x`, where `x` is a secret.
pub(super) fn fill_in(tree: &mut Table, problems: &mut Problems) {
    fill_in_table("", tree, schema::root(), problems);
}

fn fill_in_table(at_key: &str, table: &mut Table, schema: &Value, problems: &mut Problems) {
    for (name, schema) in schema::properties(schema).into_iter().flatten() {
        let key = join(at_key, name);
        let file_name = format!("{name}_file");
        if schema.get("writeOnly").is_some()
            && let Some(Entry {
                node: Node::Text(path),
                origin,
            }) = table.remove(&file_name)
        {
            let file_key = format!("{key}_file");
            let value = Some(quoted(&path));
            if table.contains_key(name) {
                let wrong = Wrong::new(format!("and {key} are both set")).hint("leave one of them out");
                problems.add(&file_key, at(&origin, &file_key, None, wrong));
                continue;
            }
            let start = origin.directory().unwrap_or(Path::new("")).to_path_buf();
            match read(&start.join(path)) {
                Ok(secret) => {
                    table.insert(
                        name.clone(),
                        Entry {
                            node: Node::Text(secret),
                            origin,
                        },
                    );
                }
                Err(wrong) => problems.add(&file_key, at(&origin, &file_key, value, wrong)),
            }
            continue;
        }
        match table.get_mut(name).map(|entry| &mut entry.node) {
            Some(Node::Table(inner)) => {
                if let Some(schema) = schema::of_kind(schema, "object") {
                    fill_in_table(&key, inner, schema, problems);
                }
            }
            Some(Node::List { items, .. }) => {
                let Some(schema) = schema::of_kind(schema, "array").and_then(|list| list.get("items")) else {
                    continue;
                };
                for (index, item) in items.iter_mut().enumerate() {
                    if let Node::Table(inner) = &mut item.node {
                        fill_in_table(&element(&key, index), inner, schema, problems);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Reads a secret: a regular file, at most 64 KiB of UTF-8, that only its owner and group can
/// read. One line end at its end, which every editor leaves, is no part of it.
///
/// # Errors
///
/// Says which of these it is not; never what is in it.
pub(super) fn read(path: &Path) -> Result<String, Wrong> {
    const MOST: u64 = 64 << 10;
    let unreadable = |problem: std::io::Error| Wrong::new(format!("cannot be read: {}", reason(&problem)));
    // Follows links, as mounted secrets are links; what they lead to must still be a file.
    // Asked before opening: opening a FIFO waits for its writer.
    let kind = std::fs::metadata(path).map_err(unreadable)?;
    if !kind.is_file() {
        return Err(Wrong::new("is not a regular file"));
    }
    if kind.mode() & 0o007 != 0 {
        let hint = format!("chmod o= {}", path.display());
        return Err(Wrong::new("is a secret that everybody on this machine can get at").hint(hint));
    }
    if kind.len() > MOST {
        return Err(Wrong::new("is larger than 64KiB"));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let secret = text
        .strip_suffix('\n')
        .map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if secret.trim().is_empty() {
        return Err(Wrong::new("is a secret file with nothing in it"));
    }
    Ok(secret.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn file(directory: &tempfile::TempDir, text: &[u8], mode: u32) -> std::path::PathBuf {
        let path = directory.path().join("secret");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    // Bad inputs Q-05: "file secret with trailing newline, world-readable, symlink, directory, FIFO"
    #[test]
    fn one_line_end_is_taken_off_and_no_more() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(read(&file(&directory, b"s3cret\n", 0o600)), Ok("s3cret".into()));
        assert_eq!(read(&file(&directory, b"s3cret\r\n", 0o640)), Ok("s3cret".into()));
        assert_eq!(
            read(&file(&directory, b"s3cret\n\n", 0o600)),
            Ok("s3cret\n".into())
        );
        assert_eq!(read(&file(&directory, b" s3cret", 0o600)), Ok(" s3cret".into()));
    }

    #[test]
    fn what_is_empty_open_to_all_or_no_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let message = |path: &Path| read(path).unwrap_err().message;
        for empty in [&b""[..], b"\n", b" \t\n"] {
            assert!(message(&file(&directory, empty, 0o600)).contains("nothing in it"));
        }
        for mode in [0o644, 0o604, 0o602] {
            assert!(
                message(&file(&directory, b"s3cret", mode)).contains("everybody"),
                "{mode:o}"
            );
        }
        let large = vec![b'x'; (64 << 10) + 1];
        assert!(message(&file(&directory, &large, 0o600)).contains("larger"));
        assert!(message(directory.path()).contains("not a regular file"));
        let link = directory.path().join("link");
        symlink("/dev/zero", &link).unwrap();
        assert!(message(&link).contains("not a regular file"));
        assert!(message(Path::new("/nonexistent")).contains("no such file"));
        let fifo = directory.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
        assert!(message(&fifo).contains("not a regular file"));
    }
}
