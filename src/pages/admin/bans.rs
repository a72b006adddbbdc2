//! Who is banned.

use askama::Template;
use http::{Response, StatusCode};

use super::{Clerk, Desk, Said};
use crate::control::protocol::Request;
use crate::control::{Payload, words as meaning};
use crate::pages::form::{self, Form};
use crate::pages::frame::{self, Frame};
use crate::pages::profile::moment;
use crate::wire::Body;

/// More bans than this are not listed one by one.
const LISTED: usize = 50;

#[derive(Template)]
#[template(path = "admin_bans.html")]
struct Page<'a> {
    f: Frame<'a>,
    d: Desk,
    bans: Vec<Line>,
    more: bool,
    network: String,
}

struct Line {
    network: String,
    since: String,
    until: String,
    why: &'static str,
}

pub(super) async fn show(clerk: &Clerk<'_>, said: Said) -> Response<Body> {
    shown(clerk, said, String::new()).await
}

async fn shown(clerk: &Clerk<'_>, said: Said, network: String) -> Response<Body> {
    let bans = match clerk.ask(Request::BanList).await {
        Ok(Payload::Bans(bans)) => bans,
        Ok(_) => return clerk.odd(),
        Err(failure) => return clerk.failed(&failure),
    };
    let words = clerk.visit.words;
    let page = Page {
        f: clerk.frame(words.bans),
        d: clerk.desk("bans", "/bans", &said),
        more: bans.len() > LISTED,
        bans: bans
            .iter()
            .take(LISTED)
            .map(|ban| Line {
                network: ban.network.to_string(),
                since: moment(ban.since),
                until: ban.until.map_or_else(|| words.ban_forever.to_owned(), moment),
                why: match ban.why.as_str() {
                    "operator" => words.ban_operator,
                    _ => words.ban_failures,
                },
            })
            .collect(),
        network,
    };
    frame::page(clerk.house, said.status.unwrap_or(StatusCode::OK), &page)
}

pub(super) async fn add(clerk: &Clerk<'_>, form: &Form) -> Response<Body> {
    let typed = form.text("network");
    let Ok(network) = meaning::network(typed.trim()) else {
        return shown(clerk, unreadable(clerk), form::shown(&typed)).await;
    };
    let hours = match form.text("for").as_str() {
        "hour" => Some(1),
        "day" => Some(24),
        "week" => Some(7 * 24),
        _ => None,
    };
    let request = Request::BanAdd {
        network,
        for_seconds: hours.map(|hours| hours * 3600),
    };
    match clerk.ask(request).await {
        Ok(_) => clerk.done("/bans", "added-ban"),
        Err(failure) => shown(clerk, clerk.said(&failure), form::shown(&typed)).await,
    }
}

pub(super) async fn remove(clerk: &Clerk<'_>, form: &Form) -> Response<Body> {
    let Ok(network) = meaning::network(&form.text("network")) else {
        return show(clerk, unreadable(clerk)).await;
    };
    match clerk.ask(Request::BanRemove { network }).await {
        Ok(_) => clerk.done("/bans", "lifted"),
        Err(failure) => show(clerk, clerk.said(&failure)).await,
    }
}

fn unreadable(clerk: &Clerk<'_>) -> Said {
    Said {
        status: Some(StatusCode::BAD_REQUEST),
        problem: clerk.visit.words.ban_network_bad,
        detail: String::new(),
    }
}
