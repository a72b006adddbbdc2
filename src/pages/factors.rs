//! The second factors of somebody who is logged in. Whoever changes them has just shown all there are.

use askama::Template;
use http::{Response, StatusCode};

use super::frame::{self, Frame};
use super::journal::{self, Undone};
use super::login::{self, Entry};
use super::profile::{self, Person};
use super::tokens::Draft;
use super::{House, Visit, agent, back, passwords, second_factor};
use crate::accounts::{AccountsError, CodeOutcome};
use crate::crypto::{Secret, totp};
use crate::observe::audit::Event;
use crate::observe::metrics::Factor;
use crate::wire::{Body, qr, query};

#[derive(Template)]
#[template(path = "app.html")]
struct AppPage<'a> {
    f: Frame<'a>,
    notice: &'a str,
    problem: &'a str,
    form: String,
    rd: String,
    picture: String,
    secret: String,
    address: String,
    draft: String,
}

#[derive(Template)]
#[template(path = "codes.html")]
struct CodesPage<'a> {
    f: Frame<'a>,
    notice: &'a str,
    codes: Vec<String>,
    link: String,
}

/// What the profile says of them.
pub(super) struct Listed {
    pub(super) any: bool,
    pub(super) app_since: String,
    pub(super) backup_codes: usize,
    pub(super) devices: Vec<Device>,
}

/// A browser in which the second factor is not asked for.
pub(super) struct Device {
    pub(super) id: String,
    pub(super) agent: String,
    pub(super) created: String,
    pub(super) expires: String,
}

/// That user's.
pub(super) fn of(house: &House<'_>, visit: &Visit<'_>, user: &str) -> Listed {
    let accounts = &house.authority.accounts;
    // What does not open now did when the server started; the page is no place to say so.
    let factors = accounts.factors(user).unwrap_or_default();
    let devices = accounts.devices(user, visit.facts.now);
    Listed {
        any: accounts.has_second_factor(user),
        app_since: factors.totp.map(profile::moment).unwrap_or_default(),
        backup_codes: factors.backup_codes,
        devices: devices
            .into_iter()
            .map(|device| Device {
                id: device.id,
                agent: agent::name(&device.agent, visit.words.other_browser),
                created: profile::moment(device.created),
                expires: profile::moment(device.expires),
            })
            .collect(),
    }
}

/// A new app: its secret as a picture and as text.
pub(super) fn show_app(house: &House<'_>, visit: &Visit<'_>) -> Response<Body> {
    let rd = login::one(visit.facts.query, "rd");
    let rd = back::target(&rd, house.site, &visit.facts);
    let rd = rd.as_deref();
    let own = match rd {
        Some(rd) => format!("/profile/app?rd={}", query::encode(rd)),
        None => "/profile/app".to_owned(),
    };
    let Some(person) = profile::person(visit) else {
        return visit.to_login(house, &own);
    };
    if !person.is_recent(house, visit.facts.now) {
        return profile::again_first(house, &own);
    }
    let accounts = &house.authority.accounts;
    match accounts.draft_totp(&subject(&person), visit.facts.now) {
        Ok((secret, draft)) => app(house, visit, &person, StatusCode::OK, "", &secret, draft, rd),
        Err(error) => {
            tracing::error!(request.id = %visit.facts.id, %error, "no secret could be made");
            super::message(house, visit, StatusCode::SERVICE_UNAVAILABLE, &visit.fault())
        }
    }
}

/// The first code of a new app.
pub(super) async fn enrol_app(house: &House<'_>, visit: &Visit<'_>, body: Body) -> Response<Body> {
    let (person, form) = match profile::open(house, visit, body).await {
        Ok(opened) => opened,
        Err(response) => return *response,
    };
    if !person.is_recent(house, visit.facts.now) {
        return profile::again_first(house, "/profile/app");
    }
    let accounts = &house.authority.accounts;
    let now = visit.facts.now;
    let draft = form.text("draft");
    let Some(secret) = accounts.open_draft(&subject(&person), &draft, now) else {
        return frame::go(&format!("{}/profile/app", house.site.prefix));
    };
    let rd = form.text("rd");
    let rd = back::target(&rd, house.site, &visit.facts);
    let rd = rd.as_deref();
    let again = |status, problem: &str| {
        let draft = draft.clone();
        app(house, visit, &person, status, problem, &secret, draft, rd)
    };
    let line = journal::line(visit, Event::UserChange, person.name(), "second factor: app");
    let code = form.secret("code");
    let code = code.expose_str().unwrap_or_default();
    let enrolled = journal::noted(
        house,
        &line,
        accounts.enrol_totp(person.name(), secret.clone(), code, now),
    );
    let codes = match enrolled.await {
        Ok(Ok(codes)) => codes,
        Ok(Err(CodeOutcome::Away(seconds))) => {
            return again(StatusCode::BAD_REQUEST, &second_factor::away(visit, seconds));
        }
        Ok(Err(_)) => return again(StatusCode::BAD_REQUEST, visit.words.code_wrong),
        Err(undone) => {
            let (problem, status) = passwords::why(visit, &undone);
            return again(status, &problem);
        }
    };
    let mut response = match codes.as_slice() {
        [] => match rd {
            Some(rd) => frame::go(&back::location(rd, house.site)),
            None => profile::done(house, "app"),
        },
        codes => printed(house, visit, visit.words.app_done, codes, rd),
    };
    // K-08: another cookie from here on, for somebody who has shown both.
    let entry = Entry {
        user: person.name(),
        remember: house
            .settings
            .session
            .remember
            .filter(|_| person.session.is_remembered()),
        factor: Factor::Totp,
        factors: 2,
        chosen: false,
        goes_on: Some(&person.session),
    };
    let _ = login::begin(house, visit, entry, &mut response).await;
    response
}

