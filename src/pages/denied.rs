//! What a person sees who is known, and may not.

use std::sync::Arc;

use http::{Response, StatusCode};

use super::language::{self, fill};
use super::{House, Visit, frame};
use crate::authn::Identity;
use crate::request::Facts;
use crate::wire::{Body, query};

/// Says who they are, so that they can tell whom to ask, or come back as somebody else.
pub fn denied(house: &House<'_>, facts: &Facts<'_>, who: &Arc<Identity>) -> Response<Body> {
    let visit = Visit {
        facts: *facts,
        who: Some(Arc::clone(who)),
        words: language::of(facts.headers),
    };
    let words = visit.words;
    let question = if facts.query.is_empty() { "" } else { "?" };
    let back = format!("{}{question}{}", facts.path.raw(), facts.query);
    let page = super::Message {
        f: frame::Frame::new(house, &visit, words.denied_title),
        notice: "",
        problem: "",
        text: fill(words.denied_lead, who.name()),
        code: facts.id.to_string(),
        link: format!("{}/login?rd={}", house.site.prefix, query::encode(&back)),
        link_text: words.denied_other,
    };
    frame::page(StatusCode::FORBIDDEN, &page)
}
