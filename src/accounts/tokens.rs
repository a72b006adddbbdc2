//! API tokens: made, found, rotated, revoked.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ipnet::IpNet;

use super::keys::Lookup;
use super::live::{LiveToken, TokenId};
use super::record::{Edit, Record, token_key, used_key};
use super::{Account, Accounts, AccountsError, names};
use crate::crypto::{Secret, random, token_hash};
use crate::model::{RevokedRecord, TokenRecord, UsedRecord};
use crate::store::Expect;
use crate::time::Timestamp;

/// The most source networks of one token.
const MAX_NETWORKS: usize = 64;

/// What a new token is made of.
#[derive(Clone, Debug, Default)]
pub struct NewToken {
    /// `[A-Za-z0-9]{1,64}`, unique per user.
    pub name: String,
    /// Whose rights it has.
    pub user: String,
    /// When it stops working; none: never, which the caller had to ask for.
    pub expires: Option<Timestamp>,
    /// Space-separated words; empty: all the user's rights.
    pub scope: String,
    /// Where it may be used from; empty: anywhere.
    pub networks: Vec<IpNet>,
}

/// Which token is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSelector {
    /// By its user and name.
    Name {
        /// The user.
        user: String,
        /// The name.
        name: String,
    },
    /// By its public id.
    Id(String),
}

/// A token, as listings show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenView {
    /// The record.
    pub record: TokenRecord,
    /// Its last use, to the hour.
    pub used: Option<UsedRecord>,
    /// Whether it works.
    pub state: TokenState,
}

/// Whether a token works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// It works.
    Active,
    /// It was rotated and works until it expires.
    Overlap,
    /// It has expired.
    Expired,
    /// Its user is disabled.
    UserDisabled,
    /// Its user does not exist.
    UserGone,
}

impl TokenState {
    /// The word in listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            TokenState::Active => "active",
            TokenState::Overlap => "rotated",
            TokenState::Expired => "expired",
            TokenState::UserDisabled => "user disabled",
            TokenState::UserGone => "user gone",
        }
    }
}

/// What a presented token is. All but [`Found::Live`] look the same from outside.
#[derive(Clone, Debug)]
pub enum Found {
    /// It works, for this user as of now. Scope and networks are for the caller to judge.
    Live(Arc<LiveToken>, Arc<Account>),
    /// It has not the form of a token, or its checksum does not fit.
    Malformed,
    /// It never existed, or was revoked more than a year ago.
    Unknown,
    /// It was revoked.
    Revoked,
    /// It has expired.
    Expired,
    /// Its user is disabled.
    UserDisabled,
    /// Its user does not exist.
    UserGone,
}

impl Accounts {
    /// What the token is. Costs one keyed hash, and a second one if there is such a token, however
    /// many there are and however many share the name; up to three more while older keys are kept.
    pub fn find_token(&self, token: &[u8], now: Timestamp) -> Found {
        let in_force = self.in_force.load();
        match token_hash::parse(token, &in_force.settings.token_prefix) {
            Some(parts) if parts.checksum_ok => {}
            _ => return Found::Malformed,
        }
        let memory = self.memory();
        let mut keys = self.shared.keys.load_full();
        let live = loop {
            match keys.find(&memory.tokens, token) {
                Lookup::Found(live, key) => {
                    self.verified.fetch_add(1, Ordering::Relaxed);
                    if !live.fits(&key.verifier, token) {
                        return Found::Unknown;
                    }
                    if key.id != keys.newest().id {
                        self.note_stale(&live, token, keys.newest());
                    }
                    break live;
                }
                Lookup::Revoked => return Found::Revoked,
                Lookup::Nothing => {
                    let present = self.shared.keys.load_full();
                    if Arc::ptr_eq(&keys, &present) {
                        return Found::Unknown;
                    }
                    // Other keys came, and the token may have moved to them meanwhile.
                    keys = present;
                }
            }
        };
        if live.is_expired(now) {
            return Found::Expired;
        }
        match memory.user(&live.user) {
            None => Found::UserGone,
            Some(held) if held.account.user.disabled => Found::UserDisabled,
            Some(held) => Found::Live(live, held.account),
        }
    }

