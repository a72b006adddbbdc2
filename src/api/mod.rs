//! The REST interface: what commands do, over HTTP and in JSON. Each address stands for one request of
//! the control socket, and the same operations carry it out, by the same rules and with the same line
//! in the audit file. The [`table`] is dispatched by and described from, so the OpenAPI
//! document cannot say anything else than what is there.

mod answer;
mod bodies;
mod call;
mod document;
mod endpoints;
mod requests;
mod table;

use std::sync::Arc;

use http::{Method, Response, StatusCode};

use crate::authn::{self, Identity};
use crate::config::settings;
use crate::control::{By, Reach, Shown};
use crate::decision::Authority;
use crate::model::Role;
use crate::pages;
use crate::policy::Route;
use crate::request::Facts;
use crate::request::safe_path::covers;
use crate::wire::{Body, Fields, headers};
use answer::Problem;
use call::Call;
use table::ENDPOINTS;

/// Below the prefix.
const BASE: &str = "/api/v1";
/// Whoever has no credential may read this.
const DOCUMENT: &str = "/openapi.json";

/// Who may ask here: any enabled user, by the rules of any route. What exactly they may do is asked
/// where it is done.
pub fn route(prefix: &str, index: usize) -> Route {
    Route {
        index,
        settings: settings::Route {
            name: format!("*{prefix}/api"),
            path: format!("{prefix}/api"),
            ..settings::Route::for_decisions()
        },
        query_token: false,
    }
}

/// Whether an address is one of the REST interface.
pub fn is_here(route: &Route, path: &str) -> bool {
    covers(&route.settings.path, path)
}

/// The description of the interface, if that is what is asked for.
pub fn document(prefix: &str, facts: &Facts<'_>) -> Option<Response<Body>> {
    let path = facts.path.decoded().strip_prefix(prefix)?.strip_prefix(BASE)?;
    let reads = matches!(*facts.method, Method::GET | Method::HEAD);
    (path == DOCUMENT && reads).then(|| answer::json(StatusCode::OK, document::text(prefix)))
}

/// Answers somebody who may ask.
pub async fn serve(
    reach: &Reach,
    authority: &Authority,
    prefix: &str,
    facts: &Facts<'_>,
    who: &Arc<Identity>,
    body: Body,
) -> Response<Body> {
    match answered(reach, authority, prefix, facts, who, body).await {
        Ok(response) => response,
        Err(problem) => problem.response(facts),
    }
}

async fn answered(
    reach: &Reach,
    authority: &Authority,
    prefix: &str,
    facts: &Facts<'_>,
    who: &Arc<Identity>,
    body: Body,
) -> Result<Response<Body>, Problem> {
    let path = facts.path.decoded();
    let path = path.strip_prefix(prefix).and_then(|path| path.strip_prefix(BASE));
    let path = path.ok_or(Problem::nowhere())?;
    let here = || {
        ENDPOINTS
            .iter()
            .filter_map(|endpoint| Some((endpoint, endpoint.at(path)?)))
    };
    let method = match facts.method {
        &Method::HEAD => &Method::GET,
        method => method,
    };
    let Some((endpoint, parameters)) = here().find(|(endpoint, _)| endpoint.method == *method) else {
        let methods: Vec<&str> = here().map(|(endpoint, _)| endpoint.method.as_str()).collect();
        return Err(match (path, methods.as_slice()) {
            (DOCUMENT, _) => Problem::method("GET, HEAD"),
            (_, []) => Problem::nowhere(),
            (_, methods) => Problem::method(&methods.join(", ").replace("GET", "GET, HEAD")),
        });
    };
    let by = by(authority, facts, who)?;
    let call = Call {
        me: who.name(),
        parameters,
        query: facts.query,
        body: match endpoint.takes {
            Some(_) => call::read(facts, body).await?,
            None => Default::default(),
        },
    };
    call.check_query(endpoint.query)?;
    let request = (endpoint.request)(&call)?;
    let payload = reach.ask(by, request).await?;
    answer::payload(endpoint.gives, &payload)
}

/// Who asks, as the rules of operations see them.
fn by(authority: &Authority, facts: &Facts<'_>, who: &Identity) -> Result<By, Problem> {
    let shown = match who.method {
        authn::Method::Network => return Err(Problem::network()),
        authn::Method::Password => Shown::Other,
        authn::Method::Session => match who.session() {
            Some(session) if session.is_chosen() => Shown::Chosen,
            Some(session) if pages::is_recent(&authority.accounts, session, facts.now) => Shown::RecentLogin,
            _ => Shown::Login,
        },
        authn::Method::ApiToken if is_for_administration(who.scope()) => Shown::AdminToken,
        authn::Method::ApiToken => Shown::Other,
    };
    Ok(By {
        name: who.name().to_owned(),
        // The route let them in, so there is one.
        role: authority.scopes.role(who, facts).unwrap_or(Role::ReadOnly),
        shown,
        road: "api",
        client: facts.client,
        host: facts.host.to_owned(),
        method: facts.method.to_string(),
        path: facts.path.raw().to_owned(),
        agent: agent(facts.headers),
        request: facts.id,
    })
}

/// A token for an application has all its user's rights there, and must not have the keys of the house.
fn is_for_administration(scope: &str) -> bool {
    let roles = scope
        .split_ascii_whitespace()
        .filter_map(|word| word.parse::<Role>().ok());
    roles.into_iter().any(Role::administers)
}

fn agent(headers: &Fields<'_>) -> String {
    headers::text(headers, http::header::USER_AGENT).to_owned()
}
