//! Bans, rates and trust by address. Every address of 127.0.0.0/8 is this machine's.

use std::time::Duration;

use serde_json::Value;

use crate::support::client::program;
use crate::support::{Answer, Backend, Client, Sidegate, eventually};

/// Nobody is exempt; refusals are not limited.
const STRICT: &str = "[guard]\nexempt = []\nrate = \"off\"\nfailures = \"5 in 5m\"\nban_for = \"1h\"\n";

fn get(gate: &Sidegate, from: &str, headers: &[&str]) -> Answer {
    Client::from(from, gate.address).get("/", headers)
}

fn wrong(number: usize) -> String {
    format!("X-OPENHAB-TOKEN: oh.phone.wrong{number}")
}

/// Presents wrong tokens until there are enough of them for a ban.
fn fail_five_times(gate: &Sidegate, from: &str, headers: &[&str]) {
    for number in 0..5 {
        let token = wrong(number);
        assert_eq!(
            get(gate, from, &[&[token.as_str()], headers].concat()).status,
            401,
            "{number}"
        );
    }
}

fn is_banned(answer: &Answer) -> u64 {
    assert_eq!(answer.status, 429, "{}", answer.text());
    answer
        .header("retry-after")
        .expect("it is said")
        .parse()
        .expect("seconds")
}

fn bans(gate: &Sidegate) -> Vec<Value> {
    let list = gate.cli(&["ban", "list", "--output", "json"]).success().stdout;
    serde_json::from_str(&list).expect("JSON")
}

// "A ban stops everything from that address except requests whose credential is in the cache of verified
// ones: 429 with `Retry-After`."
#[test]
fn wrong_tokens_ban_their_address_and_nobody_else() {
    let backend = Backend::start();
    let public = format!(
        "[[route]]\npath = \"/public\"\nupstream = \"http://{}\"\naccess = \"public\"\n",
        backend.address
    );
    let gate = Sidegate::with_anna(&backend, &format!("{public}{STRICT}"));
    let known = format!("X-OPENHAB-TOKEN: {}", gate.token("anna", "phone"));
    let unknown = format!("X-OPENHAB-TOKEN: {}", gate.token("anna", "tablet"));
    assert_eq!(get(&gate, "127.0.0.2", &[&known]).status, 200);
    fail_five_times(&gate, "127.0.0.2", &[]);
    backend.take();
    let mut public = Client::from("127.0.0.2", gate.address);
    for answer in [
        get(&gate, "127.0.0.2", &[]),
        get(&gate, "127.0.0.2", &[&wrong(9)]),
        get(&gate, "127.0.0.2", &[&unknown]),
        public.get("/public", &[]),
    ] {
        assert!((3590..=3600).contains(&is_banned(&answer)));
    }
    assert_eq!(backend.bytes(), b"");
    // Whichever core takes the connection: the known credential passes, on all of them.
    for _ in 0..24 {
        assert_eq!(get(&gate, "127.0.0.2", &[&known]).status, 200);
    }
    assert_eq!(get(&gate, "127.0.0.3", &[]).status, 401);
    assert_eq!(get(&gate, "127.0.0.3", &[&unknown]).status, 200);
    // Now that it is known it passes from the banned address too.
    assert_eq!(get(&gate, "127.0.0.2", &[&unknown]).status, 200);
    let [ban] = &bans(&gate)[..] else {
        panic!("{:?}", bans(&gate))
    };
    assert_eq!(
        (&ban["network"], &ban["why"], &ban["times"]),
        (&"127.0.0.2/32".into(), &"failures".into(), &1.into())
    );
    eventually(
        || !gate.audit_lines(&["ban.add", "127.0.0.2/32"]).is_empty(),
        || "no audit line".into(),
    );
}

// "the same one again counts once per window"
#[test]
fn an_old_phone_with_a_dead_token_is_never_banned() {
    let backend = Backend::start();
    let gate = Sidegate::with_anna(&backend, STRICT);
    for _ in 0..100 {
        assert_eq!(get(&gate, "127.0.0.2", &[&wrong(1)]).status, 401);
    }
    assert_eq!(bans(&gate), [Value::Null; 0]);
}

