//! The one thread that writes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;

use super::chain::Chain;
use super::file::AuditFile;
use super::line::{Event, text};
use super::sampling::Kind;
use super::{AuditError, QUEUE, Shared};
use crate::time::{Clock, Timestamp};

/// One encoded line on its way.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) time: Timestamp,
    pub(super) fields: Vec<u8>,
    /// Lines alike that were left out before this one.
    pub(super) left_out: u64,
    /// Who waits until it is on the disk.
    pub(super) acknowledge: Option<oneshot::Sender<Result<u64, AuditError>>>,
}

/// Lines kept while the file cannot be written; later ones are counted as dropped.
const BACKLOG: usize = 2 * QUEUE;
/// A pause after each batch: the next one is larger, and senders need not wake anybody.
const PAUSE: Duration = Duration::from_millis(5);
/// How long counts may wait for a line of their kind, and a full disk for another try.
const ROUND: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) clock: Clock,
    pub(super) file: AuditFile,
    pub(super) chain: Chain,
    pub(super) backlog: Vec<Entry>,
    pub(super) buffer: Vec<u8>,
    /// When the file could not be written last, on the monotonic clock.
    pub(super) failed: Option<Duration>,
}

impl Writer {
    /// Writes until the queue is closed.
    pub(super) fn run(mut self) {
        let mut taken = Vec::new();
        loop {
            let is_idle = self.backlog.is_empty() && self.shared.sampler.is_idle();
            let signals = self.shared.queue.take(&mut taken, (!is_idle).then_some(ROUND));
            if signals.reopen {
                // Every batch looks where the path leads; this one may be empty.
                let _ = self.file.follow(self.clock.now());
            }
            self.accept(&mut taken);
            self.settle(signals.closed);
            self.flush();
            if signals.closed {
                self.end();
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }

    pub(super) fn accept(&mut self, taken: &mut Vec<Entry>) {
        for entry in taken.drain(..) {
            if self.backlog.len() < BACKLOG || entry.acknowledge.is_some() {
                self.backlog.push(entry);
            } else {
                self.shared.lost(1 + entry.left_out);
            }
        }
    }

    /// Adds a line for each count that no line has told in time.
    pub(super) fn settle(&mut self, all: bool) {
        if self.backlog.len() >= BACKLOG && !all {
            return;
        }
        let now = self.clock.now();
        let counts = if all {
            self.shared.sampler.settle_all()
        } else {
            self.shared.sampler.settle(now.as_seconds())
        };
        for (kind, left_out) in counts {
            self.backlog.push(summary(now, kind, left_out));
        }
    }

    /// Writes the whole backlog or nothing of it. Only what is awaited must be on the disk.
    pub(super) fn flush(&mut self) {
        if self.backlog.is_empty() || self.waits_for_another_try() {
            return;
        }
        let before = self.chain;
        let dropped = self.shared.unreported.swap(0, Ordering::Relaxed);
        let mut untold = dropped;
        let mut sync = false;
        self.buffer.clear();
        for entry in &self.backlog {
            self.chain.append(
                &mut self.buffer,
                entry.time,
                &entry.fields,
                entry.left_out,
                std::mem::take(&mut untold),
            );
            sync |= entry.acknowledge.is_some();
        }
        match self.file.append(&self.buffer, sync, self.clock.now()) {
            Ok(()) => {
                let first = before.seq + 1;
                self.shared
                    .lines
                    .fetch_add(self.backlog.len() as u64, Ordering::Relaxed);
                for (seq, entry) in (first..).zip(self.backlog.drain(..)) {
                    if let Some(acknowledge) = entry.acknowledge {
                        // Whoever asked may have gone; the line stays true.
                        let _ = acknowledge.send(Ok(seq));
                    }
                }
                if self.failed.take().is_some() {
                    self.shared.failing.store(false, Ordering::Relaxed);
                    tracing::info!("the audit file can be written again");
                }
            }
            Err(error) => {
                self.chain = before;
                self.shared.unreported.fetch_add(dropped, Ordering::Relaxed);
                self.keep(error);
            }
        }
        self.buffer.shrink_to(1024 * 1024);
    }

    /// Whether writing failed a moment ago and nobody waits for it.
    fn waits_for_another_try(&self) -> bool {
        self.failed
            .is_some_and(|failed| self.clock.monotonic().saturating_sub(failed) < ROUND)
            && !self.shared.queue.is_closed()
            && self.backlog.iter().all(|entry| entry.acknowledge.is_none())
    }

    /// The file cannot be written: whoever waits is refused, the rest is kept for another try.
    fn keep(&mut self, error: AuditError) {
        if self.failed.replace(self.clock.monotonic()).is_none() {
            self.shared.failing.store(true, Ordering::Relaxed);
            tracing::error!(%error, "the audit file cannot be written; changes are refused until it can");
        }
        for entry in self.backlog.extract_if(.., |entry| entry.acknowledge.is_some()) {
            if let Some(acknowledge) = entry.acknowledge {
                let _ = acknowledge.send(Err(error.clone()));
            }
        }
    }

    fn end(&mut self) {
        let dropped = self.shared.unreported.load(Ordering::Relaxed);
        if dropped > 0 && self.backlog.is_empty() {
            let mut fields = Vec::new();
            text(&mut fields, b",\"event\":\"", Event::AuditDropped.as_str());
            self.backlog.push(Entry {
                time: self.clock.now(),
                fields,
                left_out: 0,
                acknowledge: None,
            });
            self.flush();
        }
        let _ = self.file.sync();
    }
}

impl Drop for Writer {
    /// Also when the thread panics: nobody may wait for a writer that is gone.
    fn drop(&mut self) {
        self.shared.queue.close();
        let mut rest = std::mem::take(&mut self.backlog);
        self.shared
            .dropped
            .fetch_add(rest.len() as u64, Ordering::Relaxed);
        rest.clear();
        self.shared.queue.take(&mut rest, None);
        self.shared
            .dropped
            .fetch_add(rest.len() as u64, Ordering::Relaxed);
    }
}

fn summary(now: Timestamp, kind: Kind, left_out: u64) -> Entry {
    let mut fields = Vec::new();
    text(&mut fields, b",\"event\":\"", Event::AuditSampled.as_str());
    text(&mut fields, b",\"decision\":\"", kind.outcome.as_str());
    text(&mut fields, b",\"reason\":\"", kind.event.as_str());
    text(&mut fields, b",\"client\":\"", &kind.from.to_string());
    Entry {
        time: now,
        fields,
        left_out,
        acknowledge: None,
    }
}
