//! Facts in, decision out.

mod authority;
mod decision;
pub mod guard;
mod permit;

pub use authority::{Authority, Core, Ruling};
pub use decision::{Challenge, Decision, Denial, Fault};
pub use guard::Guard;
pub use permit::Permit;
