//! The file itself: opened, healed, rotated under our feet, appended to.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::chain::{Chain, Place};
use super::{AuditError, Opening};
use crate::time::Timestamp;

/// The file that lines are appended to, and the only process that does so.
#[derive(Debug)]
pub(super) struct AuditFile {
    path: PathBuf,
    file: File,
    /// Device and inode: whether the path still leads here.
    identity: (u64, u64),
    /// A failed write left bytes behind this length that could not be taken back yet.
    torn_at: Option<u64>,
}

/// Most bytes behind the last line feed that a crash can leave: one batch of lines.
const TORN_LIMIT: u64 = 16 * 1024 * 1024;
/// Most bytes of one line: far above what the fields add up to.
const LINE_LIMIT: u64 = 64 * 1024;

impl AuditFile {
    /// Opens the file, creates it (mode 0600) if there is none, and finds the end of its chain.
    pub(super) fn open(path: &Path, now: Timestamp) -> Result<(Self, Chain, Opening), AuditError> {
        let fail = |error| AuditError::unwritable(path, &error);
        let mut file = Self::lock(path)?;
        match Ending::read(&mut file.file).map_err(fail)? {
            Ending::Empty => match newest_rotated(path) {
                Some(chain) => Ok((file, chain, Opening::Continued { seq: chain.seq })),
                None => Ok((file, Chain::START, Opening::Begun)),
            },
            Ending::Whole(chain) => Ok((file, chain, Opening::Continued { seq: chain.seq })),
            Ending::Torn { chain, length, torn } => {
                let side = free_name(path, "torn", now);
                put(&side, &torn).map_err(fail)?;
                file.file.set_len(length).map_err(fail)?;
                file.file.sync_data().map_err(fail)?;
                let bytes = torn.len();
                // Where the very first line was torn, the chain may come from a rotated file.
                let chain = chain.or_else(|| newest_rotated(path)).unwrap_or(Chain::START);
                Ok((file, chain, Opening::Recovered { bytes, side }))
            }
            Ending::Foreign(why) => {
                let side = free_name(path, "damaged", now);
                fs::rename(path, &side).map_err(fail)?;
                drop(file);
                let file = Self::lock(path)?;
                Ok((file, Chain::START, Opening::SetAside { side, why }))
            }
        }
    }

    fn lock(path: &Path) -> Result<Self, AuditError> {
        let fail = |error| AuditError::unwritable(path, &error);
        match fs::metadata(path) {
            Ok(found) if !found.is_file() => return Err(AuditError::NotAFile(path.to_owned())),
            _ => {}
        }
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(fail)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(AuditError::InUse(path.to_owned())),
            // Some network file systems have no locks; the data directory has one of its own.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(fail(error)),
        }
        let found = file.metadata().map_err(fail)?;
        // A name is durable only when its directory is.
        if let Some(directory) = path.parent().filter(|directory| directory.is_dir()) {
            File::open(directory)
                .and_then(|directory| directory.sync_all())
                .map_err(fail)?;
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            identity: (found.dev(), found.ino()),
            torn_at: None,
        })
    }

    /// Appends all of it or nothing; with `sync`, it is on the disk when this returns.
    pub(super) fn append(&mut self, bytes: &[u8], sync: bool, now: Timestamp) -> Result<(), AuditError> {
        self.follow(now)?;
        let path = &self.path;
        let fail = |error| AuditError::unwritable(path, &error);
        if let Some(length) = self.torn_at {
            self.file.set_len(length).map_err(fail)?;
            self.torn_at = None;
        }
        // Asked each time, because `copytruncate` shortens files behind our back.
        let length = self.file.metadata().map_err(fail)?.len();
        let mut written = self.file.write_all(bytes);
        if sync {
            written = written.and_then(|()| self.file.sync_data());
        }
        written.map_err(|error| {
            if self.file.set_len(length).is_err() {
                self.torn_at = Some(length);
            }
            fail(error)
        })
    }

    /// Makes everything written durable.
    pub(super) fn sync(&self) -> Result<(), AuditError> {
        self.file
            .sync_data()
            .map_err(|error| AuditError::unwritable(&self.path, &error))
    }

    /// Goes where the path leads: a rotated or deleted file is not written to for long, whether
    /// anybody sent a signal or not. The chain goes on in the new file.
    pub(super) fn follow(&mut self, now: Timestamp) -> Result<(), AuditError> {
        let leads_here =
            fs::metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity);
        if leads_here {
            return Ok(());
        }
        let mut next = Self::lock(&self.path)?;
        let length = next
            .file
            .seek(SeekFrom::End(0))
            .map_err(|error| AuditError::unwritable(&self.path, &error))?;
        if length > 0 {
            // Not a file that our chain can go on in.
            tracing::warn!(
                "{} was replaced by another file, which is put aside",
                self.path.display()
            );
            let side = free_name(&self.path, "damaged", now);
            fs::rename(&self.path, side).map_err(|error| AuditError::unwritable(&self.path, &error))?;
            drop(next);
            next = Self::lock(&self.path)?;
        }
        *self = next;
        Ok(())
    }
}

