//! `sidegate serve`: from settings to a running server, and to its end.

use std::rc::Rc;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::LocalSet;

use super::parts::Parts;
use super::reload::Reload;
use super::{periodic, wrong_config};
use crate::config::settings::{Listen, Settings};
use crate::config::{self, Loaded, Sources};
use crate::control::{self, Exit, Failure, SOCKET};
use crate::gate::{Gate, Shared};
use crate::observe::audit::{Event, Line};
use crate::observe::{self, operations};
use crate::request::Peer;
use crate::server::{self, Role, Serve, Server, systemd, tls};
use crate::time::Clock;
use crate::upstream::{Signals, Upstreams};
use crate::wire::Body;

/// Runs the server until it is told to stop.
///
/// # Errors
/// It could not start; nothing was changed by a start that failed on its settings or addresses.
pub fn serve(sources: Sources) -> Result<(), Failure> {
    let loaded = config::load(&sources).map_err(|errors| wrong_config(&errors))?;
    let log = observe::log::start(&loaded.settings.log, observe::log::Terminal::stderr())
        .map_err(|error| Failure::new(Exit::Internal, error.to_string()))?;
    block_on(async move {
        let running = Running::start(sources, loaded, Clock::system()).await?;
        running.until_told_to_stop(log).await
    })
}
