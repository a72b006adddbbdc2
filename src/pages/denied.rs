//! What a person sees who is known, and may not.

use std::sync::Arc;

use askama::Template;
use http::{Response, StatusCode};

use super::frame::{self, Frame};
use super::language::fill;
use super::{House, Visit};
use crate::authn::Identity;
use crate::request::Facts;
use crate::wire::{Body, query};

#[derive(Template)]
#[template(path = "denied.html")]
struct Page<'a> {
    f: Frame<'a>,
    lead: String,
    id: String,
    /// Where to log in as somebody else, and come back.
    other: String,
}

/// Says who they are, so that they can tell whom to ask, or come back as somebody else.
pub fn denied(house: &House<'_>, facts: &Facts<'_>, who: &Arc<Identity>) -> Response<Body> {
    let visit = Visit::new(house, facts, Some(Arc::clone(who)));
    page(house, &visit, who.name())
}

fn page(house: &House<'_>, visit: &Visit<'_>, name: &str) -> Response<Body> {
    let (words, facts) = (visit.words, &visit.facts);
    let question = if facts.query.is_empty() { "" } else { "?" };
    let back = format!("{}{question}{}", facts.path.raw(), facts.query);
    let page = Page {
        f: Frame::new(house, visit, words.denied_title),
        lead: fill(words.denied_lead, name),
        id: facts.id.to_string(),
        other: format!("{}/login?rd={}", house.site.prefix, query::encode(&back)),
    };
    frame::page(house, StatusCode::FORBIDDEN, &page)
}

/// The same for a page of ours that is for administrators only.
pub(super) fn for_administrators(house: &House<'_>, visit: &Visit<'_>, name: &str) -> Response<Body> {
    page(house, visit, name)
}
