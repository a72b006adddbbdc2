//! All tokens, found in the same time however many there are.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::live::{LiveToken, TokenId};
use super::{Flag, KeyUse};
use crate::model::{RevokedRecord, TokenRecord};
use crate::store::Revision;
use crate::time::Timestamp;

/// Enough that the workers rarely meet in one while an operator writes.
const SHARDS: usize = 16;

/// Look-up values are keyed digests: nobody outside can aim at a bucket.
type Keyed<V> = HashMap<[u8; 16], V, BuildHasherDefault<AsIs>>;

/// Read by every worker, written under the lock of `Accounts` only.
pub(super) struct TokenTable {
    shards: [RwLock<Keyed<Arc<LiveToken>>>; SHARDS],
    index: RwLock<Index>,
    /// When each was revoked, and the pair of keys that its look-up value was made with.
    revoked: RwLock<Keyed<(Timestamp, u32)>>,
}

/// The operator's way in.
#[derive(Default)]
struct Index {
    by_id: HashMap<TokenId, Arc<LiveToken>>,
    by_user: BTreeSet<(Arc<str>, TokenId)>,
    /// How many of them belong to grants.
    granted: usize,
}

impl TokenTable {
    pub(super) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            index: RwLock::default(),
            revoked: RwLock::default(),
        }
    }

    pub(super) fn find(&self, lookup: &[u8; 16]) -> Option<Arc<LiveToken>> {
        read(self.shard(lookup)).get(lookup).cloned()
    }

    /// How many there are that somebody made and looks after.
    pub(super) fn len(&self) -> usize {
        let index = read(&self.index);
        index.by_id.len() - index.granted
    }

    pub(super) fn is_revoked(&self, lookup: &[u8; 16]) -> bool {
        read(&self.revoked).contains_key(lookup)
    }

    pub(super) fn by_id(&self, id: TokenId) -> Option<Arc<LiveToken>> {
        read(&self.index).by_id.get(&id).cloned()
    }

    /// One user's tokens, or everyone's, in the order of users.
    pub(super) fn list(&self, user: Option<&str>) -> Vec<Arc<LiveToken>> {
        let index = read(&self.index);
        let token = |(_, id): &(Arc<str>, TokenId)| index.by_id.get(id).cloned();
        match user {
            None => index.by_user.iter().filter_map(token).collect(),
            Some(user) => {
                let user: Arc<str> = user.into();
                let range = (Arc::clone(&user), TokenId::MIN)..=(user, TokenId::MAX);
                index.by_user.range(range).filter_map(token).collect()
            }
        }
    }

    /// The token under that name, without those that it replaced.
    pub(super) fn by_name(&self, user: &str, name: &str) -> Option<Arc<LiveToken>> {
        self.list(Some(user))
            .into_iter()
            .find(|token| !token.overlap && token.name() == name)
    }

    /// Adds up what rests on which pair of keys.
    pub(super) fn count_by_key(&self, now: Timestamp, uses: &mut [KeyUse]) {
        for token in read(&self.index).by_id.values() {
            if let Some(of) = uses.iter_mut().find(|of| of.id == token.keys) {
                of.tokens += 1;
                of.expired += usize::from(token.is_expired(now));
            }
        }
        for (_, keys) in read(&self.revoked).values() {
            if let Some(of) = uses.iter_mut().find(|of| of.id == *keys) {
                of.revoked += 1;
            }
        }
    }

    pub(super) fn revoked_before(&self, moment: Timestamp) -> Vec<[u8; 16]> {
        let revoked = read(&self.revoked);
        let old = revoked.iter().filter(|(_, (at, _))| *at < moment);
        old.map(|(lookup, _)| *lookup).collect()
    }

    /// The replaced tokens that have expired: those of grants, or the others.
    pub(super) fn expired_overlaps(&self, of_grants: bool, now: Timestamp) -> Vec<Arc<LiveToken>> {
        let index = read(&self.index);
        let gone = index
            .by_id
            .values()
            .filter(|token| token.overlap && token.grant.is_some() == of_grants && token.is_expired(now));
        gone.cloned().collect()
    }

    /// Puts a token in the place of the one with the same id, if there is one. Readers see the one or
    /// the other and never neither. False when it is the same token under newer keys.
    pub(super) fn put(
        &self,
        record: TokenRecord,
        id: TokenId,
        overlap: bool,
        revision: Revision,
        down: &mut Vec<Flag>,
    ) -> bool {
        let mut index = write(&self.index);
        let user = match index
            .by_user
            .range((Arc::from(record.user.as_str()), TokenId::MIN)..)
            .next()
        {
            // One copy of the name for all the tokens of a user.
            Some((user, _)) if **user == *record.user => Arc::clone(user),
            _ => Arc::from(record.user.as_str()),
        };
        let mut token = LiveToken::new(record, id, Arc::clone(&user), overlap, revision);
        let mut altered = true;
        if let Some(before) = index.by_id.get(&id) {
            if let Some(used) = before.used() {
                token.set_used(&used);
            }
            if token.is_moved(before) {
                altered = false;
            } else if !token.take_over(before) {
                down.push(before.flag().clone());
            }
        }
        let granted = usize::from(token.grant.is_some());
        let token = Arc::new(token);
        let before = index.by_id.insert(id, Arc::clone(&token));
        let instead = usize::from(before.as_ref().is_some_and(|before| before.grant.is_some()));
        index.granted = index.granted + granted - instead;
        index.by_user.insert((user, id));
        let lookup = token.lookup;
        write(self.shard(&lookup)).insert(lookup, token);
        if let Some(before) = before.filter(|before| before.lookup != lookup) {
            write(self.shard(&before.lookup)).remove(&before.lookup);
        }
        altered
    }

    pub(super) fn remove(&self, id: TokenId, down: &mut Vec<Flag>) {
        let mut index = write(&self.index);
        if let Some(token) = index.by_id.remove(&id) {
            index.by_user.remove(&(Arc::clone(&token.user), id));
            index.granted -= usize::from(token.grant.is_some());
            write(self.shard(&token.lookup)).remove(&token.lookup);
            down.push(token.flag().clone());
        }
    }

    pub(super) fn put_revoked(&self, lookup: [u8; 16], record: &RevokedRecord) {
        write(&self.revoked).insert(lookup, (record.revoked, record.keys));
    }

    pub(super) fn remove_revoked(&self, lookup: &[u8; 16]) {
        write(&self.revoked).remove(lookup);
    }

    fn shard(&self, lookup: &[u8; 16]) -> &RwLock<Keyed<Arc<LiveToken>>> {
        &self.shards[usize::from(lookup[0]) % SHARDS]
    }
}

