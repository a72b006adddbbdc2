//! Starts the real program in front of a backend that records every byte, and speaks to both in bytes.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each test file uses its part"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub mod aging;
pub mod app;
pub mod asking;
pub mod authenticator;
pub mod backend;
pub mod browser;
pub mod client;
pub mod gateway;
pub mod house;
pub mod measure;
pub mod person;
pub mod tls;
pub mod tools;

pub use backend::{Backend, Received};
pub use browser::Browser;
pub use client::{Client, WebSocket};
pub use person::Person;

/// Longer than anything takes on a busy machine; a test that waits for it has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A running sidegate with a data directory of its own.
pub struct Sidegate {
    pub address: SocketAddr,
    pub operations: SocketAddr,
    pub data: tempfile::TempDir,
    pub config: PathBuf,
    child: Option<Child>,
    reader: Option<JoinHandle<()>>,
    log: Arc<Mutex<String>>,
    environment: Vec<(String, String)>,
}

/// The binary under test.
pub fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_sidegate")
}

/// A port that was free a moment ago, below those that the system gives to clients: another test's
/// connection cannot take it meanwhile.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 200).expect("below 200") * 100;
    loop {
        let port = 10_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

impl Sidegate {
    /// With one route without a host to that backend; `settings` is appended to the file.
    pub fn in_front_of(backend: &Backend, settings: &str) -> Self {
        let route = format!(
            "[[route]]\npath = \"/\"\nupstream = \"http://{}\"\n",
            backend.address
        );
        Self::start(&format!("{route}{settings}"))
    }

    /// With these settings; listeners and data directory are added.
    pub fn start(settings: &str) -> Self {
        Self::prepare(settings).run()
    }

    /// As [`Sidegate::start`], and with a user `anna`, the owner.
    pub fn with_anna(backend: &Backend, settings: &str) -> Self {
        let gate = Self::in_front_of(backend, settings);
        gate.cli(&["user", "add", "anna"]).success();
        gate
    }

    /// The file and the directory, without a server.
    pub fn prepare(settings: &str) -> Self {
        let data = tempfile::tempdir().expect("a temporary directory");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let operations = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let config = data.path().join("sidegate.toml");
        let mut gate = Self {
            address,
            operations,
            config,
            data,
            child: None,
            reader: None,
            log: Arc::default(),
            environment: Vec::new(),
        };
        gate.write_config(settings);
        gate
    }

    /// Writes the file anew: the listeners stay.
    pub fn write_config(&mut self, settings: &str) {
        self.write_listeners(&[], settings);
    }

    /// Writes the file anew, with more listeners.
    pub fn write_listeners(&mut self, more: &[String], settings: &str) {
        let mut listen = vec![self.address.to_string()];
        listen.extend_from_slice(more);
        // Tables of the caller come after ours; `[server]` keys can be given in a line "server: ...".
        let (server, rest): (Vec<&str>, Vec<&str>) =
            settings.lines().partition(|line| line.starts_with("server: "));
        let server: String = server
            .iter()
            .map(|line| format!("{}\n", line.trim_start_matches("server: ")))
            .collect();
        let text = format!(
            "[server]\nlisten = {listen:?}\ndata = \"{}\"\n{server}[operations]\nlisten = \"{}\"\n{}\n",
            self.state().display(),
            self.operations,
            rest.join("\n"),
        );
        let next = self.config.with_extension("next");
        std::fs::write(&next, text).expect("a file can be written");
        std::fs::rename(&next, &self.config).expect("a file can be renamed");
    }

    /// Adds a variable to the server's environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// The data directory.
    pub fn state(&self) -> PathBuf {
        self.data.path().join("state")
    }

    /// All that was written down about what was answered until now. A thread of its own writes the file, in
    /// order: so one more question is asked, and waited for.
    pub fn audit(&self) -> String {
        static ASKED: AtomicU32 = AtomicU32::new(0);
        let path = format!("/until-here-{}", ASKED.fetch_add(1, Ordering::Relaxed));
        self.get(&path, &[]);
        let read = || self.written_audit();
        eventually(|| read().contains(&path), read);
        let text = read();
        let lines = text.lines().filter(|line| !line.contains("/until-here-"));
        lines.flat_map(|line| [line, "\n"]).collect()
    }

    /// What is in the audit file by now.
    pub fn written_audit(&self) -> String {
        let file = self.state().join("audit.jsonl");
        std::fs::read_to_string(file).expect("the audit file is there")
    }

    /// Starts the server and waits until it is ready.
    pub fn run(mut self) -> Self {
        self.launch();
        self.await_ready();
        self
    }

    /// Starts the server without waiting.
    pub fn launch(&mut self) {
        self.launch_by(&[]);
    }

    /// Starts the server by another program, such as `sh -c 'exec "$@"' sh`.
    pub fn launch_by(&mut self, starter: &[&str]) {
        let words = [starter, &[binary()]].concat();
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .arg("serve")
            .arg("--config")
            .arg(&self.config)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stderr = child.stderr.take().expect("stderr is piped");
        let log = Arc::clone(&self.log);
        self.reader = Some(std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                let Ok(line) = line else { break };
                let mut log = log.lock().expect("no panic while it is held");
                log.push_str(&line);
                log.push('\n');
            }
        }));
        self.child = Some(child);
    }

    /// Starts it again, with the same settings and data.
    pub fn restart(&mut self) {
        self.launch();
        self.await_ready();
    }

    /// Ends it as a power cut does.
    pub fn kill(&mut self) {
        self.signal("KILL");
        self.wait();
    }

    /// Waits until it says that it is ready.
    pub fn await_ready(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self
                .child
                .as_mut()
                .expect("launched")
                .try_wait()
                .expect("a child")
            {
                panic!("sidegate ended with {status}:\n{}", self.log());
            }
            if ask(
                self.operations,
                b"GET /readyz HTTP/1.1\r\nHost: o\r\nConnection: close\r\n\r\n",
            )
            .is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
            {
                return;
            }
            assert!(Instant::now() < deadline, "not ready:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What it wrote to stderr so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("no panic while it is held").clone()
    }

    /// Waits until the log has a line with that text.
    pub fn await_log(&self, text: &str) {
        eventually(
            || self.log().contains(text),
            || format!("no {text:?} in the log:\n{}", self.log()),
        );
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("running").id()
    }

    /// Sends a signal by name, as `kill` does.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.pid().to_string()])
            .status()
            .expect("kill can be run");
        assert!(status.success());
    }

    /// Waits for the end; the exit code.
    pub fn wait(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        let child = self.child.as_mut().expect("launched");
        loop {
            if let Some(status) = child.try_wait().expect("a child") {
                self.child = None;
                // Its last words are in the log now.
                let reader = self.reader.take().expect("launched");
                reader.join().expect("no panic");
                return status.code();
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Runs a verb against the same instance.
    pub fn cli(&self, arguments: &[&str]) -> Ran {
        self.cli_with_input(arguments, "")
    }

    /// As [`Sidegate::cli`], with that on stdin.
    pub fn cli_with_input(&self, arguments: &[&str], input: &str) -> Ran {
        run_cli(
            &[&["--config", self.config.to_str().expect("utf-8")], arguments].concat(),
            input,
            &self.environment,
        )
    }

    /// A fresh token of that user.
    pub fn token(&self, user: &str, name: &str) -> String {
        let made = self.cli(&["token", "create", name, "--user", user]).success();
        made.stdout.trim_end().to_owned()
    }

    /// Sends a request with these header lines; the answer.
    pub fn get(&self, path: &str, headers: &[&str]) -> Answer {
        self.send("GET", path, headers, b"")
    }

    /// Sends a request; a Content-Length is added when there is a body.
    pub fn send(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: gate.test\r\nConnection: close\r\n");
        for header in headers {
            text.push_str(header);
            text.push_str("\r\n");
        }
        if !body.is_empty() {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        let bytes = [text.as_bytes(), body].concat();
        self.raw(&bytes)
    }

    /// Sends bytes, reads until the end, parses the first answer.
    pub fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = connect(self.address);
        // A server that answers early may close while we still write.
        let _ = stream.write_all(bytes);
        Answer::read(&mut stream)
    }
}

impl Drop for Sidegate {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- log of sidegate ---\n{}", self.log());
        }
    }
}

