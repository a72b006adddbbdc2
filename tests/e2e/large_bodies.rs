//! Bodies that go from socket to socket without a copy, beside the same bytes by the other roads.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::gateway::{Gateway, port_of_every_address, program};
use crate::support::tls::Authority;
use crate::support::tools::is_there;
use crate::support::{Answer, Backend, Client, Sidegate, connect, eventually, free_port};

/// What is read and written at once.
const BLOCK: usize = 64 * 1024;
const MEGABYTE: u64 = 1_000_000;

/// Bytes that are nowhere the same: what is lost, doubled or moved shows. `at` is that of a block.
fn pattern(at: u64, block: &mut [u8]) {
    for (number, word) in (at / 8..).zip(block.chunks_mut(8)) {
        let bytes = number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes();
        word.copy_from_slice(&bytes[..word.len()]);
    }
}

/// The parts of a body: where each begins and how long it is.
fn blocks(total: u64) -> impl Iterator<Item = (u64, usize)> {
    (0..total)
        .step_by(BLOCK)
        .map(move |at| (at, usize::try_from(total - at).unwrap_or(BLOCK).min(BLOCK)))
}

fn write_body(stream: &mut impl Write, total: u64) -> std::io::Result<()> {
    let mut block = vec![0; BLOCK];
    for (at, length) in blocks(total) {
        pattern(at, &mut block[..length]);
        stream.write_all(&block[..length])?;
    }
    stream.flush()
}

/// How many bytes of the body came before the end; they must be the right ones.
fn read_body(stream: &mut impl Read, total: u64) -> u64 {
    let (mut came, mut wanted) = (vec![0; BLOCK], vec![0; BLOCK]);
    let mut read = 0;
    for (at, length) in blocks(total) {
        pattern(at, &mut wanted[..length]);
        let mut here = 0;
        while here < length {
            match stream.read(&mut came[here..length]) {
                Ok(0) => break,
                Ok(count) => here += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    assert_ne!(error.kind(), ErrorKind::WouldBlock, "nothing came for too long");
                    break;
                }
            }
        }
        assert!(came[..here] == wanted[..here], "other bytes in the block at {at}");
        read += here as u64;
        if here < length {
            break;
        }
    }
    read
}

/// The first line and the `Content-Length` of the next message.
fn read_head(stream: &mut impl BufRead) -> Option<(String, u64)> {
    let mut first = String::new();
    stream.read_line(&mut first).ok().filter(|count| *count > 0)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|count| *count > 0)?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            return Some((first.trim_end().to_owned(), length));
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
}

/// GET of `/N` gives a body of so many bytes, and a POST gets to know how many right ones came.
fn serve(stream: impl Read + Write) {
    let mut stream = BufReader::new(stream);
    while let Some((line, length)) = read_head(&mut stream) {
        let mut words = line.split(' ');
        let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let sent = if method == "POST" {
            let came = read_body(&mut stream, length);
            if came < length {
                return;
            }
            let text = came.to_string();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
            stream.get_mut().write_all(answer.as_bytes())
        } else {
            let length: u64 = path
                .rsplit('/')
                .next()
                .and_then(|word| word.parse().ok())
                .expect("a length");
            let status = if path.starts_with("/kept/") {
                "304 Not Modified"
            } else {
                "200 OK"
            };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n");
            let bodiless = method == "HEAD" || path.starts_with("/kept/");
            let head = stream.get_mut().write_all(head.as_bytes());
            head.and_then(|()| write_body(stream.get_mut(), if bodiless { 0 } else { length }))
        };
        if sent.is_err() {
            return;
        }
    }
}

/// A backend that does so, and how many connections it had.
fn backend() -> (Backend, Arc<AtomicUsize>) {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let backend = Backend::serving(move |stream, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        serve(stream);
    });
    (backend, connections)
}

