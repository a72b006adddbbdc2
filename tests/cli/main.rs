//! The command line as people meet it: the real binary, with a server and without one.

#[allow(unreachable_pub, reason = "it is shared with other test programs")]
#[path = "../support/mod.rs"]
mod support;

mod explain;
mod keys;
mod trouble;
