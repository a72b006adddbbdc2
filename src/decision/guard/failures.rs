//! Failures per client network, in a window, each credential once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;

use super::bucket;
use crate::config::settings;
use crate::crypto::mac::Digest;
use crate::time::Timestamp;

const SHARDS: usize = 16;
/// Networks that are counted at once, in each shard.
const MOST_PER_SHARD: usize = 4096;
/// So many failing neighbours widen an IPv6 ban.
const NEIGHBOURS: usize = 8;

/// Counts. Locks are taken on a failure only, never on an allowed request.
#[derive(Default)]
pub(super) struct Failures {
    shards: [Mutex<HashMap<IpNet, Vec<Failure>>>; SHARDS],
}

#[derive(Clone, Copy)]
struct Failure {
    when: Timestamp,
    credential: u64,
    /// The /64, /32 or /56 that failed, as part of the wider network that counts it.
    child: IpNet,
}

impl Failures {
    /// Counts one. The network to ban, when the threshold is reached.
    pub(super) fn count(
        &self,
        address: IpAddr,
        credential: &Digest,
        guard: &settings::Guard,
        now: Timestamp,
        protected: impl Fn(&IpNet) -> bool,
    ) -> Option<IpNet> {
        let own = bucket(address);
        if protected(&own) {
            return None;
        }
        let [a, b, c, d, e, f, g, h, ..] = *credential;
        let failure = Failure {
            when: now,
            credential: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            child: own,
        };
        let most = usize::try_from(guard.failures).unwrap_or(usize::MAX).max(1);
        let mut reached = self.note(own, failure, guard.window, most, 1);
        if address.is_ipv6() {
            // A client that owns more than a /64 rotates through it: its neighbours count together.
            let mut child = own;
            for length in [56, 48] {
                let Ok(wider) = IpNet::new(address, length).map(|network| network.trunc()) else {
                    break;
                };
                let failure = Failure { child, ..failure };
                if protected(&wider) {
                    break;
                }
                if let Some(network) =
                    self.note(wider, failure, guard.window, most.max(NEIGHBOURS), NEIGHBOURS)
                {
                    reached = Some(network);
                }
                child = wider;
            }
        }
        reached
    }

    /// Forgets what a network has failed.
    pub(super) fn forget(&self, network: &IpNet) {
        for shard in &self.shards {
            locked(shard).retain(|counted, _| !super::overlaps(counted, network));
        }
    }

    /// Forgets what is older than the window.
    pub(super) fn sweep(&self, window: Duration, now: Timestamp) {
        for shard in &self.shards {
            locked(shard)
                .retain(|_, failures| failures.iter().any(|failure| now.since(failure.when) < window));
        }
    }

    /// How many networks are counted now.
    #[cfg(test)]
    pub(super) fn counted(&self) -> usize {
        self.shards.iter().map(|shard| locked(shard).len()).sum()
    }

    fn note(
        &self,
        network: IpNet,
        failure: Failure,
        window: Duration,
        most: usize,
        children: usize,
    ) -> Option<IpNet> {
        let mut shard = locked(&self.shards[shard_of(&network)]);
        if shard.len() >= MOST_PER_SHARD && !shard.contains_key(&network) {
            // The oldest of a few, not of all: a full table must not make every failure slow.
            let oldest = shard
                .iter()
                .take(16)
                .min_by_key(|(_, failures)| failures.last().map_or(i64::MIN, |last| last.when.as_millis()))
                .map(|(network, _)| *network);
            if let Some(oldest) = oldest {
                shard.remove(&oldest);
            }
        }
        let failures = shard.entry(network).or_default();
        failures.retain(|old| failure.when.since(old.when) < window);
        if failures
            .iter()
            .any(|old| old.credential == failure.credential && old.child == failure.child)
        {
            return None;
        }
        // A count beyond what decides would only cost memory: drop the oldest.
        if failures.len() >= most.max(64) {
            failures.remove(0);
        }
        failures.push(failure);
        let mut distinct: Vec<IpNet> = failures.iter().map(|failure| failure.child).collect();
        distinct.sort_unstable();
        distinct.dedup();
        if failures.len() >= most && distinct.len() >= children {
            shard.remove(&network);
            return Some(network);
        }
        None
    }
}

fn shard_of(network: &IpNet) -> usize {
    let sum = match network.addr() {
        IpAddr::V4(v4) => v4
            .octets()
            .iter()
            .fold(0usize, |sum, byte| sum * 31 + usize::from(*byte)),
        IpAddr::V6(v6) => v6.octets()[..8]
            .iter()
            .fold(7usize, |sum, byte| sum * 31 + usize::from(*byte)),
    };
    sum % SHARDS
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic inside leaves a count that is off by one, which is better than no counting.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
