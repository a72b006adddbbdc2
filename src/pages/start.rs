//! Where one may go from here.

use askama::Template;
use http::{Method, Response, StatusCode};

use super::frame::{self, Frame};
use super::language::fill;
use super::{House, Visit};
use crate::authn::{self, Identity};
use crate::config::settings;
use crate::policy::{Route, Verdict, rule};
use crate::request::{Expects, Facts, SafePath};
use crate::wire::{Body, Fields};

#[derive(Template)]
#[template(path = "start.html")]
struct Page<'a> {
    f: Frame<'a>,
    via_network: String,
    places: Vec<Place>,
}

/// A route that one may open.
struct Place {
    name: String,
    address: String,
}

/// The list.
pub(super) fn show(house: &House<'_>, visit: &Visit<'_>) -> Response<Body> {
    let Some(who) = visit.who.as_deref() else {
        return visit.to_login(house, "/");
    };
    let words = visit.words;
    let via_network = match who.method {
        authn::Method::Network => fill(words.network_as, who.name()),
        authn::Method::Session | authn::Method::ApiToken | authn::Method::Password => String::new(),
    };
    let people_name = match who.account.user.display_name.as_str() {
        "" => who.name(),
        name => name,
    };
    let routes = &house.settings.routes;
    let page = Page {
        f: Frame::new(house, visit, fill(words.start_title, people_name)),
        via_network,
        places: routes
            .iter()
            .filter(|route| !route.upstream.is_empty())
            .filter(|route| may_open(house, visit, route, who))
            .map(|route| place(visit, route))
            .collect(),
    };
    frame::page(house, StatusCode::OK, &page)
}

/// Whether a GET of the route's own path would be let through.
fn may_open(house: &House<'_>, visit: &Visit<'_>, route: &settings::Route, who: &Identity) -> bool {
    let Ok(path) = SafePath::parse(&route.path) else {
        return false;
    };
    let headers = Fields::new();
    let facts = Facts {
        method: &Method::GET,
        host: route.host.as_deref().unwrap_or(visit.facts.host),
        path: &path,
        query: "",
        headers: &headers,
        expects: Some(Expects::Page),
        ..visit.facts
    };
    let route = Route {
        index: 0,
        settings: route.clone(),
        query_token: false,
    };
    rule(&house.authority.scopes, &route, &facts, Some(who)) == Verdict::Grant
}

/// Another host is taken to be at the same port: all of them are behind the same listeners.
fn place(visit: &Visit<'_>, route: &settings::Route) -> Place {
    let path = route.path.as_str();
    let Some(host) = &route.host else {
        let name = match path {
            "/" => visit.facts.authority.to_owned(),
            path => path.to_owned(),
        };
        return Place {
            name,
            address: path.to_owned(),
        };
    };
    let authority = visit.facts.authority;
    let port = authority
        .rsplit_once(':')
        .filter(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
        .map(|(_, port)| format!(":{port}"))
        .unwrap_or_default();
    let shown = if path == "/" { "" } else { path };
    Place {
        name: format!("{host}{shown}"),
        address: format!("{}://{host}{port}{path}", visit.facts.scheme.as_str()),
    }
}
