//! HAProxy, which asks with `core.httpclient()` from a few lines of Lua, or with `auth-request.lua`.
//! The latter asks with HEAD, and makes variables of the answer's headers.

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
    login: Login::Beside401,
    throttle: StatusCode::FORBIDDEN,
    fault: StatusCode::SERVICE_UNAVAILABLE,
    bad: Bad::Forbidden,
};

const URL: Metadata = metadata!(
    "X-Original-URL",
    // A host with a slash would put a path before the one that is forwarded.
    "in HAProxy write \"http-request deny unless { req.fhdr(host) -m reg -i ^[a-z0-9.-]+(:[0-9]+)?$ }\" and \"http-request \
     set-header X-Original-URL %[var(txn.scheme)]://%[req.fhdr(host)]%[pathq]\" before the question, or take the \
     configuration and the Lua of \"sidegate snippet haproxy\""
);
const METHOD: Metadata = metadata!(
    "X-Original-Method",
    "in HAProxy write \"http-request set-header X-Original-Method %[method]\" before the question, or take the Lua of \
     \"sidegate snippet haproxy\""
);

/// The dialect of HAProxy.
pub fn build() -> Box<dyn Dialect> {
    Box::new(Haproxy)
}

struct Haproxy;

impl Dialect for Haproxy {
    fn name(&self) -> &'static str {
        "haproxy"
    }

    fn endpoint(&self) -> Option<Endpoint> {
        Some(Endpoint::whole(Family::Original))
    }

    fn asked<'r>(&self, arrival: &Arrival<'r>) -> Result<Asked<'r>, Rejection> {
        metadata::original(&arrival.received.fields, &URL, &METHOD)
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
