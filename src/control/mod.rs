//! How a command reaches the server that owns the store: one line of JSON each way over
//! `DATA/control.sock`. The same [`Execute`] does the work when no server runs, so both ways
//! do the same.

pub mod client;
pub mod execute;
pub mod failure;
pub mod protocol;
pub mod server;
pub mod view;

pub use client::{Connect, Connection};
pub use execute::{Operations, Property, Running};
pub use failure::{Exit, Failure};
pub use protocol::{Payload, Request, Response, SecretField};
pub use view::{Checked, Measured, Replaced};

use std::future::Future;
use std::pin::Pin;

/// What [`Execute::execute`] returns: it runs where it was started, so it need not be `Send`.
pub type Executing<'a> = Pin<Box<dyn Future<Output = Response> + 'a>>;

/// Does what a request says. Two implementers: the accounts of an opened store, and tests.
pub trait Execute {
    /// The change is committed and in force on every core when the future is ready.
    fn execute(&self, request: Request) -> Executing<'_>;
}

/// The socket's name in the data directory.
pub const SOCKET: &str = "control.sock";

/// What a verb does where there is no instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// Exit 66 and create nothing.
    Refuse,
    /// Make one: `user add`.
    Create,
}
