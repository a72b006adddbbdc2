//! Routes in words, and the one that nearly matched.

use super::unjudged::{empty, refusals};
use crate::config::settings::{Access, AccessTable, Route};
use crate::config::units::duration_text;
use crate::control::view::{Explanation, Verdict};
use crate::gate::NO_ROUTE;
use crate::request::safe_path::covers;

/// So many routes are named where none matches.
const NAMED: usize = 5;

/// A host and path that no route covers.
pub(super) fn no_route(routes: &[Route], host: &str, path: &str) -> Explanation {
    let mut names: Vec<&str> = routes
        .iter()
        .take(NAMED)
        .map(|route| route.name.as_str())
        .collect();
    if routes.len() > NAMED {
        names.push("…");
    }
    let advice = vec![
        format!("the routes are: {}", names.join(", ")),
        format!("add a [[route]] with host = \"{host}\" and path = \"{path}\", or one without a host"),
    ];
    Explanation {
        status: Some(404),
        answers: refusals(&NO_ROUTE),
        reason: "no route covers this host and path".to_owned(),
        nearly: nearly(routes, None, host, path),
        advice,
        ..empty(Verdict::Deny)
    }
}

/// The route besides the one that matched that is likeliest to have been meant, and why it is not it.
pub(super) fn nearly(routes: &[Route], matched: Option<&Route>, host: &str, path: &str) -> Option<String> {
    let near = |route: &Route| -> Option<(u8, &'static str)> {
        let own_host = route.host.as_deref().is_none_or(|own| own == host);
        let covered = covers(&route.path, path);
        match (own_host, covered) {
            (true, true) => Some((1, "another covers more of the host and path")),
            (true, false) if covers(&route.path.to_ascii_lowercase(), &path.to_ascii_lowercase()) => {
                Some((3, "capital letters count in paths"))
            }
            (true, false) if route.path != "/" && path.starts_with(&route.path) => {
                Some((3, "a path covers whole segments only"))
            }
            (false, true) => Some((2, "it is for another host")),
            _ => None,
        }
    };
    routes
        .iter()
        .filter(|route| matched.is_none_or(|matched| matched.name != route.name))
        .filter_map(|route| near(route).map(|(rank, why)| (rank, route.path.len(), route, why)))
        .max_by_key(|(rank, length, ..)| (*rank, *length))
        .map(|(_, _, route, why)| format!("{}: {why}", named(route)))
}

/// A route with its rule.
pub(super) fn named(route: &Route) -> String {
    let access = match &route.access {
        Access::Public => "public".to_owned(),
        Access::User => "user".to_owned(),
        Access::Admin => "admin".to_owned(),
        Access::Table(table) => {
            let mut conditions = Vec::new();
            if !(table.users.is_empty() && table.groups.is_empty()) {
                conditions.push(people(table));
            }
            if !table.methods.is_empty() {
                conditions.push(format!("methods {}", words(&table.methods)));
            }
            if !table.networks.is_empty() {
                conditions.push(format!("networks {}", words(&table.networks)));
            }
            if let Some(factors) = table.factors {
                conditions.push(format!("factors {factors}"));
            }
            if let Some(age) = table.max_age {
                conditions.push(format!("a login no older than {}", duration_text(age)));
            }
            match conditions.is_empty() {
                true => "user".to_owned(),
                false => conditions.join("; "),
            }
        }
    };
    format!("{} ({access})", route.name)
}

/// Whom a table asks for.
pub(super) fn people(table: &AccessTable) -> String {
    match (table.users.as_slice(), table.groups.as_slice()) {
        ([], groups) => format!("one of the groups {}", words(groups)),
        (users, []) => format!("one of the users {}", words(users)),
        (users, groups) => format!(
            "one of the users {} or the groups {}",
            words(users),
            words(groups)
        ),
    }
}

/// Joined by commas.
pub(super) fn words<T: std::fmt::Display>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(T::to_string).collect();
    items.join(", ")
}
