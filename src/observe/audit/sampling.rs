//! Ten lines a second of a kind; the rest is counted.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::line::{Event, Line};
use crate::observe::Outcome;
use crate::request::Client;

/// Lines of one kind that are written in one second.
const PER_SECOND: u32 = 10;

/// Kinds that are told apart in one second. Beyond, clients are lumped together: addresses are
/// cheap for an attacker (a /48 has 65 536 of our keys), memory and disk are not.
const KINDS: usize = 1024;

/// Decides which lines are written, and loses count of none.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    kinds: Mutex<HashMap<Kind, Window>>,
}

/// Lines that are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    pub(super) event: Event,
    pub(super) outcome: Outcome,
    pub(super) from: From,
}

/// Where lines that are alike come from: an IPv4 address or an IPv6 /64, as for bans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum From {
    Address(IpAddr),
    Unix,
    Unknown,
    /// More clients than are told apart.
    Many,
}

#[derive(Debug)]
struct Window {
    second: i64,
    written: u32,
    left_out: u64,
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Written, and says that so many alike were not.
    Write { left_out: u64 },
    /// Counted only.
    LeaveOut,
}

impl Kind {
    /// The kind of a line, if lines like it are sampled at all: not what is allowed (whoever asks
    /// for those wants each), not what administrators do.
    pub(super) fn of(line: &Line<'_>) -> Option<Self> {
        let outcome = line.decision?;
        if outcome == Outcome::Allow || !line.event.comes_from_strangers() {
            return None;
        }
        let from = match line.client {
            Some(Client::Address(address) | Client::Proxy(address)) => From::Address(prefix(address)),
            Some(Client::Unix) => From::Unix,
            None => From::Unknown,
        };
        Some(Self {
            event: line.event,
            outcome,
            from,
        })
    }
}

impl Sampler {
    /// What becomes of a line of this kind in this second.
    pub(super) fn admit(&self, kind: Kind, second: i64) -> Fate {
        let mut kinds = self.kinds();
        let kind = if kinds.len() < KINDS || kinds.contains_key(&kind) {
            kind
        } else {
            Kind {
                from: From::Many,
                ..kind
            }
        };
        let window = kinds.entry(kind).or_insert(Window {
            second,
            written: 0,
            left_out: 0,
        });
        // Workers may disagree by a moment about which second it is; a clock that was set back may
        // not silence us for long.
        if second > window.second || second < window.second - 2 {
            window.second = second;
            window.written = 0;
        }
        if window.written >= PER_SECOND {
            window.left_out += 1;
            return Fate::LeaveOut;
        }
        window.written += 1;
        Fate::Write {
            left_out: std::mem::take(&mut window.left_out),
        }
    }

    /// Takes back a count whose line was lost on the way.
    pub(super) fn restore(&self, kind: Kind, second: i64, left_out: u64) {
        if left_out > 0 {
            let mut kinds = self.kinds();
            let window = kinds.entry(kind).or_insert(Window {
                second,
                written: 0,
                left_out: 0,
            });
            window.left_out += left_out;
        }
    }

    /// Forgets every kind whose second is over, and gives the counts that no line has told yet.
    pub(super) fn settle(&self, now: i64) -> Vec<(Kind, u64)> {
        self.settle_where(|window| window.second < now || window.second > now + 2)
    }

    /// Gives all counts that no line has told yet.
    pub(super) fn settle_all(&self) -> Vec<(Kind, u64)> {
        self.settle_where(|_| true)
    }

    /// Whether there is nothing to settle, now or soon.
    pub(super) fn is_idle(&self) -> bool {
        self.kinds().is_empty()
    }

    fn settle_where(&self, is_over: impl Fn(&Window) -> bool) -> Vec<(Kind, u64)> {
        self.kinds()
            .extract_if(|_, window| is_over(window))
            .filter(|(_, window)| window.left_out > 0)
            .map(|(kind, window)| (kind, window.left_out))
            .collect()
    }

