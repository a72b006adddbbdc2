//! Start, end, and what a service manager sees.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use crate::support::{Backend, Client, Sidegate, WebSocket, eventually};

/// A backend whose answers to `/slow` wait for a word each.
fn slow_backend() -> (Backend, Sender<()>) {
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let backend = Backend::replying(move |received| {
        if received.line.contains("/slow") {
            let _ = wait.lock().expect("no panic").recv();
        }
        crate::support::backend::websocket_or_ok(received)
    });
    (backend, go)
}

fn arrived(backend: &Backend, path: &str) {
    let there = || {
        backend
            .requests()
            .iter()
            .any(|received| received.line.contains(path))
    };
    eventually(there, || format!("{path} did not arrive"));
}

// Conventions: "SIGTERM drains"; "`/readyz` … not draining"
#[test]
fn sigterm_lets_requests_finish_and_ends_with_0() {
    let (backend, go) = slow_backend();
    let mut gate = Sidegate::with_anna(&backend, "");
    let header = format!("X-OPENHAB-TOKEN: {}", gate.token("anna", "phone"));
    let mut idle = Client::to(gate.address);
    assert_eq!(idle.get("/", &[&header]).status, 200);
    let mut socket = WebSocket::open(Client::to(gate.address), "/ws", &[&header])
        .map_err(|a| a.status)
        .expect("101");
    let mut slow = Client::to(gate.address);
    slow.begin("GET", "/slow", &[&header], b"");
    arrived(&backend, "/slow");
    assert!(gate.operations_page("/readyz").starts_with("HTTP/1.1 200 "));

    gate.signal("TERM");
    assert_eq!(idle.answer().status, 0, "an idle connection ends");
    assert_eq!(socket.hear(), None, "a WebSocket ends");
    eventually(
        || TcpStream::connect(gate.address).is_err(),
        || "it still accepts".into(),
    );
    let page = gate.operations_page("/readyz");
    assert!(
        page.starts_with("HTTP/1.1 503 ") && page.contains("stopping"),
        "{page}"
    );
    assert!(gate.operations_page("/healthz").starts_with("HTTP/1.1 200 "));
    assert_eq!(gate.cli(&["healthcheck"]).code, 69);

    go.send(()).expect("the backend waits");
    let answer = slow.answer();
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    assert_eq!(gate.wait(), Some(0));
    assert_eq!(
        gate.audit_lines(&["\"stop\""]).len(),
        1,
        "{:?}",
        gate.audit_lines(&[])
    );
    gate.cli(&["audit", "verify"]).success();
}

// "SIGTERM or SIGINT, then lets requests finish. A second signal ends at once."
#[test]
fn a_second_signal_ends_at_once() {
    for (first, second) in [("TERM", "TERM"), ("INT", "TERM")] {
        let (backend, _go) = slow_backend();
        let mut gate = Sidegate::with_anna(&backend, "");
        let header = format!("X-OPENHAB-TOKEN: {}", gate.token("anna", "phone"));
        let mut slow = Client::to(gate.address);
        slow.begin("GET", "/slow", &[&header], b"");
        arrived(&backend, "/slow");
        gate.signal(first);
        gate.await_log("a second signal ends at once");
        let began = Instant::now();
        gate.signal(second);
        assert_eq!(gate.wait(), Some(0));
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "that is no end at once"
        );
        assert_eq!(slow.answer().status, 0);
    }
}

// "drain: how long requests may go on after SIGTERM"
#[test]
fn requests_that_do_not_end_are_cut_off_when_the_time_is_over() {
    let (backend, _go) = slow_backend();
    let mut gate = Sidegate::with_anna(&backend, "[timeouts]\ndrain = \"1s\"\n");
    let header = format!("X-OPENHAB-TOKEN: {}", gate.token("anna", "phone"));
    let mut slow = Client::to(gate.address);
    slow.begin("GET", "/slow", &[&header], b"");
    arrived(&backend, "/slow");
    let began = Instant::now();
    gate.signal("TERM");
    assert_eq!(gate.wait(), Some(0));
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(slow.answer().status, 0);
    assert!(gate.log().contains("aborted=1"), "{}", gate.log());
}

