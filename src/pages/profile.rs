//! What one may look at and change about oneself.

use std::sync::Arc;

use askama::Template;
use http::{Response, StatusCode};

use super::factors::Listed;
use super::form::{self, Form};
use super::frame::{self, Frame};
use super::journal::{self, Undone};
use super::language::{LANGUAGES, Words, fill};
use super::login::Entry;
use super::tokens::{Draft, Shown};
use super::{House, Visit, agent, factors, grants, login, passkeys, passwords, tokens};
use crate::accounts::{Account, LiveSession};
use crate::model::{Preferences, Role, Theme};
use crate::observe::audit::{Event, Line};
use crate::observe::metrics::Factor;
use crate::time::Timestamp;
use crate::wire::Body;

/// More logins or apps than this are not listed one by one; they can all be ended.
const LISTED: usize = 20;

#[derive(Template)]
#[template(path = "profile.html")]
struct Page<'a> {
    f: Frame<'a>,
    notice: &'a str,
    problem: &'a str,
    form: String,
    role: &'a str,
    groups: String,
    display_name: String,
    email: String,
    languages: Vec<Choice>,
    themes: Vec<Choice>,
    has_password: bool,
    password_hint: String,
    recent: bool,
    login_again: String,
    factors: Listed,
    passkeys: Vec<passkeys::Listed>,
    sessions: Vec<Session>,
    more_sessions: bool,
    grants: Vec<grants::Listed>,
    more_grants: bool,
    tokens: Vec<Shown>,
    open_create: bool,
    draft: Draft,
}

/// One of a list to choose from.
pub(super) struct Choice {
    pub(super) value: &'static str,
    pub(super) text: &'static str,
    pub(super) chosen: bool,
}

/// A login in the list.
struct Session {
    id: String,
    own: bool,
    agent: String,
    began: String,
    seen: String,
    ends: String,
}

/// Somebody who is logged in, for a page or a form of the profile.
pub(super) struct Person {
    pub(super) session: Arc<LiveSession>,
    pub(super) account: Arc<Account>,
}

impl Person {
    pub(super) fn name(&self) -> &str {
        &self.account.user.name
    }

    /// Whether the login is so new, and with all factors that there are, that its user may make tokens
    /// and change factors.
    pub(super) fn is_recent(&self, house: &House<'_>, now: Timestamp) -> bool {
        login::is_recent(&house.authority.accounts, &self.session, now)
    }
}

/// The page.
pub(super) fn show(house: &House<'_>, visit: &Visit<'_>) -> Response<Body> {
    let Some(person) = person(visit) else {
        return visit.to_login(house, "/profile");
    };
    let words = visit.words;
    let notice = match login::one(visit.facts.query, "done").as_str() {
        "name" => words.names_saved,
        "preferences" => words.preferences_saved,
        "password" => words.password_changed,
        "session" => words.session_ended,
        "token" => words.token_revoked,
        "grant" => words.grant_ended,
        "app" => words.app_done,
        "factors" => words.factors_removed,
        "passkey" => words.passkey_added,
        "passkey-name" => words.passkey_renamed,
        "passkey-removed" => words.passkey_removed,
        "devices" => words.devices_forgotten,
        _ => "",
    };
    shown(
        house,
        visit,
        &person,
        StatusCode::OK,
        notice,
        "",
        Draft::default(),
    )
}

/// Another name for people, another address.
pub(super) async fn rename(house: &House<'_>, visit: &Visit<'_>, body: Body) -> Response<Body> {
    let (person, form) = match open(house, visit, body).await {
        Ok(opened) => opened,
        Err(response) => return *response,
    };
    let (name, email) = (form.text("display_name"), form.text("email"));
    // A backend may know people by their address: nobody becomes somebody else by writing theirs.
    let taken = house.authority.accounts.users().into_iter().any(|account| {
        account.user.name != person.name() && !email.is_empty() && is_same(&account.user.email, &email)
    });
    if taken {
        let problem = visit.words.email_taken;
        return shown(
            house,
            visit,
            &person,
            StatusCode::BAD_REQUEST,
            "",
            problem,
            Draft::default(),
        );
    }
    let line = journal::line(visit, Event::UserChange, person.name(), "name, e-mail");
    let change = house
        .authority
        .accounts
        .set_names(person.name(), Some(&name), Some(&email));
    match journal::noted(house, &line, change).await {
        Ok(_) => done(house, "name"),
        Err(undone) => refused(house, visit, &person, &undone, Draft::default()),
    }
}

/// Another language, another look.
pub(super) async fn prefer(house: &House<'_>, visit: &Visit<'_>, body: Body) -> Response<Body> {
    let (person, form) = match open(house, visit, body).await {
        Ok(opened) => opened,
        Err(response) => return *response,
    };
    let code = form.text("language");
    let known = LANGUAGES.iter().find(|language| language.code == code);
    let preferences = Preferences {
        language: known.map(|language| language.code.to_owned()).unwrap_or_default(),
        theme: match form.text("theme").as_str() {
            "light" => Theme::Light,
            "dark" => Theme::Dark,
            _ => Theme::System,
        },
    };
    let line = journal::line(visit, Event::UserChange, person.name(), "preferences");
    let change = house
        .authority
        .accounts
        .set_preferences(person.name(), preferences);
    match journal::noted(house, &line, change).await {
        Ok(_) => done(house, "preferences"),
        Err(undone) => refused(house, visit, &person, &undone, Draft::default()),
    }
}

