//! All logins, found in the same time however many there are.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;
use std::sync::{Arc, RwLock};

use super::Flag;
use super::live::TokenId;
use super::live_session::LiveSession;
use super::table::{AsIs, read, write};
use crate::model::SessionRecord;
use crate::time::Timestamp;

/// Read by every worker when its own memory does not know a cookie, written under the lock of
/// `Accounts` only.
#[derive(Default)]
pub(super) struct SessionTable(RwLock<Index>);

#[derive(Default)]
struct Index {
    /// Look-up values are digests of what we drew ourselves: nobody can fill a bucket.
    by_lookup: HashMap<[u8; 16], Arc<LiveSession>, BuildHasherDefault<AsIs>>,
    by_user: BTreeMap<(Arc<str>, TokenId), Arc<LiveSession>>,
    by_id: HashMap<TokenId, Arc<LiveSession>>,
}

impl SessionTable {
    pub(super) fn find(&self, lookup: &[u8; 16]) -> Option<Arc<LiveSession>> {
        read(&self.0).by_lookup.get(lookup).cloned()
    }

    pub(super) fn by_id(&self, id: TokenId) -> Option<Arc<LiveSession>> {
        read(&self.0).by_id.get(&id).cloned()
    }

    pub(super) fn len(&self) -> usize {
        read(&self.0).by_id.len()
    }

    /// One user's, or everyone's, in the order of users.
    pub(super) fn list(&self, user: Option<&str>) -> Vec<Arc<LiveSession>> {
        let index = read(&self.0);
        match user {
            None => index.by_user.values().cloned().collect(),
            Some(user) => {
                let user: Arc<str> = user.into();
                let range = (Arc::clone(&user), TokenId::MIN)..=(user, TokenId::MAX);
                index
                    .by_user
                    .range(range)
                    .map(|(_, session)| Arc::clone(session))
                    .collect()
            }
        }
    }

    pub(super) fn over(&self, now: Timestamp) -> Vec<Arc<LiveSession>> {
        let index = read(&self.0);
        let over = index.by_id.values().filter(|session| !session.is_live(now));
        over.cloned().collect()
    }

    /// A record never changes: the one that is there stays, with the moment of its last use.
    pub(super) fn put(&self, record: SessionRecord, id: TokenId) {
        let mut index = write(&self.0);
        if index.by_lookup.contains_key(&record.lookup) {
            return;
        }
        let session = Arc::new(LiveSession::new(record, id));
        index
            .by_lookup
            .insert(session.record.lookup, Arc::clone(&session));
        index
            .by_user
            .insert((Arc::clone(&session.user), id), Arc::clone(&session));
        index.by_id.insert(id, session);
    }

    pub(super) fn remove(&self, lookup: &[u8; 16], down: &mut Vec<Flag>) {
        let mut index = write(&self.0);
        if let Some(session) = index.by_lookup.remove(lookup) {
            index.by_user.remove(&(Arc::clone(&session.user), session.id));
            index.by_id.remove(&session.id);
            down.push(session.flag().clone());
        }
    }
}
