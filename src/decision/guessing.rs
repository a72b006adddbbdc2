//! Passwords and codes that somebody typed, and passkeys: counted per account before they are judged, wherever they
//! came in.

use std::sync::Arc;

use super::Authority;
use super::guard::{Guess, Guessed, Standing, Throttled};
use crate::accounts::{PasswordFault, PasswordOutcome, fold_name};
use crate::crypto::mac::{self, Digest};
use crate::crypto::password_pool::Lane;
use crate::crypto::{Secret, random};
use crate::model::BanRecord;
use crate::request::{Facts, Scheme};
use crate::wire::cookie::{Cookie, Found};

/// Letters and digits that name a browser.
const NONCE: usize = 22;

/// A password that was looked at, and counted if it was wrong.
pub struct Judged {
    /// What it was.
    pub outcome: Result<PasswordOutcome, PasswordFault>,
    /// A ban that it brought on its client.
    pub banned: Option<BanRecord>,
    /// Whether there is something left of the client's rate.
    pub spent: Result<(), Throttled>,
}

impl Authority {
    /// Looks at a typed password, and counts a wrong one, whether or not the browser waits for it: else
    /// whoever hangs up in time could guess without being counted.
    ///
    /// # Errors
    /// The client is banned or too fast, or guessed too often at this account.
    pub async fn judge_password(
        &self,
        facts: &Facts<'_>,
        name: &str,
        secret: Secret,
    ) -> Result<Judged, Throttled> {
        self.guard.admit(facts.client, facts.now)?;
        let key = self.authenticator.password_key(name, &secret);
        let guess = self.guess(facts, name, Guessed::Password, key);
        self.guard.admit_guess(&guess, facts.now)?;
        let (accounts, guard) = (Arc::clone(&self.accounts), Arc::clone(&self.guard));
        let (client, now, name) = (facts.client, facts.now, name.to_owned());
        let judging = tokio::spawn(async move {
            let outcome = accounts.verify_password(&name, &secret, key, lane(&guess)).await;
            let wrong = matches!(outcome, Ok(PasswordOutcome::Wrong | PasswordOutcome::UnknownUser));
            let (banned, spent) = match wrong {
                true => {
                    let spent = guard.spend_refused(client);
                    (guard.failed(client, &key, now), spent)
                }
                false => {
                    guard.no_wrong_guess(&guess);
                    (None, Ok(()))
                }
            };
            Judged {
                outcome,
                banned,
                spent,
            }
        });
        Ok(judging.await.unwrap_or_else(|_| Judged {
            outcome: Err(PasswordFault::Fault("the program is ending".into())),
            banned: None,
            spent: Ok(()),
        }))
    }

    /// Whether a code of that account may be looked at, and counts it until [`super::Guard::no_wrong_guess`]
    /// takes it back.
    ///
    /// # Errors
    /// The client is banned or too fast, or too many codes of this account were wrong.
    pub fn admit_code(&self, facts: &Facts<'_>, user: &str, code: &Secret) -> Result<Guess, Throttled> {
        self.guard.admit(facts.client, facts.now)?;
        let key = self.authenticator.code_key(user, code);
        let guess = self.guess(facts, user, Guessed::Code, key);
        self.guard.admit_guess(&guess, facts.now)?;
        Ok(guess)
    }

    /// The same of a passkey, of nobody knows whom if no account is named: then nothing is counted for
    /// an account.
    ///
    /// # Errors
    /// The client is banned or too fast, or too many passkeys of this account were wrong.
    pub fn admit_passkey(
        &self,
        facts: &Facts<'_>,
        user: Option<&str>,
        answer: &[u8],
    ) -> Result<Guess, Throttled> {
        self.guard.admit(facts.client, facts.now)?;
        let key = self.authenticator.passkey_key(answer);
        let guess = self.guess(facts, user.unwrap_or_default(), Guessed::Passkey, key);
        if user.is_some() {
            self.guard.admit_guess(&guess, facts.now)?;
        }
        Ok(guess)
    }

    /// Counts what nobody can have guessed, and is wrong: a one-time link, a code or refresh token of an app. While
    /// there is nobody, nothing is, nor what the page of another site makes its visitor's browser send: it must not be
    /// able to have the visitor banned. The ban that it brought.
    pub fn count_wrong(&self, facts: &Facts<'_>, key: &Digest) -> Option<BanRecord> {
        match self.accounts.is_empty() || self.is_from_elsewhere(facts) {
            true => None,
            false => self.guard.failed(facts.client, key, facts.now),
        }
    }

    /// A guess at that account, as it is counted.
    pub(super) fn guess(&self, facts: &Facts<'_>, name: &str, what: Guessed, credential: Digest) -> Guess {
        let account = self.authenticator.account_key(name);
        let known = || {
            self.guard.knows(&account, facts.client, facts.now)
                || self.accounts.has_login_from(name, facts.now, |address| {
                    facts
                        .client
                        .address()
                        .is_some_and(|client| super::guard::are_neighbours(client, address))
                })
        };
        let standing = match self.known_browser(facts, name) {
            Some(browser) => Standing::Browser(browser),
            None if known() => Standing::Network,
            None => Standing::Stranger,
        };
        Guess {
            account,
            what,
            standing,
            client: facts.client,
            credential,
        }
    }

    /// Remembers that the account was right from there, with all that it has to show.
    pub fn has_come_in(&self, facts: &Facts<'_>, name: &str) {
        let account = self.authenticator.account_key(name);
        self.guard.has_come_in(&account, facts.client, facts.now);
    }

    /// What a browser keeps in which that account logged in. It opens nothing: only its guesses are
    /// counted apart from those of strangers.
    pub fn known_browser_cookie(&self, name: &str) -> String {
        let nonce = random::alphanumeric(NONCE);
        let word = self.accounts.form_token("known browser", &subject(name, &nonce));
        format!("{nonce}{word}")
    }

    fn known_browser(&self, facts: &Facts<'_>, name: &str) -> Option<u64> {
        let Found::One(value) = Cookie::Known.find(facts.headers, facts.scheme == Scheme::Https) else {
            return None;
        };
        let (nonce, word) = std::str::from_utf8(value).ok()?.split_at_checked(NONCE)?;
        let holds = self
            .accounts
            .is_form_token(word, "known browser", &subject(name, nonce));
        let [a, b, c, d, e, f, g, h, ..] = mac::fingerprint(nonce.as_bytes());
        holds.then_some(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }
}

/// Behind whom a guess waits for its hash.
pub(super) fn lane(guess: &Guess) -> Lane {
    match guess.standing {
        Standing::Browser(_) | Standing::Network => Lane::Known,
        Standing::Stranger => Lane::Stranger(super::guard::share(guess.client)),
    }
}

/// No account name has a slash.
fn subject(name: &str, nonce: &str) -> String {
    format!("{}/{nonce}", fold_name(name))
}
