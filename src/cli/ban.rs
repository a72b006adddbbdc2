//! `ban …`

use std::time::Duration;

use clap::Subcommand;
use ipnet::IpNet;

use super::io::Io;
use super::reach::{Reach, unexpected};
use super::show;
use super::user::done;
use crate::control::protocol::{Payload, Request};
use crate::control::{Absent, Failure, words};

/// `ban …`
#[derive(Subcommand, Clone, Debug)]
pub(super) enum Ban {
    /// Ban an address or a network
    Add {
        /// The address, or a network in CIDR
        #[arg(value_name = "ADDR", value_parser = words::network)]
        network: IpNet,
        /// For how long, such as 12h [default: until removed]
        #[arg(long = "for", value_name = "D", value_parser = words::duration)]
        length: Option<Duration>,
    },
    /// List bans
    List,
    /// End a ban
    Remove {
        /// The address or network, as listed
        #[arg(value_name = "ADDR", value_parser = words::listed_network)]
        network: IpNet,
    },
}

/// Runs a `ban` verb.
///
/// # Errors
/// What was refused, or why nobody could be asked.
pub(super) fn run(verb: Ban, reach: &Reach<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    match verb {
        Ban::Add { network, length } => {
            if length.is_some_and(|length| length.is_zero()) {
                return Err(Failure::usage("a ban of no length bans nobody"));
            }
            let for_seconds = length.map(|length| length.as_secs());
            let request = Request::BanAdd { network, for_seconds };
            let Payload::Ban(ban) = reach.ask(request, Absent::Refuse)? else {
                return Err(unexpected());
            };
            let sentence = match ban.until {
                Some(until) => format!("banned {} until {}", ban.network, show::moment(until)),
                None => format!("banned {0}; end it with: sidegate ban remove {0}", ban.network),
            };
            show::changed(io, reach.output(), &ban, &sentence)
        }
        Ban::Remove { network } => {
            done(reach.ask(Request::BanRemove { network }, Absent::Refuse)?)?;
            io.say(&format!("{network} is not banned any more"));
            Ok(())
        }
        Ban::List => {
            let Payload::Bans(bans) = reach.ask(Request::BanList, Absent::Refuse)? else {
                return Err(unexpected());
            };
            if bans.is_empty() {
                io.say("nobody is banned");
            }
            show::list(
                io,
                reach.output(),
                &["NETWORK", "UNTIL", "TIMES", "WHY", "SINCE"],
                &bans,
                |table, ban| {
                    table.row([
                        ban.network.to_string(),
                        ban.until.map_or_else(|| "removed".to_owned(), show::moment),
                        ban.times.to_string(),
                        ban.why.clone(),
                        show::moment(ban.since),
                    ]);
                },
            )
        }
    }
}
