//! A form that could not be delivered: the page that says so, and the one that asks whether to send it.
//!
//! The confirmation goes to the very address of the form, and the gate puts the form in its place. So
//! the application's answer stands under the address that it belongs to.

use std::time::Duration;

use askama::Template;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, REFERER, SET_COOKIE};
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::form::{self, Form};
use super::frame::{self, Frame};
use super::kept::{self, Kept, LENGTH, Ticket};
use super::language::fill;
use super::{House, Message, Visit, login};
use crate::accounts::LiveSession;
use crate::authn::Identity;
use crate::config::settings::Csrf;
use crate::decision::{Decision, Ruling};
use crate::policy;
use crate::request::{Facts, Scheme};
use crate::wire::cookie::{Cookie, Found};
use crate::wire::{Body, Fields, accept, query};

/// Bytes of a `Referer` that is kept with its form.
const MOST_REFERER: usize = 2048;

/// What a confirmation starts with; no application has a field of that name.
const MARK: &[u8] = b"sidegate-resend=";
/// Between the id and the word that only our page has.
const PROOF: &[u8] = b"&form=";
/// A confirmation has always as many bytes, so that most requests need not be read.
const CONFIRMATION: usize = MARK.len() + LENGTH + PROOF.len() + 64;
/// Whoever takes longer to send a small form is not sending one.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Template)]
#[template(path = "resend.html")]
struct Page<'a> {
    f: Frame<'a>,
    lead: String,
    target: String,
    address: String,
    fields: String,
    id: String,
    form: String,
}

/// What the gate is to do with a request that may confirm a form.
pub enum Confirmed {
    /// It is none; its body, read or not.
    No(Body),
    /// Send this in its place.
    Yes(Box<Kept>),
    /// It was sent already, or is gone.
    Over(Response<Body>),
}

/// Whether a form is kept that was sent by somebody who has to log in. Only one of a page of this very
/// host, sent by a person: what a script or a program sends, and what comes from elsewhere, is not.
pub fn may_be_kept(house: &House<'_>, facts: &Facts<'_>, why: &str) -> bool {
    accept::is_form_of_a_page(facts.method, facts.headers)
        && !matches!(why, "no-owner-yet" | "cross-site")
        && policy::comes_from_here(Csrf::Enforce, facts, house.site.own_url(facts))
}

