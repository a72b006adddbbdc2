//! What the guard promises, with a clock that the test moves.

use super::*;
use crate::config::settings::Rate;

const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

struct Bench {
    guard: Guard,
    clock: Clock,
    changes: mpsc::UnboundedReceiver<BanChange>,
}

fn rules() -> Rules {
    Rules {
        guard: settings::Guard {
            failures: 10,
            window: Duration::from_secs(300),
            ban_for: Duration::from_secs(900),
            guesses: 10,
            guess_window: Duration::from_secs(900),
            exempt: vec!["127.0.0.0/8".parse().expect("a literal")],
            rate: Some(Rate {
                count: 50,
                per: Duration::from_secs(1),
                burst: 100,
            }),
            rate_allowed: None,
        },
        proxies: vec!["192.0.2.10/32".parse().expect("a literal")],
    }
}

fn bench(rules: Rules, records: Vec<BanRecord>) -> Bench {
    let clock = Clock::manual(NOW);
    let (sender, changes) = mpsc::unbounded_channel();
    Bench {
        guard: Guard::new(rules, records, clock.clone(), sender),
        clock,
        changes,
    }
}

fn client(text: &str) -> Client {
    Client::Address(text.parse().expect("a literal"))
}

fn credential(number: u64) -> Digest {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&number.to_be_bytes());
    digest
}

impl Bench {
    fn fail(&self, from: &str, times: std::ops::Range<u64>) -> Option<BanRecord> {
        times
            .filter_map(|number| {
                self.guard
                    .failed(client(from), &credential(number), self.clock.now())
            })
            .last()
    }

    fn is_banned(&self, from: &str) -> bool {
        self.guard
            .admit(client(from), self.clock.now())
            .is_err_and(|throttled| throttled.why == "banned")
    }
}

// "failures = "10 in 5m"", "ban_for = "15m""
#[test]
fn ten_different_failures_in_five_minutes_ban_for_fifteen() {
    let bench = bench(rules(), Vec::new());
    assert_eq!(bench.fail("198.51.100.7", 0..9), None);
    assert!(!bench.is_banned("198.51.100.7"));
    assert!(bench.fail("198.51.100.7", 9..10).is_some());
    assert!(bench.is_banned("198.51.100.7"));
    assert!(!bench.is_banned("198.51.100.8"), "IPv4 is banned by /32");
    bench.clock.advance(Duration::from_secs(899));
    assert!(bench.is_banned("198.51.100.7"));
    bench.clock.advance(Duration::from_secs(1));
    assert!(!bench.is_banned("198.51.100.7"));
}

#[test]
fn failures_older_than_the_window_do_not_count() {
    let bench = bench(rules(), Vec::new());
    bench.fail("198.51.100.7", 0..9);
    bench.clock.advance(Duration::from_secs(300));
    assert_eq!(bench.fail("198.51.100.7", 9..10), None);
}

// "the same one again counts once per window"
#[test]
fn a_phone_that_repeats_one_wrong_token_is_never_banned() {
    let bench = bench(rules(), Vec::new());
    for _ in 0..1000 {
        assert_eq!(bench.fail("198.51.100.7", 1..2), None);
    }
}

// "the first ban; repeats double, up to 24h"
#[test]
fn repeats_double_up_to_a_day() {
    let bench = bench(rules(), Vec::new());
    let mut expected = Duration::from_secs(900);
    for round in 0..9u64 {
        let ban = bench
            .fail("198.51.100.7", round * 10..round * 10 + 10)
            .expect("ten failures ban");
        let length = ban.until.expect("a ban for failures ends").since(ban.since);
        assert_eq!(length, expected.min(LONGEST_BAN));
        bench.clock.advance(length);
        expected *= 2;
    }
}

// "IPv6 /64, widening when many neighbours fail"
#[test]
fn an_ipv6_client_is_its_64_and_rotation_widens() {
    let bench = bench(rules(), Vec::new());
    bench.fail("2001:db8:0:1::1", 0..5);
    assert!(
        bench.fail("2001:db8:0:1:ffff::2", 5..10).is_some(),
        "one /64 is one client"
    );
    assert!(bench.is_banned("2001:db8:0:1::99"));
    assert!(!bench.is_banned("2001:db8:0:2::1"));
    for subnet in 0..16u64 {
        bench.fail(&format!("2001:db8:77:{subnet:x}::1"), 100 + subnet..101 + subnet);
    }
    assert!(
        bench.is_banned("2001:db8:77:ff::1"),
        "the /56 of sixteen failing /64 is banned"
    );
}

#[test]
fn an_embedded_ipv4_address_counts_as_itself() {
    let bench = bench(rules(), Vec::new());
    bench.fail("::ffff:198.51.100.7", 0..4);
    bench.fail("64:ff9b::c633:6407", 4..8);
    bench.fail("2002:c633:6407::1", 8..10);
    assert!(bench.is_banned("198.51.100.7"));
}

