//! One account: who it is, what it may, where it is logged in, which tokens it has.

use askama::Template;
use http::{Response, StatusCode};

use super::people::{RoleChoice, roles};
use super::{Clerk, Desk, Said, listed, shown_role};
use crate::control::protocol::{Ending, Request, Selector};
use crate::control::view::{AppView, FactorsView, PasskeyView, SessionView, TokenView, UserView};
use crate::control::{Failure, Payload};
use crate::pages::agent;
use crate::pages::form::Form;
use crate::pages::frame::{self, Frame};
use crate::pages::language::{Words, fill};
use crate::pages::profile::moment;
use crate::wire::Body;

/// More tokens or logins than this are not listed one by one.
const LISTED: usize = 20;

#[derive(Template)]
#[template(path = "admin_person.html")]
struct Page<'a> {
    f: Frame<'a>,
    d: Desk,
    user: UserView,
    role: &'static str,
    groups: String,
    created: String,
    is_me: bool,
    may_change: bool,
    is_owner: bool,
    roles: Vec<RoleChoice>,
    tokens: Vec<Token>,
    more_tokens: bool,
    sessions: Vec<Session>,
    more_sessions: bool,
    apps: Vec<App>,
    more_apps: bool,
    factors: FactorsView,
    app_since: String,
    passkeys: Vec<Passkey>,
}

struct Passkey {
    name: String,
    site: String,
    created: String,
    used: String,
}

struct Token {
    id: String,
    name: String,
    state: &'static str,
    expires: String,
    used: String,
    scope: String,
}

struct Session {
    id: String,
    agent: String,
    began: String,
    seen: String,
}

struct App {
    id: String,
    client: String,
    since: String,
    used: String,
    scope: String,
}

#[derive(Template)]
#[template(path = "admin_link.html")]
struct Link<'a> {
    f: Frame<'a>,
    link: &'a str,
    expires: String,
    person: &'a str,
}

pub(super) async fn show(clerk: &Clerk<'_>, name: &str, said: Said) -> Response<Body> {
    match fill_in(clerk, name, &said).await {
        Ok(page) => frame::page(clerk.house, said.status.unwrap_or(StatusCode::OK), &page),
        Err(failure) => clerk.failed(&failure),
    }
}

async fn fill_in<'c>(clerk: &Clerk<'c>, name: &str, said: &Said) -> Result<Page<'c>, Failure> {
    let odd = || {
        Failure::new(
            crate::control::Exit::Internal,
            "that is no answer to the question",
        )
    };
    let Payload::User(user) = clerk
        .ask(Request::UserShow {
            name: name.to_owned(),
        })
        .await?
    else {
        return Err(odd());
    };
    let of = || Some(user.name.clone());
    let Payload::Tokens(tokens) = clerk.ask(Request::TokenList { user: of() }).await? else {
        return Err(odd());
    };
    let Payload::Sessions(sessions) = clerk.ask(Request::SessionList { user: of() }).await? else {
        return Err(odd());
    };
    let Payload::Apps(apps) = clerk.ask(Request::AppList { user: of() }).await? else {
        return Err(odd());
    };
    let asked = Request::UserFactors {
        name: user.name.clone(),
        reset: false,
    };
    let Payload::Factors(factors) = clerk.ask(asked).await? else {
        return Err(odd());
    };
    let words = clerk.visit.words;
    let title = match user.display_name.as_str() {
        "" => user.name.clone(),
        name => name.to_owned(),
    };
    Ok(Page {
        f: clerk.frame(title),
        d: clerk.desk("people", &format!("/people/{}", user.name), said),
        role: shown_role(words, user.role),
        groups: user.groups.join(", "),
        created: moment(user.created),
        is_me: user.name == clerk.name(),
        may_change: user.role <= clerk.role,
        is_owner: user.role == crate::model::Role::Owner,
        roles: roles(clerk, user.role),
        more_tokens: tokens.len() > LISTED,
        tokens: tokens
            .iter()
            .take(LISTED)
            .map(|view| token(words, view))
            .collect(),
        more_sessions: sessions.len() > LISTED,
        sessions: sessions
            .iter()
            .take(LISTED)
            .map(|view| session(words, view))
            .collect(),
        more_apps: apps.len() > LISTED,
        apps: apps.iter().take(LISTED).map(app).collect(),
        app_since: factors.app.map(moment).unwrap_or_default(),
        passkeys: factors.passkeys.iter().map(|view| passkey(words, view)).collect(),
        factors,
        user,
    })
}

