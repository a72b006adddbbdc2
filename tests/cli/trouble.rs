//! What goes wrong at three in the morning, and what is said then.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Backend, Ran, Sidegate, binary, eventually, run_cli};

/// Who may do nothing in particular.
const NOBODY: u32 = 65_534;

fn text(path: &Path) -> &str {
    path.to_str().expect("utf-8")
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

fn opened(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

/// Runs a command that is prepared, without input.
fn ran(command: &mut Command) -> Ran {
    let output = command
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

// A verb that root runs must leave nothing that the service cannot read.
#[test]
fn what_root_does_in_the_directory_of_a_service_belongs_to_the_service() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    opened(folder.path(), 0o755);
    let data = folder.path().join("data");
    fs::create_dir(&data).expect("a directory");
    opened(&data, 0o700);
    let program = folder.path().join("sidegate");
    fs::copy(binary(), &program).expect("a copy that everyone can run");
    if !is_root() {
        // Nobody else's files can be made: it is just done.
        let plain = run_cli(&["--data", text(&data), "user", "add", "anna"], "", &[]).success();
        assert!(!plain.stderr.contains("acting as"), "{}", plain.stderr);
        return;
    }
    std::os::unix::fs::chown(&data, Some(NOBODY), Some(NOBODY)).expect("root may");
    let verb = |words: &[&str]| ran(Command::new(&program).args(["--data", text(&data)]).args(words));
    for words in [
        &["user", "add", "anna"][..],
        &["keys", "rotate"],
        &["ban", "add", "192.0.2.7"],
        &["reset", "--yes"],
        &["user", "add", "berta"],
    ] {
        let done = verb(words).success();
        assert!(
            done.stderr.starts_with("acting as "),
            "{words:?}: {}",
            done.stderr
        );
    }
    let token = verb(&["token", "create", "phone", "--user", "berta"]).success();
    assert!(
        token.stdout.starts_with("oh.phone."),
        "alone on stdout: {}",
        token.stdout
    );
    let mut folders = vec![data.clone()];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("it can be read") {
            let path = entry.expect("an entry").path();
            let found = fs::symlink_metadata(&path).expect("it is there");
            assert_eq!((found.uid(), found.gid()), (NOBODY, NOBODY), "{}", path.display());
            seen += 1;
            if found.is_dir() {
                folders.push(path);
            }
        }
    }
    assert!(seen > 15, "only {seen}");
    // And the service reads what root made.
    let mut service = Command::new(&program);
    service
        .args(["--data", text(&data), "token", "list"])
        .uid(NOBODY)
        .gid(NOBODY)
        .current_dir("/");
    assert!(ran(&mut service).success().stdout.contains("phone"));
    // Where it cannot be done, nothing is done.
    opened(&program, 0o700);
    let refused = verb(&["user", "add", "carla"]);
    assert_eq!(refused.code, 77, "{}", refused.stderr);
    assert!(refused.stderr.contains("cannot be run as"), "{}", refused.stderr);
    opened(&program, 0o755);
    assert!(!verb(&["user", "list"]).success().stdout.contains("carla"));
}

// "66 no such file or object", "77 no permission", "78 configuration"
#[test]
fn a_configuration_that_cannot_be_read_is_not_taken_for_one_that_is_not_there() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    opened(folder.path(), 0o755);
    let program = folder.path().join("sidegate");
    fs::copy(binary(), &program).expect("a copy");
    let file = folder.path().join("sidegate.toml");
    fs::write(&file, "").expect("written");
    opened(&file, 0o000);
    let data = folder.path().join("data");
    let mut command = Command::new(&program);
    command
        .args(["--config", text(&file), "--data", text(&data), "user", "list"])
        .current_dir("/");
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let refused = ran(&mut command);
    assert_eq!(refused.code, 77, "{}", refused.stderr);
    assert!(refused.stderr.contains(text(&file)), "{}", refused.stderr);

    opened(&file, 0o644);
    fs::write(
        &file,
        "[server]\nprefx = \"a\"\nlisten = [\"nope\"]\n[guard]\nban_for = \"x\"\n",
    )
    .expect("written");
    let wrong = run_cli(&["--config", text(&file), "serve"], "", &[]);
    assert_eq!(wrong.code, 78);
    for part in [
        "3 problems",
        "server.prefx",
        "did you mean `prefix`?",
        ":3: server.listen[1]",
        ":5: guard.ban_for",
    ] {
        assert!(
            wrong.stderr.contains(part),
            "{part} is missing in {}",
            wrong.stderr
        );
    }
    assert!(!data.exists());
    let absent = folder.path().join("absent.toml");
    assert_eq!(
        run_cli(&["--config", text(&absent), "user", "list"], "", &[]).code,
        66
    );
}

// Two commands at a time, or one while a server starts.
#[test]
fn commands_that_meet_wait_for_each_other() {
    let gate = Sidegate::prepare("");
    gate.cli(&["user", "add", "anna"]).success();
    let config = text(&gate.config).to_owned();
    std::thread::scope(|scope| {
        let commands: Vec<_> = (0..8)
            .map(|number| {
                let (config, name) = (config.clone(), format!("t{number}"));
                scope.spawn(move || {
                    run_cli(
                        &["--config", &config, "token", "create", &name, "--user", "anna"],
                        "",
                        &[],
                    )
                })
            })
            .collect();
        for command in commands {
            let made = command.join().expect("no panic");
            assert_eq!(made.code, 0, "{}", made.stderr);
            assert_eq!(made.stdout.lines().count(), 1);
        }
    });
    let listed = gate.cli(&["token", "list"]).success().stdout;
    assert_eq!(listed.lines().count(), 9, "{listed}");
}

