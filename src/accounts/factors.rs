//! Second factors: enrolled, shown, taken away. What has to stay secret is sealed under the keys of the
//! instance, so a store without them is worth nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::RwLock;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::backup_codes::{self, BackupCode};
use super::keys::TokenKeys;
use super::passkeys::{Held, PasskeyView};
use super::record::{Edit, Record, factors_key};
use super::table::{read, write};
use super::{Accounts, AccountsError, Writing, names};
use crate::crypto::totp::{self, TimeCode};
use crate::crypto::{Secret, seal};
use crate::model::{FactorsRecord, PasskeyLookup};
use crate::store::{Expect, Revision};
use crate::time::Timestamp;
use crate::wire::hex;

/// What a seal is for: nothing opens in another's place.
const PURPOSE: &str = "factors";
const DRAFT: &str = "totp draft";

/// What a user has besides the password.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Factors {
    /// Since when there is an authenticator app.
    pub totp: Option<Timestamp>,
    /// Backup codes that are left.
    pub backup_codes: usize,
    /// In the order in which they were made.
    pub passkeys: Vec<PasskeyView>,
}

/// What a typed code is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeOutcome {
    /// Of the app, and never shown before.
    App,
    /// A backup code, which is used up now; so many are left.
    Backup(usize),
    /// Of the app, and shown before, or older than one that was.
    Used,
    /// Of the app, for a moment so many seconds away: a clock is off. Negative: the code is old.
    Away(i64),
    /// Nothing.
    Wrong,
}

/// What is sealed.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Contents {
    totp: Option<App>,
    pub(super) codes: Vec<BackupCode>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) passkeys: Vec<Held>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct App {
    #[serde(with = "secret_hex")]
    secret: Secret,
    /// RFC 6238, section 5.2: "the verifier MUST NOT accept the second attempt of the OTP".
    last_step: u64,
    since: Timestamp,
}

impl Contents {
    /// Without a factor, backup codes stand for nothing.
    fn is_empty(&self) -> bool {
        self.totp.is_none() && self.passkeys.is_empty()
    }

    fn summary(&self) -> Factors {
        Factors {
            totp: self.totp.as_ref().map(|app| app.since),
            backup_codes: self.codes.len(),
            passkeys: self.passkeys.iter().map(Held::view).collect(),
        }
    }

    /// Looks at a code, and notes a right one as used.
    fn show(&mut self, code: &str, now: Timestamp) -> CodeOutcome {
        let code: Zeroizing<String> = Zeroizing::new(code.chars().filter(|c| *c != ' ').collect());
        if code.len() == 6 {
            return self
                .totp
                .as_mut()
                .map_or(CodeOutcome::Wrong, |app| app.show(&code, now));
        }
        match backup_codes::take(&mut self.codes, &code) {
            true => CodeOutcome::Backup(self.codes.len()),
            false => CodeOutcome::Wrong,
        }
    }
}

impl App {
    fn show(&mut self, code: &str, now: Timestamp) -> CodeOutcome {
        match totp::check(&self.secret, code, now) {
            TimeCode::Fits(step) if step > self.last_step => {
                self.last_step = step;
                CodeOutcome::App
            }
            TimeCode::Fits(_) => CodeOutcome::Used,
            TimeCode::Away(seconds) => CodeOutcome::Away(seconds),
            TimeCode::Wrong => CodeOutcome::Wrong,
        }
    }
}

/// Everyone's, sealed as they are stored.
#[derive(Default)]
pub(super) struct SealedFactors {
    records: RwLock<BTreeMap<String, (FactorsRecord, Revision)>>,
    /// Whose a passkey is.
    owners: RwLock<HashMap<PasskeyLookup, String>>,
}

impl SealedFactors {
    /// Whether the user had none before.
    pub(super) fn put(&self, record: FactorsRecord, revision: Revision) -> bool {
        let mut records = write(&self.records);
        let mut owners = write(&self.owners);
        if let Some((before, _)) = records.get(&record.user) {
            forget(&mut owners, before);
        }
        for passkey in &record.passkeys {
            owners.insert(*passkey, record.user.clone());
        }
        records.insert(record.user.clone(), (record, revision)).is_none()
    }

    pub(super) fn remove(&self, user: &str) {
        let mut records = write(&self.records);
        if let Some((before, _)) = records.remove(user) {
            forget(&mut write(&self.owners), &before);
        }
    }

    pub(super) fn owner_of(&self, passkey: PasskeyLookup) -> Option<String> {
        read(&self.owners).get(&passkey).cloned()
    }

    pub(super) fn has_passkeys(&self) -> bool {
        !read(&self.owners).is_empty()
    }

    pub(super) fn get(&self, user: &str) -> Option<(FactorsRecord, Revision)> {
        read(&self.records).get(user).cloned()
    }

    fn has(&self, user: &str) -> bool {
        read(&self.records).contains_key(user)
    }

    fn all(&self) -> Vec<(FactorsRecord, Revision)> {
        read(&self.records).values().cloned().collect()
    }

