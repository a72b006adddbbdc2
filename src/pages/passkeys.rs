//! The passkeys of somebody who is logged in. Whoever changes them has just shown all there is.

use askama::Template;
use http::{Response, StatusCode};

use super::form::Form;
use super::frame::{self, Frame};
use super::journal::{self, Undone};
use super::language::fill;
use super::login::{self, Entry};
use super::profile::{self, Person};
use super::tokens::Draft;
use super::{House, Visit, back, factors, passwords};
use crate::accounts::{AccountsError, Page, PasskeyOutcome};
use crate::crypto::passkey::Party;
use crate::observe::audit::{Event, Line};
use crate::observe::metrics::Factor;
use crate::request::origin;
use crate::wire::{Body, query};

#[derive(Template)]
#[template(path = "passkey_new.html")]
struct NewPage<'a> {
    f: Frame<'a>,
    notice: &'a str,
    problem: &'a str,
    form: String,
    rd: String,
    name: String,
    /// Why none can be made at this address; empty: one can.
    why_not: String,
    /// Where one can, if anywhere.
    elsewhere: String,
}

/// Whether a page can ask for a passkey.
pub(super) enum Offer {
    /// By a button.
    Works,
    /// For that reason.
    Not(String),
}

/// One, for the profile.
pub(super) struct Listed {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) site: String,
    pub(super) created: String,
    pub(super) used: String,
}

/// That user's.
pub(super) fn of(house: &House<'_>, visit: &Visit<'_>, user: &str) -> Vec<Listed> {
    let factors = house.authority.accounts.factors(user).unwrap_or_default();
    let listed = factors.passkeys.into_iter().map(|passkey| Listed {
        id: passkey.id,
        name: passkey.name,
        site: passkey.site,
        created: profile::moment(passkey.created),
        used: passkey
            .used
            .map_or_else(|| visit.words.not_used.to_owned(), profile::moment),
    });
    listed.collect()
}

/// Who asks for passkeys on this page. They are for the host of `server.public_url` on it and on what a
/// route names below it, so that one opens all of its applications, and for the host itself elsewhere.
pub(super) fn party(house: &House<'_>, visit: &Visit<'_>) -> Option<Party> {
    let host = visit.facts.host;
    match public_host(house, visit) {
        Some(_) if !is_served(house, visit) => None,
        Some(public) => Party::new(&visit.here(), public),
        None => Party::new(&visit.here(), host),
    }
}

/// That browsers know no passkeys at this address, or that we take none here.
pub(super) fn no_party(house: &House<'_>, visit: &Visit<'_>) -> String {
    let words = visit.words;
    match public_host(house, visit) {
        Some(public) if !is_served(house, visit) && Party::new(&visit.here(), public).is_some() => {
            fill(words.passkey_elsewhere, public)
        }
        _ => fill(words.passkey_no_address, &visit.here()),
    }
}

/// The host of `server.public_url`, if this one is that or below it.
fn public_host<'h>(house: &House<'h>, visit: &Visit<'_>) -> Option<&'h str> {
    let public = house.site.public_url.as_deref().and_then(host_of)?;
    let rest = visit.facts.host.strip_suffix(public)?;
    (rest.is_empty() || rest.ends_with('.')).then_some(public)
}

/// Whether this is the address of `server.public_url`, or one of an application beside it. The name of any
/// other host below it may be anybody's, who has our pages from us and what a passkey signs from its owner:
/// the browser finds nothing wrong with either.
fn is_served(house: &House<'_>, visit: &Visit<'_>) -> bool {
    let facts = &visit.facts;
    let (Some(public_url), Some(here)) = (
        house.site.public_url.as_deref(),
        origin::normal(facts.scheme.as_str(), facts.authority),
    ) else {
        return false;
    };
    let mut routes = house.settings.routes.iter();
    here == public_url
        || host_of(public_url).is_some_and(|public| here == public_url.replacen(public, facts.host, 1))
            && routes.any(|route| route.host.as_deref() == Some(facts.host))
}

