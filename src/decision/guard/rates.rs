//! Rates per client, user and token: the generic cell rate algorithm (ITU-T I.371), in a bounded table; for tokens beside
//! what is known of each.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use ipnet::IpNet;
use quick_cache::Equivalent;
use quick_cache::sync::Cache;

use super::{bucket, bucket_address};
use crate::authn::identity::Allowance;
use crate::config::settings::Rate;
use crate::request::Client;
use crate::time::Clock;

/// Keys that are limited at once; the least used goes first.
const MOST: usize = 65_536;

/// One rate, for many keys.
pub(super) struct Rates {
    on: AtomicBool,
    /// How many rates there were: an [`Allowance`] of another one counts for nothing.
    number: AtomicU32,
    quota: ArcSwapOption<Quota>,
    buckets: Cache<Key, Arc<Bucket>>,
    clock: Clock,
}

/// What is limited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Client(IpNet),
    /// Everyone behind a proxy that names no client: no other proxy's clients.
    Proxy(IpAddr),
    /// Everyone behind a unix socket that names no client.
    Unix,
    User(Box<str>),
}

/// The same to look for: a request that is no news needs no memory of its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum KeyRef<'k> {
    Client(IpNet),
    Proxy(IpAddr),
    Unix,
    User(&'k str),
}

impl Key {
    pub(super) fn borrowed(&self) -> KeyRef<'_> {
        match self {
            Key::Client(network) => KeyRef::Client(*network),
            Key::Proxy(address) => KeyRef::Proxy(*address),
            Key::Unix => KeyRef::Unix,
            Key::User(name) => KeyRef::User(name),
        }
    }
}

impl KeyRef<'_> {
    fn to_key(self) -> Key {
        match self {
            KeyRef::Client(network) => Key::Client(network),
            KeyRef::Proxy(address) => Key::Proxy(address),
            KeyRef::Unix => Key::Unix,
            KeyRef::User(name) => Key::User(name.into()),
        }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.borrowed().hash(state);
    }
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self == key.borrowed()
    }
}

/// How often: one more `interval` after the last, and `burst` of them at once; in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Quota {
    interval: u64,
    burst: u64,
}

#[derive(Debug, Default)]
struct Bucket {
    allowance: Allowance,
    /// Nanoseconds of the clock until which nothing is left to spend.
    blocked_until: AtomicU64,
}

/// A rate at one moment, to spend from: one look at it and at the clock for all keys of a request.
pub(super) struct Spending<'r> {
    rates: &'r Rates,
    number: u32,
    quota: Quota,
    now: u64,
}

impl Rates {
    pub(super) fn new(rate: Option<Rate>, clock: Clock) -> Self {
        let rates = Self {
            on: AtomicBool::new(false),
            number: AtomicU32::new(0),
            quota: ArcSwapOption::empty(),
            buckets: Cache::new(MOST),
            clock,
        };
        rates.set(rate);
        rates
    }

    /// Takes a new rate; what was spent of the old one is forgotten when it differs.
    pub(super) fn set(&self, rate: Option<Rate>) {
        let quota = rate.and_then(Quota::of);
        let other = self.quota.load().as_deref().copied() != quota;
        if other {
            self.buckets.clear();
        }
        self.on.store(quota.is_some(), Ordering::Release);
        self.quota.store(quota.map(Arc::new));
        // Who sees the new number sees the new rate, and spends nothing of an older one under it.
        if other {
            self.number.fetch_add(1, Ordering::Release);
        }
    }

    pub(super) fn client_key(client: Client) -> Key {
        match client {
            Client::Address(address) => Key::Client(bucket(bucket_address(address))),
            Client::Proxy(address) => Key::Proxy(address),
            Client::Unix => Key::Unix,
        }
    }

    /// How long nothing is left to spend for that key; it spends nothing.
    pub(super) fn blocked(&self, key: KeyRef<'_>) -> Option<Duration> {
        if !self.is_on() {
            return None;
        }
        let bucket = self.buckets.get(&key)?;
        let until = bucket.blocked_until.load(Ordering::Relaxed);
        // Nobody is, nearly always: then nobody needs to know the time.
        let left = until.checked_sub(1)?.saturating_sub(self.now());
        (left > 0).then(|| Duration::from_nanos(left))
    }

    /// None: there is no rate. Nothing that is shared is touched then.
    pub(super) fn spending(&self) -> Option<Spending<'_>> {
        if !self.is_on() {
            return None;
        }
        let number = self.number.load(Ordering::Acquire);
        Some(Spending {
            rates: self,
            number,
            quota: *self.quota.load().as_deref()?,
            now: self.now(),
        })
    }

    #[inline]
    pub(super) fn is_on(&self) -> bool {
        self.on.load(Ordering::Acquire)
    }

    fn now(&self) -> u64 {
        nanos(self.clock.monotonic())
    }

    #[cfg(test)]
    pub(super) fn buckets(&self) -> usize {
        self.buckets.len()
    }
}

