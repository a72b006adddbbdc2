//! Small HTTP pieces without a home elsewhere.

mod body;
pub mod hex;

pub use body::{Body, BodyError};
