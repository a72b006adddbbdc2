//! A backend that takes nothing for granted: every byte it gets must be a well-formed HTTP/1.1
//! request by the narrow reading of RFC 9112, or a violation is on record.

#![allow(unreachable_pub, reason = "each test file uses its part")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A request whose head arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub line: String,
    /// In the order and spelling of their arrival.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether its body arrived to the end.
    pub whole: bool,
}

impl Seen {
    /// Every value of a header, by exact name in any case.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// Every header that a CGI, WSGI or PHP backend could take for this one.
    pub fn all_folded(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(known, _)| fold(known) == fold(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The only value of a header.
    pub fn only(&self, name: &str) -> Option<&str> {
        match self.all_folded(name)[..] {
            [] => None,
            [one] => Some(one),
            ref many => panic!("{name} arrived {} times: {self:?}", many.len()),
        }
    }

    /// The target of the request line.
    pub fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }
}

/// Lower case, with `_` and `.` as `-`.
pub fn fold(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

/// Answers 200 with `ok` to whatever is well-formed, 101 to a WebSocket, and keeps all of it.
pub struct StrictBackend {
    pub address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    seen: Mutex<Vec<Seen>>,
    violations: Mutex<Vec<String>>,
    unfinished: AtomicUsize,
}

impl StrictBackend {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
        let address = listener.local_addr().expect("bound");
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { break };
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    let mut connection = Connection {
                        stream,
                        buffer: Vec::new(),
                        state: shared,
                    };
                    if let Err(violation) = connection.serve() {
                        let mut violations = connection.state.violations.lock().expect("not poisoned");
                        violations.push(violation);
                    }
                });
            }
        });
        Self { address, state }
    }

    /// The requests since the last call, once none is on its way.
    pub fn take(&self) -> Vec<Seen> {
        crate::support::eventually(
            || self.state.unfinished.load(Ordering::SeqCst) == 0,
            || "a request at the backend neither ends nor breaks off".into(),
        );
        std::mem::take(&mut *self.state.seen.lock().expect("not poisoned"))
    }

    /// What was not well-formed since the last call.
    pub fn violations(&self) -> Vec<String> {
        std::mem::take(&mut *self.state.violations.lock().expect("not poisoned"))
    }
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    state: Arc<State>,
}

impl Connection {
    /// Until the other side closes between two requests; the violation otherwise.
    fn serve(&mut self) -> Result<(), String> {
        loop {
            let Some(end) = self.until(b"\r\n\r\n") else {
                return match self.buffer.is_empty() {
                    true => Ok(()),
                    false => Err(self.violation("a head without an end")),
                };
            };
            let head: Vec<u8> = self.buffer.drain(..end).collect();
            let seen = parse_head(&head).map_err(|why| format!("{why}: {}", head.escape_ascii()))?;
            self.state.unfinished.fetch_add(1, Ordering::SeqCst);
            let index = {
                let mut all = self.state.seen.lock().expect("not poisoned");
                all.push(seen.clone());
                all.len() - 1
            };
            let outcome = self.body(&seen);
            // The list may have been taken meanwhile only by somebody who did not wait.
            if let (Ok(Some(body)), Some(entry)) = (
                &outcome,
                self.state.seen.lock().expect("not poisoned").get_mut(index),
            ) {
                entry.body.clone_from(body);
                entry.whole = true;
            }
            self.state.unfinished.fetch_sub(1, Ordering::SeqCst);
            if outcome?.is_none() || !self.answer(&seen) {
                return Ok(());
            }
        }
    }

