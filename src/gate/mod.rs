//! One request, from arrival to answer. Start reading here.

pub mod record;
pub mod snapshot;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use http::header::{HeaderName, HeaderValue, LOCATION};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use crate::decision::{Core, Decision, Ruling};
use crate::dialect::{Arrival, Dialect, Question};
use crate::policy::Route;
use crate::request::admission::{self, Admitted, Rejection, Target};
use crate::request::client_addr::{self, ProxyTrust};
use crate::request::{Facts, Peer, RequestId};
use crate::upstream::{Outgoing, Upstreams};
use crate::wire::Body;
use record::Record;
use snapshot::Snapshot;

pub use record::Observers;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

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
    pub fn new(shared: Arc<Shared>, upstreams: Upstreams, direct: Box<dyn Dialect>, worker: usize) -> Self {
        let lane = RefCell::new(Rc::new(Lane::new(shared.snapshot.load_full())));
        Self { shared, lane, upstreams, direct, worker }
    }

    /// Answers one request: admit it, find its route, decide, forward or refuse.
    pub async fn handle(&self, request: Request<Incoming>, peer: Peer) -> Response<Body> {
        let lane = self.lane();
        let snapshot = &*lane.snapshot;
        let (mut parts, body) = request.into_parts();
        let mut record = Record::begin(&self.shared, self.worker, &parts, peer);
        let admitted = match admission::admit(&mut parts, &peer, &snapshot.single_headers) {
            Ok(admitted) => admitted,
            Err(rejection) => return self.reject(snapshot, &mut record, &parts, rejection),
        };
        let hop = match client_addr::resolve(&peer, &parts.headers, &snapshot.proxy_trust()) {
            Ok(hop) => hop,
            Err(rejection) => return self.reject(snapshot, &mut record, &parts, rejection),
        };
        record.client(hop.client);
        if let Target::Asterisk = admitted.target {
            return record.answered(no_content());
        }
        if let Some(https) = snapshot.https_instead(&peer, &hop, &admitted, &parts) {
            return record.answered(https);
        }
        let arrival = Arrival {
            parts: &parts,
            authority: &admitted.authority,
            host: &admitted.host,
            upgrade: admitted.upgrade.is_some(),
            peer,
            hop,
        };
        let question = match self.direct.question(&arrival) {
            Ok(question) => question,
            Err(rejection) => return self.reject(snapshot, &mut record, &parts, rejection),
        };
        let facts = question.facts(record.now(), record.id());
        if crate::request::safe_path::covers(&snapshot.site.prefix, facts.path.decoded()) {
            return self.own_address(snapshot, &mut record, &facts);
        }
        let Some(route) = snapshot.routes.find(facts.host, facts.path.decoded()) else {
            return self.reject(snapshot, &mut record, &parts, NO_ROUTE);
        };
        record.route(route);
        if let Err(path) = facts.path.allowed_on(route.settings.encoded_slash, route.settings.path_params) {
            return self.reject(snapshot, &mut record, &parts, path.into());
        }
        let ruling = snapshot.authority.decide(&lane.core, route, &facts).await;
        record.ruled(route, &facts, &ruling);
        match ruling.decision {
            Decision::Allow(permit) => {
                let outgoing = snapshot.outgoing(route, &facts, &admitted);
                drop(question);
                let request = Request::from_parts(parts, body);
                let answer = self.upstreams.forward(permit, outgoing, request).await;
                record.forwarded(answer)
            }
            refused => record.refused(self.direct.answer(&snapshot.site, &facts, &refused)),
        }
    }
}
