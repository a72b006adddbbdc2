//! A passkey in the place of name and password, or of the code after them. It is two factors: what the
//! person has, and what the device asks of them (see [`crate::crypto::passkey`]).

use http::header::SET_COOKIE;
use http::{Response, StatusCode};

use super::form::{self, Binding, Form};
use super::frame;
use super::login::{self, Entry, Filled};
use super::passkeys::{Offer, no_party, party};
use super::second_factor::{self, Asked};
use super::{House, Visit, back, journal, kept, loops};
use crate::accounts::{Page, PasskeyOutcome};
use crate::crypto::passkey::{Answer, Party};
use crate::decision::guard::Throttled;
use crate::observe::metrics::{Factor, LoginOutcome};
use crate::request::Client;
use crate::wire::Body;
use crate::wire::cookie::Cookie;

/// What the login page offers. Where nobody has a passkey, it says nothing of them, and has no script.
pub(super) fn offer(house: &House<'_>, visit: &Visit<'_>) -> Option<Offer> {
    let any = house.authority.accounts.has_passkeys();
    any.then(|| match party(house, visit) {
        Some(_) => Offer::Works,
        None => Offer::Not(no_party(house, visit)),
    })
}

/// What the page of the second factor offers that user.
pub(super) fn offer_to(house: &House<'_>, visit: &Visit<'_>, user: &str) -> Option<Offer> {
    let passkeys = house
        .authority
        .accounts
        .factors(user)
        .unwrap_or_default()
        .passkeys;
    let elsewhere = passkeys.first()?.site.clone();
    let Some(party) = party(house, visit) else {
        return Some(Offer::Not(no_party(house, visit)));
    };
    let here = passkeys.iter().any(|passkey| passkey.site == party.site());
    Some(match here {
        true => Offer::Works,
        false => Offer::Not(super::language::fill(visit.words.passkey_elsewhere, &elsewhere)),
    })
}

/// What the browser needs to ask for one on the login page.
pub(super) async fn login_options(house: &House<'_>, visit: &Visit<'_>, body: Body) -> Response<Body> {
    let form = match Form::read(&visit.facts, body).await {
        Ok(form) => form,
        Err(status) => return visit.bad_form(status),
    };
    let nonce = Binding::held(house, &visit.facts, &form);
    let (Some(nonce), true) = (nonce, form::comes_from_here(house, &visit.facts)) else {
        return super::empty(StatusCode::FORBIDDEN);
    };
    if let Err(throttled) = house.authority.guard.admit(visit.facts.client, visit.facts.now) {
        return visit.throttled(throttled);
    }
    let Some(party) = party(house, visit) else {
        return super::empty(StatusCode::CONFLICT);
    };
    let accounts = &house.authority.accounts;
    let client = match visit.facts.client {
        Client::Address(address) => Some(kept::neighbourhood(address)),
        // Everybody behind it is one to us.
        Client::Proxy(_) | Client::Unix => None,
    };
    match accounts.ask_passkey(Page::Login(&nonce), &party, client, visit.facts.now) {
        Ok(options) => frame::json(options),
        Err(_) => super::empty(StatusCode::CONFLICT),
    }
}

