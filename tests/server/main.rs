//! The server over real sockets: raw clients on loopback, and a service that does what its
//! request's path says.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod harness;
mod http1;
mod http2;
mod listeners;
mod tls;
