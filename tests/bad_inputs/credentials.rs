//! Credentials over several requests: parts of tokens, caches, revocations.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::client::{Kept, ask, get};
use crate::http2;
use crate::roads::{self, Road, TokenRoad, Wire};
use crate::stage::Stage;

const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 77, 0, 1);

// C-14: "every proper prefix of a valid token (1..n-1), valid+`x`: 401"; C-16: "token upper/lower-cased: 401"
// R-065: "Every proper prefix, suffix, substring, empty, repeated and +1-char variant of a valid token/Basic
// string: 401"
#[test]
fn no_part_and_no_variant_of_a_token_is_a_token() {
    let stage = Stage::start(&[]);
    let token = stage.token("ben").to_owned();
    let mut variants: Vec<String> = (0..token.len()).map(|end| token[..end].to_owned()).collect();
    variants.extend((1..token.len()).map(|start| token[start..].to_owned()));
    variants.extend((1..token.len() / 2).map(|cut| token[cut..token.len() - cut].to_owned()));
    variants.extend((0..token.len()).map(|at| {
        let other = if &token[at..=at] == "A" { "B" } else { "A" };
        format!("{}{other}{}", &token[..at], &token[at + 1..])
    }));
    variants.extend((0..=token.len()).map(|at| format!("{}A{}", &token[..at], &token[at..])));
    variants.extend([
        token.to_uppercase(),
        token.to_lowercase(),
        format!("{token}{token}"),
    ]);
    let mut connection = Kept::open(&stage, STRANGER);
    for variant in &variants {
        for road in TokenRoad::ALL {
            let status = connection.ask("GET /", &[&road.line(variant)]);
            // A header line without the prefix is the backend's and so no credential: 401 all the same.
            assert_eq!(status, 401, "{road:?} {variant:?} of {token:?}");
        }
    }
    // Cut Base64, as a whole Basic value.
    let basic = STANDARD.encode(format!("{token}:"));
    for cut in 1..basic.len() {
        for part in [&basic[..cut], &basic[cut..]] {
            let status = connection.ask("GET /", &[&format!("Authorization: Basic {part}")]);
            // Without its padding it is the same value.
            let same = part.trim_end_matches('=') == basic.trim_end_matches('=');
            assert_eq!(status, if same { 200 } else { 401 }, "{part:?} of {basic:?}");
        }
    }
    assert_eq!(connection.ask("GET /", &[&TokenRoad::Bearer.line(&token)]), 200);
    assert!(
        stage
            .backend
            .take()
            .iter()
            .all(|seen| seen.only("remote-user") == Some("ben"))
    );
}

// C-20: "distinct `why`, same body"; section 6.3: "A disabled or deleted user's credential gets the same 401
// and body as a wrong one"
#[test]
fn every_wrong_credential_gets_the_same_answer() {
    let stage = Stage::start(&[]);
    let mut answers = Vec::new();
    for token in ["unknown", "expired", "revoked", "disabled", "gone", "elsewhere"] {
        for road in TokenRoad::ALL {
            let mut answer = get(&stage, STRANGER, &road.line(stage.token(token)));
            assert_eq!(answer.status, 401, "{token} {road:?}");
            let id = answer.all("x-request-id")[0].to_owned();
            let body = String::from_utf8(answer.body.clone()).expect("text");
            assert!(body.contains(&id), "{body}");
            answer
                .headers
                .retain(|(name, _)| name != "x-request-id" && name != "date");
            answers.push((answer.headers, body.replace(&id, "ID")));
        }
    }
    answers.push({
        let malformed = get(&stage, STRANGER, "Authorization: Bearer");
        let id = malformed.all("x-request-id")[0].to_owned();
        let body = String::from_utf8(malformed.body)
            .expect("text")
            .replace(&id, "ID");
        let mut headers = malformed.headers;
        headers.retain(|(name, _)| name != "x-request-id" && name != "date");
        (headers, body)
    });
    for answer in &answers {
        assert_eq!(*answer, answers[0]);
    }
}

