//! One-time links: the first owner's, and those of people who are locked out.

use serde::{Deserialize, Serialize};

use super::hex16;
use crate::time::Timestamp;

/// Stored under `link/owner` or `link/user/<name>`: at most one of each, the newest. Never holds the
/// code in the link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkRecord {
    /// Whom it lets back in; none: whoever opens it becomes the owner.
    #[serde(default)]
    pub user: Option<String>,
    /// Whether it stands for the second factor too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all_factors: bool,
    /// Look-up value: SHA-256 of the code, 256 bits of chance; first 16 bytes.
    #[serde(with = "hex16")]
    pub lookup: [u8; 16],
    /// When it was made.
    pub created: Timestamp,
    /// When it stops working.
    pub expires: Timestamp,
}
