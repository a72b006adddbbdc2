//! Second factors, and devices that are not asked for one.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{hex_bytes, hex16};
use crate::time::Timestamp;

/// Stored under `factors/<user>` while the user has a second factor. Worth nothing without the keys
/// of the instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactorsRecord {
    /// Whose.
    pub user: String,
    /// The pair of keys that it is sealed under.
    pub keys: u32,
    /// Secrets, backup codes and what was used of them.
    #[serde(with = "hex_bytes")]
    pub sealed: Vec<u8>,
    /// By which the passkeys inside are found, when one is shown without a name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passkeys: Vec<PasskeyLookup>,
}

/// SHA-256 of what an authenticator calls a passkey; first 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasskeyLookup(#[serde(with = "hex16")] pub [u8; 16]);

/// Stored under `device/<lookup hex>`: a browser that is not asked for a second factor. Never holds
/// what is in the cookie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRecord {
    /// Public id, `[a-z0-9]{12}`.
    pub id: String,
    /// Look-up value: SHA-256 of what is in the cookie, 256 bits of chance; first 16 bytes.
    #[serde(with = "hex16")]
    pub lookup: [u8; 16],
    /// For which account.
    pub user: String,
    /// When the second factor was shown.
    pub created: Timestamp,
    /// When it is asked for again.
    pub expires: Timestamp,
    /// From where it was shown.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// What the browser called itself; printable, and cut.
    #[serde(default)]
    pub agent: String,
}
