//! Reading the file back: is it whole, and what are its last lines?

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::chain::{Chain, Place};
use crate::crypto::mac::{Digest, sha256};
use crate::wire::hex;

/// A chain without a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Lines read.
    pub lines: u64,
    /// `seq` of the first line; above 1 when older files are not here any more.
    pub first: u64,
    /// `seq` of the last line; 0 when there is none.
    pub last: u64,
    /// SHA-256 of the last line: noted elsewhere, it proves later that nothing was cut off.
    pub head: Digest,
    /// Bytes of an unfinished last line: a crash, or a line that is being written right now.
    pub torn: usize,
}

/// Where a chain is broken, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditDamage {
    /// The file.
    pub file: PathBuf,
    /// Number of the line in the file, from 1; 0: the file as a whole.
    pub line: u64,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for AuditDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.why)
    }
}

impl std::error::Error for AuditDamage {}

/// Follows the chain through `files`, oldest first (see [`super::rotated`]).
///
/// It finds a changed, removed, added or moved line, anywhere but at the two ends: what was
/// removed in front shows as `first`, and lines cut off behind leave no trace in the file itself.
/// Whoever can write the file can also write a new chain, so send the lines, or `head` from time
/// to time, to another machine.
///
/// # Errors
/// The first line that does not fit, or a file that cannot be read.
pub fn verify<P: AsRef<Path>>(files: &[P]) -> Result<Verified, AuditDamage> {
    let mut verified = Verified {
        lines: 0,
        first: 0,
        last: 0,
        head: Chain::START.prev,
        torn: 0,
    };
    for (index, path) in files.iter().enumerate() {
        let path = path.as_ref();
        let damage = |line, why: String| AuditDamage {
            file: path.to_owned(),
            line,
            why,
        };
        let file = File::open(path).map_err(|error| damage(0, format!("cannot be read: {error}")))?;
        let mut reader = BufReader::new(file);
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let read = reader
                .read_until(b'\n', &mut line)
                .map_err(|error| damage(number, format!("cannot be read: {error}")))?;
            if read == 0 {
                break;
            }
            let Some(whole) = line.strip_suffix(b"\n") else {
                if index + 1 < files.len() {
                    return Err(damage(number, "the line is not finished".to_owned()));
                }
                verified.torn = line.len();
                break;
            };
            fits(&mut verified, whole).map_err(|why| damage(number, why))?;
        }
    }
    Ok(verified)
}

fn fits(verified: &mut Verified, line: &[u8]) -> Result<(), String> {
    let place = Place::of(line).ok_or("not an audit line")?;
    let expected = verified.last + 1;
    if verified.lines == 0 {
        verified.first = place.seq;
        if place.seq == 1 && place.prev != hex::encode(&Chain::START.prev) {
            return Err("the first line of a chain names a line before it".to_owned());
        }
    } else if place.seq == 1 {
        return Err(format!("a new chain begins; line {expected} was expected"));
    } else if place.seq != expected {
        return Err(format!(
            "this is line {}; line {expected} was expected",
            place.seq
        ));
    } else if place.prev != hex::encode(&verified.head) {
        return Err(format!(
            "line {} before it was changed: it has the hash {}, and this line names {}",
            verified.last,
            hex::encode(&verified.head),
            place.prev
        ));
    }
    verified.lines += 1;
    verified.last = place.seq;
    verified.head = sha256(line);
    Ok(())
}

/// The last lines of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Whole lines without their line feeds, oldest first.
    pub lines: Vec<String>,
    /// The offset behind the last of them: where to go on reading.
    pub end: u64,
}

/// The line about the request of that id, from this file or the newest rotated one that has it.
///
/// # Errors
/// A file cannot be read.
pub fn find_request(path: &Path, id: &str) -> io::Result<Option<String>> {
    let mut files = super::rotated(path)?;
    files.push(path.to_owned());
    let wanted = format!("\"request_id\":\"{id}\"");
    for file in files.iter().rev() {
        let mut reader = BufReader::new(File::open(file)?);
        let (mut line, mut found) = (Vec::new(), None);
        while reader.read_until(b'\n', &mut line)? > 0 {
            let text = String::from_utf8_lossy(&line);
            // A ban has the id of the request that brought it.
            if text.contains(&wanted) && text.contains("\"event\":\"request\"") {
                found = Some(text.into_owned());
            }
            line.clear();
        }
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The last `count` whole lines of a file; reads no more of it than it must.
///
/// # Errors
/// The file cannot be read.
pub fn tail(path: &Path, count: usize) -> io::Result<Tail> {
    const BLOCK: u64 = 64 * 1024;
    let mut file = File::open(path)?;
    let mut start = file.seek(SeekFrom::End(0))?;
    let size = start;
    let mut bytes: Vec<u8> = Vec::new();
    let feeds = |bytes: &[u8]| bytes.iter().filter(|&&byte| byte == b'\n').count();
    let mut seen = 0;
    // One line feed more than lines: the one in front of the first.
    while start > 0 && seen <= count {
        let from = start.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(from))?;
        let mut block = Vec::new();
        (&mut file).take(start - from).read_to_end(&mut block)?;
        seen += feeds(&block);
        block.extend_from_slice(&bytes);
        bytes = block;
        start = from;
    }
    let whole = bytes
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |at| at + 1);
    let mut lines: Vec<String> = bytes[..whole]
        .split_inclusive(|&byte| byte == b'\n')
        .map(|line| String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line)).into_owned())
        .collect();
    lines.drain(..lines.len().saturating_sub(count));
    Ok(Tail {
        lines,
        end: size - (bytes.len() - whole) as u64,
    })
}
