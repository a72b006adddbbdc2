//! The table of bans: a probe per prefix length in use, whatever the number of bans.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::model::BanRecord;
use crate::time::Timestamp;

/// More would only help whoever makes them. About 10 MiB.
const MOST: usize = 65_536;

/// Every ban, in force or remembered so that a repeat doubles. A snapshot: changed by copy,
/// which is rare, and read without a lock.
#[derive(Clone, Debug, Default)]
pub struct Bans {
    records: HashMap<IpNet, BanRecord>,
    /// The prefix lengths in use, per family: almost always one or two.
    lengths: [Vec<u8>; 2],
}

impl Bans {
    pub(super) fn new(records: Vec<BanRecord>) -> Self {
        let mut bans = Self::default();
        for record in records {
            bans.put(record);
        }
        bans
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How long the address stays banned; none: it is not.
    pub(super) fn left(&self, address: IpAddr, now: Timestamp) -> Option<Duration> {
        self.lengths[family(address)]
            .iter()
            .filter_map(|length| self.records.get(&IpNet::new(address, *length).ok()?.trunc()))
            .filter_map(|record| remaining(record, now))
            .max()
    }

    /// Adds or replaces; returns the one that had to go because the table is full: the ban that
    /// ends soonest, so that an attacker's newest never displace the longest.
    pub(super) fn put(&mut self, record: BanRecord) -> Option<IpNet> {
        let mut evicted = None;
        if self.records.len() >= MOST && !self.records.contains_key(&record.network) {
            evicted = self
                .records
                .values()
                .min_by_key(|record| record.until.map_or(i64::MAX, Timestamp::as_millis))
                .map(|record| record.network);
            if let Some(network) = evicted {
                self.records.remove(&network);
            }
        }
        let lengths = &mut self.lengths[family(record.network.addr())];
        if !lengths.contains(&record.network.prefix_len()) {
            lengths.push(record.network.prefix_len());
        }
        self.records.insert(record.network, record);
        evicted
    }

    pub(super) fn remove(&mut self, network: &IpNet) {
        self.records.remove(network);
        let (kind, length) = (family(network.addr()), network.prefix_len());
        let still = self
            .records
            .keys()
            .any(|other| family(other.addr()) == kind && other.prefix_len() == length);
        if !still {
            self.lengths[kind].retain(|other| *other != length);
        }
    }

    /// How many times in a row the network was banned for failures.
    pub(super) fn times(&self, network: &IpNet) -> u32 {
        self.records
            .get(network)
            .filter(|record| record.why == "failures")
            .map_or(0, |record| record.times)
    }

    pub(super) fn all(&self) -> Vec<BanRecord> {
        self.records.values().cloned().collect()
    }

    pub(super) fn in_force(&self, now: Timestamp) -> Vec<BanRecord> {
        let mut list: Vec<BanRecord> = self
            .records
            .values()
            .filter(|record| remaining(record, now).is_some())
            .cloned()
            .collect();
        list.sort_by_key(|record| record.network);
        list
    }

    pub(super) fn covering(&self, network: &IpNet) -> Vec<BanRecord> {
        self.records
            .values()
            .filter(|record| super::overlaps(&record.network, network))
            .cloned()
            .collect()
    }

    pub(super) fn ended_before(&self, now: Timestamp, age: Duration) -> Vec<IpNet> {
        self.records
            .values()
            .filter(|record| record.until.is_some_and(|until| until.plus(age) < now))
            .map(|record| record.network)
            .collect()
    }
}

fn remaining(record: &BanRecord, now: Timestamp) -> Option<Duration> {
    match record.until {
        None => Some(super::LONGEST_BAN),
        Some(until) if now < until => Some(until.since(now)),
        Some(_) => None,
    }
}

fn family(address: IpAddr) -> usize {
    usize::from(address.is_ipv6())
}
