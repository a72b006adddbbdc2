//! The second factor: after the password, or in place where one was enough so far.

use std::sync::Arc;

use askama::Template;
use http::header::{SET_COOKIE, USER_AGENT};
use http::{Response, StatusCode};

use super::form::{self, Form};
use super::frame::{self, Frame};
use super::language::fill;
use super::login::{self, Entry};
use super::passkeys::{self, Offer};
use super::{House, Visit, back, journal, loops, passkey_shown};
use crate::accounts::{self, CodeOutcome, LiveSession, Pending};
use crate::crypto::{Secret, mac};
use crate::decision::guard::{Standing, Throttled};
use crate::observe::metrics::{Factor, LoginOutcome};
use crate::wire::cookie::{Cookie, Found};
use crate::wire::{Body, headers, hex, query};

#[derive(Template)]
#[template(path = "second_factor.html")]
struct Page<'a> {
    f: Frame<'a>,
    notice: &'a str,
    problem: &'a str,
    form: String,
    rd: String,
    lead: String,
    may_remember: bool,
    passkey: Option<Offer>,
    /// For the form of the passkey.
    at: &'static str,
    why: &'static str,
}

/// That what somebody wants needs one, and they have none.
#[derive(Template)]
#[template(path = "factor_none.html")]
struct NonePage<'a> {
    f: Frame<'a>,
    rd: String,
    passkeys: bool,
}

/// Who has to show one.
pub(super) enum Asked {
    /// Somebody whose password was right; what the cookie holds.
    Pending(Pending, String),
    /// Somebody who is logged in with one factor.
    Session(Arc<LiveSession>),
}

impl Asked {
    pub(super) fn user(&self) -> &str {
        match self {
            Asked::Pending(pending, _) => &pending.user,
            Asked::Session(session) => session.user(),
        }
    }

    /// What a challenge is bound to.
    pub(super) fn page(&self) -> accounts::Page<'_> {
        match self {
            Asked::Pending(_, cookie) => accounts::Page::Pending(cookie),
            Asked::Session(session) => accounts::Page::StepUp(session.id()),
        }
    }

    /// What the form carries: nobody else can know it.
    fn token(&self, house: &House<'_>) -> String {
        match self {
            Asked::Pending(_, cookie) => house.authority.accounts.form_token("pending", &subject(cookie)),
            Asked::Session(session) => form::token_of(house, session),
        }
    }

    pub(super) fn owns(&self, house: &House<'_>, visit: &Visit<'_>, form: &Form) -> bool {
        match self {
            Asked::Pending(_, cookie) => {
                let accounts = &house.authority.accounts;
                accounts.is_form_token(&form.text("form"), "pending", &subject(cookie))
            }
            Asked::Session(_) => form::belongs(house, visit, form),
        }
    }
}

/// Whether a right password is not enough for that user, in that browser, from there.
pub(super) fn is_asked(house: &House<'_>, visit: &Visit<'_>, user: &str, again: bool) -> bool {
    let accounts = &house.authority.accounts;
    if !accounts.has_second_factor(user) {
        return false;
    }
    // Whoever is asked once more is asked for everything.
    again
        || !(house.authority.networks.skips_second_factor(visit.facts.client)
            || is_remembered(house, visit, user))
}

fn is_remembered(house: &House<'_>, visit: &Visit<'_>, user: &str) -> bool {
    let accounts = &house.authority.accounts;
    house.settings.session.remember_device.is_some()
        && matches!(
            Cookie::Device.find(visit.facts.headers, visit.secure()),
            Found::One(cookie) if accounts.is_remembered_device(user, cookie, visit.facts.now)
        )
}

/// The password was right, or none is asked for: on to the next page.
pub(super) fn ask(
    house: &House<'_>,
    visit: &Visit<'_>,
    user: &str,
    remember: bool,
    chosen: bool,
    rd: Option<&str>,
) -> Response<Body> {
    let accounts = &house.authority.accounts;
    let Some(cookie) = accounts.begin_pending(user, remember, chosen, visit.facts.now) else {
        return visit.to_login(house, "/");
    };
    let mut response = frame::go(&address(house, rd));
    let cookie = cookie.expose_str().unwrap_or_default();
    response
        .headers_mut()
        .append(SET_COOKIE, Cookie::Pending.set(visit.secure(), cookie, None));
    response
}

/// Where it is asked for.
fn address(house: &House<'_>, rd: Option<&str>) -> String {
    let rd = rd.map(|rd| format!("?rd={}", query::encode(rd)));
    format!("{}/second-factor{}", house.site.prefix, rd.unwrap_or_default())
}

/// The form.
pub(super) fn show(house: &House<'_>, visit: &Visit<'_>) -> Response<Body> {
    let rd = login::one(visit.facts.query, "rd");
    let rd = back::target(&rd, house.site, &visit.facts);
    let rd = rd.as_deref();
    let Some(asked) = asked(house, visit) else {
        return nobody(house, visit, rd);
    };
    shown(house, visit, &asked, StatusCode::OK, "", rd)
}

