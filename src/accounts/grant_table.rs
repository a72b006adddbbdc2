//! All grants, those that have ended included. There are as many as people have apps.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, RwLock};

use super::table::{read, write};
use crate::model::GrantRecord;

/// Written under the lock of `Accounts` only.
#[derive(Default)]
pub(super) struct GrantTable(RwLock<Index>);

#[derive(Default)]
struct Index {
    by_id: BTreeMap<String, Arc<GrantRecord>>,
    /// The id of the grant, by what its refresh tokens have in common.
    by_family: HashMap<[u8; 16], String>,
}

impl GrantTable {
    pub(super) fn by_id(&self, id: &str) -> Option<Arc<GrantRecord>> {
        read(&self.0).by_id.get(id).cloned()
    }

    pub(super) fn by_family(&self, family: &[u8; 16]) -> Option<Arc<GrantRecord>> {
        let index = read(&self.0);
        index
            .by_family
            .get(family)
            .and_then(|id| index.by_id.get(id))
            .cloned()
    }

    pub(super) fn select(&self, which: impl Fn(&GrantRecord) -> bool) -> Vec<Arc<GrantRecord>> {
        let index = read(&self.0);
        let chosen = index.by_id.values().filter(|grant| which(grant));
        chosen.cloned().collect()
    }

    pub(super) fn put(&self, grant: GrantRecord) {
        let mut index = write(&self.0);
        index.by_family.insert(grant.family, grant.id.clone());
        index.by_id.insert(grant.id.clone(), Arc::new(grant));
    }

    pub(super) fn remove(&self, id: &str) {
        let mut index = write(&self.0);
        if let Some(grant) = index.by_id.remove(id) {
            index.by_family.remove(&grant.family);
        }
    }
}