/// A gate with one worker and a listener with TLS, and anna's credential.
struct Gate {
    gate: Sidegate,
    secure: SocketAddr,
    authority: Authority,
    header: String,
    /// Pipes that the process has anyway.
    before: usize,
}

impl Gate {
    fn in_front_of(upstream: &str, settings: &str) -> Self {
        let authority = Authority::new();
        let pair = authority.issue("home", &["home.test"]);
        let secure = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let gate = Sidegate::start(&format!(
            "server: workers = 1\n[tls]\nlisten = [\"{secure}\"]\ncertificates = [{}]\nredirect_http = false\n[[route]]\npath = \"/\"\n\
             upstream = \"{upstream}\"\n{settings}",
            pair.toml()
        ));
        gate.cli(&["user", "add", "anna"]).success();
        let header = format!("X-OPENHAB-TOKEN: {}", gate.token("anna", "phone"));
        let mut gate = Self {
            gate,
            secure,
            authority,
            header,
            before: 0,
        };
        gate.before = gate.pipes();
        gate
    }

    fn of(backend: &Backend, settings: &str) -> Self {
        Self::in_front_of(&format!("http://{}", backend.address), settings)
    }

    /// Ends of pipes that are open for bodies: without them every test here would prove nothing.
    fn pipes(&self) -> usize {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.gate.pid())).expect("it runs");
        let is_pipe = |file: std::fs::DirEntry| {
            std::fs::read_link(file.path()).is_ok_and(|to| to.to_string_lossy().starts_with("pipe:"))
        };
        files.flatten().map(is_pipe).filter(|is| *is).count() - self.before
    }

    fn client(&self) -> Client {
        Client::to(self.gate.address)
    }

    fn ask(&self, stream: &mut impl Write, method: &str, path: &str, length: u64) {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: home.test\r\n{}\r\nContent-Length: {length}\r\n\r\n",
            self.header
        );
        stream.write_all(head.as_bytes()).expect("the gate reads");
    }

    /// One that takes little at a time, and asked.
    fn slow(&self, path: &str) -> BufReader<TcpStream> {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a size can be set");
        socket
            .connect(&self.gate.address.into())
            .expect("the gate listens");
        let mut stream = TcpStream::from(socket);
        stream
            .set_read_timeout(Some(crate::support::PATIENCE))
            .expect("a time limit can be set");
        self.ask(&mut stream, "GET", path, 0);
        BufReader::with_capacity(1000, stream)
    }
}

/// Every length comes back by this connection, and goes there.
fn both_ways<S: Read + Write>(gate: &Gate, client: &mut Client<S>, lengths: &[u64]) {
    for length in lengths {
        gate.ask(client.stream().get_mut(), "GET", &format!("/{length}"), 0);
        let (line, said) = read_head(client.stream()).expect("an answer");
        assert_eq!((line.as_str(), said), ("HTTP/1.1 200 OK", *length));
        assert_eq!(read_body(client.stream(), *length), *length);
        let stream = client.stream().get_mut();
        gate.ask(stream, "POST", "/", *length);
        write_body(stream, *length).expect("the gate reads");
        let answer = client.answer();
        assert_eq!((answer.status, answer.text()), (200, length.to_string()));
    }
}

/// Around every step of the way, and large ones.
fn lengths() -> Vec<u64> {
    let mut lengths = vec![
        0, 1, 8_191, 65_535, 65_536, 65_537, 131_071, 131_072, 262_143, 262_144,
    ];
    lengths.extend([262_145, MEGABYTE, 10 * MEGABYTE]);
    if std::env::var_os("SIDEGATE_TEST_GIGABYTE").is_some() {
        lengths.push(1 << 30);
    }
    lengths
}

