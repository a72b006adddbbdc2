//! Everybody, and the groups.

use askama::Template;
use http::{Response, StatusCode};

use super::{Clerk, Desk, Said, listed, shown_role};
use crate::control::Payload;
use crate::control::protocol::{Request, UserAdd};
use crate::control::view::UserView;
use crate::model::Role;
use crate::pages::form::{self, Form};
use crate::pages::frame::{self, Frame};
use crate::pages::login;
use crate::wire::Body;

/// People on one page.
const AT_ONCE: usize = 50;
/// Groups that can be looked after on the page; with more of them, the command line is better.
const GROUPS: usize = 40;

#[derive(Template)]
#[template(path = "admin_people.html")]
struct Page<'a> {
    f: Frame<'a>,
    d: Desk,
    people: Vec<Line>,
    /// The name that the next page begins with; empty: there is none.
    next: String,
    groups: Vec<Group>,
    roles: Vec<RoleChoice>,
    draft: Draft,
}

struct Line {
    name: String,
    display_name: String,
    role: &'static str,
    groups: String,
    disabled: bool,
    no_password: bool,
}

struct Group {
    name: String,
    members: usize,
}

/// A role that may be given.
pub(super) struct RoleChoice {
    pub(super) value: &'static str,
    pub(super) text: &'static str,
    pub(super) chosen: bool,
}

/// What was typed, and comes back after a mistake.
#[derive(Default)]
struct Draft {
    name: String,
    display_name: String,
    email: String,
    groups: String,
}

pub(super) async fn show(clerk: &Clerk<'_>, said: Said) -> Response<Body> {
    shown(clerk, said, Draft::default()).await
}

async fn shown(clerk: &Clerk<'_>, said: Said, draft: Draft) -> Response<Body> {
    let (users, groups) = match (
        clerk.ask(Request::UserList).await,
        clerk.ask(Request::GroupList).await,
    ) {
        (Ok(Payload::Users(users)), Ok(Payload::Groups(groups))) => (users, groups),
        (Err(failure), _) | (_, Err(failure)) => return clerk.failed(&failure),
        _ => return clerk.odd(),
    };
    let words = clerk.visit.words;
    let from = login::one(clerk.visit.facts.query, "from");
    let mut here = users.iter().filter(|user| user.name >= from);
    let people = here
        .by_ref()
        .take(AT_ONCE)
        .map(|user| Line {
            name: user.name.clone(),
            display_name: user.display_name.clone(),
            role: shown_role(words, user.role),
            groups: user.groups.join(", "),
            disabled: user.disabled,
            no_password: !user.password,
        })
        .collect();
    let page = Page {
        f: clerk.frame(words.people),
        d: clerk.desk("people", "/people", &said),
        people,
        next: here.next().map(|user| user.name.clone()).unwrap_or_default(),
        groups: groups
            .iter()
            .take(GROUPS)
            .map(|group| Group {
                members: users.iter().filter(|user| is_in(user, &group.name)).count(),
                name: group.name.clone(),
            })
            .collect(),
        roles: roles(clerk, Role::User),
        draft,
    };
    frame::page(clerk.house, said.status.unwrap_or(StatusCode::OK), &page)
}

/// A new account, without a password: a link lets its person set one.
pub(super) async fn add(clerk: &Clerk<'_>, form: &Form) -> Response<Body> {
    let draft = Draft {
        name: form::shown(&form.text("name")),
        display_name: form::shown(&form.text("display_name")),
        email: form::shown(&form.text("email")),
        groups: form::shown(&form.text("groups")),
    };
    let request = Request::UserAdd(UserAdd {
        name: form.text("name"),
        role: Some(form.text("role").parse().unwrap_or(Role::User)),
        groups: listed(&form.text("groups")),
        display_name: form.text("display_name"),
        email: form.text("email"),
        password: None,
    });
    match clerk.ask(request).await {
        Ok(Payload::User(user)) => clerk.done(&format!("/people/{}", user.name), "added"),
        Ok(_) => clerk.odd(),
        Err(failure) => shown(clerk, clerk.said(&failure), draft).await,
    }
}

pub(super) async fn change_group(clerk: &Clerk<'_>, what: &str, form: &Form) -> Response<Body> {
    let name = form.text("name");
    let request = match what {
        "add" => Request::GroupAdd { name },
        _ => Request::GroupRemove { name },
    };
    match clerk.ask(request).await {
        Ok(_) => clerk.done("/people", "group"),
        Err(failure) => show(clerk, clerk.said(&failure)).await,
    }
}

/// Those that the administrator may give.
pub(super) fn roles(clerk: &Clerk<'_>, chosen: Role) -> Vec<RoleChoice> {
    Role::ALL
        .into_iter()
        .filter(|role| *role <= clerk.role)
        .map(|role| RoleChoice {
            value: role.as_str(),
            text: shown_role(clerk.visit.words, role),
            chosen: role == chosen,
        })
        .collect()
}

fn is_in(user: &UserView, group: &str) -> bool {
    user.groups.iter().any(|held| held == group)
}
