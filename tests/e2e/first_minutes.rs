//! "First minutes": what somebody does who has just read the README.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::support::client::program;
use crate::support::{Backend, Client, PATIENCE, Ran, binary, eventually, free_port, run_cli};

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn start(words: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(binary());
        command
            .args(words)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(environment.iter().copied());
        Self(
            command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("it starts"),
        )
    }

    fn interrupt(&mut self) -> Option<i32> {
        let id = self.0.id().to_string();
        program("kill", &["-INT", &id]).success();
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.0.try_wait().expect("a child") {
                return status.code();
            }
            assert!(std::time::Instant::now() < deadline, "it does not end");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

// "no file needed; --listen ADDR, --trust CIDR"; "Until an owner exists every request gets 401"
#[test]
fn serve_with_an_upstream_needs_no_file() {
    let backend = Backend::start();
    let home = tempfile::tempdir().expect("a temporary directory");
    let listen = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let operations = format!("127.0.0.1:{}", free_port());
    let xdg = home.path().join("share");
    let data = xdg.join("sidegate");
    let upstream = format!("http://{}", backend.address);
    let address = listen.to_string();
    let environment = [("SIDEGATE_OPERATIONS__LISTEN", operations.as_str())];
    let data_text = data.to_str().expect("utf-8");
    let serve = [
        "serve",
        "--upstream",
        &upstream,
        "--listen",
        &address,
        "--trust",
        "127.0.0.5",
        "--data",
        data_text,
    ];
    let mut running = Running::start(&serve, &environment);
    eventually(
        || std::net::TcpStream::connect(listen).is_ok(),
        || "it does not listen".into(),
    );
    let verb = |words: &[&str]| -> Ran { run_cli(&[words, &["--data", data_text]].concat(), "", &[]) };
    let get = |headers: &[&str]| Client::to(listen).get("/api/states", headers);
    assert_eq!(get(&[]).status, 401);
    assert_eq!(get(&["X-OPENHAB-TOKEN: oh.phone.wrong"]).status, 401);
    verb(&["user", "add", "anna"]).success();
    let token = verb(&["token", "create", "phone", "--user", "anna", "--expires", "90d"])
        .success()
        .stdout;
    assert_eq!(
        get(&[&format!("X-OPENHAB-TOKEN: {}", token.trim_end())]).status,
        200
    );
    assert_eq!(backend.take_one().only("remote-user"), Some("anna"));
    // --trust: the proxy is believed.
    let header = format!("X-OPENHAB-TOKEN: {}", token.trim_end());
    let mut proxy = Client::from("127.0.0.5", listen);
    assert_eq!(
        proxy.get("/", &[&header, "X-Forwarded-For: 203.0.113.7"]).status,
        200
    );
    assert_eq!(backend.take_one().only("x-forwarded-for"), Some("203.0.113.7"));
    assert_eq!(running.interrupt(), Some(0));
    let mut said = String::new();
    running
        .0
        .stderr
        .take()
        .expect("it is piped")
        .read_to_string(&mut said)
        .expect("text");
    for word in [
        format!("listening on http://{listen}"),
        data.display().to_string(),
        "user add".into(),
    ] {
        assert!(said.contains(&word), "{word} is not said:\n{said}");
    }
}

// "`--upstream` together with `[[route]]` in a file is an error."
#[test]
fn an_upstream_beside_routes_is_an_error() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("sidegate.toml");
    let data = folder.path().join("state");
    let text = format!(
        "[server]\ndata = \"{}\"\n[[route]]\nupstream = \"http://127.0.0.1:1\"\n",
        data.display()
    );
    std::fs::write(&file, text).expect("a file can be written");
    let ran = run_cli(
        &[
            "serve",
            "--config",
            file.to_str().expect("utf-8"),
            "--upstream",
            "http://127.0.0.1:2",
        ],
        "",
        &[],
    );
    assert_eq!(ran.code, 78, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("--upstream") && ran.stderr.contains("[[route]]"),
        "{}",
        ran.stderr
    );
    assert!(!data.exists());
}

