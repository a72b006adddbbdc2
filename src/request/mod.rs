//! What is known about a request before anyone asks who sent it, and the strict gate in front.

pub mod admission;
pub mod client_addr;
pub mod facts;
pub mod host;
pub mod origin;
pub mod received;
pub mod request_id;
pub mod safe_path;

pub use facts::{Client, Expects, Facts, Scheme};
pub use received::Received;
pub use request_id::RequestId;
pub use safe_path::SafePath;

/// Who is on the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The address of the other end; none on a unix socket.
    pub address: Option<std::net::SocketAddr>,
    /// Whether TLS ends here.
    pub tls: bool,
}
