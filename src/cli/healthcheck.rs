//! `healthcheck`: is the server on this machine ready? For containers, which have no curl.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::globals::Output;
use super::io::Io;
use super::reach::{Reach, unexpected};
use super::show;
use crate::control::protocol::{Payload, Request};
use crate::control::{Absent, Exit, Failure};

/// Docker's own limit for a health check is 30 s; a server that needs five is not ready.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks `/readyz` of the operations listener; with `--output json` asks the server itself, and prints
/// what it is doing.
///
/// # Errors
/// [`Exit::Unavailable`] when the server is not ready or not there, [`Exit::Config`] when the
/// settings switch the operations listener off.
pub(super) fn run(reach: &Reach<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    if reach.output() == Output::Json {
        let Payload::Status(status) = reach.ask(Request::Status, Absent::Refuse)? else {
            return Err(unexpected());
        };
        show::json(io, &status)?;
        return match status.ready {
            true => Ok(()),
            false => Err(Failure::unavailable(status.trouble.join("; "))),
        };
    }
    let settings = reach.settings()?;
    let Some(address) = settings.operations else {
        return Err(Failure::new(
            Exit::Config,
            "operations.listen is empty, so there is nobody to ask; set it to 127.0.0.1:9480",
        ));
    };
    ready(here(address))
}

/// Whether the listener at `address` says that it is ready.
///
/// # Errors
/// [`Exit::Unavailable`].
pub(super) fn ready(address: SocketAddr) -> Result<(), Failure> {
    let head = ask(address)
        .map_err(|error| Failure::unavailable(format!("no answer from http://{address}/readyz: {error}")))?;
    let status = head
        .strip_prefix(b"HTTP/1.")
        .and_then(|rest| rest.get(2..5))
        .and_then(|digits| std::str::from_utf8(digits).ok());
    match status {
        Some("200") => Ok(()),
        Some(status) => Err(Failure::unavailable(format!(
            "http://{address}/readyz answers {status}"
        ))),
        None => Err(Failure::unavailable(format!(
            "what listens on {address} does not speak HTTP"
        ))),
    }
}

/// The first bytes of the answer.
fn ask(address: SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // In one piece: whoever answers and closes after the first of several resets the rest.
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    let mut piece = [0; 64];
    while head.len() < 16 {
        match stream.read(&mut piece)? {
            0 => break,
            length => head.extend_from_slice(&piece[..length]),
        }
    }
    Ok(head)
}

/// Where a listener on every address is reached from this machine.
fn here(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn answering(answer: &'static [u8]) -> Result<(), Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = listener.local_addr().expect("has one");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut piece = [0; 1024];
            let _ = stream.read(&mut piece);
            let _ = stream.write_all(answer);
        });
        let outcome = ready(address);
        server.join().expect("no panic");
        outcome
    }

    #[test]
    fn only_200_is_ready() {
        assert_eq!(answering(b"HTTP/1.1 200 OK\r\n\r\n"), Ok(()));
        for answer in [
            &b"HTTP/1.1 503 Service Unavailable\r\n\r\n"[..],
            b"HTTP/1.1 2",
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"",
        ] {
            let failure = answering(answer).expect_err("not ready");
            assert_eq!(failure.exit, Exit::Unavailable);
        }
    }

    #[test]
    fn a_listener_on_every_address_is_asked_on_loopback() {
        let here = |text: &str| here(text.parse().expect("an address")).to_string();
        assert_eq!(here("0.0.0.0:9480"), "127.0.0.1:9480");
        assert_eq!(here("[::]:9480"), "[::1]:9480");
        assert_eq!(here("192.168.1.2:9480"), "192.168.1.2:9480");
    }
}
