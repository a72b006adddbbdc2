//! `explain`: which condition failed, what nearly matched, what would change it.

use serde_json::Value;

use crate::support::asking::{Asked, ROADS};
use crate::support::{Backend, Ran, Sidegate, eventually};

const HOME: &str = "http://home.example";

fn settings(backend: &Backend) -> String {
    format!(
        "server: trusted_proxies = [\"10.9.9.9/32\"]\n\
         [[route]]\npath = \"/\"\nupstream = \"http://{0}\"\n\
         [[route]]\nhost = \"home.example\"\npath = \"/admin\"\nupstream = \"http://{0}\"\naccess = \"admin\"\n\
         [[route]]\nhost = \"home.example\"\npath = \"/public\"\nupstream = \"http://{0}\"\naccess = \"public\"\n\
         [[route]]\nhost = \"home.example\"\npath = \"/table\"\nupstream = \"http://{0}\"\n\
         access = {{ users = [\"ben\"], groups = [\"staff\"], methods = [\"GET\"], networks = [\"10.0.0.0/8\"] }}\n\
         [networks]\ntrusted = [{{ cidr = \"192.168.1.0/24\", user = \"guest\" }}]\n\
         [scope.items]\npaths = [\"/rest/items\"]\n",
        backend.address
    )
}

/// What is asked, what is typed into it, and what the answer must say: decision, status, and parts of
/// reason, of the nearest rule and of the advice.
struct Case<'a> {
    words: &'a [&'a str],
    path: &'a str,
    input: &'a str,
    decision: &'a str,
    status: Option<u64>,
    reason: &'a str,
    nearly: &'a str,
    advice: &'a str,
}

impl Default for Case<'_> {
    fn default() -> Self {
        Self {
            words: &["GET"],
            path: "/",
            input: "",
            decision: "challenge",
            status: Some(401),
            reason: "",
            nearly: "",
            advice: "",
        }
    }
}

fn deny<'a>() -> Case<'a> {
    Case {
        decision: "deny",
        status: Some(403),
        ..Case::default()
    }
}

impl Case<'_> {
    fn address(&self) -> String {
        match self.path.starts_with('/') {
            true => format!("{HOME}{}", self.path),
            false => self.path.to_owned(),
        }
    }

    fn check(&self, gate: &Sidegate) {
        let address = self.address();
        let words = [&["--output", "json", "explain"], self.words, &[address.as_str()]].concat();
        let ran = gate.cli_with_input(&words, self.input).success();
        let said: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        let has = |key: &str, part: &str| said[key].to_string().contains(part);
        assert_eq!(said["decision"], self.decision, "{words:?}: {said}");
        assert_eq!(said["status"].as_u64(), self.status, "{words:?}: {said}");
        assert!(has("reason", self.reason), "{words:?}: {said}");
        assert!(has("nearly", self.nearly), "{words:?}: {said}");
        assert!(has("advice", self.advice), "{words:?}: {said}");
        self.never_shows_the_token(&ran);
    }

    /// The same for people.
    fn check_text(&self, gate: &Sidegate) {
        let address = self.address();
        let words = [&["explain"], self.words, &[address.as_str()]].concat();
        let ran = gate.cli_with_input(&words, self.input).success();
        let text = &ran.stdout;
        let line = |name: &str, rest: &str| {
            let mut lines = text.lines();
            lines.any(|line| line.split_whitespace().next() == Some(name) && line.contains(rest))
        };
        assert!(
            line("decision", self.decision) && line("reason", self.reason),
            "{text}"
        );
        assert!(
            self.advice.is_empty() || line("advice", &self.advice.replace("\\\"", "\"")),
            "{text}"
        );
        self.never_shows_the_token(&ran);
    }

    fn never_shows_the_token(&self, ran: &Ran) {
        let secret = self.input.trim_end();
        assert!(
            secret.len() < 40 || !(ran.stdout.contains(secret) || ran.stderr.contains(secret)),
            "the token is shown"
        );
    }
}

