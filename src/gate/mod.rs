//! One request, from arrival to answer. Start reading here.

mod access;
mod check;
pub mod endpoints;
pub mod record;
pub mod snapshot;
mod words;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use http::header::SET_COOKIE;
use http::request::Parts;
use http::{Request, Response, StatusCode};

use crate::api;
use crate::config::settings::IdentityHeaders;
use crate::decision::guard::Throttled;
use crate::decision::{Core, Decision, Ruling};
use crate::dialect::{Arrival, Dialect, direct};
use crate::pages;
use crate::policy::Route;
use crate::request::admission::{self, Handshake, Rejection, Target};
use crate::request::{Expects, Facts, Peer, Scheme, client_addr, safe_path};
use crate::upstream::{Outgoing, Upstreams};
use crate::wire::cookie::{Cookie, Found};
use crate::wire::{Body, spare};
use record::{Record, Refused};
use snapshot::Snapshot;

pub use record::Observers;

/// Nothing is served there.
pub const NO_ROUTE: Rejection = Rejection {
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

const NO_TARGET: Rejection = Rejection {
    status: StatusCode::BAD_REQUEST,
    reason: "target:rest",
    message: "the target without the credential in it cannot be forwarded",
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
    /// What administrators do.
    pub operations: crate::control::Reach,
}

/// By what a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// `server.listen` and `tls.listen`: everything.
    Front,
    /// `server.decision_listen`: questions of gateways, and nothing else.
    Decisions,
}

