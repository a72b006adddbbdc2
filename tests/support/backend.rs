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
}

impl Received {
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
                self.line(reader)?;
                if size == 0 {
                    break;
                }
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

fn keep_alive(stream: TcpStream, recorder: &Recorder, reply: &Reply) {
    let Ok(mut writer) = stream.try_clone() else {
        return;
    };
    let mut reader = BufReader::new(stream);
    while let Some(received) = recorder.read(&mut reader) {
        let answer = reply(&received);
        if writer.write_all(&answer).is_err() {
            return;
        }
        let text = String::from_utf8_lossy(&answer).to_ascii_lowercase();
        if text.contains("\r\nconnection: close") {
            return;
        }
        if text.starts_with("http/1.1 101") {
            echo(reader, writer);
            return;
        }
    }
}

/// After a 101: every byte comes back.
fn echo(mut reader: impl Read, mut writer: impl Write) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = reader.read(&mut buffer) {
        if writer.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}
