//! `config …`

use clap::Subcommand;

use super::io::Io;
use super::reach::Reach;
use super::show;
use crate::control::Failure;

/// `config …`
#[derive(Subcommand, Clone, Debug)]
pub(super) enum Config {
    /// Print the settings in force after files and environment, as a configuration file
    Print,
    /// Print the JSON schema of the configuration file, for editors
    Schema,
}

/// Runs a `config` verb.
///
/// # Errors
/// The configuration is wrong, or stdout fails.
pub(super) fn run(verb: &Config, reach: &Reach<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    match verb {
        Config::Print => {
            let loaded = reach.loaded()?;
            io.put(crate::config::print(&loaded).as_bytes())
        }
        Config::Schema => show::json(io, &crate::config::schema()),
    }
}
