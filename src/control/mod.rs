//! What can be asked of an instance, and who does it ([`Operations`]). Commands reach the server that
//! owns the store by one line of JSON each way over `DATA/control.sock`; pages and the REST interface
//! reach it from their threads by [`Reach`]. When no server runs, a command does the same by itself.

pub mod by;
pub mod client;
pub mod execute;
pub mod failure;
pub mod protocol;
pub mod question;
pub mod reach;
pub mod recorded;
pub mod server;
pub mod view;
pub mod words;

pub use crate::config::data_files::SOCKET;
pub use by::{By, Shown};
pub use client::{Connect, Connection};
pub use execute::{Operations, Property, Running};
pub use failure::{Exit, Failure};
pub use protocol::{Payload, Request, Response, SecretField};
pub use reach::{Reach, Reached};
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

/// What a verb does where there is no instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// Exit 66 and create nothing.
    Refuse,
    /// Make one: `user add`.
    Create,
}