// "Token ok for rule A (scope read) then rule B (scope write) within TTL: 403"
#[test]
fn what_was_verified_is_asked_anew_for_every_rule() {
    let stage = Stage::start(&[]);
    let mut connection = Kept::open(&stage, STRANGER);
    for road in TokenRoad::ALL {
        for _ in 0..2 {
            for (token, line, status) in [
                ("items", "GET /items", 200),
                ("items", "POST /items", 403),
                ("items", "GET /other", 403),
                ("carl", "GET /", 200),
                ("carl", "DELETE /", 403),
                ("ben", "GET /family", 200),
                ("ben", "GET /admin", 403),
                ("carl", "GET /family", 403),
                ("eve", "GET /admin", 200),
            ] {
                let header = road.line(stage.token(token));
                assert_eq!(
                    connection.ask(line, &[&header]),
                    status,
                    "{token} {line} {road:?}"
                );
            }
            // Verified here, yet worth nothing from where the token may not be used.
            let header = TokenRoad::Bearer.line(stage.token("home"));
            assert_eq!(connection.ask("GET /", &[&header]), 200);
            let elsewhere = ask(&stage, Road::Unix, STRANGER, "GET /", &[&header]);
            assert_eq!(elsewhere.status, 401);
        }
    }
}

// "for all (u,p) != (u',p'), key differs - including moving bytes across the boundary and empty parts"
#[test]
fn a_pair_that_was_verified_opens_for_no_other_division_of_its_bytes() {
    let stage = Stage::start(&[("basic_passwords = false", "basic_passwords = true")]);
    let basic = |pair: &str| format!("Authorization: Basic {}", STANDARD.encode(pair));
    for user in ["ann", "annapa"] {
        stage
            .gate
            .cli_with_input(&["user", "add", user, "--password-stdin"], "another password\n")
            .success();
    }
    let right = "anna:pa:ss:word of anna";
    let mut connection = Kept::open(&stage, STRANGER);
    assert_eq!(connection.ask("GET /", &[&basic(right)]), 200);
    for pair in [
        "ann:a:pa:ss:word of anna",
        "ann:apa:ss:word of anna",
        "annapa:ss:word of anna",
        "anna:pass:word of anna",
        "annapa::ss:word of anna",
        "anna::pa:ss:word of anna",
        ":annapa:ss:word of anna",
    ] {
        assert_eq!(connection.ask("GET /", &[&basic(pair)]), 401, "{pair}");
    }
    // A token that is spelled like the pair, and the other way round.
    assert_eq!(
        connection.ask("GET /", &[&format!("X-OPENHAB-TOKEN: {right}")]),
        401
    );
    assert_eq!(connection.ask("GET /", &[&basic(right)]), 200);
    let header = TokenRoad::Bearer.line(stage.token("ben"));
    assert_eq!(connection.ask("GET /", &[&header]), 200);
    assert_eq!(
        connection.ask("GET /", &[&basic(&format!("{}:", stage.token("ben")))]),
        200
    );
    assert_eq!(
        connection.ask("GET /", &[&basic(&format!(":{}", stage.token("ben")))]),
        401
    );
}

// R-069: "Disable user / remove group / revoke token while a request loop runs: last success <= documented
// bound (0 on the node)"; section 2: "a revocation is in force when the verb returns"
#[test]
fn nothing_is_let_in_after_a_verb_that_took_it_away_returned() {
    let stage = Stage::start(&[]);
    let run = |arguments: &str| {
        let words: Vec<&str> = arguments.split(' ').collect();
        stage.gate.cli(&words).success().stdout.trim_end().to_owned()
    };
    for (verb, line, after) in [
        ("token revoke t --user zoe", "GET /", 401),
        ("token rotate t --user zoe --overlap 0s", "GET /", 401),
        ("user disable zoe", "GET /", 401),
        ("user groups zoe", "GET /family", 403),
        ("user role zoe user", "GET /admin", 403),
        ("user role zoe read-only", "POST /", 403),
        ("user remove zoe", "GET /", 401),
    ] {
        run("user add zoe --role admin --group family");
        let token = run("token create t --user zoe");
        let (stop, good) = (AtomicBool::new(false), AtomicU32::new(0));
        std::thread::scope(|scope| {
            // Several connections, so that every core has the token in its cache.
            let loops: Vec<_> = TokenRoad::ALL
                .into_iter()
                .map(|road| {
                    let (stage, stop, good, token) = (&stage, &stop, &good, &token);
                    scope.spawn(move || {
                        let mut connection = Kept::open(stage, STRANGER);
                        let header = road.line(token);
                        loop {
                            // Looked at before the request begins: it began after the verb returned.
                            let returned = stop.load(Ordering::SeqCst);
                            let status = connection.try_ask(line, &["Content-Length: 0", &header]);
                            // What was under way may be cut off.
                            let Some(status) = status else {
                                connection = Kept::open(stage, STRANGER);
                                continue;
                            };
                            if returned {
                                return status;
                            }
                            good.fetch_add(u32::from(status == 200), Ordering::SeqCst);
                        }
                    })
                })
                .collect();
            crate::support::eventually(|| good.load(Ordering::SeqCst) > 40, || format!("{verb}: no loop"));
            run(verb);
            stop.store(true, Ordering::SeqCst);
            for statuses in loops {
                assert_eq!(statuses.join().expect("the loop ends"), after, "{verb}");
            }
        });
        if !verb.starts_with("user remove") {
            run("user remove zoe");
        }
        stage.backend.take();
    }
}