    /// The body; none when it broke off.
    fn body(&mut self, seen: &Seen) -> Result<Option<Vec<u8>>, String> {
        if let Some(length) = seen.only("content-length") {
            let length: usize = length.parse().map_err(|_| "a length that is no number")?;
            return Ok(self.exactly(length));
        }
        if seen.only("transfer-encoding").is_none() {
            return Ok(Some(Vec::new()));
        }
        let mut body = Vec::new();
        loop {
            let Some(end) = self.until(b"\r\n") else {
                return Ok(None);
            };
            let line: Vec<u8> = self.buffer.drain(..end).collect();
            let digits = &line[..line.len() - 2];
            let plain = !digits.is_empty() && digits.len() <= 8 && digits.iter().all(u8::is_ascii_hexdigit);
            if !plain {
                return Err(format!("a chunk of size {}", line.escape_ascii()));
            }
            let size = usize::from_str_radix(&String::from_utf8_lossy(digits), 16).expect("hex digits");
            let Some(chunk) = self.exactly(size + 2) else {
                return Ok(None);
            };
            if !chunk.ends_with(b"\r\n") {
                return Err(if size == 0 {
                    "trailers"
                } else {
                    "a chunk without an end"
                }
                .into());
            }
            if size == 0 {
                return Ok(Some(body));
            }
            body.extend(&chunk[..size]);
        }
    }

    fn answer(&mut self, seen: &Seen) -> bool {
        let answer = if let Some(key) = seen
            .only("sec-websocket-key")
            .filter(|_| !seen.all("upgrade").is_empty())
        {
            let accept = sidegate::crypto::websocket_accept(key.as_bytes());
            let protocol = seen
                .only("sec-websocket-protocol")
                .map_or_else(String::new, |protocols| {
                    let first = protocols.split(',').next().unwrap_or_default();
                    format!("Sec-WebSocket-Protocol: {first}\r\n")
                });
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: {accept}\r\n{protocol}\r\n"
            )
        } else if seen.line.starts_with("HEAD ") {
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n".into()
        } else {
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".into()
        };
        let tunnel = answer.starts_with("HTTP/1.1 101");
        self.stream.write_all(answer.as_bytes()).is_ok() && !tunnel
    }

    /// Reads until that is in the buffer; where it ends. None at the end of the connection.
    fn until(&mut self, mark: &[u8]) -> Option<usize> {
        loop {
            let found = self.buffer.windows(mark.len()).position(|window| window == mark);
            if let Some(at) = found {
                return Some(at + mark.len());
            }
            self.more()?;
        }
    }

    fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count {
            self.more()?;
        }
        Some(self.buffer.drain(..count).collect())
    }

    fn more(&mut self) -> Option<()> {
        let mut piece = [0; 16 * 1024];
        match self.stream.read(&mut piece) {
            Ok(0) | Err(_) => None,
            Ok(count) => {
                self.buffer.extend(&piece[..count]);
                Some(())
            }
        }
    }

    fn violation(&self, why: &str) -> String {
        format!("{why}: {}", self.buffer.escape_ascii())
    }
}

/// RFC 9112 sections 3 and 5, without anything a recipient merely may accept.
fn parse_head(head: &[u8]) -> Result<Seen, &'static str> {
    // Byte by byte, so that a value with bytes above 0x7F is told as it came.
    let text: String = head.iter().copied().map(char::from).collect();
    let text = text.strip_suffix("\r\n\r\n").ok_or("a head without an end")?;
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let [method, target, version] = line.split(' ').collect::<Vec<_>>()[..] else {
        return Err("a request line of other than three words");
    };
    if method.is_empty() || !method.bytes().all(is_token) || version != "HTTP/1.1" {
        return Err("a strange request line");
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let graphic = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    // A query is opaque: curl and others send what people typed as UTF-8.
    let opaque = |byte: u8| graphic(byte) || byte >= 0x80;
    if !(path.starts_with('/') && path.bytes().all(graphic) && query.bytes().all(opaque)) {
        return Err("a strange target");
    }
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or("a header line without a colon")?;
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err("a strange header name");
        }
        if value
            .bytes()
            .any(|byte| (byte < b' ' && byte != b'\t') || byte == 0x7f)
        {
            return Err("a control character in a header value");
        }
        headers.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
    }
    let seen = Seen {
        line: line.to_owned(),
        headers,
        body: Vec::new(),
        whole: false,
    };
    let framings = [
        seen.all_folded("content-length"),
        seen.all_folded("transfer-encoding"),
    ]
    .concat();
    if framings.len() > 1 {
        return Err("two framings");
    }
    if seen.all("host").len() != 1 {
        return Err("other than one Host");
    }
    if seen
        .all_folded("transfer-encoding")
        .first()
        .is_some_and(|coding| *coding != "chunked")
    {
        return Err("a transfer coding other than chunked");
    }
    Ok(seen)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