/// Somebody typed a code.
pub(super) async fn send(house: &House<'_>, visit: &Visit<'_>, body: Body) -> Response<Body> {
    let form = match Form::read(&visit.facts, body).await {
        Ok(form) => form,
        Err(status) => return visit.bad_form(status),
    };
    let rd = form.text("rd");
    let rd = back::target(&rd, house.site, &visit.facts);
    let rd = rd.as_deref();
    let Some(asked) = asked(house, visit) else {
        return nobody(house, visit, rd);
    };
    let again = |status, problem: &str| shown(house, visit, &asked, status, problem, rd);
    if !form::comes_from_here(house, &visit.facts) || !asked.owns(house, visit, &form) {
        return again(StatusCode::FORBIDDEN, visit.words.foreign);
    }
    match check(house, visit, asked.user(), &form.secret("code")).await {
        Shown::Right(factor) => finish(house, visit, &asked, &form, factor, rd).await,
        Shown::Wrong(problem) => again(StatusCode::UNAUTHORIZED, &problem),
        Shown::Throttled(throttled) if throttled.why == "guesses" => {
            let problem = login::too_many(visit, throttled);
            let mut response = again(StatusCode::TOO_MANY_REQUESTS, &problem);
            frame::retry_after(&mut response, throttled.retry_after);
            response
        }
        Shown::Throttled(throttled) => visit.throttled(throttled),
        Shown::Fault => again(StatusCode::SERVICE_UNAVAILABLE, &visit.fault()),
    }
}

/// What a typed code came to.
enum Shown {
    Right(Factor),
    Wrong(String),
    Throttled(Throttled),
    Fault,
}

async fn check(house: &House<'_>, visit: &Visit<'_>, user: &str, code: &Secret) -> Shown {
    let (facts, authority) = (&visit.facts, house.authority);
    let note = |factor, outcome, reason| journal::login(house, visit, factor, outcome, user, reason);
    // Counted before it is judged, and taken back if it was right: whoever hangs up is counted.
    let guess = match authority.admit_code(facts, user, code) {
        Ok(guess) => guess,
        Err(throttled) => {
            note(Factor::Totp, LoginOutcome::Throttled, throttled.why);
            return Shown::Throttled(throttled);
        }
    };
    let typed = code.expose_str().unwrap_or_default();
    let outcome = authority.accounts.show_code(user, typed, facts.now).await;
    let reason = match outcome {
        Ok(CodeOutcome::App) => {
            authority.guard.no_wrong_guess(&guess);
            return Shown::Right(Factor::Totp);
        }
        Ok(CodeOutcome::Backup(_)) => {
            authority.guard.no_wrong_guess(&guess);
            return Shown::Right(Factor::BackupCode);
        }
        Ok(CodeOutcome::Used) => "code-used",
        Ok(CodeOutcome::Away(seconds)) if seconds < 0 => "code-old",
        Ok(CodeOutcome::Away(_)) => "code-early",
        Ok(CodeOutcome::Wrong) => "code-wrong",
        Err(error) => {
            authority.guard.no_wrong_guess(&guess);
            tracing::error!(request.id = %facts.id, %error, "a code could not be judged");
            return Shown::Fault;
        }
    };
    note(Factor::Totp, LoginOutcome::Failure, reason);
    journal::banned(
        house,
        visit,
        authority.guard.failed(facts.client, &guess.credential, facts.now),
    );
    if let Err(throttled) = authority.guard.spend_refused(facts.client) {
        return Shown::Throttled(throttled);
    }
    Shown::Wrong(match outcome {
        Ok(CodeOutcome::Used) => visit.words.code_used.to_owned(),
        // A code of the future would work soon: only who is known hears that it was one.
        Ok(CodeOutcome::Away(seconds)) if seconds < 0 || guess.standing != Standing::Stranger => {
            away(visit, seconds)
        }
        _ => visit.words.code_wrong.to_owned(),
    })
}

/// That a clock is off, and how far.
pub(super) fn away(visit: &Visit<'_>, seconds: i64) -> String {
    let minutes = seconds.unsigned_abs().div_ceil(60).to_string();
    match seconds < 0 {
        true => fill(visit.words.code_old, &minutes),
        false => fill(visit.words.code_early, &minutes),
    }
}

