//! Few connections on two workers: how even they come out, and what follows from it.

use crate::ask::{Case, Sample, Tool};
use crate::cases::Stage;
use crate::load::Process;

/// Connections of one gateway.
const COUNTS: [u32; 4] = [1, 2, 4, 64];

/// What was seen with so many connections.
pub(crate) struct Few {
    pub(crate) connections: u32,
    /// Of each round, the part of the workers' processor time that the busiest took.
    pub(crate) shares: Vec<f64>,
    pub(crate) rounds: Vec<Sample>,
}

/// Asks with so many connections at a time, opened anew in each round; the workers may take every processor,
/// which they share with the load.
///
/// # Errors
/// An answer was none, or no success.
pub(crate) fn measure(stage: &Stage<'_>, load: usize, rounds: usize) -> Result<Vec<Few>, String> {
    const SECONDS: u32 = 1;
    let (case, _gate) = stage.few();
    case.check(Tool::Wrk(1), stage.folder)?;
    let mut seen: Vec<Few> = COUNTS
        .into_iter()
        .map(|connections| Few {
            connections,
            shares: Vec::new(),
            rounds: Vec::new(),
        })
        .collect();
    case.ask(Tool::Wrk(64), SECONDS, stage.folder, load)?;
    for round in 1..=rounds {
        eprintln!("few connections: round {round} of {rounds}");
        for few in &mut seen {
            let before = workers(&case);
            let sample = case.ask(Tool::Wrk(few.connections), SECONDS, stage.folder, load)?;
            if sample.errors > 0 || sample.requests == 0 {
                return Err(format!("{} errors of {} answers", sample.errors, sample.requests));
            }
            let after = workers(&case);
            let used: Vec<f64> = after
                .iter()
                .zip(before)
                .map(|(after, before)| after - before)
                .collect();
            let most = used.iter().copied().fold(0.0, f64::max);
            few.shares.push(most / used.iter().sum::<f64>());
            few.rounds.push(sample);
        }
    }
    Ok(seen)
}

/// Seconds of processor time of each worker.
fn workers(case: &Case) -> Vec<f64> {
    let threads = Process::threads(case.process);
    let workers = threads.iter().filter(|(name, _)| name.starts_with("worker-"));
    workers.map(|(_, used)| used.as_secs_f64()).collect()
}
