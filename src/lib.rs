//! Sidegate: an authentication sidecar.

pub mod accounts;
pub mod authn;
pub mod config;
pub mod crypto;
pub mod decision;
pub mod model;
pub mod outbound;
pub mod observe;
pub mod request;
pub mod server;
pub mod store;
pub mod time;
pub mod upstream;
pub mod wire;