// "Not counted: none, expired, revoked …, a disabled user's, …, the backend's own 401."
#[test]
fn what_is_no_guess_is_not_counted() {
    let backend = Backend::replying(|_| b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".to_vec());
    let gate = Sidegate::with_anna(&backend, STRICT);
    gate.cli(&["user", "add", "ben"]).success();
    let header = |token: &str| format!("X-OPENHAB-TOKEN: {token}");
    let revoked: Vec<String> = (0..6)
        .map(|number| header(&gate.token("anna", &format!("r{number}"))))
        .collect();
    for number in 0..6 {
        gate.cli(&["token", "revoke", &format!("r{number}"), "--user", "anna"])
            .success();
    }
    let disabled: Vec<String> = (0..6)
        .map(|number| header(&gate.token("ben", &format!("d{number}"))))
        .collect();
    gate.cli(&["user", "disable", "ben"]).success();
    let right = header(&gate.token("anna", "phone"));
    let foreign: Vec<String> = (0..6)
        .map(|number| format!("Authorization: Bearer foreign{number}"))
        .collect();
    for round in 0..6 {
        assert_eq!(get(&gate, "127.0.0.2", &[]).status, 401);
        assert_eq!(get(&gate, "127.0.0.2", &[&revoked[round]]).status, 401);
        assert_eq!(get(&gate, "127.0.0.2", &[&disabled[round]]).status, 401);
        assert_eq!(get(&gate, "127.0.0.2", &[&foreign[round]]).status, 401);
        backend.take();
        assert_eq!(
            get(&gate, "127.0.0.2", &[&right]).status,
            401,
            "the backend's own"
        );
        backend.take_one();
    }
    assert_eq!(bans(&gate), [Value::Null; 0]);
    // All of it from an address that a guess does ban.
    fail_five_times(&gate, "127.0.0.2", &[]);
    is_banned(&get(&gate, "127.0.0.2", &[]));
}

// "ban_for: the first ban; repeats double, up to 24h"
#[test]
fn a_ban_ends_and_the_next_one_is_twice_as_long() {
    let backend = Backend::start();
    let gate = Sidegate::with_anna(&backend, &STRICT.replace("1h", "2s"));
    for (times, seconds) in [(1, 2), (2, 4)] {
        fail_five_times(&gate, "127.0.0.2", &[]);
        assert!(is_banned(&get(&gate, "127.0.0.2", &[])) <= seconds);
        let ban = &bans(&gate)[0];
        assert_eq!(ban["times"], times);
        let moment = |key: &str| {
            let text = ban[key].as_str().expect("a moment");
            sidegate::time::Timestamp::parse(text).expect("RFC 3339")
        };
        assert_eq!(
            moment("until").since(moment("since")),
            Duration::from_secs(seconds)
        );
        let over = || get(&gate, "127.0.0.2", &[]).status == 401;
        eventually(over, || "the ban does not end".into());
        assert_eq!(bans(&gate), [Value::Null; 0]);
    }
}

// "ban add ADDR [--for D]"
#[test]
fn an_operators_ban_is_in_force_when_the_verb_returns() {
    let backend = Backend::start();
    let settings = format!("server: trusted_proxies = [\"127.0.0.9/32\"]\n{STRICT}");
    let gate = Sidegate::with_anna(&backend, &settings);
    let token = format!("X-OPENHAB-TOKEN: {}", gate.token("anna", "phone"));
    let mut kept: Vec<Client> = (0..8).map(|_| Client::from("127.0.0.2", gate.address)).collect();
    for _ in 0..3 {
        gate.cli(&["ban", "add", "127.0.0.2", "--for", "10m"]).success();
        for client in &mut kept {
            assert!((590..=600).contains(&is_banned(&client.get("/", &[&token]))));
        }
        gate.cli(&["ban", "remove", "127.0.0.2"]).success();
        for client in &mut kept {
            assert_eq!(client.get("/", &[]).status, 401);
        }
    }
    gate.cli(&["ban", "add", "127.0.7.0/24"]).success();
    is_banned(&get(&gate, "127.0.7.200", &[]));
    assert_eq!(get(&gate, "127.0.8.1", &[]).status, 401);
    assert_eq!(bans(&gate)[0]["until"], Value::Null);
    // Everyone behind it would be out.
    for network in ["127.0.0.9", "127.0.0.0/16"] {
        let refused = gate.cli(&["ban", "add", network]);
        assert_eq!(refused.code, 65, "{}", refused.stderr);
        assert!(refused.stderr.contains("trusted proxy"), "{}", refused.stderr);
    }
}

// "exempt = [..] # never banned", not by hand either, whether a server runs or not
#[test]
fn who_is_exempt_cannot_be_banned_by_hand() {
    let backend = Backend::start();
    let mut gate = Sidegate::with_anna(&backend, "[guard]\nexempt = [\"192.0.2.0/24\"]\n");
    for round in 0..2 {
        for network in ["192.0.2.7", "192.0.0.0/16"] {
            let refused = gate.cli(&["ban", "add", network]);
            assert_eq!(refused.code, 65, "{round}: {}", refused.stderr);
            assert!(
                refused.stderr.contains("guard.exempt"),
                "{round}: {}",
                refused.stderr
            );
        }
        gate.cli(&["ban", "add", &format!("198.51.100.{round}")])
            .success();
        if round == 0 {
            gate.signal("TERM");
            gate.wait();
        }
    }
    let listed = gate.cli(&["ban", "list"]).success().stdout;
    assert!(!listed.contains("192.0."), "{listed}");
    assert_eq!(listed.matches("198.51.100.").count(), 2, "{listed}");
}

// "rate = "50/s burst 100" # per client; spent only by requests that are not allowed"; "limits still
// apply" to who is exempt
#[test]
fn refusals_beyond_the_rate_are_throttled_and_allowed_requests_spend_nothing() {
    let backend = Backend::start();
    let gate = Sidegate::with_anna(&backend, "[guard]\nrate = \"1/m burst 5\"\n");
    let token = format!("X-OPENHAB-TOKEN: {}", gate.token("anna", "phone"));
    for _ in 0..50 {
        assert_eq!(get(&gate, "127.0.0.1", &[&token]).status, 200);
    }
    for _ in 0..5 {
        assert_eq!(get(&gate, "127.0.0.1", &[]).status, 401);
    }
    assert!((1..=60).contains(&is_banned(&get(&gate, "127.0.0.1", &[]))));
    assert!((1..=60).contains(&is_banned(&get(&gate, "127.0.0.1", &[&wrong(1)]))));
    assert_eq!(get(&gate, "127.0.0.2", &[]).status, 401);
    for _ in 0..20 {
        assert_eq!(
            get(&gate, "127.0.0.1", &[&token]).status,
            200,
            "a known credential is not held up"
        );
    }
}

// "rate_allowed = "off" # per client, per user, per token"
#[test]
fn allowed_requests_have_a_rate_of_their_own_per_client_user_and_token() {
    let backend = Backend::start();
    let gate = Sidegate::with_anna(&backend, "[guard]\nrate_allowed = \"1/m burst 5\"\n");
    gate.cli(&["user", "add", "ben"]).success();
    gate.cli(&["user", "add", "cleo"]).success();
    let token = |user: &str, name: &str| format!("X-OPENHAB-TOKEN: {}", gate.token(user, name));
    let (anna, tablet, ben, cleo) = (
        token("anna", "phone"),
        token("anna", "tablet"),
        token("ben", "phone"),
        token("cleo", "phone"),
    );
    for _ in 0..5 {
        assert_eq!(get(&gate, "127.0.0.2", &[&anna]).status, 200);
    }
    is_banned(&get(&gate, "127.0.0.2", &[&anna]));
    is_banned(&get(&gate, "127.0.0.2", &[&ben]));
    is_banned(&get(&gate, "127.0.0.3", &[&anna]));
    is_banned(&get(&gate, "127.0.0.4", &[&tablet]));
    assert_eq!(get(&gate, "127.0.0.5", &[&cleo]).status, 200);
}

// "A trusted proxy that sends no `X-Forwarded-For` is its own client: its credentials work, it is never
// banned"; "Client address: the right-most untrusted hop of `X-Forwarded-For`, else the peer"
#[test]
fn the_client_behind_a_trusted_proxy_is_counted_and_not_the_proxy() {
    let backend = Backend::start();
    let settings = format!("server: trusted_proxies = [\"127.0.0.5/32\", \"127.0.0.6/32\"]\n{STRICT}");
    let gate = Sidegate::with_anna(&backend, &settings);
    let token = format!("X-OPENHAB-TOKEN: {}", gate.token("anna", "phone"));
    let told = |from: &str, headers: &[&str]| {
        assert_eq!(
            get(&gate, from, &[&[token.as_str()], headers].concat()).status,
            200,
            "{headers:?}"
        );
        let received = backend.take_one();
        (
            received.only("x-forwarded-for").map(str::to_owned),
            received.only("x-forwarded-proto").map(str::to_owned),
        )
    };
    let some = |address: &str, scheme: &str| (Some(address.to_owned()), Some(scheme.to_owned()));
    let xff = "X-Forwarded-For: 198.51.100.1, 203.0.113.7";
    assert_eq!(told("127.0.0.5", &[xff]), some("203.0.113.7", "http"));
    assert_eq!(
        told("127.0.0.5", &[xff, "X-Forwarded-Proto: https"]),
        some("203.0.113.7", "https")
    );
    assert_eq!(
        told("127.0.0.5", &["X-Forwarded-For: 203.0.113.7, 127.0.0.6"]),
        some("203.0.113.7", "http")
    );
    assert_eq!(told("127.0.0.5", &[]).0, some("127.0.0.5", "http").0);
    // Anyone else who says so is not believed.
    assert_eq!(
        told("127.0.0.2", &[xff, "X-Forwarded-Proto: https"]),
        some("127.0.0.2", "http")
    );

    fail_five_times(&gate, "127.0.0.5", &["X-Forwarded-For: 203.0.113.7"]);
    is_banned(&get(&gate, "127.0.0.5", &["X-Forwarded-For: 203.0.113.7"]));
    is_banned(&get(&gate, "127.0.0.6", &["X-Forwarded-For: 203.0.113.7"]));
    assert_eq!(
        get(&gate, "127.0.0.5", &["X-Forwarded-For: 203.0.113.8"]).status,
        401
    );
    fail_five_times(&gate, "127.0.0.5", &[]);
    fail_five_times(&gate, "127.0.0.5", &[]);
    assert_eq!(get(&gate, "127.0.0.5", &[&token]).status, 200);
    let [ban] = &bans(&gate)[..] else {
        panic!("{:?}", bans(&gate))
    };
    assert_eq!(ban["network"], "203.0.113.7/32");
    // A claimed address does not help a stranger, nor hurt whose address it is.
    for number in 0..5 {
        assert_eq!(
            get(
                &gate,
                "127.0.0.2",
                &[&wrong(number), "X-Forwarded-For: 203.0.113.9"]
            )
            .status,
            401
        );
    }
    is_banned(&get(&gate, "127.0.0.2", &["X-Forwarded-For: 203.0.113.10"]));
    assert_eq!(
        get(&gate, "127.0.0.5", &["X-Forwarded-For: 203.0.113.9"]).status,
        401
    );
}

// ""unix" for unix sockets"; "A unix-socket peer without it has no address."
#[test]
fn a_gateway_on_a_unix_socket_is_believed_when_unix_is_listed() {
    let backend = Backend::start();
    let mut gate = Sidegate::prepare("");
    let socket = gate.data.path().join("http.sock");
    let listener = format!("unix:{}", socket.display());
    let route = format!(
        "[[route]]\npath = \"/\"\nupstream = \"http://{}\"\n{STRICT}",
        backend.address
    );
    gate.cli(&["user", "add", "anna"]).success();
    let token = format!("X-OPENHAB-TOKEN: {}", gate.token("anna", "phone"));
    let ask = |headers: &[&str]| {
        let stream = std::os::unix::net::UnixStream::connect(&socket).expect("it listens");
        Client::over(stream).get("/", headers)
    };
    let told = |headers: &[&str]| {
        assert_eq!(ask(&[&[token.as_str()], headers].concat()).status, 200);
        backend.take_one().only("x-forwarded-for").map(str::to_owned)
    };
    let xff = "X-Forwarded-For: 203.0.113.7";
    gate.write_listeners(std::slice::from_ref(&listener), &route);
    gate.restart();
    assert_eq!(told(&[xff]), None, "not listed, not believed");
    // Nobody can be told apart here, so nobody is banned.
    for number in 0..20 {
        assert_eq!(ask(&[&wrong(number), xff]).status, 401);
    }
    assert_eq!(bans(&gate), [Value::Null; 0]);
    gate.signal("TERM");
    assert_eq!(gate.wait(), Some(0));
    assert!(!socket.exists());

    gate.write_listeners(
        &[listener],
        &format!("server: trusted_proxies = [\"unix\"]\n{route}"),
    );
    gate.restart();
    assert_eq!(told(&[xff]).as_deref(), Some("203.0.113.7"));
    assert_eq!(told(&[]), None);
    for number in 0..5 {
        assert_eq!(ask(&[&wrong(number), xff]).status, 401);
    }
    is_banned(&ask(&[xff]));
    assert_eq!(ask(&["X-Forwarded-For: 203.0.113.8"]).status, 401);
    assert_eq!(ask(&[]).status, 401);
}

// "A wrong credential is never rescued by a weaker one, by a trusted network or by anonymous access"; a
// proxy without the header "gets no trusted-network identity unless listed by its exact address"
#[test]
fn a_trusted_network_speaks_for_who_shows_nothing() {
    let backend = Backend::start();
    let settings = format!(
        "server: trusted_proxies = [\"127.0.0.5/32\", \"127.0.1.6/32\"]\n\
         [networks]\ntrusted = [{{ cidr = \"127.0.1.0/24\", user = \"guest\" }}, {{ cidr = \"127.0.0.5/32\", user = \"door\" }}, \
         {{ cidr = \"192.168.1.0/24\", user = \"guest\" }}]\n{STRICT}"
    );
    let gate = Sidegate::with_anna(&backend, &settings);
    let token = format!("X-OPENHAB-TOKEN: {}", gate.token("anna", "phone"));
    let who = |from: &str, headers: &[&str]| {
        let status = get(&gate, from, headers).status;
        match backend.take().as_slice() {
            [] => status.to_string(),
            [received] => received.only("remote-user").expect("it is always set").to_owned(),
            more => panic!("{more:?}"),
        }
    };
    // "A trusted-network user must exist and be enabled, else the network grants nothing"
    assert_eq!(who("127.0.1.2", &[]), "401");
    gate.cli(&["user", "add", "guest"]).success();
    gate.cli(&["user", "add", "door"]).success();
    assert_eq!(who("127.0.1.2", &[]), "guest");
    assert_eq!(who("127.0.1.2", &["Authorization: Bearer foreign"]), "guest");
    assert_eq!(who("127.0.1.2", &[&wrong(1)]), "401");
    assert_eq!(who("127.0.1.2", &["X-OPENHAB-TOKEN:"]), "401");
    assert_eq!(who("127.0.1.2", &[&token]), "anna");
    assert_eq!(who("127.0.2.2", &[]), "401");
    assert_eq!(who("127.0.2.2", &["X-Forwarded-For: 192.168.1.7"]), "401");
    assert_eq!(who("127.0.0.5", &["X-Forwarded-For: 192.168.1.7"]), "guest");
    assert_eq!(
        who("127.0.0.5", &["X-Forwarded-For: 192.168.1.7, 203.0.113.1"]),
        "401"
    );
    assert_eq!(who("127.0.0.5", &[]), "door");
    assert_eq!(who("127.0.1.6", &[]), "401");
    gate.cli(&["user", "disable", "guest"]).success();
    for _ in 0..8 {
        assert_eq!(who("127.0.1.2", &[]), "401");
    }
    gate.cli(&["user", "enable", "guest"]).success();
    assert_eq!(who("127.0.1.2", &[]), "guest");
}

// "exempt = ["127.0.0.0/8", "::1/128"] # never banned; limits still apply"
#[test]
fn this_machine_is_exempt_by_default() {
    let backend = Backend::start();
    let gate = Sidegate::with_anna(&backend, "[guard]\nrate = \"off\"\nfailures = \"5 in 5m\"\n");
    for number in 0..30 {
        assert_eq!(get(&gate, "127.0.0.1", &[&wrong(number)]).status, 401);
    }
    assert_eq!(bans(&gate), [Value::Null; 0]);
}

// "Bans survive a restart with their remaining time." A limit on the size of files, whose signal is ignored,
// makes writes fail as a full disk does.
#[test]
fn a_ban_from_when_the_disk_was_full_survives_a_restart_too() {
    let backend = Backend::start();
    let mut gate = Sidegate::with_anna(&backend, STRICT);
    gate.signal("TERM");
    assert_eq!(gate.wait(), Some(0));
    gate.launch_by(&["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"]);
    gate.await_ready();
    let limit = |limit: &str| {
        let pid = gate.pid().to_string();
        program("prlimit", &["--pid", &pid, &format!("--fsize={limit}:")]).success();
    };
    limit("1");
    fail_five_times(&gate, "127.0.0.2", &[]);
    is_banned(&get(&gate, "127.0.0.2", &[]));
    gate.await_log("a ban is in force, but could not be written down; it is tried again");
    limit("unlimited");
    gate.signal("TERM");
    assert_eq!(gate.wait(), Some(0));
    assert!(
        gate.log()
            .contains("bans are written down again, with those that could not be"),
        "{}",
        gate.log()
    );
    gate.restart();
    assert!((3000..=3600).contains(&is_banned(&get(&gate, "127.0.0.2", &[]))));
}
