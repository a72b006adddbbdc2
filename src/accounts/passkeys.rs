//! Passkeys: made, shown, named and taken away. What is kept of them lies with the other factors, under
//! the same seal; outside it is only by what one is found.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::ceremonies::{Asked, Page};
use super::factors::Contents;
use super::live::TokenId;
use super::{Accounts, AccountsError, backup_codes, names};
use crate::crypto::passkey::{self, Answer, Handle, Party, Passkey, Wrong};
use crate::crypto::{Secret, mac, random};
use crate::model::PasskeyLookup;
use crate::time::Timestamp;

/// So many one person may have.
const MOST: usize = 20;
/// Characters of a name.
const LONGEST_NAME: usize = 64;

/// One, for its owner and for administrators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasskeyView {
    /// Public id, `[a-z0-9]{12}`.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// The name of the host that it is for.
    pub site: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it was shown last.
    pub used: Option<Timestamp>,
}

/// One, inside the seal.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Held {
    id: String,
    name: String,
    site: String,
    /// What the account is called in it.
    handle: Handle,
    key: Passkey,
    created: Timestamp,
    used: Option<Timestamp>,
}

impl Held {
    pub(super) fn lookup(&self) -> PasskeyLookup {
        lookup(self.key.id())
    }

    pub(super) fn view(&self) -> PasskeyView {
        PasskeyView {
            id: self.id.clone(),
            name: self.name.clone(),
            site: self.site.clone(),
            created: self.created,
            used: self.used,
        }
    }
}

/// What came of an answer to a challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasskeyOutcome {
    /// That account's, and never shown before with this challenge.
    Right(String),
    /// Nothing, for that reason; the account that it would have been, if there is one.
    Wrong(&'static str, String),
    /// The challenge is not there any more: answered, too old, or of another page.
    Late,
    /// Of an account that is disabled.
    Disabled(String),
}

impl Accounts {
    /// Whether anybody has a passkey.
    pub fn has_passkeys(&self) -> bool {
        self.memory().factors.has_passkeys()
    }

    /// Whether that user may have one more.
    pub fn may_add_passkey(&self, user: &str) -> bool {
        self.contents(user)
            .is_ok_and(|contents| contents.passkeys.len() < MOST)
    }

    /// What the browser is to be told to make a passkey for that user.
    ///
    /// # Errors
    /// [`AccountsError::NotFound`] without the user, [`AccountsError::Invalid`] when there are enough.
    pub fn begin_passkey(
        &self,
        page: Page<'_>,
        user: &str,
        party: &Party,
        now: Timestamp,
    ) -> Result<String, AccountsError> {
        let account = self.user(user).ok_or_else(|| AccountsError::no_user(user))?;
        let held = self.contents(user)?.passkeys;
        if held.len() >= MOST {
            return Err(enough());
        }
        // One name in all of them: an authenticator keeps one passkey for each, and replaces its own.
        let handle = held.first().map_or_else(random::bytes, |held| held.handle);
        let known = held.iter().filter(|held| held.site == party.site());
        let made = party.make(
            handle,
            &account.user.name,
            &account.user.display_name,
            known.map(|held| &held.key),
        );
        let (options, making) = made.map_err(cannot)?;
        self.ceremonies
            .begin(page, None, Asked::Make(making, handle), now);
        Ok(options)
    }

