//! API tokens: what is kept of them never gives one back.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{hex16, hex32};
use crate::time::Timestamp;

/// Stored under `token/<user>/<name>`, and under `token/<user>/<name>/<id>` while a rotated
/// one still overlaps. Never holds the token itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Public id, `[a-z0-9]{12}`: what logs, audit and `token revoke` name.
    pub id: String,
    /// `[A-Za-z0-9]{1,64}`, unique per user.
    pub name: String,
    /// The user whose rights it has, now and not when it was made.
    pub user: String,
    /// Keyed look-up value: HMAC-SHA-256 of the whole token, first 16 bytes.
    #[serde(with = "hex16")]
    pub lookup: [u8; 16],
    /// Random, per token.
    #[serde(with = "hex16")]
    pub salt: [u8; 16],
    /// HMAC-SHA-256 of salt and whole token.
    #[serde(with = "hex32")]
    pub verifier: [u8; 32],
    /// The pair of keys that `lookup` and `verifier` were made with.
    #[serde(default = "first_keys")]
    pub keys: u32,
    /// Space-separated roles and scope names; empty: all the user's rights.
    #[serde(default)]
    pub scope: String,
    /// Where it may be used from; empty: anywhere.
    #[serde(default)]
    pub networks: Vec<IpNet>,
    /// When it was made.
    pub created: Timestamp,
    /// When it stops working; none: never, which had to be said.
    #[serde(default)]
    pub expires: Option<Timestamp>,
    /// The grant whose access token it is, by its public id; none: a token that somebody made and looks after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
}

/// Stored under `revoked/<lookup hex>` for a year, so that a phone with an old token is told
/// from an attacker and does not count as one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokedRecord {
    /// The id of the token that was.
    pub id: String,
    /// Its user.
    pub user: String,
    /// Its name.
    pub name: String,
    /// When it was revoked.
    pub revoked: Timestamp,
    /// The pair of keys that its look-up value was made with.
    #[serde(default = "first_keys")]
    pub keys: u32,
}

/// Stored under `used/<token id>`; coarse (once an hour) and asynchronous.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedRecord {
    /// When the token was last seen.
    pub last: Timestamp,
    /// From where, if the client has an address.
    #[serde(default)]
    pub address: Option<std::net::IpAddr>,
}

/// Of records from before there could be several pairs.
const fn first_keys() -> u32 {
    1
}
