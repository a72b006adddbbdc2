//! Whole command lines, from the words to the exit code and the two streams.

use std::time::Duration;

use super::Cli;
use super::testing::{INSTANCE, NOW, Terminal, answering, asked, sources};
use crate::control::protocol::{Payload, Request, SecretField, Selector, TokenCreate, UserAdd};
use crate::control::view::{BanView, TokenView, UserView};
use crate::control::{Absent, Failure};
use crate::crypto::Secret;
use crate::model::Role;

fn anna() -> UserView {
    UserView {
        name: "anna".into(),
        role: Role::Owner,
        groups: vec!["family".into(), "garden".into()],
        display_name: "Anna".into(),
        email: String::new(),
        password: true,
        disabled: false,
        created: NOW,
    }
}

fn phone() -> TokenView {
    TokenView {
        id: "abcdefghijkl".into(),
        name: "phone".into(),
        user: "anna".into(),
        scope: String::new(),
        networks: vec!["192.168.1.0/24".parse().expect("a network")],
        state: "active".into(),
        created: NOW,
        expires: Some(NOW.plus(Duration::from_secs(365 * 86_400))),
        last_used: None,
        last_address: None,
    }
}

fn minted() -> Payload {
    Payload::Minted {
        token: SecretField(Secret::new("oh.phone.AAAA")),
        view: phone(),
    }
}

// "Global options before or after the verb"
#[test]
fn global_options_stand_before_or_after_the_verb() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("a.toml");
    std::fs::write(&file, "").expect("writes");
    let (file, data) = (
        file.to_str().expect("text"),
        directory.path().to_str().expect("text"),
    );
    for words in [
        vec![
            "--config", file, "--data", data, "--output", "json", "user", "list",
        ],
        vec![
            "user", "list", "--config", file, "--data", data, "--output", "json",
        ],
        vec!["user", "--config", file, "list", "--output=json", "--data", data],
    ] {
        answering([Ok(Payload::Users(vec![anna()]))]);
        let mut terminal = Terminal::default();
        assert_eq!(terminal.run(&words), 0, "{words:?}: {}", terminal.stderr());
        let shown: serde_json::Value = serde_json::from_slice(&terminal.stdout).expect("JSON");
        assert_eq!(shown[0]["name"], "anna", "{words:?}");
    }
}

// "--config FILE (repeatable)"
#[test]
fn several_configuration_files_are_read_wherever_they_stand() {
    let directory = tempfile::tempdir().expect("a directory");
    let files: Vec<String> = ["a", "b", "c"]
        .iter()
        .map(|name| {
            let file = directory.path().join(name).with_extension("toml");
            std::fs::write(&file, "").expect("writes");
            file.to_str().expect("text").to_owned()
        })
        .collect();
    for words in [
        [
            "--config", &files[0], "--config", &files[1], "--config", &files[2], "serve",
        ],
        [
            "serve", "--config", &files[0], "--config", &files[1], "--config", &files[2],
        ],
        [
            "--config", &files[0], "serve", "--config", &files[1], "--config", &files[2],
        ],
    ] {
        assert_eq!(Terminal::default().run(&words), 0);
        let read: Vec<String> = sources()
            .files
            .iter()
            .map(|file| file.to_str().expect("text").to_owned())
            .collect();
        assert_eq!(read, files, "{words:?}");
    }
}

