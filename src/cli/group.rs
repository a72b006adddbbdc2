//! `group …`

use clap::Subcommand;

use super::globals::Globals;
use super::io::Io;
use super::reach::{Absent, ask, unexpected};
use super::show;
use super::user::done;
use crate::control::Failure;
use crate::control::protocol::{Payload, Request};

/// `group …`
#[derive(Subcommand, Clone, Debug)]
pub enum Group {
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
pub fn run(verb: Group, globals: &Globals, io: &mut Io<'_>) -> Result<(), Failure> {
    match verb {
        Group::Add { name } => {
            done(ask(
                globals,
                io,
                Request::GroupAdd { name: name.clone() },
                Absent::Refuse,
            )?)?;
            io.say(&format!("added group {name}"));
            Ok(())
        }
        Group::Remove { name } => {
            done(ask(
                globals,
                io,
                Request::GroupRemove { name: name.clone() },
                Absent::Refuse,
            )?)?;
            io.say(&format!("removed group {name}"));
            Ok(())
        }
        Group::List => {
            let Payload::Groups(groups) = ask(globals, io, Request::GroupList, Absent::Refuse)? else {
                return Err(unexpected());
            };
            if groups.is_empty() {
                io.say("there are no groups");
            }
            show::list(io, globals.output, &["NAME", "CREATED"], &groups, |table, group| {
                table.row([group.name.clone(), show::moment(group.created)]);
            })
        }
    }
}
