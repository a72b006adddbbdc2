//! Connections that we open: plain, TLS and unix.

mod stream;
mod tls;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rustls_pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::time::Instant;

pub use stream::Stream;
use tls::TlsClient;

use crate::config::settings::{UpstreamAddr, UpstreamScheme, UpstreamTarget};
use crate::wire::pacing;

/// One place to connect to, with everything that does not change between two connections.
#[derive(Debug)]
pub struct Connector {
    address: UpstreamAddr,
    authority: String,
    tls: Option<TlsClient>,
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// What may be spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// Whatever the other side likes best.
    Any,
    /// HTTP/1.1 only: for upgrades, which HTTP/2 does otherwise.
    Http1,
}

impl Connector {
    /// Reads certificates and names once.
    ///
    /// # Errors
    /// When the file with the authorities cannot be used, the system has none, or the name is no
    /// name.
    pub fn new(
        address: UpstreamAddr,
        ca_file: Option<&Path>,
        server_name: Option<&str>,
    ) -> Result<Self, OutboundError> {
        let tls = match (&address.scheme, &address.target) {
            (UpstreamScheme::Https, UpstreamTarget::Tcp { host, .. }) => {
                Some(TlsClient::new(server_name.unwrap_or(host), ca_file)?)
            }
            (UpstreamScheme::Https, UpstreamTarget::Unix(path)) => {
                let Some(name) = server_name else {
                    return Err(OutboundError::Name {
                        name: path.display().to_string(),
                    });
                };
                Some(TlsClient::new(name, ca_file)?)
            }
            (UpstreamScheme::Http | UpstreamScheme::H2c, _) => None,
        };
        let authority = authority(&address);
        Ok(Self {
            address,
            authority,
            tls,
        })
    }

    /// The address as `Host` has it: with the port unless it is the scheme's own.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Where this leads.
    pub fn address(&self) -> &UpstreamAddr {
        &self.address
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Whether upgrades can work here: not where HTTP/2 is all that is spoken.
    pub fn speaks_http1(&self) -> bool {
        self.address.scheme != UpstreamScheme::H2c
    }

    /// Opens a connection, TLS included; tries every address of the name within `limit`.
    ///
    /// # Errors
    /// Says which step failed; nothing of a request was sent.
    pub async fn connect(&self, offer: Offer, limit: Duration) -> Result<(Stream, Protocol), ConnectError> {
        let deadline = Instant::now() + limit;
        tokio::time::timeout_at(deadline, self.connect_until(offer, deadline))
            .await
            .unwrap_or_else(|_| Err(ConnectError::TimedOut(self.authority.clone())))
    }

    async fn connect_until(
        &self,
        offer: Offer,
        deadline: Instant,
    ) -> Result<(Stream, Protocol), ConnectError> {
        let plain = match &self.address.target {
            UpstreamTarget::Unix(path) => UnixStream::connect(path)
                .await
                .map(Stream::Unix)
                .map_err(|error| refused(path.display(), &error))?,
            UpstreamTarget::Tcp { host, port } => Stream::Tcp(connect_tcp(host, *port, deadline).await?),
        };
        match &self.tls {
            Some(tls) => tls.handshake(plain, offer).await,
            None if self.address.scheme == UpstreamScheme::H2c => Ok((plain, Protocol::Http2)),
            None => Ok((plain, Protocol::Http1)),
        }
    }
}

/// Every address of a name in the resolver's order, each with its share of the time left, so that
/// one that does not answer cannot use up the time of those behind it.
async fn connect_tcp(host: &str, port: u16, deadline: Instant) -> Result<TcpStream, ConnectError> {
    let unresolved = |why: String| ConnectError::Resolve {
        host: host.to_owned(),
        why,
    };
    let addresses: Vec<_> = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| unresolved(error.to_string()))?
        .collect();
    let mut last = unresolved("the name has no address".to_owned());
    for (index, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        match tokio::time::timeout(share, open(*address)).await {
            Ok(Ok(stream)) => {
                // Small writes are whole messages here; waiting for more only delays them.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = refused(address, &error),
            Err(_) => last = ConnectError::TimedOut(address.to_string()),
        }
    }
    Err(last)
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    pacing::unpace(&socket, address.ip());
    socket.connect(address).await
}

fn refused(target: impl fmt::Display, error: &io::Error) -> ConnectError {
    ConnectError::Refused {
        target: target.to_string(),
        why: error.to_string(),
    }
}

fn authority(address: &UpstreamAddr) -> String {
    match &address.target {
        UpstreamTarget::Unix(_) => "localhost".to_owned(),
        UpstreamTarget::Tcp { host, port } => {
            let default = match address.scheme {
                UpstreamScheme::Https => 443,
                UpstreamScheme::Http | UpstreamScheme::H2c => 80,
            };
            let host = if host.contains(':') {
                format!("[{host}]")
            } else {
                host.clone()
            };
            if *port == default {
                host
            } else {
                format!("{host}:{port}")
            }
        }
    }
}

/// Parses a name or an address literal for SNI and the certificate.
fn server_name(name: &str) -> Result<ServerName<'static>, OutboundError> {
    ServerName::try_from(name.to_owned()).map_err(|_| OutboundError::Name {
        name: name.to_owned(),
    })
}

