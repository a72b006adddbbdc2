//! The roads by which a case reaches the gate.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use socket2::{Domain, Socket, Type};

use crate::case::Piece;
use crate::stage::Stage;
use crate::support::PATIENCE;

/// A way to the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Road {
    /// HTTP/1.1, all bytes at once.
    Plain,
    /// After a good request on the same connection.
    Kept,
    /// Byte by byte.
    Dribble,
    /// HTTP/1.1 over TLS.
    Tls,
    /// HTTP/2 over TLS.
    Http2,
    /// HTTP/1.1 over the unix socket: without an address.
    Unix,
}

impl Road {
    pub const ALL: [Road; 6] = [
        Road::Plain,
        Road::Kept,
        Road::Dribble,
        Road::Tls,
        Road::Http2,
        Road::Unix,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Road::Plain => "plain",
            Road::Kept => "kept",
            Road::Dribble => "dribble",
            Road::Tls => "tls",
            Road::Http2 => "h2",
            Road::Unix => "unix",
        }
    }

    pub fn is_tls(self) -> bool {
        matches!(self, Road::Tls | Road::Http2)
    }
}

/// How a client carries a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRoad {
    Bearer,
    Header,
    /// `curl -u "$T:"`
    Basic,
    /// `http://token@host/` as wget takes it: Basic, and only after a 401 that offers it.
    Userinfo,
}

impl TokenRoad {
    pub const ALL: [TokenRoad; 4] = [
        TokenRoad::Bearer,
        TokenRoad::Header,
        TokenRoad::Basic,
        TokenRoad::Userinfo,
    ];

    /// The header line.
    pub fn line(self, token: &str) -> String {
        match self {
            TokenRoad::Bearer => format!("Authorization: Bearer {token}"),
            TokenRoad::Header => format!("X-OPENHAB-TOKEN: {token}"),
            TokenRoad::Basic | TokenRoad::Userinfo => {
                format!("Authorization: Basic {}", STANDARD.encode(format!("{token}:")))
            }
        }
    }
}

/// The bytes of a case.
pub fn render(stage: &Stage, sent: &[Piece], token_road: TokenRoad) -> Vec<u8> {
    sent.iter()
        .flat_map(|piece| match piece {
            Piece::Bytes(bytes) => bytes.clone(),
            Piece::Token(name) => stage.token(name).into(),
            Piece::Base64(inside) => STANDARD.encode(render(stage, inside, token_road)).into(),
            Piece::Unpadded(inside) => STANDARD_NO_PAD.encode(render(stage, inside, token_road)).into(),
            Piece::Credential(name) => token_road.line(stage.token(name)).into(),
        })
        .collect()
}

/// A connection that can be half-closed.
pub enum Wire {
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    Unix(UnixStream),
}

impl Wire {
    /// Connects by that road, from that address.
    pub fn open(stage: &Stage, road: Road, source: Ipv4Addr) -> Self {
        match road {
            Road::Plain | Road::Kept | Road::Dribble => Wire::Tcp(connect_from(source, stage.gate.address)),
            Road::Tls => Wire::Tls(Box::new(secure(
                stage.client(b"http/1.1"),
                connect_from(source, stage.tls),
            ))),
            Road::Unix => {
                let stream = UnixStream::connect(&stage.unix).expect("the socket listens");
                stream
                    .set_read_timeout(Some(PATIENCE))
                    .expect("a time limit can be set");
                stream
                    .set_write_timeout(Some(PATIENCE))
                    .expect("a time limit can be set");
                Wire::Unix(stream)
            }
            Road::Http2 => unreachable!("HTTP/2 has a client of its own"),
        }
    }