/// Another password: all logins end, and this browser gets a new one.
pub(super) async fn change_password(house: &House<'_>, visit: &Visit<'_>, body: Body) -> Response<Body> {
    let (person, form) = match open(house, visit, body).await {
        Ok(opened) => opened,
        Err(response) => return *response,
    };
    let again = |status, problem: &str| shown(house, visit, &person, status, "", problem, Draft::default());
    let password = match passwords::typed_twice(visit, &form) {
        Ok(password) => password,
        Err(problem) => return again(StatusCode::BAD_REQUEST, &problem),
    };
    if person.account.user.password.is_some() {
        match login::check(house, visit, person.name(), &form, person.name()).await {
            login::Checked::Right(_) => {}
            login::Checked::Wrong => return again(StatusCode::FORBIDDEN, visit.words.password_wrong),
            login::Checked::Busy(_) => return again(StatusCode::TOO_MANY_REQUESTS, visit.words.login_busy),
            login::Checked::Throttled(throttled) if throttled.why == "guesses" => {
                let problem = login::too_many(visit, throttled);
                return again(StatusCode::TOO_MANY_REQUESTS, &problem);
            }
            login::Checked::Throttled(throttled) => return visit.throttled(throttled),
            login::Checked::Fault => return again(StatusCode::SERVICE_UNAVAILABLE, &visit.fault()),
        }
    } else if !person.is_recent(house, visit.facts.now) {
        return again_first(house, "/profile");
    }
    let line = journal::line(visit, Event::UserChange, person.name(), "password");
    let change = house
        .authority
        .accounts
        .set_password(person.name(), Some(password));
    if let Err(undone) = journal::noted(house, &line, change).await {
        return refused(house, visit, &person, &undone, Draft::default());
    }
    let remembered = house
        .settings
        .session
        .remember
        .filter(|_| person.session.is_remembered());
    let mut response = done(house, "password");
    // Without a cookie the browser is sent to the login, where the new password works.
    let has_factors = house.authority.accounts.has_second_factor(person.name());
    let entry = Entry {
        user: person.name(),
        remember: remembered,
        factor: Factor::Password,
        factors: person.session.factors(),
        // The second factor was not shown again, so nothing is newer than it was.
        chosen: false,
        goes_on: has_factors.then_some(&*person.session),
    };
    let _ = login::begin(house, visit, entry, &mut response).await;
    response
}

/// One login ends, or all but this one.
pub(super) async fn end_sessions(house: &House<'_>, visit: &Visit<'_>, body: Body) -> Response<Body> {
    let (person, form) = match open(house, visit, body).await {
        Ok(opened) => opened,
        Err(response) => return *response,
    };
    let accounts = &house.authority.accounts;
    let id = form.text("id");
    let ended = if id.is_empty() {
        let line = journal::line(visit, Event::SessionEnd, person.name(), "all others");
        let end = accounts.end_sessions(person.name(), Some(person.session.id()));
        journal::noted(house, &line, end).await.map(|_| ())
    } else {
        let own = accounts
            .session(&id)
            .filter(|session| session.user() == person.name());
        let Some(session) = own else {
            let gone = visit.words.gone;
            return shown(
                house,
                visit,
                &person,
                StatusCode::NOT_FOUND,
                "",
                gone,
                Draft::default(),
            );
        };
        let line = Line {
            credential: session.id(),
            ..journal::line(visit, Event::SessionEnd, person.name(), "")
        };
        journal::noted(house, &line, accounts.end_session(session.id()))
            .await
            .map(|_| ())
    };
    match ended {
        Ok(()) => done(house, "session"),
        Err(undone) => refused(house, visit, &person, &undone, Draft::default()),
    }
}

/// Who sent a form of the profile, and the form: sent by somebody who is logged in by what they showed,
/// from a page of ours.
pub(super) async fn open(
    house: &House<'_>,
    visit: &Visit<'_>,
    body: Body,
) -> Result<(Person, Form), Box<Response<Body>>> {
    let Some(person) = person(visit) else {
        return Err(visit.to_login(house, "/profile").into());
    };
    let form = Form::read(&visit.facts, body)
        .await
        .map_err(|status| visit.bad_form(status))?;
    if !form::comes_from_here(house, &visit.facts) || !form::belongs(house, visit, &form) {
        let foreign = visit.words.foreign;
        let page = shown(
            house,
            visit,
            &person,
            StatusCode::FORBIDDEN,
            "",
            foreign,
            Draft::default(),
        );
        return Err(page.into());
    }
    // A passer-by in a trusted network leaves no trace in an account.
    if person.session.is_chosen() {
        return Err(again_first(house, "/profile").into());
    }
    Ok((person, form))
}