    /// Makes a token. The secret is shown to its user once and kept nowhere.
    ///
    /// # Errors
    /// [`AccountsError::Invalid`], [`AccountsError::NotFound`] without the user,
    /// [`AccountsError::Exists`], [`AccountsError::Store`].
    pub async fn create_token(
        &self,
        new: NewToken,
        now: Timestamp,
    ) -> Result<(Secret, TokenRecord), AccountsError> {
        names::token(&new.name)?;
        let scope = names::scope(&new.scope)?;
        if new.networks.len() > MAX_NETWORKS {
            return Err(AccountsError::invalid(
                "list of networks",
                format!("it has more than {MAX_NETWORKS} entries"),
            ));
        }
        if new.expires.is_some_and(|expires| expires <= now) {
            return Err(AccountsError::invalid("expiry", "it lies in the past"));
        }
        let user = names::fold(&new.user).into_owned();
        let writing = self.writing().await;
        if self.memory().user(&user).is_none() {
            return Err(AccountsError::no_user(&user));
        }
        if self.memory().tokens.by_name(&user, &new.name).is_some() {
            return Err(AccountsError::Exists {
                kind: "token",
                name: format!("{user}/{}", new.name),
            });
        }
        let (secret, record) = self.mint(TokenRecord {
            id: String::new(),
            name: new.name,
            user,
            lookup: [0; 16],
            salt: [0; 16],
            verifier: [0; 32],
            keys: 0,
            scope,
            networks: new.networks.iter().map(IpNet::trunc).collect(),
            created: now,
            expires: new.expires,
            grant: None,
        });
        let edit = Edit::put(Record::Token(record.clone(), false), Expect::Absent);
        self.commit(writing, vec![edit]).await?;
        Ok((secret, record))
    }

    /// Replaces a token by a new one of the same name, scope, networks and lifetime. The old one works
    /// until `overlap` has passed, and not longer than it would have; with no overlap it is revoked.
    ///
    /// # Errors
    /// [`AccountsError::NotFound`], [`AccountsError::Store`].
    pub async fn rotate_token(
        &self,
        user: &str,
        name: &str,
        overlap: Duration,
        now: Timestamp,
    ) -> Result<(Secret, TokenRecord), AccountsError> {
        let user = names::fold(user);
        let writing = self.writing().await;
        let old = self
            .memory()
            .tokens
            .by_name(&user, name)
            .filter(|token| token.grant.is_none())
            .ok_or_else(|| no_token(&format!("{user}/{name}")))?;
        let mut record = old.record();
        let lifetime = record.expires.map(|expires| expires.since(record.created));
        let until = now.plus(overlap);
        let old_expires = record.expires.map_or(until, |expires| expires.min(until));

        let mut edits = if old_expires > now {
            let mut overlapping = record.clone();
            overlapping.expires = Some(old_expires);
            vec![Edit::put(Record::Token(overlapping, true), Expect::Absent)]
        } else {
            vec![remembered(&old, now), Edit::remove(used_key(old.id), Expect::Any)]
        };
        record.created = now;
        record.expires = lifetime.map(|span| now.plus(span));
        let (secret, record) = self.mint(record);
        // After what becomes of the old one, which a reader must always find.
        edits.push(Edit::put(
            Record::Token(record.clone(), false),
            Expect::Revision(old.revision),
        ));
        self.commit(writing, edits).await?;
        Ok((secret, record))
    }

    /// Ends a token: by name with all that it replaced and that still work, by id just the one. It is
    /// in force for every worker when this returns.
    ///
    /// # Errors
    /// [`AccountsError::NotFound`], [`AccountsError::Store`].
    pub async fn revoke_token(
        &self,
        selector: &TokenSelector,
        now: Timestamp,
    ) -> Result<TokenRecord, AccountsError> {
        let writing = self.writing().await;
        let tokens = self.select(selector);
        let record = tokens
            .first()
            .ok_or_else(|| no_token(&selector.to_string()))?
            .record();
        let mut edits = Vec::with_capacity(3 * tokens.len());
        for token in &tokens {
            edits.extend(revocation(token, now));
            edits.push(Edit::remove(used_key(token.id), Expect::Any));
        }
        self.commit(writing, edits).await?;
        Ok(record)
    }

