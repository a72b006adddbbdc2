//! New settings while the server runs: all of them or none, and no word of it is lost.

use std::net::TcpStream;

use crate::support::tls::Authority;
use crate::support::{Backend, Client, Sidegate, eventually, free_port};

fn route(backend: &Backend, more: &str) -> String {
    format!(
        "[[route]]\npath = \"/\"\nupstream = \"http://{}\"\n{more}",
        backend.address
    )
}

// "what does not parse or cannot be resolved leaves the old settings in force and says so loudly; a
// server with such a file does not start"; "`sidegate check` runs the very code that starts the server"
#[test]
fn a_bad_file_leaves_the_old_settings_in_force_and_says_so() {
    let backend = Backend::start();
    let good = route(&backend, "identity_headers = \"grafana\"\n");
    let mut gate = Sidegate::start(&good);
    gate.cli(&["user", "add", "anna"]).success();
    let header = format!("X-OPENHAB-TOKEN: {}", gate.token("anna", "phone"));
    let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let taken = elsewhere.local_addr().expect("bound");
    let other = route(&backend, "");
    let bad = [
        (format!("{other}nonsense\n"), "not TOML", 78),
        (
            format!("{other}upstraem = \"http://127.0.0.1:1\"\n"),
            "upstraem",
            78,
        ),
        (
            format!("{other}[guard]\nban_for = \"soon\"\n"),
            "guard.ban_for",
            78,
        ),
        (
            format!("{other}[compat]\nopenhab = true\n"),
            "not in this version",
            78,
        ),
        (format!("{other}ca_file = \"nowhere.pem\"\n"), "nowhere.pem", 78),
        (
            format!(
                "{other}[tls]\nlisten = [\"127.0.0.1:0\"]\ncertificates = [{{ cert = \"no.crt\", key = \"no.key\" }}]\n"
            ),
            "no.crt",
            78,
        ),
        (
            format!("{other}[networks]\ntrusted = [{{ cidr = \"127.0.0.300/8\", user = \"anna\" }}]\n"),
            "127.0.0.300/8",
            78,
        ),
        (
            format!("{other}[log]\naccess = \"audit.jsonl\"\n"),
            "is the audit file too",
            78,
        ),
        (
            format!("{other}[log]\naccess = \"keys/token.key\"\n"),
            "log.access = \"keys/token.key\" is",
            78,
        ),
        (
            format!("{other}[audit]\nfile = \"initialised\"\n"),
            "audit.file = \"initialised\" is",
            78,
        ),
        (
            format!("{other}[log]\naccess = \"nowhere/access.log\"\n"),
            "nowhere/access.log",
            73,
        ),
    ];
    let file = gate.state().join("keys/token.key");
    let key = || std::fs::read(&file).expect("a key");
    let before = key();
    for (settings, named, code) in bad {
        gate.write_config(&settings);
        gate.signal("HUP");
        gate.await_log(named);
        let log = gate.log();
        let says = |line: &&str| line.contains("the old settings stay in force") && line.contains(named);
        let line = log
            .lines()
            .rfind(says)
            .unwrap_or_else(|| panic!("nothing was said about {named}:\n{log}"));
        assert!(line.contains("ERROR"), "{line}");
        assert_eq!(
            gate.metric("sidegate_config_last_reload_successful"),
            0.0,
            "{named}"
        );
        assert_eq!(gate.get("/", &[&header]).status, 200, "{named}");
        assert_eq!(backend.take_one().only("x-webauth-user"), Some("anna"), "{named}");

        assert_eq!(key(), before, "{named}");

        let checked = gate.cli(&["check"]);
        assert_eq!(checked.code, code, "{named}: {}", checked.stderr);
        assert!(checked.stderr.contains(named), "{named}: {}", checked.stderr);
        let mut second = Sidegate::prepare(&settings);
        second.launch();
        assert_eq!(second.wait(), Some(code), "{named}");
        assert!(second.log().contains(named), "{named}: {}", second.log());
        assert!(
            !second.state().exists(),
            "{named}: a start that fails creates nothing"
        );
    }
    // A file that is right, for an address that somebody else has.
    gate.write_listeners(&[taken.to_string()], &other);
    gate.signal("HUP");
    gate.await_log(&format!(
        "the old settings stay in force: cannot listen on {taken}: the address is in use"
    ));
    assert_eq!(gate.get("/", &[&header]).status, 200);
    assert_eq!(backend.take_one().only("x-webauth-user"), Some("anna"));
    gate.write_config(&good);
    let healed = || gate.metric("sidegate_config_last_reload_successful") == 1.0;
    eventually(healed, || {
        format!("the good file is not taken over:\n{}", gate.log())
    });
    assert_eq!(gate.cli(&["check"]).success().code, 0);
}

// "A changed file or SIGHUP reloads atomically"
#[test]
fn a_changed_route_and_a_new_trusted_network_are_in_force_after_a_change_of_the_file() {
    let (first, second) = (Backend::start(), Backend::start());
    let mut gate = Sidegate::start(&route(&first, ""));
    gate.cli(&["user", "add", "anna"]).success();
    gate.cli(&["user", "add", "guest"]).success();
    assert_eq!(gate.get("/", &[]).status, 401);
    gate.write_config(&route(
        &second,
        "[networks]\ntrusted = [{ cidr = \"127.0.0.1/32\", user = \"guest\" }]\n",
    ));
    eventually(
        || gate.get("/", &[]).status == 200,
        || format!("not in force:\n{}", gate.log()),
    );
    assert_eq!(second.take_one().only("remote-user"), Some("guest"));
    assert_eq!(first.bytes(), b"");
    assert_eq!(Client::from("127.0.0.2", gate.address).get("/", &[]).status, 401);
    gate.write_config(&route(&first, ""));
    eventually(
        || gate.get("/", &[]).status == 401,
        || format!("not in force:\n{}", gate.log()),
    );
}

