//! Every verb, with a server and without one.

use std::path::Path;

use serde_json::Value;

use crate::support::{Backend, Ran, Sidegate, run_cli};

fn json(ran: Ran) -> Value {
    let ran = ran.success();
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.stdout))
}

/// With a server, then without one: the same words, the same outcome.
fn both_ways(check: impl Fn(&Sidegate)) {
    let backend = Backend::start();
    let gate = Sidegate::in_front_of(&backend, "");
    check(&gate);
    let mut alone = Sidegate::prepare(&format!(
        "[[route]]\npath = \"/\"\nupstream = \"http://{}\"\n",
        backend.address
    ));
    check(&alone);
    // What was done without a server is what a server finds.
    alone.restart();
    let tokens = json(alone.cli(&["token", "list", "--output", "json"]));
    assert_eq!(tokens, json(alone.cli(&["--output", "json", "token", "list"])));
    assert!(!tokens.as_array().expect("a list").is_empty());
}

#[test]
fn users_groups_tokens_and_bans_are_kept_with_a_server_and_without() {
    both_ways(|gate| {
        let names = |verb: &[&str], key: &str| -> Vec<String> {
            let list = json(gate.cli(&[verb, &["--output", "json"]].concat()));
            list.as_array()
                .expect("a list")
                .iter()
                .map(|entry| entry[key].as_str().expect("text").to_owned())
                .collect()
        };
        // "the first user is the owner; a first user with another role is refused"
        assert_eq!(gate.cli(&["user", "add", "ben", "--role", "user"]).code, 77);
        let added = gate
            .cli(&[
                "user",
                "add",
                "anna",
                "--name",
                "Anna",
                "--email",
                "a@example.org",
            ])
            .success();
        assert_eq!(added.stdout, "", "all talk goes to stderr");
        gate.cli(&["group", "add", "family"]).success();
        gate.cli_with_input(
            &["user", "add", "ben", "--group", "family", "--password-stdin"],
            "long enough\n",
        )
        .success();
        let ben = json(gate.cli(&["user", "show", "ben", "--output", "json"]));
        assert_eq!(
            (&ben["role"], &ben["groups"][0], &ben["password"]),
            (&"user".into(), &"family".into(), &true.into())
        );
        assert_eq!(names(&["user", "list"], "name"), ["anna", "ben"]);
        assert_eq!(names(&["group", "list"], "name"), ["family"]);
        gate.cli_with_input(&["user", "passwd", "ben", "--password-stdin"], "another one\n")
            .success();
        gate.cli(&["user", "passwd", "ben", "--none"]).success();
        assert_eq!(
            json(gate.cli(&["user", "show", "ben", "--output", "json"]))["password"],
            false
        );
        gate.cli(&["user", "disable", "ben"]).success();
        assert_eq!(
            json(gate.cli(&["user", "show", "ben", "--output", "json"]))["disabled"],
            true
        );
        gate.cli(&["user", "enable", "ben"]).success();
        gate.cli(&["user", "role", "ben", "admin"]).success();
        assert_eq!(
            json(gate.cli(&["user", "show", "ben", "--output", "json"]))["role"],
            "admin"
        );
        // An object that is not there, and one that is there already.
        for words in [
            &["user", "show", "nobody"][..],
            &["user", "remove", "nobody"],
            &["token", "create", "x", "--user", "nobody"],
            &["token", "revoke", "x", "--user", "ben"],
            &["group", "remove", "nothing"],
            &["ban", "remove", "192.0.2.1"],
        ] {
            assert_eq!(gate.cli(words).code, 66, "{words:?}");
        }
        for words in [
            &["user", "add", "ben"][..],
            &["group", "add", "family"],
            &["token", "create", "a.b", "--user", "ben"],
        ] {
            assert_eq!(gate.cli(words).code, 65, "{words:?}: {}", gate.cli(words).stderr);
        }
        // The last owner stays.
        for words in [
            &["user", "remove", "anna"][..],
            &["user", "disable", "anna"],
            &["user", "role", "anna", "user"],
        ] {
            assert_eq!(gate.cli(words).code, 77, "{words:?}");
        }

        let minted = gate
            .cli(&[
                "token",
                "create",
                "phone",
                "--user",
                "ben",
                "--expires",
                "90d",
                "--scope",
                "read-only",
            ])
            .success();
        assert!(
            minted.stdout.starts_with("oh.phone.") && minted.stdout.lines().count() == 1,
            "the token alone"
        );
        assert_eq!(gate.cli(&["token", "create", "phone", "--user", "ben"]).code, 65);
        let minted = json(gate.cli(&[
            "token",
            "create",
            "tablet",
            "--user",
            "ben",
            "--expires",
            "never",
            "--output",
            "json",
        ]));
        assert!(
            minted["token"]
                .as_str()
                .is_some_and(|token| token.starts_with("oh.tablet."))
        );
        assert_eq!(minted["expires"], Value::Null);
        assert_eq!(
            names(&["token", "list", "--user", "ben"], "name"),
            ["phone", "tablet"]
        );
        assert_eq!(names(&["token", "list", "--user", "anna"], "name"), [""; 0]);
        assert_eq!(
            json(gate.cli(&["token", "show", "phone", "--user", "ben", "--output", "json"]))["scope"],
            "read-only"
        );
        gate.cli(&["token", "rotate", "phone", "--user", "ben", "--overlap", "1h"])
            .success();
        gate.cli(&["token", "revoke", "tablet", "--user", "ben"])
            .success();

        gate.cli(&["ban", "add", "192.0.2.7", "--for", "1h"]).success();
        gate.cli(&["ban", "add", "2001:db8::/48"]).success();
        assert_eq!(
            names(&["ban", "list"], "network"),
            ["192.0.2.7/32", "2001:db8::/48"]
        );
        gate.cli(&["ban", "remove", "192.0.2.7"]).success();
        assert_eq!(names(&["ban", "list"], "network"), ["2001:db8::/48"]);

        gate.cli(&["user", "groups", "ben"]).success();
        gate.cli(&["group", "remove", "family"]).success();
        gate.cli(&["user", "recover", "ben"]).success();
        let keys = names(&["keys", "list"], "state");
        assert_eq!(keys, ["current"]);
        // "an argument" would be in everybody's process list.
        assert_eq!(gate.cli(&["user", "passwd", "ben"]).code, 64);
        assert_eq!(gate.cli(&["user", "passwd", "ben", "secret"]).code, 64);
    });
}