// C-41: "credentials ... in 2nd pipelined request only, in h2 after 1st stream: each request judged alone"
#[test]
fn a_credential_counts_for_its_own_request_only() {
    let stage = Stage::start(&[]);
    let good = TokenRoad::Bearer.line(stage.token("ben"));
    let request =
        |path: &str, header: &str| format!("GET {path} HTTP/1.1\r\nHost: gate.test\r\n{header}\r\n");
    let header = format!("{good}\r\n");
    for road in [Road::Plain, Road::Tls, Road::Unix] {
        let mut text = String::new();
        let mut due = Vec::new();
        for number in 0..99 {
            // With, without, with, ... and both neighbours in one segment.
            let with = number % 3 == 1;
            text += &request(&format!("/{number}"), if with { &header } else { "" });
            due.push(if with { 200 } else { 401 });
        }
        let received = roads::exchange(&mut Wire::open(&stage, road, STRANGER), road, text.as_bytes());
        let statuses: Vec<u16> = roads::parse(&received, false)
            .finals
            .iter()
            .map(|a| a.status)
            .collect();
        assert_eq!(statuses, due, "{road:?}");
        let targets: Vec<String> = stage
            .backend
            .take()
            .iter()
            .map(|seen| seen.target().to_owned())
            .collect();
        let expected: Vec<String> = (0..33).map(|number| format!("/{}", 3 * number + 1)).collect();
        assert_eq!(targets, expected, "{road:?}");
    }
    let requests = ["", &header, "", &header, ""]
        .iter()
        .map(|header| http2::translate(request("/x", header).as_bytes()).expect("plain requests"))
        .collect();
    let statuses: Vec<u16> = http2::send_all(&stage, STRANGER, requests)
        .iter()
        .map(|answer| answer.status)
        .collect();
    assert_eq!(statuses, [401, 200, 401, 200, 401]);
}

// C-31, A-08 and R-022 at once: neither order nor number of what else is sent opens a trusted network
#[test]
fn a_wrong_credential_among_others_is_never_rescued() {
    let stage = Stage::start(&[]);
    let house = Ipv4Addr::new(127, 1, 200, 1);
    let wrong = TokenRoad::Header.line(stage.token("unknown"));
    let others = [
        TokenRoad::Bearer.line(stage.token("ben")),
        TokenRoad::Basic.line(stage.token("ben")),
        "Authorization: Digest x".to_owned(),
        "Cookie: sidegate=x".to_owned(),
        "X-Forwarded-For: 127.1.0.1".to_owned(),
        "Remote-User: anna".to_owned(),
    ];
    for path in ["GET /", "GET /public", "GET /query?access_token=x"] {
        for other in &others {
            for headers in [[wrong.as_str(), other], [other, wrong.as_str()]] {
                let answer = ask(&stage, Road::Plain, house, path, &headers);
                assert_eq!(answer.status, 401, "{path} {headers:?}");
            }
        }
    }
    assert!(stage.backend.take().is_empty());
    assert_eq!(get(&stage, house, "X: y").status, 200);
}
