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
    /// How they like our pages.
    #[serde(default, skip_serializing_if = "Preferences::are_usual")]
    pub preferences: Preferences,
    /// When the record was made.
    pub created: Timestamp,
}

/// How somebody likes our pages; no backend learns of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Preferences {
    /// A language's code; empty: what the browser asks for.
    pub language: String,
    /// Light or dark.
    pub theme: Theme,
}

impl Preferences {
    /// Whether nothing was chosen.
    fn are_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// Light or dark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Theme {
    /// As the device has it.
    #[default]
    System,
    /// Always light.
    Light,
    /// Always dark.
    Dark,
}

impl Theme {
    /// The word in forms and templates.
    pub const fn as_str(self) -> &'static str {
        match self {
            Theme::System => "system",
            Theme::Light => "light",
            Theme::Dark => "dark",
        }
    }
}
