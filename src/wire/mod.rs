//! Small HTTP pieces without a home elsewhere.

pub mod accept;
mod body;
pub mod cookie;
pub mod escape;
pub mod headers;
pub mod hex;
pub mod problem;
pub mod qr;
pub mod query;

pub use body::{Body, BodyError};
pub use problem::{Form, problem};
