//! "the server commits, makes it known to every core, then answers: a revocation is in force when the
//! verb returns, open sockets close within a second"

use std::time::{Duration, Instant};

use crate::support::{Answer, Backend, Browser, Client, Sidegate, WebSocket, eventually};

/// Kept-alive connections enough to be on every core, each with the credential in its cache.
struct Everywhere {
    clients: Vec<Client>,
    header: String,
}

impl Everywhere {
    fn with(gate: &Sidegate, token: &str) -> Self {
        let header = format!("X-OPENHAB-TOKEN: {token}");
        let mut everywhere = Self {
            clients: (0..8).map(|_| Client::to(gate.address)).collect(),
            header,
        };
        for _ in 0..2 {
            everywhere.all("GET", 200);
        }
        everywhere
    }

    /// Every connection gets this answer.
    fn all(&mut self, method: &str, status: u16) -> Vec<Answer> {
        let ask = |client: &mut Client| client.send(method, "/", &[&self.header], b"");
        let answers: Vec<Answer> = self.clients.iter_mut().map(ask).collect();
        for answer in &answers {
            assert_eq!(answer.status, status, "{answer:?}");
        }
        answers
    }
}

fn socket(gate: &Sidegate, token: &str) -> WebSocket {
    let header = format!("X-OPENHAB-TOKEN: {token}");
    let opened = WebSocket::open(Client::to(gate.address), "/ws", &[&header]);
    let mut socket = opened.unwrap_or_else(|answer| panic!("{answer:?}"));
    socket.say("open");
    assert_eq!(socket.hear().as_deref(), Some("open"));
    socket
}

/// The other side ends it within a second from now.
fn closes_within_a_second(mut socket: WebSocket) {
    let began = Instant::now();
    assert_eq!(socket.hear(), None);
    assert!(began.elapsed() <= Duration::from_secs(1), "{:?}", began.elapsed());
}

/// The many refusals in here are not what is limited.
const UNLIMITED: &str = "[guard]\nrate = \"off\"\n";

fn gate() -> (Backend, Sidegate) {
    let backend = Backend::websocket();
    let gate = Sidegate::with_anna(&backend, UNLIMITED);
    gate.cli(&["user", "add", "ben"]).success();
    (backend, gate)
}

#[test]
fn a_revoked_token_is_worth_nothing_when_the_verb_returns() {
    let (_backend, gate) = gate();
    for round in 0..10 {
        let token = gate.token("ben", "phone");
        let other = gate.token("ben", "tablet");
        let mut everywhere = Everywhere::with(&gate, &token);
        let mut kept = Everywhere::with(&gate, &other);
        let (closing, mut staying) = (socket(&gate, &token), socket(&gate, &other));
        gate.cli(&["token", "revoke", "phone", "--user", "ben"]).success();
        everywhere.all("GET", 401);
        closes_within_a_second(closing);
        everywhere.all("GET", 401);
        kept.all("GET", 200);
        staying.say("still here");
        assert_eq!(staying.hear().as_deref(), Some("still here"), "round {round}");
        // By its id, too.
        let shown = gate
            .cli(&["token", "show", "tablet", "--user", "ben", "--output", "json"])
            .success()
            .stdout;
        let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
        gate.cli(&["token", "revoke", shown["id"].as_str().expect("an id")])
            .success();
        kept.all("GET", 401);
        closes_within_a_second(staying);
    }
    // "Not counted: none, expired, revoked": all this banned nobody.
    assert_eq!(gate.metric("sidegate_bans"), 0.0);
}

// "A disabled or deleted user's credential gets the same 401 and body as a wrong one."
#[test]
fn a_disabled_or_removed_user_is_out_at_once() {
    let (_backend, gate) = gate();
    let token = gate.token("ben", "phone");
    let mut everywhere = Everywhere::with(&gate, &token);
    let without_id = |answer: &Answer| {
        let id = answer.header("x-request-id").expect("every answer has one");
        let headers: Vec<_> = answer
            .headers
            .iter()
            .filter(|(name, _)| name != "x-request-id" && name != "date")
            .cloned()
            .collect();
        (answer.status, headers, answer.text().replace(id, "ID"))
    };
    let wrong = Client::to(gate.address).get("/", &["X-OPENHAB-TOKEN: oh.phone.wrong"]);
    let open = socket(&gate, &token);
    gate.cli(&["user", "disable", "ben"]).success();
    for answer in everywhere.all("GET", 401) {
        assert_eq!(without_id(&answer), without_id(&wrong));
    }
    closes_within_a_second(open);
    gate.cli(&["user", "enable", "ben"]).success();
    everywhere.all("GET", 200);
    let open = socket(&gate, &token);
    gate.cli(&["user", "remove", "ben"]).success();
    for answer in everywhere.all("GET", 401) {
        assert_eq!(without_id(&answer), without_id(&wrong));
    }
    closes_within_a_second(open);
    // A new user of the old name inherits nothing.
    gate.cli(&["user", "add", "ben"]).success();
    everywhere.all("GET", 401);
}

