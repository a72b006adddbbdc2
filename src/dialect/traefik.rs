//! Traefik `forwardAuth`. Anything but 2xx goes to the browser as it is, so that redirects work.

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

/// Nothing has to be configured for these, so who lacks one is not asked by `forwardAuth`.
macro_rules! sent {
    ($name:literal) => {
        metadata!(
            $name,
            "Traefik's forwardAuth sends it by itself: let \"forwardAuth.address\" be this endpoint, and let nothing in \
             between take headers away or add them"
        )
    };
}

const FAMILY: [Metadata; 4] = [
    sent!("X-Forwarded-Method"),
    sent!("X-Forwarded-Proto"),
    sent!("X-Forwarded-Host"),
    sent!("X-Forwarded-Uri"),
];

/// The dialect of Traefik.
pub fn build() -> Box<dyn Dialect> {
    Box::new(Traefik)
}

struct Traefik;

impl Dialect for Traefik {
    fn name(&self) -> &'static str {
        "traefik"
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
