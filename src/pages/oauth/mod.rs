//! Apps that a person lets in by the browser: OAuth 2.0 with authorization codes (RFC 6749, section 4.1), always
//! with PKCE (RFC 7636), for apps that keep no secret.
//!
//! ```text
//! GET  /oauth/authorize    authorize.rs   what the app asks for, read strictly; a login; a page that asks the person
//! POST /oauth/authorize                   the person's answer: a code, to the app's own address and nowhere else
//! POST /oauth/token        token.rs       the code, or the last refresh token, for the next tokens
//! POST /oauth/revoke       token.rs       the end, when the app's user logs out there (RFC 7009)
//! ```
//!
//! No app is registered. One is known by its address (`client_id`), and gets its answer there.

mod authorize;
mod client;
mod token;

use http::{Method, Response};

use super::{House, Visit};
use crate::wire::Body;

/// Answers what is below `/oauth`; none where nothing is.
pub(super) async fn serve(
    house: &House<'_>,
    visit: &Visit<'_>,
    path: &str,
    body: Body,
) -> Option<Response<Body>> {
    let method = visit.facts.method;
    Some(match path {
        "/authorize" if matches!(*method, Method::GET | Method::HEAD) => authorize::show(house, visit),
        "/authorize" if *method == Method::POST => authorize::send(house, visit, body).await,
        "/authorize" => visit.refused_method("GET, HEAD, POST"),
        "/token" | "/revoke" if *method == Method::OPTIONS => token::preflight(visit),
        "/token" if *method == Method::POST => token::send(house, visit, body).await,
        "/revoke" if *method == Method::POST => token::revoke(house, visit, body).await,
        "/token" | "/revoke" => visit.refused_method("OPTIONS, POST"),
        _ => return None,
    })
}

/// Whether a program asks there, which no domain of ours may send elsewhere.
pub(super) fn is_for_programs(path: &str) -> bool {
    matches!(path, "/oauth/token" | "/oauth/revoke")
}

/// Who answers, for the app (RFC 9207): the origin that browsers find us at.
fn issuer(house: &House<'_>, visit: &Visit<'_>) -> String {
    house.site.public_url.clone().unwrap_or_else(|| visit.here())
}