// ARCHITECTURE: "Where both sockets are without TLS a large body of known length goes from one to the other through a
// pipe"; by TLS every byte is copied, and both must give the same.
#[test]
fn bodies_arrive_byte_for_byte_spliced_or_copied() {
    let (backend, connections) = backend();
    let gate = Gate::of(&backend, "[limits]\nbody = \"2GiB\"\n");
    let mut secure = gate.authority.client(gate.secure, "home.test");
    both_ways(&gate, &mut secure, &lengths());
    assert_eq!(gate.pipes(), 0, "TLS needs every byte");
    let copied = gate.gate.peak();
    both_ways(&gate, &mut gate.client(), &lengths());
    assert!(gate.pipes() > 0, "nothing was spliced");
    assert_eq!(
        connections.load(Ordering::SeqCst),
        1,
        "the connection to the backend was not used again"
    );
    let more = gate.gate.peak() - copied;
    assert!(more < 2048, "{more} KiB more than by copying");
}

#[test]
fn bodies_arrive_byte_for_byte_over_a_unix_socket() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("backend.sock");
    let listener = UnixListener::bind(&path).expect("a free path");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream));
        }
    });
    let gate = Gate::in_front_of(&format!("unix:{}", path.display()), "");
    both_ways(&gate, &mut gate.client(), &[65_537, 3 * MEGABYTE]);
    assert!(gate.pipes() > 0, "nothing was spliced");
}

#[test]
fn a_real_nginx_gives_the_same_bytes_by_every_road() {
    if !is_there("nginx", "nginx", Command::new(program("nginx")).arg("-v")) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary directory");
    for length in [300_000, 5 * MEGABYTE] {
        let mut file = std::fs::File::create(folder.path().join(length.to_string())).expect("a file");
        write_body(&mut file, length).expect("there is room");
    }
    for sendfile in ["on", "off"] {
        let port = port_of_every_address();
        let _nginx = Gateway::start(
            "nginx",
            port,
            &format!(
                "sendfile {sendfile};\nserver {{ listen 127.0.0.1:{port}; root {}; }}\n",
                folder.path().display()
            ),
            None,
        );
        eventually(
            || TcpStream::connect(("127.0.0.1", port)).is_ok(),
            || "nginx does not listen".to_owned(),
        );
        let gate = Gate::in_front_of(&format!("http://127.0.0.1:{port}"), "");
        let mut plain = gate.client();
        let mut secure = gate.authority.client(gate.secure, "home.test");
        for length in [300_000, 5 * MEGABYTE, 300_000] {
            for stream in [plain.stream() as &mut dyn Both, secure.stream()] {
                gate.ask(&mut stream.writer(), "GET", &format!("/{length}"), 0);
                let (line, said) = read_head(&mut stream.reader()).expect("an answer");
                assert_eq!((line.as_str(), said), ("HTTP/1.1 200 OK", length));
                assert_eq!(read_body(&mut stream.reader(), length), length);
            }
        }
        assert!(gate.pipes() > 0, "nothing was spliced");
    }
}

/// Either kind of connection.
trait Both {
    fn reader(&mut self) -> Box<dyn BufRead + '_>;
    fn writer(&mut self) -> Box<dyn Write + '_>;
}

impl<S: Read + Write> Both for BufReader<S> {
    fn reader(&mut self) -> Box<dyn BufRead + '_> {
        Box::new(self)
    }

    fn writer(&mut self) -> Box<dyn Write + '_> {
        Box::new(self.get_mut())
    }
}

// A slow client keeps one pipe until it has taken what is in it; there are not so many, and the rest is copied.
#[test]
fn slow_readers_get_everything_and_share_few_pipes() {
    let (backend, _) = backend();
    let gate = Gate::of(&backend, "");
    let length = 6 * MEGABYTE;
    let slow: Vec<_> = (0..50).map(|_| gate.slow(&format!("/{length}"))).collect();
    // Two ends each, and no more than 32 of them.
    eventually(
        || gate.pipes() == 64,
        || format!("{} ends of pipes", gate.pipes()),
    );
    for mut stream in slow {
        let (_, said) = read_head(&mut stream).expect("an answer");
        assert_eq!(said, length);
        assert_eq!(read_body(&mut stream, length), length);
    }
    assert!(gate.pipes() <= 32, "{} ends of pipes are kept", gate.pipes());
    // None of them has a byte left in it.
    both_ways(&gate, &mut gate.client(), &[MEGABYTE, MEGABYTE]);
}

