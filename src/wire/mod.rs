//! Small HTTP pieces without a home elsewhere.

pub mod accept;
mod body;
pub mod chunked;
pub mod cookie;
pub mod escape;
pub mod headers;
pub mod hex;
pub mod http1;
mod pieces;
pub mod problem;
pub mod qr;
pub mod query;
pub mod spare;

pub use body::{Body, BodyError};
pub use pieces::Pieces;
pub use problem::{Form, problem};
