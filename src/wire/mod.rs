//! Small HTTP pieces without a home elsewhere.

mod body;
pub mod escape;
pub mod hex;
pub mod problem;

pub use body::{Body, BodyError};
pub use problem::{Form, problem};
