//! What the audit file says of decisions that were made.

use std::ops::ControlFlow;
use std::path::Path;

use super::failure::Failure;
use super::protocol::{Filter, Question, Recorded, What, Who};
use super::view::EventView;
use crate::observe::audit;

/// More of the file is not read for one question: a minute of a busy edge, a year of a house.
const MOST_BYTES: u64 = 64 * 1024 * 1024;
/// More lines are not given at once.
const MOST_LINES: usize = 500;

/// The question about a request that was decided.
///
/// # Errors
/// That is no id, or no line is about it.
pub fn question_about(file: &Path, id: &str) -> Result<Question, Failure> {
    if id.len() != 16 || !id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(Failure::usage(format!(
            "{id:?} is no request id; it is the 16 digits after request.id= in the log, and X-Request-Id of the answer"
        )));
    }
    let line = audit::find_request(file, id).map_err(|error| Failure::io(file.display(), &error))?;
    let line = line.ok_or_else(|| {
        Failure::missing(format!(
            "there is no request {id} in {}: allowed requests are in it once per credential, route and hour \
             (audit.allowed = \"all\" writes each), and of many refusals alike some are left out",
            file.display()
        ))
    })?;
    let line: Recorded = serde_json::from_str(&line).map_err(|error| {
        Failure::data(format!(
            "the line of {id} in {} is damaged: {error}",
            file.display()
        ))
    })?;
    let host = if line.host.is_empty() {
        "unknown.invalid"
    } else {
        &line.host
    };
    let path = if line.path.starts_with('/') {
        &line.path
    } else {
        "/"
    };
    Ok(Question {
        from: line.client.parse().ok(),
        method: line.method.clone(),
        url: format!("http://{host}{path}"),
        browser: false,
        who: Who::Recorded(Box::new(line)),
    })
}

/// The newest lines that pass the filter, the newest first.
///
/// # Errors
/// The file cannot be read.
pub(super) fn newest(file: &Path, filter: &Filter) -> Result<Vec<EventView>, Failure> {
    passing(file, filter, |event, _| event)
}

/// The same as they stand in the file, the newest last.
///
/// # Errors
/// The file cannot be read.
pub fn newest_lines(file: &Path, filter: &Filter) -> Result<Vec<String>, Failure> {
    let mut lines = passing(file, filter, |_, line| line.to_owned())?;
    lines.reverse();
    Ok(lines)
}

fn passing<T>(file: &Path, filter: &Filter, take: impl Fn(EventView, &str) -> T) -> Result<Vec<T>, Failure> {
    let limit = filter.limit.clamp(1, MOST_LINES);
    let mut found = Vec::new();
    let look = |line: &str| {
        // What is no line of ours was not written by us.
        if let Ok(event) = serde_json::from_str::<EventView>(line)
            && passes(filter, &event)
        {
            found.push(take(event, line));
        }
        match found.len() < limit {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    };
    audit::backwards(file, MOST_BYTES, look).map_err(|error| Failure::io(file.display(), &error))?;
    Ok(found)
}

fn passes(filter: &Filter, event: &EventView) -> bool {
    let decided = matches!(event.event.as_str(), "request" | "login");
    let kind = match filter.what {
        What::All => true,
        What::Decisions => decided,
        What::Changes => !decided,
    };
    let is = |wanted: &str, value: &str| wanted.is_empty() || wanted.eq_ignore_ascii_case(value);
    kind && filter.before.is_none_or(|before| event.seq < before)
        && is(&filter.decision, &event.decision)
        && (is(&filter.user, &event.user) || is(&filter.user, &event.actor))
        && is(&filter.client, &event.client)
        && (filter.path.is_empty() || format!("{}{}", event.host, event.path).contains(&filter.path))
}
