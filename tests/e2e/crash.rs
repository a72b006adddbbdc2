//! What a power cut or a damaged disk leaves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{Backend, Client, Sidegate, eventually};

const GUARD: &str = "[guard]\nexempt = []\nrate = \"off\"\nfailures = \"3 in 5m\"\nban_for = \"1h\"\n";

// "Secrets go to stdout once": what was printed was committed before.
#[test]
fn every_token_that_was_printed_works_after_a_power_cut_and_every_revoked_one_does_not() {
    let backend = Backend::start();
    let mut gate = Sidegate::with_anna(&backend, GUARD);
    let printed: Mutex<Vec<String>> = Mutex::default();
    let revoked: Mutex<Vec<String>> = Mutex::default();
    for round in 0..4 {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for lane in ["a", "b"] {
                let (gate, over, printed, revoked) = (&gate, &over, &printed, &revoked);
                scope.spawn(move || {
                    let mut number = 0;
                    while !over.load(Ordering::Relaxed) {
                        number += 1;
                        let name = format!("r{round}{lane}{number}");
                        let made = gate.cli(&["token", "create", &name, "--user", "anna"]);
                        // A verb that fails has printed nothing.
                        if made.code != 0 {
                            assert_eq!(made.stdout, "", "{}", made.stderr);
                            continue;
                        }
                        let token = made.stdout.trim_end().to_owned();
                        if number % 3 == 0
                            && gate.cli(&["token", "revoke", &name, "--user", "anna"]).code == 0
                        {
                            revoked.lock().expect("no panic").push(token);
                        } else if number % 3 != 0 {
                            printed.lock().expect("no panic").push(token);
                        }
                    }
                });
            }
            let enough = || printed.lock().expect("no panic").len() >= (round + 1) * 8;
            let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                eventually(enough, || "no tokens are made".into());
            }));
            gate.signal("KILL");
            over.store(true, Ordering::Relaxed);
            waited.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
        assert_eq!(gate.wait(), None, "killed");
        gate.restart();
        let mut client = Client::to(gate.address);
        for (tokens, status) in [(&printed, 200), (&revoked, 401)] {
            for token in tokens.lock().expect("no panic").iter() {
                let answer = client.get("/", &[&format!("X-OPENHAB-TOKEN: {token}")]);
                assert_eq!(answer.status, status, "round {round}: {token}");
            }
        }
    }
    assert!(!revoked.lock().expect("no panic").is_empty());
    // Only a line that was being written may be torn; the chain holds.
    gate.cli(&["audit", "verify"]).success();
}

// "Bans survive a restart with their remaining time."
#[test]
fn bans_survive_a_power_cut_with_their_remaining_time() {
    let backend = Backend::start();
    let mut gate = Sidegate::with_anna(&backend, GUARD);
    let left = |gate: &Sidegate, from: &str| -> u64 {
        let answer = Client::from(from, gate.address).get("/", &[]);
        assert_eq!(answer.status, 429, "{from}");
        answer
            .header("retry-after")
            .expect("it is said")
            .parse()
            .expect("seconds")
    };
    for number in 0..3 {
        let header = format!("X-OPENHAB-TOKEN: oh.phone.wrong{number}");
        assert_eq!(
            Client::from("127.0.0.2", gate.address)
                .get("/", &[&header])
                .status,
            401
        );
    }
    gate.cli(&["ban", "add", "127.0.0.3", "--for", "2h"]).success();
    gate.cli(&["ban", "add", "127.0.4.0/24"]).success();
    let bans = gate.cli(&["ban", "list", "--output", "json"]).success().stdout;
    let before = (left(&gate, "127.0.0.2"), left(&gate, "127.0.0.3"));
    assert!(
        (3590..=3600).contains(&before.0) && (7190..=7200).contains(&before.1),
        "{before:?}"
    );
    gate.kill();
    gate.restart();
    let after = (left(&gate, "127.0.0.2"), left(&gate, "127.0.0.3"));
    assert!(
        after.0 <= before.0 && after.0 + 60 > before.0,
        "{before:?} {after:?}"
    );
    assert!(
        after.1 <= before.1 && after.1 + 60 > before.1,
        "{before:?} {after:?}"
    );
    left(&gate, "127.0.4.200");
    assert_eq!(
        gate.cli(&["ban", "list", "--output", "json"]).success().stdout,
        bans
    );
    assert_eq!(Client::from("127.0.0.5", gate.address).get("/", &[]).status, 401);
}

