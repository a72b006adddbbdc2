//! The keys of tokens: the pair that new ones are made under, and older pairs that earlier ones
//! still rest on. A token that is used moves to the newest pair, so that the older ones can go.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, PoisonError};

use super::live::{LiveToken, TokenId};
use super::memory::Effects;
use super::record::{Edit, Record, used_key};
use super::table::TokenTable;
use super::tokens::revocation;
use super::{Accounts, AccountsError, Shared, TokenView};
use crate::crypto::mac::{Digest, Mac};
use crate::crypto::{random, token_hash};
use crate::instance::{KeyRing, MOST_PAIRS};
use crate::store::{Expect, Revision, StoreError};
use crate::time::Timestamp;

/// The most tokens on their way to the newest keys; one that finds no room moves at a later use.
const MOVING: usize = 10_000;
/// How many move, or are revoked, in one commit.
const BATCH: usize = 1000;

/// The keys of tokens, the newest first; never none, and at most [`MOST_PAIRS`]. They live outside
/// the store, which is worth nothing without them.
#[derive(Clone, Debug)]
pub struct TokenKeys(pub(super) Vec<TokenKey>);

/// One pair.
#[derive(Clone, Debug)]
pub struct TokenKey {
    /// What records call it.
    pub id: u32,
    /// Of the value that a token is found by.
    pub lookup: Mac,
    /// Of the value that it is compared with. Where this key was dropped it is one that nothing was
    /// made with: then only revoked tokens are known by this pair.
    pub verifier: Mac,
}

/// Which of the tokens that rest on older keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// All of them.
    All,
    /// Those that nobody can use any more.
    Expired,
}

/// What rests on one pair of keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyUse {
    /// The pair.
    pub id: u32,
    /// Tokens, expired ones included.
    pub tokens: usize,
    /// Those of them that have expired.
    pub expired: usize,
    /// Revoked tokens that are remembered.
    pub revoked: usize,
    /// Users whose second factors are sealed under it.
    pub factors: usize,
}

impl Shared {
    /// From now on nobody believes what was verified under other keys: else a token that is in use would not move
    /// before it is verified anew, minutes later, and `keys rotate --drop-old --revoke-stale` would end it.
    fn put_in_force(&self, keys: TokenKeys) {
        let newest = keys.newest().id;
        self.keys.store(Arc::new(keys));
        for token in self.memory.tokens.list(None) {
            if token.keys != newest {
                token.rest_on_older_keys();
            }
        }
        self.make_known(Effects {
            altered: true,
            ..Effects::default()
        });
    }
}

/// What a token will be kept as, under the newest keys.
pub(super) struct Move {
    /// The record that it was read from.
    revision: Revision,
    keys: u32,
    lookup: [u8; 16],
    salt: [u8; 16],
    verifier: Digest,
}

impl TokenKeys {
    /// One pair, with the id 1.
    pub fn single(lookup: Mac, verifier: Mac) -> Self {
        Self(vec![TokenKey {
            id: 1,
            lookup,
            verifier,
        }])
    }

    /// The pair under which new tokens are made.
    pub fn newest(&self) -> &TokenKey {
        &self.0[0]
    }

    /// The token's record and the pair it rests on. One keyed hash for a token under the newest keys,
    /// at most [`MOST_PAIRS`] for any other, however many tokens there are.
    pub(super) fn find(&self, tokens: &TokenTable, token: &[u8]) -> Lookup<'_> {
        let mut lookups = [[0; 16]; MOST_PAIRS];
        for (key, lookup) in self.0.iter().zip(&mut lookups) {
            *lookup = token_hash::lookup(&key.lookup, token);
            if let Some(live) = tokens.find(lookup) {
                return Lookup::Found(live, key);
            }
        }
        // One that is being moved is put under the newest value before it leaves the old one.
        if self.0.len() > 1
            && let Some(live) = tokens.find(&lookups[0])
        {
            return Lookup::Found(live, self.newest());
        }
        // A revocation is remembered before its token goes, so none falls through.
        match lookups[..self.0.len()]
            .iter()
            .any(|lookup| tokens.is_revoked(lookup))
        {
            true => Lookup::Revoked,
            false => Lookup::Nothing,
        }
    }
}

/// What a look-up value leads to.
pub(super) enum Lookup<'k> {
    Found(Arc<LiveToken>, &'k TokenKey),
    Revoked,
    Nothing,
}

impl From<&KeyRing> for TokenKeys {
    fn from(ring: &KeyRing) -> Self {
        let keys = ring.pairs().iter().take(MOST_PAIRS).map(|pair| TokenKey {
            id: pair.id,
            lookup: Mac::new(pair.lookup.expose()),
            verifier: match &pair.token {
                Some(key) => Mac::new(key.expose()),
                None => Mac::ephemeral(),
            },
        });
        Self(keys.collect())
    }
}

impl Accounts {
    /// What rests on each pair of keys, the newest pair first.
    pub fn key_use(&self, now: Timestamp) -> Vec<KeyUse> {
        let keys = self.shared.keys.load();
        let mut uses: Vec<KeyUse> = keys
            .0
            .iter()
            .map(|key| KeyUse {
                id: key.id,
                ..KeyUse::default()
            })
            .collect();
        self.memory().tokens.count_by_key(now, &mut uses);
        for used in &mut uses {
            used.factors = self.memory().factors.count(used.id);
        }
        uses
    }

