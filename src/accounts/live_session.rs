//! A login as memory keeps it, with the moment of its last use.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Flag;
use super::live::TokenId;
use crate::model::{SessionRecord, UsedRecord};
use crate::time::Timestamp;

/// Uses closer together than this are one; a shorter idle time has a tenth of it.
const NOTED_EVERY: Duration = Duration::from_secs(60);
/// How often the last use is written down; a shorter idle time has a tenth of it.
const SAVED_EVERY: Duration = Duration::from_secs(3600);

/// What came of a use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noted {
    /// It was used a moment ago.
    Nothing,
    /// Memory knows it.
    Seen,
    /// The same, for one caller once in a while: it should be written down.
    ToSave,
}

/// A login that can be found.
pub struct LiveSession {
    pub(super) record: SessionRecord,
    pub(super) id: TokenId,
    pub(super) user: Arc<str>,
    flag: Flag,
    /// Milliseconds since the epoch; written by whoever notes a use, read on every request.
    seen: AtomicI64,
    /// The `seen` that was put down for saving last.
    saved: AtomicI64,
    seen_from: Mutex<Option<IpAddr>>,
}

impl LiveSession {
    /// From its record, whose id the caller vouches for.
    pub(super) fn new(record: SessionRecord, id: TokenId) -> Self {
        let began = record.began.as_millis();
        Self {
            id,
            user: record.user.as_str().into(),
            flag: Flag::up_until(Some(record.expires)),
            seen: AtomicI64::new(began),
            saved: AtomicI64::new(began),
            seen_from: Mutex::new(record.address),
            record,
        }
    }

    /// Public id: what logs, audit and `session revoke` name.
    pub fn id(&self) -> &str {
        self.id.as_str()
    }

    /// The user whose rights it has.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// What the browser called itself.
    pub fn agent(&self) -> &str {
        &self.record.agent
    }

    /// When the user showed a password or a one-time link.
    pub fn began(&self) -> Timestamp {
        self.record.began
    }

    /// How many factors the user showed.
    pub fn factors(&self) -> u8 {
        self.record.factors
    }

    /// Whether the browser was told to keep it.
    pub fn is_remembered(&self) -> bool {
        self.record.idle_millis.is_none()
    }

    /// When it ends at the latest.
    pub fn expires(&self) -> Timestamp {
        self.record.expires
    }

    /// Down when it was ended, or is too old.
    pub fn flag(&self) -> &Flag {
        &self.flag
    }

    /// Whether it was neither ended, nor is it too old, nor lay it still for too long.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.flag.holds(now) && self.is_in_use(now)
    }

    /// Whether it did not lie still for too long.
    pub fn is_in_use(&self, now: Timestamp) -> bool {
        self.idle().is_none_or(|idle| self.rested(now) < idle)
    }

    /// When and from where it was last seen, to the minute.
    pub fn used(&self) -> UsedRecord {
        UsedRecord {
            last: Timestamp::from_millis(self.seen.load(Ordering::Acquire)),
            address: *self.seen_from.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    pub(super) fn set_used(&self, used: &UsedRecord) {
        *self.seen_from.lock().unwrap_or_else(PoisonError::into_inner) = used.address;
        self.seen.store(used.last.as_millis(), Ordering::Release);
        self.saved.store(used.last.as_millis(), Ordering::Release);
    }

    /// Whether its user was chosen in a trusted network, and showed no password.
    pub fn is_chosen(&self) -> bool {
        self.record.chosen
    }

    /// Whether it is part of no other.
    pub fn is_head(&self) -> bool {
        self.record.part_of.is_none()
    }

    /// The public id of the login that it is part of, or its own.
    pub fn head(&self) -> &str {
        self.record.part_of.as_deref().unwrap_or(self.id())
    }

    /// The domain that it is for, if it is part of another login.
    pub fn domain(&self) -> &str {
        &self.record.domain
    }

    /// How long it may lie still.
    pub fn idle_time(&self) -> Option<Duration> {
        self.idle()
    }

    /// Notes a use; usually one load.
    pub(super) fn note(&self, now: Timestamp, address: Option<IpAddr>) -> Noted {
        let seen = self.seen.load(Ordering::Relaxed);
        if !is_over(seen, now, self.often(NOTED_EVERY)) {
            return Noted::Nothing;
        }
        let claimed = self
            .seen
            .compare_exchange(seen, now.as_millis(), Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();
        if !claimed {
            return Noted::Nothing;
        }
        *self.seen_from.lock().unwrap_or_else(PoisonError::into_inner) = address;
        let saved = self.saved.load(Ordering::Relaxed);
        let to_save = is_over(saved, now, self.often(SAVED_EVERY))
            && self
                .saved
                .compare_exchange(saved, now.as_millis(), Ordering::AcqRel, Ordering::Relaxed)
                .is_ok();
        if to_save { Noted::ToSave } else { Noted::Seen }
    }

    /// How often a use has to be noted, that the login does not end by lying still; none: it may.
    pub fn noted_every(&self) -> Option<Duration> {
        self.idle().map(|_| self.often(NOTED_EVERY))
    }

    fn idle(&self) -> Option<Duration> {
        self.record.idle_millis.map(Duration::from_millis)
    }

    fn rested(&self, now: Timestamp) -> Duration {
        now.since(Timestamp::from_millis(self.seen.load(Ordering::Acquire)))
    }

    fn often(&self, usual: Duration) -> Duration {
        self.idle().map_or(usual, |idle| usual.min(idle / 10))
    }
}

/// A clock that was set back makes the moment wrong, and it is corrected at once.
fn is_over(millis: i64, now: Timestamp, span: Duration) -> bool {
    let moment = Timestamp::from_millis(millis);
    now < moment || now.since(moment) >= span
}

impl fmt::Debug for LiveSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LiveSession({} {})", self.user, self.id)
    }
}
