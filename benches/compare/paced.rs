//! How long checks take at a steady rate, while something else goes on.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Requests a second, over so many connections.
const RATE: u32 = 2000;
const CONNECTIONS: u32 = 8;
/// Wrong passwords a second.
pub(crate) const GUESSES: u32 = 200;

/// What was seen.
pub(crate) struct Paced {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) most: Duration,
    /// Answers a second, of the rate that was asked.
    pub(crate) rate: f64,
    /// Answers that were no 200.
    pub(crate) refused: u64,
    /// Connections that ended between two requests, or within one.
    pub(crate) closed: u64,
}

/// Asks at the steady rate for `span`, while `beside` runs until it is told to stop.
pub(crate) fn run(
    address: SocketAddr,
    credential: &str,
    path: &str,
    span: Duration,
    beside: impl Fn(&AtomicBool) + Sync,
) -> Paced {
    let request = get(path, credential);
    let (stop, seen) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let (refused, closed) = (AtomicU64::new(0), AtomicU64::new(0));
    let pause = Duration::from_secs(1) * CONNECTIONS / RATE;
    let began = Instant::now() + Duration::from_millis(200);
    std::thread::scope(|scope| {
        scope.spawn(|| beside(&stop));
        let asking: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                let (request, seen, refused, closed) = (&request, &seen, &refused, &closed);
                scope.spawn(move || {
                    let mut connection = Connection::to(address);
                    let mut taken = Vec::new();
                    let mut due = began + pause * number / CONNECTIONS;
                    while due < began + span && Instant::now() < began + span {
                        let now = Instant::now();
                        // What the server held up counts; what this machine woke late does not.
                        let since = if now < due {
                            std::thread::sleep(due - now);
                            Instant::now()
                        } else {
                            due
                        };
                        match connection.exchange(request) {
                            Some(200) => taken.push(since.elapsed()),
                            Some(_) => drop(refused.fetch_add(1, Ordering::Relaxed)),
                            None => {
                                closed.fetch_add(1, Ordering::Relaxed);
                                connection = Connection::to(address);
                            }
                        }
                        due += pause;
                    }
                    seen.lock().expect("no panic while it is held").extend(taken);
                })
            })
            .collect();
        for asking in asking {
            asking.join().expect("no client failed");
        }
        stop.store(true, Ordering::Relaxed);
    });
    let mut seen = seen.into_inner().expect("no thread panicked");
    seen.sort_unstable();
    let at = |part: f64| {
        let index = ((seen.len() as f64 * part) as usize).min(seen.len().saturating_sub(1));
        seen.get(index).copied().unwrap_or_default()
    };
    Paced {
        p50: at(0.5),
        p99: at(0.99),
        most: at(1.0),
        rate: seen.len() as f64 / span.as_secs_f64(),
        refused: refused.into_inner(),
        closed: closed.into_inner(),
    }
}

/// Tries wrong passwords, each another one, from connections of its own.
pub(crate) fn guess(address: SocketAddr, stop: &AtomicBool) {
    const GUESSERS: u32 = 16;
    let pause = Duration::from_secs(1) * GUESSERS / GUESSES;
    std::thread::scope(|scope| {
        for number in 0..GUESSERS {
            scope.spawn(move || {
                let mut connection = Connection::to(address);
                let mut tried = 0_u32;
                while !stop.load(Ordering::Relaxed) {
                    let (_, wrong) = crate::cases::basic("anna", &format!("guess {number} {tried}"));
                    tried += 1;
                    let began = Instant::now();
                    if connection.exchange(&get("/100", &wrong)).is_none() {
                        connection = Connection::to(address);
                    }
                    std::thread::sleep(pause.saturating_sub(began.elapsed()));
                }
            });
        }
    });
}

fn get(path: &str, credential: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: home.example\r\nAuthorization: {credential}\r\n\r\n").into_bytes()
}

/// A connection that may end.
struct Connection {
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Connection {
    fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).and_then(|stream| {
            stream.set_nodelay(true)?;
            // A guess that waits behind others must not hold up the end.
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            Ok(stream)
        });
        Self {
            stream: stream.ok(),
            buffer: vec![0; 16 * 1024],
        }
    }

    /// The status of the answer; none when the connection ended.
    fn exchange(&mut self, request: &[u8]) -> Option<u16> {
        let stream = self.stream.as_mut()?;
        stream.write_all(request).ok()?;
        let mut filled = 0;
        let end = loop {
            let count = stream.read(&mut self.buffer[filled..]).ok()?;
            if count == 0 {
                return None;
            }
            filled += count;
            if let Some(at) = self.buffer[..filled]
                .windows(4)
                .position(|bytes| bytes == b"\r\n\r\n")
            {
                break at + 4;
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
        let mut left = crate::load::length(&head).saturating_sub((filled - end) as u64);
        while left > 0 {
            let count = stream.read(&mut self.buffer).ok()?;
            if count == 0 {
                return None;
            }
            left = left.saturating_sub(count as u64);
        }
        head.get(9..12)?.parse().ok()
    }
}