/// The end of all second factors.
pub(super) async fn remove(house: &House<'_>, visit: &Visit<'_>, body: Body) -> Response<Body> {
    let person = match recent(house, visit, body).await {
        Ok(person) => person,
        Err(response) => return *response,
    };
    let line = journal::line(visit, Event::UserChange, person.name(), "second factor: none");
    let reset = house.authority.accounts.reset_factors(person.name());
    match journal::noted(house, &line, reset).await {
        Ok(()) => profile::done(house, "factors"),
        Err(undone) => profile::refused(house, visit, &person, &undone, Draft::default()),
    }
}

/// New backup codes, shown once.
pub(super) async fn renew_codes(house: &House<'_>, visit: &Visit<'_>, body: Body) -> Response<Body> {
    let person = match recent(house, visit, body).await {
        Ok(person) => person,
        Err(response) => return *response,
    };
    let line = journal::line(
        visit,
        Event::UserChange,
        person.name(),
        "second factor: backup codes",
    );
    let accounts = &house.authority.accounts;
    let made = async {
        let made = accounts.new_backup_codes(person.name()).await?;
        made.ok_or(AccountsError::NotFound {
            kind: "second factor of",
            name: person.name().to_owned(),
        })
    };
    match journal::noted(house, &line, made).await {
        Ok(codes) => printed(house, visit, "", &codes, None),
        Err(undone @ (Undone::Refused(_) | Undone::Unaudited)) => {
            profile::refused(house, visit, &person, &undone, Draft::default())
        }
    }
}

/// A browser is asked again, or all are. That needs no new login: nobody gains by it.
pub(super) async fn forget_devices(house: &House<'_>, visit: &Visit<'_>, body: Body) -> Response<Body> {
    let (person, form) = match profile::open(house, visit, body).await {
        Ok(opened) => opened,
        Err(response) => return *response,
    };
    let id = form.text("id");
    let which = (!id.is_empty()).then_some(id.as_str());
    let line = journal::line(visit, Event::UserChange, person.name(), "remembered devices");
    let forget = house.authority.accounts.forget_devices(person.name(), which);
    match journal::noted(house, &line, forget).await {
        Ok(_) => profile::done(house, "devices"),
        Err(undone) => profile::refused(house, visit, &person, &undone, Draft::default()),
    }
}

async fn recent(house: &House<'_>, visit: &Visit<'_>, body: Body) -> Result<Person, Box<Response<Body>>> {
    let (person, _) = profile::open(house, visit, body).await?;
    if !person.is_recent(house, visit.facts.now) {
        return Err(profile::again_first(house, "/profile").into());
    }
    Ok(person)
}

#[expect(clippy::too_many_arguments, reason = "all that the page has in it")]
fn app(
    house: &House<'_>,
    visit: &Visit<'_>,
    person: &Person,
    status: StatusCode,
    problem: &str,
    secret: &Secret,
    draft: String,
    rd: Option<&str>,
) -> Response<Body> {
    let text = totp::base32(secret);
    let text = text.expose_str().unwrap_or_default();
    let issuer = query::encode(visit.facts.host);
    // The format that authenticator apps share ("Key Uri Format"); what it leaves out is SHA-1, six
    // digits and thirty seconds.
    let address = format!(
        "otpauth://totp/{issuer}:{}?secret={text}&issuer={issuer}",
        query::encode(person.name())
    );
    let page = AppPage {
        f: Frame::new(house, visit, visit.words.app_title),
        notice: "",
        problem,
        form: super::form::token_of(house, &person.session),
        rd: rd.unwrap_or_default().to_owned(),
        picture: qr::svg(&address).unwrap_or_default(),
        secret: in_fours(text),
        address,
        draft,
    };
    frame::page(house, status, &page)
}

/// Backup codes, this once.
pub(super) fn printed(
    house: &House<'_>,
    visit: &Visit<'_>,
    notice: &str,
    codes: &[Secret],
    rd: Option<&str>,
) -> Response<Body> {
    let profile = format!("{}/profile", house.site.prefix);
    let page = CodesPage {
        f: Frame::new(house, visit, visit.words.codes_title),
        notice,
        codes: codes
            .iter()
            .map(|code| code.expose_str().unwrap_or_default().to_owned())
            .collect(),
        link: back::location(rd.unwrap_or(&profile), house.site),
    };
    frame::page(house, StatusCode::OK, &page)
}

/// For whoever types it.
fn in_fours(text: &str) -> String {
    let mut spaced = String::with_capacity(text.len() * 5 / 4);
    for (at, character) in text.chars().enumerate() {
        if at > 0 && at % 4 == 0 {
            spaced.push(' ');
        }
        spaced.push(character);
    }
    spaced
}

/// A draft is for one login of one user.
fn subject(person: &Person) -> String {
    format!("{}/{}", person.name(), person.session.id())
}
