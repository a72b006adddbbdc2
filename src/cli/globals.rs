//! Options of every verb, before or after it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Options of every verb.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Globals {
    /// A configuration file; repeat it for several, later ones win [default:
    /// /etc/sidegate/sidegate.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub config: Vec<PathBuf>,

    /// The directory that holds all that the instance owns
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
