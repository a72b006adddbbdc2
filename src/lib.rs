//! Sidegate: an authentication sidecar. Nobody and nothing reaches a backend without a credential.
//!
//! Follow a request from [`gate::Gate::handle`]; `ARCHITECTURE.md` has the map. The modules stand in
//! the order of their layers: each imports earlier ones only.

pub mod time;

pub mod crypto;
pub mod wire;

pub mod config;
pub mod model;
pub mod outbound;
pub mod request;

pub mod store;

pub mod instance;

pub mod accounts;

pub mod authn;

pub mod policy;

pub mod decision;

pub mod dialect;
pub mod observe;
pub mod upstream;

pub mod control;

pub mod pages;

pub mod api;

pub mod gate;

pub mod server;

pub mod doctor;

pub mod cli;

pub mod app;
