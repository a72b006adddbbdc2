//! What happens to tokens and sessions by itself: their last use is noted, and old things are swept away.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::live::{LiveToken, TokenId};
use super::record::{Edit, Record, revoked_key, used_key};
use super::tokens::revocation;
use super::{Accounts, AccountsError};
use crate::store::Expect;
use crate::time::Timestamp;

/// How long a revoked token is known as one.
const REMEMBERED: Duration = Duration::from_secs(365 * 24 * 3600);
/// How much is swept in one commit.
const BATCH: usize = 1000;

impl Accounts {
    /// Notes that a token was used. One load in the usual case; once an hour and token it is put down
    /// for [`Accounts::flush_used`].
    pub fn note_used(&self, token: &Arc<LiveToken>, now: Timestamp, address: Option<IpAddr>) {
        if token.note(now, address) {
            self.unsaved().push(token.id);
        }
    }

    /// The same for who has the public id only; an unknown one is ignored.
    pub fn note_used_by_id(&self, id: &str, now: Timestamp, address: Option<IpAddr>) {
        if let Some(token) = TokenId::parse(id).and_then(|id| self.memory().tokens.by_id(id)) {
            self.note_used(&token, now, address);
        }
    }

    /// Writes down the uses noted since the last time, in one commit; how many there were.
    ///
    /// # Errors
    /// [`AccountsError::Store`]; the uses are kept for the next time.
    pub async fn flush_used(&self) -> Result<usize, AccountsError> {
        let unseen = self.take_unseen();
        if unseen.is_empty() && self.unsaved().is_empty() {
            return Ok(0);
        }
        let writing = self.writing().await;
        let mut ids = std::mem::take(&mut *self.unsaved());
        ids.sort_unstable();
        ids.dedup();
        let edit = |id: &TokenId| {
            // Revoked meanwhile: nothing may be left behind.
            let used = self.memory().tokens.by_id(*id)?.used()?;
            Some(Edit::put(Record::Used(*id, used), Expect::Any))
        };
        let mut edits: Vec<Edit> = ids.iter().filter_map(edit).collect();
        edits.extend(unseen.iter().filter_map(|id| self.seen_edit(*id)));
        let count = edits.len();
        if count == 0 {
            return Ok(0);
        }
        let result = self.commit(writing, edits).await;
        if let Err(error) = result {
            self.unsaved().extend(ids);
            self.keep_unseen(unseen);
            return Err(error);
        }
        Ok(count)
    }

    /// Forgets revocations after a year, and turns rotated tokens whose overlap is over into revoked
    /// ones; how many there were.
    ///
    /// # Errors
    /// [`AccountsError::Store`]; what was not swept is swept the next time.
    pub async fn sweep(&self, now: Timestamp) -> Result<usize, AccountsError> {
        let year = i64::try_from(REMEMBERED.as_millis()).unwrap_or(i64::MAX);
        let long_ago = Timestamp::from_millis(now.as_millis().saturating_sub(year));
        let mut swept = self.sweep_grants(now).await?;
        for lookups in self.memory().tokens.revoked_before(long_ago).chunks(BATCH) {
            let forget = |lookup: &[u8; 16]| Edit::remove(revoked_key(lookup), Expect::Any);
            let edits: Vec<Edit> = lookups.iter().map(forget).collect();
            swept += edits.len();
            self.commit(self.writing().await, edits).await?;
        }
        loop {
            // Looked up under the lock: one may have been revoked meanwhile.
            let writing = self.writing().await;
            let mut over = self.memory().tokens.expired_overlaps(false, now);
            over.truncate(BATCH);
            if over.is_empty() {
                return Ok(swept);
            }
            let mut edits = Vec::with_capacity(3 * over.len());
            for token in &over {
                edits.extend(revocation(token, now));
                edits.push(Edit::remove(used_key(token.id), Expect::Any));
            }
            self.commit(writing, edits).await?;
            swept += over.len();
        }
    }

    fn unsaved(&self) -> std::sync::MutexGuard<'_, Vec<TokenId>> {
        // No code that could panic runs under this lock.
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