/// The page on which the browser makes one.
pub(super) fn show(house: &House<'_>, visit: &Visit<'_>) -> Response<Body> {
    let rd = login::one(visit.facts.query, "rd");
    let rd = back::target(&rd, house.site, &visit.facts);
    let rd = rd.as_deref();
    let own = match rd {
        Some(rd) => format!("/profile/passkey?rd={}", query::encode(rd)),
        None => "/profile/passkey".to_owned(),
    };
    let Some(person) = profile::person(visit) else {
        return visit.to_login(house, &own);
    };
    if !person.is_recent(house, visit.facts.now) {
        return profile::again_first(house, &own);
    }
    let problem = match house.authority.accounts.may_add_passkey(person.name()) {
        true => "",
        false => visit.words.passkey_enough,
    };
    shown(house, visit, &person, StatusCode::OK, problem, "", rd)
}

/// What the browser needs to make one.
pub(super) async fn options(house: &House<'_>, visit: &Visit<'_>, body: Body) -> Response<Body> {
    let (person, _) = match profile::open(house, visit, body).await {
        Ok(opened) => opened,
        Err(response) => return *response,
    };
    let party = party(house, visit).filter(|_| person.is_recent(house, visit.facts.now));
    let Some(party) = party else {
        return super::empty(StatusCode::FORBIDDEN);
    };
    let page = Page::Enrol(person.session.id());
    let accounts = &house.authority.accounts;
    match accounts.begin_passkey(page, person.name(), &party, visit.facts.now) {
        Ok(options) => frame::json(options),
        Err(error) => {
            tracing::warn!(request.id = %visit.facts.id, %error, "no passkey can be made");
            super::empty(StatusCode::CONFLICT)
        }
    }
}

/// The passkey that the browser made.
pub(super) async fn enrol(house: &House<'_>, visit: &Visit<'_>, body: Body) -> Response<Body> {
    let (person, form) = match recent(house, visit, body, "/profile/passkey").await {
        Ok(opened) => opened,
        Err(response) => return *response,
    };
    let (accounts, words, now) = (&house.authority.accounts, visit.words, visit.facts.now);
    let rd = back::target(&form.text("rd"), house.site, &visit.facts);
    let rd = rd.as_deref();
    let name = form.text("name");
    let again = |status, problem: &str| shown(house, visit, &person, status, problem, &name, rd);
    let Some(party) = party(house, visit) else {
        return again(StatusCode::BAD_REQUEST, "");
    };
    if !accounts.may_add_passkey(person.name()) {
        return again(StatusCode::BAD_REQUEST, words.passkey_enough);
    }
    let line = journal::line(visit, Event::UserChange, person.name(), "second factor: passkey");
    let page = Page::Enrol(person.session.id());
    let answer = form.text("answer");
    let enrol = accounts.enrol_passkey(page, person.name(), &party, &answer, &name, now);
    let codes = match journal::noted(house, &line, enrol).await {
        Ok(Ok(codes)) => codes,
        Ok(Err(outcome)) => {
            let (why, problem) = match outcome {
                PasskeyOutcome::Wrong(why @ "passkey-known", _) => (why, words.passkey_known),
                PasskeyOutcome::Wrong(why, _) => (why, words.passkey_failed),
                _ => ("passkey-late", words.passkey_late),
            };
            let reason = format!("not done: second factor: passkey: {why}");
            house.audit.record(&Line {
                reason: &reason,
                ..line
            });
            return again(StatusCode::BAD_REQUEST, problem);
        }
        Err(undone) => {
            let (problem, status) = passwords::why(visit, &undone);
            return again(status, &problem);
        }
    };
    let mut response = match codes.as_slice() {
        [] => match rd {
            Some(rd) => frame::go(&back::location(rd, house.site)),
            None => profile::done(house, "passkey"),
        },
        codes => factors::printed(house, visit, words.passkey_added, codes, rd),
    };
    // K-08: another cookie from here on, for somebody who has shown both.
    let entry = Entry {
        user: person.name(),
        remember: house
            .settings
            .session
            .remember
            .filter(|_| person.session.is_remembered()),
        factor: Factor::Passkey,
        factors: 2,
        chosen: false,
        goes_on: Some(&person.session),
    };
    let _ = login::begin(house, visit, entry, &mut response).await;
    response
}

