//! `group …`

use clap::Subcommand;

use super::io::Io;
use super::reach::{Reach, unexpected};
use super::show;
use super::user::done;
use crate::control::protocol::{Payload, Request};
use crate::control::{Absent, Failure};

/// `group …`
#[derive(Subcommand, Clone, Debug)]
pub(super) enum Group {
    /// Add a group
    Add {
        /// Its name
        name: String,
    },
    /// List groups
    List,
    /// Remove a group, and every user from it
    Remove {
        /// Its name
        name: String,
    },
}

/// Runs a `group` verb.
///
/// # Errors
/// What the accounts refused, or why they could not be reached.
pub(super) fn run(verb: Group, reach: &Reach<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    match verb {
        Group::Add { name } => {
            done(reach.ask(Request::GroupAdd { name: name.clone() }, Absent::Refuse)?)?;
            io.say(&format!("added group {name}"));
            Ok(())
        }
        Group::Remove { name } => {
            done(reach.ask(Request::GroupRemove { name: name.clone() }, Absent::Refuse)?)?;
            io.say(&format!("removed group {name}"));
            Ok(())
        }
        Group::List => {
            let Payload::Groups(groups) = reach.ask(Request::GroupList, Absent::Refuse)? else {
                return Err(unexpected());
            };
            if groups.is_empty() {
                io.say("there are no groups");
            }
            show::list(
                io,
                reach.output(),
                &["NAME", "CREATED"],
                &groups,
                |table, group| {
                    table.row([group.name.clone(), show::moment(group.created)]);
                },
            )
        }
    }
}
