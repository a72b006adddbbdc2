//! Apps that act for a person: what is kept of a grant never gives one of its tokens back.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::hex16;
use crate::time::Timestamp;

/// Stored under `grant/<id>`, and for a year after its end, as far as its user has not many that ended since: an app that
/// does not know of it is no attacker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantRecord {
    /// Public id, `[a-z0-9]{12}`: what audit and `app revoke` name.
    pub id: String,
    /// The half that all refresh tokens of the grant have in common: SHA-256, first 16 bytes.
    #[serde(with = "hex16")]
    pub family: [u8; 16],
    /// The other half of the one in force, in the same way.
    #[serde(with = "hex16")]
    pub current: [u8; 16],
    /// That of the one before; of the first one, its own.
    #[serde(with = "hex16")]
    pub before: [u8; 16],
    /// The user whose rights it has, now and not when it was made.
    pub user: String,
    /// The app, by its address (`client_id`).
    pub client: String,
    /// Space-separated roles and scope names; empty: all the user's rights.
    #[serde(default)]
    pub scope: String,
    /// When the person let the app in.
    pub created: Timestamp,
    /// When it was given its newest tokens.
    pub refreshed: Timestamp,
    /// From where it asked for them, if it has an address.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// Nothing of it works any more.
    #[serde(default)]
    pub ended: bool,
}