/// Somebody showed one on the login page.
pub(super) async fn log_in(house: &House<'_>, visit: &Visit<'_>, body: Body) -> Response<Body> {
    let words = visit.words;
    let form = match Form::read(&visit.facts, body).await {
        Ok(form) => form,
        Err(status) => return visit.bad_form(status),
    };
    let rd = back::target(&form.text("rd"), house.site, &visit.facts);
    let remember = form.is_ticked("remember");
    let again = |status, problem: &str| {
        let filled = Filled {
            rd: rd.clone().unwrap_or_default(),
            remember,
            again: form.text("why") == "again",
            ..Filled::default()
        };
        login::shown(house, visit, status, "", problem, filled)
    };
    if house.authority.accounts.is_empty() {
        return super::message(house, visit, StatusCode::UNAUTHORIZED, words.no_owner);
    }
    if !form::comes_from_here(house, &visit.facts) {
        return again(StatusCode::FORBIDDEN, words.foreign);
    }
    let Some(nonce) = Binding::held(house, &visit.facts, &form) else {
        return again(StatusCode::FORBIDDEN, words.login_cookie);
    };
    let Some(party) = party(house, visit) else {
        return again(StatusCode::BAD_REQUEST, &no_party(house, visit));
    };
    let user = match judge(house, visit, Page::Login(&nonce), None, &party, &form).await {
        Judged::Right(user) => user,
        judged => return refused(visit, judged, again),
    };
    let start = format!("{}/", house.site.prefix);
    let mut response = frame::go(&back::location(rd.as_deref().unwrap_or(&start), house.site));
    let entry = Entry {
        user: &user,
        remember: remember.then_some(house.settings.session.remember).flatten(),
        factor: Factor::Passkey,
        factors: 2,
        chosen: false,
        goes_on: None,
    };
    if login::begin(house, visit, entry, &mut response).await.is_err() {
        return again(StatusCode::SERVICE_UNAVAILABLE, &visit.fault());
    }
    if let Some(rd) = &rd {
        loops::logged_in(visit, rd, &mut response);
    }
    for spent in [Cookie::Form, Cookie::Pending] {
        response
            .headers_mut()
            .append(SET_COOKIE, spent.clear(visit.secure()));
    }
    response
}

/// What the browser needs to ask for one after the password.
pub(super) async fn factor_options(house: &House<'_>, visit: &Visit<'_>, body: Body) -> Response<Body> {
    let form = match Form::read(&visit.facts, body).await {
        Ok(form) => form,
        Err(status) => return visit.bad_form(status),
    };
    let asked = second_factor::asked(house, visit)
        .filter(|asked| form::comes_from_here(house, &visit.facts) && asked.owns(house, visit, &form));
    let Some(asked) = asked else {
        return super::empty(StatusCode::FORBIDDEN);
    };
    if let Err(throttled) = house.authority.guard.admit(visit.facts.client, visit.facts.now) {
        return visit.throttled(throttled);
    }
    let Some(party) = party(house, visit) else {
        return super::empty(StatusCode::CONFLICT);
    };
    let accounts = &house.authority.accounts;
    match accounts.ask_passkey_of(asked.page(), asked.user(), &party, visit.facts.now) {
        Ok(Some(options)) => frame::json(options),
        Ok(None) => super::empty(StatusCode::CONFLICT),
        Err(error) => {
            tracing::error!(request.id = %visit.facts.id, %error, "a passkey could not be asked for");
            super::empty(StatusCode::SERVICE_UNAVAILABLE)
        }
    }
}

/// Somebody showed one after the password, or in place.
pub(super) async fn show_factor(house: &House<'_>, visit: &Visit<'_>, body: Body) -> Response<Body> {
    let form = match Form::read(&visit.facts, body).await {
        Ok(form) => form,
        Err(status) => return visit.bad_form(status),
    };
    let rd = back::target(&form.text("rd"), house.site, &visit.facts);
    let rd = rd.as_deref();
    let Some(asked) = second_factor::asked(house, visit) else {
        return second_factor::nobody(house, visit, rd);
    };
    let again = |status, problem: &str| second_factor::shown(house, visit, &asked, status, problem, rd);
    if !form::comes_from_here(house, &visit.facts) || !asked.owns(house, visit, &form) {
        return again(StatusCode::FORBIDDEN, visit.words.foreign);
    }
    let Some(party) = party(house, visit) else {
        return again(StatusCode::BAD_REQUEST, "");
    };
    match judge(house, visit, asked.page(), Some(&asked), &party, &form).await {
        Judged::Right(_) => second_factor::finish(house, visit, &asked, &form, Factor::Passkey, rd).await,
        judged => refused(visit, judged, again),
    }
}

