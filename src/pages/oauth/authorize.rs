//! An app asks to act for somebody, and the person says so.
//!
//! Nobody has registered the app, so whoever sends a browser here could name any address. The browser therefore goes to
//! the app only by what the person presses: a button here, or a link on the page that says what is wrong. A redirect
//! by itself would make this gate a way to any site (RFC 9700, section 4.11.2).

use askama::Template;
use http::{Response, StatusCode};

use super::client::Client;
use super::issuer;
use crate::accounts::{self, Consent};
use crate::model::Role;
use crate::pages::form::{self, Form};
use crate::pages::frame::{self, Frame};
use crate::pages::language::fill;
use crate::pages::{House, Message, Visit, profile};
use crate::policy::Scopes;
use crate::wire::{Body, query};

/// A query that is longer could not come back from the login.
const LONGEST: usize = 3000;

#[derive(Template)]
#[template(path = "consent.html")]
struct Page<'a> {
    f: Frame<'a>,
    notice: &'a str,
    problem: &'a str,
    lead: String,
    client: &'a str,
    redirect: &'a str,
    may: String,
    form: String,
    request: &'a str,
}

/// What an app asks for, read and checked.
struct Asked<'a> {
    client: Client,
    /// As the app wrote it, and as a browser is sent there.
    redirect_uri: String,
    redirect: String,
    state: Option<String>,
    challenge: String,
    scope: String,
    /// All of it.
    query: &'a str,
}

/// Why nobody is asked.
enum Wrong {
    /// Nobody knows whose answer it would be.
    Nobody(&'static str),
    /// The app can be told: the error, by an address of its own.
    Told {
        why: &'static str,
        shown: String,
        to: String,
    },
}

/// The page.
pub(super) fn show(house: &House<'_>, visit: &Visit<'_>) -> Response<Body> {
    match Asked::read(house, visit, visit.facts.query) {
        Ok(asked) => asked.show(house, visit, ""),
        Err(wrong) => wrong.shown(house, visit),
    }
}

/// The person's answer.
pub(super) async fn send(house: &House<'_>, visit: &Visit<'_>, body: Body) -> Response<Body> {
    let form = match Form::read(&visit.facts, body).await {
        Ok(form) => form,
        Err(status) => return visit.bad_form(status),
    };
    let request = form.text("request");
    let asked = match Asked::read(house, visit, &request) {
        Ok(asked) => asked,
        Err(wrong) => return wrong.shown(house, visit),
    };
    let Some(person) = profile::person(visit) else {
        return visit.to_login(house, &asked.path());
    };
    if !form::comes_from_here(house, &visit.facts) || !form::belongs(house, visit, &form) {
        return asked.show(house, visit, visit.words.foreign);
    }
    match form.text("answer").as_str() {
        "allow" => {}
        "deny" => return frame::go(&asked.answer(house, visit, "error", "access_denied")),
        _ => return asked.show(house, visit, ""),
    }
    if !person.is_recent(house, visit.facts.now) {
        return profile::again_first(house, &asked.path());
    }
    let consent = Consent {
        user: person.name().to_owned(),
        session: person.session.id().to_owned(),
        client: asked.client.id.clone(),
        redirect_uri: asked.redirect_uri.clone(),
        challenge: asked.challenge.clone(),
        scope: asked.scope.clone(),
    };
    let code = house.authority.accounts.begin_code(consent, visit.facts.now);
    match code.as_ref().and_then(|code| code.expose_str()) {
        Some(code) => frame::go(&asked.answer(house, visit, "code", code)),
        None => crate::pages::message(
            house,
            visit,
            StatusCode::SERVICE_UNAVAILABLE,
            visit.words.login_busy,
        ),
    }
}

impl<'a> Asked<'a> {
    /// Strictly: everything once, and nothing guessed.
    fn read(house: &House<'_>, visit: &Visit<'_>, query: &'a str) -> Result<Self, Wrong> {
        if query.len() > LONGEST {
            return Err(Wrong::Nobody("the request is too long"));
        }
        let needed = |name| match once(query, name) {
            Ok(Some(value)) => Ok(value),
            Ok(None) | Err(()) => Err(()),
        };
        let client = needed("client_id").map_err(|()| Wrong::Nobody("client_id must be there, once"))?;
        let client = Client::parse(&client).map_err(Wrong::Nobody)?;
        let redirect_uri =
            needed("redirect_uri").map_err(|()| Wrong::Nobody("redirect_uri must be there, once"))?;
        let redirect = client.redirect(&redirect_uri).map_err(Wrong::Nobody)?;
        let (state, broken) = match once(query, "state") {
            Ok(state) => (state, false),
            Err(()) => (None, true),
        };
        let mut asked = Self {
            client,
            redirect_uri,
            redirect,
            state,
            challenge: String::new(),
            scope: String::new(),
            query,
        };
        let checked = match broken {
            true => Err(("invalid_request", "state must be there at most once")),
            false => asked.read_rest(&house.authority.scopes),
        };
        match checked {
            Ok(()) => Ok(asked),
            Err((error, why)) => Err(Wrong::Told {
                why,
                to: asked.answer(house, visit, "error", error),
                shown: asked.client.shown,
            }),
        }
    }

