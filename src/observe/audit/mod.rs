//! The audit file: who was let in, who was not, and who changed what.
//!
//! One line of JSON per event ([`Line`]), chained by hashes ([`verify`]), written by one thread.
//! Decisions never wait for it: what cannot be queued is counted, and the next line says how many
//! were lost. Changes wait until their line is on the disk, and are refused if it cannot be.
//!
//! Rotation needs no signal: the writer notices when the path leads to another file, and the chain
//! goes on there. What was put aside at start stands beside the file as `.torn-TIME` (the rest of
//! a line that a crash cut off) or `.damaged-TIME` (a file that does not end like one of ours).

mod chain;
mod file;
mod line;
mod sampling;
mod search;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use self::file::AuditFile;
use self::sampling::{Fate, Kind, Sampler};
use self::writer::{Entry, Writer};
use super::queue::{Queue, Refused};
use crate::time::Clock;

pub use self::file::rotated;
pub use self::line::{Event, Line};
pub use self::search::backwards;
pub use self::verify::{AuditDamage, Tail, Verified, find_request, tail, verify};

/// The audit file of this instance.
///
/// Costs the thread that calls [`Audit::record`] about 0.3 µs for a line with all usual fields
/// (encoding, one allocation, one short lock) and 0.05 µs for one that sampling leaves out,
/// measured by `cost_of_a_line` on a virtual machine with two cores.
#[derive(Debug)]
pub struct Audit {
    shared: Arc<Shared>,
    opening: Opening,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

/// What callers and the writer share.
#[derive(Debug)]
struct Shared {
    queue: Queue<Entry>,
    sampler: Sampler,
    /// What tokens begin with: none is written.
    prefix: String,
    /// Written by the writer, read by metrics.
    lines: AtomicU64,
    /// Lines lost since the start, for metrics.
    dropped: AtomicU64,
    /// Lines lost that no written line has told of; added to by callers, taken by the writer.
    unreported: AtomicU64,
    /// Written by the writer, read by readiness.
    failing: AtomicBool,
}

/// Lines on their way to the writer; 5 ms at 800 000 lines a second.
const QUEUE: usize = 4096;

/// What was found when the file was opened. Everything but `Continued` is also a line in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// The chain goes on after line `seq`.
    Continued {
        /// Number of the last line.
        seq: u64,
    },
    /// There was no file: line 1 says so.
    Begun,
    /// The last line was cut off by a crash.
    Recovered {
        /// Bytes of it.
        bytes: usize,
        /// Where they are now.
        side: PathBuf,
    },
    /// The file is no chain of ours; a new one begins. Worth an alarm.
    SetAside {
        /// Where it is now.
        side: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// Why a line is not in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditError {
    /// The path leads to something else than a plain file.
    NotAFile(PathBuf),
    /// Another process writes to it.
    InUse(PathBuf),
    /// The operating system refused.
    Unwritable {
        /// The file.
        file: PathBuf,
        /// In the words of the operating system.
        why: String,
        /// The kind of it.
        kind: io::ErrorKind,
    },
    /// More lines are waiting than fit.
    Busy,
    /// The audit was closed.
    Closed,
}

impl AuditError {
    fn unwritable(file: &Path, error: &io::Error) -> Self {
        Self::Unwritable {
            file: file.to_owned(),
            why: error.to_string(),
            kind: error.kind(),
        }
    }

    /// The exit code of `sysexits.h` for it.
    pub fn exit_code(&self) -> u8 {
        match self {
            AuditError::Unwritable { kind, .. } => match kind {
                io::ErrorKind::PermissionDenied => 77,
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => 74,
                _ => 73,
            },
            AuditError::NotAFile(_) => 73,
            AuditError::InUse(_) => 69,
            AuditError::Busy | AuditError::Closed => 74,
        }
    }
}

impl fmt::Display for AuditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AuditError::NotAFile(file) => write!(
                f,
                "audit.file = \"{}\" is not a plain file; name a file in a directory of your own",
                file.display()
            ),
            AuditError::InUse(file) => write!(
                f,
                "{} is written by another process; give each instance its own data directory",
                file.display()
            ),
            AuditError::Unwritable { file, why, kind } => {
                write!(f, "the audit file {} cannot be written: {why}", file.display())?;
                match kind {
                    io::ErrorKind::PermissionDenied => {
                        f.write_str("; run as the user whom it belongs to, or give it to this one with chown")
                    }
                    io::ErrorKind::StorageFull => f.write_str("; make room"),
                    _ => Ok(()),
                }
            }
            AuditError::Busy => f.write_str("too many audit lines are waiting; try again in a moment"),
            AuditError::Closed => f.write_str("the audit file is closed; the server is stopping"),
        }
    }
}

impl std::error::Error for AuditError {}

