//! Passwords: which may be set, and whether one is right.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::record::Edit;
use super::{Account, Accounts, AccountsError, names};
use crate::crypto::Secret;
use crate::crypto::mac::Digest;
use crate::crypto::password_hash::{self, HashError, MAX_PASSWORD};
use crate::crypto::password_pool::{Lane, QueueFull};

/// What a password was. All but [`PasswordOutcome::Right`] look the same from outside and cost the
/// same.
#[derive(Clone, Debug)]
pub enum PasswordOutcome {
    /// It is this user's.
    Right(Arc<Account>),
    /// It is not, or the user has none.
    Wrong,
    /// It is right, and the user is disabled.
    Disabled,
    /// There is no such user.
    UnknownUser,
}

/// Why a password could not be judged. Never counts against who sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordFault {
    /// Too many are waiting.
    QueueFull {
        /// When to try again.
        retry_after: Duration,
    },
    /// Our own fault: a damaged record, no memory, the end of the program.
    Fault(String),
}

impl fmt::Display for PasswordFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PasswordFault::QueueFull { .. } => QueueFull.fmt(f),
            PasswordFault::Fault(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for PasswordFault {}

impl From<HashError> for PasswordFault {
    fn from(error: HashError) -> Self {
        match error {
            HashError::NoRoom => QueueFull.into(),
            error => PasswordFault::Fault(error.to_string()),
        }
    }
}

impl From<QueueFull> for PasswordFault {
    fn from(_: QueueFull) -> Self {
        // A full queue is worked off in about this time.
        PasswordFault::QueueFull {
            retry_after: Duration::from_secs(2),
        }
    }
}

impl Accounts {
    /// Whether the password is the user's. One hash, whether or not there is such a user; equal
    /// questions at the same time share it. `credential` is a keyed digest of what the client sent,
    /// name and password.
    ///
    /// A hash of another cost than the settings ask for is replaced when the password is right.
    ///
    /// # Errors
    /// [`PasswordFault`]: there is no answer, and nobody may be let in or blamed.
    pub async fn verify_password(
        &self,
        name: &str,
        secret: &Secret,
        credential: Digest,
        lane: Lane,
    ) -> Result<PasswordOutcome, PasswordFault> {
        // The length tells nothing about the user.
        if secret.expose().len() > MAX_PASSWORD {
            return Ok(PasswordOutcome::Wrong);
        }
        // A password that changes while its hash runs is judged again; more than twice is no accident.
        for _ in 0..3 {
            let before = self.user(name);
            let stored = before
                .as_ref()
                .and_then(|account| account.user.password.as_deref());
            let phc = match stored {
                Some(phc) => Arc::from(phc),
                None => Arc::clone(&self.in_force.load().decoy),
            };
            let right = self
                .passwords
                .verify(secret.clone(), phc, credential, lane)?
                .get()
                .await?;
            // As of now: the user may have been disabled, or given a group, meanwhile.
            let after = self.user(name);
            let unchanged = after
                .as_ref()
                .and_then(|account| account.user.password.as_deref())
                == stored;
            if !unchanged {
                continue;
            }
            return Ok(match after {
                None => PasswordOutcome::UnknownUser,
                Some(account) => match right && stored.is_some() {
                    false => PasswordOutcome::Wrong,
                    true if account.user.disabled => PasswordOutcome::Disabled,
                    true => PasswordOutcome::Right(self.renew_hash(account, secret).await),
                },
            });
        }
        Err(PasswordFault::Fault(
            "the password is being changed over and over".into(),
        ))
    }

    /// A PHC string of a password that a user may have.
    pub(super) async fn hash_new_password(
        &self,
        user: &str,
        secret: Secret,
    ) -> Result<String, AccountsError> {
        let (cost, minimum) = {
            let in_force = self.in_force.load();
            (in_force.settings.password_cost, in_force.settings.minimum_length)
        };
        check_new(user, &secret, minimum)?;
        Ok(self.passwords.hash(secret, cost)?.get().await?)
    }

    /// Best effort: whoever is right gets in, with the old hash too.
    async fn renew_hash(&self, account: Arc<Account>, secret: &Secret) -> Arc<Account> {
        let cost = self.in_force.load().settings.password_cost;
        let Some(stored) = account.user.password.as_deref() else {
            return account;
        };
        if !password_hash::needs_rehash(stored, cost) {
            return account;
        }
        // One at a time is enough, and nobody waits for it: the next login tries again. Not the lock of
        // changes, because a revocation must not wait for a hash.
        let Ok(_renewing) = self.renewing.try_lock() else {
            return account;
        };
        let Ok(answer) = self.passwords.hash(secret.clone(), cost) else {
            return account;
        };
        let Ok(phc) = answer.get().await else {
            return account;
        };
        let renewed = self.change_user_by(&account.user.name, Edit::renew, |user| {
            // Disabled, or given another password, while the hash ran: the judgement was of someone else.
            if *user != account.user {
                return Err(AccountsError::Conflict);
            }
            user.password = Some(phc);
            Ok(vec![])
        });
        match renewed.await {
            Ok(renewed) => renewed,
            // Its flag tells whether it still holds.
            Err(_) => account,
        }
    }
}

/// NIST SP 800-63B §3.1.1.2: a least length, a list of common ones, and no rules of composition.
fn check_new(user: &str, secret: &Secret, minimum: usize) -> Result<(), AccountsError> {
    let invalid = |why: &str| Err(AccountsError::invalid("password", why));
    if secret.expose().len() > MAX_PASSWORD {
        return Err(AccountsError::Hash(HashError::TooLong));
    }
    let Some(text) = secret.expose_str() else {
        return invalid("it is not UTF-8");
    };
    if text.chars().any(char::is_control) {
        return invalid("it contains a control character, which no login form can send");
    }
    if text.chars().count() < minimum.max(1) {
        return Err(AccountsError::PasswordTooShort { min: minimum.max(1) });
    }
    // A copy of a password should be erased as well.
    let folded = Secret::new(text.to_lowercase());
    let folded = folded.expose_str().unwrap_or_default();
    if folded == names::fold(user) {
        return invalid("it is the user name");
    }
    let mut characters = folded.chars();
    let first = characters.next();
    if characters.all(|character| Some(character) == first) || COMMON.lines().any(|common| common == folded) {
        return invalid("it is one of the passwords that everybody tries first");
    }
    Ok(())
}

/// The most common passwords of published leaks, and the names of what this program stands in
/// front of; lower case, one a line.
const COMMON: &str = include_str!("common_passwords.txt");

#[cfg(test)]
mod tests {
    use super::*;

    fn check(password: impl Into<Vec<u8>>) -> Result<(), AccountsError> {
        check_new("anna.schmidt", &Secret::new(password), 8)
    }

    #[test]
    fn a_password_needs_length_and_nothing_else() {
        assert_eq!(check("plain words here"), Ok(()));
        assert_eq!(check("\u{fc}\u{fc}\u{e4}\u{f6}\u{fc}\u{fc}\u{e4}\u{f6}"), Ok(()));
        assert_eq!(check("1234567"), Err(AccountsError::PasswordTooShort { min: 8 }));
        assert_eq!(
            check("\u{fc}\u{e4}\u{f6}\u{df}"),
            Err(AccountsError::PasswordTooShort { min: 8 })
        );
        assert_eq!(
            check(vec![b'a'; 1025]),
            Err(AccountsError::Hash(HashError::TooLong))
        );
    }

    #[test]
    fn common_passwords_and_the_user_name_are_refused() {
        for refused in [
            "password",
            "PassWord1",
            "12345678",
            "zzzzzzzzzz",
            "Anna.Schmidt",
            "a\0bcdefghij",
            "abcdefgh\n",
        ] {
            assert!(
                matches!(check(refused), Err(AccountsError::Invalid { .. })),
                "{refused:?}"
            );
        }
        assert!(matches!(check([0xff; 12]), Err(AccountsError::Invalid { .. })));
        let common: Vec<&str> = COMMON.lines().collect();
        assert!(common.len() > 100);
        for word in &common {
            assert_eq!(*word, word.to_lowercase().trim(), "it would never be found");
        }
        assert!(
            common.is_sorted_by(|left, right| left < right),
            "sorted, none twice"
        );
    }

    #[test]
    fn an_empty_password_is_refused_whatever_the_settings_say() {
        let refused = check_new("anna", &Secret::new(""), 0);
        assert_eq!(refused, Err(AccountsError::PasswordTooShort { min: 1 }));
    }
}
