//! One request, from arrival to answer. Start reading here.

pub mod record;
pub mod snapshot;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use http::header::{CONNECTION, HeaderValue};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;

use crate::decision::{Core, Decision};
use crate::dialect::{Arrival, Dialect, direct};
use crate::pages;
use crate::request::admission::{self, Rejection, Target};
use crate::request::{Peer, client_addr, safe_path};
use crate::upstream::{Outgoing, Upstreams};
use crate::wire::{Body, accept};
use crate::wire::problem::problem;
use record::Record;
use snapshot::Snapshot;

pub use record::Observers;

const NO_ROUTE: Rejection = Rejection {
    status: StatusCode::NOT_FOUND,
    reason: "no-route",
    message: "nothing is served at this host and path",
    close: false,
};

const NO_PREFIX: Rejection = Rejection {
    status: StatusCode::BAD_REQUEST,
    reason: "path:prefix",
    message: "the path cannot be cut where the route's path ends",
    close: false,
};

/// What all cores share.
pub struct Shared {
    /// The settings in force.
    pub snapshot: arc_swap::ArcSwap<Snapshot>,
    /// Where the present comes from.
    pub clock: crate::time::Clock,
    /// Audit, access log and metrics.
    pub observers: Observers,
}

/// The gate of one core.
pub struct Gate {
    shared: Arc<Shared>,
    lane: RefCell<Rc<Lane>>,
    upstreams: Upstreams,
    direct: Box<dyn Dialect>,
    worker: usize,
}

/// A snapshot, and what this core remembers under it.
struct Lane {
    snapshot: Arc<Snapshot>,
    core: Core,
}

impl Gate {
    /// The gate of core number `worker`.
    pub fn new(shared: Arc<Shared>, upstreams: Upstreams, worker: usize) -> Self {
        let lane = RefCell::new(Rc::new(Lane::new(shared.snapshot.load_full())));
        Self { shared, lane, upstreams, direct: direct::build(), worker }
    }

    /// Answers one request: admit it, find its route, decide, and forward or refuse.
    pub async fn handle(&self, request: Request<Incoming>, peer: Peer) -> Response<Body> {
        let lane = self.lane();
        let snapshot = &*lane.snapshot;
        let (mut parts, body) = request.into_parts();
        let mut record = Record::begin(&self.shared, self.worker, &parts, peer);

        let admitted = match admission::admit(
            &mut parts,
            &snapshot.settings.credentials.token_headers,
            snapshot.settings.limits.head,
        ) {
            Ok(admitted) => admitted,
            Err(rejection) => return reject(&mut record, &parts, rejection),
        };
        let hop = match client_addr::resolve(&peer, &parts.headers, &snapshot.proxy_trust()) {
            Ok(hop) => hop,
            Err(rejection) => return reject(&mut record, &parts, rejection),
        };
        record.client(hop.client);
        if admitted.target == Target::Asterisk {
            return record.answered(pages::empty(StatusCode::NO_CONTENT));
        }
        let arrival = Arrival {
            parts: &parts,
            authority: admitted.authority.as_written(),
            host: admitted.authority.host(),
            upgrade: admitted.upgrade.is_some(),
            hop,
        };
        let question = match self.direct.question(&arrival) {
            Ok(question) => question,
            Err(rejection) => return reject(&mut record, &parts, rejection),
        };
        let facts = question.facts(record.now(), record.id());
        if let Some(elsewhere) = snapshot.https_instead(&peer, &hop, &facts) {
            return record.answered(elsewhere);
        }
        if safe_path::covers(&snapshot.site.prefix, facts.path.decoded()) {
            return record.answered(pages::serve(&snapshot.site, &facts));
        }
        let Some(route) = snapshot.routes.find(facts.host, facts.path.decoded()) else {
            return reject(&mut record, &parts, NO_ROUTE);
        };
        record.route(route);
        if let Err(path) = facts.path.allowed_on(route.settings.encoded_slash, route.settings.path_params) {
            return reject(&mut record, &parts, path.into());
        }

        let stripped = match route.settings.strip_prefix.then(|| facts.path.without_prefix(&route.settings.path)) {
            Some(None) => return reject(&mut record, &parts, NO_PREFIX),
            stripped => stripped.flatten(),
        };

        let ruling = snapshot.authority.decide(&lane.core, route, &facts).await;
        record.ruled(route, &facts, &ruling);
        let permit = match ruling.decision {
            Decision::Allow(permit) => permit,
            refused => return record.answered(self.direct.answer(&snapshot.site, &facts, &refused)),
        };

        let (client, scheme) = (facts.client, facts.scheme);
        // The question borrows the head, which goes to the upstream now.
        drop(question);
        let credentials = snapshot.take_credentials(route, &permit, admitted.upgrade.is_some(), &mut parts);
        let target = snapshot::target(&parts.uri, stripped, credentials);
        let outgoing = Outgoing {
            route: &route.settings,
            backends: &snapshot.backends[route.index],
            client,
            scheme,
            authority: admitted.authority.as_written(),
            request_id: record.id(),
            target,
            strip: &[],
            upgrade: admitted.upgrade.is_some(),
            identity_names: &snapshot.identity_names,
            timeouts: &snapshot.settings.timeouts,
            limits: &snapshot.settings.limits,
        };
        match self.upstreams.forward(permit, outgoing, Request::from_parts(parts, body)).await {
            Ok(response) => record.forwarded(response),
            Err(failure) => record.failed(failure),
        }
    }

    /// The current snapshot with what this core remembers under it. One atomic load; counts no
    /// reference that another core counts too.
    fn lane(&self) -> Rc<Lane> {
        let current = self.shared.snapshot.load();
        let mut lane = self.lane.borrow_mut();
        if !Arc::ptr_eq(&current, &lane.snapshot) {
            *lane = Rc::new(Lane::new(Arc::clone(&current)));
        }
        Rc::clone(&lane)
    }
}

impl Lane {
    fn new(snapshot: Arc<Snapshot>) -> Self {
        let core = Core::new(&snapshot.authority);
        Self { snapshot, core }
    }
}

/// Refuses what is no request that anyone could judge. The backend sees not one byte of it.
fn reject(record: &mut Record, parts: &Parts, rejection: Rejection) -> Response<Body> {
    record.rejected(&rejection);
    let expects = accept::expects(&parts.method, &parts.headers, false);
    let form = direct::form(&parts.headers, expects);
    let title = rejection.status.canonical_reason().unwrap_or("Refused");
    let id = record.id().to_string();
    let mut response = problem(rejection.status, title, rejection.message, &id, form);
    if rejection.close {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    record.answered(response)
}
