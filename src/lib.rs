//! Sidegate: an authentication sidecar.

pub mod accounts;
pub mod authn;
pub mod cli;
pub mod config;
pub mod control;
pub mod crypto;
pub mod decision;
pub mod model;
pub mod observe;
pub mod request;
pub mod store;
pub mod time;
pub mod wire;
