//! A free group: a word that routes and backends can ask for.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Stored under `group/<name>`. Membership stands in the user's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRecord {
    /// `[A-Za-z0-9._-]{1,64}`; never a comma, which joins groups in headers.
    pub name: String,
    /// When the record was made.
    pub created: Timestamp,
}
