//! Attacks on the real program, over real sockets.

mod leases;
#[path = "../support/mod.rs"]
#[allow(unreachable_pub, reason = "several test binaries use it")]
mod support;
