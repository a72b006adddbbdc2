//! The two lanes of the server, one against the other: whatever arrives, both say the same to the client
//! and to the backend.
//!
//! A connection goes to the HTTP library with the first request that is not plain, and stays there. So
//! each input is sent twice, to one connection that was only asked plainly before and to one that was
//! not, and what comes of it must be the same. That the first is in the plain lane indeed is shown in
//! `tests/server/http1.rs`.

use std::io::Write;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use proptest::test_runner::{Config, TestRunner};

use crate::case::{self, Piece};
use crate::mutations::{inputs, replace};
use crate::roads::{self, Road, TokenRoad, Wire};
use crate::run::{one, source};
use crate::stage::Stage;

/// Plain, and answered without a backend.
const PLAIN: &str = "GET /_sidegate/nothing HTTP/1.1\r\nHost: gate.test\r\n\r\n";
/// Not plain, and answered so too.
const OTHER: &str = "OPTIONS * HTTP/1.1\r\nHost: gate.test\r\n\r\n";

/// What came of an input.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// Answers, as the client got them, without what differs each time.
    answers: Vec<String>,
    /// Whether the library's own answer to what is no HTTP came last, which has no request id.
    bare: bool,
    /// Whole requests at the backend, likewise.
    seen: Vec<String>,
}

/// Sends the pieces on a connection that began with that request.
fn outcome(stage: &Stage, road: Road, first: &str, client: Ipv4Addr, pieces: &[&[u8]]) -> Outcome {
    let mut wire = Wire::open(stage, road, client);
    one(&mut wire, first);
    stage.backend.take();
    for piece in pieces {
        // Refused early: then its answer is there.
        if wire.write_all(piece).is_err() {
            break;
        }
    }
    wire.end();
    let received = roads::read_to_end(&mut wire);
    let mut received: String = received.iter().copied().map(char::from).collect();
    let bare = received
        .rfind("HTTP/1.1 400 Bad Request\r\n")
        .filter(|at| !received[*at..].contains("x-request-id: "));
    if let Some(at) = bare {
        received.truncate(at);
    }
    let seen = stage.backend.take();
    let from = client.to_string();
    Outcome {
        bare: bare.is_some(),
        answers: received
            .split_inclusive("\r\n\r\n")
            .map(|part| {
                let mut lines: Vec<&str> = part.split_inclusive("\r\n").collect();
                // The lanes write the same fields in another order.
                lines.sort_unstable_by_key(|line| line.contains(": ").then_some(*line));
                lines.retain(|line| !line.starts_with("date: "));
                without_ids(&without_form_words(&lines.concat())).replace(&from, "CLIENT")
            })
            .collect(),
        seen: seen
            .iter()
            // What broke off may have come as far as the sockets let it.
            .filter(|seen| seen.whole)
            .map(|seen| {
                let body = seen.body.escape_ascii();
                without_ids(&format!("{}\n{:#?}\n{body}", seen.line, seen.headers)).replace(&from, "CLIENT")
            })
            .collect(),
    }
}

impl Outcome {
    /// Without the library's own answer, which it leaves out when such a head arrives in pieces.
    fn judged(self) -> Self {
        Self { bare: false, ..self }
    }
}

/// Without the words that tie a form of ours to the browser that it was sent to.
fn without_form_words(text: &str) -> String {
    let mut out = text.to_owned();
    for before in ["sidegate-form=", "name=\"form\" value=\""] {
        if let Some(start) = out.find(before) {
            let start = start + before.len();
            let length = out[start..].find([';', '"']).unwrap_or(0);
            out.replace_range(start..start + length, "WORD");
        }
    }
    out
}

/// With every run of sixteen hex digits, which request ids are, taken out.
fn without_ids(text: &str) -> String {
    let is_digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_digit) {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let length = rest.find(|c| !is_digit(c)).unwrap_or(rest.len());
        out.push_str(if length == 16 { "ID" } else { &rest[..length] });
        rest = &rest[length..];
    }
    out + rest
}

/// Two clients that nobody else is.
fn clients(group: Option<&str>, number: &mut u16) -> [Ipv4Addr; 2] {
    *number += 2;
    [source(group, *number), source(group, *number + 1)]
}

// Issue 4: "every case file and fuzz input runs through both lanes and must give the same verdict and the
// same bytes at the backend"
#[test]
fn every_case_is_the_same_in_both_lanes() {
    for (folder, changes) in [
        ("vectors/requests", &[][..]),
        (
            "vectors/requests_with_passwords",
            &[("basic_passwords = false", "basic_passwords = true")][..],
        ),
    ] {
        let stage = Stage::start(changes);
        let (mut number, mut exchanges, mut reached) = (0, 0, 0);
        for case in case::all(folder) {
            let credentials = case
                .sent
                .iter()
                .any(|piece| matches!(piece, Piece::Credential(_)));
            let token_roads = if credentials {
                &TokenRoad::ALL[..]
            } else {
                &TokenRoad::ALL[..1]
            };
            for token_road in token_roads {
                let bytes = roads::render(&stage, &case.sent, *token_road);
                let half = bytes.len() / 2;
                for pieces in [vec![&bytes[..]], vec![&bytes[..half], &bytes[half..]]] {
                    let [one, other] = clients(case.from.as_deref(), &mut number);
                    let plain = outcome(&stage, Road::Plain, PLAIN, one, &pieces);
                    let library = outcome(&stage, Road::Plain, OTHER, other, &pieces);
                    let place = format!("{} {} {token_road:?}", case.place, case.title);
                    exchanges += 1;
                    reached += plain.seen.len();
                    if pieces.len() > 1 {
                        assert_eq!(plain.judged(), library.judged(), "{place}, in two pieces");
                    } else {
                        assert_eq!(plain, library, "{place}");
                    }
                }
            }
        }
        println!("{folder}: {exchanges} exchanges, {reached} requests at the backend");
        assert!(exchanges > 50 && reached > 10, "{folder}: {exchanges}, {reached}");
    }
}

// The same: "and fuzz input"
#[test]
fn mutated_requests_are_the_same_in_both_lanes() {
    let stage = Stage::start(&[]);
    let seconds = std::env::var("FUZZ_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(10));
    let (thrown, reached) = (std::cell::Cell::new(0_u32), std::cell::Cell::new(0));
    while Instant::now() < end {
        let mut runner = TestRunner::new(Config {
            cases: 100,
            failure_persistence: None,
            max_shrink_iters: 1000,
            ..Config::default()
        });
        let judged = runner.run(&inputs(), |input| {
            let number = thrown.get();
            thrown.set(number + 1);
            let token = if input.with_token {
                stage.token("ben")
            } else {
                "oh.fuzz.wrong"
            };
            let bytes = replace(&input.bytes, token.as_bytes());
            let pieces = input.pieces(&bytes);
            let [_, _, high, low] = number.to_be_bytes();
            let client = |lane: u8| Ipv4Addr::new(127, 60 + lane, high, low);
            let plain = outcome(&stage, Road::Plain, PLAIN, client(0), &pieces);
            let library = outcome(&stage, Road::Plain, OTHER, client(1), &pieces);
            reached.set(reached.get() + plain.seen.len());
            if pieces.len() > 1 {
                assert_eq!(plain.judged(), library.judged());
            } else {
                assert_eq!(plain, library);
            }
            Ok(())
        });
        if let Err(error) = judged {
            panic!("{error}");
        }
    }
    println!(
        "{} inputs, {} whole requests at the backend",
        thrown.get(),
        reached.get()
    );
    assert!(reached.get() > 10, "hardly anything gets through");
}