/// What a form of the page asks for; none: there is no such form.
pub(super) async fn change(clerk: &Clerk<'_>, name: &str, what: &str, form: &Form) -> Option<Response<Body>> {
    let page = format!("/people/{name}");
    let name = name.to_owned();
    let request = match what {
        "names" => Request::UserNames {
            name: name.clone(),
            display_name: Some(form.text("display_name")),
            email: Some(form.text("email")),
        },
        "role" => match form.text("role").parse() {
            Ok(role) => Request::UserRole {
                name: name.clone(),
                role,
            },
            Err(why) => return Some(show(clerk, &name, clerk.said(&Failure::data(why))).await),
        },
        "groups" => Request::UserGroups {
            name: name.clone(),
            groups: listed(&form.text("groups")),
        },
        "enable" | "disable" => Request::UserEnable {
            name: name.clone(),
            enabled: what == "enable",
        },
        "remove" => Request::UserRemove { name: name.clone() },
        "link" => return Some(link(clerk, &name).await),
        "factors" => Request::UserFactors {
            name: name.clone(),
            reset: true,
        },
        "token" => Request::TokenRevoke {
            token: Selector::Id(form.text("id")),
        },
        "session" => Request::SessionRevoke {
            ending: Ending::One(form.text("id")),
        },
        "app" => Request::AppRevoke {
            ending: Ending::One(form.text("id")),
        },
        "sessions" => Request::SessionRevoke {
            ending: Ending::AllOf(name.clone()),
        },
        _ => return None,
    };
    Some(match clerk.ask(request).await {
        Ok(_) if what == "remove" => clerk.done("/people", what),
        Ok(_) => clerk.done(&page, what),
        Err(failure) => show(clerk, &name, clerk.said(&failure)).await,
    })
}

async fn link(clerk: &Clerk<'_>, name: &str) -> Response<Body> {
    match clerk
        .ask(Request::UserRecover {
            name: name.to_owned(),
        })
        .await
    {
        Ok(Payload::Link { link, expires }) => {
            let page = Link {
                f: clerk.frame(fill(clerk.visit.words.link_title, name)),
                link: link.0.expose_str().unwrap_or_default(),
                expires: moment(expires),
                person: name,
            };
            frame::page(clerk.house, StatusCode::OK, &page)
        }
        Ok(_) => clerk.odd(),
        Err(failure) => show(clerk, name, clerk.said(&failure)).await,
    }
}

fn token(words: &Words, token: &TokenView) -> Token {
    Token {
        id: token.id.clone(),
        name: token.name.clone(),
        state: match token.state.as_str() {
            "active" => words.state_active,
            "rotated" => words.state_overlap,
            "expired" => words.state_expired,
            _ => words.disabled,
        },
        expires: token.expires.map_or_else(|| words.never.to_owned(), moment),
        used: match (token.last_used, token.last_address) {
            (None, _) => words.not_used.to_owned(),
            (Some(last), Some(address)) => format!("{}, {address}", moment(last)),
            (Some(last), None) => moment(last),
        },
        scope: token.scope.clone(),
    }
}

fn session(words: &Words, session: &SessionView) -> Session {
    Session {
        id: session.id.clone(),
        agent: agent::name(&session.agent, words.other_browser),
        began: moment(session.began),
        seen: match session.last_address {
            Some(address) => format!("{}, {address}", moment(session.last_used)),
            None => moment(session.last_used),
        },
    }
}

fn app(app: &AppView) -> App {
    App {
        id: app.id.clone(),
        client: app.client.clone(),
        since: moment(app.created),
        used: match app.last_address {
            Some(address) => format!("{}, {address}", moment(app.last_used)),
            None => moment(app.last_used),
        },
        scope: app.scope.clone(),
    }
}

fn passkey(words: &Words, passkey: &PasskeyView) -> Passkey {
    Passkey {
        name: passkey.name.clone(),
        site: passkey.site.clone(),
        created: moment(passkey.created),
        used: passkey
            .last_used
            .map_or_else(|| words.not_used.to_owned(), moment),
    }
}
