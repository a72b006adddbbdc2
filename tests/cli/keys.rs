//! `keys list` and `keys rotate`.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Backend, Sidegate, binary, eventually};

fn gate() -> (Backend, Sidegate) {
    let backend = Backend::start();
    let gate = Sidegate::with_anna(&backend, "");
    (backend, gate)
}

/// Ids, states and tokens of all pairs, the newest first.
fn pairs(gate: &Sidegate) -> Vec<(u64, String, u64)> {
    let listed = gate.cli(&["keys", "list", "--output", "json"]).success();
    let listed: Value = serde_json::from_str(&listed.stdout).expect("JSON");
    let pair = |pair: &Value| {
        (
            pair["id"].as_u64().expect("a number"),
            pair["state"].as_str().expect("text").to_owned(),
            pair["tokens"].as_u64().expect("a number"),
        )
    };
    listed.as_array().expect("a list").iter().map(pair).collect()
}

fn is(id: u64, state: &str, tokens: u64) -> (u64, String, u64) {
    (id, state.to_owned(), tokens)
}

fn status(gate: &Sidegate, token: &str) -> u16 {
    gate.get("/", &[&format!("X-OPENHAB-TOKEN: {token}")]).status
}

fn is_ready(gate: &Sidegate) -> bool {
    gate.cli(&["healthcheck"]).code == 0
}

// "works while the server runs …, in force on all cores when the verb returns": no token stops working,
// and what is used moves.
#[test]
fn keys_are_rotated_under_a_running_server_and_nobody_notices() {
    let (_backend, mut gate) = gate();
    let (used, unused) = (gate.token("anna", "used"), gate.token("anna", "unused"));
    let revoked = gate.token("anna", "revoked");
    gate.cli(&["token", "revoke", "revoked", "--user", "anna"])
        .success();
    assert_eq!(pairs(&gate), [is(1, "current", 2)]);

    let said = gate.cli(&["keys", "rotate"]).success();
    assert_eq!(said.stdout, "");
    assert!(
        said.stderr.contains("keys 2") && said.stderr.contains("2 tokens"),
        "{}",
        said.stderr
    );
    let fresh = gate.token("anna", "fresh");
    // More often than there are cores, so that each has seen it.
    for _ in 0..6 {
        for token in [&used, &fresh] {
            assert_eq!(status(&gate, token), 200);
        }
        assert_eq!(status(&gate, &revoked), 401);
    }
    let moved = [is(2, "current", 2), is(1, "older", 1)];
    eventually(
        || pairs(&gate) == moved,
        || format!("not moved: {:?}", pairs(&gate)),
    );

    // What was moved is in the store, and the older keys still work after a violent death.
    gate.signal("KILL");
    gate.wait();
    assert_eq!(pairs(&gate), moved);
    gate.launch();
    eventually(|| is_ready(&gate), || gate.log());
    for token in [&used, &fresh, &unused] {
        assert_eq!(status(&gate, token), 200);
    }
    let all = [is(2, "current", 3), is(1, "older", 0)];
    eventually(
        || pairs(&gate) == all,
        || format!("not moved: {:?}", pairs(&gate)),
    );

    let said = gate.cli(&["keys", "rotate", "--drop-old"]).success();
    assert!(said.stderr.starts_with("dropped keys 1"), "{}", said.stderr);
    assert_eq!(pairs(&gate), [is(2, "current", 3), is(1, "revoked-only", 0)]);
    assert!(!gate.state().join("keys/token.key").exists());
    for token in [&used, &fresh, &unused] {
        assert_eq!(status(&gate, token), 200);
    }
    assert_eq!(status(&gate, &revoked), 401);
    let audited = gate.audit();
    for event in ["keys.rotate", "keys.drop"] {
        let line = format!("\"event\":\"{event}\"");
        assert_eq!(audited.matches(&line).count(), 1, "{event}");
    }
    gate.cli(&["audit", "verify"]).success();
}

// "each moves at its next use": also one that every worker has just seen
#[test]
fn a_token_in_use_moves_at_its_next_use() {
    let backend = Backend::start();
    let gate = Sidegate::with_anna(&backend, "");
    let token = gate.token("anna", "phone");
    for _ in 0..6 {
        assert_eq!(status(&gate, &token), 200);
    }
    gate.cli(&["keys", "rotate"]).success();
    assert_eq!(status(&gate, &token), 200);
    let moved = [is(2, "current", 1), is(1, "older", 0)];
    eventually(
        || pairs(&gate) == moved,
        || format!("not moved: {:?}", pairs(&gate)),
    );
    gate.cli(&["keys", "rotate", "--drop-old"]).success();
    assert_eq!(status(&gate, &token), 200);
}

