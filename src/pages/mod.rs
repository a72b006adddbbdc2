//! What people see under the reserved prefix: set-up, login, logout, profile, and where they may go.
//! No page needs JavaScript, and none fetches anything; where a passkey can be shown or made, one small
//! script asks the browser for it.
//!
//! A page looks at the visitor, reads a form if one was sent, asks the accounts for a change, and
//! says what came of it. Every change needs a form of ours ([`form`]) and a line in the audit file
//! before it is made ([`journal`]).

mod admin;
mod agent;
mod back;
mod choice;
mod denied;
mod domains;
mod factors;
mod form;
mod frame;
mod grants;
mod journal;
mod kept;
mod language;
mod login;
mod logo;
mod logout;
mod loops;
mod oauth;
mod passkey_shown;
mod passkeys;
mod passwords;
mod profile;
mod resend;
mod second_factor;
mod setup;
mod start;
mod tokens;
mod words;

use std::sync::Arc;

use askama::Template;
use http::header::ALLOW;
use http::{HeaderValue, Method, Response, StatusCode};

use crate::authn::Identity;
use crate::config::Settings;
use crate::control::Reach;
use crate::decision::guard::Throttled;
use crate::decision::{Authority, Visitor};
use crate::dialect::{Site, direct};
use crate::model::{Preferences, Theme};
use crate::observe::audit::Audit;
use crate::observe::log::Explained;
use crate::observe::metrics::Metrics;
use crate::request::{Expects, Facts, Scheme};
use crate::wire::Body;
use crate::wire::cookie::{Cookie, Found};
use crate::wire::problem::problem;
use frame::Frame;
use language::{Words, fill};

pub use denied::denied;
pub use kept::KeptForms;
pub use login::is_recent;
pub use resend::{Confirmed, confirmed, keep, may_be_kept, may_confirm, may_wait};

/// What pages stand on: one snapshot of the settings, and who watches.
pub struct House<'h> {
    /// What we say of ourselves.
    pub site: &'h Site,
    /// The settings.
    pub settings: &'h Settings,
    /// Accounts, guard and rules.
    pub authority: &'h Authority,
    /// Who did what.
    pub audit: &'h Audit,
    /// How often.
    pub metrics: &'h Metrics,
    /// What administrators do.
    pub reach: &'h Reach,
    /// Forms that wait for a login.
    pub kept: &'h KeptForms,
    /// What operators were told of.
    pub explained: &'h Explained,
}

/// One request for a page.
struct Visit<'v> {
    facts: Facts<'v>,
    /// By a login, or by a trusted network.
    who: Option<Arc<Identity>>,
    words: &'static Words,
    theme: Theme,
    prefix: &'v str,
}

/// Answers a request under the prefix. Nothing below it is ever proxied.
pub async fn serve(house: &House<'_>, facts: &Facts<'_>, visitor: Visitor, body: Body) -> Response<Body> {
    let (who, looked_at) = match visitor {
        Visitor::Person(who) => (Some(who), true),
        Visitor::Nobody => (None, true),
        Visitor::Program => (None, false),
    };
    let visit = Visit::new(house, facts, who);
    let mut response = answer(house, &visit, body).await;
    frame::let_forms_lead_to(house.site, &mut response);
    if looked_at {
        visit.clear_dead_cookie(&mut response);
    }
    response
}