impl Audit {
    /// Opens the file, finds the end of its chain and starts the writer. Blocks for disk I/O. Tokens,
    /// which begin with `prefix`, are not written where a client may have put one.
    ///
    /// # Errors
    /// The file cannot be written, belongs to another process or is none.
    pub fn open(path: &Path, prefix: &str, clock: Clock) -> Result<Self, AuditError> {
        let (writer, opening) = Self::prepare(path, prefix, clock, QUEUE)?;
        let shared = writer.shared.clone();
        let thread = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| AuditError::unwritable(path, &error))?;
        Ok(Self {
            shared,
            opening,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Everything but the thread.
    fn prepare(
        path: &Path,
        prefix: &str,
        clock: Clock,
        capacity: usize,
    ) -> Result<(Writer, Opening), AuditError> {
        let (file, chain, opening) = AuditFile::open(path, clock.now())?;
        let mut writer = Writer {
            shared: Arc::new(Shared::new(capacity, prefix)),
            clock,
            file,
            chain,
            backlog: Vec::new(),
            buffer: Vec::new(),
            failed: None,
        };
        if let Some((event, reason)) = opening.event() {
            let now = writer.clock.now();
            let line = Line {
                reason: &reason,
                ..Line::new(now, event)
            };
            let fields = line.encode(prefix);
            writer.chain.append(&mut writer.buffer, now, &fields, 0, 0);
            writer.file.append(&writer.buffer, true, now)?;
            writer.shared.lines.fetch_add(1, Ordering::Relaxed);
        }
        Ok((writer, opening))
    }

    /// What was found at the start.
    pub fn opening(&self) -> &Opening {
        &self.opening
    }

    /// Records a decision. Never waits: it is sampled (refusals, above ten a second of a kind),
    /// queued, or counted as dropped.
    pub fn record(&self, line: &Line<'_>) {
        self.shared.record(line);
    }

    /// Records a change. The change may be made only after the acknowledgement says that the line
    /// is on the disk.
    #[must_use = "the change must wait for it"]
    pub fn record_change(&self, line: &Line<'_>) -> Acknowledgement {
        self.shared.record_change(line)
    }

    /// Follows the path to a new file after a rotation, at once rather than with the next line.
    pub fn reopen(&self) {
        self.shared.queue.reopen();
    }

    /// Lines written since the start, for `sidegate_audit_lines_total`.
    pub fn lines(&self) -> u64 {
        self.shared.lines.load(Ordering::Relaxed)
    }

    /// Lines lost since the start, for `sidegate_audit_dropped_total`.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Whether the last attempt to write failed, for readiness and alarms.
    pub fn is_failing(&self) -> bool {
        self.shared.failing.load(Ordering::Relaxed)
    }

    /// Writes what is queued, syncs the file and ends the writer. Blocks; later lines are counted
    /// as dropped.
    pub fn close(&self) {
        self.shared.queue.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A writer that panicked has nothing more to say.
            let _ = thread.join();
        }
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn new(capacity: usize, prefix: &str) -> Self {
        Self {
            queue: Queue::new(capacity),
            sampler: Sampler::default(),
            prefix: prefix.to_owned(),
            lines: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            unreported: AtomicU64::new(0),
            failing: AtomicBool::new(false),
        }
    }

    fn record(&self, line: &Line<'_>) {
        let second = line.time.as_seconds();
        let kind = Kind::of(line);
        let left_out = match kind.map(|kind| self.sampler.admit(kind, second)) {
            Some(Fate::LeaveOut) => return,
            Some(Fate::Write { left_out }) => left_out,
            None => 0,
        };
        let entry = Entry {
            time: line.time,
            fields: line.encode(&self.prefix),
            left_out,
            acknowledge: None,
        };
        if self.queue.push(entry).is_err() {
            self.lost(1);
            if let Some(kind) = kind {
                self.sampler.restore(kind, second, left_out);
            }
        }
    }

    fn record_change(&self, line: &Line<'_>) -> Acknowledgement {
        let (acknowledge, acknowledged) = oneshot::channel();
        let entry = Entry {
            time: line.time,
            fields: line.encode(&self.prefix),
            left_out: 0,
            acknowledge: Some(acknowledge),
        };
        Acknowledgement(match self.queue.push_awaited(entry) {
            Ok(()) => Ok(acknowledged),
            Err(Refused::Full) => Err(AuditError::Busy),
            Err(Refused::Closed) => Err(AuditError::Closed),
        })
    }

    fn lost(&self, lines: u64) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
        self.unreported.fetch_add(lines, Ordering::Relaxed);
    }
}

/// The writer's word that a change is on the disk.
#[must_use = "the change must wait for it"]
#[derive(Debug)]
pub struct Acknowledgement(Result<oneshot::Receiver<Result<u64, AuditError>>, AuditError>);

impl Acknowledgement {
    /// Waits; gives the `seq` of the line.
    ///
    /// # Errors
    /// The line is not in the file: refuse the change.
    pub async fn written(self) -> Result<u64, AuditError> {
        self.0?.await.unwrap_or(Err(AuditError::Closed))
    }

    /// The same for a thread without a runtime. Inside one it would block a worker, and panics.
    ///
    /// # Errors
    /// The line is not in the file: refuse the change.
    pub fn wait(self) -> Result<u64, AuditError> {
        self.0?.blocking_recv().unwrap_or(Err(AuditError::Closed))
    }
}

impl Opening {
    /// The line that tells of it.
    fn event(&self) -> Option<(Event, String)> {
        match self {
            Opening::Continued { .. } => None,
            Opening::Begun => Some((Event::AuditBegin, "there was no audit file".to_owned())),
            Opening::Recovered { bytes, side } => Some((
                Event::AuditRecovered,
                format!("{bytes} bytes of an unfinished line were moved to {}", name(side)),
            )),
            Opening::SetAside { side, why } => Some((
                Event::AuditDamaged,
                format!("the file was moved to {}: {why}", name(side)),
            )),
        }
    }
}

fn name(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}
