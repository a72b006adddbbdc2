//! Clients that behave oddly, and are served all the same.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::support::{Backend, Client, PATIENCE, Sidegate};

const ASKED: &[u8] = b"GET /here HTTP/1.1\r\nHost: a\r\n\r\n";
const ANSWERED: &[u8] = b"HTTP/1.1 401";

// "One slow or malicious client degrades nobody": whoever asks and takes no answer is waited for
#[test]
fn who_takes_no_answer_gets_every_one_of_them_later() {
    let backend = Backend::start();
    let gate = Sidegate::with_anna(&backend, "server: workers = 1\n[guard]\nrate = \"off\"\n");
    let mut other = Client::to(gate.address);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    // Little room, so that few answers fill it.
    socket.set_recv_buffer_size(2048).expect("a size");
    socket.connect(&gate.address.into()).expect("it listens");
    socket.set_tcp_nodelay(true).expect("a socket of ours");
    let soon = Some(Duration::from_millis(500));
    socket.set_write_timeout(soon).expect("a socket of ours");
    let mut stream = TcpStream::from(socket);
    // One at a time, until nothing more is taken: between two of them the same worker answers somebody else.
    let (mut sent, mut whole) = (0_usize, true);
    while whole {
        match stream.write(ASKED) {
            Ok(count) => {
                whole = count == ASKED.len();
                sent += usize::from(whole);
            }
            Err(_) => whole = false,
        }
        assert!(sent < 200_000, "it never had to wait");
        assert_eq!(other.get("/there", &[]).status, 401);
    }
    assert_eq!(taken(&mut stream, sent), sent, "{}", gate.log());
    assert_eq!(gate.metric("sidegate_panics_total"), 0.0);
}

/// Reads so many answers; how many came.
fn taken(stream: &mut TcpStream, count: usize) -> usize {
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket of ours");
    let (mut found, mut rest) = (0, Vec::new());
    let mut buffer = vec![0; 1 << 20];
    while found < count {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(read) => rest.extend_from_slice(&buffer[..read]),
        }
        let mut at = 0;
        while let Some(next) = rest[at..]
            .windows(ANSWERED.len())
            .position(|bytes| bytes == ANSWERED)
        {
            found += 1;
            at += next + ANSWERED.len();
        }
        // The last one may be cut in two.
        let kept = (rest.len() - at).min(ANSWERED.len() - 1);
        rest.drain(..rest.len() - kept);
    }
    found
}
