//! Every case by every road.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::Ipv4Addr;

use crate::case::{self, Case, Piece};
use crate::roads::{self, Road, TokenRoad, Wire};
use crate::stage::{CANARY_SECRET, Stage};
use crate::strict::Seen;
use crate::support;
use crate::verdict::Exchange;
use crate::{http2, roads::Answers};

/// Follows every case on its connection. Nobody but an administrator may ask it, and it comes
/// without a credential: at the backend it would be a smuggled request.
const CANARY: &str = "GET /admin/canary HTTP/1.1\r\nHost: gate.test\r\nConnection: close\r\n\r\n";

/// An audit line that must be there in the end.
struct Due {
    client: String,
    reason: String,
    what: String,
    by: String,
}

struct Run {
    stage: Stage,
    exchanges: u32,
    /// Clients so far. The roads of a case share two, because the audit file tells a thousand
    /// kinds of line apart in a second and writes ten of a kind: each kind is for one client.
    clients: u16,
    due: Vec<Due>,
    /// What is wrong, and by which roads.
    complaints: BTreeMap<String, Vec<String>>,
    taken: BTreeMap<Road, u32>,
}

// Bad inputs 2.0: "on every case: process alive; no panic; no log line that is not valid JSON; no
// canary secret in any output; next good request on a new connection works"
#[test]
fn every_bad_input_by_every_road() {
    let cases = case::all("vectors/requests");
    run(&cases, Stage::start(&[]), 100);
}

// Product contract, section 6.1: "or any Basic where `basic_passwords` is on"
#[test]
fn every_bad_input_where_passwords_are_on() {
    let on = [("basic_passwords = false", "basic_passwords = true")];
    let cases = case::all("vectors/requests_with_passwords");
    run(&cases, Stage::start(&on), 10);
}

// R-027: "Run the whole path/host corpus against rule sets of size 1, 2, 99, 100, 101, 10 000 and require
// identical verdicts" (CVE-2026-27588: a list of more than a hundred hosts became case-sensitive)
#[test]
fn every_bad_path_and_host_among_hundreds_of_routes() {
    let mut cases = case::all("vectors/requests");
    cases.retain(|case| {
        ["paths.txt", "hosts.txt"]
            .iter()
            .any(|file| case.place.starts_with(file))
    });
    // The roads differ in nothing that routing sees.
    for case in &mut cases {
        case.not.extend(["kept", "dribble", "unix"].map(str::to_owned));
    }
    run(&cases, Stage::among(150), 0);
}

/// Each road must be taken so often at least.
fn run(cases: &[Case], stage: Stage, least: u32) {
    let mut run = Run {
        stage,
        exchanges: 0,
        clients: 0,
        due: Vec::new(),
        complaints: BTreeMap::new(),
        taken: BTreeMap::new(),
    };
    for case in cases {
        run.case(case);
    }
    run.await_audit();
    run.judge_output();
    println!(
        "{} cases, {} exchanges: {:?}",
        cases.len(),
        run.exchanges,
        run.taken
    );
    let complaints: Vec<String> = run
        .complaints
        .iter()
        .map(|(complaint, roads)| format!("{complaint} (by {})", roads.join(", ")))
        .collect();
    assert!(
        complaints.is_empty(),
        "{} complaints:\n{}",
        complaints.len(),
        complaints.join("\n")
    );
    for road in Road::ALL {
        let taken = run.taken.get(&road).copied().unwrap_or_default();
        assert!(taken >= least, "only {taken} by {}", road.name());
    }
}

impl Run {
    fn case(&mut self, case: &Case) {
        let has_credential = case
            .sent
            .iter()
            .any(|piece| matches!(piece, Piece::Credential(_)));
        let token_roads = if has_credential {
            &TokenRoad::ALL[..]
        } else {
            &TokenRoad::ALL[..1]
        };
        let before = self.exchanges;
        let first_client = self.clients;
        self.clients += 2 * u16::try_from(token_roads.len()).expect("four at most");
        for road in Road::ALL {
            let named = |list: &[String]| list.iter().any(|name| name == road.name());
            if case.only.as_deref().is_some_and(|only| !named(only)) || named(&case.not) {
                continue;
            }
            // A client of the unix socket has no address and so belongs to no network.
            if road == Road::Unix && case.from.is_some() {
                continue;
            }
            for (client, token_road) in (first_client..).step_by(2).zip(token_roads) {
                let client = client + u16::from(road.is_tls());
                self.exchange(case, road, *token_road, source(case.from.as_deref(), client));
            }
        }
        assert!(self.exchanges > before, "{}: no road was taken", case.place);
    }

