//! `keys …`

use clap::Subcommand;

use super::io::Io;
use super::reach::{Reach, unexpected};
use super::show;
use crate::control::protocol::{Payload, Request};
use crate::control::{Absent, Failure};

/// `keys …`
#[derive(Subcommand, Clone, Debug)]
pub(super) enum Keys {
    /// List the instance's key files with their fingerprints
    List,
}

/// Runs a `keys` verb.
///
/// # Errors
/// There is no instance, or its keys cannot be read.
pub(super) fn run(verb: &Keys, reach: &Reach<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    match verb {
        Keys::List => {
            let Payload::Keys(keys) = reach.ask(Request::KeysList, Absent::Refuse)? else {
                return Err(unexpected());
            };
            show::list(
                io,
                reach.output(),
                &["NAME", "FINGERPRINT", "FILE"],
                &keys,
                |table, key| {
                    table.row([
                        key.name.clone(),
                        key.fingerprint.clone(),
                        key.file.display().to_string(),
                    ]);
                },
            )
        }
    }
}
