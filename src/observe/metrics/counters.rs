//! What one worker counts.

use std::sync::atomic::{AtomicU64, Ordering};

use super::histogram::{Histogram, Took};
use crate::authn::Method;
use crate::observe::Outcome;

/// The counters of one worker. Only their worker writes them, so no two cores ever fight for a
/// cache line; the alignment keeps neighbours (and the prefetcher, which loads pairs) apart.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct WorkerCounters {
    pub(super) requests: [[AtomicU64; CREDENTIALS.len()]; Outcome::ALL.len()],
    pub(super) request_seconds: Histogram,
    pub(super) decision_seconds: Histogram,
    pub(super) cache_hits: AtomicU64,
    pub(super) cache_misses: AtomicU64,
    pub(super) upstream_failures: [AtomicU64; UpstreamFailure::ALL.len()],
}

/// Values of the label `credential`, by [`credential_index`].
pub(super) const CREDENTIALS: [&str; 5] = [
    "none",
    Method::ApiToken.as_str(),
    Method::Password.as_str(),
    Method::Network.as_str(),
    Method::Session.as_str(),
];

const fn credential_index(method: Option<Method>) -> usize {
    match method {
        None => 0,
        Some(Method::ApiToken) => 1,
        Some(Method::Password) => 2,
        Some(Method::Network) => 3,
        Some(Method::Session) => 4,
    }
}

impl WorkerCounters {
    /// A request was decided or refused, after so long; `method` is how its identity was shown.
    pub fn decided(&self, outcome: Outcome, method: Option<Method>, took: impl Into<Took>) {
        add(&self.requests[outcome.index()][credential_index(method)]);
        self.decision_seconds.observe(took.into());
    }

    /// A request was answered to its last byte, after so long.
    pub fn answered(&self, took: impl Into<Took>) {
        self.request_seconds.observe(took.into());
    }

    /// A credential was in the cache of verified ones.
    pub fn cache_hit(&self) {
        add(&self.cache_hits);
    }

    /// A credential had to be verified.
    pub fn cache_miss(&self) {
        add(&self.cache_misses);
    }

    /// An upstream did not answer properly.
    pub fn upstream_failed(&self, why: UpstreamFailure) {
        add(&self.upstream_failures[why as usize]);
    }
}

/// Only one thread writes, so no two additions can meet, and the lock of an atomic one is spared.
pub(super) fn add_to(counter: &AtomicU64, more: u64) {
    counter.store(
        counter.load(Ordering::Relaxed).wrapping_add(more),
        Ordering::Relaxed,
    );
}

fn add(counter: &AtomicU64) {
    add_to(counter, 1);
}

/// Why an upstream did not answer properly: the label `why`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamFailure {
    /// No name, no route, refused.
    Connect,
    /// TLS did not come about.
    Tls,
    /// It was silent for too long.
    Timeout,
    /// The connection ended in the middle.
    Closed,
    /// What it sent is not HTTP, or not what may be passed on.
    Protocol,
    /// All addresses of the route are down.
    Unhealthy,
}

impl UpstreamFailure {
    pub(super) const ALL: [UpstreamFailure; 6] = [
        UpstreamFailure::Connect,
        UpstreamFailure::Tls,
        UpstreamFailure::Timeout,
        UpstreamFailure::Closed,
        UpstreamFailure::Protocol,
        UpstreamFailure::Unhealthy,
    ];

    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            UpstreamFailure::Connect => "connect",
            UpstreamFailure::Tls => "tls",
            UpstreamFailure::Timeout => "timeout",
            UpstreamFailure::Closed => "closed",
            UpstreamFailure::Protocol => "protocol",
            UpstreamFailure::Unhealthy => "unhealthy",
        }
    }
}
