//! Small HTTP pieces without a home elsewhere.

pub mod accept;
mod answer;
mod body;
pub mod chunked;
pub mod cookie;
pub mod escape;
mod fields;
pub mod headers;
pub mod hex;
pub mod http1;
pub mod names;
pub mod pacing;
mod pieces;
mod pipe;
mod plain_head;
pub mod problem;
pub mod qr;
pub mod query;
pub mod redact;
pub mod scan;
pub mod spare;
mod splice;
mod transfer;

pub use answer::{Answer, Later, Lines, Now, each_field};
pub use body::{Body, BodyError, Piped};
pub use fields::{Fields, Name, Named, NotText, Several, Value};
pub use names::{Known, Names};
pub use pieces::Pieces;
pub use pipe::{Pipe, Splice};
pub use problem::{Form, problem};
pub use transfer::Transfer;