enum Judged {
    Right(String),
    /// What to tell the person; all causes alike.
    Wrong(&'static str),
    Throttled(Throttled),
    Fault,
}

/// The same guard, and the same count of failures, as for passwords and codes.
async fn judge(
    house: &House<'_>,
    visit: &Visit<'_>,
    page: Page<'_>,
    expected: Option<&Asked>,
    party: &Party,
    form: &Form,
) -> Judged {
    let (facts, authority, words) = (&visit.facts, house.authority, visit.words);
    let accounts = &authority.accounts;
    let expected = expected.map(Asked::user);
    let note = |outcome, user: &str, reason| {
        journal::login(house, visit, Factor::Passkey, outcome, user, reason);
    };
    let text = form.text("answer");
    // The browser was given nothing to ask for, and this page is to say why.
    if text.is_empty() {
        return match authority.guard.admit(facts.client, facts.now) {
            Ok(()) => Judged::Wrong(words.passkey_late),
            Err(throttled) => Judged::Throttled(throttled),
        };
    }
    let named = Answer::read(&text).and_then(|answer| accounts.owner_of_passkey(&answer));
    let named = expected.map(str::to_owned).or(named);
    // Counted before it is judged, and taken back if it was right: whoever hangs up is counted.
    let guess = match authority.admit_passkey(facts, named.as_deref(), text.as_bytes()) {
        Ok(guess) => guess,
        Err(throttled) => {
            note(
                LoginOutcome::Throttled,
                named.as_deref().unwrap_or_default(),
                throttled.why,
            );
            return Judged::Throttled(throttled);
        }
    };
    let outcome = accounts
        .show_passkey(page, expected, party, &text, facts.now)
        .await;
    match outcome {
        Ok(PasskeyOutcome::Right(user)) => {
            authority.guard.no_wrong_guess(&guess);
            return Judged::Right(user);
        }
        Ok(PasskeyOutcome::Late) => {
            // Nothing was looked at. Whoever goes back in the browser is no attacker.
            authority.guard.no_wrong_guess(&guess);
            note(
                LoginOutcome::Failure,
                expected.unwrap_or_default(),
                "passkey-late",
            );
        }
        Ok(PasskeyOutcome::Disabled(ref user)) => {
            authority.guard.no_wrong_guess(&guess);
            note(LoginOutcome::Failure, user, "user-disabled");
        }
        Ok(PasskeyOutcome::Wrong(why, ref user)) => {
            note(LoginOutcome::Failure, user, why);
            let ban = authority.guard.failed(facts.client, &guess.credential, facts.now);
            journal::banned(house, visit, ban);
        }
        Err(error) => {
            authority.guard.no_wrong_guess(&guess);
            tracing::error!(request.id = %facts.id, %error, "a passkey could not be judged");
            return Judged::Fault;
        }
    }
    if let Err(throttled) = authority.guard.spend_refused(facts.client) {
        return Judged::Throttled(throttled);
    }
    Judged::Wrong(match outcome {
        Ok(PasskeyOutcome::Late) => words.passkey_late,
        _ => words.passkey_wrong,
    })
}

fn refused(
    visit: &Visit<'_>,
    judged: Judged,
    again: impl Fn(StatusCode, &str) -> Response<Body>,
) -> Response<Body> {
    match judged {
        Judged::Right(_) | Judged::Fault => again(StatusCode::SERVICE_UNAVAILABLE, &visit.fault()),
        Judged::Wrong(problem) => again(StatusCode::UNAUTHORIZED, problem),
        Judged::Throttled(throttled) if throttled.why == "guesses" => {
            let mut response = again(StatusCode::TOO_MANY_REQUESTS, &login::too_many(visit, throttled));
            frame::retry_after(&mut response, throttled.retry_after);
            response
        }
        Judged::Throttled(throttled) => visit.throttled(throttled),
    }
}
