//! Configuration files on disk.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::ConfigError;
use super::shape::Problems;
use super::tree::{self, Table};

/// Reads the files into the tree; a file that cannot be read is an error and is left out.
pub(super) fn read_all(named: &[PathBuf], into: &mut Table, problems: &mut Problems) -> Vec<PathBuf> {
    let mut files = named.to_vec();
    if let Some(first) = named.first() {
        match drop_ins(first) {
            Ok(more) => files.extend(more),
            Err(errors) => problems.errors.extend(errors),
        }
    }
    let mut seen = BTreeSet::new();
    for path in &files {
        // The same file twice would have every route twice.
        if !seen.insert(path) {
            let message = "is given twice".into();
            problems.errors.push(ConfigError {
                file: Some(path.clone()),
                message,
                ..ConfigError::default()
            });
            continue;
        }
        let shared: Arc<Path> = Arc::from(path.as_path());
        let parsed = read(path).and_then(|text| tree::parse(&shared, &text));
        match parsed {
            Ok(table) => tree::merge(into, table),
            Err(errors) => problems.errors.extend(errors),
        }
    }
    files
}

/// Reads a configuration file whole: a regular file of UTF-8, at most 1 MiB.
///
/// # Errors
///
/// Says which of these it is not.
fn read(path: &Path) -> Result<String, Vec<ConfigError>> {
    const MOST: u64 = 1 << 20;
    let error = |message: String| ConfigError {
        file: Some(path.to_path_buf()),
        message,
        ..ConfigError::default()
    };
    let unreadable = |problem: std::io::Error| vec![error(format!("cannot be read: {}", reason(&problem)))];
    // Asked before opening: opening a FIFO waits for its writer.
    let kind = std::fs::metadata(path).map_err(unreadable)?;
    if !kind.is_file() {
        return Err(vec![error("is not a regular file".into())]);
    }
    if kind.len() > MOST {
        return Err(vec![error(format!("is larger than 1MiB ({} bytes)", kind.len()))]);
    }
    let mut bytes = Vec::new();
    // A file that grows meanwhile is cut off as well.
    std::fs::File::open(path)
        .and_then(|file| std::io::Read::read_to_end(&mut std::io::Read::take(file, MOST + 1), &mut bytes))
        .map_err(unreadable)?;
    if bytes.len() as u64 > MOST {
        return Err(vec![error("is larger than 1MiB".into())]);
    }
    let text = String::from_utf8(bytes).map_err(|problem| {
        let before = &problem.as_bytes()[..problem.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        vec![ConfigError {
            line: Some(line),
            hint: Some("save the file as UTF-8".into()),
            ..error("is not UTF-8".into())
        }]
    })?;
    if text.starts_with('\u{feff}') {
        return Err(vec![ConfigError {
            line: Some(1),
            hint: Some("save the file as UTF-8 without it".into()),
            ..error("starts with a byte order mark".into())
        }]);
    }
    Ok(text)
}

/// An I/O error without the number that its Display adds.
pub(super) fn reason(problem: &std::io::Error) -> String {
    match problem.kind() {
        std::io::ErrorKind::NotFound => "no such file".into(),
        std::io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => problem.to_string(),
    }
}

/// The files of `conf.d` beside the first configuration file, in lexical order.
///
/// # Errors
///
/// The directory is there and cannot be listed.
fn drop_ins(first: &Path) -> Result<Vec<PathBuf>, Vec<ConfigError>> {
    let directory = first.with_file_name("conf.d");
    let unreadable = |problem: std::io::Error| {
        vec![ConfigError {
            file: Some(directory.clone()),
            message: format!("cannot be listed: {}", reason(&problem)),
            ..ConfigError::default()
        }]
    };
    let listing = match std::fs::read_dir(&directory) {
        Ok(listing) => listing,
        Err(problem) if problem.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(problem) => return Err(unreadable(problem)),
    };
    let mut found = Vec::new();
    for entry in listing {
        let path = entry.map_err(unreadable)?.path();
        // Editors leave `.name.toml.swp` and `.#name.toml` behind.
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "toml") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