/// A connection that does not wait for ever.
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the address listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a time limit can be set");
    stream
        .set_write_timeout(Some(PATIENCE))
        .expect("a time limit can be set");
    stream.set_nodelay(true).expect("nodelay can be set");
    stream
}

/// Sends bytes, reads to the end as text; none when nobody listens.
pub fn ask(address: SocketAddr, bytes: &[u8]) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(bytes).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}

/// Polls until it is so.
pub fn eventually(mut is_so: impl FnMut() -> bool, complaint: impl Fn() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{}", complaint());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// One HTTP/1.1 answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads one answer; status 0 when the connection was closed without one.
    pub fn read(stream: &mut impl Read) -> Self {
        let mut reader = BufReader::new(stream);
        Self::read_from(&mut reader)
    }

    /// Reads the next answer of a kept-alive connection.
    pub fn read_from(reader: &mut impl BufRead) -> Self {
        let mut answer = Self::default();
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return answer;
        }
        answer.status = line
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .unwrap_or(0);
        loop {
            // A header may hold any byte but the end of the line.
            let mut line = Vec::new();
            let read = reader.read_until(b'\n', &mut line).unwrap_or(0);
            let line = String::from_utf8_lossy(&line);
            if read == 0 || line == "\r\n" {
                break;
            }
            if let Some((name, value)) = line.trim_end().split_once(':') {
                answer
                    .headers
                    .push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        if answer.status == 100 {
            return Self::read_from(reader);
        }
        if let Some(length) = answer.header("content-length").and_then(|text| text.parse().ok()) {
            answer.body = vec![0; length];
            if reader.read_exact(&mut answer.body).is_err() {
                answer.body = Vec::new();
            }
        } else if answer.header("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = read_chunk(reader) {
                answer.body.extend(chunk);
            }
        } else if answer.status != 101 && answer.status != 204 && answer.status != 304 {
            let _ = reader.read_to_end(&mut answer.body);
        }
        answer
    }

    /// The value of the first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Every value of that name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn read_chunk(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let size = usize::from_str_radix(line.trim().split(';').next()?, 16).ok()?;
    let mut chunk = vec![0; size];
    reader.read_exact(&mut chunk).ok()?;
    let mut end = String::new();
    reader.read_line(&mut end).ok()?;
    (size > 0).then_some(chunk)
}

/// A finished command.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// It must have ended with 0.
    pub fn success(self) -> Self {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }
}

/// Runs the binary with these arguments.
pub fn run_cli(arguments: &[&str], input: &str, environment: &[(String, String)]) -> Ran {
    let mut child = Command::new(binary())
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(environment.iter().cloned())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let _ = child
        .stdin
        .take()
        .expect("stdin is piped")
        .write_all(input.as_bytes());
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().expect("it ends");
    Ran {
        code: status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

/// A token with another last character.
pub fn mistyped(token: &str) -> String {
    let (rest, last) = token.split_at(token.len() - 1);
    format!("{rest}{}", if last == "x" { "y" } else { "x" })
}

/// Standard Base64, for Basic.
pub fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// The text files of a folder beside the tests, sorted.
pub fn text_files(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "txt"))
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).expect("text"))
        })
        .collect();
    files.sort();
    files
}
