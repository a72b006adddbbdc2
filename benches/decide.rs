//! What a decision costs: facts in, ruling out, on one thread, without sockets.
//!
//! Every row asks with a token chosen at random among 50,000 (or among all, if there are fewer),
//! and so pays what memory that is not in the processor's caches costs.

#[path = "load/tokens.rs"]
mod tokens;

use std::cell::Cell;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use base64::Engine;
use criterion::{Criterion, criterion_group, criterion_main};
use http::header::{ACCEPT, AUTHORIZATION, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method};
use ipnet::IpNet;
use sidegate::accounts::Accounts;
use sidegate::config::settings::{Rate, Settings, TrustedNetwork};
use sidegate::config::{self, Overrides, Sources};
use sidegate::decision::guard::{Guard, Rules};
use sidegate::decision::{Core, Decision, Ruling};
use sidegate::gate::snapshot::{Lasting, Snapshot};
use sidegate::model::BanRecord;
use sidegate::request::{Client, Expects, Facts, RequestId, SafePath, Scheme};
use sidegate::time::{Clock, Timestamp};
use sidegate::upstream::Backends;
use sidegate::wire::Fields;

/// Tokens that are in use at once.
const IN_USE: usize = 50_000;
const START: i64 = 1_800_000_000_000;
/// Longer than anything verified is believed without looking again.
const LATER: Duration = Duration::from_secs(600);

/// Everything that decides, with one route in front of everything.
struct House {
    snapshot: Snapshot,
    core: Core,
    credentials: Vec<HeaderValue>,
    client: Client,
}

impl House {
    fn new(accounts: &Arc<Accounts>, settings: Settings, bans: u32, credentials: Vec<HeaderValue>) -> Self {
        let clock = Clock::system();
        let (changes, _) = tokio::sync::mpsc::unbounded_channel();
        let rules = Rules {
            guard: settings.guard.clone(),
            proxies: Vec::new(),
        };
        let lasting = Lasting {
            accounts: Arc::clone(accounts),
            guard: Arc::new(Guard::new(rules, banned(bans), clock.clone(), changes)),
            backends: Arc::new(Backends::new(clock)),
        };
        let snapshot = Snapshot::build(settings, &lasting, None).expect("these settings can be resolved");
        Self {
            core: Core::new(&snapshot.authority),
            snapshot,
            credentials,
            client: Client::Address("192.168.1.7".parse().expect("a literal")),
        }
    }

    /// Decides about one request.
    fn decide(&self, headers: &HeaderMap, now: Timestamp) -> Ruling {
        let path = SafePath::parse("/rest/items/Kitchen_Light").expect("a plain path");
        let facts = Facts {
            now,
            id: RequestId::from_bits(1),
            client: self.client,
            method: &Method::GET,
            scheme: Scheme::Http,
            host: "home.example",
            authority: "home.example",
            path: &path,
            query: "",
            headers: &Fields::of(headers),
            expects: Some(Expects::Program),
        };
        let route = self
            .snapshot
            .routes
            .find(facts.host, facts.path.decoded())
            .expect("one route is for everything");
        let deciding = pin!(self.snapshot.authority.decide(&self.core, route, &facts));
        match deciding.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(ruling) => ruling,
            Poll::Pending => unreachable!("only passwords take time"),
        }
    }

    /// Decides about everyone's token once, so that it is known.
    fn warm(self) -> Self {
        let mut headers = headers();
        for credential in self.credentials.iter().take(IN_USE) {
            headers.insert(AUTHORIZATION, credential.clone());
            let ruling = self.decide(&headers, Timestamp::from_millis(START));
            assert!(matches!(ruling.decision, Decision::Allow(_)), "{ruling:?}");
        }
        self
    }

    /// A row whose requests carry a credential chosen at random, `step` after each other.
    fn row(&self, c: &mut Criterion, name: &str, step: Duration, allowed: bool) {
        let mut headers = headers();
        let now = Cell::new(Timestamp::from_millis(START));
        let chance = Chance::default();
        let count = self.credentials.len().min(IN_USE);
        let mut ask = || {
            let credential = &self.credentials[chance.below(count)];
            headers.insert(AUTHORIZATION, credential.clone());
            now.set(now.get().plus(step));
            self.decide(&headers, now.get())
        };
        let first = ask();
        assert_eq!(
            matches!(first.decision, Decision::Allow(_)),
            allowed,
            "{name}: {first:?}"
        );
        c.bench_function(name, |b| b.iter(|| black_box(ask())));
    }
}