    /// Keeps the passkey that the browser made. Backup codes are made when there are none.
    ///
    /// # Errors
    /// [`AccountsError::NotFound`] without the user, [`AccountsError::Invalid`] when there are enough,
    /// [`AccountsError::Store`].
    pub async fn enrol_passkey(
        &self,
        page: Page<'_>,
        user: &str,
        party: &Party,
        answer: &str,
        name: &str,
        now: Timestamp,
    ) -> Result<Result<Vec<Secret>, PasskeyOutcome>, AccountsError> {
        let wrong = |Wrong(why)| PasskeyOutcome::Wrong(why, user.to_owned());
        let Some(Asked::Make(making, handle)) = self.ceremonies.take(page, now) else {
            return Ok(Err(PasskeyOutcome::Late));
        };
        let key = match party.made(answer, &making) {
            Ok(key) => key,
            Err(why) => return Ok(Err(wrong(why))),
        };
        let writing = self.writing().await;
        // Web Authentication, section 7.1: "Verify that the credentialId … is not yet registered for
        // any user."
        if self.memory().factors.owner_of(lookup(key.id())).is_some() {
            return Ok(Err(wrong(Wrong("passkey-known"))));
        }
        let name = shown_name(name);
        let made = self.change_factors(writing, user, |contents| {
            if contents.passkeys.len() >= MOST {
                return None;
            }
            contents.passkeys.push(Held {
                id: TokenId::new().to_string(),
                name: match name.as_str() {
                    "" => format!("{} {}", party.site(), contents.passkeys.len() + 1),
                    name => name.to_owned(),
                },
                site: party.site().to_owned(),
                handle,
                key,
                created: now,
                used: None,
            });
            match contents.codes.is_empty() {
                true => Some(backup_codes::renew(&mut contents.codes)),
                false => Some(Vec::new()),
            }
        });
        made.await?.map(Ok).ok_or_else(enough)
    }

