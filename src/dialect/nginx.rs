//! nginx `auth_request`, and what is built on it: ingress-nginx, SWAG, Nginx Proxy Manager.
//!
//! 2xx lets the request pass, 401 and 403 refuse it, and anything else becomes a 500 for the user.
//! Of a refusal nginx passes on `WWW-Authenticate` alone; the login address goes through
//! `auth_request_set`.

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
    fault: StatusCode::FORBIDDEN,
    bad: Bad::Forbidden,
};

const URL: Metadata = metadata!(
    "X-Original-URL",
    "in nginx write \"proxy_set_header X-Original-URL $scheme://$http_host$request_uri;\" in the location that asks"
);
const METHOD: Metadata = metadata!(
    "X-Original-Method",
    "in nginx write \"proxy_set_header X-Original-Method $request_method;\" in the location that asks"
);

/// The dialect of nginx.
pub fn build() -> Box<dyn Dialect> {
    Box::new(Nginx)
}

struct Nginx;

impl Dialect for Nginx {
    fn name(&self) -> &'static str {
        "nginx"
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