// The line names the upstream; `-` for what was answered here.
#[test]
fn the_access_log_names_the_upstream() {
    let backend = Backend::start();
    let gate = Sidegate::with_anna(&backend, "[log]\naccess = \"access.log\"\n");
    let token = gate.token("anna", "phone");
    let bearer = format!("Authorization: Bearer {token}");
    assert_eq!(gate.get("/forwarded", &[&bearer]).status, 200);
    assert_eq!(gate.get("/refused", &[]).status, 401);
    let file = gate.state().join("access.log");
    let line = |path: &str| {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        text.lines().find(|line| line.contains(path)).map(str::to_owned)
    };
    eventually(
        || line("/forwarded").is_some() && line("/refused").is_some(),
        || "no access lines".to_owned(),
    );
    let named = format!("\"{}\"", backend.address);
    assert!(
        line("/forwarded").is_some_and(|line| line.contains(&named)),
        "{:?}",
        line("/forwarded")
    );
    assert!(
        line("/refused").is_some_and(|line| line.contains("\"-\"")),
        "{:?}",
        line("/refused")
    );
}

// "access = "off" | FILE (reopened on SIGUSR1)"
#[test]
fn sigusr1_opens_the_access_log_again() {
    let backend = Backend::start();
    let gate = Sidegate::with_anna(&backend, "[log]\naccess = \"access.log\"\n");
    let header = format!("X-OPENHAB-TOKEN: {}", gate.token("anna", "phone"));
    let file = gate.state().join("access.log");
    let holds = |file: &std::path::Path, path: &str| {
        std::fs::read_to_string(file).is_ok_and(|text| text.contains(&format!("GET {path} HTTP")))
    };
    assert_eq!(gate.get("/before", &[&header]).status, 200);
    eventually(|| holds(&file, "/before"), || "no line".into());
    let aside = gate.state().join("access.log.1");
    std::fs::rename(&file, &aside).expect("a file can be renamed");
    gate.signal("USR1");
    eventually(|| file.exists(), || "no new file".into());
    assert_eq!(gate.get("/after", &[&header]).status, 200);
    eventually(|| holds(&file, "/after"), || "no line in the new file".into());
    assert!(!holds(&file, "/before") && !holds(&aside, "/after"));
    // The audit file is opened again too, and its chain goes on.
    let audit = gate.state().join("audit.jsonl");
    std::fs::rename(&audit, gate.state().join("audit.jsonl.1")).expect("a file can be renamed");
    gate.signal("USR1");
    eventually(|| audit.exists(), || "no new audit file".into());
    gate.token("anna", "tablet");
    eventually(
        || !gate.audit_lines(&["tablet"]).is_empty(),
        || "no line in the new audit file".into(),
    );
    gate.cli(&["audit", "verify"]).success();
}

// "A second server on one store exits 69"; "in use means exit 69"
#[test]
fn a_second_server_on_the_same_data_or_address_ends_with_69() {
    let backend = Backend::start();
    let gate = Sidegate::with_anna(&backend, "");
    let header = format!("X-OPENHAB-TOKEN: {}", gate.token("anna", "phone"));
    let data = gate.state();
    let mut same_data = Sidegate::prepare("");
    let text = std::fs::read_to_string(&same_data.config).expect("our file");
    let own = same_data.state().display().to_string();
    std::fs::write(&same_data.config, text.replace(&own, &data.display().to_string())).expect("our file");
    same_data.launch();
    assert_eq!(same_data.wait(), Some(69));
    assert!(
        same_data.log().contains("in use by another process"),
        "{}",
        same_data.log()
    );

    let mut same_address = Sidegate::prepare("");
    same_address.address = gate.address;
    same_address.write_config("");
    same_address.launch();
    assert_eq!(same_address.wait(), Some(69));
    assert!(
        same_address.log().contains(&gate.address.to_string()),
        "{}",
        same_address.log()
    );
    assert!(
        same_address.log().contains("the address is in use"),
        "{}",
        same_address.log()
    );
    assert!(!same_address.state().exists(), "it creates nothing");

    let mut same_operations = Sidegate::prepare("");
    same_operations.operations = gate.operations;
    same_operations.write_config("");
    same_operations.launch();
    assert_eq!(same_operations.wait(), Some(69));
    assert!(
        same_operations.log().contains("operations.listen"),
        "{}",
        same_operations.log()
    );
    assert!(!same_operations.state().exists(), "it creates nothing");
    // The first one never noticed.
    for _ in 0..20 {
        assert_eq!(gate.get("/", &[&header]).status, 200);
    }
    assert_eq!(gate.cli(&["token", "list"]).success().code, 0);
}

