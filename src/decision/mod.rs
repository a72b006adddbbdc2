//! Facts in, decision out.

mod decision;
mod permit;

pub use decision::{Challenge, Decision, Denial, Fault};
pub use permit::Permit;