// "0 ok, 64 usage"
#[test]
fn a_wrong_command_line_exits_64_and_help_exits_0() {
    for words in [
        &[][..],
        &["dance"],
        &["user"],
        &["user", "add"],
        &["user", "add", "anna", "--role", "king"],
        &["user", "list", "--output", "xml"],
        &["token", "create", "phone"],
        &["token", "create", "phone", "--user", "anna", "--expires", "soon"],
        &["token", "rotate", "phone", "--user", "anna", "--overlap", "60"],
        &["ban", "add", "192.168.1.5/24"],
        &["ban", "add", "203.0.113.7", "--for", "0s"],
        &[
            "explain",
            "--anonymous",
            "--user",
            "anna",
            "GET",
            "http://home.example/",
        ],
        &["explain", "GET", "/api"],
        &["demo", "--listen", "0.0.0.0:8480"],
        &["user", "passwd", "anna"],
        &["reset"],
        &["serve", "--config"],
        &["serve", "--config", "--listen", "127.0.0.1:0"],
        &["user", "show", "--", "--config", "x"],
        &["keys", "rotate", "--revoke-stale"],
    ] {
        let mut terminal = Terminal::default();
        assert_eq!(terminal.run(words), 64, "{words:?}: {}", terminal.stderr());
        assert!(terminal.stdout.is_empty(), "{words:?}: talk is for stderr");
        assert!(!terminal.stderr.is_empty(), "{words:?}");
    }
    for words in [
        &["--help"][..],
        &["--version"],
        &["user", "--help"],
        &["help", "token", "create"],
    ] {
        let mut terminal = Terminal::default();
        assert_eq!(terminal.run(words), 0, "{words:?}");
        assert!(
            !terminal.stdout.is_empty() && terminal.stderr.is_empty(),
            "{words:?}"
        );
    }
}

// "A verb or key whose feature is not built yet is absent from `--help`"
#[test]
fn help_lists_what_is_built_and_nothing_else() {
    let mut root = <Cli as clap::CommandFactory>::command();
    root.build();
    let mut verbs: Vec<String> = Vec::new();
    for verb in root.get_subcommands().filter(|verb| verb.get_name() != "help") {
        let inner: Vec<&str> = verb
            .get_subcommands()
            .map(clap::Command::get_name)
            .filter(|name| *name != "help")
            .collect();
        verbs.push(
            format!("{} {}", verb.get_name(), inner.join("|"))
                .trim()
                .to_owned(),
        );
    }
    assert_eq!(
        verbs,
        [
            "serve",
            "demo",
            "check",
            "setup-link",
            "user add|list|show|remove|passwd|enable|disable|role|groups|recover|factors",
            "group add|list|remove",
            "token create|list|show|revoke|rotate",
            "session list|revoke",
            "app list|revoke",
            "ban add|list|remove",
            "explain",
            "snippet",
            "doctor",
            "backup",
            "restore",
            "reset",
            "audit verify|tail",
            "keys list|rotate",
            "bench",
            "healthcheck",
            "config print|schema",
            "completions",
            "man",
        ]
    );
    root.debug_assert();
}

// "token create NAME --user U … prints the token alone on stdout, once"; "Secrets go to stdout
// once and nowhere else, all other talk to stderr"
#[test]
fn a_new_token_stands_alone_on_stdout() {
    for words in [
        &["token", "create", "phone", "--user", "anna"][..],
        &["token", "rotate", "phone", "--user", "anna", "--overlap", "1h"],
    ] {
        answering([Ok(minted())]);
        let mut terminal = Terminal::default();
        assert_eq!(terminal.run(words), 0, "{words:?}: {}", terminal.stderr());
        assert_eq!(terminal.stdout(), "oh.phone.AAAA\n", "{words:?}");
        assert!(
            terminal.stderr().contains("abcdefghijkl"),
            "{}",
            terminal.stderr()
        );
        assert!(!terminal.stderr().contains("AAAA"), "{}", terminal.stderr());

        answering([Ok(minted())]);
        let mut terminal = Terminal::default();
        let words: Vec<&str> = words.iter().copied().chain(["--output", "json"]).collect();
        assert_eq!(terminal.run(&words), 0);
        let shown: serde_json::Value = serde_json::from_slice(&terminal.stdout).expect("JSON");
        assert_eq!(shown["token"], "oh.phone.AAAA");
        assert_eq!(shown["expires"], "2027-01-01T00:00:00.000Z");
        assert!(!terminal.stderr().contains("AAAA"), "{}", terminal.stderr());
    }
}

