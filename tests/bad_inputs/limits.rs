//! Group L: bans and rates. Loopback has sixteen million addresses, and each is another client.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::client::{Kept, ask, get};
use crate::roads::{Answer, Road, TokenRoad};
use crate::stage::Stage;
use crate::support;

/// So many failures ban, and no address is exempt.
const FAILURES: u32 = 5;

fn strict() -> Stage {
    let guard = "[guard]\nfailures = \"5 in 10m\"\nban_for = \"10m\"\nexempt = []";
    Stage::start(&[("[guard]", guard)])
}

fn client(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 88, 0, number)
}

/// A token that never was, and no other has.
fn wrong() -> String {
    let minted = sidegate::crypto::token_hash::mint("oh", "x");
    String::from_utf8(minted.expose().to_vec()).expect("ASCII")
}

/// Fails until one failure is left.
fn fail(stage: &Stage, from: Ipv4Addr, times: u32) {
    for number in 0..times {
        let road = TokenRoad::ALL[number as usize % 4];
        assert_eq!(
            get(stage, from, &road.line(&wrong())).status,
            401,
            "failure {number}"
        );
    }
}

fn banned(answer: &Answer) -> bool {
    let wait: Option<u64> = answer
        .all("retry-after")
        .first()
        .and_then(|text| text.parse().ok());
    assert_eq!(
        answer.status == 429,
        wait.is_some_and(|wait| (1..=900).contains(&wait)),
        "{answer:?}"
    );
    answer.status == 429
}

// Section 6.4: "A ban stops everything from that address except requests whose credential is in the cache
// of verified ones: 429 with `Retry-After`"; L-02, L-10
#[test]
fn after_so_many_failures_an_address_is_banned_and_no_other() {
    let stage = strict();
    let (own, fresh) = (stage.token("ben").to_owned(), stage.token("carl").to_owned());
    let (own, fresh) = (TokenRoad::Bearer.line(&own), TokenRoad::Bearer.line(&fresh));
    assert_eq!(get(&stage, client(1), &own).status, 200);
    fail(&stage, client(1), FAILURES);
    stage.backend.take();
    for header in ["X: y", "Authorization: Bearer", &TokenRoad::Header.line(&wrong())] {
        assert!(banned(&get(&stage, client(1), header)), "{header}");
    }
    // A right token that nobody has seen yet could be the attacker's last guess.
    assert!(banned(&get(&stage, client(1), &fresh)));
    assert!(banned(&ask(&stage, Road::Plain, client(1), "GET /public", &[])));
    // By TLS it is the same address.
    assert!(banned(&ask(&stage, Road::Tls, client(1), "GET /", &["X: y"])));
    assert!(stage.backend.take().is_empty());
    // "Bans apply to credential attempts ..., not to requests with a cached-valid token" (L-02)
    assert_eq!(get(&stage, client(1), &own).status, 200);
    assert_eq!(get(&stage, client(2), &fresh).status, 200);
    assert_eq!(get(&stage, client(2), "X: y").status, 401);
    // Seen as right from elsewhere, it is known on the banned address too.
    assert_eq!(get(&stage, client(1), &fresh).status, 200);
    let listed = stage.gate.cli(&["ban", "list"]).success().stdout;
    assert!(
        listed.contains("127.88.0.1") && !listed.contains("127.88.0.2"),
        "{listed}"
    );
    stage.gate.cli(&["ban", "remove", "127.88.0.1"]).success();
    assert_eq!(get(&stage, client(1), "X: y").status, 401);
}

// L-01: "success does not reset the prefix counter to zero"
#[test]
fn a_success_between_failures_does_not_start_the_count_anew() {
    let stage = strict();
    fail(&stage, client(1), FAILURES - 1);
    let own = TokenRoad::Bearer.line(stage.token("ben"));
    assert_eq!(get(&stage, client(1), &own).status, 200);
    fail(&stage, client(1), 1);
    assert!(banned(&get(&stage, client(1), "X: y")));
}

// Section 6.4: "the same one again counts once per window"; L-14: "canonicalise before keying"
#[test]
fn an_old_phone_with_one_wrong_token_is_not_banned() {
    let stage = strict();
    let token = wrong();
    let basic = STANDARD.encode(format!("{token}:"));
    let mut spellings: Vec<String> = TokenRoad::ALL.iter().map(|road| road.line(&token)).collect();
    spellings.push(format!("authorization: BASIC {}", basic.trim_end_matches('=')));
    spellings.push(format!("Authorization:   bEARER   {token}  "));
    spellings.push(format!("x-openhab-token: {token}\t"));
    for _ in 0..5 {
        for spelling in &spellings {
            assert_eq!(get(&stage, client(1), spelling).status, 401, "{spelling}");
        }
    }
    // It has counted, once.
    fail(&stage, client(1), FAILURES - 2);
    assert_eq!(get(&stage, client(1), "X: y").status, 401);
    fail(&stage, client(1), 1);
    assert!(banned(&get(&stage, client(1), "X: y")));
}