/// Takes the last eight bytes of a digest for their hash. The shard was chosen by the first.
#[derive(Default)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last_chunk() {
            self.0 = u64::from_le_bytes(*last);
        }
    }

    // The length of the array, which says nothing.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

/// No code that could panic half-way runs under these locks.
pub(super) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;

    #[test]
    fn the_hash_of_a_digest_is_its_end() {
        let mut lookup = [0; 16];
        lookup[8..].copy_from_slice(&0x0123_4567_89ab_cdef_u64.to_le_bytes());
        let hash = BuildHasherDefault::<AsIs>::default().hash_one(lookup);
        assert_eq!(hash, 0x0123_4567_89ab_cdef);
    }

    // What a token costs beside its texts: the bound is 600 bytes for a million tokens.
    #[test]
    fn a_token_costs_at_most_600_bytes() {
        const ALLOCATION: usize = 16;
        let counts = 2 * size_of::<usize>();
        let token = size_of::<LiveToken>() + counts + ALLOCATION;
        assert!(size_of::<LiveToken>() <= 256, "{}", size_of::<LiveToken>());
        let flag = 24 + ALLOCATION;
        // A name, a scope and a network of usual size, each an allocation of its own.
        let texts = (16 + ALLOCATION) + (32 + ALLOCATION) + (size_of::<ipnet::IpNet>() + ALLOCATION);
        // A hash table is at least 7/16 full, with one control byte an entry; a B-tree about 2/3.
        let table = |entry: usize| (entry + 1) * 16 / 7;
        let by_lookup = table(size_of::<([u8; 16], Arc<LiveToken>)>());
        let by_id = table(size_of::<(TokenId, Arc<LiveToken>)>());
        let by_user = size_of::<(Arc<str>, TokenId)>() * 3 / 2;
        let all = token + flag + texts + by_lookup + by_id + by_user;
        assert!(all <= 600, "{all} bytes");
    }
}