// "`setup-link`"; "`sidegate user recover NAME` prints a one-time link"; "Secrets go to stdout once
// and nowhere else"
#[test]
fn a_link_stands_alone_on_stdout() {
    let link = |text: &str| Payload::Link {
        link: SecretField(Secret::new(text)),
        expires: NOW,
    };
    for words in [&["setup-link"][..], &["user", "recover", "anna"]] {
        answering([Ok(link("http://home.example/_sidegate/setup?code=AAAA"))]);
        let mut terminal = Terminal::default();
        assert_eq!(terminal.run(words), 0, "{words:?}: {}", terminal.stderr());
        assert_eq!(
            terminal.stdout(),
            "http://home.example/_sidegate/setup?code=AAAA\n"
        );
        assert!(
            terminal.stderr().contains("until 2026-01-01"),
            "{}",
            terminal.stderr()
        );
        assert!(!terminal.stderr().contains("AAAA"), "{}", terminal.stderr());

        answering([Ok(link("/_sidegate/setup?code=AAAA"))]);
        let mut terminal = Terminal::default();
        let words: Vec<&str> = words.iter().copied().chain(["--output", "json"]).collect();
        assert_eq!(terminal.run(&words), 0);
        let shown: serde_json::Value = serde_json::from_slice(&terminal.stdout).expect("JSON");
        assert_eq!(shown["link"], "/_sidegate/setup?code=AAAA");
        assert_eq!(shown["expires"], "2026-01-01T00:00:00.000Z");
    }
}

// "the one-time link (also as QR in the terminal)": where a person looks at both streams, and a phone
// could reach the address
#[test]
fn a_link_is_a_picture_too_where_a_person_sees_it() {
    let shows = |mut terminal: Terminal, link: &str| {
        answering([Ok(Payload::Link {
            link: SecretField(Secret::new(link)),
            expires: NOW,
        })]);
        assert_eq!(terminal.run(&["setup-link"]), 0, "{}", terminal.stderr());
        assert_eq!(terminal.stdout(), format!("{link}\n"));
        terminal.stderr().contains("\u{2588}\u{2588}")
    };
    let link = "http://192.0.2.7:8480/_sidegate/setup?code=AAAA";
    assert!(shows(Terminal::screen(), link));
    assert!(!shows(Terminal::default(), link), "stderr may go into a file");
    assert!(!shows(
        Terminal::screen(),
        "http://127.0.0.1:8480/_sidegate/setup?code=AAAA"
    ));
}

// "[--expires D|never] [--scope S] [--network CIDR]…"; "expiry (default one year, "never" must be
// said)"
#[test]
fn a_token_lasts_a_year_unless_told() {
    for (words, expires) in [
        (&[][..], Some(365 * 86_400)),
        (&["--expires", "90d"], Some(90 * 86_400)),
        (&["--expires", "never"], None),
    ] {
        answering([Ok(minted())]);
        let words: Vec<&str> = ["token", "create", "phone", "--user", "anna"]
            .into_iter()
            .chain(words.iter().copied())
            .chain([
                "--scope",
                "read-only",
                "--network",
                "192.168.1.0/24",
                "--network",
                "10.0.0.1",
            ])
            .collect();
        assert_eq!(Terminal::default().run(&words), 0);
        let expected = Request::TokenCreate(TokenCreate {
            name: "phone".into(),
            user: "anna".into(),
            expires_seconds: expires,
            scope: "read-only".into(),
            networks: vec![
                "192.168.1.0/24".parse().expect("a network"),
                "10.0.0.1/32".parse().expect("a network"),
            ],
        });
        assert_eq!(asked().last(), Some(&(expected, Absent::Refuse)));
    }
}

/// Accepts nothing.
struct Full;

