//! What bodies say.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::control::protocol::SecretField;
use crate::model::Role;

/// A new account.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUser {
    /// 1 to 64 small letters, digits and `. _ @ + -`.
    pub(super) name: String,
    /// `user` unless it is given.
    #[serde(default)]
    pub(super) role: Option<Role>,
    /// Those that do not exist yet are made.
    #[serde(default)]
    pub(super) groups: Vec<String>,
    /// The name for people.
    #[serde(default)]
    pub(super) display_name: String,
    #[serde(default)]
    pub(super) email: String,
    /// Without one there is no login by password; a link of `/users/{name}/recovery` lets the person set one.
    #[serde(default)]
    pub(super) password: Option<SecretField>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRole {
    pub(super) role: Role,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewGroups {
    /// All of the user's groups from now on; those that do not exist yet are made.
    pub(super) groups: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Enabled {
    /// Whether the user's credentials work.
    pub(super) enabled: bool,
}

/// What is not given stays as it is.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Names {
    /// The name for people; empty: none.
    #[serde(default)]
    pub(super) display_name: Option<String>,
    /// Empty: none.
    #[serde(default)]
    pub(super) email: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPassword {
    pub(super) password: SecretField,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewGroup {
    /// 1 to 64 letters, digits and `. _ -`.
    pub(super) name: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    /// 1 to 64 letters and digits, unique per user.
    pub(super) name: String,
    /// Whose rights it has; yours unless it is given.
    #[serde(default)]
    pub(super) user: Option<String>,
    /// Such as `90d`, or `never`; 365 days unless it is given.
    #[serde(default)]
    pub(super) expires: Option<String>,
    /// Roles and scope names with spaces in between; empty: all the user's rights.
    #[serde(default)]
    pub(super) scope: String,
    /// Addresses and networks where it may be used from; empty: anywhere.
    #[serde(default)]
    pub(super) networks: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    pub(super) user: String,
    /// The token's name.
    pub(super) name: String,
    /// How long the old one goes on working, such as `1h`, which it is unless it is given.
    #[serde(default)]
    pub(super) overlap: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewBan {
    /// An address or a network.
    pub(super) network: String,
    /// Such as `12h`; until it is removed unless it is given.
    #[serde(default, rename = "for")]
    pub(super) length: Option<String>,
}
