//! The end of a login, or of all, by their user. Never by GET: a foreign page could do that.

use askama::Template;
use http::header::SET_COOKIE;
use http::{Response, StatusCode};

use super::form::{self, Form};
use super::frame::{self, Frame};
use super::language::fill;
use super::{House, Visit, journal, profile};
use crate::observe::audit::{Event, Line};
use crate::wire::Body;
use crate::wire::cookie::Cookie;

#[derive(Template)]
#[template(path = "logout.html")]
struct Page<'a> {
    f: Frame<'a>,
    here_as: String,
    form: String,
}

/// Asks first.
pub(super) fn show(house: &House<'_>, visit: &Visit<'_>) -> Response<Body> {
    let Some(session) = visit.who.as_deref().and_then(|who| who.session()) else {
        return out(house);
    };
    let page = Page {
        f: Frame::new(house, visit, visit.words.logout_title),
        here_as: fill(visit.words.here_as, session.user()),
        form: form::token_of(house, session),
    };
    frame::page(house, StatusCode::OK, &page)
}

/// Ends it, for every core and for what is still open.
pub(super) async fn send(house: &House<'_>, visit: &Visit<'_>, body: Body) -> Response<Body> {
    let form = match Form::read(&visit.facts, body).await {
        Ok(form) => form,
        Err(status) => return visit.bad_form(status),
    };
    let Some(session) = visit.who.as_deref().and_then(|who| who.session()) else {
        return out(house);
    };
    if !form::comes_from_here(house, &visit.facts) || !form::belongs(house, visit, &form) {
        return super::message(house, visit, StatusCode::FORBIDDEN, visit.words.foreign);
    }
    if session.is_chosen() && form.is_ticked("everywhere") {
        return profile::again_first(house, "/logout");
    }
    let accounts = &house.authority.accounts;
    let ended = if form.is_ticked("everywhere") {
        let line = journal::line(visit, Event::SessionEnd, session.user(), "everywhere");
        journal::noted(house, &line, accounts.log_out_everywhere(session.user())).await
    } else {
        let line = Line {
            credential: session.id(),
            ..journal::line(visit, Event::SessionEnd, session.user(), "logout")
        };
        let end = async { accounts.end_session(session.id()).await.map(|_| ()) };
        journal::noted(house, &line, end).await
    };
    match ended {
        Ok(()) | Err(journal::Undone::Refused(crate::accounts::AccountsError::NotFound { .. })) => {
            let mut response = out(house);
            response
                .headers_mut()
                .append(SET_COOKIE, Cookie::Session.clear(visit.secure()));
            response
        }
        Err(_) => super::message(house, visit, StatusCode::SERVICE_UNAVAILABLE, &visit.fault()),
    }
}

fn out(house: &House<'_>) -> Response<Body> {
    frame::go(&format!("{}/login?why=out", house.site.prefix))
}
