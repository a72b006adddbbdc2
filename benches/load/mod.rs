//! What the benches that need a real server share: the server, a raw backend, a raw client, and what
//! the system says of a process.

#![allow(dead_code, unused_imports, reason = "each bench uses its part")]

mod client;
mod process;
mod server;
pub(crate) mod store;
pub(crate) mod tokens;

pub(crate) use client::{Client, length};
pub(crate) use process::Process;
pub(crate) use server::{Backend, Gate, free_address};
