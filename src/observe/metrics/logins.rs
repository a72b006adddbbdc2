//! How often people tried to log in.

use std::sync::atomic::{AtomicU64, Ordering};

/// With what somebody tried to log in: the label `factor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factor {
    /// A name and a password.
    Password,
    /// A set-up or recovery link.
    Link,
    /// A code of an authenticator app, or what was typed for one.
    Totp,
    /// A backup code that was right.
    BackupCode,
    /// A choice in a trusted network, without a password.
    Network,
    /// A passkey, alone or after the password.
    Passkey,
}

/// How that ended: the label `outcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginOutcome {
    /// Logged in.
    Success,
    /// Wrong.
    Failure,
    /// Not tried: banned, too fast, or no room.
    Throttled,
}

impl Factor {
    const ALL: [Factor; 6] = [
        Factor::Password,
        Factor::Link,
        Factor::Totp,
        Factor::BackupCode,
        Factor::Network,
        Factor::Passkey,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Factor::Password => "password",
            Factor::Link => "link",
            Factor::Totp => "totp",
            Factor::BackupCode => "backup-code",
            Factor::Network => "network",
            Factor::Passkey => "passkey",
        }
    }
}

impl LoginOutcome {
    const ALL: [LoginOutcome; 3] = [
        LoginOutcome::Success,
        LoginOutcome::Failure,
        LoginOutcome::Throttled,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            LoginOutcome::Success => "success",
            LoginOutcome::Failure => "failure",
            LoginOutcome::Throttled => "throttled",
        }
    }
}

/// Labels and values of one series.
pub(super) type Series = ([(&'static str, &'static str); 2], u64);

/// Counted for the process: people are few.
#[derive(Debug, Default)]
pub(super) struct Logins([[AtomicU64; LoginOutcome::ALL.len()]; Factor::ALL.len()]);

impl Logins {
    pub(super) fn count(&self, factor: Factor, outcome: LoginOutcome) {
        self.0[factor as usize][outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn series(&self) -> Vec<Series> {
        let pairs = Factor::ALL
            .into_iter()
            .flat_map(|factor| LoginOutcome::ALL.map(|outcome| (factor, outcome)));
        pairs
            .map(|(factor, outcome)| {
                let count = self.0[factor as usize][outcome as usize].load(Ordering::Relaxed);
                (
                    [("factor", factor.as_str()), ("outcome", outcome.as_str())],
                    count,
                )
            })
            .collect()
    }
}
