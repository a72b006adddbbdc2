//! Proxy mode: the request asks about itself, and a refusal goes to the client.

use std::borrow::Cow;
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONNECTION, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};

use super::{Arrival, Asked, Dialect, Endpoint, Site, Target};
use crate::decision::Decision;
use crate::request::admission::Rejection;
use crate::request::{Expects, Facts, RequestId};
use crate::wire::problem::{Form, problem};
use crate::wire::{Body, Fields, accept};

/// The challenge of every 401.
pub const BEARER: HeaderValue = HeaderValue::from_static("Bearer realm=\"sidegate\"");

/// The dialect of proxy mode.
pub fn build() -> Box<dyn Dialect> {
    Box::new(Direct)
}

struct Direct;

impl Dialect for Direct {
    fn name(&self) -> &'static str {
        "proxy"
    }

    fn endpoint(&self) -> Option<Endpoint> {
        None
    }

    fn asked<'r>(&self, arrival: &Arrival<'r>) -> Result<Asked<'r>, Rejection> {
        let received = arrival.received;
        Ok(Asked {
            method: received.method.clone(),
            scheme: arrival.hop.scheme,
            authority: arrival.authority,
            host: Cow::Borrowed(arrival.host),
            target: Target::of(received.split()),
        })
    }

    fn answer(&self, site: &Site, facts: &Facts<'_>, decision: &Decision) -> Response<Body> {
        match decision {
            // An answer to an allowed request in proxy mode would be a request that a permit was
            // thrown away for: our fault.
            Decision::Allow(_) | Decision::Fail(_) => refusal(
                site,
                facts,
                StatusCode::SERVICE_UNAVAILABLE,
                "This gate cannot tell now whether you may pass. Try again; if it stays so, give the \
                 request id to whoever runs this server.",
            ),
            Decision::Challenge(challenge) if facts.expects() == Expects::Page && !challenge.presented => {
                to_login(site, facts, challenge.why)
            }
            Decision::Challenge(_) => challenge(site, facts),
            Decision::Deny(denial) => {
                let who = denial.user.as_deref().unwrap_or("nobody");
                let detail = format!(
                    "You are {who}, who may not do this here. Ask whoever runs this server, and name the request id."
                );
                refusal(site, facts, StatusCode::FORBIDDEN, &detail)
            }
            Decision::Throttle { retry_after, .. } => {
                let (seconds, detail) = wait(*retry_after);
                let mut response = refusal(site, facts, StatusCode::TOO_MANY_REQUESTS, &detail);
                response.headers_mut().insert(RETRY_AFTER, seconds);
                response
            }
        }
    }

    fn refuse(&self, rejection: &Rejection, id: RequestId, form: Form<'_>) -> Response<Body> {
        let title = rejection.status.canonical_reason().unwrap_or("Refused");
        let mut response = problem(rejection.status, title, rejection.message, &id.to_string(), form);
        if rejection.close {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn turn_away(&self, retry_after: Duration, id: RequestId, form: Form<'_>) -> Response<Body> {
        let status = StatusCode::TOO_MANY_REQUESTS;
        let (seconds, detail) = wait(retry_after);
        let mut response = problem(status, title(status), &detail, &id.to_string(), form);
        response.headers_mut().insert(RETRY_AFTER, seconds);
        response
    }
}

/// `Retry-After` in whole seconds, at least one, and the sentence for whoever has to wait.
fn wait(retry_after: Duration) -> (HeaderValue, String) {
    let seconds = u64::try_from(retry_after.as_millis().div_ceil(1000))
        .unwrap_or(u64::MAX)
        .max(1);
    let detail = format!("Too many requests were refused. Come back in {seconds} seconds.");
    (HeaderValue::from(seconds), detail)
}

/// The 401. `Basic` is offered only to programs: a browser would show its own password box for it, and
/// wget sends `http://token@host/` only after it (product contract, section 6.3).
fn challenge(site: &Site, facts: &Facts<'_>) -> Response<Body> {
    let mut response = refusal(
        site,
        facts,
        StatusCode::UNAUTHORIZED,
        "This address needs a credential. Send an API token as `Authorization: Bearer TOKEN`, as \
         `X-OPENHAB-TOKEN: TOKEN`, or as the user name of Basic with an empty password.",
    );
    let headers = response.headers_mut();
    headers.insert(WWW_AUTHENTICATE, BEARER);
    if accept::may_offer_basic(facts.headers) {
        headers.append(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"sidegate\", charset=\"UTF-8\""),
        );
    }
    response
}

fn to_login(site: &Site, facts: &Facts<'_>, why: &str) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match HeaderValue::from_str(&site.login(facts, why)) {
        Ok(location) => {
            headers.insert(LOCATION, location);
            response
        }
        // Path and authority were checked, so this cannot be; without an address there is no redirect.
        Err(_) => challenge(site, facts),
    }
}

fn refusal(site: &Site, facts: &Facts<'_>, status: StatusCode, detail: &str) -> Response<Body> {
    problem(
        status,
        title(status),
        detail,
        &facts.id.to_string(),
        form(facts.headers, facts.expects(), &site.prefix),
    )
}

/// JSON when it is accepted, a page for browsers (product contract, section 6.6), with a link to our pages below
/// `prefix` unless that is empty.
pub fn form<'p>(headers: &Fields<'_>, expects: Expects, prefix: &'p str) -> Form<'p> {
    if expects == Expects::Page {
        Form::Html { prefix }
    } else if accept::wants_json(headers) {
        Form::Json
    } else {
        Form::Text
    }
}

fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "Who is there?",
        StatusCode::FORBIDDEN => "Not allowed",
        StatusCode::TOO_MANY_REQUESTS => "Too many requests",
        _ => "Not now",
    }
}