// "`sidegate explain …` prints the decision and why: credential tried, network, route, rule that
// matched, rule that nearly matched."
#[test]
fn every_decision_is_explained_with_a_server_and_without() {
    let backend = Backend::start();
    let mut gate = Sidegate::prepare(&settings(&backend));
    for words in [
        &["user", "add", "anna"][..],
        &["user", "add", "guest", "--role", "read-only"],
        &["user", "add", "carl", "--group", "choir"],
        &["user", "add", "dora"],
        &["user", "disable", "dora"],
        &["ban", "add", "203.0.113.7", "--for", "2h"],
    ] {
        gate.cli(words).success();
    }
    let made = |words: &[&str]| gate.cli(&[&["token", "create"], words].concat()).success().stdout;
    let narrow = made(&[
        "t",
        "--user",
        "carl",
        "--scope",
        "items",
        "--network",
        "10.0.0.0/8",
    ]);
    let tame = made(&["u", "--user", "anna", "--scope", "read-only"]);
    let gone = made(&["g", "--user", "anna"]);
    gate.cli(&["token", "revoke", "g", "--user", "anna"]).success();
    let cases = [
        Case {
            reason: "no credential was presented",
            advice: "sidegate token create",
            ..Case::default()
        },
        Case {
            path: "/publicity",
            nearly: "/public (public): a path covers whole segments",
            ..Case::default()
        },
        Case {
            path: "/Public",
            nearly: "capital letters count",
            ..Case::default()
        },
        Case {
            path: "http://other.example/public",
            nearly: "for another host",
            ..Case::default()
        },
        Case {
            advice: "--from IP",
            ..Case::default()
        },
        Case {
            words: &["--from", "10.9.9.9", "GET"],
            advice: "is a trusted proxy",
            ..Case::default()
        },
        Case {
            words: &["--user", "dora", "GET"],
            reason: "dora is disabled",
            advice: "sidegate user enable dora",
            ..Case::default()
        },
        Case {
            words: &["--token-stdin", "GET"],
            input: "oh.phone.AAAA\n",
            reason: "that is no token",
            ..Case::default()
        },
        Case {
            words: &["--token-stdin", "GET"],
            input: "sk_live_1\n",
            reason: "no credential of ours",
            advice: "starts with \\\"oh.\\\"",
            ..Case::default()
        },
        Case {
            words: &["--token-stdin", "GET"],
            input: &gone,
            reason: "was revoked",
            ..Case::default()
        },
        Case {
            words: &["--token-stdin", "--from", "192.0.2.1", "GET"],
            input: &narrow,
            reason: "from 10.0.0.0/8 only, and the client is 192.0.2.1",
            ..Case::default()
        },
        Case {
            words: &["--token-stdin", "--from", "10.1.1.1", "GET"],
            input: &narrow,
            reason: "does not cover GET /",
            advice: "[scope.NAME]",
            ..deny()
        },
        Case {
            words: &["--token-stdin", "POST"],
            input: &tame,
            reason: "makes it read-only",
            ..deny()
        },
        Case {
            words: &["--token-stdin", "GET"],
            path: "/admin",
            input: &tame,
            reason: "not make it an administrator",
            ..deny()
        },
        Case {
            words: &["--user", "guest", "PUT"],
            reason: "guest has the role read-only",
            advice: "sidegate user role guest user",
            ..deny()
        },
        Case {
            words: &["--user", "carl", "GET"],
            path: "/admin",
            reason: "carl has the role user",
            advice: "sidegate user role carl admin",
            nearly: "*/ (user)",
            ..deny()
        },
        Case {
            words: &["--user", "carl", "GET"],
            path: "/table",
            reason: "users ben or the groups staff; carl is in the groups choir, user",
            advice: "sidegate user groups carl choir staff",
            ..deny()
        },
        Case {
            words: &["GET"],
            path: "/a/../b",
            status: Some(400),
            reason: "path:dot-segment",
            advice: "no backend sees it",
            ..deny()
        },
        Case {
            words: &["GET"],
            path: "/_sidegate/login",
            status: None,
            reason: "belongs to sidegate itself",
            ..deny()
        },
        Case {
            words: &["--from", "203.0.113.7", "GET"],
            decision: "throttle",
            status: Some(429),
            reason: "203.0.113.7 is banned",
            advice: "sidegate ban remove 203.0.113.7",
            ..Case::default()
        },
        Case {
            words: &["--from", "192.168.1.7", "GET"],
            decision: "allow",
            status: None,
            reason: "who the client's network stands for",
            ..Case::default()
        },
        Case {
            path: "/public",
            decision: "allow",
            status: None,
            reason: "anyone may GET here",
            ..Case::default()
        },
        Case {
            words: &["--user", "anna", "DELETE"],
            path: "/admin/x",
            decision: "allow",
            status: None,
            reason: "anna may DELETE here",
            ..Case::default()
        },
    ];
    let all = |gate: &Sidegate| {
        for case in &cases {
            case.check(gate);
        }
        assert_eq!(gate.cli(&["explain", "--user", "nobody", "GET", HOME]).code, 66);
        assert_eq!(gate.cli(&["explain", "GET", "/path"]).code, 64);
        assert_eq!(
            gate.cli(&["explain", "GET", "http://oh.a.b@home.example/"]).code,
            64
        );
    };
    all(&gate);
    gate.launch();
    eventually(|| gate.cli(&["healthcheck"]).code == 0, || gate.log());
    all(&gate);
    for case in &cases {
        case.check_text(&gate);
    }
    // The other conditions of the table, one after the other, while the server runs.
    gate.cli(&["user", "groups", "carl", "staff"]).success();
    let table = |words: &'static [&'static str], reason| Case {
        words,
        path: "/table",
        reason,
        ..deny()
    };
    table(
        &["--user", "carl", "--from", "10.1.1.1", "PUT"],
        "allows GET, and this is PUT",
    )
    .check(&gate);
    table(
        &["--user", "carl", "--from", "192.0.2.1", "GET"],
        "from 10.0.0.0/8, and the client is 192.0.2.1",
    )
    .check(&gate);
}

