//! What connections weigh that wait: kept ones after one answer, and WebSocket tunnels.

use std::net::SocketAddr;
use std::time::Duration;

use crate::load::{Client, Process};

/// One server's resident bytes for each connection.
pub(crate) struct Weight {
    pub(crate) name: &'static str,
    pub(crate) kept: u64,
    pub(crate) tunnel: u64,
}

/// Opens so many at a server that has served nothing yet; what each added.
pub(crate) type Weigh = fn(Process, SocketAddr, &str, usize) -> u64;

/// Connections that asked once.
pub(crate) fn kept(process: Process, address: SocketAddr, credential: &str, count: usize) -> u64 {
    let get = format!("GET /100 HTTP/1.1\r\nHost: home.example\r\nAuthorization: {credential}\r\n\r\n");
    growth(process, count, || {
        let mut client = Client::connect(address);
        client.exchange(get.as_bytes());
        client
    })
}

/// WebSockets on which each side has said one byte. Half as many: each is two connections of the server, and
/// two of this process.
pub(crate) fn tunnels(process: Process, address: SocketAddr, credential: &str, count: usize) -> u64 {
    let upgrade = format!(
        "GET /socket HTTP/1.1\r\nHost: home.example\r\nAuthorization: {credential}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    growth(process, count / 2, || {
        let mut client = Client::connect(address);
        client.send(upgrade.as_bytes());
        client.answer(101);
        client.echo();
        client
    })
}

fn growth(process: Process, count: usize, open: impl Fn() -> Client) -> u64 {
    let resident = || {
        // Until nothing changes any more.
        let mut last = 0;
        loop {
            std::thread::sleep(Duration::from_millis(300));
            let now = process.family().iter().map(|process| process.resident()).sum();
            if now == last {
                return now;
            }
            last = now;
        }
    };
    let warm: Vec<Client> = (0..50).map(|_| open()).collect();
    let before: u64 = resident();
    let clients: Vec<Client> = (0..count).map(|_| open()).collect();
    let after: u64 = resident();
    drop((warm, clients));
    after.saturating_sub(before) / count as u64
}