    fn exchange(&mut self, case: &Case, road: Road, token_road: TokenRoad, source: Ipv4Addr) {
        let sent = roads::render(&self.stage, &case.sent, token_road);
        // Tens of thousands of segments prove no more than hundreds.
        if road == Road::Dribble && sent.len() > 4096 {
            return;
        }
        let request = match road {
            Road::Http2 => match http2::translate(&sent) {
                Some(request) => Some(request),
                None => return,
            },
            _ => None,
        };
        self.exchanges += 1;
        *self.taken.entry(road).or_default() += 1;
        let what = format!("{} {}", case.place, case.title);
        let by = format!("{} {token_road:?}", road.name());
        let answers = match request {
            Some(request) => self.by_http2(case, source, request),
            None => self.by_wire(case, road, token_road, source, &sent),
        };
        let client = (road != Road::Unix).then(|| source.to_string());
        let behind_proxy = case.from.as_deref().is_some_and(|group| group.ends_with("proxy"));
        let seen = self.take(client.as_deref(), behind_proxy);
        let exchange = Exchange {
            case,
            road,
            sent: &sent,
            source: client.clone(),
            answers,
            seen,
        };
        if let Err(complaint) = exchange.judge(&self.stage) {
            let complaint: String = complaint.chars().take(600).collect();
            self.complain(format!("{what}: {complaint}"), &by);
        }
        if let (Some(client), Some(reason)) = (client, case.expected.reason.clone()) {
            self.due.push(Due {
                client,
                reason,
                what,
                by,
            });
        }
    }

    fn by_http2(
        &self,
        case: &Case,
        source: Ipv4Addr,
        request: http::Request<http_body_util::Full<bytes::Bytes>>,
    ) -> Answers {
        let canary = CANARY.replace("Connection: close\r\n", "");
        let mut requests = vec![request];
        if case.canary {
            requests.extend(http2::translate(canary.as_bytes()));
        }
        Answers {
            interims: Vec::new(),
            finals: http2::send_all(&self.stage, source, requests),
        }
    }

    /// What the backend saw of this client. A request that was broken off may arrive after its
    /// client was told so; then it is another's, and must be no whole one.
    fn take(&mut self, client: Option<&str>, behind_proxy: bool) -> Vec<Seen> {
        let all = self.stage.backend.take();
        let is_own = |seen: &Seen| behind_proxy || seen.only("x-forwarded-for") == client;
        let (own, late): (Vec<Seen>, Vec<Seen>) = all.into_iter().partition(is_own);
        for seen in late.iter().filter(|seen| seen.whole) {
            self.complain(format!("the backend sees late: {seen:?}"), "backend");
        }
        own
    }

    fn by_wire(
        &mut self,
        case: &Case,
        road: Road,
        token_road: TokenRoad,
        source: Ipv4Addr,
        sent: &[u8],
    ) -> Answers {
        let mut wire = Wire::open(&self.stage, road, source);
        let client = (road != Road::Unix).then(|| source.to_string());
        if road == Road::Kept {
            let good = TokenRoad::Bearer.line(self.stage.token("ben"));
            let answer = one(
                &mut wire,
                &format!("GET /kept HTTP/1.1\r\nHost: gate.test\r\n{good}\r\n\r\n"),
            );
            assert!(answer.starts_with("HTTP/1.1 200"), "{}: {answer}", case.place);
            // What the road before broke off may still arrive, but is no whole request.
            let seen = self.take(client.as_deref(), false);
            let whole = seen.iter().filter(|seen| seen.whole).count();
            assert_eq!(whole, 1, "{}", case.place);
        }
        if token_road == TokenRoad::Userinfo {
            // wget sends its user name only after a 401 that offers Basic.
            let answer = one(&mut wire, "GET /admin/first HTTP/1.1\r\nHost: gate.test\r\n\r\n");
            let offered = answer.contains("\r\nwww-authenticate: Basic ");
            let known = answer.starts_with("HTTP/1.1 403");
            assert!(offered || known, "{}: {answer}", case.place);
            assert!(self.take(client.as_deref(), false).is_empty(), "{}", case.place);
        }
        let mut bytes = sent.to_vec();
        if case.canary {
            bytes.extend(CANARY.as_bytes());
        }
        let received = roads::exchange(&mut wire, road, &bytes);
        roads::parse(&received, sent.starts_with(b"HEAD "))
    }