// "`sidegate explain …` prints the decision and why"
#[test]
fn explain_says_what_the_gate_would_do_and_why() {
    let backend = Backend::start();
    let settings = format!(
        "[[route]]\npath = \"/\"\nupstream = \"http://{0}\"\n\
         [[route]]\nhost = \"home.example\"\npath = \"/admin\"\nupstream = \"http://{0}\"\naccess = \"admin\"\n\
         [[route]]\nhost = \"home.example\"\npath = \"/public\"\nupstream = \"http://{0}\"\naccess = \"public\"\n\
         [networks]\ntrusted = [{{ cidr = \"192.168.1.0/24\", user = \"guest\" }}]\n",
        backend.address
    );
    let mut gate = Sidegate::prepare(&settings);
    gate.cli(&["user", "add", "anna"]).success();
    gate.cli(&["user", "add", "guest", "--role", "read-only"])
        .success();
    let token = gate.token("anna", "phone");
    gate.cli(&["ban", "add", "192.0.2.66"]).success();
    let check = |gate: &Sidegate| {
        let explain = |words: &[&str], input: &str| {
            json(gate.cli_with_input(&[&["--output", "json", "explain"], words].concat(), input))
        };
        let table: [(&[&str], &str, &str); 10] = [
            (&["GET", "http://home.example/"], "", "challenge"),
            (
                &["--anonymous", "GET", "http://home.example/public/x"],
                "",
                "allow",
            ),
            (&["GET", "http://home.example/publicity"], "", "challenge"),
            (
                &["--user", "anna", "POST", "http://home.example/admin"],
                "",
                "allow",
            ),
            (
                &["--user", "guest", "GET", "http://home.example/admin"],
                "",
                "deny",
            ),
            (&["--user", "guest", "POST", "http://other.example/"], "", "deny"),
            (
                &["--token-stdin", "GET", "http://home.example/admin"],
                &token,
                "allow",
            ),
            (
                &["--token-stdin", "GET", "http://home.example/admin"],
                "oh.phone.wrong",
                "challenge",
            ),
            (
                &["--from", "192.168.1.9", "GET", "http://home.example/"],
                "",
                "allow",
            ),
            (
                &["--from", "192.0.2.66", "GET", "http://home.example/"],
                "",
                "throttle",
            ),
        ];
        for (words, input, decision) in table {
            let said = explain(words, input);
            assert_eq!(said["decision"], decision, "{words:?}: {said}");
            assert!(
                said["reason"].as_str().is_some_and(|reason| !reason.is_empty()),
                "{words:?}: {said}"
            );
            assert!(said["rule"].is_string(), "{words:?}: {said}");
            assert!(!said.to_string().contains(&token), "{said}");
        }
        let said = explain(&["GET", "http://home.example/a/../b"], "");
        assert_eq!(said["decision"], "deny");
        assert_eq!(gate.cli(&["explain", "GET", "/no/address"]).code, 64);
        assert_eq!(
            gate.cli(&["explain", "--user", "nobody", "GET", "http://home.example/"])
                .code,
            66
        );
        let table = gate
            .cli(&["explain", "GET", "http://home.example/"])
            .success()
            .stdout;
        assert!(
            table
                .lines()
                .any(|line| line.starts_with("decision") && line.ends_with("challenge")),
            "{table}"
        );
    };
    check(&gate);
    gate.restart();
    check(&gate);
    // Nothing was counted, spent or banned, and nothing went to a backend.
    assert_eq!(gate.metric("sidegate_bans"), 1.0);
    assert_eq!(backend.bytes(), b"");
}

