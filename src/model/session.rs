//! Logins: what is kept of one never gives its cookie back.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::hex16;
use crate::time::Timestamp;

/// Stored under `session/<lookup hex>`. Never holds what is in the cookie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// Public id, `[a-z0-9]{12}`: what logs, audit and `session revoke` name.
    pub id: String,
    /// Look-up value: SHA-256 of what is in the cookie, 256 bits of chance; first 16 bytes.
    #[serde(with = "hex16")]
    pub lookup: [u8; 16],
    /// The user whose rights it has, now and not when it began.
    pub user: String,
    /// When the user showed a password or a one-time link.
    pub began: Timestamp,
    /// How many factors the user showed.
    #[serde(default = "one")]
    pub factors: u8,
    /// When it ends at the latest.
    pub expires: Timestamp,
    /// Unused for so many milliseconds it ends; none: it may lie still.
    #[serde(default)]
    pub idle_millis: Option<u64>,
    /// From where the login came, if the client had an address.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// What the browser called itself; printable, and cut.
    #[serde(default)]
    pub agent: String,
    /// Whether its user was chosen in a trusted network, and showed no password: it works there only.
    #[serde(default)]
    pub chosen: bool,
    /// The login that this one is part of, by its public id: a browser has one more for each domain, and
    /// they end together.
    #[serde(default)]
    pub part_of: Option<String>,
    /// The domain that it is for, where it is part of another.
    #[serde(default)]
    pub domain: String,
}

fn one() -> u8 {
    1
}