// "A token's roles are those of its user now."; "`read-only` users get GET, HEAD, OPTIONS"
#[test]
fn another_role_or_group_counts_from_the_next_request() {
    let backend = Backend::websocket();
    let garden = format!(
        "[[route]]\npath = \"/garden\"\nupstream = \"http://{}\"\naccess = {{ groups = [\"garden\"] }}\n\
         [[route]]\npath = \"/admin\"\nupstream = \"http://{}\"\naccess = \"admin\"\n",
        backend.address, backend.address
    );
    let gate = Sidegate::with_anna(&backend, &garden);
    gate.cli(&["user", "add", "ben"]).success();
    gate.cli(&["group", "add", "garden"]).success();
    let token = gate.token("ben", "phone");
    let header = format!("X-OPENHAB-TOKEN: {token}");
    let mut everywhere = Everywhere::with(&gate, &token);
    everywhere.all("POST", 200);
    gate.cli(&["user", "role", "ben", "read-only"]).success();
    everywhere.all("POST", 403);
    everywhere.all("GET", 200);
    assert_eq!(gate.get("/admin", &[&header]).status, 403);
    gate.cli(&["user", "role", "ben", "admin"]).success();
    everywhere.all("POST", 200);
    assert_eq!(gate.get("/admin", &[&header]).status, 200);
    backend.take();
    assert_eq!(gate.get("/garden", &[&header]).status, 403);
    gate.cli(&["user", "groups", "ben", "garden"]).success();
    assert_eq!(gate.get("/garden", &[&header]).status, 200);
    assert_eq!(backend.take_one().only("remote-groups"), Some("garden,admin"));
    gate.cli(&["user", "groups", "ben"]).success();
    assert_eq!(gate.get("/garden", &[&header]).status, 403);
}

// "Rotation keeps the old one valid for the overlap given."
#[test]
fn a_rotated_token_works_beside_the_new_one_for_the_overlap() {
    let (_backend, gate) = gate();
    let old = gate.token("ben", "phone");
    let mut with_old = Everywhere::with(&gate, &old);
    let open = socket(&gate, &old);
    let began = Instant::now();
    let rotated = gate
        .cli(&["token", "rotate", "phone", "--user", "ben", "--overlap", "3s"])
        .success();
    let new = rotated.stdout.trim_end().to_owned();
    assert!(new.starts_with("oh.phone.") && new != old);
    let mut with_new = Everywhere::with(&gate, &new);
    with_old.all("GET", 200);
    assert!(began.elapsed() < Duration::from_secs(3), "too slow to tell");
    let header = format!("X-OPENHAB-TOKEN: {old}");
    // A connection each: an answer that is under way when the token ends is cut off.
    let ended = || gate.get("/", &[&header]).status == 401;
    eventually(ended, || format!("the old one goes on:\n{}", gate.log()));
    assert!(
        began.elapsed() >= Duration::from_secs(2),
        "{:?}: whole seconds, cut off",
        began.elapsed()
    );
    with_old.all("GET", 401);
    closes_within_a_second(open);
    with_new.all("GET", 200);
    // Without an overlap the old one goes at once.
    let last = gate
        .cli(&["token", "rotate", "phone", "--user", "ben", "--overlap", "0s"])
        .success();
    with_new.all("GET", 401);
    Everywhere::with(&gate, last.stdout.trim_end());
}

// "Per token: scope, expiry …, source networks"
#[test]
fn a_token_ends_with_its_expiry_and_works_from_its_networks_only() {
    let (_backend, gate) = gate();
    let made = gate
        .cli(&["token", "create", "short", "--user", "ben", "--expires", "3s"])
        .success();
    let began = Instant::now();
    let short = made.stdout.trim_end().to_owned();
    let mut everywhere = Everywhere::with(&gate, &short);
    let mut open = socket(&gate, &short);
    assert_eq!(open.hear(), None, "an open socket ends with the token");
    let after = began.elapsed();
    assert!(
        after >= Duration::from_secs(2) && after <= Duration::from_secs(4),
        "{after:?}"
    );
    everywhere.all("GET", 401);

    let create = [
        "token",
        "create",
        "there",
        "--user",
        "ben",
        "--network",
        "127.0.0.2",
        "--network",
        "127.0.1.0/24",
    ];
    let there = gate.cli(&create).success().stdout;
    let header = format!("X-OPENHAB-TOKEN: {}", there.trim_end());
    for (from, status) in [
        ("127.0.0.2", 200),
        ("127.0.0.1", 401),
        ("127.0.1.77", 200),
        ("127.0.0.3", 401),
        ("127.0.0.2", 200),
    ] {
        // More than one, so that every core has seen it.
        for _ in 0..6 {
            let answer = Client::from(from, gate.address).get("/", &[&header]);
            assert_eq!(answer.status, status, "from {from}");
        }
    }
    assert_eq!(gate.metric("sidegate_bans"), 0.0);

    // "last used (time, address)": from elsewhere it is a wrong token, and was not used.
    let create = [
        "token",
        "create",
        "seen",
        "--user",
        "ben",
        "--network",
        "127.0.5.0/24",
    ];
    let seen = gate.cli(&create).success().stdout;
    let header = format!("X-OPENHAB-TOKEN: {}", seen.trim_end());
    for (from, status, told) in [
        ("127.0.0.77", 401, false),
        ("127.0.5.9", 200, true),
        ("127.0.0.77", 401, true),
    ] {
        let answer = Client::from(from, gate.address).get("/", &[&header]);
        assert_eq!(answer.status, status, "from {from}");
        let list = gate.cli(&["token", "list", "--user", "ben"]).success().stdout;
        assert_eq!(list.contains("127.0.5.9"), told, "{list}");
        assert!(!list.contains("127.0.0.77"), "{list}");
    }
}

