//! What a one-time link opens: the first owner's account, or a new password for somebody who is
//! locked out. Looking at it uses nothing up: programs that preview links do that too.

use askama::Template;
use http::{Response, StatusCode};

use super::form::{self, Form};
use super::frame::{self, Frame};
use super::journal::{self, Undone};
use super::language::fill;
use super::login::Entry;
use super::{House, Visit, login, passwords, second_factor};
use crate::accounts::{AccountsError, NewUser, Purpose};
use crate::observe::audit::Event;
use crate::observe::metrics::{Factor, LoginOutcome};
use crate::wire::Body;

#[derive(Template)]
#[template(path = "setup.html")]
struct Page<'a> {
    f: Frame<'a>,
    notice: &'a str,
    problem: &'a str,
    lead: String,
    code: String,
    owner: bool,
    name: String,
    display_name: String,
    hint: String,
    button: &'a str,
}

/// The form.
pub(super) fn show(house: &House<'_>, visit: &Visit<'_>) -> Response<Body> {
    let code = login::one(visit.facts.query, "code");
    match find(house, visit, &code) {
        Ok(purpose) => shown(
            house,
            visit,
            StatusCode::OK,
            "",
            &purpose,
            &code,
            &Typed::default(),
        ),
        Err(dead) => *dead,
    }
}

/// Somebody filled it in.
pub(super) async fn send(house: &House<'_>, visit: &Visit<'_>, body: Body) -> Response<Body> {
    let form = match Form::read(&visit.facts, body).await {
        Ok(form) => form,
        Err(status) => return visit.bad_form(status),
    };
    let code = form.text("code");
    let purpose = match find(house, visit, &code) {
        Ok(purpose) => purpose,
        Err(dead) => return *dead,
    };
    let typed = Typed {
        name: form.text("name"),
        display_name: form.text("display_name"),
    };
    let again = |status, problem: &str| shown(house, visit, status, problem, &purpose, &code, &typed);
    if !form::comes_from_here(house, &visit.facts) {
        return again(StatusCode::FORBIDDEN, visit.words.foreign);
    }
    let password = match passwords::typed_twice(visit, &form) {
        Ok(password) => password,
        Err(problem) => return again(StatusCode::BAD_REQUEST, &problem),
    };
    let accounts = &house.authority.accounts;
    let now = visit.facts.now;
    let claimed = match &purpose {
        Purpose::Owner => {
            let new = NewUser {
                name: typed.name.clone(),
                display_name: typed.display_name.clone(),
                password: Some(password),
                ..NewUser::default()
            };
            let line = journal::line(visit, Event::Setup, "", "owner");
            journal::noted(house, &line, accounts.claim_owner(code.as_bytes(), new, now)).await
        }
        Purpose::Recover { user, .. } => {
            let line = journal::line(visit, Event::UserChange, user, "recovered");
            let claim = accounts.claim_recovery(code.as_bytes(), password, now);
            journal::noted(house, &line, claim).await
        }
    };
    let account = match claimed {
        Ok(account) => account,
        // Somebody else was quicker with the same link.
        Err(Undone::Refused(AccountsError::Forbidden { .. })) => return dead(house, visit),
        Err(undone) => {
            let (problem, status) = passwords::why(visit, &undone);
            return again(status, &problem);
        }
    };
    let user = &account.user.name;
    let all_factors = matches!(
        purpose,
        Purpose::Recover {
            all_factors: true,
            ..
        }
    );
    if !all_factors && second_factor::is_asked(house, visit, user, true) {
        return second_factor::ask(house, visit, user, false, false, None);
    }
    let mut response = frame::go(&format!("{}/", house.site.prefix));
    // The account is there; without a cookie its user logs in.
    let entry = Entry {
        user,
        remember: None,
        factor: Factor::Link,
        // Two: else the one whose phone is lost could not take it off the account.
        factors: if all_factors && accounts.has_second_factor(user) {
            2
        } else {
            1
        },
        chosen: false,
        goes_on: None,
    };
    let _ = login::begin(house, visit, entry, &mut response).await;
    response
}

/// What was typed and may be shown again.
#[derive(Default)]
struct Typed {
    name: String,
    display_name: String,
}

/// What the link is for; a wrong code counts as a wrong credential, an old one cannot be told from it
/// and so counts too, once.
fn find(house: &House<'_>, visit: &Visit<'_>, code: &str) -> Result<Purpose, Box<Response<Body>>> {
    let facts = &visit.facts;
    if let Some(purpose) = house.authority.accounts.find_link(code.as_bytes(), facts.now) {
        return Ok(purpose);
    }
    if !code.is_empty() {
        let key = house.authority.authenticator.link_key(code.as_bytes());
        journal::login(house, visit, Factor::Link, LoginOutcome::Failure, "", "link-dead");
        // Nobody guesses 256 bits, and nobody may be banned from the set-up for pasting half a link.
        journal::banned(house, visit, house.authority.count_wrong(facts, &key));
        if let Err(throttled) = house.authority.guard.spend_refused(facts.client) {
            return Err(visit.throttled(throttled).into());
        }
    }
    Err(dead(house, visit).into())
}

fn dead(house: &House<'_>, visit: &Visit<'_>) -> Response<Body> {
    let words = visit.words;
    let page = super::Message {
        f: Frame::new(house, visit, words.link_dead_title),
        notice: "",
        problem: "",
        text: words.link_dead.to_owned(),
        link: format!("{}/login", house.site.prefix),
        link_text: words.nav_login,
    };
    frame::page(house, StatusCode::FORBIDDEN, &page)
}

fn shown(
    house: &House<'_>,
    visit: &Visit<'_>,
    status: StatusCode,
    problem: &str,
    purpose: &Purpose,
    code: &str,
    typed: &Typed,
) -> Response<Body> {
    let words = visit.words;
    let least = house.settings.password.minimum_length.to_string();
    let (title, lead, button, name) = match purpose {
        Purpose::Owner => (
            words.setup_title,
            words.setup_lead.to_owned(),
            words.setup_button,
            form::shown(&typed.name),
        ),
        Purpose::Recover { user, .. } => (
            words.recover_title,
            fill(words.recover_lead, user),
            words.recover_button,
            user.clone(),
        ),
    };
    let page = Page {
        f: Frame::new(house, visit, title),
        notice: "",
        problem,
        lead,
        code: code.to_owned(),
        owner: *purpose == Purpose::Owner,
        name,
        display_name: form::shown(&typed.display_name),
        hint: fill(words.password_hint, &least),
        button,
    };
    frame::page(house, status, &page)
}
