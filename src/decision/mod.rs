//! Facts in, decision out.

mod answer;
mod authority;
pub mod guard;
mod guessing;
mod permit;
mod refusing;
mod ruling;

pub use answer::{Challenge, Decision, Denial, Fault};
pub use authority::{Authority, Core, Visitor};
pub use guard::Guard;
pub use guessing::Judged;
pub use permit::Permit;
pub use ruling::Ruling;
