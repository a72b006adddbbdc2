//! `bench`: how much this machine can decide.

use std::time::Duration;

use clap::Args;

use super::globals::Output;
use super::io::Io;
use super::reach::Reach;
use super::show::{self, Table};
use crate::config::units;
use crate::control::Failure;

/// `bench`
#[derive(Args, Clone, Debug)]
pub(super) struct Bench {
    /// How long each row is measured
    #[arg(long = "for", value_name = "D", value_parser = span, default_value = "2s")]
    span: Duration,
    /// How many connections ask at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000), default_value_t = 64)]
    connections: u16,
}

/// Measures and shows it.
///
/// # Errors
/// What the server said; [`crate::control::Exit::Io`] when stdout fails.
pub(super) fn run(bench: &Bench, reach: &Reach<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    io.say("a server of its own is measured, on loopback, with the settings' defaults; nothing of yours is touched");
    let measured = (reach.programs.bench)(bench.span, bench.connections.into())?;
    if reach.output() == Output::Json {
        return show::json(io, &measured);
    }
    let mut table = Table::new(&["WHAT", "PER SECOND", "P50", "P99"]);
    for speed in &measured.rows {
        let rate = match speed.per_second {
            slow if slow < 100.0 => format!("{slow:.1}"),
            quick => format!("{quick:.0}"),
        };
        table.row([
            speed.what.clone(),
            rate,
            micros(speed.p50_us),
            micros(speed.p99_us),
        ]);
    }
    io.put(table.render().as_bytes())?;
    io.say(&format!(
        "{} connections asked at once, from the {} processors that the server ran on too; \
         hashes are those of one processor",
        measured.connections, measured.processors
    ));
    Ok(())
}

fn span(text: &str) -> Result<Duration, String> {
    let span = units::duration(text)
        .map_err(|wrong| wrong.hint.unwrap_or_else(|| format!("it {}", wrong.message)))?;
    match span.as_millis() {
        10..=60_000 => Ok(span),
        _ => Err("write 10ms to 60s".to_owned()),
    }
}

fn micros(value: u64) -> String {
    match value {
        0..10_000 => format!("{value} us"),
        10_000..10_000_000 => format!("{} ms", value / 1000),
        _ => format!("{} s", value / 1_000_000),
    }
}
