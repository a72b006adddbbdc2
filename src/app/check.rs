//! `sidegate check`: the code that starts the server, up to where it would listen.

use super::open::load_certificates;
use super::wrong_config;
use crate::config::{self, Sources};
use crate::control::view::Checked;
use crate::control::{Exit, Failure};
use crate::time::Clock;
use crate::upstream::Backends;

/// Says what is wrong, or what should be looked at. Opens no store and changes nothing.
///
/// # Errors
/// A server would not start with this configuration.
pub fn check(sources: Sources) -> Result<Checked, Failure> {
    let loaded = config::load(&sources).map_err(|errors| wrong_config(&errors))?;
    let clock = Clock::system();
    let mut warnings = loaded.warnings;
    if let Some(certificates) = load_certificates(&loaded.settings)? {
        warnings.extend(certificates.warnings(clock.now()));
    }
    Backends::new(clock)
        .resolve(&loaded.settings.routes)
        .map_err(|error| Failure::new(Exit::Config, error.to_string()))?;
    Ok(Checked { warnings })
}