#[test]
fn a_backup_of_the_running_server_brings_everything_back() {
    let backend = Backend::start();
    let mut gate = Sidegate::with_anna(&backend, "");
    let token = gate.token("anna", "phone");
    let header = format!("X-OPENHAB-TOKEN: {token}");
    gate.cli(&["ban", "add", "192.0.2.7", "--for", "10h"]).success();
    let copy = gate.data.path().join("copy");
    let copy = copy.to_str().expect("utf-8");
    gate.cli(&["backup", copy]).success();
    let late = format!("X-OPENHAB-TOKEN: {}", gate.token("anna", "late"));
    assert_eq!(gate.get("/", &[&late]).status, 200);
    for words in [&["restore", copy, "--yes"][..], &["reset", "--yes"]] {
        assert_eq!(gate.cli(words).code, 69, "not under a running server");
    }
    gate.signal("TERM");
    assert_eq!(gate.wait(), Some(0));
    assert_ne!(gate.cli(&["restore", copy]).code, 0, "nobody is there to confirm");
    let restored = gate
        .cli(&["restore", copy, "--yes", "--output", "json"])
        .success();
    let kept: Value = serde_json::from_str(&restored.stdout).expect("JSON");
    assert!(Path::new(kept["kept"].as_str().expect("a place")).exists());
    gate.restart();
    assert_eq!(gate.get("/", &[&header]).status, 200);
    assert_eq!(gate.get("/", &[&late]).status, 401, "made after the backup");
    assert_eq!(gate.metric("sidegate_bans"), 1.0);
    gate.cli(&["audit", "verify"]).success();

    // "`sidegate reset` moves all accounts into a dated backup, keeps the configuration, and makes
    // the next start a first start"
    gate.signal("TERM");
    assert_eq!(gate.wait(), Some(0));
    let reset: Value =
        serde_json::from_str(&gate.cli(&["reset", "--yes", "--output", "json"]).success().stdout)
            .expect("JSON");
    gate.restart();
    assert_eq!(gate.get("/", &[&header]).status, 401);
    assert_eq!(gate.metric("sidegate_users"), 0.0);
    gate.cli(&["user", "add", "other"]).success();
    gate.signal("TERM");
    assert_eq!(gate.wait(), Some(0));
    gate.cli(&["restore", reset["kept"].as_str().expect("a place"), "--yes"])
        .success();
    gate.restart();
    assert_eq!(gate.get("/", &[&header]).status, 200);
}

