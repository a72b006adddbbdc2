//! Options of every verb, before or after it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Options of every verb.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Globals {
    /// A configuration file; repeat it for several, later ones win [default:
    /// /etc/sidegate/sidegate.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub config: Vec<PathBuf>,

    /// The directory that holds all that the instance owns [default: /var/lib/sidegate as root, else
    /// $XDG_DATA_HOME/sidegate]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options")]
    pub data: Option<PathBuf>,

    /// How results look
    #[arg(
        long,
        global = true,
        value_name = "FORM",
        value_enum,
        default_value_t,
        help_heading = "Global options"
    )]
    pub output: Output,
}

/// `--output`
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// The same command line with every `--config` in front of the verb, in order. clap keeps only
/// one place of a global option, and would silently forget a file that stands before the verb
/// when another stands after it.
pub(super) fn gathered(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments = arguments.into_iter().peekable();
    let mut files: Vec<OsString> = arguments.next().into_iter().collect();
    let mut rest = Vec::new();
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            rest.push(argument);
            rest.extend(arguments);
            break;
        }
        let is_option = |next: &OsString| next.as_encoded_bytes().starts_with(b"-");
        if argument.as_encoded_bytes().starts_with(b"--config=") {
            files.push(argument);
        } else if argument == "--config" && arguments.peek().is_some_and(|next| !is_option(next)) {
            files.push(argument);
            files.extend(arguments.next());
        } else {
            rest.push(argument);
        }
    }
    files.extend(rest);
    files
}