// "Inherited sockets (systemd) and unix sockets are shared by all cores."
#[test]
fn a_socket_from_systemd_is_served_and_outlives_a_reload() {
    let backend = Backend::start();
    let route = format!(
        "[[route]]\npath = \"/\"\nupstream = \"http://{}\"\n",
        backend.address
    );
    let mut gate = Sidegate::prepare(&route);
    let activated = SocketAddr::from(([127, 0, 0, 1], crate::support::free_port()));
    gate.launch_by(&[
        "systemd-socket-activate",
        "--fdname=http",
        "-l",
        &activated.to_string(),
    ]);
    // The first connection starts the program; it waits in the socket until then.
    let connected = || TcpStream::connect(activated).is_ok();
    eventually(connected, || {
        format!("systemd-socket-activate is needed for this test:\n{}", gate.log())
    });
    gate.await_ready();
    gate.await_log(&format!("listening on http://{activated}"));
    gate.cli(&["user", "add", "anna"]).success();
    let header = format!("X-OPENHAB-TOKEN: {}", gate.token("anna", "phone"));
    assert_eq!(Client::to(activated).get("/", &[&header]).status, 200);
    assert!(
        TcpStream::connect(gate.address).is_err(),
        "the inherited socket stands for server.listen"
    );

    let mut kept = Client::to(activated);
    assert_eq!(kept.get("/", &[&header]).status, 200);
    gate.write_config(&format!("{route}identity_headers = \"grafana\"\n"));
    gate.signal("HUP");
    gate.await_log("changed: ");
    backend.take();
    for _ in 0..4 {
        assert_eq!(Client::to(activated).get("/", &[&header]).status, 200);
    }
    assert_eq!(
        backend.take().last().and_then(|r| r.only("x-webauth-user")),
        Some("anna")
    );
    assert_eq!(kept.get("/", &[&header]).status, 200);
    assert!(
        TcpStream::connect(gate.address).is_err(),
        "no other listener was opened"
    );
    gate.signal("TERM");
    assert_eq!(gate.wait(), Some(0));
}

// sd_notify(3): READY=1, RELOADING=1 with MONOTONIC_USEC, STOPPING=1, WATCHDOG=1
#[test]
fn the_service_manager_is_told_what_happens() {
    let backend = Backend::start();
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a free path");
    socket
        .set_read_timeout(Some(crate::support::PATIENCE))
        .expect("a time limit can be set");
    let await_word = |word: &str| {
        let mut message = [0; 4096];
        loop {
            let length = socket
                .recv(&mut message)
                .unwrap_or_else(|error| panic!("{word} never comes: {error}"));
            let text = String::from_utf8_lossy(&message[..length]).into_owned();
            if text.lines().any(|line| line == word) {
                return text;
            }
        }
    };
    let route = format!(
        "[[route]]\npath = \"/\"\nupstream = \"http://{}\"\n",
        backend.address
    );
    let mut gate = Sidegate::prepare(&route)
        .env("NOTIFY_SOCKET", path.to_str().expect("utf-8"))
        .env("WATCHDOG_USEC", "400000")
        .run();
    await_word("READY=1");
    await_word("WATCHDOG=1");
    gate.signal("HUP");
    assert!(await_word("RELOADING=1").contains("MONOTONIC_USEC="));
    await_word("READY=1");
    await_word("WATCHDOG=1");
    gate.signal("TERM");
    await_word("STOPPING=1");
    assert_eq!(gate.wait(), Some(0));
}