/// Keeps the form, and says how to go on: a page, with the status that a program would get.
pub async fn keep(house: &House<'_>, facts: &Facts<'_>, ruling: &Ruling, body: Body) -> Response<Body> {
    let why = match &ruling.decision {
        Decision::Challenge(challenge) => challenge.why,
        _ => "",
    };
    let visit = Visit::new(house, facts, ruling.identity().cloned());
    let words = visit.words;
    let read = match house.settings.session.keep_form {
        Some(most) if is_form(facts.headers) => read(facts.headers, body, most).await,
        _ => Read::TooLarge,
    };
    let (kept, id) = match read {
        // It was there already: only the login was lost meanwhile.
        Read::Whole(bytes) if confirmation(&bytes).is_some() => {
            (None, confirmation(&bytes).map(str::to_owned))
        }
        Read::Whole(bytes) => {
            let ticket = put(house, &visit, bytes);
            let id = ticket.as_ref().map(|ticket| ticket.id.clone());
            (ticket, id)
        }
        Read::TooLarge => (None, None),
        Read::Broken => return visit.bad_form(StatusCode::BAD_REQUEST),
    };
    let here = house.site.prefix.as_str();
    let (text, back) = match &id {
        Some(id) => (words.kept_lead, format!("{here}/resend?id={id}")),
        None => (words.kept_not, format!("{here}/")),
    };
    let page = Message {
        f: Frame::new(house, &visit, words.kept_title),
        notice: "",
        problem: "",
        text: fill(text, &visit.asked()),
        link: house.site.login_for(facts, why, &back),
        link_text: words.login_button,
    };
    let mut response = frame::page(house, StatusCode::UNAUTHORIZED, &page);
    if let Some(ticket) = kept {
        let cookie = Cookie::Kept.set(visit.secure(), &ticket.cookie, None);
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// Whether one of the other two may be asked about that request, so that its body has to be waited for.
pub fn may_wait(method: &Method, headers: &Fields<'_>) -> bool {
    *method == Method::POST && (is_form(headers) || accept::is_form_of_a_page(method, headers))
}

/// Whether a request of somebody who is logged in has to be looked at by [`confirmed`].
pub fn may_confirm(method: &Method, headers: &Fields<'_>, who: &Identity) -> bool {
    *method == Method::POST
        && who.session().is_some()
        && declared(headers) == Some(CONFIRMATION)
        && is_kind(headers, b"application/x-www-form-urlencoded")
}

/// Whether the request confirms a form, and that form. It is there no more after that.
pub async fn confirmed(house: &House<'_>, facts: &Facts<'_>, who: &Identity, body: Body) -> Confirmed {
    let bytes = match read(facts.headers, body, CONFIRMATION).await {
        Read::Whole(bytes) => bytes,
        Read::TooLarge | Read::Broken => {
            let visit = Visit::new(house, facts, None);
            return Confirmed::Over(visit.bad_form(StatusCode::BAD_REQUEST));
        }
    };
    let Some(id) = confirmation(&bytes) else {
        return Confirmed::No(Body::Passed(bytes));
    };
    let proof = bytes.get(MARK.len() + LENGTH + PROOF.len()..);
    let proof = proof
        .and_then(|proof| std::str::from_utf8(proof).ok())
        .unwrap_or_default();
    let accounts = &house.authority.accounts;
    let is_ours = who
        .session()
        .is_some_and(|session| accounts.is_form_token(proof, "resend", &subject(session, id)));
    // Whatever it is, the application is never given a confirmation.
    let kept = is_ours.then(|| taken(house, facts, id)).flatten();
    match kept {
        Some(kept) => Confirmed::Yes(Box::new(kept)),
        None => Confirmed::Over(gone(house, &Visit::new(house, facts, None))),
    }
}

impl Kept {
    /// Puts what was kept in the place of what confirmed it.
    pub fn put_back(self, fields: &mut Fields<'_>) -> Body {
        fields.set("content-length", self.body.len().to_string().into_bytes());
        fields.set("content-type", self.kind.into_vec());
        match self.referer {
            Some(referer) => fields.set("referer", referer.into_vec()),
            None => {
                fields.remove(REFERER);
            }
        }
        Body::Passed(self.body)
    }
}

/// Asks whether to send it.
pub(super) fn show(house: &House<'_>, visit: &Visit<'_>) -> Response<Body> {
    let id = login::one(visit.facts.query, "id");
    let Some(session) = visit.who.as_deref().and_then(|who| who.session()) else {
        return visit.to_login(house, &format!("/resend?id={}", query::encode(&id)));
    };
    let Some(kept) = looked_at(house, &visit.facts, &id) else {
        return gone(house, visit);
    };
    let words = visit.words;
    let page = Page {
        f: Frame::new(house, visit, words.resend_title),
        lead: fill(words.resend_lead, session.user()),
        address: format!("POST {}{}", kept.origin, kept.target),
        fields: fill(words.resend_fields, &kept::fields(&kept).to_string()),
        target: kept.target,
        form: house
            .authority
            .accounts
            .form_token("resend", &subject(session, &id)),
        id,
    };
    let mut response = frame::page(house, StatusCode::OK, &page);
    frame::forms_lead_anywhere(&mut response);
    response
}

/// Forgets it.
pub(super) async fn discard(house: &House<'_>, visit: &Visit<'_>, body: Body) -> Response<Body> {
    let form = match Form::read(&visit.facts, body).await {
        Ok(form) => form,
        Err(status) => return visit.bad_form(status),
    };
    if !form::comes_from_here(house, &visit.facts) {
        return super::message(house, visit, StatusCode::FORBIDDEN, visit.words.foreign);
    }
    taken(house, &visit.facts, &form.text("id"));
    frame::go(&format!("{}/", house.site.prefix))
}

fn gone(house: &House<'_>, visit: &Visit<'_>) -> Response<Body> {
    super::message(house, visit, StatusCode::CONFLICT, visit.words.resend_gone)
}

fn put(house: &House<'_>, visit: &Visit<'_>, body: Bytes) -> Option<Ticket> {
    let facts = &visit.facts;
    let question = if facts.query.is_empty() { "" } else { "?" };
    let form = Kept {
        origin: visit.here(),
        target: format!("{}{question}{}", facts.path.raw(), facts.query),
        kind: facts.headers.get(CONTENT_TYPE)?.as_bytes().into(),
        referer: facts
            .headers
            .get(REFERER)
            .filter(|referer| referer.as_bytes().len() <= MOST_REFERER)
            .map(|referer| referer.as_bytes().into()),
        body,
    };
    let cookie = sent(facts).and_then(|cookie| std::str::from_utf8(cookie).ok());
    house.kept.keep(form, cookie, facts.client, facts.now)
}

fn looked_at(house: &House<'_>, facts: &Facts<'_>, id: &str) -> Option<Kept> {
    let kept = house.kept.look(id, sent(facts)?, facts.now)?;
    (kept.origin == here(facts)).then_some(kept)
}

/// Only for the address that it was sent to.
fn taken(house: &House<'_>, facts: &Facts<'_>, id: &str) -> Option<Kept> {
    let question = if facts.query.is_empty() { "" } else { "?" };
    let target = format!("{}{question}{}", facts.path.raw(), facts.query);
    let kept = looked_at(house, facts, id)?;
    let discards = facts.path.raw().strip_prefix(house.site.prefix.as_str()) == Some("/resend");
    if !discards && kept.target != target {
        return None;
    }
    house.kept.take(id, sent(facts)?, facts.now)
}

fn sent<'r>(facts: &Facts<'r>) -> Option<&'r [u8]> {
    match Cookie::Kept.find(facts.headers, facts.scheme == Scheme::Https) {
        Found::One(cookie) => Some(cookie),
        Found::Several | Found::Nothing => None,
    }
}