// "`sidegate demo` # everything at once on loopback: an echo backend behind the gate, a user, a token, the
// four curl lines to paste"
#[test]
fn the_demonstration_does_what_it_says_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let listen = format!("127.0.0.1:{}", free_port());
    let temporary = folder.path().to_str().expect("utf-8");
    let mut running = Running::start(&["demo", "--listen", &listen], &[("TMPDIR", temporary)]);
    let mut lines = BufReader::new(running.0.stdout.take().expect("it is piped")).lines();
    let mut said: Vec<String> = Vec::new();
    while !said.iter().any(|line| line.contains("token revoke")) {
        said.push(lines.next().expect("more is said").expect("text"));
    }
    let assignment = said
        .iter()
        .find(|line| line.starts_with("T=oh."))
        .expect("a token");
    let run = |line: &str| program("sh", &["-c", &format!("{assignment}; {line}")]);
    let curls: Vec<&String> = said.iter().filter(|line| line.starts_with("curl ")).collect();
    assert_eq!(curls.len(), 5, "{said:?}");
    for line in curls {
        let answer = run(&line.replacen("curl", "curl -sS --max-time 30 -i", 1))
            .success()
            .stdout;
        if line.contains("$T") {
            assert!(
                answer.starts_with("HTTP/1.1 200 ") && answer.contains("remote-user: anna"),
                "{line}: {answer}"
            );
        } else {
            assert!(answer.starts_with("HTTP/1.1 401 "), "{line}: {answer}");
        }
    }
    let revoke = said
        .iter()
        .find(|line| line.contains("token revoke"))
        .expect("the last line");
    // It names the program by its path, which may not be in PATH.
    assert!(revoke.starts_with(binary()), "{revoke}");
    program("sh", &["-c", revoke]).success();
    let after = run(&format!("curl -sS --max-time 30 -i http://$T@{listen}/"));
    assert!(after.stdout.starts_with("HTTP/1.1 401 "), "{}", after.stdout);
    assert_eq!(running.interrupt(), Some(0));
    let left: Vec<PathBuf> = std::fs::read_dir(folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("one").path())
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

// "`sidegate bench` gives users the same for their own machine: decisions per second and p99 for each dialect, a
// table next to argon2 and bcrypt."
#[test]
fn a_machine_is_measured_and_nothing_is_left() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let temporary = folder.path().to_str().expect("utf-8");
    let words = ["bench", "--for", "50ms", "--connections", "3", "--output", "json"];
    let ran = run_cli(&words, "", &[("TMPDIR".to_owned(), temporary.to_owned())]).success();
    let printed: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let rows = printed["rows"].as_array().expect("rows");
    let mut names = Vec::new();
    for row in rows {
        let number = |key: &str| row[key].as_f64().expect("a number");
        assert!(number("per_second") > 0.0 && number("p50_us") > 0.0, "{row}");
        assert!(number("p99_us") >= number("p50_us"), "{row}");
        names.push(row["what"].as_str().expect("a name"));
    }
    let hashes = names
        .iter()
        .filter(|name| name.starts_with("Argon2id") || name.starts_with("bcrypt"));
    assert_eq!(hashes.count(), 3, "{names:?}");
    for (dialect, _) in sidegate::dialect::DIALECTS {
        assert!(names.iter().any(|name| name.starts_with(dialect)), "{names:?}");
    }
    let mut left = std::fs::read_dir(folder.path()).expect("a folder");
    assert!(left.next().is_none());
}

// "`sidegate demo` … on loopback"
#[test]
fn the_demonstration_is_for_this_machine_only() {
    assert_eq!(run_cli(&["demo", "--listen", "0.0.0.0:0"], "", &[]).code, 64);
}