#[test]
fn an_address_without_a_route_is_answered_with_the_routes_there_are() {
    let backend = Backend::start();
    let route = format!(
        "[[route]]\nhost = \"home.example\"\npath = \"/api\"\nupstream = \"http://{}\"\n",
        backend.address
    );
    let gate = Sidegate::prepare(&route);
    gate.cli(&["user", "add", "anna"]).success();
    Case {
        path: "/ap",
        status: Some(404),
        reason: "no route covers",
        advice: "home.example/api",
        ..deny()
    }
    .check(&gate);
    Case {
        path: "http://192.0.2.1/api",
        status: Some(404),
        nearly: "for another host",
        ..deny()
    }
    .check(&gate);
    let bare = Sidegate::prepare("");
    bare.cli(&["user", "add", "anna"]).success();
    Case {
        status: Some(404),
        advice: "no route at all",
        ..Case::default()
    }
    .check(&bare);
}

/// A request that is sent by every road and explained.
struct Sent<'a> {
    asked: Asked,
    /// Instead of a token: `--anonymous`, `--browser`.
    words: &'a [&'a str],
    token: &'a str,
    decision: &'a str,
}

impl Sent<'_> {
    /// What `explain` says of it beforehand.
    fn foretold(&self, gate: &Sidegate) -> Value {
        let url = format!("http://gate.test{}", self.asked.target);
        let from = self.asked.client.as_deref().expect("every case has one");
        let who: &[&str] = if self.token.is_empty() {
            &[]
        } else {
            &["--token-stdin"]
        };
        let words = [
            &["--output", "json", "explain", "--from", from],
            who,
            self.words,
            &[self.asked.method, &url],
        ]
        .concat();
        let ran = gate.cli_with_input(&words, self.token).success();
        serde_json::from_str(&ran.stdout).expect("JSON")
    }
}

/// What `explain` says afterwards; the audit file is written a moment later.
fn of_id(gate: &Sidegate, id: &str) -> Value {
    let mut said = String::new();
    let found = || {
        let ran = gate.cli(&["explain", "--id", id, "--output", "json"]);
        assert!(ran.code == 0 || ran.code == 66, "{}", ran.stderr);
        said = ran.stdout;
        ran.code == 0
    };
    eventually(found, || format!("{id} is not in the audit file"));
    serde_json::from_str(&said).expect("JSON")
}

