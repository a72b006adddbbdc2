//! Where all parts meet: the only folder that knows them all.

mod announce;
mod check;
mod commands;
mod demo;
mod echo;
mod explain;
mod gauges;
mod local;
mod near;
mod owned;
mod parts;
mod periodic;
mod reasons;
mod reload;
mod serve;

pub use check::check;
pub use demo::demo;
pub use explain::explain;
pub use local::{locally, reset, restore};
pub use serve::serve;

use crate::config::{self, ConfigError};
use crate::control::{Exit, Failure};

/// Every problem of a configuration, one a line.
fn wrong_config(errors: &[ConfigError]) -> Failure {
    Failure::new(Exit::Config, config::all_of(errors))
}
