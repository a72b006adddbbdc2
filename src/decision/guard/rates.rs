//! Rates per client, user and token: GCRA by `governor`, in a bounded table; for tokens beside what is known of each.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use governor::clock::{Clock as GovernorClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use ipnet::IpNet;
use quick_cache::Equivalent;
use quick_cache::sync::Cache;

use super::{bucket, bucket_address};
use crate::authn::identity::Allowance;
use crate::config::settings::Rate;
use crate::request::Client;
use crate::time::Clock;

/// Keys that are limited at once; the least used goes first. `governor`'s own keyed table has no
/// bound, which an attacker with many addresses would find out.
const MOST: usize = 65_536;

/// One rate, for many keys.
pub(super) struct Rates {
    on: AtomicBool,
    /// How many rates there were: an [`Allowance`] of another one counts for nothing.
    number: AtomicU32,
    quota: ArcSwapOption<Quota>,
    buckets: Cache<Key, Arc<Bucket>>,
    clock: Monotonic,
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

struct Bucket {
    limiter: RateLimiter<NotKeyed, InMemoryState, Monotonic, NoOpMiddleware<Nanos>>,
    /// Nanoseconds of the clock until which nothing is left to spend.
    blocked_until: AtomicU64,
}

impl Rates {
    pub(super) fn new(rate: Option<Rate>, clock: Clock) -> Self {
        let rates = Self {
            on: AtomicBool::new(false),
            number: AtomicU32::new(0),
            quota: ArcSwapOption::empty(),
            buckets: Cache::new(MOST),
            clock: Monotonic(clock),
        };
        rates.set(rate);
        rates
    }

    /// Takes a new rate; buckets of the old one are forgotten when it differs.
    pub(super) fn set(&self, rate: Option<Rate>) {
        let quota = rate.and_then(quota);
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

    pub(super) fn is_on(&self) -> bool {
        self.on.load(Ordering::Acquire)
    }

    pub(super) fn client_key(client: Client) -> Key {
        match client {
            Client::Address(address) => Key::Client(bucket(bucket_address(address))),
            Client::Proxy(address) => Key::Proxy(address),
            Client::Unix => Key::Unix,
        }
    }

    /// How long nothing can be spent; none: something can, as far as is known.
    pub(super) fn blocked(&self, key: KeyRef<'_>) -> Option<Duration> {
        if !self.is_on() {
            return None;
        }
        let bucket = self.buckets.get(&key)?;
        let left = bucket
            .blocked_until
            .load(Ordering::Relaxed)
            .saturating_sub(self.clock.nanos());
        (left > 0).then(|| Duration::from_nanos(left))
    }

    /// The same of what is kept elsewhere.
    pub(super) fn spend_from(&self, allowance: &Allowance) -> Option<Duration> {
        let number = self.number.load(Ordering::Acquire);
        let quota = *self.quota.load().as_deref()?;
        if allowance.rate.load(Ordering::Relaxed) != number {
            allowance.spent.store(0, Ordering::Relaxed);
            allowance.rate.store(number, Ordering::Relaxed);
        }
        let (interval, burst) = (nanos(quota.replenish_interval()), quota.burst_size().get());
        spend_at(self.clock.nanos(), interval, burst.into(), &allowance.spent)
            .err()
            .map(Duration::from_nanos)
    }

    /// How many keys are limited now.
    #[cfg(test)]
    pub(super) fn buckets(&self) -> usize {
        self.buckets.len()
    }

    /// Spends one; how long to wait when there is none.
    pub(super) fn spend(&self, key: KeyRef<'_>) -> Option<Duration> {
        let quota = *self.quota.load().as_deref()?;
        let bucket = match self.buckets.get(&key) {
            Some(bucket) => bucket,
            None => {
                let fresh = Arc::new(Bucket {
                    limiter: RateLimiter::direct_with_clock(quota, self.clock.clone()),
                    blocked_until: AtomicU64::new(0),
                });
                self.buckets.insert(key.to_key(), Arc::clone(&fresh));
                fresh
            }
        };
        match bucket.limiter.check() {
            Ok(()) => None,
            Err(not_until) => {
                let wait = not_until.wait_time_from(self.clock.now());
                let until = self.clock.nanos().saturating_add(nanos(wait));
                bucket.blocked_until.fetch_max(until, Ordering::Relaxed);
                Some(wait)
            }
        }
    }
}

/// The generic cell rate algorithm (ITU-T I.371), as `governor` has it: one more is due `interval` after the last, and
/// `burst` of them at once.
///
/// # Errors
/// So many nanoseconds too early.
fn spend_at(now: u64, interval: u64, burst: u64, spent: &AtomicU64) -> Result<(), u64> {
    let latest = now.saturating_add(interval.saturating_mul(burst));
    let due = |spent: u64| spent.max(now).saturating_add(interval);
    spent
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |spent| {
            Some(due(spent)).filter(|due| *due <= latest)
        })
        .map(drop)
        .map_err(|spent| due(spent) - latest)
}

/// `50/s burst 100`: a cell each 20 ms, 100 at once.
fn quota(rate: Rate) -> Option<Quota> {
    let burst = NonZeroU32::new(rate.burst.max(1))?;
    let period = rate.per.checked_div(rate.count)?;
    Some(Quota::with_period(period)?.allow_burst(burst))
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// Our clock, in the form that `governor` reads.
#[derive(Clone, Debug)]
struct Monotonic(Clock);

impl Monotonic {
    fn nanos(&self) -> u64 {
        nanos(self.0.monotonic())
    }
}

impl GovernorClock for Monotonic {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(self.nanos())
    }
}

const _: fn() = || {
    fn is_reference<T: Reference>() {}
    is_reference::<Nanos>();
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_then_one_each_interval() {
        let spent = AtomicU64::new(0);
        let spend = |now| spend_at(now, 10, 3, &spent);
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
                .take_while(|_| rates.spend_from(&allowance).is_none())
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

    /// As many go as by the table, whenever they come.
    #[test]
    fn tokens_are_limited_as_users_are() {
        let clock = Clock::manual(crate::time::Timestamp::from_millis(1_000_000));
        let rate = Rate {
            count: 50,
            per: Duration::from_secs(1),
            burst: 7,
        };
        let rates = Rates::new(Some(rate), clock.clone());
        let allowance = Allowance::default();
        for step in 0..2000_u64 {
            clock.advance(Duration::from_millis(step * step % 31));
            let (by_table, kept) = (rates.spend(KeyRef::User("anna")), rates.spend_from(&allowance));
            assert_eq!(
                by_table.is_none(),
                kept.is_none(),
                "{step}: {by_table:?} {kept:?}"
            );
        }
    }
}
