//! The API tokens of somebody who is logged in.

use std::time::Duration;

use askama::Template;
use http::{Response, StatusCode};
use ipnet::IpNet;

use super::frame::{self, Frame};
use super::journal::{self, Undone};
use super::language::fill;
use super::{House, Visit, form, profile};
use crate::accounts::{NewToken, TokenSelector, TokenState, TokenView};
use crate::crypto::Secret;
use crate::observe::audit::{Event, Line};
use crate::wire::{Body, qr};

const DAY: Duration = Duration::from_secs(24 * 3600);

#[derive(Template)]
#[template(path = "minted.html")]
struct Page<'a> {
    f: Frame<'a>,
    token: &'a str,
    picture: String,
    here: String,
    with_token: String,
}

/// A token in the list.
pub(super) struct Shown {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) state: &'static str,
    pub(super) replaced: bool,
    pub(super) expires: String,
    pub(super) used: String,
    pub(super) scope: String,
    pub(super) networks: String,
}

/// What was typed for a new token, and comes back after a mistake.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) scope: String,
    pub(super) networks: String,
}

/// That user's, by name.
pub(super) fn of(house: &House<'_>, visit: &Visit<'_>, user: &str) -> Vec<Shown> {
    let words = visit.words;
    let tokens = house.authority.accounts.tokens(Some(user), visit.facts.now);
    let shown = |TokenView { record, used, state }: TokenView| Shown {
        state: match state {
            TokenState::Active => words.state_active,
            TokenState::Overlap => words.state_overlap,
            TokenState::Expired | TokenState::UserDisabled | TokenState::UserGone => words.state_expired,
        },
        replaced: state == TokenState::Overlap,
        expires: record
            .expires
            .map_or_else(|| words.never.to_owned(), profile::moment),
        used: match used {
            None => words.not_used.to_owned(),
            Some(used) => match used.address {
                Some(address) => format!("{}, {address}", profile::moment(used.last)),
                None => profile::moment(used.last),
            },
        },
        networks: comma_separated(&record.networks),
        id: record.id,
        name: record.name,
        scope: record.scope,
    };
    tokens.into_iter().map(shown).collect()
}

/// A new token, shown once.
pub(super) async fn create(house: &House<'_>, visit: &Visit<'_>, body: Body) -> Response<Body> {
    let (person, form) = match profile::open(house, visit, body).await {
        Ok(opened) => opened,
        Err(response) => return *response,
    };
    if !person.is_recent(house, visit.facts.now) {
        return profile::again_first(house, "/profile");
    }
    let draft = Draft {
        name: form::shown(&form.text("name")),
        scope: form::shown(&form.text("scope")),
        networks: form::shown(&form.text("networks")),
    };
    let Some(networks) = networks(&form.text("networks")) else {
        let problem = visit.words.networks_bad;
        return profile::shown(house, visit, &person, StatusCode::BAD_REQUEST, "", problem, draft);
    };
    let scope = form.text("scope");
    if let Some(word) = house.authority.scopes.unknown_word(&scope) {
        let problem = fill(visit.words.scope_unknown, &form::shown(word));
        return profile::shown(
            house,
            visit,
            &person,
            StatusCode::BAD_REQUEST,
            "",
            &problem,
            draft,
        );
    }
    let now = visit.facts.now;
    let expires = match form.text("expires").as_str() {
        "never" => None,
        "30" => Some(now.plus(30 * DAY)),
        "90" => Some(now.plus(90 * DAY)),
        _ => Some(now.plus(365 * DAY)),
    };
    let name = form.text("name");
    let new = NewToken {
        name: name.clone(),
        user: person.name().to_owned(),
        expires,
        scope,
        networks,
    };
    let line = Line {
        credential_name: &name,
        ..journal::line(visit, Event::TokenCreate, person.name(), "")
    };
    let made = house.authority.accounts.create_token(new, now);
    match journal::noted(house, &line, made).await {
        Ok((secret, _)) => minted(house, visit, &secret),
        Err(undone) => profile::refused(house, visit, &person, &undone, draft),
    }
}