// Section 6.4: "Not counted: none, expired, revoked ..., a disabled user's, a dead cookie, ..."
#[test]
fn what_is_dead_or_none_of_ours_never_counts() {
    let stage = strict();
    // More dead tokens than failures that ban: each counts once at most.
    let run = |arguments: &str| {
        let words: Vec<&str> = arguments.split(' ').collect();
        stage.gate.cli(&words).success().stdout.trim_end().to_owned()
    };
    for number in 0..=FAILURES {
        run(&format!("user add u{number}"));
        let disabled = run(&format!("token create t --user u{number}"));
        run(&format!("user disable u{number}"));
        let revoked = run(&format!("token create r{number} --user ben"));
        run(&format!("token revoke r{number} --user ben"));
        for token in [disabled, revoked] {
            assert_eq!(
                get(&stage, client(1), &TokenRoad::Bearer.line(&token)).status,
                401
            );
        }
    }
    for number in 0..20 {
        for token in ["expired", "revoked", "disabled", "elsewhere"] {
            for road in TokenRoad::ALL {
                assert_eq!(get(&stage, client(1), &road.line(stage.token(token))).status, 401);
            }
        }
        for header in [
            "X: y".to_owned(),
            format!("Cookie: sidegate={number}"),
            format!("Authorization: Digest {number}"),
            format!("Authorization: Bearer foreign{number}"),
            format!(
                "Authorization: Basic {}",
                STANDARD.encode(format!("user{number}:password"))
            ),
            format!("Proxy-Authorization: Bearer {}", wrong()),
        ] {
            assert_eq!(get(&stage, client(1), &header).status, 401, "{header}");
        }
        // A known user who may not do this.
        let carl = TokenRoad::Bearer.line(stage.token("carl"));
        let denied = ask(&stage, Road::Plain, client(1), "DELETE /x", &[&carl]);
        assert_eq!(denied.status, 403);
        // What is no request at all.
        let rejected = ask(
            &stage,
            Road::Plain,
            client(1),
            &format!("GET /{number}/../x"),
            &[],
        );
        assert_eq!(rejected.status, 400);
    }
    assert_eq!(
        stage
            .gate
            .cli(&["ban", "list"])
            .success()
            .stdout
            .matches("127.")
            .count(),
        0
    );
}

// Section 6.4: "Counted: a presented credential of ours that is malformed or never existed"
#[test]
fn what_is_malformed_counts_like_what_is_wrong() {
    for (number, headers) in [
        ["oh.", "oh.a", "oh.b", "oh.c.d", "x"].map(|text| format!("X-OPENHAB-TOKEN: {text}")),
        ["!", "!!", "!!!", "!!!!", "!!!!!"].map(|text| format!("Authorization: Basic {text}")),
        ["a b", "b c", "c d", "d e", "e f"].map(|text| format!("Authorization: Bearer {text}")),
    ]
    .iter()
    .enumerate()
    {
        let stage = strict();
        let from = client(u8::try_from(number).expect("three"));
        for header in headers {
            assert_eq!(get(&stage, from, header).status, 401, "{header}");
        }
        assert!(banned(&get(&stage, from, "X: y")), "{headers:?}");
    }
}

// L-05: "concurrent 1 000 failures at once (race on counter): ban after exactly N"
#[test]
fn failures_at_once_make_one_ban() {
    let stage = strict();
    let refused = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut connection = Kept::open(&stage, client(1));
                for _ in 0..25 {
                    match connection.ask("GET /", &[&TokenRoad::Bearer.line(&wrong())]) {
                        401 => drop(refused.fetch_add(1, Ordering::SeqCst)),
                        status => assert_eq!(status, 429),
                    }
                }
            });
        }
    });
    // One for each thread may have been let in to be judged when the ban came.
    let refused = refused.load(Ordering::SeqCst);
    assert!(
        (FAILURES..FAILURES + 8).contains(&refused),
        "{refused} were judged"
    );
    let bans = || stage.written()[1].1.matches("\"event\":\"ban.add\"").count();
    support::eventually(|| bans() > 0, || "no ban in the audit file".into());
    assert_eq!(bans(), 1);
    let listed = stage
        .gate
        .cli(&["--output", "json", "ban", "list"])
        .success()
        .stdout;
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed.as_array().expect("a list").len(), 1, "{listed}");
    assert_eq!(listed[0]["times"], 1, "{listed}");
}