/// The gate of one core.
pub struct Gate {
    shared: Arc<Shared>,
    lane: RefCell<Rc<Lane>>,
    upstreams: Upstreams,
    direct: Box<dyn Dialect>,
    /// The identity headers of answers that belong to no route.
    remote: IdentityHeaders,
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
        Self {
            shared,
            lane,
            upstreams,
            direct: direct::build(),
            remote: IdentityHeaders::remote(),
            worker,
        }
    }

    /// Answers one request.
    pub async fn handle(&self, request: Request<Body>, peer: Peer, door: Door) -> Response<Body> {
        let lane = self.lane();
        let (mut parts, body) = request.into_parts();
        let mut record = Record::begin(&self.shared, self.worker, &parts, peer);
        let response = if lane.snapshot.endpoints.cover(parts.uri.path(), door) {
            self.check(&lane, door, &mut parts, peer, &mut record).await
        } else {
            self.answer(&lane, &mut parts, body, peer, &mut record).await
        };
        spare::keep(parts.headers);
        record.finish(response)
    }

    /// Admits the request, finds its route, decides, and forwards or refuses.
    async fn answer<'g>(
        &'g self,
        lane: &'g Lane,
        parts: &mut Parts,
        body: Body,
        peer: Peer,
        record: &mut Record<'g>,
    ) -> Response<Body> {
        let snapshot = &*lane.snapshot;
        let settings = &snapshot.settings;
        let token_headers = &settings.credentials.token_headers;
        let admitted = match admission::admit(parts, token_headers, settings.limits.head) {
            Ok(admitted) => admitted,
            Err(rejection) => return self.reject(lane, record, &Refused::of(parts, ""), &rejection),
        };
        let host = admitted.authority.host();
        let hop = match client_addr::resolve(&peer, &parts.headers, &snapshot.proxy_trust()) {
            Ok(hop) => hop,
            Err(rejection) => return self.reject(lane, record, &Refused::of(parts, host), &rejection),
        };
        record.client(hop.client);
        if admitted.target == Target::Asterisk {
            return self.unless_banned(lane, record, &Refused::of(parts, host), || {
                pages::empty(StatusCode::NO_CONTENT)
            });
        }
        let upgrade = admitted.upgrade.is_some();
        let authority = admitted.authority.as_written();
        let arrival = Arrival {
            parts,
            authority,
            host,
            handshake: if upgrade {
                Handshake::Upgrade
            } else {
                Handshake::None
            },
            hop,
            rest: "",
        };
        let question = match self.direct.question(&arrival) {
            Ok(question) => question,
            Err(rejection) => return self.reject(lane, record, &Refused::of(parts, host), &rejection),
        };
        let facts = question.facts(record.now(), record.id());
        record.about(&facts);
        if let Some(elsewhere) = snapshot.https_instead(&peer, &hop, &facts) {
            return self.unless_banned(lane, record, &Refused::of(parts, host), || elsewhere);
        }
        if api::is_here(&snapshot.api, facts.path.decoded()) {
            return self.api(lane, &facts, body, record).await;
        }
        if safe_path::covers(&snapshot.site.prefix, facts.path.decoded()) {
            // Boxed: each request has room for the future, and few need it.
            return Box::pin(async {
                match snapshot.authority.visitor(&lane.core, &facts).await {
                    Ok(visitor) => pages::serve(&self.house(snapshot), &facts, visitor, body).await,
                    Err(throttled) => {
                        self.throttle(&*self.direct, record, &Refused::of(parts, host), &throttled)
                    }
                }
            })
            .await;
        }
        let Some(route) = snapshot.routes.find(facts.host, facts.path.decoded()) else {
            return self.reject(lane, record, &Refused::of(parts, host), &NO_ROUTE);
        };
        record.route(route);
        let cut = match path_on(route, &facts) {
            Ok(cut) => cut,
            Err(rejection) => return self.reject(lane, record, &Refused::of(parts, host), &rejection),
        };

        let ruling = self.decide(lane, route, &facts, record).await;
        let Decision::Allow(permit) = ruling.decision else {
            return self.deny(snapshot, &facts, &ruling, record);
        };

        let (client, scheme) = (facts.client, facts.scheme);
        // The question borrows the head, which goes to the upstream now.
        let cut = cut.map(str::to_owned);
        let query = snapshot.take_credentials(route, &permit, upgrade, parts);
        let Ok(target) = snapshot::target(&parts.uri, cut.as_deref(), query) else {
            return self.reject(lane, record, &Refused::of(parts, host), &NO_TARGET);
        };
        let outgoing = Outgoing {
            route: &route.settings,
            backends: &snapshot.backends[route.index],
            client,
            scheme,
            authority,
            request_id: record.id(),
            target,
            strip: &[],
            upgrade,
            identity_names: &snapshot.identity_names,
            timeouts: &settings.timeouts,
            limits: &settings.limits,
            name_backend: record.writes_access(),
        };
        match self.upstreams.forward(permit, outgoing, parts, body).await {
            Ok(response) => response,
            Err(failure) => record.failed(&failure, Refused::of(parts, host).form(&snapshot.site.prefix)),
        }
    }

    /// Answers a program that looks after accounts, or a script of a person.
    async fn api<'g>(
        &'g self,
        lane: &'g Lane,
        facts: &Facts<'_>,
        body: Body,
        record: &mut Record<'g>,
    ) -> Response<Body> {
        let snapshot = &*lane.snapshot;
        record.road("api");
        record.route(&snapshot.api);
        let prefix = &snapshot.site.prefix;
        if let Some(document) = api::document(prefix, facts) {
            let refused = Refused {
                method: facts.method,
                host: facts.host,
                path: facts.path.raw(),
                headers: facts.headers,
            };
            return self.unless_banned(lane, record, &refused, || document);
        }
        let ruling = self.decide(lane, &snapshot.api, facts, record).await;
        match (&ruling.decision, &ruling.identity) {
            (Decision::Allow(_), Some(who)) => {
                let (reach, authority) = (&self.shared.operations, &snapshot.authority);
                api::serve(reach, authority, prefix, facts, who, body).await
            }
            _ => self.deny(snapshot, facts, &ruling, record),
        }
    }

    /// Says no, and why as far as it may be known.
    fn deny(
        &self,
        snapshot: &Snapshot,
        facts: &Facts<'_>,
        ruling: &Ruling,
        record: &Record<'_>,
    ) -> Response<Body> {
        let mut answer = match (&ruling.decision, &ruling.identity) {
            (Decision::Deny(_), Some(who)) if facts.expects == Expects::Page => {
                pages::denied(&self.house(snapshot), facts, who)
            }
            _ => self.direct.answer(&snapshot.site, facts, &ruling.decision),
        };
        clear_dead_cookie(facts, ruling, &mut answer);
        record.refused(facts, ruling, &answer);
        answer
    }

    fn house<'s>(&'s self, snapshot: &'s Snapshot) -> pages::House<'s> {
        let observers = &self.shared.observers;
        pages::House {
            site: &snapshot.site,
            settings: &snapshot.settings,
            authority: &snapshot.authority,
            audit: &observers.audit,
            metrics: &observers.metrics,
            reach: &self.shared.operations,
        }
    }

    /// Decides, and writes down what was decided. Every road comes through here.
    async fn decide(&self, lane: &Lane, route: &Route, facts: &Facts<'_>, record: &mut Record<'_>) -> Ruling {
        let snapshot = &*lane.snapshot;
        let undecided = record.undecided(facts);
        let ruling = snapshot.authority.decide(&lane.core, route, facts).await;
        undecided.is_decided();
        record.ruled(route, facts, &ruling, snapshot.settings.audit.allowed);
        if let Some(identity) = ruling.identity.as_deref() {
            snapshot.authority.note_used(identity, facts);
        }
        ruling
    }

    /// What is answered without a decision is not for those who are banned or too fast either.
    fn unless_banned(
        &self,
        lane: &Lane,
        record: &Record<'_>,
        refused: &Refused<'_>,
        answer: impl FnOnce() -> Response<Body>,
    ) -> Response<Body> {
        match lane.snapshot.authority.guard.admit(record.whose(), record.now()) {
            Ok(()) => answer(),
            Err(throttled) => self.throttle(&*self.direct, record, refused, &throttled),
        }
    }

    /// Refuses what is no request that anyone could judge. The backend sees not one byte of it.
    fn reject(
        &self,
        lane: &Lane,
        record: &Record<'_>,
        refused: &Refused<'_>,
        rejection: &Rejection,
    ) -> Response<Body> {
        if let Err(throttled) = lane.spend(record) {
            return self.throttle(&*self.direct, record, refused, &throttled);
        }
        record.rejected(refused, rejection, rejection.status);
        self.direct
            .refuse(rejection, record.id(), refused.form(&lane.snapshot.site.prefix))
    }

    /// Turns away, unjudged, whoever is banned or too fast.
    fn throttle(
        &self,
        dialect: &dyn Dialect,
        record: &Record<'_>,
        refused: &Refused<'_>,
        throttled: &Throttled,
    ) -> Response<Body> {
        // Our own pages are not for them either.
        let answer = dialect.turn_away(throttled.retry_after, record.id(), refused.form(""));
        record.throttled(refused, throttled.why, answer.status());
        answer
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

    /// Spends from the rate of a client whose request nobody could judge.
    ///
    /// # Errors
    /// It is banned or too fast.
    fn spend(&self, record: &Record<'_>) -> Result<(), Throttled> {
        let guard = &*self.snapshot.authority.guard;
        guard.admit(record.whose(), record.now())?;
        guard.spend_refused(record.whose())
    }
}

/// What the route says of paths: whether it opens what this one has, and what is left of it when
/// the route's own path is cut off.
fn path_on<'r>(route: &Route, facts: &Facts<'r>) -> Result<Option<&'r str>, Rejection> {
    let settings = &route.settings;
    facts
        .path
        .allowed_on(settings.encoded_slash, settings.path_params)?;
    if !settings.strip_prefix {
        return Ok(None);
    }
    facts
        .path
        .without_prefix(&settings.path)
        .map(Some)
        .ok_or(NO_PREFIX)
}

/// "A session cookie that is unknown, expired, ended, damaged or sent twice counts as absent and is
/// cleared" (product contract, section 6.2). One that a stronger credential kept from being looked at
/// stays.
fn clear_dead_cookie(facts: &Facts<'_>, ruling: &Ruling, answer: &mut Response<Body>) {
    let secure = facts.scheme == Scheme::Https;
    let passed_over = matches!(ruling.carrier, "none" | "network");
    if passed_over && Cookie::Session.find(facts.headers, secure) != Found::Nothing {
        answer
            .headers_mut()
            .append(SET_COOKIE, Cookie::Session.clear(secure));
    }
}
