//! A client that sends exactly the bytes that it is told to, which no library would.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;

use crate::config::settings::{UpstreamAddr, UpstreamScheme, UpstreamTarget};
use crate::control::{Exit, Failure};
use crate::outbound::{Connector, Offer, Stream};

/// How long the gateway may take to connect, and to answer. nginx waits 60 s for whom it asks.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest head and the most of a body that is read.
const LONGEST: usize = 256 * 1024;

/// Where the gateway is, and what is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// `https` and not `http`.
    pub secure: bool,
    /// As in the URL, lower case, without brackets.
    pub host: String,
    /// The scheme's own unless the URL says another.
    pub port: u16,
    /// The path of the URL, with a slash at the beginning.
    pub path: String,
    /// Where to connect, if not there.
    pub connect: Option<(String, u16)>,
    /// Whom to believe about certificates, if not those that the system believes.
    pub ca_file: Option<PathBuf>,
}

impl Address {
    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }

    /// As `Host` has it.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        match (self.secure, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme(), self.authority(), self.path)
    }
}

/// One request.
#[derive(Clone, Debug, Default)]
pub(super) struct Probe {
    pub(super) method: &'static str,
    /// Path, without query.
    pub(super) path: String,
    /// Without the `?`.
    pub(super) query: String,
    /// Whole lines, without their end.
    pub(super) lines: Vec<String>,
    /// With a credential.
    pub(super) allowed: bool,
}

impl Probe {
    pub(super) fn get(path: &str) -> Self {
        Self {
            method: "GET",
            path: path.to_owned(),
            ..Self::default()
        }
    }

    pub(super) fn method(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    pub(super) fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    pub(super) fn query(self, query: &str) -> Self {
        Self {
            query: query.to_owned(),
            ..self
        }
    }

    /// As a browser asks for a page.
    pub(super) fn browser(self) -> Self {
        self.line("Sec-Fetch-Mode: navigate")
            .line("Accept: text/html,application/xhtml+xml")
    }

    /// As a script of a page opens a WebSocket.
    pub(super) fn websocket(self) -> Self {
        self.line("Connection: Upgrade")
            .line("Upgrade: websocket")
            .line("Sec-WebSocket-Version: 13")
            .line("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    }

    pub(super) fn allowed(self) -> Self {
        Self {
            allowed: true,
            ..self
        }
    }
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    /// 0: the connection ended without one.
    pub(super) status: u16,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.all(name).into_iter().next()
    }

    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let is = |header: &&(String, String)| header.0 == name;
        self.headers
            .iter()
            .filter(is)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// For the report.
    pub(super) fn shown(&self) -> String {
        match self.status {
            0 => "no answer".into(),
            status => status.to_string(),
        }
    }
}

/// Connects anew for each request.
pub(super) struct Client {
    runtime: Runtime,
    connector: Connector,
    authority: String,
}

impl Client {
    pub(super) fn new(address: &Address) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(Exit::Internal, format!("no runtime: {error}")))?;
        let (host, port) = address
            .connect
            .clone()
            .unwrap_or_else(|| (address.host.clone(), address.port));
        let scheme = if address.secure {
            UpstreamScheme::Https
        } else {
            UpstreamScheme::Http
        };
        let target = UpstreamTarget::Tcp { host, port };
        let connector = Connector::new(
            UpstreamAddr { scheme, target },
            address.ca_file.as_deref(),
            Some(&address.host),
        )
        .map_err(|error| Failure::new(Exit::Config, error.to_string()))?;
        Ok(Self {
            runtime,
            connector,
            authority: address.authority(),
        })
    }

    /// Sends these bytes after the request line; the answer, and the own address on the way there.
    ///
    /// # Errors
    /// [`Exit::Unavailable`]: nobody listens there.
    pub(super) fn send(
        &self,
        method: &str,
        target: &str,
        lines: &[String],
    ) -> Result<(Answer, Option<IpAddr>), Failure> {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n", self.authority);
        let has = |name: &str| {
            lines.iter().any(|line| {
                line.get(..name.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(name))
            })
        };
        if !has("connection:") {
            head.push_str("Connection: close\r\n");
        }
        if !has("user-agent:") {
            head.push_str("User-Agent: sidegate-doctor\r\n");
        }
        for line in lines {
            head.push_str(line);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        self.runtime.block_on(async {
            let (mut stream, _) = self
                .connector
                .connect(Offer::Http1, PATIENCE)
                .await
                .map_err(|error| Failure::unavailable(error.to_string()))?;
            let own = own_address(&stream);
            let talk = talk(&mut stream, head.as_bytes());
            // Whoever says nothing, or hangs up, has given no answer.
            let answer = match tokio::time::timeout(PATIENCE, talk).await {
                Ok(Ok(bytes)) => parse(&bytes),
                Ok(Err(_)) | Err(_) => Answer::default(),
            };
            Ok((answer, own))
        })
    }
}

fn own_address(stream: &Stream) -> Option<IpAddr> {
    match stream {
        Stream::Tcp(stream) => Some(stream.local_addr().ok()?.ip().to_canonical()),
        Stream::Tls(stream) => own_address(stream.get_ref().0),
        Stream::Unix(_) => None,
    }
}

/// Sends the head and reads the answer's.
async fn talk(stream: &mut Stream, head: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(head).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while answer.len() < LONGEST && !answer.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut piece).await? {
            0 => break,
            length => answer.extend_from_slice(&piece[..length]),
        }
    }
    Ok(answer)
}

fn parse(bytes: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok())
        .unwrap_or(0);
    let headers = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Answer { status, headers }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_status_and_headers() {
        let answer =
            parse(b"HTTP/1.1 302 Found\r\nLocation: /a\r\nSet-Cookie: b\r\nset-cookie: c\r\n\r\nX: y");
        assert_eq!(answer.status, 302);
        assert_eq!(answer.header("location"), Some("/a"));
        assert_eq!(answer.all("set-cookie"), ["b", "c"]);
        assert_eq!(answer.header("x"), None);
        assert_eq!(parse(b"SSH-2.0\r\n").status, 0);
        assert_eq!(parse(b"").status, 0);
    }
}