/// Another name for one.
pub(super) async fn rename(house: &House<'_>, visit: &Visit<'_>, body: Body) -> Response<Body> {
    let (person, form) = match profile::open(house, visit, body).await {
        Ok(opened) => opened,
        Err(response) => return *response,
    };
    let (id, name) = (form.text("id"), form.text("name"));
    let rename = house.authority.accounts.rename_passkey(person.name(), &id, &name);
    let reason = "second factor: passkey renamed";
    changed(house, visit, &person, &id, reason, rename, "passkey-name").await
}

/// The end of one.
pub(super) async fn remove(house: &House<'_>, visit: &Visit<'_>, body: Body) -> Response<Body> {
    let (person, form) = match recent(house, visit, body, "/profile").await {
        Ok(opened) => opened,
        Err(response) => return *response,
    };
    let id = form.text("id");
    let remove = house.authority.accounts.remove_passkey(person.name(), &id);
    let reason = "second factor: passkey removed";
    changed(house, visit, &person, &id, reason, remove, "passkey-removed").await
}

async fn changed(
    house: &House<'_>,
    visit: &Visit<'_>,
    person: &Person,
    id: &str,
    reason: &str,
    change: impl Future<Output = Result<(), AccountsError>>,
    done: &str,
) -> Response<Body> {
    // Somebody else's, and what nobody has, is not written down as theirs.
    let own = house
        .authority
        .accounts
        .factors(person.name())
        .unwrap_or_default();
    let credential = own.passkeys.iter().find(|passkey| passkey.id == id);
    let line = Line {
        credential: credential.map_or("", |passkey| passkey.id.as_str()),
        ..journal::line(visit, Event::UserChange, person.name(), reason)
    };
    match journal::noted(house, &line, change).await {
        Ok(()) => profile::done(house, done),
        Err(undone @ (Undone::Refused(_) | Undone::Unaudited)) => {
            profile::refused(house, visit, person, &undone, Draft::default())
        }
    }
}

async fn recent(
    house: &House<'_>,
    visit: &Visit<'_>,
    body: Body,
    back: &str,
) -> Result<(Person, Form), Box<Response<Body>>> {
    let (person, form) = profile::open(house, visit, body).await?;
    if !person.is_recent(house, visit.facts.now) {
        return Err(profile::again_first(house, back).into());
    }
    Ok((person, form))
}

fn shown(
    house: &House<'_>,
    visit: &Visit<'_>,
    person: &Person,
    status: StatusCode,
    problem: &str,
    name: &str,
    rd: Option<&str>,
) -> Response<Body> {
    let works = party(house, visit).is_some();
    let public = house.site.public_url.as_deref().unwrap_or_default();
    let elsewhere = host_of(public).is_some_and(|host| Party::new(public, host).is_some());
    let frame = Frame::new(house, visit, visit.words.passkey_add);
    let page = NewPage {
        f: match works {
            true => frame.with_script(),
            false => frame,
        },
        notice: "",
        problem,
        form: super::form::token_of(house, &person.session),
        rd: rd.unwrap_or_default().to_owned(),
        name: super::form::shown(name),
        why_not: if works {
            String::new()
        } else {
            no_party(house, visit)
        },
        elsewhere: match elsewhere {
            true => format!("{public}{}/profile/passkey", house.site.prefix),
            false => String::new(),
        },
    };
    match works {
        true => frame::page_with_script(house, status, &page),
        false => frame::page(house, status, &page),
    }
}

/// The host in an address of ours, without its port.
fn host_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    (!host.is_empty()).then_some(host)
}
