//! In place of the application: what reaches it?

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::control::Failure;
use crate::crypto::{Secret, websocket_accept};
use crate::observe::sightings::{HEADER, QUERY};

/// How long a connection may be silent.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest head that is read.
const LONGEST: u64 = 256 * 1024;
/// Requests kept until they are looked at.
const KEPT: usize = 64;

/// The cookies that it sets.
pub(super) const COOKIES: [&str; 3] = ["sidegate-doctor-1", "sidegate-doctor-2", "sidegate-doctor-3"];

/// A request where the application is.
#[derive(Clone, Debug, Default)]
pub(super) struct AtApp {
    /// Path and query.
    pub(super) target: String,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
}

impl AtApp {
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let is = |header: &&(String, String)| header.0 == name;
        self.headers
            .iter()
            .filter(is)
            .map(|(_, value)| value.as_str())
            .collect()
    }
}

type Received = Arc<Mutex<VecDeque<AtApp>>>;

/// Listens where the application does otherwise.
pub(super) struct StandIn {
    received: Received,
}

impl StandIn {
    /// Takes the place. What others send meanwhile is answered and not kept: it is theirs.
    pub(super) fn open(address: SocketAddr, nonce: &Secret) -> Result<Self, Failure> {
        let listener = TcpListener::bind(address).map_err(|error| {
            Failure::unavailable(format!(
                "cannot stand in for the application at {address}: {error}; stop it first"
            ))
        })?;
        let received = Received::default();
        let kept = Arc::clone(&received);
        let nonce = nonce.expose_str().unwrap_or_default().to_owned();
        // It ends with the process, which makes one examination.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                let nonce = nonce.clone();
                std::thread::spawn(move || serve(&stream, &kept, &nonce));
            }
        });
        Ok(Self { received })
    }

    /// What arrived with that mark.
    pub(super) fn take(&self, mark: &str) -> Vec<AtApp> {
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let in_query = format!("{QUERY}{mark}");
        let (mine, others) = received.drain(..).partition(|request| {
            let ends = |rest: &str| !rest.starts_with(|next: char| next.is_ascii_digit());
            request.all(HEADER.as_str()).contains(&mark)
                || request
                    .target
                    .split_once(&in_query)
                    .is_some_and(|(_, rest)| ends(rest))
        });
        *received = others;
        mine.into()
    }
}

fn serve(stream: &TcpStream, received: &Received, nonce: &str) {
    let _ = stream.set_read_timeout(Some(PATIENCE));
    let _ = stream.set_write_timeout(Some(PATIENCE));
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader) {
        let key = request
            .all("sec-websocket-key")
            .first()
            .map(|key| websocket_accept(key.as_bytes()));
        let upgrades = request
            .all("upgrade")
            .iter()
            .any(|to| to.eq_ignore_ascii_case("websocket"))
            && request
                .all("connection")
                .iter()
                .any(|value| value.to_ascii_lowercase().contains("upgrade"));
        let is_mine = request.target.contains(nonce)
            || request
                .all(HEADER.as_str())
                .iter()
                .any(|mark| mark.contains(nonce));
        if is_mine {
            let mut received = received.lock().unwrap_or_else(PoisonError::into_inner);
            if received.len() >= KEPT {
                received.pop_front();
            }
            received.push_back(request);
        }
        let mut writer = stream;
        if let (Some(key), true) = (key, upgrades) {
            let accepted = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: \
                 {key}\r\n\r\n"
            );
            let _ = writer.write_all(accepted.as_bytes());
            return;
        }
        let cookies: String = COOKIES
            .iter()
            .map(|name| format!("Set-Cookie: {name}=1; Path=/; Max-Age=0\r\n"))
            .collect();
        let answer = format!("HTTP/1.1 200 OK\r\n{cookies}Content-Length: 2\r\n\r\nok");
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// One head; the doctor sends no bodies.
fn read(reader: &mut impl BufRead) -> Option<AtApp> {
    let mut head = reader.take(LONGEST);
    let mut line = || {
        let mut line = Vec::new();
        let read = head.read_until(b'\n', &mut line).ok()?;
        let line = String::from_utf8_lossy(&line)
            .trim_end_matches(['\r', '\n'])
            .to_owned();
        (read > 0).then_some(line)
    };
    let mut request = AtApp {
        target: line()?.split(' ').nth(1)?.to_owned(),
        ..AtApp::default()
    };
    loop {
        let line = line()?;
        if line.is_empty() {
            return Some(request);
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        request
            .headers
            .push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}