    /// Says that nothing more will come.
    pub fn end(&mut self) {
        // A server that has closed already needs no word.
        match self {
            Wire::Tcp(stream) => drop(stream.shutdown(std::net::Shutdown::Write)),
            Wire::Unix(stream) => drop(stream.shutdown(std::net::Shutdown::Write)),
            Wire::Tls(stream) => {
                stream.conn.send_close_notify();
                drop(stream.flush());
            }
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Wire::Tcp(stream) => stream.read(buffer),
            Wire::Tls(stream) => stream.read(buffer),
            Wire::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Wire::Tcp(stream) => stream.write(bytes),
            Wire::Tls(stream) => stream.write(bytes),
            Wire::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Wire::Tcp(stream) => stream.flush(),
            Wire::Tls(stream) => stream.flush(),
            Wire::Unix(stream) => stream.flush(),
        }
    }
}

/// Connects from one of the many addresses of loopback: each is another client.
pub fn connect_from(source: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket
        .bind(&SocketAddr::from((source, 0)).into())
        .expect("every 127.x address is ours");
    socket.connect(&to.into()).expect("the address listens");
    let stream = TcpStream::from(socket);
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a time limit can be set");
    stream
        .set_write_timeout(Some(PATIENCE))
        .expect("a time limit can be set");
    stream.set_nodelay(true).expect("nodelay can be set");
    stream
}

pub fn secure(config: Arc<ClientConfig>, stream: TcpStream) -> StreamOwned<ClientConnection, TcpStream> {
    let name = ServerName::try_from("gate.test").expect("a name");
    let connection = ClientConnection::new(config, name).expect("a client");
    StreamOwned::new(connection, stream)
}

/// One answer of many on a connection.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
        self.headers
            .iter()
            .filter(named)
            .map(|(_, value)| value.as_str())
            .collect()
    }
}

/// What came back: interim answers apart, then the rest in order.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    pub interims: Vec<u16>,
    pub finals: Vec<Answer>,
}

/// Writes the bytes by that road and reads to the end of the connection.
pub fn exchange(wire: &mut Wire, road: Road, bytes: &[u8]) -> Vec<u8> {
    // A server that refuses early closes while we still write; its answer is what counts.
    if road == Road::Dribble {
        for byte in bytes {
            if wire.write_all(&[*byte]).and_then(|()| wire.flush()).is_err() {
                break;
            }
        }
    } else {
        let _ = wire.write_all(bytes).and_then(|()| wire.flush());
    }
    wire.end();
    read_to_end(wire)
}

/// Everything until the other side closes or resets.
pub fn read_to_end(from: &mut impl Read) -> Vec<u8> {
    let mut received = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return received,
            Ok(count) => received.extend(&piece[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                let waited = matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                );
                assert!(!waited, "no end after {}", received.escape_ascii());
                return received;
            }
        }
    }
}

/// Takes a stream of answers apart; `headless`: the first one has no body, since HEAD was asked.
pub fn parse(mut bytes: &[u8], headless: bool) -> Answers {
    let mut answers = Answers::default();
    while !bytes.is_empty() {
        let end = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap_or_else(|| panic!("no head of an answer: {}", bytes.escape_ascii()));
        let head = String::from_utf8(bytes[..end].to_vec()).expect("an answer in ASCII");
        bytes = &bytes[end + 4..];
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap_or_default();
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let mut answer = Answer {
            status: status.unwrap_or_else(|| panic!("no status line: {line:?}")),
            ..Answer::default()
        };
        answer.headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        if (100..200).contains(&answer.status) && answer.status != 101 {
            answers.interims.push(answer.status);
            continue;
        }
        let bodiless = headless && answers.finals.is_empty() || matches!(answer.status, 101 | 204 | 304);
        let length = answer
            .all("content-length")
            .first()
            .map(|text| text.parse::<usize>());
        let length = match (bodiless, length) {
            (true, _) => 0,
            (false, Some(length)) => length.expect("a length"),
            (false, None) => bytes.len(),
        };
        answer.body = bytes[..length.min(bytes.len())].to_vec();
        bytes = &bytes[length.min(bytes.len())..];
        answers.finals.push(answer);
    }
    answers
}