    /// How many rest on that pair of keys.
    pub(super) fn count(&self, keys: u32) -> usize {
        read(&self.records)
            .values()
            .filter(|(record, _)| record.keys == keys)
            .count()
    }
}

/// Another's is left alone, should two records name one.
fn forget(owners: &mut HashMap<PasskeyLookup, String>, record: &FactorsRecord) {
    for passkey in &record.passkeys {
        if owners.get(passkey) == Some(&record.user) {
            owners.remove(passkey);
        }
    }
}

impl Accounts {
    /// Whether a password alone does not let this user in.
    pub fn has_second_factor(&self, user: &str) -> bool {
        self.memory().factors.has(&names::fold(user))
    }

    /// What the user has.
    ///
    /// # Errors
    /// [`AccountsError::Corrupt`].
    pub fn factors(&self, user: &str) -> Result<Factors, AccountsError> {
        Ok(self.contents(user)?.summary())
    }

    pub(super) fn contents(&self, user: &str) -> Result<Contents, AccountsError> {
        match self.memory().factors.get(&names::fold(user)) {
            Some((record, _)) => self.unseal(&record),
            None => Ok(Contents::default()),
        }
    }

    /// A secret for an app that is being set up, sealed for whoever sets it up now. It is kept nowhere:
    /// whoever is `subject` shows it again with the first code.
    ///
    /// # Errors
    /// [`AccountsError::Corrupt`], if nothing can be sealed.
    pub fn draft_totp(&self, subject: &str, now: Timestamp) -> Result<(Secret, String), AccountsError> {
        let secret = totp::new_secret();
        let draft = Draft {
            secret: secret.clone(),
            made: now,
        };
        let plain = Zeroizing::new(serde_json::to_vec(&draft).unwrap_or_default());
        let keys = self.shared.keys.load();
        let sealed = seal::seal(&keys.newest().verifier, DRAFT, subject, &plain);
        let sealed = sealed.ok_or_else(|| cannot_open("a draft"))?;
        Ok((secret, hex::encode(&sealed)))
    }

    /// The secret of a draft, if `subject` was given it within the last hour.
    pub fn open_draft(&self, subject: &str, draft: &str, now: Timestamp) -> Option<Secret> {
        let sealed = hex::decode_all(draft)?;
        let keys = self.shared.keys.load();
        let plain = keys
            .0
            .iter()
            .find_map(|key| seal::open(&key.verifier, DRAFT, subject, &sealed))?;
        let draft: Draft = serde_json::from_slice(plain.expose()).ok()?;
        let young = draft.made <= now && now.since(draft.made).as_secs() < 3600;
        young.then_some(draft.secret)
    }

    /// Gives the user an app with that secret in the place of the one before, when the code shows that
    /// it works; that code is used up. Backup codes are made when there are none.
    ///
    /// # Errors
    /// [`AccountsError::NotFound`] without the user, [`AccountsError::Store`].
    pub async fn enrol_totp(
        &self,
        user: &str,
        secret: Secret,
        code: &str,
        now: Timestamp,
    ) -> Result<Result<Vec<Secret>, CodeOutcome>, AccountsError> {
        let writing = self.writing().await;
        let mut app = App {
            secret,
            last_step: 0,
            since: now,
        };
        let code: Zeroizing<String> = Zeroizing::new(code.chars().filter(|c| *c != ' ').collect());
        match app.show(&code, now) {
            CodeOutcome::App => {}
            wrong => return Ok(Err(wrong)),
        }
        self.change_factors(writing, user, |contents| {
            contents.totp = Some(app);
            match contents.codes.is_empty() {
                true => Some(backup_codes::renew(&mut contents.codes)),
                false => Some(Vec::new()),
            }
        })
        .await
        .map(|codes| Ok(codes.unwrap_or_default()))
    }

    /// Looks at a code of the user's app or a backup code. A right one is used up when this returns:
    /// of many who show it at once, one is right.
    ///
    /// # Errors
    /// [`AccountsError::Store`]: then nobody may be let in.
    pub async fn show_code(
        &self,
        user: &str,
        code: &str,
        now: Timestamp,
    ) -> Result<CodeOutcome, AccountsError> {
        let writing = self.writing().await;
        let user = names::fold(user);
        if !self.has_second_factor(&user) {
            return Ok(CodeOutcome::Wrong);
        }
        let mut outcome = CodeOutcome::Wrong;
        self.change_factors(writing, &user, |contents| {
            outcome = contents.show(code, now);
            matches!(outcome, CodeOutcome::App | CodeOutcome::Backup(_)).then_some(())
        })
        .await?;
        Ok(outcome)
    }

    /// Ten new backup codes in the place of those before; they are kept nowhere as they are. None
    /// without a factor that they could stand for.
    ///
    /// # Errors
    /// [`AccountsError::Store`].
    pub async fn new_backup_codes(&self, user: &str) -> Result<Option<Vec<Secret>>, AccountsError> {
        let writing = self.writing().await;
        self.change_factors(writing, user, |contents| {
            (!contents.is_empty()).then(|| backup_codes::renew(&mut contents.codes))
        })
        .await
    }