// "Scope: a space-separated list of roles and of names defined as `[scope.NAME]`; the union counts,
// within the user's rights; empty means all of them."
#[test]
fn a_scope_narrows_what_a_token_may_do() {
    let backend = Backend::start();
    let gate = Sidegate::with_anna(
        &backend,
        "[scope.items]\nmethods = [\"GET\", \"PUT\"]\npaths = [\"/rest/items\"]\n",
    );
    let create = |name: &str, scopes: &[&str]| {
        let mut words = vec!["token", "create", name, "--user", "anna"];
        words.extend(scopes.iter().flat_map(|scope| ["--scope", scope]));
        format!(
            "X-OPENHAB-TOKEN: {}",
            gate.cli(&words).success().stdout.trim_end()
        )
    };
    let (items, reading, both) = (
        create("items", &["items"]),
        create("reading", &["read-only"]),
        create("both", &["items", "read-only"]),
    );
    let table = [
        ("GET", "/rest/items/a", 200, 200, 200),
        ("PUT", "/rest/items/a", 200, 403, 200),
        ("POST", "/rest/items/a", 403, 403, 403),
        ("GET", "/rest/itemsx", 403, 200, 200),
        ("GET", "/", 403, 200, 200),
        ("PUT", "/", 403, 403, 403),
    ];
    for (method, path, by_items, by_reading, by_both) in table {
        for (header, expected) in [(&items, by_items), (&reading, by_reading), (&both, by_both)] {
            assert_eq!(
                gate.send(method, path, &[header], b"").status,
                expected,
                "{method} {path}"
            );
        }
    }
}

// "Scope: …names defined as `[scope.NAME]`; the union counts, within the user's rights"; "Fail closed":
// a name that is taken out of the configuration leaves its tokens with less, never with more.
#[test]
fn a_scope_that_is_removed_takes_its_rights_along() {
    let backend = Backend::start();
    for (foreign, with_another) in [("ignore", 200), ("deny", 403)] {
        let tokens = format!("[tokens]\nforeign_scopes = \"{foreign}\"\n");
        let scope = "[scope.items]\npaths = [\"/rest/items\"]\n";
        let mut gate = Sidegate::with_anna(&backend, &format!("{tokens}{scope}"));
        let create = |gate: &Sidegate, name: &str, scopes: &[&str]| {
            let mut words = vec!["token", "create", name, "--user", "anna"];
            words.extend(scopes.iter().flat_map(|scope| ["--scope", scope]));
            let token = gate.cli(&words).success().stdout;
            format!("X-OPENHAB-TOKEN: {}", token.trim_end())
        };
        let items = create(&gate, "items", &["items"]);
        let both = create(&gate, "both", &["items", "read-only"]);
        assert_eq!(gate.get("/rest/items", &[&items]).status, 200);
        assert_eq!(gate.get("/other", &[&both]).status, 200);

        gate.signal("TERM");
        gate.wait();
        let route = format!(
            "[[route]]\npath = \"/\"\nupstream = \"http://{}\"\n",
            backend.address
        );
        gate.write_config(&format!("{route}{tokens}"));
        gate.restart();
        for path in ["/rest/items", "/other"] {
            assert_eq!(gate.get(path, &[&items]).status, 403, "{foreign} {path}");
            assert_eq!(gate.get(path, &[&both]).status, with_another, "{foreign} {path}");
        }
        assert_eq!(gate.send("PUT", "/other", &[&both], b"").status, 403);
    }
}

// "`sidegate user recover NAME` …gets a locked-out person back in"
#[test]
fn a_locked_out_person_gets_back_in() {
    let (_backend, gate) = gate();
    let token = gate.token("ben", "phone");
    gate.cli(&["user", "disable", "ben"]).success();
    let recovered = gate.cli(&["user", "recover", "ben"]).success();
    assert_eq!(recovered.stdout.lines().count(), 1);
    assert_eq!(
        gate.get("/", &[&format!("X-OPENHAB-TOKEN: {token}")]).status,
        401,
        "not before it is used"
    );
    let (_, path) = recovered
        .stdout
        .trim_end()
        .split_once(&gate.address.to_string())
        .expect("a link to this gate");
    let mut browser = Browser::new(gate.address);
    let page = browser.get(path);
    let words = [("password", "plain words here"), ("again", "plain words here")];
    let answer = browser.submit(&page, "/_sidegate/setup", &words);
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(browser.get("/").status, 200);
    Everywhere::with(&gate, &token);
}
