//! The real program, and a backend that answers from memory.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::client::length;
use super::{Client, Process};

const PATIENCE: Duration = Duration::from_secs(300);

/// A sidegate with a data directory of its own, gone with this value.
pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    program: PathBuf,
    folder: tempfile::TempDir,
    child: Option<Child>,
}

impl Gate {
    /// The files of an instance with the owner `anna`, without a server yet.
    pub(crate) fn prepare(backend: SocketAddr, settings: &str) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_sidegate"));
        Self::written(program, |address, data| {
            format!(
                "[server]\nlisten = [\"{address}\"]\nworkers = 1\ndata = \"{}\"\n[operations]\nlisten = \"\"\n\
                 [limits]\nbody = \"2GiB\"\nconnections = 20000\n[[route]]\nupstream = \"http://{backend}\"\n{settings}\n",
                data.display()
            )
        })
    }

    /// The same of that program, with a configuration of its own for an address to listen on and a data
    /// directory.
    pub(crate) fn written(program: &Path, text: impl FnOnce(SocketAddr, &Path) -> String) -> Self {
        let gate = Self {
            address: free_address(),
            program: program.to_owned(),
            folder: tempfile::tempdir().expect("there is room for temporary files"),
            child: None,
        };
        std::fs::write(gate.config(), text(gate.address, &gate.data())).expect("a file can be written");
        gate.run(&["user", "add", "anna"], "");
        gate
    }

    /// A running one.
    pub(crate) fn start(backend: SocketAddr, settings: &str) -> Self {
        let mut gate = Self::prepare(backend, settings);
        gate.launch();
        gate
    }

    /// Starts the server; how long until it answered its first request.
    pub(crate) fn launch(&mut self) -> Duration {
        let started = Instant::now();
        let mut command = self.command();
        let child = command.arg("serve").stdin(Stdio::null()).stderr(Stdio::null());
        self.child = Some(child.spawn().expect("the binary starts"));
        let request = b"GET / HTTP/1.1\r\nHost: home.example\r\nConnection: close\r\n\r\n";
        loop {
            if let Ok(mut stream) = TcpStream::connect(self.address) {
                let mut answer = Vec::new();
                let asked = stream
                    .write_all(request)
                    .and_then(|()| stream.read_to_end(&mut answer));
                if asked.is_ok() && !answer.is_empty() {
                    return started.elapsed();
                }
            }
            assert!(started.elapsed() < PATIENCE, "it does not answer");
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    /// Ends the server as an operator would; its files stay.
    pub(crate) fn stop(&mut self) {
        let mut child = self.child.take().expect("launched");
        let told = Command::new("kill").arg(child.id().to_string()).status();
        assert!(told.expect("kill can be run").success());
        child.wait().expect("a child of ours");
    }

    pub(crate) fn process(&self) -> Process {
        Process(self.child.as_ref().expect("launched").id())
    }

    /// A connection to it.
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// A new token of anna's.
    pub(crate) fn token(&self, name: &str) -> String {
        self.run(&["token", "create", name, "--user", "anna"], "")
            .trim_end()
            .to_owned()
    }

    /// Makes this anna's password.
    pub(crate) fn set_password(&self, password: &str) {
        self.run(&["user", "passwd", "anna", "--password-stdin"], password);
    }

    /// Where its state is.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("sidegate.toml")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(self.config());
        command
    }

    /// Runs a verb with that on its standard input; what it prints.
    pub(crate) fn run(&self, arguments: &[&str], input: &str) -> String {
        let mut command = self.command();
        command.args(arguments).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(input.as_bytes()).expect("it reads");
        drop(stdin);
        let output = child.wait_with_output().expect("a child of ours");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {complaint}");
        String::from_utf8(output.stdout).expect("it prints text")
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// One that nobody listens on, and that was not given out before: whoever got it may not listen yet.
pub(crate) fn free_address() -> SocketAddr {
    static GIVEN: Mutex<Vec<SocketAddr>> = Mutex::new(Vec::new());
    loop {
        let free = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
        let address = free.local_addr().expect("bound");
        let mut given = GIVEN.lock().expect("no panic while it is held");
        if !given.contains(&address) {
            given.push(address);
            return address;
        }
    }
}

/// Answers `/N` with N bytes, swallows bodies, and echoes after an upgrade.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
}

impl Backend {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
        let address = listener.local_addr().expect("bound");
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Thousands of them wait for a client that says nothing.
                let small = std::thread::Builder::new().stack_size(64 * 1024);
                let served = small.spawn(move || drop(serve(stream)));
                served.expect("there is room for threads");
            }
        });
        Self { address }
    }
}

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 16 * 1024];
    let mut filled = 0;
    loop {
        let end = loop {
            let seen = &buffer[..filled];
            if let Some(at) = seen.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            match stream.read(&mut buffer[filled..])? {
                0 => return Ok(()),
                count => filled += count,
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
        if head.contains("upgrade: websocket") {
            // RFC 6455, section 1.3: the answer to the key that it shows.
            stream.write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
            )?;
            drop(buffer);
            // One byte, so that what waits is small.
            let mut byte = [0];
            while stream.read(&mut byte)? > 0 {
                stream.write_all(&byte)?;
            }
            return Ok(());
        }
        // What came with the head belongs to the body: nobody here sends ahead.
        let mut left = length(&head).saturating_sub((filled - end) as u64);
        if left > 0 {
            let mut piece = vec![0; 256 * 1024];
            while left > 0 {
                match stream.read(&mut piece)? {
                    0 => return Ok(()),
                    count => left = left.saturating_sub(count as u64),
                }
            }
        }
        filled = 0;
        let path = head.split(' ').nth(1).unwrap_or("/");
        answer(&mut stream, path[1..].parse().unwrap_or(2))?;
    }
}

fn answer(stream: &mut TcpStream, length: u64) -> std::io::Result<()> {
    static BYTES: [u8; 256 * 1024] = [b'x'; 256 * 1024];
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n");
    let first = usize::try_from(length).unwrap_or(usize::MAX).min(BYTES.len());
    // Together, as any backend would send a short answer.
    stream.write_all(&[head.as_bytes(), &BYTES[..first]].concat())?;
    let mut left = length - first as u64;
    while left > 0 {
        let piece = usize::try_from(left).unwrap_or(usize::MAX).min(BYTES.len());
        stream.write_all(&BYTES[..piece])?;
        left -= piece as u64;
    }
    Ok(())
}