#[test]
fn the_audit_file_can_be_read_and_proved_while_it_is_written() {
    let backend = Backend::start();
    let gate = Sidegate::with_anna(&backend, "");
    gate.token("anna", "phone");
    gate.get("/", &[]);
    let verified = json(gate.cli(&["audit", "verify", "--output", "json"]));
    assert!(
        verified["lines"].as_u64().is_some_and(|lines| lines >= 3),
        "{verified}"
    );
    let tail = gate.cli(&["audit", "tail", "-n", "2"]).success().stdout;
    assert_eq!(tail.lines().count(), 2);
    for line in tail.lines() {
        serde_json::from_str::<Value>(line).expect("JSON");
    }
    // A line is changed: it is found.
    let file = gate.state().join("audit.jsonl");
    let text = std::fs::read_to_string(&file).expect("the audit file");
    let forged = gate.data.path().join("forged.jsonl");
    std::fs::write(&forged, text.replacen("anna", "otto", 1)).expect("a file can be written");
    let found = gate.cli(&["audit", "verify", forged.to_str().expect("utf-8")]);
    assert_eq!(found.code, 65, "{}", found.stderr);
}

#[test]
fn the_other_verbs_answer_with_a_server_and_without() {
    let backend = Backend::start();
    let mut gate = Sidegate::with_anna(&backend, "[guard]\nban_for = \"20m\"\n");
    assert_eq!(gate.cli(&["healthcheck"]).success().stdout, "");
    let health: Value = json(gate.cli(&["healthcheck", "--output", "json"]));
    assert_eq!(
        (&health["ready"], &health["users"]),
        (&true.into(), &1.into()),
        "{health}"
    );
    for round in 0..2 {
        let printed = gate.cli(&["config", "print"]).success().stdout;
        assert!(printed.contains("ban_for = \"20m\""), "{printed}");
        // What is printed is a configuration with the same meaning.
        let file = gate.data.path().join("printed.toml");
        std::fs::write(&file, &printed).expect("a file can be written");
        let again = run_cli(
            &["--config", file.to_str().expect("utf-8"), "config", "print"],
            "",
            &[],
        )
        .success()
        .stdout;
        let bare = |text: &str| -> toml::Value { toml::from_str(text).expect("TOML") };
        assert_eq!(bare(&again), bare(&printed), "round {round}");
        let schema: Value = json(gate.cli(&["config", "schema"]));
        assert!(schema["properties"]["route"].is_object(), "{schema}");
        for shell in ["bash", "zsh", "fish"] {
            assert!(
                gate.cli(&["completions", shell])
                    .success()
                    .stdout
                    .contains("sidegate")
            );
        }
        let manual = gate.cli(&["man"]).success().stdout;
        assert!(manual.contains(".TH") && manual.contains("token"), "{manual}");
        gate.cli(&["check"]).success();
        assert!(gate.cli(&["--help"]).success().stdout.contains("explain"));
        assert_eq!(gate.cli(&["frobnicate"]).code, 64);
        if round == 0 {
            gate.signal("TERM");
            assert_eq!(gate.wait(), Some(0));
        }
    }
    assert_eq!(gate.cli(&["healthcheck"]).code, 69);
    assert_eq!(gate.cli(&["healthcheck", "--output", "json"]).code, 69);
}

// "A verb that finds no instance exits 66 and creates nothing, except `serve`, `demo` and `user add`."
#[test]
fn a_verb_that_finds_no_instance_creates_nothing() {
    let gate = Sidegate::prepare("");
    for words in [
        &["user", "list"][..],
        &["user", "show", "anna"],
        &["token", "create", "phone", "--user", "anna"],
        &["token", "list"],
        &["group", "add", "family"],
        &["ban", "list"],
        &["ban", "add", "192.0.2.1"],
        &["explain", "GET", "http://home.example/"],
        &["backup", "/nonexistent/backup"],
        &["restore", "/nonexistent/backup", "--yes"],
        &["reset", "--yes"],
        &["keys", "list"],
        &["audit", "verify"],
        &["audit", "tail"],
    ] {
        let ran = gate.cli(words);
        assert_eq!(ran.code, 66, "{words:?}: {}", ran.stderr);
        assert!(!gate.state().exists(), "{words:?} created something");
    }
    gate.cli(&["user", "add", "anna"]).success();
    assert!(gate.state().exists());
}
