//! `audit …`

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;

use super::io::{Io, printable};
use super::reach::Reach;
use super::show;
use crate::control::{Exit, Failure};

/// How often a followed file is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// The longest audit line that is shown whole.
const MAX_LINE: u64 = 64 * 1024;

/// `audit …`
#[derive(Subcommand, Clone, Debug)]
pub enum Audit {
    /// Check that no line was changed, removed or put in between
    Verify {
        /// The file [default: the instance's]
        file: Option<PathBuf>,
    },
    /// Print the last lines
    Tail {
        /// How many
        #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
        lines: usize,
        /// Go on with new lines until interrupted
        #[arg(short, long)]
        follow: bool,
        /// The file [default: the instance's]
        file: Option<PathBuf>,
    },
}

/// What `audit verify` read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// How many lines, all of which are as they were written.
    pub lines: u64,
}

/// Runs an `audit` verb.
///
/// # Errors
/// There is no such file, or it is not as it was written ([`Exit::Data`]).
pub fn run(verb: &Audit, reach: &Reach<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    match verb {
        Audit::Verify { file } => {
            let file = file_of(file.as_ref(), reach)?;
            let verified = (reach.programs.verify)(&file)?;
            let sentence = format!(
                "{}: {} lines, all as they were written",
                file.display(),
                verified.lines
            );
            show::changed(io, reach.output(), &verified, &sentence)
        }
        Audit::Tail { lines, follow, file } => {
            let file = file_of(file.as_ref(), reach)?;
            let failed = |error: &std::io::Error| Failure::io(file.display(), error);
            let mut open = File::open(&file).map_err(|error| failed(&error))?;
            let last = last_lines(&mut open, *lines).map_err(|error| failed(&error))?;
            for line in last {
                put_line(io, &line)?;
            }
            if *follow {
                go_on(&mut open, io).map_err(|error| failed(&error))?;
            }
            Ok(())
        }
    }
}

fn file_of(named: Option<&PathBuf>, reach: &Reach<'_>) -> Result<PathBuf, Failure> {
    let file = match named {
        Some(file) => file.clone(),
        None => reach.settings()?.audit.file,
    };
    if !file.exists() {
        return Err(Failure::missing(format!(
            "there is no audit file {}; name it, or its instance with --data",
            file.display()
        )));
    }
    Ok(file)
}
