//! The command line as people meet it: the real binary, with a server and without one.

#[path = "../support/mod.rs"]
mod support;

mod explain;
mod keys;
mod trouble;