/// Why a connector cannot be made: for who wrote the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutboundError {
    /// The name cannot stand in a certificate.
    Name {
        /// As written.
        name: String,
    },
    /// `ca_file` cannot be used.
    CaFile {
        /// As written.
        file: std::path::PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The system's authorities cannot be used.
    System {
        /// What is wrong with them.
        why: String,
    },
}

impl fmt::Display for OutboundError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { name } => write!(
                f,
                "{name:?} cannot stand in a certificate; set server_name to the name in the upstream's certificate"
            ),
            Self::CaFile { file, why } => write!(
                f,
                "ca_file {} cannot be used: {why}; name a PEM file with the authority's certificate",
                file.display()
            ),
            Self::System { why } => write!(
                f,
                "the system's certificate authorities cannot be used: {why}; install ca-certificates or set ca_file"
            ),
        }
    }
}

impl std::error::Error for OutboundError {}

/// Why there is no connection: for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// The name has no address.
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        why: String,
    },
    /// Nobody listens, or the way is closed.
    Refused {
        /// Where to.
        target: String,
        /// What the system said.
        why: String,
    },
    /// The certificate or the handshake is wrong.
    Tls {
        /// The name that was expected.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// No answer in time; where to.
    TimedOut(String),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve { host, why } => write!(f, "cannot resolve {host}: {why}"),
            Self::Refused { target, why } => write!(f, "cannot connect to {target}: {why}"),
            Self::Tls { name, why } => write!(f, "TLS with {name} failed: {why}"),
            Self::TimedOut(target) => write!(f, "{target} does not answer in time"),
        }
    }
}

impl std::error::Error for ConnectError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(scheme: UpstreamScheme, host: &str, port: u16) -> UpstreamAddr {
        UpstreamAddr {
            scheme,
            target: UpstreamTarget::Tcp {
                host: host.to_owned(),
                port,
            },
        }
    }

    #[test]
    fn the_authority_has_the_port_unless_it_is_the_schemes_own() {
        for (address, expected) in [
            (tcp(UpstreamScheme::Http, "a", 80), "a"),
            (tcp(UpstreamScheme::Http, "a", 443), "a:443"),
            (tcp(UpstreamScheme::Https, "::1", 443), "[::1]"),
            (tcp(UpstreamScheme::H2c, "::1", 8080), "[::1]:8080"),
        ] {
            assert_eq!(authority(&address), expected);
        }
    }

    // Where the system has another congestion control there is nothing to be left out.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_connection_to_a_backend_of_this_machine_is_not_paced() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = open(listener.local_addr().unwrap()).await.unwrap();
        let control = socket2::SockRef::from(&stream).tcp_congestion().unwrap();
        assert!(!control.starts_with(b"bbr"), "{}", control.escape_ascii());
    }

    #[test]
    fn a_wrong_ca_file_says_what_to_write_instead() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let error = Connector::new(
            tcp(UpstreamScheme::Https, "a.example", 443),
            Some(file.path()),
            None,
        )
        .expect_err("an empty file has no certificate");
        assert!(error.to_string().contains("name a PEM file"), "{error}");
    }

    #[tokio::test]
    async fn a_refused_connection_names_the_address() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let connector =
            Connector::new(tcp(UpstreamScheme::Http, "127.0.0.1", port), None, None).expect("plain");
        let error = connector
            .connect(Offer::Any, Duration::from_secs(5))
            .await
            .expect_err("nobody listens");
        assert!(matches!(&error, ConnectError::Refused { target, .. } if target.contains(&port.to_string())));
    }
}
