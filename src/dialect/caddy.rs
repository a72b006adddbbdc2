//! Caddy `forward_auth`. Anything but 2xx goes to the browser as it is. Caddy adds the client's
//! query to the endpoint's address; what is asked about stands in the headers alone.

use std::time::Duration;

use http::{Response, StatusCode};

use super::answers::{Bad, Column, Login};
use super::metadata::{self, Family, Metadata, metadata};
use super::{Arrival, Asked, Dialect, Endpoint, Site};
use crate::decision::Decision;
use crate::request::admission::Rejection;
use crate::request::{Facts, RequestId};
use crate::wire::Body;
use crate::wire::problem::Form;

const COLUMN: Column = Column {
    login: Login::Redirect,
    throttle: StatusCode::TOO_MANY_REQUESTS,
    fault: StatusCode::SERVICE_UNAVAILABLE,
    bad: Bad::AsItIs,
};

const FAMILY: [Metadata; 4] = [
    metadata!(
        "X-Forwarded-Method",
        "in Caddy ask with \"forward_auth\", which sends it, or write \"header_up X-Forwarded-Method {method}\""
    ),
    metadata!(
        "X-Forwarded-Proto",
        "in Caddy ask with \"forward_auth\", which sends it, or write \"header_up X-Forwarded-Proto {scheme}\""
    ),
    metadata!(
        "X-Forwarded-Host",
        "in Caddy ask with \"forward_auth\", which sends it, or write \"header_up X-Forwarded-Host {hostport}\""
    ),
    metadata!(
        "X-Forwarded-Uri",
        "in Caddy ask with \"forward_auth\", which sends it, or write \"header_up X-Forwarded-Uri {uri}\""
    ),
];

/// The dialect of Caddy.
pub fn build() -> Box<dyn Dialect> {
    Box::new(Caddy)
}

struct Caddy;

impl Dialect for Caddy {
    fn name(&self) -> &'static str {
        "caddy"
    }

    fn endpoint(&self) -> Option<Endpoint> {
        Some(Endpoint::whole(Family::Forwarded))
    }

    fn asked<'r>(&self, arrival: &Arrival<'r>) -> Result<Asked<'r>, Rejection> {
        metadata::forwarded(&arrival.received.fields, &FAMILY)
    }

    fn answer(&self, site: &Site, facts: &Facts<'_>, decision: &Decision) -> Response<Body> {
        COLUMN.answer(site, facts, decision)
    }

    fn refuse(&self, rejection: &Rejection, _: RequestId, _: Form<'_>) -> Response<Body> {
        COLUMN.refuse(rejection)
    }

    fn turn_away(&self, retry_after: Duration, _: RequestId, _: Form<'_>) -> Response<Body> {
        COLUMN.turn_away(retry_after)
    }
}