impl std::io::Write for Full {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_token_that_could_not_be_shown_is_named_so_that_it_can_be_revoked() {
    let globals = super::Globals::default();
    let programs = super::testing::PROGRAMS;
    let surroundings = super::Surroundings::default();
    let reach = super::Reach {
        globals: &globals,
        programs: &programs,
        surroundings: &surroundings,
    };
    let mut terminal = Terminal::default();
    let failure = terminal
        .io(|io| {
            io.stdout = Box::leak(Box::new(Full));
            super::token::show_minted(minted(), &reach, io)
        })
        .expect_err("nowhere to write");
    assert_eq!(failure.exit.code(), 74);
    assert!(
        failure.message.contains("sidegate token revoke abcdefghijkl"),
        "{failure}"
    );
    assert!(!failure.message.contains("AAAA"), "{failure}");
}

// "`token revoke NAME --user U` (or by id)"
#[test]
fn a_token_is_revoked_by_name_or_id() {
    for (words, token) in [
        (
            &["token", "revoke", "phone", "--user", "anna"][..],
            Selector::Name {
                user: "anna".into(),
                name: "phone".into(),
            },
        ),
        (
            &["token", "revoke", "abcdefghijkl"],
            Selector::Id("abcdefghijkl".into()),
        ),
    ] {
        answering([Ok(Payload::Token(phone()))]);
        let mut terminal = Terminal::default();
        assert_eq!(terminal.run(words), 0);
        assert_eq!(
            asked().last(),
            Some(&(Request::TokenRevoke { token }, Absent::Refuse))
        );
        assert_eq!(terminal.stdout(), "");
        assert_eq!(terminal.stderr(), "revoked token anna/phone (abcdefghijkl)\n");
    }
}

// "passwords come from a prompt or `--password-stdin`, never from an argument"
#[test]
fn passwords_come_from_a_prompt_or_stdin() {
    let password = |asked: Option<&(Request, Absent)>| match asked {
        Some((Request::UserAdd(UserAdd { password, .. }), Absent::Create)) => password.clone(),
        other => panic!("user add may create, and nothing else: {other:?}"),
    };
    let hunter2 = Some(SecretField(Secret::new("hunter2")));

    answering([Ok(Payload::User(anna()))]);
    let mut terminal = Terminal::typing("hunter2\n");
    assert_eq!(terminal.run(&["user", "add", "anna", "--password-stdin"]), 0);
    assert_eq!(password(asked().last()), hunter2);
    assert_eq!(terminal.stderr(), "added anna as owner\n");

    answering([Ok(Payload::User(anna()))]);
    let mut terminal = Terminal::person(&["hunter2", "hunter2"], "");
    assert_eq!(terminal.run(&["user", "add", "anna"]), 0);
    assert_eq!(password(asked().last()), hunter2);
    assert!(!terminal.stderr().contains("hunter2"));

    let before = asked().len();
    let mut terminal = Terminal::person(&["hunter2", "hunter3"], "");
    assert_eq!(terminal.run(&["user", "add", "anna"]), 65);
    assert_eq!(asked().len(), before, "nothing was asked");

    answering([Ok(Payload::User(anna()))]);
    let mut terminal = Terminal::default();
    assert_eq!(terminal.run(&["user", "add", "anna"]), 0);
    assert_eq!(password(asked().last()), None);
    assert!(terminal.stderr().contains("sidegate user passwd anna"));

    assert_eq!(
        Terminal::default().run(&["user", "add", "anna", "--password", "hunter2"]),
        64
    );
}

// "A verb that finds no instance exits 66 and creates nothing, except `serve`, `demo` and
// `user add`."
#[test]
fn only_user_add_may_create_an_instance() {
    for words in [
        &["user", "list"][..],
        &["user", "show", "anna"],
        &["user", "remove", "anna"],
        &["user", "passwd", "anna", "--none"],
        &["user", "enable", "anna"],
        &["user", "disable", "anna"],
        &["user", "role", "anna", "admin"],
        &["user", "groups", "anna", "family"],
        &["user", "recover", "anna"],
        &["group", "add", "family"],
        &["group", "list"],
        &["group", "remove", "family"],
        &["token", "create", "phone", "--user", "anna"],
        &["token", "list"],
        &["token", "show", "abcdefghijkl"],
        &["token", "revoke", "abcdefghijkl"],
        &["token", "rotate", "phone", "--user", "anna"],
        &["setup-link"],
        &["session", "list"],
        &["session", "revoke", "abcdefghijkl"],
        &["session", "revoke", "--user", "anna"],
        &["app", "list"],
        &["app", "revoke", "abcdefghijkl"],
        &["app", "revoke", "--user", "anna"],
        &["ban", "add", "203.0.113.7"],
        &["ban", "list"],
        &["ban", "remove", "203.0.113.7"],
        &["backup", "/nowhere/at/all"],
        &["keys", "list"],
        &["keys", "rotate"],
        &["keys", "rotate", "--drop-old"],
    ] {
        answering([Err(Failure::missing("there is no instance"))]);
        let mut terminal = Terminal::default();
        assert_eq!(terminal.run(words), 66, "{words:?}");
        assert_eq!(terminal.stderr(), "sidegate: there is no instance\n");
        assert_eq!(
            asked().last().map(|(_, absent)| *absent),
            Some(Absent::Refuse),
            "{words:?}"
        );
    }
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("absent");
    let words = ["audit", "tail", "--data", data.to_str().expect("text")];
    assert_eq!(Terminal::default().run(&words), 66);
    assert!(!data.exists());
}

#[test]
fn lists_are_tables_or_json() {
    answering([Ok(Payload::Users(vec![anna()]))]);
    let mut terminal = Terminal::default();
    assert_eq!(terminal.run(&["user", "list"]), 0);
    assert_eq!(
        terminal.stdout(),
        "NAME  ROLE   GROUPS         PASSWORD  STATE    CREATED\n\
         anna  owner  family,garden  yes       enabled  2026-01-01 00:00Z\n"
    );

    let mut expired = phone();
    expired.state = "expired".into();
    expired.expires = Some(NOW);
    answering([Ok(Payload::Tokens(vec![phone(), expired]))]);
    let mut terminal = Terminal::default();
    assert_eq!(terminal.run(&["token", "list"]), 0);
    assert_eq!(
        terminal.stdout(),
        "ID            USER  NAME   STATE    SCOPE  NETWORKS        EXPIRES            LAST USED  FROM\n\
         abcdefghijkl  anna  phone  active   -      192.168.1.0/24  2027-01-01 00:00Z  -          -\n\
         abcdefghijkl  anna  phone  expired  -      192.168.1.0/24  2026-01-01 00:00Z  -          -\n"
    );

    answering([Ok(Payload::Bans(vec![]))]);
    let mut terminal = Terminal::default();
    assert_eq!(terminal.run(&["ban", "list", "--output", "json"]), 0);
    assert_eq!(terminal.stdout(), "[]\n");
    assert_eq!(terminal.stderr(), "nobody is banned\n");

    answering([Ok(Payload::Ban(BanView {
        network: "203.0.113.0/24".parse().expect("a network"),
        since: NOW,
        until: Some(NOW.plus(Duration::from_secs(3600))),
        times: 1,
        why: "operator".into(),
    }))]);
    let mut terminal = Terminal::default();
    assert_eq!(terminal.run(&["ban", "add", "203.0.113.0/24", "--for", "1h"]), 0);
    assert_eq!(
        terminal.stderr(),
        "banned 203.0.113.0/24 until 2026-01-01 01:00Z\n"
    );
}

#[test]
fn serve_hands_its_flags_on() {
    let words = [
        "serve",
        "--upstream",
        "http://127.0.0.1:8123",
        "--listen",
        "0.0.0.0:8480",
        "--trust",
        "192.168.1.10/32",
    ];
    assert_eq!(Terminal::default().run(&words), 0);
    let overrides = sources().overrides;
    assert_eq!(overrides.upstream, ["http://127.0.0.1:8123"]);
    assert_eq!(overrides.listen, ["0.0.0.0:8480"]);
    assert_eq!(overrides.trust, ["192.168.1.10/32"]);
}

// "66 no such file or object … 78 configuration"
#[test]
fn a_missing_configuration_file_is_66_and_a_wrong_one_78() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("sidegate.toml");
    let name = file.to_str().expect("text");
    assert_eq!(Terminal::default().run(&["user", "list", "--config", name]), 66);
    std::fs::write(&file, "[guard]\nban_fro = \"15m\"\n").expect("writes");
    let mut terminal = Terminal::default();
    assert_eq!(terminal.run(&["user", "list", "--config", name]), 78);
    assert!(terminal.stderr().contains("ban_for"), "{}", terminal.stderr());
}

