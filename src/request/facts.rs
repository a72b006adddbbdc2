//! Everything known about a request before anyone asks who sent it.

use std::net::IpAddr;

use http::Method;

use super::{Peer, RequestId, SafePath, client_addr};
use crate::time::Timestamp;
pub use crate::wire::accept::Expects;
use crate::wire::{Fields, accept};

/// What is known about one request before anyone asks who sent it.
///
/// Proxy mode and every forward-auth dialect produce the same facts, so nothing below this type
/// can tell how the question reached us.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'r> {
    /// When the request arrived. Everything that depends on time uses this value.
    pub now: Timestamp,
    /// The id in our log line, the answer and the backend's request.
    pub id: RequestId,
    /// The client, after every *trusted* proxy was peeled off.
    pub client: Client,
    /// The method of the request that is judged.
    pub method: &'r Method,
    /// How the client reached us, or the gateway.
    pub scheme: Scheme,
    /// Lower case, without port and trailing dot.
    pub host: &'r str,
    /// As the client wrote it: with the port, for redirects.
    pub authority: &'r str,
    /// The only form of the path that policy sees.
    pub path: &'r SafePath<'r>,
    /// Without the `?`; empty when there is none.
    pub query: &'r str,
    /// Names outside `[A-Za-z0-9-]` are gone, duplicates of what must be single were refused.
    pub headers: &'r Fields<'r>,
    /// What the client can do with a refusal, where it was told; none: its headers tell, which nobody need read of a
    /// request that is let through.
    pub expects: Option<Expects>,
}

impl Facts<'_> {
    /// What the client can do with a refusal.
    pub fn expects(&self) -> Expects {
        let told = || accept::expects(self.method, self.headers);
        self.expects.unwrap_or_else(told)
    }

    /// Whether it asks for a WebSocket.
    #[inline]
    pub fn is_upgrade(&self) -> bool {
        self.expects == Some(Expects::Upgrade)
    }
}

/// Whose request it is, as an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// An address: the peer, or the right-most untrusted hop of a trusted proxy's chain.
    Address(IpAddr),
    /// A trusted proxy that named no client: never banned; a trusted network only if listed by
    /// its exact address.
    Proxy(IpAddr),
    /// A unix-socket peer that named no client.
    Unix,
}

impl Client {
    /// Whoever is on the socket.
    pub fn of(peer: &Peer) -> Self {
        let own = |address: std::net::SocketAddr| Client::Address(client_addr::canonical(address.ip()));
        peer.address.map_or(Client::Unix, own)
    }

    /// The address, if there is one: for logs, networks and the backend's `X-Forwarded-For`.
    pub fn address(self) -> Option<IpAddr> {
        match self {
            Client::Address(address) | Client::Proxy(address) => Some(address),
            Client::Unix => None,
        }
    }
}

impl std::fmt::Display for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Client::Address(address) | Client::Proxy(address) => address.fmt(f),
            Client::Unix => f.write_str("unix"),
        }
    }
}

/// `http` or `https`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain text.
    Http,
    /// TLS, ours or a trusted proxy's.
    Https,
}

impl Scheme {
    /// The word in a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}