    /// One user's tokens, or everyone's: by user, then by name, the newest first. Those of grants are not
    /// theirs to look after.
    pub fn tokens(&self, user: Option<&str>, now: Timestamp) -> Vec<TokenView> {
        let user = user.map(names::fold);
        let mut tokens = self.memory().tokens.list(user.as_deref());
        tokens.retain(|token| token.grant.is_none());
        let mut views: Vec<TokenView> = tokens.iter().map(|token| self.view(token, now)).collect();
        views.sort_by(|left, right| {
            let (left, right) = (&left.record, &right.record);
            (&left.user, &left.name, right.created).cmp(&(&right.user, &right.name, left.created))
        });
        views
    }

    /// The token that is meant; by name the current one.
    pub fn token(&self, selector: &TokenSelector, now: Timestamp) -> Option<TokenView> {
        self.select(selector).first().map(|token| self.view(token, now))
    }

    /// The token of that id.
    pub fn live_token(&self, id: &str) -> Option<Arc<LiveToken>> {
        TokenId::parse(id).and_then(|id| self.memory().tokens.by_id(id))
    }

    fn select(&self, selector: &TokenSelector) -> Vec<Arc<LiveToken>> {
        let mut tokens = match selector {
            TokenSelector::Id(id) => self.live_token(id).into_iter().collect(),
            TokenSelector::Name { user, name } => {
                let mut tokens = self.memory().tokens.list(Some(&names::fold(user)));
                tokens.retain(|token| token.name() == name);
                tokens.sort_by_key(|token| token.overlap);
                tokens
            }
        };
        tokens.retain(|token| token.grant.is_none());
        tokens
    }

    pub(super) fn view(&self, token: &LiveToken, now: Timestamp) -> TokenView {
        let state = match self.memory().user(&token.user) {
            None => TokenState::UserGone,
            _ if token.is_expired(now) => TokenState::Expired,
            Some(held) if held.account.user.disabled => TokenState::UserDisabled,
            Some(_) if token.overlap => TokenState::Overlap,
            Some(_) => TokenState::Active,
        };
        TokenView {
            record: token.record(),
            used: token.used(),
            state,
        }
    }

    /// Gives the record a token of its own, and all that is derived from it.
    pub(super) fn mint(&self, mut record: TokenRecord) -> (Secret, TokenRecord) {
        let in_force = self.in_force.load();
        let secret = token_hash::mint(&in_force.settings.token_prefix, &record.name);
        let id = loop {
            let id = TokenId::new();
            if self.memory().tokens.by_id(id).is_none() {
                break id;
            }
        };
        record.id = id.to_string();
        let keys = self.shared.keys.load();
        let newest = keys.newest();
        record.keys = newest.id;
        record.salt = random::bytes();
        record.lookup = token_hash::lookup(&newest.lookup, secret.expose());
        record.verifier = token_hash::verifier(&newest.verifier, &record.salt, secret.expose());
        (secret, record)
    }
}

impl std::fmt::Display for TokenSelector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TokenSelector::Name { user, name } => write!(f, "{user}/{name}"),
            TokenSelector::Id(id) => f.write_str(id),
        }
    }
}

/// The end of a token: remembered first, so that a reader meets the one or the other.
pub(super) fn revocation(token: &LiveToken, now: Timestamp) -> [Edit; 2] {
    let key = token_key(&token.user, token.name(), token.id(), token.overlap);
    [
        remembered(token, now),
        Edit::remove(key, Expect::Revision(token.revision)),
    ]
}

/// A phone with an old token must not look like an attacker.
fn remembered(token: &LiveToken, now: Timestamp) -> Edit {
    let record = RevokedRecord {
        id: token.id().to_owned(),
        user: token.user().to_owned(),
        name: token.name().to_owned(),
        revoked: now,
        keys: token.keys,
    };
    Edit::put(Record::Revoked(token.lookup, record), Expect::Any)
}

fn no_token(name: &str) -> AccountsError {
    AccountsError::NotFound {
        kind: "token",
        name: name.to_owned(),
    }
}
