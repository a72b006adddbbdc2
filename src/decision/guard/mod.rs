//! Whether this client may ask at all: bans after failures, and rates.
//!
//! Process-wide, so that no choice of core helps a client. A request whose credential is known
//! does not come by here (unless `rate_allowed` is on); all others meet one load of a shared
//! table and one of an atomic.

mod bans;
mod failures;
mod guesses;
mod rates;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use tokio::sync::mpsc;

use crate::authn::Identity;
use crate::config::settings;
use crate::crypto::mac::Digest;
use crate::model::BanRecord;
use crate::request::Client;
use crate::time::{Clock, Timestamp};

pub use bans::Bans;
use failures::Failures;
use guesses::Guesses;
pub use guesses::{Guess, Guessed, Standing};
use rates::{KeyRef, Rates};

/// A ban never grows longer than this.
const LONGEST_BAN: Duration = Duration::from_secs(24 * 3600);

/// Bans, failures and rates of the process.
pub struct Guard {
    rules: ArcSwap<Rules>,
    bans: ArcSwap<Bans>,
    failures: Failures,
    guesses: Guesses,
    refused: Rates,
    allowed: Rates,
    changes: mpsc::UnboundedSender<BanChange>,
}

/// What has to be written down, by whoever owns the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BanChange {
    /// A network was banned, or its ban changed.
    Put(BanRecord),
    /// A ban was lifted or has long ended.
    Remove(IpNet),
}

/// The settings that the guard needs.
#[derive(Clone, Debug)]
pub struct Rules {
    /// `[guard]`
    pub guard: settings::Guard,
    /// Never banned: a ban would shut out everyone behind it.
    pub proxies: Vec<IpNet>,
}

/// Why a client may not ask now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttled {
    /// When to come back.
    pub retry_after: Duration,
    /// `banned`, `rate` or `guesses`.
    pub why: &'static str,
}

impl Guard {
    /// A guard with the bans of an earlier life. What changes is sent to `changes`.
    pub fn new(
        rules: Rules,
        records: Vec<BanRecord>,
        clock: Clock,
        changes: mpsc::UnboundedSender<BanChange>,
    ) -> Self {
        Self {
            refused: Rates::new(rules.guard.rate, clock.clone()),
            allowed: Rates::new(rules.guard.rate_allowed, clock),
            rules: ArcSwap::from_pointee(rules),
            bans: ArcSwap::from_pointee(Bans::new(records)),
            failures: Failures::default(),
            guesses: Guesses::default(),
            changes,
        }
    }

    /// Takes new settings; bans and counts stay.
    pub fn reload(&self, rules: Rules) {
        self.refused.set(rules.guard.rate);
        self.allowed.set(rules.guard.rate_allowed);
        self.rules.store(Arc::new(rules));
    }

    /// Whether a client without a known credential may ask.
    ///
    /// # Errors
    /// Banned, or too fast.
    pub fn admit(&self, client: Client, now: Timestamp) -> Result<(), Throttled> {
        if let Client::Address(address) = client {
            let bans = self.bans.load();
            if !bans.is_empty()
                && let Some(left) = bans.left(bucket_address(address), now)
            {
                return Err(Throttled {
                    retry_after: left,
                    why: "banned",
                });
            }
        }
        self.refused
            .blocked(Rates::client_key(client).borrowed())
            .map_or(Ok(()), too_fast)
    }

    /// Spends from the rate of a client whose request was not allowed.
    ///
    /// # Errors
    /// Too fast.
    pub fn spend_refused(&self, client: Client) -> Result<(), Throttled> {
        match self.refused.spending() {
            Some(refused) => refused
                .spend(Rates::client_key(client).borrowed())
                .map_or(Ok(()), too_fast),
            None => Ok(()),
        }
    }

    /// Whether allowed requests have a rate at all.
    #[inline]
    pub fn limits_allowed(&self) -> bool {
        self.allowed.is_on()
    }

    /// Spends from the rates of client, user and token of an allowed request. Nothing to do, and
    /// nothing shared is touched, while `rate_allowed` is off.
    ///
    /// # Errors
    /// Too fast.
    pub fn spend_allowed(&self, client: Client, who: Option<&Identity>) -> Result<(), Throttled> {
        let Some(allowed) = self.allowed.spending() else {
            return Ok(());
        };
        allowed
            .spend(Rates::client_key(client).borrowed())
            .map_or(Ok(()), too_fast)?;
        if let Some(who) = who {
            allowed.spend(KeyRef::User(who.name())).map_or(Ok(()), too_fast)?;
            if let Some(token) = &who.token {
                allowed.spend_from(&token.allowance).map_or(Ok(()), too_fast)?;
            }
        }
        Ok(())
    }

    /// Counts a presented credential that is malformed or never existed. The same one again
    /// counts once per window. Returns the ban, when this failure brought one.
    pub fn failed(&self, client: Client, credential: &Digest, now: Timestamp) -> Option<BanRecord> {
        let Client::Address(address) = client else {
            return None;
        };
        let rules = self.rules.load();
        let address = bucket_address(address);
        let protected = |network: &IpNet| {
            rules
                .guard
                .exempt
                .iter()
                .chain(&rules.proxies)
                .any(|safe| overlaps(safe, network))
        };
        let reached = self
            .failures
            .count(address, credential, &rules.guard, now, protected)?;
        Some(self.ban_for_failures(reached, &rules, now))
    }

    /// Whether that may be guessed at now, and counts it until [`Guard::no_wrong_guess`] takes it back.
    ///
    /// # Errors
    /// Too many wrong guesses at this account, from there or by strangers.
    pub fn admit_guess(&self, guess: &Guess, now: Timestamp) -> Result<(), Throttled> {
        let rules = self.rules.load();
        self.guesses
            .charge(guess, rules.guard.guesses, rules.guard.guess_window, now)
    }