#[test]
fn check_prints_warnings_and_strict_makes_them_errors() {
    INSTANCE.with_borrow_mut(|instance| {
        instance.checked.warnings = vec!["the network grants nothing".into()];
    });
    let mut terminal = Terminal::default();
    assert_eq!(terminal.run(&["check"]), 0);
    assert!(
        terminal
            .stderr()
            .starts_with("warning: the network grants nothing\n")
    );
    assert_eq!(Terminal::default().run(&["check", "--strict"]), 78);
    let mut terminal = Terminal::default();
    assert_eq!(terminal.run(&["check", "--output", "json"]), 0);
    assert_eq!(
        terminal.stdout(),
        "{\n  \"warnings\": [\n    \"the network grants nothing\"\n  ]\n}\n"
    );
}

#[test]
fn reset_asks_first() {
    let mut terminal = Terminal::person(&[], "no\n");
    assert_eq!(terminal.run(&["reset"]), 65);
    let mut terminal = Terminal::person(&[], "reset\n");
    assert_eq!(terminal.run(&["reset"]), 0, "{}", terminal.stderr());
    assert_eq!(Terminal::default().run(&["reset", "--yes"]), 0);
}

#[test]
fn there_is_a_manual_page_and_a_completion_for_every_verb() {
    let directory = tempfile::tempdir().expect("a directory");
    let pages = directory.path().join("man1");
    let words = ["man", "--dir", pages.to_str().expect("text")];
    assert_eq!(Terminal::default().run(&words), 0);
    for page in [
        "sidegate.1",
        "sidegate-serve.1",
        "sidegate-token-create.1",
        "sidegate-user-recover.1",
    ] {
        let text = std::fs::read_to_string(pages.join(page)).expect(page);
        assert!(text.contains(".SH NAME"), "{page}");
    }
    let mut terminal = Terminal::default();
    assert_eq!(terminal.run(&["man"]), 0);
    let titles = terminal
        .stdout()
        .lines()
        .filter(|line| line.starts_with(".TH"))
        .count();
    assert_eq!(titles, std::fs::read_dir(&pages).expect("reads").count());

    for shell in ["bash", "zsh", "fish"] {
        let mut terminal = Terminal::default();
        assert_eq!(terminal.run(&["completions", shell]), 0);
        assert!(terminal.stdout().contains("password-stdin"), "{shell}");
    }
}