// "the server commits, makes it known to every core, then answers"
#[test]
fn a_ban_that_was_answered_is_there_after_a_power_cut_or_an_end() {
    let backend = Backend::start();
    let mut gate = Sidegate::with_anna(&backend, GUARD);
    let listed = |gate: &Sidegate| gate.cli(&["ban", "list"]).success().stdout;
    for round in 0..10 {
        let by_hand = format!("192.0.2.{round}");
        let by_failures = format!("127.0.2.{round}");
        gate.cli(&["ban", "add", &by_hand]).success();
        if round % 2 == 0 {
            gate.kill();
        } else {
            for number in 0..3 {
                let header = format!("X-OPENHAB-TOKEN: oh.phone.wrong{number}");
                assert_eq!(
                    Client::from(&by_failures, gate.address)
                        .get("/", &[&header])
                        .status,
                    401
                );
            }
            gate.signal("TERM");
            assert_eq!(gate.wait(), Some(0));
        }
        gate.restart();
        assert!(
            listed(&gate).contains(&format!("{by_hand}/32")),
            "round {round}: {by_hand} is forgotten"
        );
        if round % 2 == 1 {
            let answer = Client::from(&by_failures, gate.address).get("/", &[]);
            assert_eq!(answer.status, 429, "round {round}: {by_failures} is forgotten");
        }
        gate.cli(&["ban", "remove", &by_hand]).success();
        gate.kill();
        gate.restart();
        assert!(
            !listed(&gate).contains(&format!("{by_hand}/32")),
            "round {round}: {by_hand} is back"
        );
    }
}

// "An empty or damaged store beside a marker is an error, never a first start."
#[test]
fn what_is_damaged_is_said_and_left_as_it_is() {
    let backend = Backend::start();
    let mut gate = Sidegate::with_anna(&backend, "");
    let token = gate.token("anna", "phone");
    gate.signal("TERM");
    assert_eq!(gate.wait(), Some(0));
    let state = gate.state();
    type Damage = fn(&Path);
    let damages: [(&str, &str, i32, Damage); 10] = [
        ("an empty store", "sidegate.db", 70, |state| {
            put(&state.join("sidegate.db"), b"")
        }),
        ("no store", "sidegate.db", 70, |state| {
            remove(&state.join("sidegate.db"))
        }),
        ("another file in the store's place", "sidegate.db", 70, |state| {
            put(&state.join("sidegate.db"), &[7; 8192])
        }),
        ("half a store", "sidegate.db", 70, |state| {
            let bytes = std::fs::read(state.join("sidegate.db")).expect("the store");
            put(&state.join("sidegate.db"), &bytes[..bytes.len() / 2]);
        }),
        ("a torn marker", "initialised", 70, |state| {
            put(&state.join("initialised"), b"{\"instance\":")
        }),
        ("no marker", "initialised", 70, |state| {
            remove(&state.join("initialised"))
        }),
        ("no key", "keys/lookup.key", 70, |state| {
            remove(&state.join("keys/lookup.key"))
        }),
        ("a short key", "keys/token.key", 70, |state| {
            put(&state.join("keys/token.key"), b"short")
        }),
        ("another key", "keys/token.key", 70, |state| {
            put(&state.join("keys/token.key"), &[9; 32])
        }),
        ("a key that others can read", "keys/token.key", 77, |state| {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(
                state.join("keys/token.key"),
                std::fs::Permissions::from_mode(0o644),
            )
            .expect("ours");
        }),
    ];
    for (what, named, code, damage) in damages {
        let whole = files(&state);
        damage(&state);
        let before = files(&state);
        let log = gate.log().len();
        gate.launch();
        assert_eq!(gate.wait(), Some(code), "{what}: {}", &gate.log()[log..]);
        let said = gate.log()[log..].to_owned();
        assert!(said.contains(named), "{what}: {said}");
        assert!(
            said.contains("restore") || said.contains("chmod"),
            "{what}: what to do about it? {said}"
        );
        for verb in [
            &["token", "list"][..],
            &["user", "add", "otto"],
            &["token", "create", "x", "--user", "anna"],
        ] {
            let ran = gate.cli(verb);
            assert_eq!(ran.code, code, "{what}: {verb:?}: {}", ran.stderr);
            assert!(ran.stderr.contains(named), "{what}: {}", ran.stderr);
        }
        assert!(files(&state) == before, "{what}: something was changed");
        // Put back, everything is there.
        for (path, bytes) in &whole {
            put(path, bytes);
        }
        gate.restart();
        assert_eq!(
            gate.get("/", &[&format!("X-OPENHAB-TOKEN: {token}")]).status,
            200,
            "{what}"
        );
        gate.signal("TERM");
        assert_eq!(gate.wait(), Some(0), "{what}");
    }
}

/// The files that hold accounts, with their bytes.
fn files(state: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let inside = |folder: &Path| {
        std::fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("one").path())
    };
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().expect("a name").to_string_lossy();
        name.starts_with("sidegate.db") || name == "initialised" || name.ends_with(".key")
    };
    let paths = inside(state).chain(inside(&state.join("keys"))).filter(is_ours);
    paths
        .map(|path| (path.clone(), std::fs::read(&path).expect("a file")))
        .collect()
}

fn put(path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, bytes).expect("a file can be written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("ours");
}

fn remove(path: &Path) {
    std::fs::remove_file(path).expect("it was there");
}
