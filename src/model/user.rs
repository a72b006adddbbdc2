//! A person or a machine with a name.

use serde::{Deserialize, Serialize};

use super::Role;
use crate::time::Timestamp;

/// Stored under `user/<name>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRecord {
    /// The account name: unique, case-folded, what backends see as `Remote-User`.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// Free groups, sorted, without duplicates.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The name for people (`Remote-Name`); empty when not given.
    #[serde(default)]
    pub display_name: String,
    /// `Remote-Email`; empty when not given.
    #[serde(default)]
    pub email: String,
    /// An Argon2id PHC string; none: no password login.
    #[serde(default)]
    pub password: Option<String>,
    /// A disabled user's credentials are all refused.
    #[serde(default)]
    pub disabled: bool,
    /// When the record was made.
    pub created: Timestamp,
}