// RFC 9112 section 8: "A client that receives an incomplete response message ... MUST record the message as incomplete"
#[test]
fn a_body_that_ends_early_does_not_look_whole() {
    let backend = Backend::serving(|mut stream, _| {
        let mut reader = BufReader::new(stream.try_clone().expect("a socket can be shared"));
        let Some((line, _)) = read_head(&mut reader) else {
            return;
        };
        if line.contains("/short") {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
            let _ = write_body(&mut stream, 400_000);
        } else {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let gate = Gate::of(&backend, "");
    let mut stream = BufReader::new(connect(gate.gate.address));
    gate.ask(stream.get_mut(), "GET", "/short", 0);
    assert_eq!(
        read_head(&mut stream),
        Some(("HTTP/1.1 200 OK".to_owned(), MEGABYTE))
    );
    assert_eq!(read_body(&mut stream, MEGABYTE), 400_000);
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0, "the connection is over");
    assert_eq!(gate.client().get("/", &[&gate.header]).text(), "ok");
}

// "bytes that nobody asked for would answer the next request"
#[test]
fn what_comes_behind_a_body_answers_nobody() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let backend = Backend::serving(move |mut stream, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        let mut reader = BufReader::new(stream.try_clone().expect("a socket can be shared"));
        while let Some((line, _)) = read_head(&mut reader) {
            let mut last = Vec::new();
            write_body(&mut last, 300_000).expect("there is room");
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n");
            let rest = last.split_off(299_000);
            let _ = stream.write_all(&last);
            let poison = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
            let more: &[u8] = if line.contains("/more") { poison } else { b"" };
            let _ = stream.write_all(&[&rest, more].concat());
        }
    });
    let gate = Gate::of(&backend, "");
    let mut client = gate.client();
    for path in ["/more", "/", "/more", "/more", "/"] {
        gate.ask(client.stream().get_mut(), "GET", path, 0);
        let (_, said) = read_head(client.stream()).expect("an answer");
        assert_eq!(said, 300_000, "{path}");
        assert_eq!(read_body(client.stream(), said), said, "{path}");
    }
    assert!(gate.pipes() > 0, "nothing was spliced");
    // Each that said too much was closed.
    assert_eq!(connections.load(Ordering::SeqCst), 4);
}