fn here(facts: &Facts<'_>) -> String {
    format!("{}://{}", facts.scheme.as_str(), facts.authority)
}

fn subject(session: &LiveSession, id: &str) -> String {
    format!("{} {id}", session.id())
}

/// The id in a confirmation; none of any other body.
fn confirmation(body: &[u8]) -> Option<&str> {
    let rest = body.strip_prefix(MARK)?;
    let (id, rest) = rest.split_at_checked(LENGTH)?;
    let whole =
        body.len() == CONFIRMATION && rest.starts_with(PROOF) && id.iter().all(u8::is_ascii_alphanumeric);
    whole.then(|| std::str::from_utf8(id).ok()).flatten()
}

enum Read {
    Whole(Bytes),
    TooLarge,
    /// It ended before its end, or took too long.
    Broken,
}

async fn read(headers: &Fields<'_>, body: Body, most: usize) -> Read {
    if declared(headers).is_some_and(|length| length > most) {
        return Read::TooLarge;
    }
    match tokio::time::timeout(PATIENCE, Limited::new(body, most).collect()).await {
        Ok(Ok(collected)) => Read::Whole(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Read::TooLarge,
        Ok(Err(_)) | Err(_) => Read::Broken,
    }
}

fn declared(headers: &Fields<'_>) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The three kinds that a form of a page has (HTML, form submission).
fn is_form(headers: &Fields<'_>) -> bool {
    [
        &b"application/x-www-form-urlencoded"[..],
        b"multipart/form-data",
        b"text/plain",
    ]
    .iter()
    .any(|kind| is_kind(headers, kind))
}

fn is_kind(headers: &Fields<'_>, kind: &[u8]) -> bool {
    let mut values = headers.get_all(&CONTENT_TYPE);
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    let found = value.as_bytes().split(|byte| *byte == b';').next();
    found.unwrap_or_default().trim_ascii().eq_ignore_ascii_case(kind)
}
