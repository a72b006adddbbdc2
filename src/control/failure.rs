//! Why a command did not succeed: a message for whoever typed it, and a code for scripts.

use std::fmt;

use crate::accounts::AccountsError;

/// Exit codes, after BSD `sysexits.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// 64: the command line is wrong.
    Usage,
    /// 65: what was given is wrong.
    Data,
    /// 66: no such file or object.
    Missing,
    /// 69: the address is in use, the store is locked, the server does not answer.
    Unavailable,
    /// 70: a mistake of ours.
    Internal,
    /// 73: a file cannot be created, or is there already.
    CannotCreate,
    /// 74: reading or writing failed.
    Io,
    /// 77: not allowed.
    Permission,
    /// 78: the configuration is wrong.
    Config,
}

impl Exit {
    /// All of them, in the order of their codes.
    pub const ALL: [Exit; 9] = [
        Exit::Usage,
        Exit::Data,
        Exit::Missing,
        Exit::Unavailable,
        Exit::Internal,
        Exit::CannotCreate,
        Exit::Io,
        Exit::Permission,
        Exit::Config,
    ];

    /// What the process exits with.
    pub const fn code(self) -> u8 {
        match self {
            Exit::Usage => 64,
            Exit::Data => 65,
            Exit::Missing => 66,
            Exit::Unavailable => 69,
            Exit::Internal => 70,
            Exit::CannotCreate => 73,
            Exit::Io => 74,
            Exit::Permission => 77,
            Exit::Config => 78,
        }
    }

    /// The exit with that code; a code that we do not know came from a broken server: 70.
    pub fn from_code(code: u8) -> Self {
        Self::ALL
            .into_iter()
            .find(|exit| exit.code() == code)
            .unwrap_or(Exit::Internal)
    }
}

/// Why a command did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the process exits with.
    pub exit: Exit,
    /// For whoever typed the command: what is wrong and what to do; never holds a secret.
    pub message: String,
}

impl Failure {
    /// A failure with its message.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }

    /// 64.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// 65.
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(Exit::Data, message)
    }

    /// 66.
    pub fn missing(message: impl Into<String>) -> Self {
        Self::new(Exit::Missing, message)
    }

    /// 69.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Exit::Unavailable, message)
    }

    /// 74, 66 or 77, by what the operating system said about `what`.
    pub fn io(what: impl fmt::Display, error: &std::io::Error) -> Self {
        let exit = match error.kind() {
            std::io::ErrorKind::NotFound => Exit::Missing,
            std::io::ErrorKind::PermissionDenied => Exit::Permission,
            std::io::ErrorKind::AlreadyExists => Exit::CannotCreate,
            _ => Exit::Io,
        };
        Self::new(exit, format!("{what}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<AccountsError> for Failure {
    fn from(error: AccountsError) -> Self {
        Self::new(Exit::from_code(error.exit_code()), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // "Exit codes are sysexits: 0 ok, 64 usage, 65 bad input data, 66 no such file or object,
    // 69 unavailable (address in use, store locked), 70 internal, 73 cannot create, 74 I/O,
    // 77 no permission, 78 configuration."
    #[test]
    fn exit_codes_are_sysexits() {
        let codes: Vec<u8> = Exit::ALL.iter().map(|exit| exit.code()).collect();
        assert_eq!(codes, [64, 65, 66, 69, 70, 73, 74, 77, 78]);
        for exit in Exit::ALL {
            assert_eq!(Exit::from_code(exit.code()), exit);
        }
        assert_eq!(Exit::from_code(0), Exit::Internal);
    }
}
