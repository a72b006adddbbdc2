//! What gateways understand: the table of the product contract, section 6, as columns.
//!
//! An answer has no body, because with one nginx opens a new connection for every question.

use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_LENGTH, LOCATION, RETRY_AFTER, VARY, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use super::Site;
use crate::decision::{Challenge, Decision};
use crate::request::admission::Rejection;
use crate::request::{Expects, Facts};
use crate::wire::{Answer, Body, Lines, accept};

/// The word for what went wrong, for whoever runs the gateway.
pub const X_AUTH_ERROR: HeaderName = HeaderName::from_static("x-auth-error");
/// The login address where `Location` does not reach the browser by itself.
const X_AUTH_LOCATION: HeaderName = HeaderName::from_static("x-auth-location");

/// One column of the table.
pub(super) struct Column {
    /// "challenge, browser"
    pub(super) login: Login,
    /// "throttle"
    pub(super) throttle: StatusCode,
    /// "our fault"
    pub(super) fault: StatusCode,
    /// "bad request, path, metadata, no route"
    pub(super) bad: Bad,
}

/// How a browser gets to the login page.
pub(super) enum Login {
    /// 401, and the gateway makes a redirect of `Location` or `X-Auth-Location`.
    Beside401,
    /// 302, which the gateway passes on.
    Redirect,
}

/// Which statuses of a bad request the gateway can pass on.
pub(super) enum Bad {
    /// 403 whatever it is: anything but 401 and 403 would become a fault of the gateway.
    Forbidden,
    /// 404 where nothing is, else 400. No 5xx: Envoy may take one for leave to pass.
    AsItIs,
}

impl Column {
    /// The decision in this column.
    pub(super) fn answer(&self, site: &Site, facts: &Facts<'_>, decision: &Decision) -> Response<Body> {
        match decision {
            Decision::Allow(_) => answer(StatusCode::OK),
            // "503 on decision endpoints says why in its header": nobody could answer a challenge.
            Decision::Challenge(Challenge { why, .. }) if *why == "no-owner-yet" => error(self.fault, why),
            Decision::Challenge(challenge) if facts.expects() == Expects::Page && !challenge.presented => {
                self.to_login(site, facts, challenge.why)
            }
            Decision::Challenge(_) => with_challenge(answer(StatusCode::UNAUTHORIZED), facts),
            Decision::Deny(_) => answer(StatusCode::FORBIDDEN),
            Decision::Throttle { retry_after, .. } => throttled(self.throttle, *retry_after),
            Decision::Fail(_) => error(self.fault, "fault"),
        }
    }

    /// The answer to a question about what no request may be, or about nothing that is served.
    pub(super) fn refuse(&self, rejection: &Rejection) -> Response<Body> {
        let status = match self.bad {
            Bad::Forbidden => StatusCode::FORBIDDEN,
            Bad::AsItIs if rejection.status == StatusCode::FORBIDDEN => StatusCode::FORBIDDEN,
            Bad::AsItIs if rejection.status == StatusCode::NOT_FOUND => StatusCode::NOT_FOUND,
            Bad::AsItIs => StatusCode::BAD_REQUEST,
        };
        error(status, rejection.reason)
    }

    /// The answer to a client who is banned or too fast.
    pub(super) fn turn_away(&self, retry_after: Duration) -> Response<Body> {
        throttled(self.throttle, retry_after)
    }

    fn to_login(&self, site: &Site, facts: &Facts<'_>, why: &str) -> Response<Body> {
        let Ok(location) = HeaderValue::from_str(&site.login(facts, why)) else {
            // Path and authority were checked, so this cannot be; without an address there is no
            // redirect.
            return with_challenge(answer(StatusCode::UNAUTHORIZED), facts);
        };
        let mut response = match self.login {
            Login::Redirect => answer(StatusCode::FOUND),
            Login::Beside401 => {
                let mut response = answer(StatusCode::UNAUTHORIZED);
                let headers = response.headers_mut();
                // Never Basic: the browser would ask for a password in a dialogue of its own.
                headers.insert(WWW_AUTHENTICATE, bearer());
                headers.insert(X_AUTH_LOCATION, location.clone());
                response
            }
        };
        response.headers_mut().insert(LOCATION, location);
        response
    }
}

/// Not to be kept by anyone: the next request may be another's.
const FIXED: [(HeaderName, HeaderValue); 2] = [
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (VARY, HeaderValue::from_static("*")),
];
/// The same, written out.
const FIXED_LINES: &[u8] = b"cache-control: no-store\r\nvary: *\r\n";

/// The answer of every dialect to a question about what is allowed, but for whose it is.
pub fn allowed() -> Answer {
    let mut lines = Lines::with_room();
    lines.write(|out| out.extend_from_slice(FIXED_LINES));
    lines.length = Some(0);
    Answer::new(StatusCode::OK, lines, Body::Empty)
}

/// No body.
fn answer(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.extend(FIXED);
    // Said aloud for answers to HEAD, which have none to count.
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

fn error(status: StatusCode, why: &'static str) -> Response<Body> {
    let mut response = answer(status);
    response
        .headers_mut()
        .insert(X_AUTH_ERROR, HeaderValue::from_static(why));
    response
}

fn throttled(status: StatusCode, retry_after: Duration) -> Response<Body> {
    let mut response = answer(status);
    let seconds = u64::try_from(retry_after.as_millis().div_ceil(1000)).unwrap_or(u64::MAX);
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}

fn with_challenge(mut response: Response<Body>, facts: &Facts<'_>) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(WWW_AUTHENTICATE, bearer());
    if accept::may_offer_basic(facts.headers) {
        headers.append(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"sidegate\", charset=\"UTF-8\""),
        );
    }
    response
}

fn bearer() -> HeaderValue {
    HeaderValue::from_static("Bearer realm=\"sidegate\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_fixed_is_written_out_as_it_is_said() {
        let lines = allowed().lines;
        let fixed = FIXED;
        let said = fixed
            .each_ref()
            .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        assert_eq!(lines.iter().collect::<Vec<_>>(), said);
    }
}