// "never a trusted proxy", "exempt list"
#[test]
fn proxies_and_exempt_networks_are_never_banned() {
    let bench = bench(rules(), Vec::new());
    for safe in ["192.0.2.10", "127.0.0.1", "127.8.9.10"] {
        assert_eq!(bench.fail(safe, 0..1000), None);
        assert!(!bench.is_banned(safe));
    }
    let proxy = Client::Proxy("192.0.2.77".parse().expect("a literal"));
    for number in 0..1000 {
        assert_eq!(bench.guard.failed(proxy, &credential(number), NOW), None);
    }
    let all = "192.0.2.0/24".parse().expect("a literal");
    assert!(
        bench.guard.ban(all, None, NOW).is_err(),
        "an operator's ban would hit the proxy"
    );
}

// "Bans survive a restart with their remaining time"
#[test]
fn bans_survive_with_their_remaining_time() {
    let mut first = bench(rules(), Vec::new());
    first.fail("198.51.100.7", 0..10);
    let Ok(BanChange::Put(record)) = first.changes.try_recv() else {
        panic!("the ban is written down")
    };
    let second = bench(rules(), vec![record]);
    second.clock.advance(Duration::from_secs(600));
    let left = second
        .guard
        .admit(client("198.51.100.7"), second.clock.now())
        .expect_err("still banned");
    assert_eq!(left.retry_after, Duration::from_secs(300));
}

#[test]
fn an_operator_bans_and_lifts_networks() {
    let mut bench = bench(rules(), Vec::new());
    let network: IpNet = "203.0.113.0/24".parse().expect("a literal");
    let record = bench
        .guard
        .ban(network, Some(Duration::from_secs(60)), NOW)
        .expect("nothing protected");
    assert_eq!(bench.guard.bans(NOW), vec![record.clone()]);
    assert!(bench.is_banned("203.0.113.200"));
    let lifted = bench.guard.unban("203.0.113.200/32".parse().expect("a literal"));
    assert_eq!(lifted, vec![record.clone()]);
    assert!(!bench.is_banned("203.0.113.200"));
    assert_eq!(bench.changes.try_recv(), Ok(BanChange::Put(record)));
    assert_eq!(bench.changes.try_recv(), Ok(BanChange::Remove(network)));
}

// "rate = "50/s burst 100"; spent only by requests that are not allowed"
#[test]
fn refused_requests_spend_a_hundred_at_once_and_fifty_a_second() {
    let bench = bench(rules(), Vec::new());
    let from = client("198.51.100.7");
    for _ in 0..100 {
        assert_eq!(bench.guard.spend_refused(from), Ok(()));
    }
    let throttled = bench.guard.spend_refused(from).expect_err("the burst is spent");
    assert_eq!(throttled.why, "rate");
    assert!(
        bench.guard.admit(from, bench.clock.now()).is_err(),
        "nothing is verified meanwhile"
    );
    assert_eq!(
        bench.guard.admit(client("198.51.100.8"), bench.clock.now()),
        Ok(())
    );
    bench.clock.advance(Duration::from_millis(20));
    assert_eq!(bench.guard.admit(from, bench.clock.now()), Ok(()));
    assert_eq!(bench.guard.spend_refused(from), Ok(()));
    assert!(bench.guard.spend_refused(from).is_err());
}

#[test]
fn allowed_requests_are_free_unless_their_rate_is_on() {
    let mut limited = rules();
    let off = bench(limited.clone(), Vec::new());
    for _ in 0..10_000 {
        assert_eq!(off.guard.spend_allowed(client("198.51.100.7"), None), Ok(()));
    }
    limited.guard.rate_allowed = Some(Rate {
        count: 1,
        per: Duration::from_secs(60),
        burst: 2,
    });
    off.guard.reload(limited);
    assert_eq!(off.guard.spend_allowed(client("198.51.100.7"), None), Ok(()));
    assert_eq!(off.guard.spend_allowed(client("198.51.100.7"), None), Ok(()));
    assert!(off.guard.spend_allowed(client("198.51.100.7"), None).is_err());
}

// "bounded memory": group L-04
#[test]
fn a_hundred_thousand_attackers_fit_in_bounded_tables() {
    let bench = bench(rules(), Vec::new());
    for number in 0..100_000u32 {
        let from = Client::Address(IpAddr::from((0x0a00_0000 + number).to_be_bytes()));
        let _ = bench.guard.failed(from, &credential(u64::from(number)), NOW);
        let _ = bench.guard.spend_refused(from);
    }
    assert!(bench.guard.failures.counted() <= 65_536);
    assert!(bench.guard.refused.buckets() <= 65_536 + 1024);
}
