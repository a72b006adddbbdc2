//! The command line: one verb, one file. A verb talks to the running server if there is one,
//! else it opens the store itself; either way the same code does the work.

mod app;
mod audit;
mod backup;
mod ban;
mod bench;
mod completions;
mod config;
mod doctor;
mod explain;
mod globals;
mod group;
mod healthcheck;
pub mod io;
mod keys;
mod man;
mod owner;
mod reach;
mod serve;
mod session;
mod setup_link;
mod show;
mod snippet;
mod token;
mod user;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

pub use globals::{Globals, Output};
pub use io::Io;
pub use reach::Surroundings;

use reach::Reach;

use crate::config::{Settings, Sources};
use crate::control::protocol::{Payload, Question, Request};
use crate::control::view::Explanation;
use crate::control::{Absent, Checked, Exit, Failure, Measured, Replaced};

/// What needs the whole server. `main` hands in the real ones.
#[derive(Clone, Copy, Debug)]
pub struct Programs {
    /// Runs the server until it is told to stop.
    pub serve: fn(Sources) -> Result<(), Failure>,
    /// Runs an echo backend behind the gate, with a user and a token, at this loopback address.
    pub demo: fn(SocketAddr) -> Result<(), Failure>,
    /// Measures how much this machine can decide: so long for each row, over so many connections.
    pub bench: fn(Duration, usize) -> Result<Measured, Failure>,
    /// Runs the code that starts the server, up to where it would listen.
    pub check: fn(Sources) -> Result<Checked, Failure>,
    /// Decides about a request without a running server.
    pub explain: fn(Sources, Question) -> Result<Explanation, Failure>,
    /// Takes the lock, opens the store and does it.
    pub locally: fn(&Settings, Request, Absent) -> Result<Payload, Failure>,
    /// Puts the backup at the path in place.
    pub restore: fn(&Settings, &Path) -> Result<Replaced, Failure>,
    /// Moves all accounts into a dated backup.
    pub reset: fn(&Settings) -> Result<Replaced, Failure>,
}

/// Sidegate puts authentication in front of anything: a reverse proxy that lets only the right
/// people and machines through, and a forward-auth server for other proxies.
#[derive(Parser, Debug)]
#[command(
    name = "sidegate",
    bin_name = "sidegate",
    version,
    about = "Puts authentication in front of anything",
    max_term_width = 100,
    after_help = "Exit codes: 0 ok, 64 usage, 65 bad input data, 66 no such file or object, \
                  69 unavailable, 70 internal, 73 cannot create, 74 input or output, \
                  77 no permission, 78 configuration."
)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Run the server
    Serve(serve::Serve),
    /// Try everything at once on loopback: a backend behind the gate, a user, a token
    Demo(serve::Demo),
    /// Say whether a server would start with this configuration, and what is wrong if not
    Check(serve::Check),
    /// Print a new one-time link for the first owner, where there is no user yet
    SetupLink,
    /// People and machines with a name
    #[command(subcommand)]
    User(user::User),
    /// Groups of users, which routes and backends can ask for
    #[command(subcommand)]
    Group(group::Group),
    /// API tokens
    #[command(subcommand)]
    Token(token::Token),
    /// Logins of browsers
    #[command(subcommand)]
    Session(session::Session),
    /// Apps that people let in by the browser
    #[command(subcommand)]
    App(app::App),
    /// Addresses that may not ask
    #[command(subcommand)]
    Ban(ban::Ban),
    /// Say what would be decided about a request, and why
    Explain(explain::Explain),
    /// Print a working configuration for a gateway, as the settings are
    Snippet(snippet::Snippet),
    /// Examine a gateway from outside: what it lets through, what it believes, what it forgets
    Doctor(doctor::Doctor),
    /// Copy everything that the instance owns, while it runs
    Backup(backup::Backup),
    /// Put a backup in place of what is there
    Restore(backup::Restore),
    /// Move all accounts into a dated backup, so that the next start is a first start
    Reset(backup::Reset),
    /// The record of who did what
    #[command(subcommand)]
    Audit(audit::Audit),
    /// The instance's own keys
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Measure how much this machine can decide, beside what password hashes cost on it
    Bench(bench::Bench),
    /// Exit with 0 if the server on this machine is ready, with 69 if not
    ///
    /// With --output json also prints what the server is doing: listeners, upstreams, how many accounts,
    /// tokens, logins and bans there are.
    Healthcheck,
    /// The configuration
    #[command(subcommand)]
    Config(config::Config),
    /// Print a completion script for a shell
    Completions(completions::Completions),
    /// Print the manual pages
    Man(man::Manual),
}