/// How a file ends.
enum Ending {
    /// No bytes.
    Empty,
    /// With a line of ours.
    Whole(Chain),
    /// In the middle of a line, after `length` bytes of whole ones.
    Torn {
        chain: Option<Chain>,
        length: u64,
        torn: Vec<u8>,
    },
    /// With something that is no line of ours.
    Foreign(&'static str),
}

impl Ending {
    fn read(file: &mut File) -> io::Result<Self> {
        let size = file.seek(SeekFrom::End(0))?;
        if size == 0 {
            return Ok(Self::Empty);
        }
        let start = size.saturating_sub(TORN_LIMIT + LINE_LIMIT);
        // Nearly always the last line is in the last block; a crash is rare.
        let near = size.saturating_sub(2 * LINE_LIMIT).max(start);
        for from in [near, start] {
            file.seek(SeekFrom::Start(from))?;
            let mut tail = Vec::new();
            file.take(size - from).read_to_end(&mut tail)?;
            let whole = tail.iter().rposition(|&byte| byte == b'\n').map(|at| at + 1);
            let Some(whole) = whole else {
                if from > 0 {
                    continue;
                }
                return Ok(Self::Torn {
                    chain: None,
                    length: 0,
                    torn: tail,
                });
            };
            let begin = tail[..whole - 1].iter().rposition(|&byte| byte == b'\n');
            let line = match begin {
                Some(at) => &tail[at + 1..whole - 1],
                None if from == 0 => &tail[..whole - 1],
                None => continue,
            };
            let Some(chain) = Chain::after(line) else {
                return Ok(Self::Foreign("its last line is not an audit line"));
            };
            let torn = &tail[whole..];
            return Ok(if torn.is_empty() {
                Self::Whole(chain)
            } else {
                Self::Torn {
                    chain: Some(chain),
                    length: from + whole as u64,
                    torn: torn.to_vec(),
                }
            });
        }
        Ok(Self::Foreign("it does not end with lines"))
    }
}

/// Files beside `path` that logrotate and its like made of it (`audit.jsonl.1`,
/// `audit.jsonl-20260101`), oldest first. Compressed ones and those put aside as torn or damaged
/// are not among them.
pub fn rotated(path: &Path) -> io::Result<Vec<PathBuf>> {
    let Some(name) = path.file_name() else {
        return Ok(Vec::new());
    };
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let entry_name = entry.file_name();
        let Some(rest) = entry_name
            .as_encoded_bytes()
            .strip_prefix(name.as_encoded_bytes())
        else {
            continue;
        };
        let is_ours = matches!(rest, [b'.' | b'-', rest @ ..] if rest.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-'));
        if is_ours && let Some(place) = first_place(&entry.path()) {
            found.push((place.seq, entry.path()));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

fn newest_rotated(path: &Path) -> Option<Chain> {
    let newest = rotated(path).ok()?.pop()?;
    let mut file = File::open(newest).ok()?;
    match Ending::read(&mut file).ok()? {
        Ending::Whole(chain)
        | Ending::Torn {
            chain: Some(chain), ..
        } => Some(chain),
        Ending::Empty | Ending::Foreign(_) | Ending::Torn { chain: None, .. } => None,
    }
}

fn first_place(path: &Path) -> Option<Place> {
    use std::io::BufRead;
    let file = File::open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut line = Vec::new();
    io::BufReader::new(file.take(LINE_LIMIT))
        .read_until(b'\n', &mut line)
        .ok()?;
    Place::of(line.strip_suffix(b"\n")?)
}

/// `audit.jsonl.KIND-TIME`, or with a number behind it if that exists.
fn free_name(path: &Path, kind: &str, now: Timestamp) -> PathBuf {
    let stamp = now.to_string().replace(':', "-");
    let mut name = OsString::from(path);
    name.push(format!(".{kind}-{stamp}"));
    let mut candidate = PathBuf::from(&name);
    for number in 2.. {
        if !candidate.exists() {
            break;
        }
        let mut next = name.clone();
        next.push(format!(".{number}"));
        candidate = PathBuf::from(next);
    }
    candidate
}

fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
