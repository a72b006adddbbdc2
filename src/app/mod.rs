//! Where all parts meet: the only folder that knows them all.

mod address;
mod announce;
mod bans;
mod bench;
mod check;
mod commands;
mod demo;
mod echo;
mod explain;
mod folder;
mod gauges;
mod local;
mod near;
mod open;
mod owned;
mod parts;
mod periodic;
mod reasons;
mod reload;
mod serve;
mod stop;
mod unjudged;

pub use bench::bench;
pub use check::check;
pub use demo::demo;
pub use explain::explain;
pub use local::{locally, reset, restore};
pub use serve::serve;

use std::future::Future;

use tokio::task::LocalSet;

use crate::config::{self, ConfigError};
use crate::control::{Exit, Failure};

/// Runs on the calling thread; what it spawns need not be `Send`.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Internal, format!("no runtime: {error}")))?;
    LocalSet::new().block_on(&runtime, work)
}

/// Every problem of a configuration, one a line.
fn wrong_config(errors: &[ConfigError]) -> Failure {
    Failure::new(Exit::Config, config::all_of(errors))
}
