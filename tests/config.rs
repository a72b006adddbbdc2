//! The configuration, from files, environment and flags to settings or to what is wrong.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use sidegate::config::settings::{Access, Listen, Settings, StoreUrl, UpstreamScheme};
use sidegate::config::{self, ConfigError, Loaded, Overrides, Sources};

/// A directory with configuration files in it.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    fn mode(self, name: &str, mode: u32) -> Self {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    fn sources(&self, names: &[&str]) -> Sources {
        Sources {
            files: names.iter().map(|name| self.path(name)).collect(),
            default_data: "/var/lib/sidegate".into(),
            ..Sources::default()
        }
    }

    fn load(&self, names: &[&str]) -> Result<Loaded, Vec<ConfigError>> {
        config::load(&self.sources(names))
    }
}

fn load(text: &str) -> Result<Loaded, Vec<ConfigError>> {
    Home::new().file("sidegate.toml", text).load(&["sidegate.toml"])
}

fn settings(text: &str) -> Settings {
    match load(text) {
        Ok(loaded) => loaded.settings,
        Err(errors) => panic!("{text}\n{}", lines(&errors)),
    }
}

/// The errors as printed, without the directory.
fn lines(errors: &[ConfigError]) -> String {
    let line = |error: &ConfigError| {
        let text = error.to_string();
        match &error.file {
            Some(file) => text.replace(&format!("{}/", file.parent().unwrap().display()), ""),
            None => text,
        }
    };
    errors.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The errors of a text, one a line.
fn wrong(text: &str) -> String {
    match load(text) {
        Ok(_) => panic!("nothing wrong with {text}"),
        Err(errors) => {
            assert!(!errors.is_empty());
            lines(&errors)
        }
    }
}

fn with_variables(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, Vec<ConfigError>> {
    let home = Home::new().file("sidegate.toml", text);
    let mut sources = home.sources(&["sidegate.toml"]);
    sources.environment = variables
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect();
    config::load(&sources)
}

fn with_flags(text: &str, overrides: Overrides) -> Result<Loaded, Vec<ConfigError>> {
    let home = Home::new().file("sidegate.toml", text);
    config::load(&Sources {
        overrides,
        ..home.sources(&["sidegate.toml"])
    })
}

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";

// Product 3: "In the block below `[server]` listen and prefix, `[operations]`, `[credentials]`
// and `[guard]` show the defaults"
#[test]
fn nothing_written_gives_the_defaults_of_the_contract() {
    let s = settings("");
    assert_eq!(s.server.listen, [Listen::Tcp("127.0.0.1:8480".parse().unwrap())]);
    assert_eq!(s.server.prefix, "/_sidegate");
    assert_eq!(s.server.data, Path::new("/var/lib/sidegate"));
    assert_eq!(
        (s.server.trusted_proxies.as_slice(), s.server.trust_unix),
        (&[][..], false)
    );
    assert!(s.server.workers > 0);
    assert_eq!(s.operations, Some("127.0.0.1:9480".parse().unwrap()));
    assert_eq!(s.store, StoreUrl::Sqlite("/var/lib/sidegate/sidegate.db".into()));
    assert_eq!(s.credentials.token_headers, ["x-openhab-token"]);
    assert!(!s.credentials.basic_passwords && !s.credentials.query_token);
    assert_eq!(s.tokens.prefix, "oh");
    assert_eq!((s.guard.failures, s.guard.window), (10, Duration::from_secs(300)));
    assert_eq!(s.guard.ban_for, Duration::from_secs(900));
    assert_eq!(
        s.guard.exempt,
        ["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]
    );
    let rate = s.guard.rate.unwrap();
    assert_eq!(
        (rate.count, rate.per, rate.burst),
        (50, Duration::from_secs(1), 100)
    );
    assert_eq!(s.guard.rate_allowed, None);
    assert_eq!(s.audit.file, Path::new("/var/lib/sidegate/audit.jsonl"));
    assert_eq!(s.log.access, None);
    let seconds = [
        (s.timeouts.head, 10),
        (s.timeouts.connect, 5),
        (s.timeouts.response, 60),
        (s.timeouts.idle, 60),
        (s.timeouts.tunnel_idle, 3600),
        (s.timeouts.drain, 30),
    ];
    assert!(
        seconds
            .iter()
            .all(|(span, seconds)| *span == Duration::from_secs(*seconds))
    );
    assert_eq!(
        (s.limits.head, s.limits.body, s.limits.connections),
        (65_536, None, 10_000)
    );
    assert_eq!(
        (s.password.memory, s.password.iterations, s.password.parallelism),
        (19_456, 2, 1)
    );
    assert_eq!(s.password.minimum_length, 8);
    assert!(s.routes.is_empty() && s.scopes.is_empty() && s.trusted_networks.is_empty() && s.tls.is_none());
}

#[test]
fn a_server_without_any_file_has_the_defaults() {
    let sources = Sources {
        default_data: "/var/lib/sidegate".into(),
        ..Sources::default()
    };
    let loaded = config::load(&sources).unwrap();
    assert_eq!(loaded.settings, settings(""));
    assert!(loaded.files.is_empty() && loaded.warnings.is_empty());
}

#[test]
fn an_error_names_file_line_key_value_and_remedy() {
    assert_eq!(
        wrong("[guard]\n\n# a comment\nban_for = \"15 minutes\"\n"),
        "sidegate.toml:4: guard.ban_for = \"15 minutes\" is not a duration; write for example \"15m\" or \"1h30m\""
    );
}

// Bad inputs Q-01
#[test]
fn an_unknown_key_is_an_error_with_a_suggestion() {
    assert_eq!(
        wrong("[server]\ntrused_proxies = []"),
        "sidegate.toml:2: server.trused_proxies is not a known key; did you mean `trusted_proxies`?"
    );
    assert_eq!(
        wrong("[sever]\nlisten = []"),
        "sidegate.toml:1: sever is not a known section; did you mean `server`?"
    );
    assert_eq!(
        wrong("[[route]]\n[[route]]\npath = \"/a\"\nupstraem = \"http://a\""),
        "sidegate.toml:4: route[2].upstraem is not a known key; did you mean `upstream`?"
    );
    assert!(wrong("[store]\nbanana = 1").ends_with("is not a known key; known here: url, url_file"));
}

// Bad inputs Q-02
#[test]
fn a_key_or_section_that_is_there_twice_is_an_error_with_its_line() {
    assert!(
        wrong("[guard]\nban_for = \"1m\"\nban_for = \"2m\"")
            .starts_with("sidegate.toml:3: not TOML: duplicate key")
    );
    assert!(wrong("[guard]\n[log]\n[guard]").starts_with("sidegate.toml:3: not TOML: duplicate key"));
}

// Bad inputs Q-03
#[test]
fn a_wrong_type_is_told_what_to_write() {
    for (text, expected) in [
        (
            "[guard]\nban_for = 900",
            "2: guard.ban_for = 900 is a number, and a text is wanted; write for example \"15m\"",
        ),
        (
            "[server]\nworkers = \"2\"",
            "2: server.workers = \"2\" is a text, and a whole number is wanted; write 2 without quotes",
        ),
        (
            "[server]\nworkers = 1.5",
            "2: server.workers = 1.5 is a fraction, a date or beyond 64 bits, and a whole number is wanted; write for example 0",
        ),
        (
            "[server]\nworkers = -1",
            "2: server.workers = -1 is out of range; write a number from 0 to 1024",
        ),
        (
            "[server]\nlisten = \"127.0.0.1:1\"",
            "2: server.listen = \"127.0.0.1:1\" is a text, and a list is wanted; write [\"127.0.0.1:1\"]",
        ),
        (
            "[server]\nlisten = [1]",
            "2: server.listen[1] = 1 is a number, and a text is wanted; write for example \"…\"",
        ),
        (
            "[credentials]\nquery_token = \"true\"",
            "2: credentials.query_token = \"true\" is a text, and true or false is wanted; write true without quotes",
        ),
        (
            "[route]\npath = \"/\"",
            "1: route is a table, and a list is wanted; write [[route]]",
        ),
        (
            "[[server]]",
            "1: server is a list, and a table is wanted; write [server]",
        ),
        (
            "guard = 1",
            "1: guard = 1 is a number, and a table is wanted; write [guard] and keys below it",
        ),
        (
            "[[route]]\naccess = true",
            "2: route[1].access = true is true or false, and a text or a table is wanted; write for example \"user\"",
        ),
        (
            "[[route]]\naccess = \"users\"",
            "2: route[1].access = \"users\" is not known; did you mean \"user\"? write \"public\", \"user\" or \"admin\"",
        ),
        (
            "[log]\nformat = \"xml\"",
            "2: log.format = \"xml\" is not known; write \"text\" or \"json\"",
        ),
        (
            "[limits]\nconnections = 3",
            "2: limits.connections = 3 is out of range; write a number from 16 to 1000000",
        ),
        (
            "[networks]\ntrusted = [{ cidr = \"10.0.0.0/8\" }]",
            "2: networks.trusted[1].user is missing; write for example user = \"guest\", or users = [\"anna\", \"bert\"] to choose from",
        ),
        (
            "[networks]\ntrusted = [{ cidr = \"10.0.0.0/8\", user = \"a\", users = [\"b\"] }]",
            "2: networks.trusted[1].users cannot stand beside user; leave one of them out",
        ),
    ] {
        assert_eq!(wrong(text), format!("sidegate.toml:{expected}"));
    }
}

#[test]
fn every_problem_is_reported_at_once() {
    let text = "
[server]
trused_proxies = []
prefix = \"/\"
[guard]
ban_for = \"never\"
[log]
level = 3
[[route]]
upstream = \"http://a/b\"
[timeouts]
head = \"0s\"
";
    let all = wrong(text);
    for (line, key) in [
        (3, "server.trused_proxies"),
        (4, "server.prefix"),
        (6, "guard.ban_for"),
        (8, "log.level"),
        (10, "route[1].upstream"),
        (12, "timeouts.head"),
    ] {
        assert!(
            all.contains(&format!("sidegate.toml:{line}: {key} ")),
            "{key} in\n{all}"
        );
    }
    assert_eq!(all.lines().count(), 6, "{all}");
}

#[test]
fn syntax_errors_of_several_lines_are_all_reported() {
    let all = wrong("[guard]\nban_for = \n[log]\nlevel == 3\n[x\n");
    for line in [2, 4, 5] {
        assert!(
            all.contains(&format!("sidegate.toml:{line}: not TOML: ")),
            "{all}"
        );
    }
}

// Bad inputs Q-19: "1 GB config, YAML/TOML bombs, invalid UTF-8, BOM, CRLF"
#[test]
fn files_that_are_no_text_are_refused_and_crlf_is_not() {
    let home = Home::new()
        .file("bom.toml", "\u{feff}[server]\n")
        .file("latin1.toml", b"[server]\n# caf\xe9\n")
        .file("large.toml", vec![b'\n'; (1 << 20) + 1])
        .file("limit.toml", vec![b'\n'; 1 << 20])
        .file("nul.toml", "[server]\nprefix = \"\0\"")
        .file("brackets.toml", format!("a = {}", "[".repeat(100_000)))
        .file("dots.toml", format!("{}a = 1", "a.".repeat(100_000)))
        .file("crlf.toml", "[guard]\r\nban_for = \"1h\"\r\nrate = \"x\"\r\n")
        .file("cr.toml", "[guard]\rban_for = \"1h\"\r");
    let message = |name: &str| lines(&home.load(&[name]).unwrap_err());
    assert_eq!(
        message("bom.toml"),
        "bom.toml:1: starts with a byte order mark; save the file as UTF-8 without it"
    );
    assert_eq!(
        message("latin1.toml"),
        "latin1.toml:2: is not UTF-8; save the file as UTF-8"
    );
    assert_eq!(
        message("large.toml"),
        "large.toml: is larger than 1MiB (1048577 bytes)"
    );
    assert!(home.load(&["limit.toml"]).is_ok());
    assert!(message("nul.toml").starts_with("nul.toml:2: not TOML"));
    assert!(message("brackets.toml").starts_with("brackets.toml:1: not TOML"));
    assert_eq!(message("dots.toml"), "dots.toml: not TOML: recursion limit");
    assert!(message("cr.toml").starts_with("cr.toml:1: not TOML"));
    // TOML 1.0: "Newline means LF (0x0A) or CRLF (0x0D 0x0A)."
    assert!(message("crlf.toml").starts_with("crlf.toml:3: guard.rate = \"x\" is not a rate"));
}

#[test]
fn what_is_no_regular_file_is_refused_without_waiting_for_it() {
    let home = Home::new();
    std::fs::create_dir(home.path("directory")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(home.path("fifo"))
        .status()
        .unwrap();
    assert!(made.success());
    std::os::unix::fs::symlink("/dev/zero", home.path("zero")).unwrap();
    for name in ["directory", "fifo", "zero"] {
        assert_eq!(
            lines(&home.load(&[name]).unwrap_err()),
            format!("{name}: is not a regular file")
        );
    }
    assert_eq!(
        lines(&home.load(&["none"]).unwrap_err()),
        "none: cannot be read: no such file"
    );
}

// Product: "A verb or key whose feature is not built yet is [...] in a configuration file [...]
// an error: 'not in this version'"
#[test]
fn what_is_not_built_yet_is_said_to_be_so() {
    for (text, key) in [
        ("[[oidc]]\nissuer = \"https://id.example\"", "oidc"),
        ("[peers]", "peers"),
        ("[rights]\nroot = \"x\"", "rights"),
        ("[compat]\nopenhab = false", "compat.openhab"),
        ("compat.horao = true", "compat.horao"),
        ("[oauth]\nwell_known = true", "oauth"),
        ("grpc_listen = \"127.0.0.1:1\"", "grpc_listen"),
        (
            "[[route]]\naccess = { users = [\"a\"], hours = \"8-18\" }",
            "route[1].access.hours",
        ),
        ("[[route]]\naccess = { query = \"a\" }", "route[1].access.query"),
    ] {
        let all = wrong(text);
        assert!(
            all.contains(&format!(": {key} is not in this version; leave it out")),
            "{text}\n{all}"
        );
        assert_eq!(all.lines().count(), 1, "{all}");
    }
    assert!(
        wrong("[store]\nurl = \"postgres://u:abracadabra@db/s\"")
            .contains("store.url is not in this version")
    );
    assert!(load("[compat]").is_ok());
}

// Product 3: "Tables merge over files, `[[…]]` append, other arrays are replaced"
#[test]
fn tables_merge_arrays_of_tables_append_and_other_arrays_are_replaced() {
    let home = Home::new()
        .file(
            "a.toml",
            "[guard]\nban_for = \"1m\"\nrate = \"1/s\"\n[server]\nlisten = [\"127.0.0.1:1\"]\n[[route]]\npath = \"/a\"\n\
             [networks]\ntrusted = [{ cidr = \"10.0.0.0/8\", user = \"a\" }]",
        )
        .file("b.toml", "[guard]\nban_for = \"2m\"\n[server]\nlisten = [\"127.0.0.1:2\"]\n[[route]]\npath = \"/b\"")
        .file("conf.d/20.toml", "[guard]\nban_for = \"4m\"\n[[networks.trusted]]\ncidr = \"192.168.0.0/16\"\nuser = \"b\"")
        .file("conf.d/10.toml", "[guard]\nban_for = \"3m\"\n[[route]]\npath = \"/c\"")
        .file("conf.d/.hidden.toml", "nonsense")
        .file("conf.d/30.toml.bak", "nonsense");
    let loaded = home.load(&["a.toml", "b.toml"]).unwrap();
    let s = loaded.settings;
    assert_eq!(s.guard.ban_for, Duration::from_secs(240));
    assert_eq!(s.guard.rate.unwrap().count, 1);
    assert_eq!(s.server.listen, [Listen::Tcp("127.0.0.1:2".parse().unwrap())]);
    let paths: Vec<_> = s.routes.iter().map(|route| route.path.as_str()).collect();
    assert_eq!(paths, ["/a", "/b", "/c"]);
    let users: Vec<_> = s
        .trusted_networks
        .iter()
        .filter_map(|network| network.user.as_deref())
        .collect();
    assert_eq!(users, ["a", "b"]);
    let read: Vec<_> = ["a.toml", "b.toml", "conf.d/10.toml", "conf.d/20.toml"]
        .map(|name| home.path(name))
        .into();
    assert_eq!(loaded.files, read);
    assert_eq!(loaded.conf_d, Some(home.path("conf.d")));
    assert_eq!(
        lines(&home.load(&["a.toml", "a.toml"]).unwrap_err()),
        "a.toml: is given twice"
    );
}

#[test]
fn an_inline_list_of_tables_is_replaced_by_the_next_file() {
    let home = Home::new()
        .file(
            "a.toml",
            "[networks]\ntrusted = [{ cidr = \"10.0.0.0/8\", user = \"a\" }]",
        )
        .file(
            "b.toml",
            "[networks]\ntrusted = [\n  { cidr = \"192.168.0.0/16\", user = \"b\" },\n]",
        );
    let s = home.load(&["a.toml", "b.toml"]).unwrap().settings;
    let users: Vec<_> = s
        .trusted_networks
        .iter()
        .filter_map(|network| network.user.as_deref())
        .collect();
    assert_eq!(users, ["b"]);
}

// Product 3: "then `SIDEGATE_SECTION__KEY`, then flags"; "lists in the environment are
// comma-separated"
#[test]
fn variables_win_over_files_and_flags_over_variables() {
    let text = "[server]\nlisten = [\"127.0.0.1:1\"]\ntrusted_proxies = [\"10.0.0.1/32\"]\n[guard]\nban_for = \"1m\"";
    let variables = [
        ("SIDEGATE_SERVER__LISTEN", "127.0.0.1:2, [::1]:2"),
        ("SIDEGATE_GUARD__BAN_FOR", "2m"),
        ("SIDEGATE_SERVER__WORKERS", "3"),
        ("SIDEGATE_CREDENTIALS__BASIC_PASSWORDS", "true"),
        ("SIDEGATE_LOG__FORMAT", "json"),
        ("HOME", "/root"),
    ];
    let s = with_variables(text, &variables).unwrap().settings;
    let addresses = ["127.0.0.1:2", "[::1]:2"].map(|text| Listen::Tcp(text.parse().unwrap()));
    assert_eq!(s.server.listen, addresses);
    assert_eq!((s.guard.ban_for, s.server.workers), (Duration::from_secs(120), 3));
    assert!(s.credentials.basic_passwords);

    let home = Home::new().file("sidegate.toml", text);
    let mut sources = home.sources(&["sidegate.toml"]);
    sources.environment = vec![("SIDEGATE_SERVER__LISTEN".into(), "127.0.0.1:2".into())];
    sources.overrides = Overrides {
        listen: vec!["127.0.0.1:3".into()],
        trust: vec!["10.0.0.2/32".into(), "unix".into()],
        data: Some("/srv/gate".into()),
        upstream: vec!["http://127.0.0.1:8123".into()],
    };
    let s = config::load(&sources).unwrap().settings;
    assert_eq!(s.server.listen, [Listen::Tcp("127.0.0.1:3".parse().unwrap())]);
    assert_eq!(
        s.server.trusted_proxies,
        ["10.0.0.1/32".parse().unwrap(), "10.0.0.2/32".parse().unwrap()]
    );
    assert!(s.server.trust_unix);
    assert_eq!(s.store, StoreUrl::Sqlite("/srv/gate/sidegate.db".into()));
    assert_eq!(s.routes.len(), 1);
    assert_eq!(
        (s.routes[0].name.as_str(), &s.routes[0].access),
        ("*/", &Access::User)
    );
    assert_eq!(s.routes[0].upstream[0].to_string(), "http://127.0.0.1:8123");
}

// Bad inputs Q-06: "env var unset/empty"
#[test]
fn variables_that_are_unknown_empty_or_malformed_are_errors() {
    let path = std::env::temp_dir();
    let path = path.to_str().unwrap();
    for (name, value, expected) in [
        (
            "SIDEGATE_GUARD__BANFOR",
            "1m",
            "is not a known variable; did you mean SIDEGATE_GUARD__BAN_FOR?",
        ),
        (
            "SIDEGATE_SERVER_LISTEN",
            "x",
            "is not a known variable; did you mean SIDEGATE_SERVER__LISTEN?",
        ),
        (
            "SIDEGATE_PUBLIC_URL",
            "x",
            "is not a known variable; did you mean SIDEGATE_SERVER__PUBLIC_URL?",
        ),
        (
            "SIDEGATE_X",
            "x",
            "is not a known variable; variables are named SIDEGATE_SECTION__KEY, for example SIDEGATE_SERVER__LISTEN",
        ),
        (
            "SIDEGATE_GUARD__BAN_FOR",
            "",
            "= \"\" is empty; unset the variable, or give it a value",
        ),
        (
            "SIDEGATE_GUARD__BAN_FOR",
            "  ",
            "= \"  \" is empty; unset the variable, or give it a value",
        ),
        (
            "SIDEGATE_GUARD__BAN_FOR",
            "soon",
            "= \"soon\" is not a duration; write for example \"15m\" or \"1h30m\"",
        ),
        (
            "SIDEGATE_SERVER__WORKERS",
            "two",
            "= \"two\" is not a whole number",
        ),
        (
            "SIDEGATE_CREDENTIALS__QUERY_TOKEN",
            "yes",
            "= \"yes\" is neither true nor false; write true or false",
        ),
        (
            "SIDEGATE_SERVER__LISTEN",
            "127.0.0.1:1,,[::1]:1",
            "= \"127.0.0.1:1,,[::1]:1\" has an empty element; write the elements with one comma between two",
        ),
        (
            "SIDEGATE_GUARD__EXEMPT",
            "10.0.0.0/8,10.1/16",
            "= \"10.1/16\" is not a network; write the whole address: 10.1.0.0/16",
        ),
        (
            "SIDEGATE_ROUTE__PATH",
            "/",
            "cannot be set from the environment; write it in a file",
        ),
        (
            "SIDEGATE_NETWORKS__TRUSTED",
            "x",
            "cannot be set from the environment; write it in a file",
        ),
        (
            "SIDEGATE_TLS__CERTIFICATES",
            "x",
            "cannot be set from the environment; write it in a file",
        ),
        (
            "SIDEGATE_OAUTH__WELL_KNOWN",
            "true",
            "is not in this version; unset the variable",
        ),
        (
            "SIDEGATE_COMPAT__OPENHAB",
            "true",
            "is not in this version; unset the variable",
        ),
        (
            "SIDEGATE_STORE__URL_FILE",
            path,
            "= \"{path}\" is not a regular file",
        ),
    ] {
        let errors = with_variables("", &[(name, value)]).unwrap_err();
        assert_eq!(
            lines(&errors),
            format!("{name} {}", expected.replace("{path}", path))
        );
    }
}

#[test]
fn a_variable_that_begins_a_section_is_not_blamed_for_what_it_lacks() {
    let errors = with_variables("", &[("SIDEGATE_TLS__LISTEN", "0.0.0.0:8443")]).unwrap_err();
    assert_eq!(
        lines(&errors),
        "tls.certificates is missing; write for example certificates = \
         [{ cert = \"home.example.crt\", key = \"home.example.key\" }]"
    );
}

// Kubernetes documentation, "Accessing the Service": variables of the form
// {SVCNAME}_SERVICE_HOST and {SVCNAME}_PORT are set in every pod.
#[test]
fn what_kubernetes_sets_for_a_service_of_our_name_is_ignored() {
    let variables = [
        ("SIDEGATE_SERVICE_HOST", "10.0.0.11"),
        ("SIDEGATE_SERVICE_PORT_HTTP", "8480"),
        ("SIDEGATE_PORT", "tcp://10.0.0.11:8480"),
        ("SIDEGATE_PORT_8480_TCP_ADDR", "10.0.0.11"),
    ];
    assert_eq!(with_variables("", &variables).unwrap().settings, settings(""));
}

// Product 3: "every secret also as `…_FILE`"; bad inputs Q-05
#[test]
fn a_secret_can_be_read_from_a_file_of_its_own() {
    let home = Home::new()
        .file("url", "sqlite:other.db\n")
        .mode("url", 0o600)
        .file("open", "sqlite:other.db\n")
        .mode("open", 0o644)
        .file("bad", "abracadabra\n")
        .mode("bad", 0o600)
        .file("sidegate.toml", "[store]\nurl_file = \"url\"")
        .file("open.toml", "[store]\nurl_file = \"open\"")
        .file("bad.toml", "[store]\nurl_file = \"bad\"")
        .file("both.toml", "[store]\nurl_file = \"url\"\nurl = \"memory:\"")
        .file("empty.toml", "");
    let other = StoreUrl::Sqlite("/var/lib/sidegate/other.db".into());
    assert_eq!(home.load(&["sidegate.toml"]).unwrap().settings.store, other);
    assert!(
        lines(&home.load(&["open.toml"]).unwrap_err())
            .contains("everybody on this machine can get at; chmod o= ")
    );
    assert_eq!(
        lines(&home.load(&["both.toml"]).unwrap_err()),
        "both.toml:2: store.url_file and store.url are both set; leave one of them out"
    );
    let bad = lines(&home.load(&["bad.toml"]).unwrap_err());
    assert!(
        bad.contains("store.url is not a store") && !bad.contains("abracadabra"),
        "{bad}"
    );

    let mut sources = home.sources(&["empty.toml"]);
    let path = home.path("url").to_str().unwrap().to_owned();
    sources.environment = vec![("SIDEGATE_STORE__URL_FILE".into(), path.clone())];
    assert_eq!(config::load(&sources).unwrap().settings.store, other);
    sources
        .environment
        .push(("SIDEGATE_STORE__URL".into(), "memory:".into()));
    let both = lines(&config::load(&sources).unwrap_err());
    assert!(
        both.contains("SIDEGATE_STORE__URL and SIDEGATE_STORE__URL_FILE are both set"),
        "{both}"
    );
    let mut sources = home.sources(&["sidegate.toml"]);
    sources.environment = vec![("SIDEGATE_STORE__URL".into(), "memory:".into())];
    assert_eq!(config::load(&sources).unwrap().settings.store, StoreUrl::Memory);
}

// Product 3: "decision_listen = []  # decision endpoints on a listener of their own",
// "decision_secret_file = \"\"  # ask gateways for a shared secret header"
#[test]
fn decision_endpoints_have_listeners_and_a_secret_of_their_own() {
    let home = Home::new()
        .file("secret", "correct-horse-battery\n")
        .mode("secret", 0o600)
        .file("short", "abracadabra")
        .mode("short", 0o600)
        .file("lines", "abra\ncadabra")
        .mode("lines", 0o600)
        .file("open", "correct-horse-battery")
        .mode("open", 0o644)
        .file(
            "sidegate.toml",
            "[server]\ntrusted_proxies = [\"unix\"]\ndecision_listen = [\"127.0.0.1:8481\", \"unix:/run/d.sock\"]\ndecision_secret_file = \"secret\"",
        )
        .file("none.toml", "[server]\ndecision_secret_file = \"\"\ndecision_listen = []")
        .file("short.toml", "[server]\ndecision_secret_file = \"short\"")
        .file("lines.toml", "[server]\ndecision_secret_file = \"lines\"")
        .file("open.toml", "[server]\ndecision_secret_file = \"open\"")
        .file("nowhere.toml", "[server]\ndecision_secret_file = \"nowhere\"");
    let loaded = home.load(&["sidegate.toml"]).unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    let server = &loaded.settings.server;
    assert_eq!(
        server.decision_listen,
        [
            Listen::Tcp("127.0.0.1:8481".parse().unwrap()),
            Listen::Unix("/run/d.sock".into())
        ]
    );
    let secret = server.decision_secret.as_ref().unwrap();
    assert_eq!(secret.secret.expose(), b"correct-horse-battery");
    let printed = config::print(&loaded);
    assert!(
        !printed.contains("correct-horse") && printed.contains("/secret\""),
        "{printed}"
    );
    assert!(!format!("{loaded:?}").contains("correct-horse"));

    let none = home.load(&["none.toml"]).unwrap().settings;
    assert_eq!(
        (none.server.decision_secret, none.server.decision_listen.len()),
        (None, 0)
    );
    let short = home.load(&["short.toml"]).unwrap().warnings.join("\n");
    assert!(
        short.contains("fewer than 16 characters") && !short.contains("abracadabra"),
        "{short}"
    );
    assert!(
        short.contains("server.decision_secret_file is of no use"),
        "{short}"
    );
    for (file, expected) in [
        ("lines.toml", "holds what no header can carry"),
        ("open.toml", "everybody on this machine can get at"),
        ("nowhere.toml", "no such file"),
    ] {
        let all = lines(&home.load(&[file]).unwrap_err());
        assert!(
            all.contains(expected) && !all.contains("abra") && all.lines().count() == 1,
            "{all}"
        );
    }
    let twice = wrong("[server]\ndecision_listen = [\"127.0.0.1:8480\"]");
    assert!(twice.contains("is taken by server.listen[1] already"), "{twice}");
    let own = wrong(
        "[server]\ndecision_listen = [\"127.0.0.1:8481\"]\n[[route]]\nupstream = \"http://127.0.0.1:8481\"",
    );
    assert!(
        own.contains("is Sidegate itself (server.decision_listen[1])"),
        "{own}"
    );
    let network =
        load("[server]\ndecision_listen = [\"192.0.2.1:8481\"]\ntrusted_proxies = [\"192.0.2.2/32\"]");
    assert!(
        network.unwrap().warnings[0].contains("server.decision_listen[1] = \"192.0.2.1:8481\" is plain HTTP")
    );
}

// Product 3: "aliases = []  # endpoint names of other servers, so that a gateway changes one address"
#[test]
fn aliases_are_servers_that_are_known() {
    let all = "[server]\ntrusted_proxies = [\"10.0.0.1\"]\n[compat]\naliases = [\"oauth2-proxy\", \"authelia\", \"authentik\", \"tinyauth\", \"vouch\"]";
    assert_eq!(settings(all).aliases.len(), 5);
    assert_eq!(load(all).unwrap().warnings, Vec::<String>::new());
    let near = wrong("[compat]\naliases = [\"autelia\"]");
    assert!(
        near.contains("compat.aliases[1] = \"autelia\" is not known; did you mean \"authelia\"?"),
        "{near}"
    );
    let twice = wrong("[compat]\naliases = [\"vouch\", \"vouch\"]");
    assert!(
        twice.contains("compat.aliases[2] = \"vouch\" is in the list twice"),
        "{twice}"
    );
    let nobody = load("[compat]\naliases = [\"vouch\"]").unwrap().warnings;
    assert!(
        nobody[0].contains("compat.aliases is of no use: nobody may ask"),
        "{nobody:?}"
    );
    let by_variable = with_variables("", &[("SIDEGATE_COMPAT__ALIASES", "vouch,authelia")]).unwrap();
    assert_eq!(by_variable.settings.aliases.len(), 2);
}

// Product 1: "`--upstream` together with `[[route]]` in a file is an error"
#[test]
fn upstream_and_routes_together_are_an_error() {
    let overrides = Overrides {
        upstream: vec!["http://127.0.0.1:8123".into()],
        ..Overrides::default()
    };
    let errors = with_flags("\n[[route]]\npath = \"/a\"", overrides).unwrap_err();
    let text = lines(&errors);
    assert!(
        text.starts_with("--upstream and [[route]] (")
            && text.ends_with("sidegate.toml:2) are both there; leave out the flag, or the routes"),
        "{text}"
    );
}

#[test]
fn errors_in_flags_name_the_flag() {
    let flags = |listen: &str, trust: &str| Overrides {
        listen: vec![listen.into()],
        trust: vec![trust.into()],
        ..Overrides::default()
    };
    assert_eq!(
        lines(&with_flags("", flags("localhost:8480", "0.0.0.0/0")).unwrap_err()),
        "--trust = \"0.0.0.0/0\" is everybody; name the networks that are meant\n\
         --listen = \"localhost:8480\" is not an address with a port; write the address: \"127.0.0.1:8480\""
    );
}

// Bad inputs Q-07
#[test]
fn networks_have_whole_addresses_and_no_bits_beyond_the_mask_and_are_never_everybody() {
    for (net, expected) in [
        ("0.0.0.0/0", "is everybody"),
        ("::/0", "is everybody"),
        (
            "192.168.1.10/24",
            "has bits beyond its mask; write 192.168.1.0/24",
        ),
        ("fd00::1/8", "has bits beyond its mask; write fd00::/8"),
        (
            "192.168.1/24",
            "is not a network; write the whole address: 192.168.1.0/24",
        ),
        ("192.168.1.0/33", "is not a network"),
        ("192.168.1.0/255.255.255.0", "is not a network"),
        (
            "::ffff:10.0.0.0/104",
            "is an IPv4 network written as IPv6; write 10.0.0.0/8",
        ),
        ("lan", "is not a network"),
        ("", "is not a network"),
    ] {
        for text in [
            format!("[server]\ntrusted_proxies = [\"{net}\"]"),
            format!("[guard]\nexempt = [\"{net}\"]"),
            format!("[networks]\ntrusted = [{{ cidr = \"{net}\", user = \"guest\" }}]"),
            format!("[[route]]\nupstream = \"http://a\"\naccess = {{ networks = [\"{net}\"] }}"),
        ] {
            let all = wrong(&text);
            assert!(
                all.contains(expected) && all.lines().count() == 1,
                "{text}\n{all}"
            );
        }
    }
    let s = settings("[server]\ntrusted_proxies = [\"192.168.1.10\", \"fd00::/8\", \"unix\"]");
    assert_eq!(
        s.server.trusted_proxies,
        ["192.168.1.10/32".parse().unwrap(), "fd00::/8".parse().unwrap()]
    );
    assert!(wrong("[networks]\ntrusted = [{ cidr = \"10.0.0.0/8\", user = \"a\" }, { cidr = \"10.0.0.0/8\", user = \"b\" }]")
        .contains("networks.trusted[2].cidr = \"10.0.0.0/8\" is there twice"));
}

// Bad inputs Q-09: "two rules same matcher"
#[test]
fn two_routes_for_the_same_host_and_path_are_an_error() {
    let text = "[[route]]\nhost = \"Home.Example.\"\npath = \"/%61/\"\nupstream = \"http://a\"\n\
                [[route]]\nhost = \"home.example:443\"\npath = \"/a\"\nupstream = \"http://b\"";
    let all = wrong(text);
    assert!(
        all.starts_with("sidegate.toml:5: route[2] has the same host and path as route[1] ("),
        "{all}"
    );
    assert!(
        load("[[route]]\npath = \"/a\"\n[[route]]\npath = \"/A\"\n[[route]]\nhost = \"h\"\npath = \"/a\"")
            .is_ok()
    );
}

// Bad inputs Q-16: "identity header not `[A-Za-z0-9-]+` or equals hop-by-hop/Host/Cookie"
#[test]
fn identity_headers_are_plain_names_of_their_own() {
    for name in [
        "Remote_User",
        "Remote.User",
        "",
        "Remote User",
        "Rémote",
        "X:",
        "X\\r\\nY",
    ] {
        let all = wrong(&format!(
            "[[route]]\nupstream = \"http://a\"\nidentity_headers = {{ user = \"{name}\" }}"
        ));
        assert!(
            all.contains("is not a header name; use letters, digits and - only"),
            "{name}: {all}"
        );
    }
    for name in [
        "Connection",
        "keep-alive",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "Proxy-Connection",
        "Proxy-Authorization",
        "Host",
        "Cookie",
        "Authorization",
        "Content-Length",
        "X-Forwarded-For",
        "Sec-Fetch-Mode",
    ] {
        let all = wrong(&format!(
            "[[route]]\nupstream = \"http://a\"\nidentity_headers = {{ groups = \"{name}\" }}"
        ));
        assert!(
            all.contains("is a header that means something else"),
            "{name}: {all}"
        );
    }
    let twice =
        wrong("[[route]]\nupstream = \"http://a\"\nidentity_headers = { user = \"X-A\", email = \"x-a\" }");
    assert!(
        twice.contains("route[1].identity_headers.email = \"x-a\" is the header for user as well"),
        "{twice}"
    );
    let token =
        wrong("[[route]]\nupstream = \"http://a\"\nidentity_headers = { user = \"x-openhab-token\" }");
    assert!(
        token.contains("has x-openhab-token, which is in credentials.token_headers as well"),
        "{token}"
    );
    assert!(wrong("[credentials]\ntoken_headers = [\"Authorization\"]").contains("means something else"));
    assert!(wrong("[credentials]\ntoken_headers = [\"X-A\", \"x-a\"]").contains("is in the list twice"));
    // "The same request gets the same decision by every road": with some gateways no such header arrives.
    for name in [
        "X-Real-IP",
        "X-Forwarded-Port",
        "X-Forwarded-Server",
        "X-Envoy-Token",
    ] {
        let token = wrong(&format!("[credentials]\ntoken_headers = [\"{name}\"]"));
        assert!(
            token.contains(&format!("\"{name}\" is a header that gateways write themselves")),
            "{token}"
        );
        settings(&format!("[server]\nclient_ip_header = \"{name}\""));
    }
    let client = "[server]\nclient_ip_header = \"X-Forwarded-For\"";
    assert!(
        wrong(client)
            .contains("server.client_ip_header = \"X-Forwarded-For\" is a header that means something else")
    );
}

// Product 5
#[test]
fn identity_header_presets_are_those_of_the_contract() {
    let headers = |value: &str| {
        let s = settings(&format!(
            "[[route]]\nupstream = \"http://a\"\nidentity_headers = {value}"
        ));
        let headers = &s.routes[0].identity_headers;
        let text =
            |name: &Option<http::HeaderName>| name.as_ref().map_or("", |name| name.as_str()).to_owned();
        let names = [
            &headers.user,
            &headers.groups,
            &headers.name,
            &headers.email,
            &headers.scope,
        ]
        .map(text);
        (names.join(" "), headers.separator)
    };
    assert_eq!(
        headers("\"remote\""),
        ("remote-user remote-groups remote-name remote-email ".into(), ',')
    );
    assert_eq!(
        headers("\"oauth2-proxy\""),
        (
            "x-forwarded-user x-forwarded-groups x-forwarded-preferred-username x-forwarded-email ".into(),
            ','
        )
    );
    assert_eq!(
        headers("\"authentik\""),
        (
            "x-authentik-username x-authentik-groups x-authentik-name x-authentik-email ".into(),
            '|'
        )
    );
    assert_eq!(headers("\"grafana\""), ("x-webauth-user    ".into(), ','));
    assert_eq!(
        headers("{ user = \"X-U\", scope = \"X-S\" }"),
        ("x-u    x-s".into(), ',')
    );
    assert_eq!(
        settings("[[route]]").routes[0]
            .identity_headers
            .user
            .as_ref()
            .unwrap(),
        "remote-user"
    );
}

// Bad inputs Q-17, Q-18
#[test]
fn times_and_limits_have_bounds() {
    for (text, expected) in [
        (
            "[timeouts]\nhead = \"0s\"",
            "timeouts.head = \"0s\" is no time at all",
        ),
        (
            "[timeouts]\nhead = \"-1s\"",
            "timeouts.head = \"-1s\" is not a duration",
        ),
        (
            "[timeouts]\nidle = \"24h1ms\"",
            "timeouts.idle = \"24h1ms\" is too long; write at most \"1d\"",
        ),
        (
            "[timeouts]\ntunnel_idle = \"31d\"",
            "timeouts.tunnel_idle = \"31d\" is too long; write at most \"30d\"",
        ),
        (
            "[guard]\nban_for = \"25h\"",
            "guard.ban_for = \"25h\" is too long",
        ),
        (
            "[guard]\nfailures = \"10 in 2d\"",
            "guard.failures = \"10 in 2d\" looks back longer than a day",
        ),
        (
            "[guard]\nrate = \"0/s\"",
            "guard.rate = \"0/s\" would let nobody in; write \"off\" for no limit",
        ),
        (
            "[limits]\nhead = \"4KiB\"",
            "limits.head = \"4KiB\" is out of range; write a size from \"8KiB\" to \"1MiB\"",
        ),
        (
            "[limits]\nhead = \"2MiB\"",
            "limits.head = \"2MiB\" is out of range",
        ),
        (
            "[limits]\nbody = \"0B\"",
            "limits.body = \"0B\" would refuse every upload; write \"off\" for no limit",
        ),
        (
            "[password]\nmemory = \"1MiB\"",
            "password.memory = \"1MiB\" is out of range",
        ),
        (
            "[password]\nmemory = \"10000001B\"",
            "password.memory = \"10000001B\" is not a whole number of KiB",
        ),
        (
            "[password]\nminimum_length = 4",
            "password.minimum_length = 4 is out of range; write a number from 8 to 64",
        ),
        (
            "[password]\niterations = 0",
            "password.iterations = 0 is out of range",
        ),
        (
            "[[route]]\naccess = { factors = 3 }",
            "route[1].access.factors = 3 is out of range; write a number from 1 to 2",
        ),
        (
            "[[route]]\naccess = { max_age = \"30s\" }",
            "route[1].access.max_age = \"30s\" is over before anybody is back from the login",
        ),
        (
            "[guard]\nguesses = \"10 in 2d\"",
            "guard.guesses = \"10 in 2d\" looks back longer than a day",
        ),
    ] {
        let all = wrong(text);
        assert!(all.contains(expected), "{text}\n{all}");
    }
    let s = settings("[timeouts]\ntunnel_idle = \"30d\"\nhead = \"1d\"\n[limits]\nbody = \"1GiB\"");
    assert_eq!(s.timeouts.tunnel_idle, Duration::from_secs(30 * 86_400));
    assert_eq!(s.limits.body, Some(1 << 30));
}

// Bad inputs Q-11: "backend = ourselves (loop)"
#[test]
fn an_upstream_that_is_sidegate_itself_is_an_error() {
    for (listen, upstream, is_loop) in [
        ("127.0.0.1:8480", "http://127.0.0.1:8480", true),
        ("127.0.0.1:8480", "http://localhost:8480", true),
        ("0.0.0.0:8480", "http://127.0.0.1:8480", true),
        ("0.0.0.0:8480", "h2c://localhost:8480", true),
        ("[::]:8480", "http://[::1]:8480", true),
        ("127.0.0.1:8480", "http://0.0.0.0:8480", true),
        ("127.0.0.1:80", "http://localhost", true),
        ("unix:/run/a.sock", "unix:/run/a.sock", true),
        ("127.0.0.1:8480", "http://127.0.0.1:8481", false),
        ("127.0.0.1:8480", "http://192.168.1.2:8480", false),
        ("127.0.0.1:8480", "http://127.0.0.2:8480", false),
        ("unix:/run/a.sock", "unix:/run/b.sock", false),
    ] {
        let text = format!(
            "[server]\nlisten = [\"{listen}\"]\n[[route]]\nupstream = [\"http://10.9.9.9\", \"{upstream}\"]"
        );
        match load(&text) {
            Ok(_) => assert!(!is_loop, "{text}"),
            Err(errors) => {
                let all = lines(&errors);
                assert!(
                    is_loop && all.contains("is Sidegate itself (server.listen[1])"),
                    "{text}\n{all}"
                );
            }
        }
    }
}

// Product 8: "http, https [...], h2c, `unix:/path`; no path in it"
#[test]
fn upstreams_are_addresses_without_path_query_or_user() {
    for (upstream, expected) in [
        (
            "http://10.0.0.1:8123/",
            "has a path or query; write \"http://10.0.0.1:8123\"",
        ),
        (
            "http://10.0.0.1/api",
            "has a path or query; write \"http://10.0.0.1\"",
        ),
        ("http://10.0.0.1?a=b", "has a path or query"),
        ("http://10.0.0.1#a", "has a path or query"),
        (
            "http://anna:abracadabra@10.0.0.1",
            "= \"http://***@10.0.0.1\" has a user name in it",
        ),
        (
            "anna:abracadabra@10.0.0.1",
            "= \"***@10.0.0.1\" is not the address of an upstream",
        ),
        ("http://10.0.0.1:0", "has no port from 1 to 65535"),
        ("http://10.0.0.1:65536", "has no port from 1 to 65535"),
        ("http://10.0.0.1:", "has no port from 1 to 65535"),
        ("http://10.0.0.1:+80", "has no port from 1 to 65535"),
        ("http://", "is not a host name"),
        ("http://a b", "is not a host name"),
        ("http://::1:80", "is an IPv6 address without brackets"),
        ("http://::1", "is an IPv6 address without brackets; write [::1]"),
        ("http://[::1", "has a bracket that does not close"),
        (
            "http://[fe80::1%25eth0]:80",
            "has no IPv6 address in its brackets",
        ),
        ("http://127.1:80", "is not a whole IPv4 address"),
        ("http://0x7f000001.1", "is not a whole IPv4 address"),
        ("ws://10.0.0.1", "has an unknown scheme"),
        (
            "10.0.0.1:8123",
            "is not the address of an upstream; write \"http://10.0.0.1:8123\"",
        ),
        ("unix:run/a.sock", "is not the absolute path of a socket"),
        ("unix:", "is not the absolute path of a socket"),
        ("", "is not the address of an upstream"),
    ] {
        let all = wrong(&format!("[[route]]\nupstream = \"{upstream}\""));
        assert!(all.contains(expected), "{upstream}\n{all}");
        assert!(!all.contains("abracadabra"), "{all}");
    }
    let s = settings(
        "[[route]]\nupstream = [\"HTTP://Backend.Example.\", \"https://[::1]\", \"h2c://10.0.0.1:50051\", \"unix:/run/b.sock\"]",
    );
    let shown: Vec<_> = s.routes[0].upstream.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "http://backend.example:80",
            "https://[::1]:443",
            "h2c://10.0.0.1:50051",
            "unix:/run/b.sock"
        ]
    );
    assert_eq!(s.routes[0].upstream[1].scheme, UpstreamScheme::Https);
    assert!(wrong("[[route]]\nupstream = []").contains("route[1].upstream is empty"));
    assert!(
        wrong("[[route]]\nupstream = \"http://a\"\nserver_name = \"b\"")
            .contains("no upstream of this route is https")
    );
    assert!(
        wrong("[[route]]\nhealth = \"/h\"").contains("route[1].health is set, and the route has no upstream")
    );
}

// Product 8: "Paths are matched with unreserved characters decoded"; refused are dot segments,
// `//`, `%2F` and others
#[test]
fn route_paths_are_those_that_a_request_can_have() {
    for (path, expected) in [
        ("", "does not start with a slash"),
        ("api", "does not start with a slash; write \"/api\""),
        ("/a/../b", "has a dot segment"),
        ("/%2e%2e/b", "has a dot segment"),
        ("/a/.", "has a dot segment"),
        ("//a", "has an empty segment"),
        ("/a//b", "has an empty segment"),
        ("//", "has an empty segment"),
        ("/a//", "has an empty segment"),
        ("/a%2Fb", "has %2F"),
        ("/a%5cb", "has %5C"),
        ("/a%00", "has %00"),
        ("/a%", "has a % without two hex digits"),
        ("/a%4", "has a % without two hex digits"),
        ("/a%zz", "has a % without two hex digits"),
        ("/a%2541", "is encoded twice"),
        ("/a?b", "has a query"),
        ("/a#b", "has a query"),
        ("/a/*", "has a wildcard"),
        ("/é", "has a character that no path has"),
        ("/a b", "has a character that no path has"),
        ("/a;b", "has a ;"),
        (
            "/_sidegate",
            "is below server.prefix (/_sidegate), which is never proxied",
        ),
        ("/_sidegate/x", "is below server.prefix"),
        ("/%5Fsidegate/x", "is below server.prefix"),
    ] {
        let all = wrong(&format!("[[route]]\nupstream = \"http://a\"\npath = \"{path}\""));
        assert!(
            all.contains(expected) && all.lines().count() == 1,
            "{path}\n{all}"
        );
    }
    for (path, expected) in [
        ("/", "/"),
        ("/api", "/api"),
        ("/api/", "/api"),
        ("/%61pi/%7E", "/api/~"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/a%23b", "/a%23b"),
        ("/_sidegate2", "/_sidegate2"),
        ("/a.b/..c/@x:y", "/a.b/..c/@x:y"),
    ] {
        assert_eq!(
            settings(&format!("[[route]]\npath = \"{path}\"")).routes[0].path,
            expected
        );
    }
    assert_eq!(
        settings("[[route]]\npath = \"/a;b\"\npath_params = true").routes[0].path,
        "/a;b"
    );
}

// Product 8: "`host` (exact, case-folded, port and trailing dot ignored)"
#[test]
fn route_hosts_are_exact_names() {
    for (host, expected) in [
        ("Home.Example", "home.example"),
        ("home.example.", "home.example"),
        ("home.example:8443", "home.example"),
        ("192.168.1.2", "192.168.1.2"),
        ("[0:0::1]:80", "[::1]"),
        ("my_host", "my_host"),
    ] {
        let s = settings(&format!("[[route]]\nhost = \"{host}\""));
        assert_eq!(s.routes[0].host.as_deref(), Some(expected));
        assert_eq!(s.routes[0].name, format!("{expected}/"));
    }
    for host in [
        "",
        "*.example",
        "a..b",
        "-://",
        "http://home.example",
        "home.example/",
        "höme.example",
        "a b",
        "anna@home",
        "home.example:99999",
        ".",
        &"a".repeat(64),
        &vec!["abcdefgh"; 30].join("."),
        "1.2.3.4.5",
    ] {
        let all = wrong(&format!("[[route]]\nhost = \"{host}\""));
        assert!(all.contains("route[1].host"), "{host}\n{all}");
    }
}

#[test]
fn prefix_and_public_url_are_plain() {
    for prefix in [
        "",
        "/",
        "_sidegate",
        "/a/",
        "/a//b",
        "/../a",
        "/a b",
        "/%61",
        "/a?b",
    ] {
        let all = wrong(&format!("[server]\nprefix = \"{prefix}\""));
        assert!(
            all.contains("sidegate.toml:2: server.prefix = "),
            "{prefix}: {all}"
        );
    }
    assert_eq!(
        settings("[server]\nprefix = \"/auth/gate\"").server.prefix,
        "/auth/gate"
    );
    for (url, expected) in [
        ("https://Home.Example/", "https://home.example"),
        ("https://home.example:443", "https://home.example"),
        ("http://192.168.1.2:8480", "http://192.168.1.2:8480"),
        ("https://[::1]:8443", "https://[::1]:8443"),
    ] {
        let s = settings(&format!("[server]\npublic_url = \"{url}\""));
        assert_eq!(s.server.public_url.as_deref(), Some(expected));
    }
    for url in [
        "home.example",
        "ftp://a",
        "https://",
        "https://a/b",
        "https://a//",
        "https://u:p@a",
        "https://a?b",
        "javascript://a",
    ] {
        assert!(
            wrong(&format!("[server]\npublic_url = \"{url}\"")).contains("server.public_url = "),
            "{url}"
        );
    }
}

#[test]
fn listeners_are_addresses_and_do_not_overlap() {
    for (text, expected) in [
        (
            "listen = []",
            "server.listen is empty, and there is no [tls] either",
        ),
        (
            "listen = [\":8480\"]",
            "write \"0.0.0.0:8480\" for every address of this machine",
        ),
        ("listen = [\"8480\"]", "is not an address with a port"),
        ("listen = [\"127.0.0.1\"]", "is not an address with a port"),
        (
            "listen = [\"unix:a.sock\"]",
            "is not the absolute path of a socket",
        ),
        (
            "listen = [\"127.0.0.1:1\", \"127.0.0.1:1\"]",
            "server.listen[2] = \"127.0.0.1:1\" is in the list twice",
        ),
        (
            "listen = [\"127.0.0.1:1\", \"0.0.0.0:1\"]",
            "server.listen[2] = \"0.0.0.0:1\" is taken by server.listen[1] already",
        ),
        (
            "listen = [\"127.0.0.1:9480\"]",
            "operations.listen = \"127.0.0.1:9480\" is taken by server.listen[1] already",
        ),
    ] {
        let all = wrong(&format!("[server]\n{text}"));
        assert!(all.contains(expected), "{text}\n{all}");
    }
    let s =
        settings("[server]\nlisten = [\"127.0.0.1:0\", \"unix:/run/s.sock\"]\n[operations]\nlisten = \"\"");
    assert_eq!(s.server.listen[1], Listen::Unix("/run/s.sock".into()));
    assert_eq!(s.operations, None);
    assert!(load("[server]\nlisten = [\"127.0.0.1:0\"]\n[operations]\nlisten = \"127.0.0.1:0\"").is_ok());
}

#[test]
fn access_conditions_are_never_empty() {
    for (access, expected) in [
        ("{}", "route[1].access is a table without a condition"),
        (
            "{ users = [] }",
            "route[1].access.users is empty, and nobody could meet it",
        ),
        (
            "{ users = [\"anna\"], networks = [] }",
            "route[1].access.networks is empty",
        ),
        (
            "{ users = [\"\"] }",
            "route[1].access.users[1] = \"\" is not a name",
        ),
        (
            "{ methods = [\"get\"] }",
            "\"get\" is not a method; write \"GET\"",
        ),
        (
            "{ methods = [\"TRACE\"] }",
            "\"TRACE\" is a method that never passes",
        ),
        (
            "{ methods = [\"CONNECT\"] }",
            "\"CONNECT\" is a method that never passes",
        ),
        ("{ methods = [\"G T\"] }", "\"G T\" is not a method"),
    ] {
        let all = wrong(&format!("[[route]]\nupstream = \"http://a\"\naccess = {access}"));
        assert!(
            all.contains(expected) && all.lines().count() == 1,
            "{access}\n{all}"
        );
    }
    let s = settings(
        "[[route]]\naccess = { users = [\"anna\"], methods = [\"GET\", \"PROPFIND\"], networks = [\"10.0.0.0/8\"] }\nupstream = \"http://a\"",
    );
    let Access::Table(table) = &s.routes[0].access else {
        panic!("not a table")
    };
    assert_eq!(
        (
            table.users.len(),
            table.groups.len(),
            table.methods.len(),
            table.networks.len()
        ),
        (1, 0, 2, 1)
    );
}

#[test]
fn scopes_narrow_something_and_are_no_roles() {
    for (text, expected) in [
        (
            "[scope.admin]\nmethods = [\"GET\"]",
            "scope.admin = \"admin\" is the name of a role",
        ),
        (
            "[scope.read-only]\nmethods = [\"GET\"]",
            "scope.read-only = \"read-only\" is the name of a role",
        ),
        ("[scope.\"a b\"]\nmethods = [\"GET\"]", "is not a scope"),
        ("[scope.\"\"]\nmethods = [\"GET\"]", "is not a scope"),
        ("[scope.x]", "scope.x narrows nothing"),
        ("[scope.x]\npaths = []", "scope.x.paths is empty"),
        (
            "[scope.\"a.b\"]\npaths = [\"b\"]",
            "sidegate.toml:2: scope.\"a.b\".paths[1] = \"b\" does not start with a slash",
        ),
        ("[scope.x]\nroutes = [\"b\"]", "scope.x.routes is not a known key"),
        (
            "[tokens]\nprefix = \"oh.\"",
            "tokens.prefix = \"oh.\" is not a token prefix",
        ),
        (
            "[tokens]\nprefix = \"\"",
            "tokens.prefix = \"\" is not a token prefix",
        ),
        (
            "[tokens]\nprefix = \"abcdefghijklmnopq\"",
            "is not a token prefix",
        ),
    ] {
        let all = wrong(text);
        assert!(
            all.contains(expected) && all.lines().count() == 1,
            "{text}\n{all}"
        );
    }
    let s = settings(
        "[scope.\"admin.items\"]\nmethods = [\"GET\"]\npaths = [\"/rest/items/\"]\nhosts = [\"Home.Example\"]",
    );
    assert_eq!(s.scopes[0].name, "admin.items");
    assert_eq!(
        (s.scopes[0].paths[0].as_str(), s.scopes[0].hosts[0].as_str()),
        ("/rest/items", "home.example")
    );
}

// Bad inputs Q-13
#[test]
fn tls_files_are_there_and_hold_what_they_should() {
    let tls = |cert: &str, key: &str| {
        format!(
            "[tls]\nlisten = [\"0.0.0.0:8443\"]\ncertificates = [{{ cert = \"{cert}\", key = \"{key}\" }}]"
        )
    };
    let home = Home::new()
        .file("a.crt", CERTIFICATE)
        .file("a.key", KEY)
        .mode("a.key", 0o600)
        .file("open.key", KEY)
        .mode("open.key", 0o644)
        .file("good.toml", tls("a.crt", "a.key"))
        .file("open.toml", tls("a.crt", "open.key"))
        .file("none.toml", tls("b.crt", "a.key"))
        .file("swapped.toml", tls("a.key", "a.crt"))
        .file("directory.toml", tls(".", "a.key"));
    let loaded = home.load(&["good.toml"]).unwrap();
    assert_eq!(
        loaded.settings.tls.unwrap().certificates[0].cert,
        home.path("a.crt")
    );
    assert!(loaded.warnings.is_empty());
    let open = home.load(&["open.toml"]).unwrap();
    assert!(
        open.warnings[0].contains("tls.certificates[1].key") && open.warnings[0].contains("everybody"),
        "{:?}",
        open.warnings
    );
    let message = |name: &str| lines(&home.load(&[name]).unwrap_err());
    assert!(message("none.toml").contains("b.crt\" cannot be read: no such file"));
    assert!(
        message("swapped.toml").contains("holds no certificate")
            && message("swapped.toml").contains("holds no private key")
    );
    assert!(message("directory.toml").contains("is not a regular file"));
    assert!(wrong("[tls]").contains("tls.certificates is missing"));
    assert!(wrong("[tls]\nlisten = []\ncertificates = []").contains("tls.certificates is empty"));
}

// Bad inputs Q-14, and the contract: "a plaintext LAN listener is a warning"
#[test]
fn plain_http_on_a_network_is_a_warning() {
    let warnings = |text: &str| load(text).unwrap().warnings.join("\n");
    assert_eq!(
        warnings("[server]\nlisten = [\"127.0.0.1:1\", \"[::1]:1\", \"unix:/run/s.sock\"]"),
        ""
    );
    let tokens = warnings("[server]\nlisten = [\"0.0.0.0:8480\"]");
    assert!(tokens.contains("sidegate.toml:2: server.listen[1] = \"0.0.0.0:8480\" is plain HTTP on a network: tokens can be read"), "{tokens}");
    let passwords =
        warnings("[server]\nlisten = [\"192.168.1.5:8480\"]\n[credentials]\nbasic_passwords = true");
    assert!(
        passwords.contains("passwords and tokens can be read"),
        "{passwords}"
    );
}

#[test]
fn what_has_no_effect_or_meets_a_proxy_is_a_warning() {
    let warnings = |text: &str| load(text).unwrap().warnings.join("\n");
    let proxy = warnings(
        "[server]\ntrusted_proxies = [\"192.168.1.10/32\"]\n[networks]\ntrusted = [{ cidr = \"192.168.1.0/24\", user = \"guest\" }]",
    );
    assert!(
        proxy.contains(
            "networks.trusted[1].cidr = \"192.168.1.0/24\" holds the trusted proxy 192.168.1.10/32"
        ),
        "{proxy}"
    );
    assert!(
        warnings("[server]\nclient_ip_header = \"X-Real-IP\"")
            .contains("is never read: server.trusted_proxies is empty")
    );
    assert!(
        warnings("[[route]]\npath = \"/a\"")
            .contains("route[1] has no upstream, and nobody may ask about it")
    );
    assert!(warnings("[password]\niterations = 1").contains("cheap to guess"));
    let two = warnings(
        "[networks]\ntrusted = [{ cidr = \"10.0.0.0/8\", user = \"a\" }, { cidr = \"10.1.0.0/16\", user = \"b\" }]",
    );
    assert!(
        two.contains(
            "networks.trusted[2].cidr = \"10.1.0.0/16\" is part of 10.0.0.0/8, which has another user"
        ),
        "{two}"
    );
}

#[test]
fn stores_are_sqlite_or_memory() {
    for (url, expected) in [
        ("memory:", StoreUrl::Memory),
        (
            "sqlite:a/b.db",
            StoreUrl::Sqlite("/var/lib/sidegate/a/b.db".into()),
        ),
        ("sqlite:/srv/b.db", StoreUrl::Sqlite("/srv/b.db".into())),
    ] {
        assert_eq!(settings(&format!("[store]\nurl = \"{url}\"")).store, expected);
    }
    for url in [
        "",
        "sqlite:",
        "sqlite::memory:",
        "sqlite:///srv/b.db",
        "sqlite:a.db?mode=ro",
        "b.db",
        "mysql://x",
        "sqlite:dir/",
    ] {
        assert!(
            wrong(&format!("[store]\nurl = \"{url}\"")).contains("store.url is not a store; write \""),
            "{url}"
        );
    }
}

#[test]
fn a_changed_setting_is_told_with_both_values() {
    let old = settings("[[route]]\nhost = \"a\"\nupstream = \"http://a\"\n[[route]]\nhost = \"b\"");
    let new = settings(
        "[guard]\nban_for = \"1h\"\nrate = \"off\"\n[limits]\nbody = \"10MB\"\n\
         [[route]]\nhost = \"a\"\nupstream = \"http://b\"\naccess = \"admin\"\n[[route]]\nhost = \"c\"\n\
         [scope.x]\npaths = [\"/x\"]",
    );
    assert_eq!(
        config::diff(&old, &new),
        [
            "guard.ban_for: 15m -> 1h",
            "guard.rate: 50/s burst 100 -> off",
            "limits.body: off -> 10MB",
            "route a/ upstream: [http://a:80] -> [http://b:80]",
            "route a/ access: user -> admin",
            "route b/: removed",
            "route c/: added",
            "scope x: added",
        ]
    );
    assert!(config::diff(&old, &old).is_empty());
}

#[test]
fn what_is_printed_names_every_origin_and_loads_again() {
    let home = Home::new()
        .file("a.crt", CERTIFICATE)
        .file("a.key", KEY)
        .mode("a.key", 0o600)
        .file(
            "sidegate.toml",
            "[server]\ndata = \"state\"\ntrusted_proxies = [\"10.0.0.1/32\"]\n[guard]\nban_for = \"1h\"\n\
             [tls]\nlisten = [\"127.0.0.1:8443\"]\ncertificates = [{ cert = \"a.crt\", key = \"a.key\" }]\n\
             [[route]]\nhost = \"a\"\nupstream = \"https://b\"\nca_file = \"a.crt\"\naccess = { groups = [\"x\"] }\n\
             [scope.\"a.b\"]\npaths = [\"/x\"]",
        );
    let mut sources = home.sources(&["sidegate.toml"]);
    sources.environment = vec![("SIDEGATE_LOG__LEVEL".into(), "debug".into())];
    sources.overrides = Overrides {
        listen: vec!["127.0.0.1:1".into()],
        trust: vec!["10.0.0.2/32".into()],
        ..Overrides::default()
    };
    let loaded = config::load(&sources).unwrap();
    let printed = config::print(&loaded);
    let file = home.path("sidegate.toml").display().to_string();
    for line in [
        "listen = [\"127.0.0.1:1\"]  # --listen".to_owned(),
        format!("trusted_proxies = [\"10.0.0.1/32\", \"10.0.0.2/32\"]  # from {file}:3, --trust"),
        format!("ban_for = \"1h\"  # from {file}:5"),
        "level = \"debug\"  # SIDEGATE_LOG__LEVEL".to_owned(),
        "rate = \"50/s burst 100\"  # default".to_owned(),
        "# public_url is not set".to_owned(),
        format!("data = \"{}\"  # from {file}:2", home.path("state").display()),
        format!("[[route]]  # from {file}:9"),
    ] {
        assert!(
            printed.lines().any(|printed| printed == line),
            "{line}\n{printed}"
        );
    }
    let again = Home::new().file("printed.toml", &printed);
    match again.load(&["printed.toml"]) {
        Ok(reloaded) => assert_eq!(reloaded.settings, loaded.settings),
        Err(errors) => panic!("{}\n{printed}", lines(&errors)),
    }
}

#[test]
fn relative_paths_start_at_the_file_that_names_them() {
    let home = Home::new()
        .file("ca.pem", CERTIFICATE)
        .file("conf.d/ca.pem", CERTIFICATE)
        .file(
            "sidegate.toml",
            "[[route]]\npath = \"/a\"\nupstream = \"https://b\"\nca_file = \"ca.pem\"",
        )
        .file(
            "conf.d/b.toml",
            "[[route]]\npath = \"/b\"\nupstream = \"https://b\"\nca_file = \"ca.pem\"",
        );
    let routes = home.load(&["sidegate.toml"]).unwrap().settings.routes;
    assert_eq!(routes[0].ca_file, Some(home.path("ca.pem")));
    assert_eq!(routes[1].ca_file, Some(home.path("conf.d/ca.pem")));
}

// --- the files for users ---

fn of_the_project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_files_for_users_load_without_a_warning() {
    for name in ["config/sidegate.toml", "config/minimal.toml"] {
        let sources = Sources {
            files: vec![of_the_project(name)],
            default_data: "/var/lib/sidegate".into(),
            ..Sources::default()
        };
        match config::load(&sources) {
            Ok(loaded) => assert_eq!(loaded.warnings, Vec::<String>::new(), "{name}"),
            Err(errors) => panic!("{}", lines(&errors)),
        }
    }
}

/// Every `#key = …` and `#[section]` of `config/sidegate.toml` without its `#`.
fn everything_switched_on() -> String {
    let text = std::fs::read_to_string(of_the_project("config/sidegate.toml")).unwrap();
    let on = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => rest.to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(on).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_key_of_the_example_can_be_switched_on_and_is_the_default_where_it_says_so() {
    let home = Home::new()
        .file("sidegate.toml", everything_switched_on())
        .file("home.example.crt", CERTIFICATE)
        .file("home.example.key", KEY)
        .mode("home.example.key", 0o600)
        .file("backend-ca.pem", CERTIFICATE);
    let s = match home.load(&["sidegate.toml"]) {
        Ok(loaded) => loaded.settings,
        Err(errors) => panic!("{}", lines(&errors)),
    };
    let defaults = settings("");
    let mut same = s.clone();
    // Examples; everything else shows the default.
    same.server.public_url.clone_from(&defaults.server.public_url);
    same.server.domains.clone_from(&defaults.server.domains);
    same.server
        .trusted_proxies
        .clone_from(&defaults.server.trusted_proxies);
    same.server
        .client_ip_header
        .clone_from(&defaults.server.client_ip_header);
    same.tls.clone_from(&defaults.tls);
    same.routes.clear();
    same.trusted_networks.clear();
    same.scopes.clear();
    assert_eq!(same, defaults);
    let mut first = s.routes[0].clone();
    let plain = settings("[[route]]\nhost = \"home.example\"\nupstream = \"http://127.0.0.1:8123\"")
        .routes
        .remove(0);
    assert_eq!(first, plain);
    first.name.clear();
    assert_ne!(first, plain);
}

#[test]
fn the_example_has_every_key_of_the_schema() {
    fn keys(at: &str, schema: &serde_json::Value, found: &mut Vec<String>) {
        for one in schema["anyOf"]
            .as_array()
            .cloned()
            .unwrap_or_else(|| vec![schema.clone()])
        {
            for (name, known) in one["properties"].as_object().into_iter().flatten() {
                // The file form of a secret is told in its explanation.
                let is_file_of_secret = name
                    .strip_suffix("_file")
                    .is_some_and(|of| one["properties"].get(of).is_some());
                if !is_file_of_secret {
                    found.push(format!("{at}.{name}"));
                    keys(&format!("{at}.{name}"), known, found);
                }
            }
            for inner in ["items", "additionalProperties"] {
                if one[inner].is_object() {
                    keys(at, &one[inner], found);
                }
            }
        }
    }
    fn written(at: &str, value: &toml::Value, found: &mut Vec<String>) {
        match value {
            toml::Value::Table(table) => {
                for (name, inner) in table {
                    // The name of a scope is no key.
                    let at = match name.as_str() {
                        "admin.items" => at.to_owned(),
                        _ => format!("{at}.{name}"),
                    };
                    found.push(at.clone());
                    written(&at, inner, found);
                }
            }
            toml::Value::Array(items) => items.iter().for_each(|item| written(at, item, found)),
            _ => {}
        }
    }
    let (mut known, mut there) = (Vec::new(), Vec::new());
    keys("", &config::schema(), &mut known);
    let table: toml::Table = everything_switched_on().parse().unwrap();
    written("", &toml::Value::Table(table), &mut there);
    let missing: Vec<_> = known.iter().filter(|key| !there.contains(key)).collect();
    assert!(known.len() > 70 && missing.is_empty(), "{missing:?}");
}

// "One directory holds all that an instance owns: store, key files, the marker "initialised", control
// socket, audit file"
#[test]
fn a_log_file_is_none_of_the_files_of_the_instance() {
    let own = [
        ("sidegate.db", "a file of the store"),
        ("sidegate.db-wal", "a file of the store"),
        ("sidegate.db-shm", "a file of the store"),
        ("sidegate.db.lock", "a file of the store"),
        ("keys/token.key", "in the folder of the keys"),
        ("keys/new.log", "in the folder of the keys"),
        ("keys", "in the folder of the keys"),
        ("initialised", "the marker of the instance"),
        ("pending", "a file of backups that are put in place"),
        (
            "restoring/access.log",
            "in the folder of backups that are put in place",
        ),
        ("instance.lock", "the lock of the instance"),
        ("control.sock", "the socket of the commands"),
        ("keys/../initialised", "the marker of the instance"),
        ("logs/../../sidegate/keys/token.key", "in the folder of the keys"),
        ("/var/lib/sidegate/initialised", "the marker of the instance"),
        ("/run/../run/sidegate.sock", "a socket that is listened on"),
    ];
    let listen = "[server]\nlisten = [\"127.0.0.1:8480\", \"unix:/run/sidegate.sock\"]\n";
    for (file, what) in own {
        let shown = file.strip_prefix("/var/lib/sidegate/").unwrap_or(file);
        for (section, key, other) in [("log", "access", "access.log"), ("audit", "file", "audit.jsonl")] {
            assert_eq!(
                wrong(&format!("{listen}[{section}]\n{key} = \"{file}\"")),
                format!(
                    "sidegate.toml:4: {section}.{key} = \"{shown}\" is {what}, which would be destroyed; \
                     write a file of its own, for example \"{other}\""
                ),
                "{file}"
            );
        }
    }
    for fine in [
        "access.log",
        "keys.log",
        "../keys/a",
        "initialised.log",
        "/dev/stdout",
        "sidegate.db-1",
    ] {
        settings(&format!("[log]\naccess = \"{fine}\""));
    }
}

#[test]
fn a_log_file_is_no_store_and_no_key_of_another_name_or_behind_a_link() {
    let home = Home::new().file("data/keys/x", "").file("secret/token.key", "");
    let link = |to: &str, from: &str| std::os::unix::fs::symlink(home.path(to), home.path(from)).unwrap();
    link("secret/token.key", "data/keys/token.key");
    link("data", "door");
    link("data/initialised", "access.log");
    link("loop", "loop");
    let checked = |file: &str| {
        let text = format!(
            "[server]\ndata = \"data\"\n[store]\nurl = \"sqlite:../store/mine.db\"\n[log]\naccess = \"{file}\""
        );
        std::fs::write(home.path("sidegate.toml"), text).unwrap();
        home.load(&["sidegate.toml"]).map_err(|errors| lines(&errors))
    };
    for (file, what) in [
        ("../store/mine.db-wal", "a file of the store"),
        ("../store/mine.db", "a file of the store"),
        ("../secret/token.key", "a key"),
        ("../door/keys/token.key", "a key"),
        ("../door/keys/other", "in the folder of the keys"),
        ("../door/control.sock", "the socket of the commands"),
        // The link is there, and what it leads to is not yet.
        ("../access.log", "the marker of the instance"),
    ] {
        let error = checked(file).unwrap_err();
        assert!(error.contains(&format!("is {what}, which")), "{file}: {error}");
    }
    for fine in [
        "../store/access.log",
        "../secret/access.log",
        "../door/access.log",
        "../loop",
    ] {
        checked(fine).unwrap();
    }
}

#[test]
fn the_access_log_is_not_the_audit_file() {
    for (audit, access, other) in [
        ("audit.jsonl", "audit.jsonl", "access.log"),
        ("audit.jsonl", "/var/lib/sidegate/./audit.jsonl", "access.log"),
        ("access.log", "access.log", "requests.log"),
    ] {
        let error = wrong(&format!(
            "[audit]\nfile = \"{audit}\"\n[log]\naccess = \"{access}\""
        ));
        let expected = format!(
            "sidegate.toml:4: log.access = \"{audit}\" is the audit file too, whose chain would be broken; write \
             a file of its own, for example \"{other}\""
        );
        assert_eq!(error, expected);
    }
}

#[test]
fn the_sample_of_access_rights_has_the_documented_form() {
    let text = std::fs::read_to_string(of_the_project("config/access.rights")).unwrap();
    let rights: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(rights.keys().collect::<Vec<_>>(), ["READ", "WRITE"]);
    for level in rights.values() {
        let words: Vec<_> = level.as_object().unwrap().keys().map(String::as_str).collect();
        // OnSphere's documentation: override is exclusive with include and exclude
        assert!(
            words == ["override"] || words.iter().all(|word| ["include", "exclude"].contains(word)),
            "{words:?}"
        );
    }
}

#[test]
fn the_reference_is_up_to_date() {
    let written = std::fs::read_to_string(of_the_project("docs/configuration.md")).unwrap_or_default();
    assert!(
        written == config::reference(),
        "docs/configuration.md is out of date; cargo test --test config -- --ignored write_the_reference"
    );
}

/// Not a test: makes `docs/configuration.md` anew.
#[test]
#[ignore = "writes docs/configuration.md"]
fn write_the_reference() {
    std::fs::write(of_the_project("docs/configuration.md"), config::reference()).unwrap();
}

proptest::proptest! {
    #[test]
    fn no_file_makes_the_loader_panic(text in "(\\[\\[?(route|server|guard|scope\\.x|tls)\\]\\]?\n|(listen|path|upstream|access|rate|cidr|host) = (\"\\PC{0,12}\"|\\[\"\\PC{0,8}\"\\]|\\{ \\w{1,6} = \"x\" \\}|[0-9]{1,20}|true)\n|\\PC{0,10}\n){0,8}") {
        let _ = load(&text);
    }
}

// "`[session]` # idle, absolute, remember-me"
#[test]
fn a_session_has_three_times_and_remembering_can_be_off() {
    let days = |count: u64| std::time::Duration::from_secs(count * 24 * 60 * 60);
    let session = load("").unwrap().settings.session;
    assert_eq!((session.idle, session.absolute), (days(7), days(30)));
    assert_eq!(session.remember, Some(days(30)));
    let session = load("[session]\nidle = \"1d\"\nremember = \"off\"")
        .unwrap()
        .settings
        .session;
    assert_eq!((session.idle, session.remember), (days(1), None));
    assert_eq!(
        wrong("[session]\nidle = \"0s\""),
        "sidegate.toml:2: session.idle = \"0s\" is no time at all; write for example \"30s\""
    );
}

// "`csrf`" among the route keys: what a browser may send for another site
#[test]
fn a_route_says_what_other_sites_may_send() {
    use sidegate::config::settings::Csrf;
    let csrf = |text: &str| load(text).unwrap().settings.routes[0].csrf;
    assert_eq!(csrf("[[route]]"), Csrf::Enforce);
    assert_eq!(csrf("[[route]]\ncsrf = \"same-site\""), Csrf::SameSite);
    assert_eq!(csrf("[[route]]\ncsrf = \"off\""), Csrf::Off);
    assert!(wrong("[[route]]\ncsrf = true").contains("route[1].csrf"));
}
