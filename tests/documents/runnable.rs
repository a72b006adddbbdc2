//! Blocks that are marked as runnable are run, and print what they say: each `# => TEXT` (in JavaScript
//! `// => TEXT`) is in the output, in their order.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::pages::{self, Block};
use crate::support::{self, Backend, tools};

/// Seconds that a block may take on a busy machine.
const LIMIT: &str = "60";

/// Where blocks are run: a folder, the address that stands for `127.0.0.1:8480`, and the variables.
struct Place {
    folder: tempfile::TempDir,
    address: SocketAddr,
    /// Stands for `127.0.0.1:8123`.
    backend: Option<SocketAddr>,
    variables: Vec<(String, String)>,
}

impl Place {
    fn new(address: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::os::unix::fs::symlink(support::binary(), folder.path().join("sidegate")).expect("a link");
        if Path::new(NODE_MODULES).is_dir() {
            std::os::unix::fs::symlink(NODE_MODULES, folder.path().join("node_modules")).expect("a link");
        }
        Self {
            folder,
            address,
            backend: None,
            variables: Vec::new(),
        }
    }

    fn in_place(&self, text: &str) -> String {
        let text = text.replace("127.0.0.1:8480", &self.address.to_string());
        match self.backend {
            Some(backend) => text.replace("127.0.0.1:8123", &backend.to_string()),
            None => text,
        }
    }

    fn command(&self, program: &str) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("timeout");
        command
            .args([LIMIT, program])
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", format!("{}:{path}", self.folder.path().display()))
            .env("HOME", self.folder.path())
            .env("LC_ALL", "C.UTF-8")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a block; the variable T goes from one to the next, as in one terminal.
    fn run(&mut self, block: &Block) -> Output {
        let text = self.in_place(&block.text);
        let kept = self.folder.path().join("T");
        let output = match block.language.as_str() {
            "sh" => {
                let keep = format!("printf '%s' \"${{T:-}}\" > '{}'", kept.display());
                self.command("bash")
                    .args(["-euo", "pipefail", "-c", &format!("{text}\n{keep}")])
                    .output()
            }
            "python" => self.command(python()).args(["-c", &text]).output(),
            "js" => {
                let file = self.folder.path().join("block.mjs");
                fs::write(&file, &text).expect("is written");
                let flags: &[&str] = match block.needs() {
                    Some("WebSocket") => &["--experimental-websocket"],
                    _ => &[],
                };
                self.command("node").args(flags).arg(&file).output()
            }
            other => panic!("{}: nobody here runs {other}", block.place),
        };
        if let Ok(token) = fs::read_to_string(&kept) {
            self.variables.retain(|(name, _)| name != "T");
            self.variables.push(("T".to_owned(), token));
        }
        output.expect("timeout runs")
    }

    /// Runs it, and compares.
    fn check(&mut self, block: &Block) {
        let expected: Vec<String> = block
            .text
            .lines()
            .filter_map(|line| line.strip_prefix("# => ").or_else(|| line.strip_prefix("// => ")))
            .map(|text| self.in_place(text))
            .collect();
        assert!(
            !expected.is_empty(),
            "{}: it does not say what it prints",
            block.place
        );
        let output = self.run(block);
        let said = String::from_utf8_lossy(&output.stdout);
        let all = format!(
            "{said}\n--- stderr ---\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(
            output.status.success(),
            "{}: {}\n{all}",
            block.place,
            output.status
        );
        let mut rest = &*said;
        for text in &expected {
            let Some(at) = rest.find(text.as_str()) else {
                panic!("{}: no {text:?} (in this order) in\n{all}", block.place);
            };
            rest = &rest[at + text.len()..];
        }
    }
}

/// Where Debian puts packages such as node-ws.
const NODE_MODULES: &str = "/usr/share/nodejs";

/// One that knows `requests`, as Debian's does.
fn python() -> &'static str {
    let knows = |program: &&str| {
        let mut probe = Command::new(program);
        probe.args(["-c", "import requests"]);
        probe
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    ["python3", "/usr/bin/python3"]
        .into_iter()
        .find(knows)
        .unwrap_or("python3")
}

/// Whether what the block needs is here.
fn can_run(block: &Block) -> bool {
    match block.needs() {
        None if block.language == "js" => {
            tools::is_there("Node.js", "nodejs", Command::new("node").arg("--version"))
        }
        None => true,
        Some("http") => tools::is_there("HTTPie", "httpie", Command::new("http").arg("--version")),
        Some("requests") => tools::is_there(
            "requests",
            "python3-requests",
            Command::new(python()).args(["-c", "import requests"]),
        ),
        Some("ws") => {
            let probe = format!("require('{NODE_MODULES}/ws')");
            tools::is_there(
                "ws for Node.js",
                "nodejs node-ws",
                Command::new("node").args(["-e", &probe]),
            )
        }
        // Node.js has it from version 20 on, which not every distribution has.
        Some("WebSocket") => Command::new("node")
            .args([
                "--experimental-websocket",
                "-e",
                "process.exit(globalThis.WebSocket ? 0 : 1)",
            ])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success()),
        Some(other) => panic!("{}: what is {other}?", block.place),
    }
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `sidegate demo` at an address, with what it prints up to the last line.
fn demo(address: SocketAddr) -> (Running, Vec<String>) {
    let mut child = Command::new(support::binary())
        .args(["demo", "--listen", &address.to_string()])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let mut lines = Vec::new();
    let mut said = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
    let running = Running(child);
    while !lines.iter().any(|line: &String| line.contains("token revoke")) {
        let line = said
            .next()
            .unwrap_or_else(|| panic!("the demonstration ended: {lines:?}"));
        lines.push(line.expect("text"));
    }
    (running, lines)
}

