//! Small HTTP pieces without a home elsewhere.

pub mod accept;
mod body;
pub mod headers;
pub mod query;
pub mod escape;
pub mod hex;
pub mod problem;

pub use body::{Body, BodyError};
pub use problem::{Form, problem};