// L-07: "ban persisted, kill -9, restart: still banned"
#[test]
fn a_ban_survives_a_violent_death() {
    let mut stage = strict();
    fail(&stage, client(1), FAILURES);
    assert!(banned(&get(&stage, client(1), "X: y")));
    support::eventually(
        || {
            stage
                .gate
                .cli(&["ban", "list"])
                .success()
                .stdout
                .contains("127.88.0.1")
        },
        || "the ban is not listed".into(),
    );
    // Written behind the answer; a second ban by the verb is behind it in the same queue.
    stage.gate.cli(&["ban", "add", "192.0.2.1"]).success();
    stage.gate.signal("KILL");
    stage.gate.wait();
    stage.gate.launch();
    let ready = b"GET /readyz HTTP/1.1\r\nHost: o\r\nConnection: close\r\n\r\n";
    support::eventually(
        || support::ask(stage.gate.operations, ready).is_some_and(|text| text.starts_with("HTTP/1.1 200")),
        || "it does not start again".into(),
    );
    assert!(banned(&get(&stage, client(1), "X: y")));
    // What was verified in its first life is not known in the second.
    assert!(banned(&get(
        &stage,
        client(1),
        &TokenRoad::Bearer.line(stage.token("ben"))
    )));
    assert_eq!(get(&stage, client(2), "X: y").status, 401);
}

// R-006, section 4: "Client address: the right-most untrusted hop ..., else the peer"; "it is never banned"
#[test]
fn bans_hit_the_client_and_neither_its_proxy_nor_whom_it_names() {
    let stage = strict();
    let proxy = Ipv4Addr::new(127, 9, 1, 1);
    let victim = "203.0.113.9";
    let through = |client: &str, header: &str| {
        let forwarded = format!("X-Forwarded-For: {client}");
        ask(&stage, Road::Plain, proxy, "GET /", &[&forwarded, header])
    };
    // A stranger that names somebody else is banned itself.
    for _ in 0..FAILURES {
        let forwarded = format!("X-Forwarded-For: {victim}");
        let header = TokenRoad::Bearer.line(&wrong());
        assert_eq!(
            ask(&stage, Road::Plain, client(1), "GET /", &[&forwarded, &header]).status,
            401
        );
    }
    assert!(banned(&get(&stage, client(1), "X: y")));
    assert_eq!(through(victim, "X: y").status, 401);
    // A client behind the proxy is banned alone, however it forges what is further left.
    for number in 0..FAILURES {
        let forged = format!("198.51.100.{number}, 203.0.113.66");
        assert_eq!(through(&forged, &TokenRoad::Bearer.line(&wrong())).status, 401);
    }
    assert!(banned(&through("203.0.113.66", "X: y")));
    assert!(banned(&through("203.0.113.66, 127.9.2.2", "X: y")));
    assert_eq!(through(victim, "X: y").status, 401);
    // The proxy that names nobody is never banned.
    fail(&stage, proxy, 3 * FAILURES);
    assert_eq!(
        get(&stage, proxy, &TokenRoad::Bearer.line(stage.token("ben"))).status,
        200
    );
    // An IPv6 client has a /64 to itself.
    for number in 0..FAILURES {
        let forged = format!("2001:db8:1:2::{number}");
        assert_eq!(through(&forged, &TokenRoad::Bearer.line(&wrong())).status, 401);
    }
    assert!(banned(&through("2001:db8:1:2:ffff::1", "X: y")));
    assert_eq!(through("2001:db8:1:3::1", "X: y").status, 401);
}

// "rate = ... per client; spent only by requests that are not allowed"; L-10: "429 has Retry-After"
#[test]
fn the_rate_is_spent_by_refused_requests_only() {
    let rate = "rate = \"1/m burst 10\"";
    let stage = Stage::start(&[("rate = \"1000000/s burst 1000000\"", rate)]);
    let own = TokenRoad::Bearer.line(stage.token("ben"));
    let mut connection = Kept::open(&stage, client(1));
    for _ in 0..100 {
        assert_eq!(connection.ask("GET /", &[&own]), 200);
    }
    let statuses: Vec<u16> = (0..20).map(|_| connection.ask("GET /", &[])).collect();
    assert_eq!(statuses[..10], [401; 10]);
    assert_eq!(statuses[10..], [429; 10]);
    // Whoever is known goes on; and so do others.
    assert_eq!(connection.ask("GET /", &[&own]), 200);
    assert_eq!(get(&stage, client(2), "X: y").status, 401);
    let throttled = get(&stage, client(1), "X: y");
    assert_eq!(throttled.status, 429);
    assert!(throttled.all("retry-after")[0].parse::<u64>().expect("seconds") >= 1);
    assert!(throttled.all("www-authenticate").is_empty());
}

// "exempt: never banned; limits still apply"; default "127.0.0.0/8"
#[test]
fn an_exempt_network_is_never_banned() {
    let guard = "[guard]\nfailures = \"5 in 10m\"\nexempt = [\"127.88.0.0/24\"]";
    let stage = Stage::start(&[("[guard]", guard)]);
    fail(&stage, client(1), 4 * FAILURES);
    assert_eq!(get(&stage, client(1), "X: y").status, 401);
    let other = Ipv4Addr::new(127, 88, 1, 1);
    fail(&stage, other, FAILURES);
    assert!(banned(&get(&stage, other, "X: y")));
}