/// The defaults, and a route.
fn settings() -> Settings {
    let sources = Sources {
        overrides: Overrides {
            upstream: vec!["http://127.0.0.1:9".into()],
            ..Overrides::default()
        },
        default_data: std::env::temp_dir(),
        ..Sources::default()
    };
    match config::load(&sources) {
        Ok(loaded) => loaded.settings,
        Err(errors) => panic!("{errors:?}"),
    }
}

/// A rate that nobody here reaches, so that every request is looked at.
const PATIENT: Rate = Rate {
    count: 100_000_000,
    per: Duration::from_secs(1),
    burst: 1_000_000_000,
};

/// Bans of addresses that nobody here has.
fn banned(count: u32) -> Vec<BanRecord> {
    (0..count)
        .map(|number| BanRecord {
            network: IpNet::from(IpAddr::from(Ipv4Addr::from(0x0a00_0000 + number * 7))),
            since: Timestamp::from_millis(START),
            until: None,
            times: 1,
            why: "operator".into(),
        })
        .collect()
}

/// What programs send.
fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_static("home.example"));
    headers.insert(USER_AGENT, HeaderValue::from_static("openHAB/3.17 (Android 15)"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert("accept-encoding", HeaderValue::from_static("gzip"));
    headers
}

fn bearer(token: &str) -> HeaderValue {
    HeaderValue::from_str(&format!("Bearer {token}")).expect("tokens are ASCII")
}

fn basic(token: &str) -> HeaderValue {
    let text = base64::engine::general_purpose::STANDARD.encode(format!("{token}:"));
    HeaderValue::from_str(&format!("Basic {text}")).expect("Base64 is ASCII")
}

/// Xorshift: quick, and the same in every run.
struct Chance(Cell<u64>);

impl Default for Chance {
    fn default() -> Self {
        Self(Cell::new(0x2545_f491_4f6c_dd1d))
    }
}

impl Chance {
    fn below(&self, end: usize) -> usize {
        let mut bits = self.0.get();
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        self.0.set(bits);
        (bits % end as u64) as usize
    }
}

fn decide(c: &mut Criterion) {
    let at_once = Duration::ZERO;
    for (count, name) in [(1, "known, 1 token"), (100_000, "known, 100,000 tokens")] {
        let (accounts, texts) = tokens::accounts(count, &settings());
        let house = House::new(&accounts, settings(), 0, all(&texts, bearer)).warm();
        house.row(c, name, at_once, true);
    }

    let (accounts, texts) = tokens::accounts(1_000_000, &settings());
    let texts = &texts[..IN_USE];
    let house = |bans, carry| House::new(&accounts, settings(), bans, all(texts, carry)).warm();
    house(0, bearer).row(c, "known, 1,000,000 tokens", at_once, true);
    house(0, basic).row(c, "known, by Basic", at_once, true);
    house(10_000, bearer).row(c, "known, 10,000 bans", at_once, true);
    let mut rated = settings();
    rated.guard.rate_allowed = Some(PATIENT);
    let house = House::new(&accounts, rated, 0, all(texts, bearer)).warm();
    house.row(c, "known, rate_allowed on", at_once, true);
    let house = House::new(&accounts, settings(), 0, all(texts, bearer)).warm();
    house.row(c, "verified anew", LATER, true);

    let mut open = settings();
    open.guard.rate = Some(PATIENT);
    open.guard.exempt = vec!["192.168.1.0/24".parse().expect("a literal")];
    let keys = tokens::Keys::random();
    let strangers: Vec<String> = (0..IN_USE).map(|number| tokens::token(number, &keys).0).collect();
    for (bans, name) in [(0, "unknown token"), (10_000, "unknown token, 10,000 bans")] {
        let house = House::new(&accounts, open.clone(), bans, all(&strangers, bearer));
        house.row(c, name, at_once, false);
    }

    // Not ours, and so none at all.
    let foreign = vec![HeaderValue::from_static("Bearer of-the-backend")];
    let house = House::new(&accounts, open.clone(), 0, foreign.clone());
    house.row(c, "no credential", at_once, false);
    open.trusted_networks = vec![TrustedNetwork {
        cidr: "192.168.1.0/24".parse().expect("a literal"),
        user: Some(tokens::USER.into()),
        choice: Vec::new(),
        skips_second_factor: false,
    }];
    for (bans, name) in [(0, "trusted network"), (10_000, "trusted network, 10,000 bans")] {
        let house = House::new(&accounts, open.clone(), bans, foreign.clone());
        house.row(c, name, at_once, true);
    }
}

fn all(tokens: &[String], carry: fn(&str) -> HeaderValue) -> Vec<HeaderValue> {
    tokens.iter().map(|token| carry(token)).collect()
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1000))
        .sample_size(20);
    targets = decide
}
criterion_main!(benches);
