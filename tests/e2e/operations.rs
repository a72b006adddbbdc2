//! What operators see: health, readiness, numbers.

use std::collections::HashSet;

use crate::support::{Backend, Client, Sidegate, WebSocket, eventually};

// "`/healthz`, `/readyz`, `/metrics`"
#[test]
fn the_numbers_move_as_things_happen() {
    let backend = Backend::websocket();
    let gate = Sidegate::with_anna(
        &backend,
        "[guard]\nexempt = []\nfailures = \"3 in 5m\"\nrate = \"off\"\n",
    );
    let requests = |decision: &str, credential: &str| {
        gate.metric(&format!(
            "sidegate_requests_total{{decision=\"{decision}\",credential=\"{credential}\"}}"
        ))
    };
    assert_eq!(
        (gate.metric("sidegate_users"), gate.metric("sidegate_tokens")),
        (1.0, 0.0)
    );
    let header = format!("X-OPENHAB-TOKEN: {}", gate.token("anna", "phone"));
    gate.cli(&["user", "add", "ben", "--role", "read-only"]).success();
    let reader = format!("X-OPENHAB-TOKEN: {}", gate.token("ben", "phone"));
    assert_eq!(
        (gate.metric("sidegate_users"), gate.metric("sidegate_tokens")),
        (2.0, 2.0)
    );

    for _ in 0..5 {
        assert_eq!(gate.get("/", &[&header]).status, 200);
    }
    assert_eq!(requests("allow", "api-token"), 5.0);
    assert_eq!(gate.get("/", &[]).status, 401);
    assert_eq!(requests("challenge", "none"), 1.0);
    assert_eq!(gate.send("POST", "/", &[&reader], b"").status, 403);
    assert_eq!(requests("deny", "api-token"), 1.0);
    assert_eq!(gate.get("/a//b", &[&header]).status, 400);
    assert_eq!(requests("reject", "none"), 1.0);
    assert_eq!(gate.metric("sidegate_cache_entries"), 2.0);
    let misses = gate.metric("sidegate_cache_misses_total");
    let hits = gate.metric("sidegate_cache_hits_total");
    assert_eq!(misses + hits, 6.0);
    assert!((2.0..=4.0).contains(&misses), "{misses}");

    let mut far = Client::from("127.0.0.2", gate.address);
    for number in 0..3 {
        assert_eq!(
            far.get("/", &[&format!("X-OPENHAB-TOKEN: oh.phone.wrong{number}")])
                .status,
            401
        );
    }
    assert_eq!(far.get("/", &[]).status, 429);
    assert_eq!(requests("throttle", "none"), 1.0);
    assert_eq!(gate.metric("sidegate_bans"), 1.0);
    gate.cli(&["ban", "remove", "127.0.0.2"]).success();
    assert_eq!(gate.metric("sidegate_bans"), 0.0);

    drop(far);
    eventually(
        || gate.metric("sidegate_connections_open") == 0.0,
        || "connections stay open".into(),
    );
    let accepted = gate.metric("sidegate_connections_accepted_total");
    let idle = Client::to(gate.address);
    let socket = WebSocket::open(Client::to(gate.address), "/ws", &[&header])
        .map_err(|a| a.status)
        .expect("101");
    eventually(
        || gate.metric("sidegate_connections_open") == 2.0,
        || "two are open".into(),
    );
    assert_eq!(gate.metric("sidegate_connections_accepted_total"), accepted + 2.0);
    assert_eq!(gate.metric("sidegate_tunnels_open"), 1.0);
    drop((idle, socket));
    eventually(
        || gate.metric("sidegate_connections_open") == 0.0,
        || "they are closed".into(),
    );
    eventually(
        || gate.metric("sidegate_tunnels_open") == 0.0,
        || "it is closed".into(),
    );

    let answered = gate.metric("sidegate_request_duration_seconds_count");
    let decided = gate.metric("sidegate_decision_duration_seconds_count");
    assert!(answered >= 12.0 && decided >= 12.0, "{answered} {decided}");
    assert!(gate.metric("sidegate_audit_lines_total") > 0.0);
    assert_eq!(gate.metric("sidegate_audit_dropped_total"), 0.0);
    assert_eq!(gate.metric("sidegate_panics_total"), 0.0);
    assert_eq!(gate.metric("sidegate_config_last_reload_successful"), 1.0);
}

// Prometheus text format 0.0.4: "Only one HELP/TYPE line may exist for any given metric name", "Each line
// must have a unique combination of a metric name and labels"
#[test]
fn the_page_of_numbers_is_in_the_text_format() {
    let backend = Backend::start();
    let gate = Sidegate::with_anna(&backend, "");
    gate.get("/", &[]);
    let answer = gate.operations_page("/metrics");
    let (head, page) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(
        head.to_ascii_lowercase()
            .contains("content-type: text/plain; version=0.0.4"),
        "{head}"
    );
    let (mut described, mut samples, mut current) = (HashSet::new(), HashSet::new(), String::new());
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            let (kind, rest) = rest.split_once(' ').expect("a kind");
            if kind == "EOF" {
                continue;
            }
            let (name, _) = rest.split_once(' ').expect("a name");
            assert!(
                described.insert(format!("{kind} {name}")),
                "{kind} of {name} is there twice"
            );
            current = name.to_owned();
            continue;
        }
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        assert!(name.starts_with(&current), "{name} stands under {current}");
        assert!(samples.insert(name.to_owned()), "{name} is there twice");
    }
    assert!(samples.len() > 30, "{page}");
}

#[test]
fn the_operations_listener_serves_nothing_else_and_the_front_door_none_of_it() {
    let backend = Backend::start();
    let gate = Sidegate::with_anna(&backend, "");
    let header = format!("X-OPENHAB-TOKEN: {}", gate.token("anna", "phone"));
    for (path, status) in [
        ("/healthz", 200),
        ("/readyz", 200),
        ("/metrics", 200),
        ("/", 404),
        ("/api/states", 404),
    ] {
        let page = gate.operations_page(path);
        assert!(page.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {page}");
    }
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(gate.get(path, &[]).status, 401, "{path} is the backend's");
        assert_eq!(gate.get(path, &[&header]).text(), "ok", "{path} is the backend's");
    }
}
