//! `completions`: what the shell needs to complete our verbs.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use super::io::Io;
use crate::control::Failure;

/// `completions`
#[derive(Args, Clone, Debug)]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// [`crate::control::Exit::Io`] when stdout fails.
pub(super) fn run(completions: &Completions, io: &mut Io<'_>) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut Cli::command(), "sidegate", &mut script);
    io.put(&script)
}