/// After a change: the page again, by GET, so that reloading it changes nothing.
pub(super) fn done(house: &House<'_>, what: &str) -> Response<Body> {
    frame::go(&format!("{}/profile?done={what}", house.site.prefix))
}

/// The password once more, please, and then back to that page.
pub(super) fn again_first(house: &House<'_>, path: &str) -> Response<Body> {
    frame::go(&login_again(house, path))
}

/// The page with what went wrong.
pub(super) fn refused(
    house: &House<'_>,
    visit: &Visit<'_>,
    person: &Person,
    undone: &Undone,
    draft: Draft,
) -> Response<Body> {
    let (problem, status) = passwords::why(visit, undone);
    shown(house, visit, person, status, "", &problem, draft)
}

pub(super) fn shown(
    house: &House<'_>,
    visit: &Visit<'_>,
    person: &Person,
    status: StatusCode,
    notice: &str,
    problem: &str,
    draft: Draft,
) -> Response<Body> {
    let words = visit.words;
    let user = &person.account.user;
    let now = visit.facts.now;
    let mut sessions = house.authority.accounts.sessions(Some(&user.name), now);
    // This browser first, then as they come.
    sessions.sort_by_key(|session| session.id() != person.session.id());
    let chosen = house.authority.accounts.user(&user.name);
    let chosen = chosen.map(|account| account.user.preferences.language.clone());
    let chosen = chosen.unwrap_or_default();
    let least = house.settings.password.minimum_length.to_string();
    let grants = grants::of(house, visit, &user.name);
    let page = Page {
        f: Frame::new(house, visit, words.profile_title),
        notice,
        problem,
        form: form::token_of(house, &person.session),
        role: role(words, user.role),
        groups: user.groups.join(", "),
        display_name: user.display_name.clone(),
        email: user.email.clone(),
        languages: languages(words, &chosen),
        themes: themes(words, visit.theme),
        has_password: user.password.is_some(),
        password_hint: fill(words.password_hint, &least),
        recent: person.is_recent(house, now),
        login_again: login_again(house, "/profile"),
        factors: factors::of(house, visit, &user.name),
        passkeys: passkeys::of(house, visit, &user.name),
        more_sessions: sessions.len() > LISTED,
        sessions: sessions
            .iter()
            .take(LISTED)
            .map(|session| listed(words, person, session))
            .collect(),
        more_grants: grants.len() > LISTED,
        grants: grants.into_iter().take(LISTED).collect(),
        tokens: tokens::of(house, visit, &user.name),
        open_create: !draft.name.is_empty(),
        draft,
    };
    frame::page(house, status, &page)
}

pub(super) fn person(visit: &Visit<'_>) -> Option<Person> {
    let who = visit.who.as_deref()?;
    Some(Person {
        session: Arc::clone(who.session()?),
        account: Arc::clone(&who.account),
    })
}

fn login_again(house: &House<'_>, path: &str) -> String {
    login::address(house, "again", &format!("{}{path}", house.site.prefix))
}

fn listed(words: &Words, person: &Person, session: &LiveSession) -> Session {
    let used = session.used();
    let seen = match used.address {
        Some(address) => format!("{}, {address}", moment(used.last)),
        None => moment(used.last),
    };
    Session {
        id: session.id().to_owned(),
        own: session.id() == person.session.id(),
        agent: agent::name(session.agent(), words.other_browser),
        began: moment(session.began()),
        seen,
        ends: moment(session.expires()),
    }
}

fn is_same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other.trim())
}

fn languages(words: &Words, chosen: &str) -> Vec<Choice> {
    let own = LANGUAGES.iter().map(|language| Choice {
        value: language.code,
        text: language.name,
        chosen: language.code == chosen,
    });
    let none = Choice {
        value: "",
        text: words.language_auto,
        chosen: chosen.is_empty(),
    };
    std::iter::once(none).chain(own).collect()
}

fn themes(words: &Words, chosen: Theme) -> Vec<Choice> {
    let choice = |theme: Theme, text| Choice {
        value: theme.as_str(),
        text,
        chosen: theme == chosen,
    };
    vec![
        choice(Theme::System, words.theme_system),
        choice(Theme::Light, words.theme_light),
        choice(Theme::Dark, words.theme_dark),
    ]
}

pub(super) fn role(words: &Words, role: Role) -> &'static str {
    match role {
        Role::Owner => words.role_owner,
        Role::Admin => words.role_admin,
        Role::User => words.role_user,
        Role::ReadOnly => words.role_read_only,
    }
}

/// To the minute; the time zone of the browser is known to its scripts only.
pub(super) fn moment(moment: Timestamp) -> String {
    let text = moment.to_string();
    match (text.get(..10), text.get(11..16)) {
        (Some(day), Some(time)) => format!("{day} {time} UTC"),
        _ => text,
    }
}
