//! Small HTTP pieces without a home elsewhere.

pub mod accept;
mod body;
pub mod headers;
pub mod hex;
pub mod query;

pub use body::{Body, BodyError};