fn value<'a>(lines: &'a [String], before: &str) -> &'a str {
    let found = lines.iter().find_map(|line| line.split_once(before));
    let (_, rest) = found.unwrap_or_else(|| panic!("no {before:?} in {lines:?}"));
    rest.split_whitespace().next().expect("a value")
}

fn free() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], support::free_port()))
}

// docs/recipes.md: "Each recipe works against `sidegate demo`"
#[test]
fn the_recipes_work_against_the_demonstration() {
    works_against_the_demonstration("docs/recipes.md", 15);
}

#[test]
fn what_administrators_are_told_works_against_the_demonstration() {
    works_against_the_demonstration("docs/administration.md", 2);
}

#[test]
fn what_whoever_makes_an_app_is_told_works_against_the_demonstration() {
    works_against_the_demonstration("docs/apps.md", 2);
}

fn works_against_the_demonstration(page: &str, least: usize) {
    let address = free();
    let (_running, lines) = demo(address);
    let mut place = Place::new(address);
    place.variables.push(("T".into(), value(&lines, "T=").to_owned()));
    place.variables.push((
        "SIDEGATE_SERVER__DATA".into(),
        value(&lines, "--data ").to_owned(),
    ));
    let mut count = 0;
    for block in pages::page(page).blocks() {
        if block.has("runnable") && can_run(&block) {
            place.check(&block);
            count += 1;
        }
    }
    assert!(count >= least, "only {count} blocks were run");
}

// "the four curl lines to paste"
#[test]
fn what_the_demonstration_prints_works_when_it_is_pasted() {
    let address = free();
    let (_running, lines) = demo(address);
    let mut place = Place::new(address);
    let run = |place: &mut Place, line: &str| {
        let text = format!("T={}\n{line}\n", value(&lines, "T="));
        let block = Block {
            place: line.to_owned(),
            language: "sh".into(),
            marks: Vec::new(),
            text,
        };
        let output = place.run(&block);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let curls: Vec<&String> = lines.iter().filter(|line| line.starts_with("curl ")).collect();
    let (last, roads) = curls.split_last().expect("curl lines");
    assert_eq!(roads.len(), 4);
    for line in roads {
        assert!(run(&mut place, line).contains("\nremote-user: anna\n"), "{line}");
    }
    assert!(run(&mut place, last).starts_with("HTTP/1.1 401 "), "{last}");
    let revoke = lines
        .iter()
        .find(|line| line.contains("token revoke"))
        .expect("a line");
    run(&mut place, revoke);
    let refused = run(&mut place, &format!("{} -i", roads[0]));
    assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
}

// README, "First minutes": in its order, from the first start to the revoked token.
#[test]
fn the_first_minutes_of_the_readme_work() {
    let backend = Backend::replying(|request| {
        let mut body = format!("{}\n", request.line);
        for (name, value) in &request.headers {
            body.push_str(&format!("{name}: {value}\n"));
        }
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    });
    let mut place = Place::new(free());
    place.backend = Some(backend.address);
    let operations = free();
    for (name, value) in [
        ("SIDEGATE_SERVER__LISTEN", place.address.to_string()),
        ("SIDEGATE_OPERATIONS__LISTEN", operations.to_string()),
        (
            "SIDEGATE_SERVER__DATA",
            place.folder.path().join("state").display().to_string(),
        ),
    ] {
        place.variables.push((name.into(), value));
    }
    let mut server = None;
    let mut count = 0;
    for block in pages::page("README.md").blocks() {
        if block.has("server") {
            let text = place.in_place(&block.text);
            let command = format!("exec {text}");
            let mut started = place.command("bash");
            // The server's own process, so that the test ends it.
            started
                .args(["-c", &command])
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            server = Some(Running(started.spawn().expect("bash starts")));
            let ready = b"GET /readyz HTTP/1.1\r\nHost: o\r\nConnection: close\r\n\r\n";
            support::eventually(
                || support::ask(operations, ready).is_some_and(|answer| answer.starts_with("HTTP/1.1 200")),
                || format!("{}: the server is not ready", block.place),
            );
        } else if block.has("runnable") {
            assert!(server.is_some(), "{}: no server yet", block.place);
            place.check(&block);
            count += 1;
        }
    }
    assert!(count >= 3, "only {count} blocks were run");
}