// Issue: "`sidegate explain` for all roads, text and JSON, and the decision id in the log line gives
// the same explanation."
#[test]
fn every_road_answers_as_explained_and_the_id_of_the_answer_gives_the_same_explanation() {
    let backend = Backend::start();
    let settings = settings(&backend).replace("10.9.9.9/32", "127.0.0.1/32");
    let gate = Sidegate::start(&format!("{settings}[audit]\nallowed = \"all\"\n"));
    gate.cli(&["user", "add", "anna"]).success();
    gate.cli(&["user", "add", "guest", "--role", "read-only"])
        .success();
    gate.cli(&["user", "add", "carl"]).success();
    gate.cli(&["ban", "add", "203.0.113.7", "--for", "2h"]).success();
    let anna = gate.token("anna", "phone");
    let guest = gate.token("guest", "panel");
    let carl = gate.token("carl", "watch");
    let gone = gate.token("anna", "gone");
    gate.cli(&["token", "revoke", "gone", "--user", "anna"]).success();
    let browser = "Sec-Fetch-Mode: navigate";
    let by = |token: &str, asked: Asked| asked.with(format!("Authorization: Bearer {token}"));
    let (anonymous, program) = (&[][..], "");
    let sent = [
        (Asked::get("/", "198.51.100.1"), anonymous, program, "challenge"),
        (
            Asked::get("/", "198.51.100.2").with(browser),
            &["--browser"][..],
            program,
            "challenge",
        ),
        (
            by(&gone, Asked::get("/", "198.51.100.3")),
            anonymous,
            &gone,
            "challenge",
        ),
        (
            by(&guest, Asked::get("/a", "198.51.100.4").by("PUT")),
            anonymous,
            &guest,
            "deny",
        ),
        (
            by(&carl, Asked::get("/", "198.51.100.5")),
            anonymous,
            &carl,
            "allow",
        ),
        (
            by(&anna, Asked::get("/a%2Fb", "198.51.100.6")),
            anonymous,
            &anna,
            "deny",
        ),
        (Asked::get("/", "203.0.113.7"), anonymous, program, "throttle"),
        (Asked::get("/", "192.168.1.7"), anonymous, program, "allow"),
    ];
    for (asked, words, token, decision) in sent {
        let case = Sent {
            asked,
            words,
            token,
            decision,
        };
        let foretold = case.foretold(&gate);
        assert_eq!(foretold["decision"], case.decision, "{foretold}");
        for (number, road) in ROADS.into_iter().enumerate() {
            let answer = case.asked.send(&gate, road);
            let expected = &foretold["answers"][number];
            assert_eq!(expected["road"], road);
            assert_eq!(
                expected["status"].as_u64().unwrap_or(200),
                u64::from(answer.status),
                "{foretold}"
            );
            let after = of_id(
                &gate,
                answer.header("x-request-id").expect("every answer has one"),
            );
            assert_eq!(after["answers"][0]["road"], road);
            if answer.status != 200 {
                assert_eq!(
                    after["status"].as_u64(),
                    Some(u64::from(answer.status)),
                    "{after}"
                );
            }
            let same = ["decision", "identity", "rule", "network"];
            for key in same {
                assert_eq!(after[key], foretold[key], "{key} {road}: {after}\n{foretold}");
            }
            // Seconds pass, and of what nobody could judge the file has the word alone.
            if case.decision != "throttle" && foretold["rule"] != Value::Null {
                assert_eq!(after["reason"], foretold["reason"], "{road}");
                assert_eq!(after["advice"], foretold["advice"], "{road}");
            }
            // A name that somebody typed is in no file.
            if after["identity"] != Value::Null {
                assert_eq!(after["credential"], foretold["credential"], "{road}");
            }
        }
    }
    let text = gate
        .cli(&["explain", "GET", "http://gate.test/"])
        .success()
        .stdout;
    assert!(
        text.contains("proxy 401, nginx 401, traefik 401, caddy 401, envoy 401, haproxy 401"),
        "{text}"
    );
    for wrong in ["0", "0123456789abcdeF", "oh.phone.secret.aa"] {
        assert_eq!(gate.cli(&["explain", "--id", wrong]).code, 64, "{wrong}");
    }
    assert_eq!(gate.cli(&["explain", "--id", "0123456789abcdef"]).code, 66);
    assert_eq!(gate.cli(&["explain"]).code, 64);
}