    /// A guess was right, or nobody could judge it.
    pub fn no_wrong_guess(&self, guess: &Guess) {
        self.guesses.take_back(guess);
    }

    /// Remembers from where an account came in.
    pub fn has_come_in(&self, account: &Digest, client: Client, now: Timestamp) {
        self.guesses.remember(account, client, now);
    }

    /// Whether an account came in from there lately.
    pub fn knows(&self, account: &Digest, client: Client, now: Timestamp) -> bool {
        self.guesses.is_known(account, client, now)
    }

    /// An operator's ban; `length` none: without end.
    ///
    /// # Errors
    /// The trusted proxy or exempt network that it would hit.
    pub fn ban(&self, network: IpNet, length: Option<Duration>, now: Timestamp) -> Result<BanRecord, IpNet> {
        let network = network.trunc();
        let rules = self.rules.load();
        let mut spared = rules.proxies.iter().chain(&rules.guard.exempt);
        if let Some(spared) = spared.find(|spared| overlaps(spared, &network)) {
            return Err(*spared);
        }
        let record = BanRecord {
            network,
            since: now,
            until: length.map(|length| now.plus(length)),
            times: 1,
            why: "operator".into(),
        };
        self.put(&record);
        Ok(record)
    }

    /// Lifts every ban that covers, or lies in, this network; returns them.
    pub fn unban(&self, network: IpNet) -> Vec<BanRecord> {
        let lifted = self.bans.load().covering(&network.trunc());
        self.bans.rcu(|bans| {
            let mut bans = Bans::clone(bans);
            for record in &lifted {
                bans.remove(&record.network);
            }
            bans
        });
        for record in &lifted {
            self.failures.forget(&record.network);
            let _ = self.changes.send(BanChange::Remove(record.network));
        }
        lifted
    }

    /// The bans in force, in order of their networks.
    pub fn bans(&self, now: Timestamp) -> Vec<BanRecord> {
        self.bans.load().in_force(now)
    }

    /// All bans, also those that ended but make the next one longer: what is to be written down.
    pub fn records(&self) -> Vec<BanRecord> {
        self.bans.load().all()
    }

    /// How many bans are in force.
    pub fn banned(&self, now: Timestamp) -> usize {
        self.bans.load().in_force(now).len()
    }

    /// Forgets bans that ended so long ago that a repeat no longer doubles, and idle counts.
    pub fn sweep(&self, now: Timestamp) {
        let ended = self.bans.load().ended_before(now, LONGEST_BAN);
        if !ended.is_empty() {
            self.bans.rcu(|bans| {
                let mut bans = Bans::clone(bans);
                for network in &ended {
                    bans.remove(network);
                }
                bans
            });
            for network in ended {
                let _ = self.changes.send(BanChange::Remove(network));
            }
        }
        let rules = self.rules.load();
        self.failures.sweep(rules.guard.window, now);
        self.guesses.sweep(rules.guard.guess_window, now);
    }

    fn ban_for_failures(&self, network: IpNet, rules: &Rules, now: Timestamp) -> BanRecord {
        let times = self.bans.load().times(&network).saturating_add(1);
        let doubled = rules.guard.ban_for.saturating_mul(1 << (times - 1).min(20));
        let record = BanRecord {
            network,
            since: now,
            until: Some(now.plus(doubled.min(LONGEST_BAN.max(rules.guard.ban_for)))),
            times,
            why: "failures".into(),
        };
        self.put(&record);
        record
    }

    fn put(&self, record: &BanRecord) {
        let mut evicted = None;
        self.bans.rcu(|bans| {
            let mut bans = Bans::clone(bans);
            evicted = bans.put(record.clone());
            bans
        });
        // The receiver is gone only while the process ends.
        let _ = self.changes.send(BanChange::Put(record.clone()));
        if let Some(network) = evicted {
            let _ = self.changes.send(BanChange::Remove(network));
        }
    }
}

fn too_fast(retry_after: Duration) -> Result<(), Throttled> {
    Err(Throttled {
        retry_after,
        why: "rate",
    })
}

fn overlaps(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}

/// The address that counts: an IPv4 address inside NAT64 (RFC 6052), 6to4 (RFC 3056) or a mapped
/// IPv6 one counts as itself, else one IPv4 client would own 2^64 keys.
fn bucket_address(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return v4.into();
    }
    let [a, b, .., y, z] = v6.segments();
    let embedded = |high: u16, low: u16| {
        let ([h1, h2], [l1, l2]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::from([h1, h2, l1, l2])
    };
    match (a, b) {
        (0x64, 0xff9b) if v6.segments()[2..6] == [0; 4] => embedded(y, z),
        (0x2002, high) => embedded(high, v6.segments()[2]),
        _ => address,
    }
}

/// Whether two addresses are counted as one client.
pub(super) fn are_neighbours(one: IpAddr, other: IpAddr) -> bool {
    bucket(bucket_address(one)) == bucket(bucket_address(other))
}

/// A number for the network of a client, to share a queue by.
pub(super) fn share(client: Client) -> u64 {
    let (Client::Address(address) | Client::Proxy(address)) = client else {
        return u64::MAX;
    };
    match bucket(bucket_address(address)).addr() {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => u64::try_from(v6.to_bits() >> 64).unwrap_or(u64::MAX),
    }
}

/// The network by which a client is counted: IPv4 /32, IPv6 /64.
fn bucket(address: IpAddr) -> IpNet {
    let bits = if address.is_ipv4() { 32 } else { 64 };
    IpNet::new(address, bits).map_or_else(|_| IpNet::from(address), |network| network.trunc())
}

#[cfg(test)]
mod tests;
