//! The four roles, from the most to the least powerful.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a user may do, before groups and rules look closer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// GET, HEAD and OPTIONS on routes for any user.
    ReadOnly,
    /// Every method on routes for any user.
    User,
    /// Also routes for administrators, and the administration itself.
    Admin,
    /// The first user. Cannot be disabled or removed.
    Owner,
}

impl Role {
    /// All of them, the most powerful first.
    pub const ALL: [Role; 4] = [Role::Owner, Role::Admin, Role::User, Role::ReadOnly];

    /// The word in the command line, in headers and in scopes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Owner => "owner",
            Role::Admin => "admin",
            Role::User => "user",
            Role::ReadOnly => "read-only",
        }
    }

    /// Owner and admin.
    pub const fn administers(self) -> bool {
        matches!(self, Role::Owner | Role::Admin)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "owner" => Ok(Role::Owner),
            "admin" => Ok(Role::Admin),
            "user" => Ok(Role::User),
            "read-only" => Ok(Role::ReadOnly),
            _ => Err(format!(
                "{text:?} is not a role; write owner, admin, user or read-only"
            )),
        }
    }
}