    fn kinds(&self) -> MutexGuard<'_, HashMap<Kind, Window>> {
        // Nothing inside can panic half-way, so a poisoned map is a whole one.
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Display for From {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            From::Address(IpAddr::V6(prefix)) => write!(f, "{prefix}/64"),
            From::Address(address) => address.fmt(f),
            From::Unix => f.write_str("unix"),
            From::Unknown => f.write_str("unknown"),
            From::Many => f.write_str("many"),
        }
    }
}

fn prefix(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::from((u128::from(address) & !u128::from(u64::MAX)).to_be_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn kind(from: From) -> Kind {
        Kind {
            event: Event::Request,
            outcome: Outcome::Challenge,
            from,
        }
    }

    fn written_and_told(fates: &[Fate]) -> (u64, u64) {
        fates.iter().fold((0, 0), |(written, told), fate| match fate {
            Fate::Write { left_out } => (written + 1, told + left_out),
            Fate::LeaveOut => (written, told),
        })
    }

    // D-10: "sampled after N/s per event; counters exact"
    #[test]
    fn the_eleventh_line_of_a_second_is_counted_and_told_by_the_next() {
        let sampler = Sampler::default();
        let fates: Vec<Fate> = (0..25).map(|_| sampler.admit(kind(From::Unix), 7)).collect();
        assert_eq!(written_and_told(&fates), (10, 0));
        assert_eq!(sampler.admit(kind(From::Unix), 8), Fate::Write { left_out: 15 });
        assert_eq!(sampler.admit(kind(From::Unix), 8), Fate::Write { left_out: 0 });
    }

    #[test]
    fn a_count_that_no_line_told_is_settled_once() {
        let sampler = Sampler::default();
        for _ in 0..12 {
            let _ = sampler.admit(kind(From::Unix), 7);
        }
        assert_eq!(sampler.settle(7), []);
        assert!(!sampler.is_idle());
        assert_eq!(sampler.settle(8), [(kind(From::Unix), 2)]);
        assert_eq!(sampler.settle(8), []);
        assert!(sampler.is_idle());
    }

    #[test]
    fn neighbours_in_a_64_are_one_and_neighbours_in_ipv4_are_two() {
        let of = |address: &str| {
            Kind::of(&Line {
                decision: Some(Outcome::Deny),
                client: Some(Client::Address(address.parse().expect("an address"))),
                ..Line::new(Timestamp::default(), Event::Request)
            })
            .map(|kind| kind.from)
        };
        assert_eq!(of("2001:db8::1"), of("2001:db8::2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(
            of("2001:db8::1").map(|from| from.to_string()).as_deref(),
            Some("2001:db8::/64")
        );
    }

    #[test]
    fn allowed_requests_and_changes_are_never_sampled() {
        let line = |event, decision| Line {
            decision,
            ..Line::new(Timestamp::default(), event)
        };
        assert_eq!(Kind::of(&line(Event::Request, Some(Outcome::Allow))), None);
        assert_eq!(Kind::of(&line(Event::Login, Some(Outcome::Allow))), None);
        assert_eq!(Kind::of(&line(Event::TokenRevoke, None)), None);
        assert_eq!(Kind::of(&line(Event::BanAdd, Some(Outcome::Throttle))), None);
    }

    #[test]
    fn more_clients_than_are_told_apart_share_one_count() {
        let sampler = Sampler::default();
        let mut fates = Vec::new();
        for client in 0..5_000_u32 {
            let from = From::Address(IpAddr::from(client.to_be_bytes()));
            fates.push(sampler.admit(kind(from), 7));
        }
        let (written, _) = written_and_told(&fates);
        assert_eq!(written, KINDS as u64 + u64::from(PER_SECOND));
        assert_eq!(sampler.settle(8), [(kind(From::Many), 5_000 - written)]);
    }

    #[test]
    fn a_clock_set_back_does_not_silence() {
        let sampler = Sampler::default();
        for _ in 0..11 {
            let _ = sampler.admit(kind(From::Unix), 1_000);
        }
        assert_eq!(sampler.admit(kind(From::Unix), 999), Fate::LeaveOut);
        assert_eq!(sampler.admit(kind(From::Unix), 10), Fate::Write { left_out: 2 });
    }
}