// "`keys rotate --drop-old` refuses while tokens rest on an old ring unless `--revoke-stale` is said"
#[test]
fn keys_that_tokens_rest_on_are_dropped_only_with_the_tokens() {
    let backend = Backend::start();
    let guard = "[guard]\nexempt = []\nfailures = \"1 in 5m\"\n";
    let mut gate = Sidegate::with_anna(&backend, guard);
    let stale = gate.token("anna", "stale");
    gate.signal("TERM");
    gate.wait();
    gate.cli(&["keys", "rotate"]).success();
    let refused = gate.cli(&["keys", "rotate", "--drop-old"]);
    assert_eq!(refused.code, 77);
    for part in ["anna/stale", "--revoke-stale"] {
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }
    assert_eq!(gate.cli(&["keys", "rotate", "--revoke-stale"]).code, 64);
    assert_eq!(pairs(&gate), [is(2, "current", 0), is(1, "older", 1)]);

    gate.launch();
    eventually(|| is_ready(&gate), || gate.log());
    let said = gate
        .cli(&["keys", "rotate", "--drop-old", "--revoke-stale"])
        .success();
    assert!(said.stderr.contains("revoked 1 token"), "{}", said.stderr);
    let explained = gate.cli_with_input(&["explain", "--token-stdin", "GET", "http://gate.test/"], &stale);
    assert!(
        explained.success().stdout.contains("was revoked"),
        "known as what it was"
    );
    // One counted failure bans here, and a revoked token is none.
    for _ in 0..3 {
        assert_eq!(status(&gate, &stale), 401);
    }
    assert_eq!(status(&gate, "oh.stale.wrong"), 401);
    assert_eq!(status(&gate, &stale), 429, "banned for the other one");
}

// "Backups, restore and reset carry all" keys that tokens rest on.
#[test]
fn a_backup_from_before_a_rotation_and_one_from_after_both_work() {
    let (_backend, mut gate) = gate();
    let token = gate.token("anna", "phone");
    let place = |name: &str| gate.data.path().join(name).to_str().expect("utf-8").to_owned();
    let (before, after) = (place("before"), place("after"));
    gate.cli(&["backup", &before]).success();
    gate.cli(&["keys", "rotate"]).success();
    let late = gate.token("anna", "late");
    gate.cli(&["backup", &after]).success();
    gate.signal("TERM");
    gate.wait();
    let explain = |token: &str| {
        let words = [
            "explain",
            "--token-stdin",
            "--output",
            "json",
            "GET",
            "http://gate.test/",
        ];
        let said: Value =
            serde_json::from_str(&gate.cli_with_input(&words, token).success().stdout).expect("JSON");
        said["decision"].as_str().expect("a word").to_owned()
    };
    gate.cli(&["restore", &before, "--yes"]).success();
    assert_eq!(pairs(&gate), [is(1, "current", 1)]);
    assert_eq!(
        (explain(&token).as_str(), explain(&late).as_str()),
        ("allow", "challenge")
    );
    gate.cli(&["restore", &after, "--yes"]).success();
    assert_eq!(pairs(&gate), [is(2, "current", 1), is(1, "older", 1)]);
    assert_eq!(
        (explain(&token).as_str(), explain(&late).as_str()),
        ("allow", "allow")
    );
}

// "crash at any point recovers"
#[test]
fn a_rotation_that_is_killed_leaves_an_instance_in_which_every_token_works() {
    let backend = Backend::start();
    let route = format!(
        "[[route]]\npath = \"/\"\nupstream = \"http://{}\"\n",
        backend.address
    );
    let gate = Sidegate::prepare(&route);
    gate.cli(&["user", "add", "anna"]).success();
    let config = gate.config.to_str().expect("utf-8").to_owned();
    let mut killed = 0;
    for round in 0..12u64 {
        let name = format!("t{round}");
        let token = gate.token("anna", &name);
        let newest = pairs(&gate)[0].0;
        let mut child = Command::new(binary())
            .args(["--config", &config, "keys", "rotate"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        // From before it has begun to after it is done, whatever the machine.
        std::thread::sleep(Duration::from_millis(round * round));
        let _ = child.kill();
        let ended = child.wait().expect("it ends");
        let now = pairs(&gate)[0].0;
        if ended.success() {
            assert!(now > newest, "round {round}: acknowledged, and not there");
        } else {
            killed += 1;
        }
        let words = ["explain", "--token-stdin", "GET", "http://gate.test/"];
        let said = gate.cli_with_input(&words, &token).success();
        assert!(said.stdout.contains("allow"), "round {round}: {}", said.stdout);
        // Makes room for the next round.
        gate.cli(&["token", "revoke", &name, "--user", "anna"]).success();
    }
    assert!(killed > 0, "nothing was killed");
    gate.cli(&["keys", "rotate"]).success();
}