async fn answer(house: &House<'_>, visit: &Visit<'_>, body: Body) -> Response<Body> {
    let path = visit.facts.path.decoded();
    let path = path.strip_prefix(house.site.prefix.as_str()).unwrap_or(path);
    if let Some(elsewhere) = domains::elsewhere(house, visit, path) {
        return elsewhere;
    }
    let reads = matches!(*visit.facts.method, Method::GET | Method::HEAD);
    let posts = *visit.facts.method == Method::POST;
    if let Some(path) = below(path, "/admin") {
        if !reads && !posts {
            return visit.refused_method("GET, HEAD, POST");
        }
        let answer = admin::serve(house, visit, path, reads, body).await;
        return answer.unwrap_or_else(|| visit.nothing_here());
    }
    if let Some(path) = below(path, "/oauth") {
        let answer = oauth::serve(house, visit, path, body).await;
        return answer.unwrap_or_else(|| visit.nothing_here());
    }
    match path {
        "" | "/" if reads => start::show(house, visit),
        "/setup" if reads => setup::show(house, visit),
        "/setup" if posts => setup::send(house, visit, body).await,
        "/login" if reads => login::show(house, visit),
        "/login" if posts => login::send(house, visit, body).await,
        "/login/choose" if posts => choice::send(house, visit, body).await,
        "/logo" if reads => logo::show(house, visit),
        "/logout" if reads => logout::show(house, visit),
        "/logout" if posts => logout::send(house, visit, body).await,
        "/hop" if reads => domains::hop(house, visit).await,
        "/resend" if reads => resend::show(house, visit),
        "/resend" if posts => resend::discard(house, visit, body).await,
        "/second-factor" if reads => second_factor::show(house, visit),
        "/second-factor" if posts => second_factor::send(house, visit, body).await,
        "/login/passkey" if posts => passkey_shown::log_in(house, visit, body).await,
        "/login/passkey/options" if posts => passkey_shown::login_options(house, visit, body).await,
        "/second-factor/passkey" if posts => passkey_shown::show_factor(house, visit, body).await,
        "/second-factor/passkey/options" if posts => passkey_shown::factor_options(house, visit, body).await,
        "/profile" if reads => profile::show(house, visit),
        "/profile/app" if reads => factors::show_app(house, visit),
        "/profile/app" if posts => factors::enrol_app(house, visit, body).await,
        "/profile/factors/remove" if posts => factors::remove(house, visit, body).await,
        "/profile/passkey" if reads => passkeys::show(house, visit),
        "/profile/passkey" if posts => passkeys::enrol(house, visit, body).await,
        "/profile/passkey/options" if posts => passkeys::options(house, visit, body).await,
        "/profile/passkeys/rename" if posts => passkeys::rename(house, visit, body).await,
        "/profile/passkeys/remove" if posts => passkeys::remove(house, visit, body).await,
        "/profile/codes" if posts => factors::renew_codes(house, visit, body).await,
        "/profile/devices/forget" if posts => factors::forget_devices(house, visit, body).await,
        "/profile/name" if posts => profile::rename(house, visit, body).await,
        "/profile/preferences" if posts => profile::prefer(house, visit, body).await,
        "/profile/password" if posts => profile::change_password(house, visit, body).await,
        "/profile/sessions/end" if posts => profile::end_sessions(house, visit, body).await,
        "/profile/grants/end" if posts => grants::end(house, visit, body).await,
        "/profile/tokens/create" if posts => tokens::create(house, visit, body).await,
        "/profile/tokens/rotate" if posts => tokens::rotate(house, visit, body).await,
        "/profile/tokens/revoke" if posts => tokens::revoke(house, visit, body).await,
        "" | "/" | "/hop" | "/logo" => visit.refused_method("GET, HEAD"),
        "/setup" | "/login" | "/logout" | "/resend" | "/second-factor" | "/profile/app"
        | "/profile/passkey" => visit.refused_method("GET, HEAD, POST"),
        // Where somebody reloads what an answer of these showed.
        "/login/passkey" | "/second-factor/passkey" if reads => frame::go(&format!(
            "{}{}",
            house.site.prefix,
            path.trim_end_matches("/passkey")
        )),
        "/login/choose"
        | "/login/passkey"
        | "/second-factor/passkey"
        | "/login/passkey/options"
        | "/second-factor/passkey/options" => visit.refused_method("POST"),
        "/profile" => visit.refused_method("GET, HEAD"),
        _ if path.starts_with("/profile/") && !posts => visit.refused_method("POST"),
        _ => visit.nothing_here(),
    }
}

/// What follows `base` in the path, if it ends a segment there.
fn below<'p>(path: &'p str, base: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(base)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

impl<'v> Visit<'v> {
    fn new(house: &House<'v>, facts: &Facts<'v>, who: Option<Arc<Identity>>) -> Self {
        // As it is now: a choice takes no identity out of the memory of verified ones.
        let name = who.as_deref().filter(|who| who.session().is_some());
        let account = name.and_then(|who| house.authority.accounts.user(who.name()));
        let preferences = account.map(|account| account.user.preferences.clone());
        let Preferences { language, theme } = preferences.unwrap_or_default();
        Self {
            facts: *facts,
            who,
            words: language::of(facts.headers, &language),
            theme,
            prefix: &house.site.prefix,
        }
    }
}

