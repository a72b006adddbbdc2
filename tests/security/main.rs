//! Attacks on the real program, over real sockets.

mod leases;
#[path = "../support/mod.rs"]
mod support;
