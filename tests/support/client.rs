//! Clients: a kept-alive connection, a WebSocket, other source addresses, curl and wget.

use std::io::{BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use super::{Answer, PATIENCE, Ran};

/// A connection that is used again and again.
pub struct Client<S: Read + Write = TcpStream> {
    stream: BufReader<S>,
}

impl Client {
    /// From 127.0.0.1.
    pub fn to(address: SocketAddr) -> Self {
        Self::over(super::connect(address))
    }

    /// From another of this machine's addresses: all of 127.0.0.0/8 is.
    pub fn from(source: &str, address: SocketAddr) -> Self {
        let source: IpAddr = source.parse().expect("an address");
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)
            .expect("a socket");
        socket
            .bind(&SocketAddr::new(source, 0).into())
            .expect("an address of this machine");
        socket.connect(&address.into()).expect("the address listens");
        let stream = TcpStream::from(socket);
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a time limit can be set");
        stream
            .set_write_timeout(Some(PATIENCE))
            .expect("a time limit can be set");
        Self::over(stream)
    }
}

impl<S: Read + Write> Client<S> {
    /// Over a stream that is there already.
    pub fn over(stream: S) -> Self {
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// Sends a GET; the answer.
    pub fn get(&mut self, path: &str, headers: &[&str]) -> Answer {
        self.send("GET", path, headers, b"")
    }

    /// Sends a request; a Content-Length is added when there is a body.
    pub fn send(&mut self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        self.begin(method, path, headers, body);
        self.answer()
    }

    /// Sends a request and does not wait.
    pub fn begin(&mut self, method: &str, path: &str, headers: &[&str], body: &[u8]) {
        let mut text = format!("{method} {path} HTTP/1.1\r\n");
        if !headers
            .iter()
            .any(|header| header.to_ascii_lowercase().starts_with("host:"))
        {
            text.push_str("Host: gate.test\r\n");
        }
        for header in headers {
            text.push_str(header);
            text.push_str("\r\n");
        }
        if !body.is_empty() {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        // A server that answers early may close while we still write.
        let _ = self.stream.get_mut().write_all(&[text.as_bytes(), body].concat());
    }

    /// The next answer; status 0 when the connection was closed without one.
    pub fn answer(&mut self) -> Answer {
        Answer::read_from(&mut self.stream)
    }

    /// What is under the buffer.
    pub fn stream(&mut self) -> &mut BufReader<S> {
        &mut self.stream
    }
}

/// A WebSocket of RFC 6455 with short text messages.
pub struct WebSocket {
    client: Client,
}

impl WebSocket {
    /// Opens one.
    ///
    /// # Errors
    /// The answer that is no 101.
    pub fn open(mut client: Client, path: &str, headers: &[&str]) -> Result<Self, Answer> {
        const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
        let key = format!("Sec-WebSocket-Key: {KEY}");
        let upgrade = [
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            key.as_str(),
        ];
        let answer = client.send("GET", path, &[headers, &upgrade].concat(), b"");
        if answer.status != 101 {
            return Err(answer);
        }
        assert_eq!(
            answer.header("sec-websocket-accept"),
            Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        );
        Ok(Self { client })
    }

    /// Sends a text message of fewer than 126 bytes.
    pub fn say(&mut self, text: &str) {
        let mask = [7, 77, 177, 217];
        let length = u8::try_from(text.len()).expect("a short message");
        assert!(length < 126, "a short message");
        let masked = text
            .bytes()
            .zip(mask.iter().cycle())
            .map(|(byte, key)| byte ^ key);
        let frame: Vec<u8> = [0x81, 0x80 | length]
            .into_iter()
            .chain(mask)
            .chain(masked)
            .collect();
        self.client
            .stream()
            .get_mut()
            .write_all(&frame)
            .expect("the message is sent");
    }

    /// The next message; none when the connection has ended.
    pub fn hear(&mut self) -> Option<String> {
        let stream = self.client.stream();
        let mut head = [0; 2];
        stream.read_exact(&mut head).ok()?;
        let mut mask = [0; 4];
        if head[1] & 0x80 != 0 {
            stream.read_exact(&mut mask).ok()?;
        }
        let mut text = vec![0; usize::from(head[1] & 0x7f)];
        stream.read_exact(&mut text).ok()?;
        text.iter_mut()
            .zip(mask.iter().cycle())
            .for_each(|(byte, key)| *byte ^= key);
        Some(String::from_utf8(text).expect("text"))
    }
}

/// Runs a program of the machine; what it printed.
pub fn program(name: &str, arguments: &[&str]) -> Ran {
    let output = Command::new(name)
        .args(arguments)
        // A proxy of the machine has no business here.
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", "/nonexistent")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{name} is needed for this test: {error}"));
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The machine's curl; fails after the test's patience.
pub fn curl(arguments: &[&str]) -> Ran {
    program("curl", &[&["-sS", "--max-time", "30"], arguments].concat())
}

/// The machine's wget; prints the body.
pub fn wget(arguments: &[&str]) -> Ran {
    program(
        "wget",
        &[&["-q", "-O", "-", "--timeout=30", "--tries=1"], arguments].concat(),
    )
}