    /// The audit file is written by a thread of its own.
    fn await_audit(&mut self) {
        let path = self.stage.gate.state().join("audit.jsonl");
        let missing = || -> Vec<(String, String)> {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let lines: Vec<serde_json::Value> = text
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .filter(|line: &serde_json::Value| line["path"] != "/admin/canary")
                .collect();
            let mut said: BTreeMap<(&str, &str), u32> = BTreeMap::new();
            for line in &lines {
                let client = line["client"].as_str().unwrap_or_default();
                let reason = line["reason"].as_str().or(line["decision"].as_str());
                *said.entry((client, reason.unwrap_or_default())).or_default() += 1;
            }
            // Each line is one exchange's.
            let mut missing = Vec::new();
            for due in &self.due {
                match said.get_mut(&(due.client.as_str(), due.reason.as_str())) {
                    Some(count @ 1..) => *count -= 1,
                    _ => missing.push((
                        format!("{}: no audit line {}", due.what, due.reason),
                        due.by.clone(),
                    )),
                }
            }
            missing
        };
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while !missing().is_empty() && std::time::Instant::now() < deadline {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        for (complaint, by) in missing() {
            self.complain(complaint, &by);
        }
    }

    fn complain(&mut self, complaint: String, by: &str) {
        self.complaints.entry(complaint).or_default().push(by.to_owned());
    }

    fn judge_output(&mut self) {
        for (name, text) in self.stage.written() {
            assert!(text.len() > 1000 || self.exchanges < 100, "{name} says nothing");
            for line in text.lines().filter(|_| name != "access") {
                if serde_json::from_str::<serde_json::Value>(line).is_err() {
                    self.complain(format!("{name} has a line that is not JSON: {line}"), "output");
                }
            }
            // Of a token's last part no piece either.
            let random = |token: &String| token.rsplit('.').next().unwrap_or_default().to_owned();
            let ours = self.stage.tokens.iter().filter(|(name, _)| **name != "foreign");
            let pieces = ours.map(|(_, token)| random(token)).flat_map(|random| {
                let (start, end) = (random[..12].to_owned(), random[random.len() - 12..].to_owned());
                [start, end]
            });
            let made_up = [CANARY_SECRET, "czNjcjN0", "word of anna"].map(str::to_owned);
            for secret in pieces.chain(made_up).collect::<Vec<_>>() {
                if let Some(line) = text.lines().find(|line| line.contains(&secret)) {
                    self.complain(format!("{name} has a secret: {line}"), "output");
                }
            }
        }
        let violations = self.stage.backend.violations();
        for violation in violations {
            self.complain(violation, "backend");
        }
        assert!(!self.stage.gate.log().contains("panicked"), "a panic");
        let header = TokenRoad::Bearer.line(self.stage.token("ben"));
        support::eventually(
            || self.stage.gate.get("/alive", &[&header]).status == 200,
            || "the gate no longer serves".into(),
        );
    }
}

/// The address of a client, which no other has where the group is large enough.
pub fn source(group: Option<&str>, client: u16) -> Ipv4Addr {
    let [high, low] = client.to_be_bytes();
    let high = 100 + high;
    match group {
        None => Ipv4Addr::new(127, 100, high, low),
        Some("house") => Ipv4Addr::new(127, 1, high, low),
        Some("room") => Ipv4Addr::new(127, 1, 5, low),
        Some("house-of-nobody") => Ipv4Addr::new(127, 2, high, low),
        Some("house-of-disabled") => Ipv4Addr::new(127, 3, high, low),
        Some("proxy") => Ipv4Addr::new(127, 9, high, low),
        Some("exact-proxy") => Ipv4Addr::new(127, 9, 7, 7),
        Some("wide-proxy") => Ipv4Addr::new(127, 9, 8, low),
        Some(other) => panic!("no group {other}"),
    }
}

/// Sends one request and reads its answer, to the end of its body.
pub fn one(wire: &mut Wire, request: &str) -> String {
    wire.write_all(request.as_bytes()).expect("the gate reads");
    wire.flush().expect("the gate reads");
    let mut received = Vec::new();
    let mut byte = [0];
    let end = loop {
        assert_eq!(
            wire.read(&mut byte).expect("an answer"),
            1,
            "{}",
            received.escape_ascii()
        );
        received.push(byte[0]);
        if received.ends_with(b"\r\n\r\n") {
            break received.len();
        }
    };
    let head = String::from_utf8(received).expect("an answer in ASCII");
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().expect("a length"));
    let mut body = vec![0; length];
    wire.read_exact(&mut body).expect("a body");
    debug_assert_eq!(end, head.len());
    head
}
