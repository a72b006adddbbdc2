//! A client for tests of more than one request.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use crate::roads::{self, Answer, Road, Wire};
use crate::stage::Stage;

/// One request on a connection of its own, from that address.
pub fn ask(stage: &Stage, road: Road, source: Ipv4Addr, line: &str, headers: &[&str]) -> Answer {
    let mut wire = Wire::open(stage, road, source);
    let received = roads::exchange(&mut wire, road, request(line, headers, "close").as_bytes());
    let mut answers = roads::parse(&received, false);
    assert_eq!(answers.finals.len(), 1, "{}", received.escape_ascii());
    answers.finals.remove(0)
}

/// The same over plain HTTP/1.1, with one header.
pub fn get(stage: &Stage, source: Ipv4Addr, header: &str) -> Answer {
    ask(stage, Road::Plain, source, "GET /", &[header])
}

/// A connection that is kept alive.
pub struct Kept(BufReader<TcpStream>);

impl Kept {
    pub fn open(stage: &Stage, source: Ipv4Addr) -> Self {
        Self(BufReader::new(roads::connect_from(source, stage.gate.address)))
    }

    /// One more request; the status of its answer.
    pub fn ask(&mut self, line: &str, headers: &[&str]) -> u16 {
        self.try_ask(line, headers).expect("the connection is kept")
    }

    /// None when the connection was closed instead.
    pub fn try_ask(&mut self, line: &str, headers: &[&str]) -> Option<u16> {
        let request = request(line, headers, "keep-alive");
        self.0.get_mut().write_all(request.as_bytes()).ok()?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            match self.0.read_line(&mut head) {
                Ok(1..) => {}
                Ok(0) | Err(_) if head.is_empty() => return None,
                end => panic!("{end:?} after {head:?}"),
            }
        }
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().expect("a length"));
        self.0.read_exact(&mut vec![0; length]).expect("a body");
        Some(head[9..12].parse().expect("a status"))
    }
}

fn request(line: &str, headers: &[&str], connection: &str) -> String {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    format!("{line} HTTP/1.1\r\nHost: gate.test\r\nConnection: {connection}\r\n{headers}\r\n")
}