// RFC 9110 sections 9.3.2 and 15.4.5: their Content-Length is that of a body which is not there.
#[test]
fn heads_without_their_bodies_leave_the_connection_usable() {
    let (backend, connections) = backend();
    let gate = Gate::of(&backend, "");
    let mut client = gate.client();
    for (method, path, status) in [
        ("HEAD", "/1000000", "200 OK"),
        ("GET", "/kept/1000000", "304 Not Modified"),
    ] {
        gate.ask(client.stream().get_mut(), method, path, 0);
        let (line, said) = read_head(client.stream()).expect("an answer");
        assert_eq!((line, said), (format!("HTTP/1.1 {status}"), MEGABYTE));
        both_ways(&gate, &mut client, &[MEGABYTE]);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

/// A backend that begins a body of 64 MB and goes on until nobody takes it; it tells when that is so.
fn endless() -> (Backend, Arc<AtomicUsize>) {
    let ended = Arc::new(AtomicUsize::new(0));
    let told = Arc::clone(&ended);
    let backend = Backend::serving(move |stream, _| {
        serve(stream);
        told.fetch_add(1, Ordering::SeqCst);
    });
    (backend, ended)
}

// "a client that hangs up closes the connection to the backend"; the access line has what was taken for it.
#[test]
fn a_client_that_hangs_up_ends_its_body_and_is_written_down() {
    let (backend, ended) = endless();
    let gate = Gate::of(&backend, "[log]\naccess = \"access.log\"\n");
    let total = 64 * MEGABYTE;
    let mut stream = gate.slow("/64000000");
    assert_eq!(read_head(&mut stream).expect("an answer").1, total);
    let taken = 2 * MEGABYTE;
    assert_eq!(read_body(&mut stream.by_ref().take(taken), total), taken);
    assert!(gate.pipes() > 0, "nothing was spliced");
    assert_eq!(ended.load(Ordering::SeqCst), 0);
    drop(stream);
    eventually(
        || ended.load(Ordering::SeqCst) == 1,
        || "the backend's connection is still open".to_owned(),
    );
    both_ways(&gate, &mut gate.client(), &[3 * MEGABYTE]);
    let file = gate.gate.state().join("access.log");
    let bytes = |path: &str| -> Option<u64> {
        let text = std::fs::read_to_string(&file).ok()?;
        let line = text.lines().find(|line| line.contains(path))?;
        line.split("\" 200 ").nth(1)?.split(' ').next()?.parse().ok()
    };
    eventually(
        || bytes("/64000000").is_some() && bytes("/3000000").is_some(),
        || "no access lines".to_owned(),
    );
    assert_eq!(bytes("/3000000"), Some(3 * MEGABYTE));
    let broken = bytes("/64000000").expect("it is there");
    assert!((taken..total).contains(&broken), "{broken}");
}

// "timeouts.idle": of a backend that falls silent, and of a client that takes nothing
#[test]
fn silence_in_the_middle_of_a_body_ends_it() {
    let (backend, ended) = endless();
    let gate = Gate::of(&backend, "[timeouts]\nidle = \"1s\"\n");
    let _stalled = gate.slow("/64000000");
    eventually(
        || ended.load(Ordering::SeqCst) == 1,
        || "a client that takes nothing keeps its backend".to_owned(),
    );
    let silent = Backend::serving(|mut stream, _| {
        let mut reader = BufReader::new(stream.try_clone().expect("a socket can be shared"));
        read_head(&mut reader);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
        let _ = write_body(&mut stream, 400_000);
        let _ = reader.read(&mut [0]);
    });
    let gate = Gate::of(&silent, "[timeouts]\nidle = \"1s\"\n");
    let mut stream = BufReader::new(connect(gate.gate.address));
    gate.ask(stream.get_mut(), "GET", "/", 0);
    assert_eq!(read_head(&mut stream).expect("an answer").1, MEGABYTE);
    assert_eq!(read_body(&mut stream, MEGABYTE), 400_000);
    // And an upload of which nothing more comes.
    let (backend, ended) = endless();
    let gate = Gate::of(&backend, "[timeouts]\nidle = \"1s\"\n");
    let mut stream = connect(gate.gate.address);
    gate.ask(&mut stream, "POST", "/", MEGABYTE);
    write_body(&mut stream, 400_000).expect("the gate reads");
    assert_eq!(Answer::read(&mut stream).status, 408);
    eventually(
        || ended.load(Ordering::SeqCst) == 1,
        || "the backend's connection is still open".to_owned(),
    );
}

// "A revocation takes effect on requests under way, open streams and WebSockets within one second"
#[test]
fn a_revocation_cuts_a_spliced_body() {
    let backend = Backend::serving(|mut stream, _| {
        let mut reader = BufReader::new(stream.try_clone().expect("a socket can be shared"));
        read_head(&mut reader);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
        let _ = write_body(&mut stream, 400_000);
        let _ = reader.read(&mut [0]);
    });
    let gate = Gate::of(&backend, "");
    let mut stream = BufReader::new(connect(gate.gate.address));
    gate.ask(stream.get_mut(), "GET", "/", 0);
    assert_eq!(read_head(&mut stream).expect("an answer").1, MEGABYTE);
    assert_eq!(read_body(&mut stream.by_ref().take(400_000), MEGABYTE), 400_000);
    gate.gate
        .cli(&["token", "revoke", "phone", "--user", "anna"])
        .success();
    // The default of timeouts.idle is a minute, longer than the client waits here.
    assert_eq!(stream.read(&mut [0]).expect("an end, and no silence"), 0);
}

// A whole request must not come of one whose client breaks its word.
#[test]
fn an_upload_that_breaks_off_is_no_request() {
    let (backend, ended) = endless();
    let gate = Gate::of(&backend, "");
    for sent in [100_000, 400_000, 999_999] {
        let before = ended.load(Ordering::SeqCst);
        let mut stream = connect(gate.gate.address);
        gate.ask(&mut stream, "POST", "/", MEGABYTE);
        write_body(&mut stream, sent).expect("the gate reads");
        drop(stream);
        // The backend's end of it answers nothing unless all has come; then it would go on.
        eventually(
            || ended.load(Ordering::SeqCst) == before + 1,
            || format!("after {sent} bytes the backend still waits"),
        );
    }
    both_ways(&gate, &mut gate.client(), &[MEGABYTE]);
}

// "SIGTERM ... finishes what is under way"
#[test]
fn a_drain_lets_a_spliced_body_end() {
    let (backend, _) = backend();
    let mut gate = Gate::of(&backend, "");
    let total = 20 * MEGABYTE;
    let mut stream = gate.slow("/20000000");
    assert_eq!(read_head(&mut stream).expect("an answer").1, total);
    gate.gate.signal("TERM");
    gate.gate.await_log("a second signal ends at once");
    assert_eq!(read_body(&mut stream, total), total);
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0, "and the connection ends");
    assert_eq!(gate.gate.wait(), Some(0));
}

/// The head of a message, byte by byte: what follows it is not read.
fn read_upgrade(mut stream: &TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a whole head");
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("a head is text")
}

// "`splice` for large bodies and tunnels between plaintext sockets"
#[test]
fn a_tunnel_takes_much_at_once_both_ways_byte_for_byte_also_while_one_side_does_not_read() {
    const MUCH: u64 = 24 * MEGABYTE + 7;
    let (tell, told) = std::sync::mpsc::channel();
    let backend = Backend::serving(move |stream, _| {
        let head = read_upgrade(&stream);
        let Some(key) = head
            .lines()
            .find_map(|line| line.strip_prefix("sec-websocket-key: "))
        else {
            return;
        };
        let accept = sidegate::crypto::websocket_accept(key.as_bytes());
        let mut out = &stream;
        write!(
            out,
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        )
        .expect("the gate listens");
        std::thread::scope(|scope| {
            scope.spawn(|| write_body(&mut &stream, MUCH).expect("the gate takes it"));
            let _ = tell.send(read_body(&mut &stream, MUCH));
        });
        // A few bytes afterwards go as ever.
        let mut few = [0; 5];
        (&stream).read_exact(&mut few).expect("the client goes on");
        (&stream).write_all(&few).expect("the gate goes on");
    });
    let gate = Sidegate::with_anna(&backend, "");
    let token = gate.token("anna", "phone");
    let client = connect(gate.address);
    write!(
        &client,
        "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    .expect("the gate listens");
    assert!(read_upgrade(&client).starts_with("HTTP/1.1 101"));
    let before = gate.descriptors();
    write_body(&mut &client, MUCH).expect("the backend reads");
    assert_eq!(told.recv().expect("the backend says how much came"), MUCH);
    // Nobody reads what comes back, so a part of it waits in a pipe, which has two ends.
    eventually(
        || gate.descriptors() >= before + 2,
        || "it goes without a pipe".into(),
    );
    assert_eq!(read_body(&mut &client, MUCH), MUCH);
    (&client).write_all(b"hello").expect("the tunnel is open");
    let mut few = [0; 5];
    (&client).read_exact(&mut few).expect("the tunnel is open");
    assert_eq!(&few, b"hello");
    assert_eq!((&client).read(&mut few).expect("it closes"), 0);
}