    /// Takes all second factors of a user away, and what stands for them.
    ///
    /// # Errors
    /// [`AccountsError::NotFound`] without the user, [`AccountsError::Store`].
    pub async fn reset_factors(&self, user: &str) -> Result<(), AccountsError> {
        let writing = self.writing().await;
        self.change_factors(writing, user, |contents| {
            *contents = Contents::default();
            Some(())
        })
        .await?;
        Ok(())
    }

    /// Seals what still rests on older keys under the newest ones; how many there were.
    ///
    /// # Errors
    /// [`AccountsError::Store`].
    pub async fn reseal_factors(&self) -> Result<usize, AccountsError> {
        let writing = self.writing().await;
        let newest = self.shared.keys.load().newest().id;
        let mut edits = Vec::new();
        for (record, revision) in self.memory().factors.all() {
            if record.keys != newest {
                let contents = self.unseal(&record)?;
                let record = self.seal(record.user, &contents)?;
                edits.push(Edit::put(Record::Factors(record), Expect::Revision(revision)));
            }
        }
        let count = edits.len();
        if count > 0 {
            self.commit(writing, edits).await?;
        }
        Ok(count)
    }

    /// Whether everything that is sealed opens: better a server that does not start than one that
    /// lets nobody in.
    pub(super) fn check_factors(&self) -> Result<(), AccountsError> {
        let all = self.memory().factors.all();
        all.iter()
            .try_for_each(|(record, _)| self.unseal(record).map(drop))
    }

    /// `change` answers none when nothing is to be written.
    pub(super) async fn change_factors<T>(
        &self,
        writing: Writing,
        user: &str,
        change: impl FnOnce(&mut Contents) -> Option<T>,
    ) -> Result<Option<T>, AccountsError> {
        let user = names::fold(user);
        if self.memory().user(&user).is_none() {
            return Err(AccountsError::no_user(&user));
        }
        let before = self.memory().factors.get(&user);
        let (mut contents, expect) = match &before {
            Some((record, revision)) => (self.unseal(record)?, Expect::Revision(*revision)),
            None => (Contents::default(), Expect::Absent),
        };
        let Some(outcome) = change(&mut contents) else {
            return Ok(None);
        };
        let mut edits = Vec::new();
        if !contents.is_empty() {
            let record = self.seal(user.into_owned(), &contents)?;
            edits.push(Edit::put(Record::Factors(record), expect));
        } else if before.is_some() {
            edits.push(Edit::remove(factors_key(&user), expect));
            edits.extend(self.forget_devices_of(&user));
        }
        if !edits.is_empty() {
            self.commit(writing, edits).await?;
        }
        Ok(Some(outcome))
    }

    fn seal(&self, user: String, contents: &Contents) -> Result<FactorsRecord, AccountsError> {
        let keys = self.shared.keys.load();
        let plain = Zeroizing::new(serde_json::to_vec(contents).unwrap_or_default());
        let sealed = seal::seal(&keys.newest().verifier, PURPOSE, &user, &plain);
        Ok(FactorsRecord {
            keys: keys.newest().id,
            sealed: sealed.ok_or_else(|| cannot_open(&factors_key(&user)))?,
            passkeys: contents.passkeys.iter().map(Held::lookup).collect(),
            user,
        })
    }

    fn unseal(&self, record: &FactorsRecord) -> Result<Contents, AccountsError> {
        let keys = self.shared.keys.load();
        open(&keys, record).ok_or_else(|| cannot_open(&factors_key(&record.user)))
    }
}

fn open(keys: &TokenKeys, record: &FactorsRecord) -> Option<Contents> {
    let key = keys.0.iter().find(|key| key.id == record.keys)?;
    let plain = seal::open(&key.verifier, PURPOSE, &record.user, &record.sealed)?;
    serde_json::from_slice(plain.expose()).ok()
}

fn cannot_open(key: &str) -> AccountsError {
    AccountsError::Corrupt {
        key: key.to_owned(),
        why: "it does not open with the keys of this instance".into(),
    }
}

#[derive(Serialize, Deserialize)]
struct Draft {
    #[serde(with = "secret_hex")]
    secret: Secret,
    made: Timestamp,
}

mod secret_hex {
    use serde::{Deserialize, Deserializer, Serializer};
    use zeroize::Zeroizing;

    use crate::crypto::Secret;
    use crate::wire::hex;

    pub(super) fn serialize<S: Serializer>(secret: &Secret, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&Zeroizing::new(hex::encode(secret.expose())))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Secret, D::Error> {
        let text = Zeroizing::new(String::deserialize(d)?);
        let bytes = hex::decode_all(&text).map(Secret::new);
        bytes.ok_or_else(|| serde::de::Error::custom("expected hex digits"))
    }
}
