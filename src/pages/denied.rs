//! What a person sees who is known, and may not.

use std::sync::Arc;

use http::{Response, StatusCode};

use super::language::fill;
use super::{House, Visit, frame};
use crate::authn::Identity;
use crate::request::Facts;
use crate::wire::{Body, query};

/// Says who they are, so that they can tell whom to ask, or come back as somebody else.
pub fn denied(house: &House<'_>, facts: &Facts<'_>, who: &Arc<Identity>) -> Response<Body> {
    let visit = Visit::new(house, facts, Some(Arc::clone(who)));
    page(house, &visit, who.name())
}

fn page(house: &House<'_>, visit: &Visit<'_>, name: &str) -> Response<Body> {
    let (words, facts) = (visit.words, &visit.facts);
    let question = if facts.query.is_empty() { "" } else { "?" };
    let back = format!("{}{question}{}", facts.path.raw(), facts.query);
    let page = super::Message {
        f: frame::Frame::new(house, visit, words.denied_title),
        notice: "",
        problem: "",
        text: fill(words.denied_lead, name),
        code: facts.id.to_string(),
        link: format!("{}/login?rd={}", house.site.prefix, query::encode(&back)),
        link_text: words.denied_other,
    };
    frame::page(StatusCode::FORBIDDEN, &page)
}

/// The same for a page of ours that is for administrators only.
pub(super) fn for_administrators(house: &House<'_>, visit: &Visit<'_>, name: &str) -> Response<Body> {
    page(house, visit, name)
}
