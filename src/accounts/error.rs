//! Why a change of accounts did not happen, for the operator who asked for it.

use std::fmt;

use crate::crypto::password_hash::{HashError, MAX_PASSWORD};
use crate::crypto::password_pool::QueueFull;
use crate::store::StoreError;

/// A change that was refused or failed. After an error nothing has changed, but for
/// [`AccountsError::Store`], after which the store says what is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountsError {
    /// There is no such thing.
    NotFound {
        /// `user`, `group` or `token`.
        kind: &'static str,
        /// As it was asked for.
        name: String,
    },
    /// The name is taken.
    Exists {
        /// `user`, `group` or `token`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A value that cannot be.
    Invalid {
        /// Which value: `user name`, `scope` ...
        what: &'static str,
        /// What is wrong with it and what to write instead.
        why: String,
    },
    /// A rule forbids it, whoever asks.
    Forbidden {
        /// The rule, and the way out.
        why: String,
    },
    /// The new password has too few characters.
    PasswordTooShort {
        /// How many it needs.
        min: usize,
    },
    /// Too many passwords wait to be hashed; nothing is wrong with this one.
    QueueFull,
    /// Somebody else changed the record meanwhile; ask again.
    Conflict,
    /// A record is not what we wrote.
    Corrupt {
        /// Its key.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// The store failed.
    Store(StoreError),
    /// The password could not be hashed.
    Hash(HashError),
}

impl AccountsError {
    /// The exit code that sysexits has for it.
    pub fn exit_code(&self) -> u8 {
        match self {
            AccountsError::NotFound { .. } => 66,
            AccountsError::Exists { .. }
            | AccountsError::Invalid { .. }
            | AccountsError::PasswordTooShort { .. }
            | AccountsError::Corrupt { .. } => 65,
            AccountsError::Forbidden { .. } => 77,
            AccountsError::QueueFull | AccountsError::Conflict => 69,
            AccountsError::Store(StoreError::Damaged(_)) => 65,
            AccountsError::Store(StoreError::TooNew { .. }) => 78,
            AccountsError::Store(StoreError::Locked(_) | StoreError::Conflict { .. }) => 69,
            AccountsError::Store(StoreError::Unavailable(_)) => 74,
            AccountsError::Hash(HashError::TooLong) => 65,
            AccountsError::Hash(HashError::Cost(_)) => 78,
            AccountsError::Hash(HashError::Unreadable(_)) => 65,
            AccountsError::Hash(HashError::Unavailable(_) | HashError::NoRoom) => 70,
        }
    }

    pub(super) fn invalid(what: &'static str, why: impl Into<String>) -> Self {
        AccountsError::Invalid {
            what,
            why: why.into(),
        }
    }

    pub(super) fn forbidden(why: impl Into<String>) -> Self {
        AccountsError::Forbidden { why: why.into() }
    }

    pub(super) fn no_user(name: &str) -> Self {
        AccountsError::NotFound {
            kind: "user",
            name: name.to_owned(),
        }
    }
}

impl fmt::Display for AccountsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AccountsError::NotFound { kind, name } => write!(f, "there is no {kind} {name:?}"),
            AccountsError::Exists { kind, name } => {
                write!(
                    f,
                    "there is a {kind} {name:?} already; choose another name or remove it first"
                )
            }
            AccountsError::Invalid { what, why } => write!(f, "the {what} cannot be used: {why}"),
            AccountsError::Forbidden { why } => f.write_str(why),
            AccountsError::PasswordTooShort { min } => write!(
                f,
                "the password is too short; write at least {min} characters, at most {MAX_PASSWORD} bytes"
            ),
            AccountsError::QueueFull => QueueFull.fmt(f),
            AccountsError::Conflict => {
                write!(
                    f,
                    "somebody else changed the same record at the same time; try again"
                )
            }
            AccountsError::Corrupt { key, why } => {
                write!(
                    f,
                    "the record {key} is damaged: {why}; restore a backup of the store"
                )
            }
            AccountsError::Store(error) => error.fmt(f),
            AccountsError::Hash(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AccountsError {}

impl From<StoreError> for AccountsError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict { .. } => AccountsError::Conflict,
            other => AccountsError::Store(other),
        }
    }
}

impl From<QueueFull> for AccountsError {
    fn from(_: QueueFull) -> Self {
        AccountsError::QueueFull
    }
}

impl From<HashError> for AccountsError {
    fn from(error: HashError) -> Self {
        AccountsError::Hash(error)
    }
}
