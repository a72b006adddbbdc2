//! What was decided and done lately, and why.

use askama::Template;
use http::{Response, StatusCode};

use super::{Clerk, Desk, Said};
use crate::control::Payload;
use crate::control::protocol::{Filter, Request, What};
use crate::control::view::{EventView, Explanation};
use crate::pages::frame::{self, Frame};
use crate::pages::language::Words;
use crate::pages::{form, login};
use crate::time::Timestamp;
use crate::wire::{Body, query};

/// Lines on one page.
const AT_ONCE: usize = 25;

#[derive(Template)]
#[template(path = "admin_decisions.html")]
struct Page<'a> {
    f: Frame<'a>,
    d: Desk,
    filter: Filter,
    whats: Vec<Choice>,
    outcomes: Vec<Choice>,
    lines: Vec<Line>,
    /// The query of the next page; empty: there is none.
    older: String,
    is_first: bool,
}

struct Choice {
    value: &'static str,
    text: &'static str,
    chosen: bool,
}

struct Line {
    when: String,
    what: String,
    outcome: &'static str,
    decision: String,
    who: String,
    client: String,
    reason: String,
    by: String,
    /// For the page that says why; empty: there is nothing to say.
    id: String,
}

#[derive(Template)]
#[template(path = "admin_why.html")]
struct Why<'a> {
    f: Frame<'a>,
    d: Desk,
    id: &'a str,
    outcome: &'static str,
    told: Explanation,
}

pub(super) async fn show(clerk: &Clerk<'_>) -> Response<Body> {
    let asked = |name| form::shown(&login::one(clerk.visit.facts.query, name));
    let filter = Filter {
        what: match asked("what").as_str() {
            "changes" => What::Changes,
            "all" => What::All,
            _ => What::Decisions,
        },
        decision: asked("decision"),
        user: asked("user").trim().to_owned(),
        client: asked("client").trim().to_owned(),
        path: asked("path").trim().to_owned(),
        before: asked("before").parse().ok(),
        // One more than is shown says whether there are more.
        limit: AT_ONCE + 1,
    };
    let mut events = match clerk.ask(Request::Decisions(filter.clone())).await {
        Ok(Payload::Decisions(events)) => events,
        Ok(_) => return clerk.odd(),
        Err(failure) => return clerk.failed(&failure),
    };
    let more = events.len() > AT_ONCE;
    events.truncate(AT_ONCE);
    let words = clerk.visit.words;
    let last = events.last().filter(|_| more).map(|event| event.seq);
    let page = Page {
        f: clerk.frame(words.decisions),
        d: clerk.desk("decisions", "/decisions", &Said::default()),
        whats: whats(words, filter.what),
        outcomes: outcomes(words, &filter.decision),
        lines: events.iter().map(|event| line(words, event)).collect(),
        older: last.map(|last| older(&filter, last)).unwrap_or_default(),
        is_first: filter.before.is_none(),
        filter,
    };
    frame::page(clerk.house, StatusCode::OK, &page)
}

pub(super) async fn explain(clerk: &Clerk<'_>, id: &str) -> Response<Body> {
    let told = match clerk.ask(Request::ExplainRecorded { id: id.to_owned() }).await {
        Ok(Payload::Explained(told)) => told,
        Ok(_) => return clerk.odd(),
        Err(failure) => return clerk.failed(&failure),
    };
    let words = clerk.visit.words;
    let page = Why {
        f: clerk.frame(words.why_title),
        d: clerk.desk("decisions", "/decisions", &Said::default()),
        id,
        outcome: outcome(words, told.decision.as_str()),
        told,
    };
    frame::page(clerk.house, StatusCode::OK, &page)
}

fn whats(words: &Words, chosen: What) -> Vec<Choice> {
    let choice = |value, what, text| Choice {
        value,
        text,
        chosen: what == chosen,
    };
    vec![
        choice("decisions", What::Decisions, words.what_decisions),
        choice("changes", What::Changes, words.what_changes),
        choice("all", What::All, words.what_all),
    ]
}

fn outcomes(words: &Words, chosen: &str) -> Vec<Choice> {
    ["", "allow", "challenge", "deny", "throttle", "fail", "reject"]
        .into_iter()
        .map(|value| Choice {
            value,
            text: match value {
                "" => words.any,
                value => outcome(words, value),
            },
            chosen: value == chosen,
        })
        .collect()
}

fn outcome(words: &Words, decision: &str) -> &'static str {
    match decision {
        "allow" => words.outcome_allow,
        "challenge" => words.outcome_challenge,
        "deny" => words.outcome_deny,
        "throttle" => words.outcome_throttle,
        "fail" => words.outcome_fail,
        "reject" => words.outcome_reject,
        _ => "",
    }
}

fn line(words: &Words, event: &EventView) -> Line {
    let what = match event.event.as_str() {
        "request" => format!("{} {}{}", event.method, event.host, event.path),
        event => event.to_owned(),
    };
    let credential = match event.credential_name.as_str() {
        "" => String::new(),
        name => format!(" ({name})"),
    };
    Line {
        when: to_the_second(&event.time),
        what,
        outcome: outcome(words, &event.decision),
        decision: event.decision.clone(),
        who: match event.user.as_str() {
            "" => String::new(),
            user => format!("{user}{credential}"),
        },
        client: event.client.clone(),
        reason: event.reason.clone(),
        by: event.actor.clone(),
        id: match event.event.as_str() {
            "request" => event.request_id.clone(),
            _ => String::new(),
        },
    }
}

fn to_the_second(time: &str) -> String {
    match Timestamp::parse(time).and(time.get(..10).zip(time.get(11..19))) {
        Some((day, time)) => format!("{day} {time} UTC"),
        None => String::new(),
    }
}

fn older(filter: &Filter, before: u64) -> String {
    let what = match filter.what {
        What::Decisions => "decisions",
        What::Changes => "changes",
        What::All => "all",
    };
    format!(
        "what={what}&decision={}&user={}&client={}&path={}&before={before}",
        query::encode(&filter.decision),
        query::encode(&filter.user),
        query::encode(&filter.client),
        query::encode(&filter.path),
    )
}
