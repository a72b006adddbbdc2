//! One login for several domains.
//!
//! People log in at `server.public_url`. A domain sends its browsers there, and gets them back with a
//! code that works once, for this domain and this browser:
//!
//! ```text
//! media.example/app                        no login: to home.example/_sidegate/login?rd=…
//! home.example/_sidegate/login             logged in there, now or before
//! media.example/_sidegate/hop?rd=/app      a cookie for this browser; its word goes along
//! home.example/_sidegate/hop?to=…&state=…  the login gives a code for that domain and that word
//! media.example/_sidegate/hop?code=…       cookie, word and code belong together: logged in here too
//! ```
//!
//! Whoever is sent to the last address by somebody else has another cookie, and is logged in as nobody.

use http::header::{REFERRER_POLICY, SET_COOKIE, USER_AGENT};
use http::{HeaderValue, Response, StatusCode};

use super::form::Binding;
use super::frame;
use super::loops::{self, Loop};
use super::{House, Visit, back, journal, login, oauth};
use crate::accounts::{Hop, NewSession};
use crate::observe::Outcome;
use crate::observe::audit::{Event, Line};
use crate::request::{Expects, origin};
use crate::wire::cookie::Cookie;
use crate::wire::{Body, headers, query};

/// At a domain nobody logs in, and nobody is looked after: all of that is at `public_url`. None for what
/// the domain answers itself.
pub(super) fn elsewhere(house: &House<'_>, visit: &Visit<'_>, path: &str) -> Option<Response<Body>> {
    let domain = house.site.domain(&visit.facts)?;
    if matches!(path, "/hop" | "/logout" | "/resend") || oauth::is_for_programs(path) {
        return None;
    }
    let public_url = house.site.public_url.as_deref()?;
    let prefix = &house.site.prefix;
    if path == "/login" {
        let rd = login::one(visit.facts.query, "rd");
        let rd = back::target(&rd, house.site, &visit.facts).unwrap_or_else(|| "/".to_owned());
        let why = match login::one(visit.facts.query, "why").as_str() {
            "out" => "why=out&",
            "again" => "why=again&",
            _ => "",
        };
        let rd = query::encode(&format!("{domain}{rd}"));
        return Some(frame::go(&format!("{public_url}{prefix}/login?{why}rd={rd}")));
    }
    let question = if visit.facts.query.is_empty() { "" } else { "?" };
    Some(frame::go(&format!(
        "{public_url}{}{question}{}",
        visit.facts.path.raw(),
        visit.facts.query
    )))
}

