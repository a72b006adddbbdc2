//! Attacks on the real program, over real sockets.

mod browsers;
mod leaks;
mod leases;
#[path = "../support/mod.rs"]
#[allow(unreachable_pub, unused_imports, reason = "several test binaries use it")]
mod support;
