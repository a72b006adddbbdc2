//! One line per event: the audit file, the log, the access log, the metrics, and the listener
//! on which operators ask.
//!
//! Nothing here decides anything, and nothing here makes a request wait: what cannot be written
//! at once is left out and counted. The one exception is [`audit::Audit::record_change`], whose
//! caller wants to wait.

pub mod access;
pub mod audit;
pub mod log;
pub mod metrics;
pub mod operations;
mod outcome;
mod queue;
pub mod sightings;

pub use outcome::Outcome;
