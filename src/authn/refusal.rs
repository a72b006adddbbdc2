//! Why a presented credential was not accepted, by whose fault.

use std::time::Duration;

/// Why a presented credential was not accepted. The words are for log and audit; the client
/// learns none of them (product contract, section 6: one body for all causes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not even well-formed. Counts against the client.
    Malformed(&'static str),
    /// Well-formed, and never existed or wrong. Counts against the client.
    Invalid(&'static str),
    /// Was right once: expired, revoked, of a disabled user, or used from elsewhere. Does not
    /// count: a phone with an old token is not an attacker.
    Dead(&'static str),
    /// Counts as if it had not been presented: a session cookie that is unknown or over. Whoever sends
    /// it cannot help it.
    Absent(&'static str),
    /// No room to verify it now. Does not count.
    Busy(Duration),
    /// We could not tell. Never lets anyone in, never counts against anyone.
    Unavailable(String),
}

impl Refusal {
    /// Whether it counts against the client.
    pub const fn counts(&self) -> bool {
        matches!(self, Refusal::Malformed(_) | Refusal::Invalid(_))
    }

    /// The word for log, audit and metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Refusal::Malformed(word)
            | Refusal::Invalid(word)
            | Refusal::Dead(word)
            | Refusal::Absent(word) => word,
            Refusal::Busy(_) => "password-queue",
            Refusal::Unavailable(_) => "unavailable",
        }
    }
}