#[test]
fn the_schema_is_json() {
    let mut terminal = Terminal::default();
    assert_eq!(terminal.run(&["config", "schema"]), 0);
    let schema: serde_json::Value = serde_json::from_slice(&terminal.stdout).expect("JSON");
    assert!(schema["properties"]["server"].is_object());
}

#[test]
fn printed_settings_can_be_read_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().to_str().expect("text");
    let mut first = Terminal::default();
    assert_eq!(
        first.run(&["config", "print", "--data", data]),
        0,
        "{}",
        first.stderr()
    );
    assert!(first.stdout().contains(data), "{}", first.stdout());
    let file = directory.path().join("sidegate.toml");
    std::fs::write(&file, first.stdout()).expect("writes");
    let mut again = Terminal::default();
    let words = ["config", "print", "--config", file.to_str().expect("text")];
    assert_eq!(again.run(&words), 0, "{}", again.stderr());
    assert!(again.stdout().contains(data), "{}", again.stdout());
}

// "`sidegate bench` gives users the same for their own machine: decisions per second and p99 for each dialect, a
// table next to argon2 and bcrypt."
#[test]
fn what_was_measured_is_a_table_or_json() {
    let mut terminal = Terminal::default();
    assert_eq!(
        terminal.run(&["bench", "--for", "3s"]),
        0,
        "{}",
        terminal.stderr()
    );
    assert_eq!(
        terminal.stdout(),
        "WHAT              PER SECOND  P50      P99\n\
         nginx             41234       640 us   1900 us\n\
         argon2id, 19 MiB  38.2        3000 ms  27 s\n"
    );
    assert!(
        terminal.stderr().contains("64 connections"),
        "{}",
        terminal.stderr()
    );
    let mut terminal = Terminal::default();
    assert_eq!(
        terminal.run(&["bench", "--connections", "8", "--output", "json"]),
        0
    );
    let printed: serde_json::Value = serde_json::from_str(terminal.stdout()).expect("JSON");
    assert_eq!(printed["connections"], 8);
    assert_eq!(printed["rows"][0]["per_second"], 41_234.5);
    assert_eq!(printed["rows"][1]["p50_us"], 2_000_000);
    for wrong in [
        &["bench", "--for", "61s"][..],
        &["bench", "--for", "0s"],
        &["bench", "--connections", "0"],
    ] {
        assert_eq!(Terminal::default().run(wrong), 64, "{wrong:?}");
    }
}