/// Runs one command line with the streams of this process.
pub fn run(arguments: impl IntoIterator<Item = OsString>, programs: &Programs) -> ExitCode {
    ExitCode::from(io::of_this_process(|io| match Surroundings::of_this_process() {
        Ok(surroundings) => run_with(arguments, io, &surroundings, programs),
        Err(failure) => failed(&failure, io),
    }))
}

/// Runs one command line; the exit code.
pub fn run_with(
    arguments: impl IntoIterator<Item = OsString>,
    io: &mut Io<'_>,
    surroundings: &Surroundings,
    programs: &Programs,
) -> u8 {
    let arguments = globals::gathered(arguments);
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return not_run(&error, io),
    };
    let reach = Reach {
        globals: &cli.globals,
        programs,
        surroundings,
    };
    let outcome = if cli.verb.opens_the_store() {
        owner::act_as_owner(&reach, &arguments, io).and_then(|()| dispatch(cli.verb, &reach, io))
    } else {
        dispatch(cli.verb, &reach, io)
    };
    match outcome {
        Ok(()) => 0,
        Err(failure) => failed(&failure, io),
    }
}

impl Verb {
    /// Whether it opens the store itself when no server runs.
    const fn opens_the_store(&self) -> bool {
        match self {
            Verb::User(_)
            | Verb::Group(_)
            | Verb::Token(_)
            | Verb::SetupLink
            | Verb::Session(_)
            | Verb::App(_)
            | Verb::Ban(_)
            | Verb::Explain(_)
            | Verb::Backup(_)
            | Verb::Restore(_)
            | Verb::Reset(_)
            | Verb::Keys(_) => true,
            Verb::Serve(_)
            | Verb::Demo(_)
            | Verb::Check(_)
            | Verb::Audit(_)
            | Verb::Snippet(_)
            | Verb::Doctor(_)
            | Verb::Bench(_)
            | Verb::Healthcheck
            | Verb::Config(_)
            | Verb::Completions(_)
            | Verb::Man(_) => false,
        }
    }
}

fn failed(failure: &Failure, io: &mut Io<'_>) -> u8 {
    io.say(&format!("sidegate: {failure}"));
    failure.exit.code()
}

fn dispatch(verb: Verb, reach: &Reach<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    match verb {
        Verb::Serve(verb) => serve::serve(verb, reach),
        Verb::Demo(verb) => serve::demo(&verb, reach),
        Verb::Check(verb) => serve::check(&verb, reach, io),
        Verb::SetupLink => setup_link::run(reach, io),
        Verb::User(verb) => user::run(verb, reach, io),
        Verb::Group(verb) => group::run(verb, reach, io),
        Verb::Token(verb) => token::run(verb, reach, io),
        Verb::Session(verb) => session::run(verb, reach, io),
        Verb::App(verb) => app::run(verb, reach, io),
        Verb::Ban(verb) => ban::run(verb, reach, io),
        Verb::Explain(verb) => explain::run(verb, reach, io),
        Verb::Snippet(verb) => snippet::run(&verb, reach, io),
        Verb::Doctor(verb) => doctor::run(verb, reach, io),
        Verb::Backup(verb) => backup::backup(verb, reach, io),
        Verb::Restore(verb) => backup::restore(&verb, reach, io),
        Verb::Reset(verb) => backup::reset(&verb, reach, io),
        Verb::Audit(verb) => audit::run(&verb, reach, io),
        Verb::Keys(verb) => keys::run(&verb, reach, io),
        Verb::Bench(verb) => bench::run(&verb, reach, io),
        Verb::Healthcheck => healthcheck::run(reach, io),
        Verb::Config(verb) => config::run(&verb, reach, io),
        Verb::Completions(verb) => completions::run(&verb, io),
        Verb::Man(verb) => man::run(&verb, io),
    }
}

/// Help and version are results; anything else is a mistake on the command line. clap would exit
/// with 2 there, which is nobody's sysexit.
fn not_run(error: &clap::Error, io: &mut Io<'_>) -> u8 {
    let text = error.render();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let shown = if io.color_out {
                text.ansi().to_string()
            } else {
                text.to_string()
            };
            match io.put(shown.as_bytes()) {
                Ok(()) => 0,
                Err(failure) => failure.exit.code(),
            }
        }
        _ => {
            let shown = if io.color_err {
                text.ansi().to_string()
            } else {
                text.to_string()
            };
            let _ = io.stderr.write_all(shown.as_bytes());
            Exit::Usage.code()
        }
    }
}
