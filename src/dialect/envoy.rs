//! Envoy `ext_authz` over HTTP. Envoy asks with the method of the request, and puts its `path_prefix`
//! before the path and query of the request. 200 alone lets it pass; a 5xx is a fault, which
//! `failure_mode_allow` may take for leave to pass, so none is ever sent.

use std::borrow::Cow;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::answers::{Bad, Column, Login};
use super::metadata::{self, Family};
use super::{Arrival, Asked, Dialect, Endpoint, HandedOn, Site};
use crate::decision::Decision;
use crate::request::admission::Rejection;
use crate::request::{Facts, RequestId};
use crate::wire::Body;
use crate::wire::problem::Form;

const COLUMN: Column = Column {
    login: Login::Redirect,
    throttle: StatusCode::TOO_MANY_REQUESTS,
    fault: StatusCode::FORBIDDEN,
    bad: Bad::AsItIs,
};

/// What Envoy takes out of a request that it lets pass.
const TO_REMOVE: HeaderName = HeaderName::from_static("x-envoy-auth-headers-to-remove");

const NO_PATH: Rejection = Rejection::bad(
    "metadata:missing",
    "the path of the request does not follow the endpoint's; in Envoy let \"path_prefix\" of \"http_service\" be the \
     endpoint without a slash at its end",
);

/// The dialect of Envoy.
pub fn build() -> Box<dyn Dialect> {
    Box::new(Envoy)
}

struct Envoy;

impl Dialect for Envoy {
    fn name(&self) -> &'static str {
        "envoy"
    }

    fn endpoint(&self) -> Option<Endpoint> {
        Some(Endpoint::with_path(Family::RequestLine))
    }

    fn asked<'r>(&self, arrival: &Arrival<'r>) -> Result<Asked<'r>, Rejection> {
        if !arrival.rest.starts_with('/') {
            return Err(NO_PATH);
        }
        Ok(Asked {
            method: arrival.received.method.clone(),
            scheme: arrival.hop.scheme,
            authority: arrival.authority,
            host: Cow::Borrowed(arrival.host),
            target: metadata::target(arrival.rest)?,
        })
    }

    fn answer(&self, site: &Site, facts: &Facts<'_>, decision: &Decision) -> Response<Body> {
        COLUMN.answer(site, facts, decision)
    }

    // Envoy keeps what an answer does not name, so what goes is named, and what stays is not repeated.
    fn hand_on(&self, answer: &mut HeaderMap, headers: Vec<HandedOn>) {
        let mut removed = Vec::new();
        for header in headers.into_iter().filter(|header| header.changed) {
            match header.value {
                Some(value) => {
                    answer.insert(header.name, value);
                }
                None => removed.push(header.name),
            }
        }
        let removed: Vec<&str> = removed.iter().map(HeaderName::as_str).collect();
        match HeaderValue::from_str(&removed.join(", ")) {
            Ok(names) if !removed.is_empty() => {
                answer.insert(TO_REMOVE, names);
            }
            _ => {}
        }
    }

    fn refuse(&self, rejection: &Rejection, _: RequestId, _: Form<'_>) -> Response<Body> {
        COLUMN.refuse(rejection)
    }

    fn turn_away(&self, retry_after: Duration, _: RequestId, _: Form<'_>) -> Response<Body> {
        COLUMN.turn_away(retry_after)
    }
}