/// They have shown it: on to what they wanted.
pub(super) async fn finish(
    house: &House<'_>,
    visit: &Visit<'_>,
    asked: &Asked,
    form: &Form,
    factor: Factor,
    rd: Option<&str>,
) -> Response<Body> {
    let accounts = &house.authority.accounts;
    let now = visit.facts.now;
    let remember = house.settings.session.remember;
    let entry = match asked {
        Asked::Pending(pending, cookie) => {
            // Of two who finish one login, one goes on.
            if !accounts.end_pending(cookie.as_bytes()) {
                return nobody(house, visit, rd);
            }
            Entry {
                user: &pending.user,
                remember: remember.filter(|_| pending.remember),
                factor,
                factors: if pending.chosen { 1 } else { 2 },
                chosen: pending.chosen,
                goes_on: None,
            }
        }
        Asked::Session(session) => Entry {
            user: session.user(),
            remember: remember.filter(|_| session.is_remembered()),
            factor,
            factors: 2,
            chosen: false,
            goes_on: Some(session),
        },
    };
    let user = entry.user;
    let start = format!("{}/", house.site.prefix);
    let mut response = frame::go(&back::location(rd.unwrap_or(&start), house.site));
    if login::begin(house, visit, entry, &mut response).await.is_err() {
        return super::message(house, visit, StatusCode::SERVICE_UNAVAILABLE, &visit.fault());
    }
    let cookies = response.headers_mut();
    for spent in [Cookie::Form, Cookie::Pending] {
        cookies.append(SET_COOKIE, spent.clear(visit.secure()));
    }
    if let Some(rd) = rd {
        loops::logged_in(visit, rd, &mut response);
    }
    if let Some(life) = house
        .settings
        .session
        .remember_device
        .filter(|_| form.is_ticked("remember_device"))
    {
        let agent = headers::text(visit.facts.headers, USER_AGENT);
        let address = visit.facts.client.address();
        // Without it the code is asked for the next time as well.
        if let Ok(cookie) = accounts.remember_device(user, life, address, agent, now).await {
            let cookie = cookie.expose_str().unwrap_or_default();
            response
                .headers_mut()
                .append(SET_COOKIE, Cookie::Device.set(visit.secure(), cookie, Some(life)));
        }
    }
    response
}

/// Who has to show one here and now.
pub(super) fn asked(house: &House<'_>, visit: &Visit<'_>) -> Option<Asked> {
    let accounts = &house.authority.accounts;
    if let Found::One(cookie) = Cookie::Pending.find(visit.facts.headers, visit.secure())
        && let Some(pending) = accounts.find_pending(cookie, visit.facts.now)
        && let Ok(cookie) = std::str::from_utf8(cookie)
    {
        return Some(Asked::Pending(pending, cookie.to_owned()));
    }
    let session = visit.who.as_deref().and_then(|who| who.session())?;
    // Who was chosen shows the password first.
    let asked = session.factors() < 2 && !session.is_chosen() && accounts.has_second_factor(session.user());
    asked.then(|| Asked::Session(Arc::clone(session)))
}

/// Nobody has to show one here and now.
pub(super) fn nobody(house: &House<'_>, visit: &Visit<'_>, rd: Option<&str>) -> Response<Body> {
    let start = format!("{}/", house.site.prefix);
    match visit.who.as_deref().and_then(|who| who.session()) {
        None => frame::go(&login::address(house, "", rd.unwrap_or(&start))),
        Some(session) if session.is_chosen() => {
            frame::go(&login::address(house, "again", rd.unwrap_or(&start)))
        }
        Some(session) if session.factors() >= 2 => {
            frame::go(&back::location(rd.unwrap_or(&start), house.site))
        }
        Some(_) => {
            let words = visit.words;
            let rd = rd
                .map(|rd| format!("?rd={}", query::encode(rd)))
                .unwrap_or_default();
            let page = NonePage {
                f: Frame::new(house, visit, words.factor_title),
                rd,
                passkeys: passkeys::party(house, visit).is_some(),
            };
            frame::page(house, StatusCode::FORBIDDEN, &page)
        }
    }
}

/// The form, with what was wrong.
pub(super) fn shown(
    house: &House<'_>,
    visit: &Visit<'_>,
    asked: &Asked,
    status: StatusCode,
    problem: &str,
    rd: Option<&str>,
) -> Response<Body> {
    let words = visit.words;
    let passkey = passkey_shown::offer_to(house, visit, asked.user());
    let scripted = matches!(passkey, Some(Offer::Works));
    let frame = Frame::new(house, visit, words.factor_title);
    let factors = house.authority.accounts.factors(asked.user()).unwrap_or_default();
    let lead = match factors.totp {
        Some(_) => words.factor_lead,
        None => words.factor_lead_codes,
    };
    let page = Page {
        f: match scripted {
            true => frame.with_script(),
            false => frame,
        },
        notice: "",
        problem,
        form: asked.token(house),
        rd: rd.unwrap_or_default().to_owned(),
        lead: fill(lead, asked.user()),
        may_remember: house.settings.session.remember_device.is_some(),
        passkey,
        at: "second-factor",
        why: "",
    };
    match scripted {
        true => frame::page_with_script(house, status, &page),
        false => frame::page(house, status, &page),
    }
}

fn subject(cookie: &str) -> String {
    hex::encode(&mac::fingerprint(cookie.as_bytes()))
}