#[test]
fn a_server_that_died_is_no_server() {
    let backend = Backend::start();
    let mut gate = Sidegate::with_anna(&backend, "");
    gate.signal("KILL");
    gate.wait();
    assert!(gate.state().join("control.sock").exists(), "it left its socket");
    let token = gate.token("anna", "phone");
    gate.launch();
    eventually(|| gate.cli(&["healthcheck"]).code == 0, || gate.log());
    assert_eq!(gate.get("/", &[&format!("X-OPENHAB-TOKEN: {token}")]).status, 200);
}

// "Exit codes are sysexits", and "A verb that finds no instance exits 66 and creates nothing"
#[test]
fn a_data_directory_that_is_none_is_said() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("file");
    fs::write(&file, "mine").expect("written");
    assert_eq!(
        run_cli(&["--data", text(&file), "user", "list"], "", &[]).code,
        66
    );
    assert_eq!(
        run_cli(&["--data", text(&file), "user", "add", "anna"], "", &[]).code,
        73
    );
    assert_eq!(fs::read(&file).expect("read"), b"mine");

    let data = folder.path().join("data");
    let backup = folder.path().join("absent");
    // Before anyone is asked whether it is meant.
    let refused = run_cli(&["--data", text(&data), "restore", text(&backup)], "", &[]);
    assert_eq!(refused.code, 66, "{}", refused.stderr);
    assert_eq!(
        run_cli(&["--data", text(&data), "restore", text(&file), "--yes"], "", &[]).code,
        65
    );
    assert!(!data.exists());
}

// A word that nobody defined grants nothing, so the token would be of no use.
#[test]
fn a_scope_with_a_slip_of_the_finger_makes_no_token() {
    let backend = Backend::start();
    let mut gate = Sidegate::with_anna(&backend, "[scope.items]\npaths = [\"/rest/items\"]\n");
    for round in 0..2 {
        let create = |name: &str, scope: &str| {
            let name = format!("{name}{round}");
            gate.cli(&["token", "create", &name, "--user", "anna", "--scope", scope])
        };
        let refused = create("a", "read-onyl");
        assert_eq!(refused.code, 65, "{}", refused.stderr);
        assert!(refused.stderr.contains("read-only, items"), "{}", refused.stderr);
        assert_eq!(refused.stdout, "");
        create("b", "items").success();
        create("c", "read-only").success();
        if round == 0 {
            gate.signal("TERM");
            gate.wait();
        }
    }
    let listed = gate.cli(&["token", "list"]).success().stdout;
    assert_eq!(listed.lines().count(), 5, "{listed}");
}

// "Secrets go to stdout once": where that fails, the token is named so that it can be revoked.
#[test]
fn a_token_that_could_not_be_shown_can_be_revoked() {
    let gate = Sidegate::prepare("");
    gate.cli(&["user", "add", "anna"]).success();
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("it is always full");
    let failed = Command::new(binary())
        .args([
            "--config",
            text(&gate.config),
            "token",
            "create",
            "phone",
            "--user",
            "anna",
        ])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(full)
        .output()
        .expect("it runs");
    assert_eq!(failed.status.code(), Some(74));
    let said = String::from_utf8(failed.stderr).expect("text");
    let (_, command) = said
        .split_once("revoke it: sidegate ")
        .expect("the command to type");
    assert!(!said.contains("oh.phone."), "{said}");
    let words: Vec<&str> = command.split_whitespace().collect();
    gate.cli(&words).success();
    assert!(!gate.cli(&["token", "list"]).success().stdout.contains("phone"));
}

#[test]
fn names_that_cannot_be_are_refused_with_what_can() {
    let gate = Sidegate::prepare("");
    gate.cli(&["user", "add", "anna"]).success();
    let long = "a".repeat(300);
    for name in [long.as_str(), "\u{fc}n\u{ef}", "a b", "", "a\u{1b}[31m", "../x"] {
        let refused = gate.cli(&["user", "add", "--", name]);
        assert_eq!(refused.code, 65, "{name:?}: {}", refused.stderr);
        assert!(refused.stderr.contains("1 to 64 of a-z"), "{}", refused.stderr);
        assert!(!refused.stderr.contains('\u{1b}'), "{:?}", refused.stderr);
        assert!(refused.stderr.len() < 300, "{}", refused.stderr);
        let refused = gate.cli(&["token", "create", "--user", "anna", "--", name]);
        assert!([64, 65].contains(&refused.code), "{name:?}: {}", refused.stderr);
        assert_eq!(refused.stdout, "");
    }
    assert_eq!(gate.cli(&["user", "list"]).success().stdout.lines().count(), 2);
}

// What the start names is what reaches this instance.
#[test]
fn the_command_that_makes_the_owner_can_be_pasted() {
    let backend = Backend::start();
    let gate = Sidegate::in_front_of(&backend, "");
    gate.await_log("there is no owner yet");
    let log = gate.log();
    let (_, command) = log
        .split_once("make one with: sidegate ")
        .expect("the command to type");
    let command = command.lines().next().expect("a line").replace("NAME", "anna");
    let words: Vec<&str> = command.split_whitespace().collect();
    run_cli(&words, "", &[]).success();
    assert!(gate.cli(&["user", "list"]).success().stdout.contains("anna"));
}