    /// Puts other keys in force for every worker. `change` is told what rests on the present ones, and
    /// makes the others last; no account changes meanwhile. It may block.
    ///
    /// # Errors
    /// Those of `change`; then the present keys stay in force.
    pub async fn change_keys<E>(
        &self,
        now: Timestamp,
        change: impl FnOnce(&[KeyUse]) -> Result<TokenKeys, E> + Send + 'static,
    ) -> Result<(), E>
    where
        E: From<AccountsError> + Send + 'static,
    {
        let writing = self.writing().await;
        let uses = self.key_use(now);
        let shared = Arc::clone(&self.shared);
        // A task of its own, as in `commit`: what was made to last must also be in force.
        let task = tokio::task::spawn_blocking(move || {
            let result = change(&uses).map(|keys| shared.put_in_force(keys));
            drop(writing);
            result
        });
        task.await.unwrap_or_else(|_| {
            let interrupted = StoreError::Unavailable("the program is ending".into());
            Err(AccountsError::Store(interrupted).into())
        })
    }

    /// The tokens that rest on older keys.
    pub fn stale_tokens(&self, which: Stale, now: Timestamp) -> Vec<TokenView> {
        let tokens = self.stale(which, now);
        tokens.iter().map(|token| self.view(token, now)).collect()
    }

    /// Revokes those; how many there were.
    ///
    /// # Errors
    /// [`AccountsError::Store`]; what was not revoked can be revoked again.
    pub async fn revoke_stale(&self, which: Stale, now: Timestamp) -> Result<usize, AccountsError> {
        let mut revoked = 0;
        loop {
            let writing = self.writing().await;
            let mut tokens = self.stale(which, now);
            tokens.truncate(BATCH);
            if tokens.is_empty() {
                return Ok(revoked);
            }
            let mut edits = Vec::with_capacity(3 * tokens.len());
            for token in &tokens {
                edits.extend(revocation(token, now));
                edits.push(Edit::remove(used_key(token.id), Expect::Any));
            }
            self.commit(writing, edits).await?;
            revoked += tokens.len();
        }
    }

    fn stale(&self, which: Stale, now: Timestamp) -> Vec<Arc<LiveToken>> {
        let newest = self.shared.keys.load().newest().id;
        let mut tokens = self.memory().tokens.list(None);
        tokens.retain(|token| token.keys != newest && (which == Stale::All || token.is_expired(now)));
        tokens
    }

    /// Puts a token that verified under older keys down for [`Accounts::move_tokens`]. Costs two keyed
    /// hashes, once.
    pub(super) fn note_stale(&self, live: &LiveToken, token: &[u8], newest: &TokenKey) {
        // Once is enough: where it cannot be stored, not every use shall verify anew.
        live.looked_at_anew();
        let mut moving = self.moving();
        let room = moving.len() < MOVING;
        let entry = match moving.entry(live.id) {
            Entry::Vacant(entry) if room => entry,
            _ => return,
        };
        let salt = random::bytes();
        entry.insert(Move {
            revision: live.revision,
            keys: newest.id,
            lookup: token_hash::lookup(&newest.lookup, token),
            salt,
            verifier: token_hash::verifier(&newest.verifier, &salt, token),
        });
        drop(moving);
        self.moved.notify_one();
    }

    /// Returns when there is something for [`Accounts::move_tokens`].
    pub async fn tokens_to_move(&self) {
        self.moved.notified().await;
    }

    /// Moves the tokens that were put down to the newest keys; how many there were. They stay the same
    /// tokens: nothing that is open ends.
    ///
    /// # Errors
    /// [`AccountsError::Store`]; then they move at a later use.
    pub async fn move_tokens(&self) -> Result<usize, AccountsError> {
        let mut moves: Vec<(TokenId, Move)> = std::mem::take(&mut *self.moving()).into_iter().collect();
        let mut moved = 0;
        while !moves.is_empty() {
            let batch = moves.split_off(moves.len().saturating_sub(BATCH));
            let writing = self.writing().await;
            let newest = self.shared.keys.load().newest().id;
            let edits: Vec<Edit> = batch
                .into_iter()
                .filter(|(_, to)| to.keys == newest)
                .filter_map(|(id, to)| self.moved_token(id, to))
                .collect();
            moved += edits.len();
            if !edits.is_empty() {
                self.commit(writing, edits).await?;
            }
        }
        Ok(moved)
    }

    /// None when the token was revoked or changed since.
    fn moved_token(&self, id: TokenId, to: Move) -> Option<Edit> {
        let live = self.memory().tokens.by_id(id)?;
        if live.revision != to.revision {
            return None;
        }
        let mut record = live.record();
        record.keys = to.keys;
        record.lookup = to.lookup;
        record.salt = to.salt;
        record.verifier = to.verifier;
        let expect = Expect::Revision(live.revision);
        Some(Edit::put(Record::Token(record, live.overlap), expect))
    }

    fn moving(&self) -> std::sync::MutexGuard<'_, HashMap<TokenId, Move>> {
        // No code that could panic runs under this lock.
        self.moving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
