//! Attacks on the real program, over real sockets.

mod browsers;
mod leaks;
mod leases;
#[path = "../support/mod.rs"]
#[allow(unused_imports, reason = "several test binaries use it")]
mod support;
mod weight;