/// A new secret in the place of the old one, shown once.
pub(super) async fn rotate(house: &House<'_>, visit: &Visit<'_>, body: Body) -> Response<Body> {
    let (person, form) = match profile::open(house, visit, body).await {
        Ok(opened) => opened,
        Err(response) => return *response,
    };
    if !person.is_recent(house, visit.facts.now) {
        return profile::again_first(house, "/profile");
    }
    let Some(token) = own(house, visit, &person, &form.text("id")) else {
        return gone(house, visit, &person);
    };
    let hours = match form.text("overlap").as_str() {
        "1" => 1,
        "24" => 24,
        _ => 0,
    };
    let line = Line {
        credential: &token.record.id,
        credential_name: &token.record.name,
        ..journal::line(visit, Event::TokenRotate, person.name(), "")
    };
    let overlap = Duration::from_secs(hours * 3600);
    let accounts = &house.authority.accounts;
    let rotated = accounts.rotate_token(person.name(), &token.record.name, overlap, visit.facts.now);
    match journal::noted(house, &line, rotated).await {
        Ok((secret, _)) => minted(house, visit, &secret),
        Err(undone) => profile::refused(house, visit, &person, &undone, Draft::default()),
    }
}

/// The end of a token.
pub(super) async fn revoke(house: &House<'_>, visit: &Visit<'_>, body: Body) -> Response<Body> {
    let (person, form) = match profile::open(house, visit, body).await {
        Ok(opened) => opened,
        Err(response) => return *response,
    };
    let Some(token) = own(house, visit, &person, &form.text("id")) else {
        return gone(house, visit, &person);
    };
    let line = Line {
        credential: &token.record.id,
        credential_name: &token.record.name,
        ..journal::line(visit, Event::TokenRevoke, person.name(), "")
    };
    let selector = TokenSelector::Id(token.record.id.clone());
    let revoked = house.authority.accounts.revoke_token(&selector, visit.facts.now);
    match journal::noted(house, &line, revoked).await {
        Ok(_) => profile::done(house, "token"),
        Err(undone @ Undone::Refused(_)) | Err(undone @ Undone::Unaudited) => {
            profile::refused(house, visit, &person, &undone, Draft::default())
        }
    }
}

/// A token of that person: nobody else's can be named.
fn own(house: &House<'_>, visit: &Visit<'_>, person: &profile::Person, id: &str) -> Option<TokenView> {
    let selector = TokenSelector::Id(id.to_owned());
    let token = house.authority.accounts.token(&selector, visit.facts.now)?;
    (token.record.user == person.name()).then_some(token)
}

fn gone(house: &House<'_>, visit: &Visit<'_>, person: &profile::Person) -> Response<Body> {
    let gone = visit.words.gone;
    profile::shown(
        house,
        visit,
        person,
        StatusCode::NOT_FOUND,
        "",
        gone,
        Draft::default(),
    )
}

fn minted(house: &House<'_>, visit: &Visit<'_>, secret: &Secret) -> Response<Body> {
    let here = house.site.public_url.clone().unwrap_or_else(|| visit.here());
    let token = secret.expose_str().unwrap_or_default();
    let page = Page {
        f: Frame::new(house, visit, visit.words.minted_title),
        token,
        picture: qr::svg(token).unwrap_or_default(),
        with_token: here.replacen("://", "://$T@", 1),
        here,
    };
    frame::page(house, StatusCode::OK, &page)
}

/// With commas or spaces in between.
fn networks(text: &str) -> Option<Vec<IpNet>> {
    text.split([',', ' '])
        .filter(|word| !word.is_empty())
        .map(|word| {
            let address = || word.parse::<std::net::IpAddr>().ok().map(IpNet::from);
            word.parse::<IpNet>().ok().or_else(address)
        })
        .collect()
}

fn comma_separated(networks: &[IpNet]) -> String {
    let networks: Vec<String> = networks.iter().map(IpNet::to_string).collect();
    networks.join(", ")
}
