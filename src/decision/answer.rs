//! The answer to one request.

use std::time::Duration;

use super::Permit;

/// The answer. Closed, without a default: a new variant makes every reader decide.
#[must_use]
#[derive(Debug)]
pub enum Decision {
    /// Go on. The permit is the only way to a backend.
    Allow(Permit),
    /// Say who you are.
    Challenge(Challenge),
    /// We know enough, and the answer is no.
    Deny(Denial),
    /// Not now: banned, too fast, or no room to verify.
    Throttle {
        /// When to come back.
        retry_after: Duration,
        /// For the log: `banned`, `rate`, `password-queue`.
        why: &'static str,
    },
    /// Our fault. Never allows, never counts.
    Fail(Fault),
}

/// Say who you are.
#[derive(Debug, PartialEq, Eq)]
pub struct Challenge {
    /// For the log; the client learns nothing of it. `none` when nothing was presented; `factors` and
    /// `max-age` send a browser to show more.
    pub why: &'static str,
    /// Whether a credential of ours was presented: then a browser gets no redirect.
    pub presented: bool,
}

/// Known, and not allowed.
#[derive(Debug, PartialEq, Eq)]
pub struct Denial {
    /// For the log: which condition failed.
    pub why: &'static str,
    /// Who it was, for the page that says so.
    pub user: Option<String>,
}

/// What of ours is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// For the log.
    pub why: String,
}
