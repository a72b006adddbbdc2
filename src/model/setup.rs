//! That an instance has been set up.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Stored under `setup/done`, in the commit that adds the first user, and never removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupRecord {
    /// The first user.
    pub owner: String,
    /// When.
    pub when: Timestamp,
}
