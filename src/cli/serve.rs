//! `serve`, `demo` and `check`: what needs the whole server.

use std::net::SocketAddr;

use clap::Args;

use super::globals::Output;
use super::io::Io;
use super::reach::Reach;
use super::show;
use crate::config::Overrides;
use crate::control::{Exit, Failure};

/// `serve`
#[derive(Args, Clone, Debug)]
pub(super) struct Serve {
    /// What to protect, such as http://127.0.0.1:8123; then no configuration file is needed; repeat
    /// it for several addresses of the same thing
    #[arg(long, value_name = "URL")]
    upstream: Vec<String>,
    /// Where to listen; repeat it for several [default: 127.0.0.1:8480]
    #[arg(long, value_name = "ADDR")]
    listen: Vec<String>,
    /// A proxy or a network of proxies in front of us, whose X-Forwarded-* headers are believed;
    /// repeat it for several [default: nobody]
    #[arg(long, value_name = "CIDR")]
    trust: Vec<String>,
}

/// `demo`
#[derive(Args, Clone, Debug)]
pub(super) struct Demo {
    /// Where to listen, on loopback
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8480")]
    listen: SocketAddr,
}

/// `check`
#[derive(Args, Clone, Debug)]
pub(super) struct Check {
    /// Count warnings as errors
    #[arg(long)]
    strict: bool,
}

/// Runs the server until it is told to stop.
///
/// # Errors
/// It could not start, or had to stop.
pub(super) fn serve(serve: Serve, reach: &Reach<'_>) -> Result<(), Failure> {
    let mut sources = reach.sources()?;
    sources.overrides = Overrides {
        upstream: serve.upstream,
        listen: serve.listen,
        trust: serve.trust,
        ..sources.overrides
    };
    (reach.programs.serve)(sources)
}

/// Runs everything at once on loopback.
///
/// # Errors
/// The address is not loopback, or what the server said.
pub(super) fn demo(demo: &Demo, reach: &Reach<'_>) -> Result<(), Failure> {
    if !demo.listen.ip().is_loopback() {
        return Err(Failure::usage(
            "the demonstration has a known user, so it listens on loopback only; write 127.0.0.1:PORT",
        ));
    }
    (reach.programs.demo)(demo.listen)
}

/// Says whether a server would start.
///
/// # Errors
/// [`Exit::Config`] when it would not, or when `--strict` meets a warning.
pub(super) fn check(check: &Check, reach: &Reach<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    let checked = (reach.programs.check)(reach.sources()?)?;
    for warning in &checked.warnings {
        io.say(&format!("warning: {warning}"));
    }
    if reach.output() == Output::Json {
        show::json(io, &checked)?;
    }
    match checked.warnings.len() {
        0 => io.say("a server would start with this configuration"),
        count if check.strict => {
            return Err(Failure::new(
                Exit::Config,
                format!("{count} warning(s), which --strict counts as errors"),
            ));
        }
        _ => io.say("a server would start with this configuration; look at the warnings"),
    }
    Ok(())
}