impl Spending<'_> {
    /// Spends one; how long to wait if there is none.
    pub(super) fn spend(&self, key: KeyRef<'_>) -> Option<Duration> {
        let buckets = &self.rates.buckets;
        let bucket = match buckets.get(&key) {
            Some(bucket) => bucket,
            None => {
                let fresh = Arc::new(Bucket::default());
                buckets.insert(key.to_key(), Arc::clone(&fresh));
                fresh
            }
        };
        let wait = self.spend_from(&bucket.allowance)?;
        let until = self.now.saturating_add(nanos(wait));
        bucket.blocked_until.fetch_max(until, Ordering::Relaxed);
        Some(wait)
    }

    /// The same of what is known beside its key.
    pub(super) fn spend_from(&self, allowance: &Allowance) -> Option<Duration> {
        if allowance.rate.load(Ordering::Relaxed) != self.number {
            allowance.spent.store(0, Ordering::Relaxed);
            allowance.rate.store(self.number, Ordering::Relaxed);
        }
        self.quota
            .spend_at(self.now, &allowance.spent)
            .err()
            .map(Duration::from_nanos)
    }
}

impl Quota {
    fn of(rate: Rate) -> Option<Self> {
        let interval = nanos(rate.per.checked_div(rate.count)?);
        (interval > 0).then_some(Self {
            interval,
            burst: rate.burst.max(1).into(),
        })
    }

    /// `spent` is the moment at which all of it is made up for. One more is due `interval` after the last, and `burst` of
    /// them may be due at once.
    ///
    /// # Errors
    /// So many nanoseconds too early.
    fn spend_at(self, now: u64, spent: &AtomicU64) -> Result<(), u64> {
        let latest = now.saturating_add(self.interval.saturating_mul(self.burst));
        let due = |spent: u64| spent.max(now).saturating_add(self.interval);
        spent
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |spent| {
                Some(due(spent)).filter(|due| *due <= latest)
            })
            .map(drop)
            .map_err(|spent| due(spent) - latest)
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_then_one_each_interval() {
        let spent = AtomicU64::new(0);
        let quota = Quota {
            interval: 10,
            burst: 3,
        };
        let spend = |now| quota.spend_at(now, &spent);
        assert_eq!([spend(1000), spend(1000), spend(1000)], [Ok(()); 3]);
        assert_eq!((spend(1000), spend(1004)), (Err(10), Err(6)));
        assert_eq!((spend(1010), spend(1010)), (Ok(()), Err(10)));
        // All of it is back after the burst's time, and not more.
        assert_eq!(
            [spend(2000), spend(2000), spend(2000), spend(2000)],
            [Ok(()), Ok(()), Ok(()), Err(10)]
        );
    }

    #[test]
    fn another_rate_begins_anew() {
        let clock = Clock::manual(crate::time::Timestamp::from_millis(1_000_000));
        let rate = |count, seconds, burst| {
            Some(Rate {
                count,
                per: Duration::from_secs(seconds),
                burst,
            })
        };
        let rates = Rates::new(rate(10, 86_400, 10), clock);
        let allowance = Allowance::default();
        let left = |rates: &Rates| {
            (0..5000)
                .take_while(|_| {
                    rates
                        .spending()
                        .is_some_and(|now| now.spend_from(&allowance).is_none())
                })
                .count()
        };
        assert_eq!((left(&rates), left(&rates)), (10, 0));
        rates.set(rate(10, 86_400, 10));
        assert_eq!(left(&rates), 0, "the same rate goes on");
        rates.set(rate(1000, 86_400, 1000));
        assert_eq!(left(&rates), 1000);
        rates.set(rate(1, 1, 1));
        assert_eq!((left(&rates), left(&rates)), (1, 0));
    }

    // "rate": as many as the burst at once, and one each interval, in every span of time
    #[test]
    fn no_span_of_time_has_more_than_its_share_and_nobody_who_waits_waits_in_vain() {
        let clock = Clock::manual(crate::time::Timestamp::from_millis(1_000_000));
        let rate = Rate {
            count: 50,
            per: Duration::from_secs(1),
            burst: 7,
        };
        let rates = Rates::new(Some(rate), clock.clone());
        let spend = || rates.spending().expect("a rate").spend(KeyRef::User("anna"));
        let (mut went, mut passed) = (Vec::new(), 0);
        for step in 0..2000_u64 {
            let by = step * step % 31;
            clock.advance(Duration::from_millis(by));
            passed += by;
            match spend() {
                None => went.push(passed),
                Some(wait) => {
                    assert_eq!(
                        rates.blocked(KeyRef::User("anna")).is_some(),
                        wait > Duration::ZERO
                    );
                    let by = wait.as_millis() as u64 + 1;
                    clock.advance(Duration::from_millis(by));
                    passed += by;
                    assert_eq!(spend(), None, "{wait:?} later");
                    went.push(passed);
                }
            }
        }
        for (first, from) in went.iter().enumerate() {
            for (count, to) in went[first..].iter().enumerate().take(200) {
                let share = 7 + (to - from) / 20;
                assert!((count as u64) < share, "{count} in {from}..{to}");
            }
        }
    }
}
