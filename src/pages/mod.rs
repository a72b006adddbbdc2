//! What people see under the reserved prefix. No page needs JavaScript.
//!
//! This version has one: where browsers land when they have to log in. Set-up, login and profile
//! come with sessions; until then people pass by a trusted network, and programs by token.

use http::header::WWW_AUTHENTICATE;
use http::{Response, StatusCode};

use crate::dialect::{Site, direct};
use crate::request::Facts;
use crate::wire::Body;
use crate::wire::problem::{Form, problem};

/// Answers a request under the prefix. Nothing below it is ever proxied.
pub fn serve(site: &Site, facts: &Facts<'_>) -> Response<Body> {
    let path = facts.path.decoded();
    let id = facts.id.to_string();
    match path.strip_prefix(site.prefix.as_str()).unwrap_or(path) {
        "/login" => {
            let mut response = problem(
                StatusCode::UNAUTHORIZED,
                "This address is protected",
                "Logging in with a browser is not in this version of Sidegate. Programs send an API token; \
                 for people, ask whoever runs this server to trust your network.",
                &id,
                Form::Html,
            );
            // RFC 9110, section 15.5.2: a 401 must have one. Not Basic: a browser would ask for a password.
            response.headers_mut().insert(WWW_AUTHENTICATE, direct::BEARER);
            response
        }
        _ => problem(
            StatusCode::NOT_FOUND,
            "Nothing here",
            "This address belongs to the gate in front of the application, and has no page.",
            &id,
            direct::form(facts.headers, facts.expects),
        ),
    }
}

/// An answer that is its status.
pub fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    response
}
