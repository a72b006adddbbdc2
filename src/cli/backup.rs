//! `backup`, `restore` and `reset`: all that the instance owns, as one thing.

use std::io::ErrorKind;
use std::path::PathBuf;

use clap::Args;

use super::io::Io;
use super::reach::{Reach, unexpected};
use super::show;
use crate::control::protocol::{Payload, Request};
use crate::control::{Absent, Failure};

/// `backup`
#[derive(Args, Clone, Debug)]
pub(super) struct Backup {
    /// Where to: a path that does not exist yet, or a directory to put a dated backup into
    #[arg(value_name = "TO")]
    to: PathBuf,
}

/// `restore`
#[derive(Args, Clone, Debug)]
pub(super) struct Restore {
    /// The backup
    #[arg(value_name = "FROM")]
    from: PathBuf,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// `reset`
#[derive(Args, Clone, Debug)]
pub(super) struct Reset {
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Writes a backup.
///
/// # Errors
/// There is no instance, or the backup cannot be written.
pub(super) fn backup(backup: Backup, reach: &Reach<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    // The server has another working directory.
    let to = std::path::absolute(&backup.to).map_err(|error| Failure::io(backup.to.display(), &error))?;
    let answer = reach.ask(Request::Backup { to }, Absent::Refuse)?;
    let Payload::BackedUp { to } = &answer else {
        return Err(unexpected());
    };
    let sentence = format!(
        "wrote {}; it holds the keys too, so keep it as you keep passwords",
        to.display()
    );
    let shown = serde_json::json!({ "to": to });
    show::changed(io, reach.output(), &shown, &sentence)
}

/// Puts a backup in place.
///
/// # Errors
/// A server runs, the backup is none, or it cannot be put in place.
pub(super) fn restore(restore: &Restore, reach: &Reach<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    let settings = reach.settings()?;
    reach.refuse_running_server(&settings, "restore a backup")?;
    // Before anyone is asked, and before a data directory is made for it.
    if let Err(error) = std::fs::read_dir(&restore.from) {
        return Err(match error.kind() {
            ErrorKind::NotFound => {
                Failure::missing(format!("there is no backup at {}", restore.from.display()))
            }
            ErrorKind::NotADirectory => Failure::data(format!(
                "{} is not a backup: a backup is the directory that \"sidegate backup\" wrote",
                restore.from.display()
            )),
            _ => Failure::io(restore.from.display(), &error),
        });
    }
    if !restore.yes {
        let data = settings.server.data.display();
        io.confirm(
            &format!("This replaces everything in {data} by the backup."),
            "restore",
        )?;
    }
    let done = (reach.programs.restore)(&settings, &restore.from)?;
    show::changed(
        io,
        reach.output(),
        &serde_json::json!({ "kept": done.kept }),
        &done.sentence,
    )
}

/// Moves all accounts into a dated backup.
///
/// # Errors
/// A server runs, there is no instance, or it cannot be moved.
pub(super) fn reset(reset: &Reset, reach: &Reach<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    let settings = reach.settings()?;
    reach.refuse_running_server(&settings, "reset it")?;
    if !reset.yes {
        let data = settings.server.data.display();
        io.confirm(
            &format!("This moves all users, groups, tokens and bans of {data} into a dated backup."),
            "reset",
        )?;
    }
    let done = (reach.programs.reset)(&settings)?;
    show::changed(
        io,
        reach.output(),
        &serde_json::json!({ "kept": done.kept }),
        &done.sentence,
    )
}
