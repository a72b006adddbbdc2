//! Attacks on the real program, over real sockets.

mod browsers;
mod leaks;
mod leases;
#[path = "../support/mod.rs"]
mod support;
mod weight;