impl Visit<'_> {
    fn secure(&self) -> bool {
        self.facts.scheme == Scheme::Https
    }

    /// Scheme, host and port as the browser has them.
    fn here(&self) -> String {
        format!("{}://{}", self.facts.scheme.as_str(), self.facts.authority)
    }

    /// What was asked for, without what follows `?`.
    fn asked(&self) -> String {
        format!("{}{}", self.here(), self.facts.path.raw())
    }

    /// The login form for a browser; 401 for a program.
    fn to_login(&self, house: &House<'_>, path: &str) -> Response<Body> {
        if self.facts.expects() == Expects::Page || *self.facts.method == Method::POST {
            let back = crate::wire::query::encode(&format!("{}{path}", house.site.prefix));
            return frame::go(&format!("{}/login?rd={back}", house.site.prefix));
        }
        let mut response = self.refused(
            StatusCode::UNAUTHORIZED,
            "Who is there?",
            "This page is for people who are logged in.",
        );
        frame::challenge(&mut response);
        response
    }

    fn refused(&self, status: StatusCode, title: &str, detail: &str) -> Response<Body> {
        let form = direct::form(self.facts.headers, self.facts.expects(), self.prefix);
        problem(status, title, detail, &self.facts.id.to_string(), form)
    }

    fn nothing_here(&self) -> Response<Body> {
        self.refused(
            StatusCode::NOT_FOUND,
            "Nothing here",
            "This address belongs to the gate in front of the application, and has no page.",
        )
    }

    fn refused_method(&self, allowed: &'static str) -> Response<Body> {
        let mut response = self.refused(
            StatusCode::METHOD_NOT_ALLOWED,
            "Method not allowed",
            "This page cannot do that.",
        );
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static(allowed));
        response
    }

    /// The form could not be read.
    fn bad_form(&self, status: StatusCode) -> Response<Body> {
        self.refused(
            status,
            "Not a form",
            "What was sent is not the form of this page.",
        )
    }

    fn throttled(&self, throttled: Throttled) -> Response<Body> {
        let seconds = throttled.retry_after.as_secs().max(1);
        let detail = format!("Too many requests were refused. Come back in {seconds} seconds.");
        let mut response = self.refused(StatusCode::TOO_MANY_REQUESTS, "Too many requests", &detail);
        frame::retry_after(&mut response, throttled.retry_after);
        response
    }

    fn fault(&self) -> String {
        fill(self.words.fault, &self.facts.id.to_string())
    }

    /// "Unknown, expired, ended, damaged or sent twice, it counts as absent and is cleared."
    fn clear_dead_cookie(&self, response: &mut Response<Body>) {
        let logged_in = self.who.as_ref().is_some_and(|who| who.session().is_some());
        let sent = Cookie::Session.find(self.facts.headers, self.secure());
        let sets = response
            .headers()
            .get_all(http::header::SET_COOKIE)
            .iter()
            .any(|cookie| {
                let name = Cookie::Session.name(self.secure()).as_bytes();
                cookie
                    .as_bytes()
                    .strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with(b"="))
            });
        if sent != Found::Nothing && !logged_in && !sets {
            response
                .headers_mut()
                .append(http::header::SET_COOKIE, Cookie::Session.clear(self.secure()));
        }
    }
}

/// A page that says one thing.
#[derive(Template)]
#[template(path = "message.html")]
struct Message<'a> {
    f: Frame<'a>,
    notice: &'a str,
    problem: &'a str,
    text: String,
    link: String,
    link_text: &'a str,
}

/// Nothing came of it, and there is nothing to fill in.
fn message(house: &House<'_>, visit: &Visit<'_>, status: StatusCode, problem: &str) -> Response<Body> {
    let page = Message {
        f: Frame::new(house, visit, visit.words.not_now),
        notice: "",
        problem,
        text: String::new(),
        link: format!("{}/", house.site.prefix),
        link_text: visit.words.go_on,
    };
    frame::page(house, status, &page)
}

/// An answer that is its status.
pub fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    response
}
