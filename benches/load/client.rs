//! A client that costs next to nothing: requests are bytes, and of an answer only the length is read.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// One connection that is kept.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the address listens");
        stream.set_nodelay(true).expect("a socket");
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("a socket");
        Self {
            stream,
            buffer: vec![0; 4096],
        }
    }

    /// Sends the request and reads its answer, which must be a 200; how long its body was.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> u64 {
        self.stream.write_all(request).expect("the connection is kept");
        self.answer(200)
    }

    /// Sends bytes.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the connection is kept");
    }

    /// Sends one byte and waits until it comes back.
    pub(crate) fn echo(&mut self) {
        self.send(b"x");
        self.stream.read_exact(&mut self.buffer[..1]).expect("an echo");
    }

    /// Reads an answer of that status; how long its body was.
    pub(crate) fn answer(&mut self, status: u16) -> u64 {
        let mut filled = 0;
        let end = loop {
            let count = self.stream.read(&mut self.buffer[filled..]).expect("an answer");
            assert!(count > 0, "closed instead of an answer");
            filled += count;
            let seen = &self.buffer[..filled];
            if let Some(at) = seen.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{head}");
        let length = length(&head);
        let mut left = length.saturating_sub((filled - end) as u64);
        if left > 0 {
            // Idle ones, of which there are thousands, keep the small buffer.
            self.buffer.resize(256 * 1024, 0);
        }
        while left > 0 {
            let most = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let count = self.stream.read(&mut self.buffer[..most]).expect("a body");
            assert!(count > 0, "closed within a body");
            left -= count as u64;
        }
        length
    }
}

/// The Content-Length of a head in lower case; 0 without one.
pub(crate) fn length(head: &str) -> u64 {
    head.lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
        .unwrap_or(0)
}