// "Reload keeps unchanged listeners; a removed one is emptied before it closes."
#[test]
fn listeners_come_and_go_and_the_others_stay() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let backend = Backend::replying(move |received| {
        if received.line.contains("/slow") {
            let _ = wait.lock().expect("no panic").recv();
        }
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()
    });
    let mut gate = Sidegate::start(&route(&backend, ""));
    gate.cli(&["user", "add", "anna"]).success();
    let header = format!("X-OPENHAB-TOKEN: {}", gate.token("anna", "phone"));
    let mut kept = Client::to(gate.address);
    assert_eq!(kept.get("/", &[&header]).status, 200);
    let extra = std::net::SocketAddr::from(([127, 0, 0, 1], free_port()));
    let socket = gate.data.path().join("http.sock");
    gate.write_listeners(
        &[extra.to_string(), format!("unix:{}", socket.display())],
        &route(&backend, ""),
    );
    gate.signal("HUP");
    eventually(
        || TcpStream::connect(extra).is_ok(),
        || format!("no new listener:\n{}", gate.log()),
    );
    assert_eq!(Client::to(extra).get("/", &[&header]).status, 200);
    let unix = std::os::unix::net::UnixStream::connect(&socket).expect("it listens");
    assert_eq!(Client::over(unix).get("/", &[&header]).status, 200);

    let mut slow = Client::to(extra);
    slow.begin("GET", "/slow", &[&header], b"");
    eventually(
        || backend.requests().iter().any(|r| r.line.contains("/slow")),
        || "no request".into(),
    );
    gate.write_config(&route(&backend, ""));
    gate.signal("HUP");
    eventually(
        || TcpStream::connect(extra).is_err(),
        || "the removed listener still accepts".into(),
    );
    assert!(!socket.exists(), "the file of a removed unix socket goes");
    go.send(()).expect("the backend waits");
    let answer = slow.answer();
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    assert_eq!(slow.answer().status, 0, "its connection ends after its request");
    assert_eq!(
        kept.get("/", &[&header]).status,
        200,
        "the kept listener's connections stay"
    );
}

// "What did change is told line by line"; "A changed secret counts as soon as its file has changed"
#[test]
fn another_secret_in_the_same_file_is_told_without_its_value() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("secret");
    let write = |secret: &str| {
        std::fs::write(&file, secret).expect("it can be written");
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&file, private).expect("it is ours");
    };
    write("the first secret of a gateway");
    let backend = Backend::start();
    let gate = Sidegate::with_anna(
        &backend,
        &format!(
            "server: trusted_proxies = [\"127.0.0.1\"]\nserver: decision_secret_file = \"{}\"\n",
            file.display()
        ),
    );
    let status = |secret: &str| {
        let lines = [
            "X-Original-URL: http://home.example/",
            "X-Original-Method: GET",
            &format!("X-Sidegate-Secret: {secret}"),
        ];
        gate.get("/_sidegate/auth/nginx", &lines).status
    };
    assert_eq!(status("the first secret of a gateway"), 401);
    write("the second secret of a gateway");
    gate.await_log("changed: server.decision_secret_file: another secret is in ");
    assert_eq!(status("the first secret of a gateway"), 403);
    assert_eq!(status("the second secret of a gateway"), 401);
    let log = gate.log();
    assert!(!log.contains("secret of a gateway"), "{log}");
}

// "certificates reload when their files change"
#[test]
fn a_renewed_certificate_is_served_to_new_handshakes() {
    let authority = Authority::new();
    let pair = authority.issue("gate", &["gate.test"]);
    let backend = Backend::start();
    let port = free_port();
    let tls = format!(
        "[tls]\nlisten = [\"127.0.0.1:{port}\"]\ncertificates = [{}]\nredirect_http = false\n",
        pair.toml()
    );
    let gate = Sidegate::with_anna(&backend, &tls);
    let header = format!("X-OPENHAB-TOKEN: {}", gate.token("anna", "phone"));
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let served = || {
        let stream = authority.connect(address, "gate.test", &[]);
        stream.conn.peer_certificates().expect("it has shown one")[0].to_vec()
    };
    let first = served();
    let mut open = authority.client(address, "gate.test");
    assert_eq!(open.get("/", &[&header]).status, 200);
    authority.issue("gate", &["gate.test"]);
    eventually(
        || served() != first,
        || format!("the old one is still served:\n{}", gate.log()),
    );
    assert_eq!(
        open.get("/", &[&header]).status,
        200,
        "open connections keep theirs"
    );

    // Half a renewal: the key does not belong to the certificate.
    let second = served();
    let other = authority.issue("other", &["gate.test"]);
    std::fs::copy(&other.key, &pair.key).expect("a file can be written");
    gate.await_log("the old settings stay in force");
    assert_eq!(served(), second);
    assert_eq!(gate.metric("sidegate_config_last_reload_successful"), 0.0);
    std::fs::copy(&other.cert, &pair.cert).expect("a file can be written");
    eventually(
        || served() != second,
        || format!("the whole pair is not served:\n{}", gate.log()),
    );
}