    /// What of it the app can be told of: the error's word, and a sentence.
    fn read_rest(&mut self, scopes: &Scopes) -> Result<(), (&'static str, &'static str)> {
        let read = |name, why| once(self.query, name).map_err(|()| ("invalid_request", why));
        match read("response_type", "response_type must be there once")?.as_deref() {
            Some("code") => {}
            None => return Err(("invalid_request", "response_type must be there, and be code")),
            Some(_) => return Err(("unsupported_response_type", "response_type must be code")),
        }
        if read(
            "code_challenge_method",
            "code_challenge_method must be there once",
        )?
        .as_deref()
            != Some("S256")
        {
            return Err((
                "invalid_request",
                "code_challenge_method must be there, and be S256 (RFC 7636)",
            ));
        }
        let challenge = read("code_challenge", "code_challenge must be there once")?.unwrap_or_default();
        // SHA-256 in base 64 for addresses, without padding.
        let is_digest = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if challenge.len() != 43 || !challenge.bytes().all(is_digest) {
            return Err((
                "invalid_request",
                "code_challenge must be there, as RFC 7636 makes it: 43 characters",
            ));
        }
        for unknown in ["request", "request_uri"] {
            if !matches!(once(self.query, unknown), Ok(None)) {
                return Err((
                    "request_not_supported",
                    "request and request_uri are not understood here",
                ));
            }
        }
        let scope = read("scope", "scope must be there at most once")?.unwrap_or_default();
        if scopes.unknown_word(&scope).is_some() {
            return Err((
                "invalid_scope",
                "scope has a word that is no role and no [scope.NAME] of this gate",
            ));
        }
        // Else nobody hears of it before the code is shown.
        self.scope = accounts::plain_scope(&scope).map_err(|_| {
            (
                "invalid_scope",
                "scope must be of at most 1024 characters, all of printable ASCII",
            )
        })?;
        self.challenge = challenge;
        Ok(())
    }

    /// Where this page is, without the prefix.
    fn path(&self) -> String {
        format!("/oauth/authorize?{}", self.query)
    }

    /// Where the app hears of that (RFC 6749, section 4.1.2).
    fn answer(&self, house: &House<'_>, visit: &Visit<'_>, what: &str, value: &str) -> String {
        let joined = if self.redirect.contains('?') { '&' } else { '?' };
        let mut to = format!("{}{joined}{what}={}", self.redirect, query::encode(value));
        if let Some(state) = &self.state {
            to.push_str(&format!("&state={}", query::encode(state)));
        }
        to.push_str(&format!("&iss={}", query::encode(&issuer(house, visit))));
        to
    }

    /// Asks the person: somebody who logged in a moment ago, as for a token that they make themselves.
    fn show(&self, house: &House<'_>, visit: &Visit<'_>, problem: &str) -> Response<Body> {
        let Some(person) = profile::person(visit) else {
            return visit.to_login(house, &self.path());
        };
        if !person.is_recent(house, visit.facts.now) {
            return profile::again_first(house, &self.path());
        }
        let words = visit.words;
        let page = Page {
            f: Frame::new(house, visit, words.consent_title),
            notice: "",
            problem,
            lead: fill(words.consent_lead, &self.client.shown),
            client: &self.client.id,
            redirect: &self.redirect,
            may: match self.scope.as_str() {
                "" => words.consent_all.to_owned(),
                scope if administers(scope, person.account.user.role) => fill(words.consent_admin, scope),
                scope => fill(words.consent_only, scope),
            },
            form: form::token_of(house, &person.session),
            request: self.query,
        };
        let status = match problem {
            "" => StatusCode::OK,
            _ => StatusCode::FORBIDDEN,
        };
        let mut response = frame::page(house, status, &page);
        frame::form_leads_to(&self.redirect, &mut response);
        response
    }
}

impl Wrong {
    fn shown(&self, house: &House<'_>, visit: &Visit<'_>) -> Response<Body> {
        let words = visit.words;
        let (why, link, link_text) = match self {
            Wrong::Nobody(why) => (why, format!("{}/", house.site.prefix), words.go_on.to_owned()),
            Wrong::Told { why, shown, to } => (why, to.clone(), fill(words.consent_back, shown)),
        };
        let page = Message {
            f: Frame::new(house, visit, words.not_now),
            notice: "",
            problem: words.consent_bad,
            text: format!("{why}."),
            link,
            link_text: &link_text,
        };
        frame::page(house, StatusCode::BAD_REQUEST, &page)
    }
}

/// Whether somebody of that role hands over the keys of the house with it.
fn administers(scope: &str, own: Role) -> bool {
    let mut roles = scope
        .split_ascii_whitespace()
        .filter_map(|word| word.parse::<Role>().ok());
    own.administers() && roles.any(Role::administers)
}

/// The parameter, if it is there; an error when it is there twice, or broken. An empty one is as good as none
/// (RFC 6749, section 3.1).
fn once(query: &str, name: &str) -> Result<Option<String>, ()> {
    let mut values = query::values(query, name);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(Ok(value)), None) => Ok((!value.is_empty()).then(|| value.into_owned())),
        _ => Err(()),
    }
}