    /// What the browser is to be told to show any passkey of this site. `client`: whoever asks, if it has
    /// an address of its own.
    ///
    /// # Errors
    /// [`AccountsError::Invalid`], which a page that offers it does not meet.
    pub fn ask_passkey(
        &self,
        page: Page<'_>,
        party: &Party,
        client: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<String, AccountsError> {
        let (options, asking) = party.ask(std::iter::empty()).map_err(cannot)?;
        self.ceremonies.begin(page, client, Asked::Show(asking), now);
        Ok(options)
    }

    /// The same for one of that user; none without any for this site.
    ///
    /// # Errors
    /// [`AccountsError::Corrupt`].
    pub fn ask_passkey_of(
        &self,
        page: Page<'_>,
        user: &str,
        party: &Party,
        now: Timestamp,
    ) -> Result<Option<String>, AccountsError> {
        let held = self.contents(user)?.passkeys;
        let mut here = held.iter().filter(|held| held.site == party.site()).peekable();
        if here.peek().is_none() {
            return Ok(None);
        }
        let (options, asking) = party.ask(here.map(|held| &held.key)).map_err(cannot)?;
        self.ceremonies.begin(page, None, Asked::Show(asking), now);
        Ok(Some(options))
    }

    /// Whose passkey an answer says to be of; nothing is proven by it.
    pub fn owner_of_passkey(&self, answer: &Answer) -> Option<String> {
        self.memory().factors.owner_of(lookup(answer.id()))
    }

    /// Looks at what the browser showed for the challenge of that page, which is used up whatever it is.
    /// `expected`: the user who is known already; without one, the passkey says whose it is. A right one
    /// has counted on in the store when this returns.
    ///
    /// # Errors
    /// [`AccountsError::Store`]: then nobody may be let in.
    pub async fn show_passkey(
        &self,
        page: Page<'_>,
        expected: Option<&str>,
        party: &Party,
        answer: &str,
        now: Timestamp,
    ) -> Result<PasskeyOutcome, AccountsError> {
        let asked = self.ceremonies.take(page, now);
        let wrong = |why, user: &str| Ok(PasskeyOutcome::Wrong(why, user.to_owned()));
        let Some(answer) = Answer::read(answer) else {
            return wrong("passkey-malformed", expected.unwrap_or_default());
        };
        let Some(Asked::Show(asking)) = asked else {
            return Ok(PasskeyOutcome::Late);
        };
        let writing = self.writing().await;
        let Some(user) = self.owner_of_passkey(&answer) else {
            return wrong("passkey-unknown", expected.unwrap_or_default());
        };
        if let Some(expected) = expected
            && names::fold(expected) != user
        {
            return wrong("passkey-of-another", expected);
        }
        let Some(account) = self.user(&user) else {
            return wrong("passkey-unknown", "");
        };
        let mut outcome = Err(Wrong("passkey-unknown"));
        self.change_factors(writing, &user, |contents| {
            outcome = contents.show_passkey(party, &answer, asking, expected.is_some(), now);
            (outcome.is_ok() && !account.user.disabled).then_some(())
        })
        .await?;
        Ok(match outcome {
            Err(Wrong(why)) => PasskeyOutcome::Wrong(why, user),
            Ok(()) if account.user.disabled => PasskeyOutcome::Disabled(user),
            Ok(()) => PasskeyOutcome::Right(user),
        })
    }

    /// Gives a passkey another name.
    ///
    /// # Errors
    /// [`AccountsError::NotFound`], [`AccountsError::Store`].
    pub async fn rename_passkey(&self, user: &str, id: &str, name: &str) -> Result<(), AccountsError> {
        let writing = self.writing().await;
        let name = shown_name(name);
        if name.is_empty() {
            return Err(AccountsError::Invalid {
                what: "name of a passkey",
                why: "it is empty; write what you will know it by".into(),
            });
        }
        let renamed = self.change_factors(writing, user, |contents| {
            let held = contents.passkeys.iter_mut().find(|held| held.id == id)?;
            held.name = name;
            Some(())
        });
        renamed.await?.ok_or_else(|| no_passkey(id))
    }

    /// Takes a passkey away. With the last factor, what stands for factors goes too.
    ///
    /// # Errors
    /// [`AccountsError::NotFound`], [`AccountsError::Store`].
    pub async fn remove_passkey(&self, user: &str, id: &str) -> Result<(), AccountsError> {
        let writing = self.writing().await;
        let removed = self.change_factors(writing, user, |contents| {
            let before = contents.passkeys.len();
            contents.passkeys.retain(|held| held.id != id);
            (contents.passkeys.len() < before).then_some(())
        });
        removed.await?.ok_or_else(|| no_passkey(id))
    }
}

impl Contents {
    fn show_passkey(
        &mut self,
        party: &Party,
        answer: &Answer,
        asking: passkey::Asking,
        user_is_known: bool,
        now: Timestamp,
    ) -> Result<(), Wrong> {
        let held = self.passkeys.iter_mut().find(|held| held.key.id() == answer.id());
        let held = held.ok_or(Wrong("passkey-unknown"))?;
        // Web Authentication, section 7.2, step 6: whoever was not known before has to be named by the
        // authenticator; whoever was must not be named otherwise.
        match answer.handle() {
            Some(handle) if handle == held.handle => {}
            None if user_is_known => {}
            Some(_) | None => return Err(Wrong("passkey-of-another")),
        }
        if held.site != party.site() {
            return Err(Wrong("passkey-site"));
        }
        party.shown(answer, asking, &mut held.key)?;
        held.used = Some(now);
        Ok(())
    }
}

fn lookup(id: &[u8]) -> PasskeyLookup {
    PasskeyLookup(mac::fingerprint(id))
}

/// What of a typed name is kept.
fn shown_name(text: &str) -> String {
    let plain: String = text.chars().filter(|c| !c.is_control()).collect();
    plain.trim().chars().take(LONGEST_NAME).collect()
}

fn enough() -> AccountsError {
    AccountsError::Invalid {
        what: "passkey",
        why: format!("there are {MOST} already; remove one that is not used any more"),
    }
}

fn no_passkey(id: &str) -> AccountsError {
    AccountsError::NotFound {
        kind: "passkey",
        name: id.to_owned(),
    }
}

fn cannot(Wrong(why): Wrong) -> AccountsError {
    AccountsError::Invalid {
        what: "passkey",
        why: format!("no challenge could be made ({why})"),
    }
}
