//! `man`: the manual pages, made from the same definition as `--help`.

use std::fs;
use std::path::PathBuf;

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

use super::Cli;
use super::io::Io;
use crate::control::{Exit, Failure};

/// The day of this version, at the foot of every page; changes with the version in `Cargo.toml`.
const DATE: &str = "2026-11-22";

/// `man`
#[derive(Args, Clone, Debug)]
pub(super) struct Manual {
    /// Write one file per verb into this directory instead
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints all pages as roff, one after the other, or writes them as files.
///
/// # Errors
/// The directory or stdout cannot be written.
pub(super) fn run(manual: &Manual, io: &mut Io<'_>) -> Result<(), Failure> {
    let pages = pages()?;
    let Some(directory) = &manual.dir else {
        for (_, page) in &pages {
            io.put(page)?;
        }
        return Ok(());
    };
    fs::create_dir_all(directory)
        .map_err(|error| Failure::new(Exit::CannotCreate, format!("{}: {error}", directory.display())))?;
    for (name, page) in &pages {
        let file = directory.join(name);
        fs::write(&file, page)
            .map_err(|error| Failure::new(Exit::CannotCreate, format!("{}: {error}", file.display())))?;
    }
    io.say(&format!("wrote {} pages to {}", pages.len(), directory.display()));
    Ok(())
}

/// Every page with its file name, the program first.
fn pages() -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let mut pages = Vec::new();
    collect(&root, &mut pages)?;
    Ok(pages)
}

fn collect(command: &Command, pages: &mut Vec<(String, Vec<u8>)>) -> Result<(), Failure> {
    let man = Man::new(command.clone())
        .date(DATE)
        .source(concat!("Sidegate ", env!("CARGO_PKG_VERSION")))
        .manual("Sidegate");
    let mut page = Vec::new();
    man.render(&mut page).map_err(|error| {
        let name = command.get_name();
        Failure::new(
            Exit::Internal,
            format!("the page of {name} cannot be made: {error}"),
        )
    })?;
    pages.push((man.get_filename(), page));
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        collect(verb, pages)?;
    }
    Ok(())
}
