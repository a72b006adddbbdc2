//! A backend that records every byte it receives.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// One request as it arrived.
#[derive(Clone, Debug, Default)]
pub struct Received {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The lines behind the last chunk.
    pub trailers: Vec<String>,
}

impl Received {
    /// The request line and every header line, as text with `\n` at their ends.
    pub fn head(&self) -> String {
        let lines = self
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\n"));
        format!("{}\n", self.line) + &lines.collect::<String>()
    }

    /// Every value of a header, by exact name in any case.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The only value of a header.
    pub fn only(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} arrived more than once: {all:?}");
        all.first().copied()
    }
}

/// Answers 200 with `ok`, or as the test says, and keeps what it received.
pub struct Backend {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Received>>>,
    bytes: Arc<Mutex<Vec<u8>>>,
}

/// What to answer to a request; written as it is.
pub type Reply = Arc<dyn Fn(&Received) -> Vec<u8> + Send + Sync>;

impl Backend {
    /// Answers 200 with the body `ok`.
    pub fn start() -> Self {
        Self::replying(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec())
    }

    /// Answers what the function says.
    pub fn replying(reply: impl Fn(&Received) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let reply: Reply = Arc::new(reply);
        Self::serving(move |stream, backend| keep_alive(stream, backend, &reply))
    }

    /// Does what the function says with each connection.
    pub fn serving(serve: impl Fn(TcpStream, &Recorder) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
        let address = listener.local_addr().expect("bound");
        let recorder = Recorder::default();
        let backend = Self {
            address,
            requests: Arc::clone(&recorder.requests),
            bytes: Arc::clone(&recorder.bytes),
        };
        let serve = Arc::new(serve);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { break };
                let (serve, recorder) = (Arc::clone(&serve), recorder.clone());
                std::thread::spawn(move || serve(stream, &recorder));
            }
        });
        backend
    }

    /// Opens WebSockets that echo; answers `ok` otherwise.
    pub fn websocket() -> Self {
        Self::replying(websocket_or_ok)
    }

    /// Every whole request so far.
    pub fn requests(&self) -> Vec<Received> {
        self.requests.lock().expect("no panic while it is held").clone()
    }

    /// Every byte so far, of all connections in the order of arrival.
    pub fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().expect("no panic while it is held").clone()
    }

    /// The only request since the last call; forgets it.
    pub fn take_one(&self) -> Received {
        let mut requests = self.take();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.remove(0)
    }

    /// The requests since the last call.
    pub fn take(&self) -> Vec<Received> {
        self.bytes.lock().expect("no panic while it is held").clear();
        std::mem::take(&mut *self.requests.lock().expect("no panic while it is held"))
    }
}

/// Where a backend writes what it saw.
#[derive(Clone, Default)]
pub struct Recorder {
    requests: Arc<Mutex<Vec<Received>>>,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Recorder {
    /// Every whole request so far.
    pub fn requests(&self) -> Vec<Received> {
        self.requests.lock().expect("no panic while it is held").clone()
    }

    /// Reads one request; none at the end of the connection.
    pub fn read(&self, reader: &mut impl BufRead) -> Option<Received> {
        let mut received = Received {
            line: self.line(reader)?,
            ..Received::default()
        };
        loop {
            let line = self.line(reader)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            received.headers.push((name.to_owned(), value.trim().to_owned()));
        }
        if let Some(length) = received.only("content-length") {
            received.body = vec![0; length.parse().ok()?];
            reader.read_exact(&mut received.body).ok()?;
        } else if received.only("transfer-encoding").is_some() {
            loop {
                let line = self.line(reader)?;
                let size = usize::from_str_radix(line.trim(), 16).ok()?;
                let mut chunk = vec![0; size];
                reader.read_exact(&mut chunk).ok()?;
                if size == 0 {
                    while let Some(line) = self.line(reader).filter(|line| !line.is_empty()) {
                        received.trailers.push(line);
                    }
                    break;
                }
                self.line(reader)?;
                received.body.extend(chunk);
            }
        }
        self.requests
            .lock()
            .expect("no panic while it is held")
            .push(received.clone());
        Some(received)
    }

    fn line(&self, reader: &mut impl BufRead) -> Option<String> {
        let mut line = Vec::new();
        let read = reader.read_until(b'\n', &mut line).unwrap_or(0);
        self.bytes
            .lock()
            .expect("no panic while it is held")
            .extend(&line);
        (read > 0).then(|| {
            String::from_utf8_lossy(&line)
                .trim_end_matches(['\r', '\n'])
                .to_owned()
        })
    }
}

/// Answers request after request on one connection; after a 101 every byte comes back.
pub fn keep_alive(stream: impl Read + Write, recorder: &Recorder, reply: &Reply) {
    let mut stream = BufReader::new(stream);
    while let Some(received) = recorder.read(&mut stream) {
        let answer = reply(&received);
        let sent = stream.get_mut().write_all(&answer);
        if sent.and_then(|()| stream.get_mut().flush()).is_err() {
            return;
        }
        let text = String::from_utf8_lossy(&answer).to_ascii_lowercase();
        if text.contains("\r\nconnection: close") {
            return;
        }
        if text.starts_with("http/1.1 101") {
            echo(stream);
            return;
        }
    }
}

fn echo(mut stream: BufReader<impl Read + Write>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        if stream.get_mut().write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}

/// Opens a WebSocket when it is asked for one; answers `ok` otherwise.
pub fn websocket_or_ok(received: &Received) -> Vec<u8> {
    match received.only("sec-websocket-key") {
        None => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec(),
        Some(key) => format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            sidegate::crypto::websocket_accept(key.as_bytes())
        )
        .into_bytes(),
    }
}