/// The three steps between two domains.
pub(super) async fn hop(house: &House<'_>, visit: &Visit<'_>) -> Response<Body> {
    let facts = &visit.facts;
    let here = origin::normal(facts.scheme.as_str(), facts.authority).unwrap_or_default();
    let mut response = match house.site.domain(facts) {
        Some(domain) => match login::one(facts.query, "code").as_str() {
            "" => begin(house, visit, domain),
            code => arrive(house, visit, domain, code).await,
        },
        None if house.site.public_url.as_deref() == Some(&here) => give(house, visit),
        None => visit.nothing_here(),
    };
    // No page that is read on the way may tell a later one of the code.
    response
        .headers_mut()
        .insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// At the domain: gives the browser a word, and sends it for a code.
fn begin(house: &House<'_>, visit: &Visit<'_>, domain: &str) -> Response<Body> {
    let rd = login::one(visit.facts.query, "rd");
    let rd = back::path(&rd).unwrap_or("/");
    let (turns, counted) = loops::turn(visit, rd);
    if turns > loops::MOST {
        return loops::explain(house, visit, Loop::after_login(visit));
    }
    let binding = Binding::of(&visit.facts);
    let mut response = frame::go(&format!(
        "{}{}/hop?to={}&state={}&rd={}",
        house.site.public_url.as_deref().unwrap_or_default(),
        house.site.prefix,
        query::encode(domain),
        binding.word(house, "hop"),
        query::encode(rd),
    ));
    let cookies = response.headers_mut();
    cookies.append(SET_COOKIE, binding.cookie());
    cookies.append(SET_COOKIE, counted);
    response
}

/// At `public_url`: whoever is logged in there gets a code for the domain.
fn give(house: &House<'_>, visit: &Visit<'_>) -> Response<Body> {
    let parameter = |name| login::one(visit.facts.query, name);
    let (to, state, rd) = (parameter("to"), parameter("state"), parameter("rd"));
    let is_word = state.len() == 64 && state.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (Some(domain), Some(path), true) = (house.site.listed(&to), back::path(&rd), is_word) else {
        return super::message(house, visit, StatusCode::BAD_REQUEST, visit.words.hop_bad);
    };
    // A page that fetches this, or shows it as a picture, gets nothing.
    if visit.facts.expects() != Expects::Page {
        return visit.refused_method("GET, HEAD");
    }
    let session = visit.who.as_deref().and_then(|who| who.session());
    // What is part of a login has no parts: nothing would end them.
    let Some(session) = session.filter(|session| session.is_head()) else {
        return frame::go(&login::address(house, "", &format!("{domain}{path}")));
    };
    let hop = Hop {
        session: session.id().to_owned(),
        domain: domain.to_owned(),
        state,
        path: path.to_owned(),
    };
    let code = house.authority.accounts.begin_hop(hop, visit.facts.now);
    match code.as_ref().and_then(|code| code.expose_str()) {
        Some(code) => frame::go(&format!("{domain}{}/hop?code={code}", house.site.prefix)),
        None => super::message(
            house,
            visit,
            StatusCode::SERVICE_UNAVAILABLE,
            visit.words.login_busy,
        ),
    }
}

/// At the domain: the code, for the browser that asked.
async fn arrive(house: &House<'_>, visit: &Visit<'_>, domain: &str, code: &str) -> Response<Body> {
    let accounts = &house.authority.accounts;
    let now = visit.facts.now;
    // Used up, whatever comes of it.
    let found = accounts.end_hop(code, now);
    if !Binding::is_there(&visit.facts) {
        return loops::explain(house, visit, Loop::NoCookie);
    }
    let refused = || super::message(house, visit, StatusCode::BAD_REQUEST, visit.words.hop_bad);
    let Some((hop, head, account)) = found else {
        return refused();
    };
    if hop.domain != domain || !Binding::is_word(house, &visit.facts, &hop.state, "hop") {
        return refused();
    }
    let before = visit.who.as_deref().and_then(|who| who.session());
    let life = head.expires().since(now);
    let new = NewSession {
        user: account.user.name.clone(),
        began: Some(head.began()),
        factors: head.factors(),
        life,
        idle: head.idle_time(),
        address: visit.facts.client.address(),
        agent: headers::text(visit.facts.headers, USER_AGENT).to_owned(),
        instead_of: before.map(|session| session.id().to_owned()),
        chosen: head.is_chosen(),
        part_of: Some((head.id().to_owned(), domain.to_owned())),
    };
    let (cookie, session) = match accounts.create_session(new, now).await {
        Ok(begun) => begun,
        // It ended meanwhile.
        Err(crate::accounts::AccountsError::NotFound { .. }) => return refused(),
        Err(error) => {
            tracing::error!(request.id = %visit.facts.id, %error, "a login could not be written down");
            return super::message(house, visit, StatusCode::SERVICE_UNAVAILABLE, &visit.fault());
        }
    };
    house.audit.record(&Line {
        decision: Some(Outcome::Allow),
        credential: head.id(),
        actor: "",
        ..journal::line(visit, Event::Login, session.user(), session.id())
    });
    let mut response = frame::go(&hop.path);
    let value = cookie.expose_str().unwrap_or_default();
    let kept_for = head.is_remembered().then_some(life);
    response
        .headers_mut()
        .append(SET_COOKIE, Cookie::Session.set(visit.secure(), value, kept_for));
    response
}
