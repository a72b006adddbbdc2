//! One request, from arrival to answer. Start reading here.

mod access;
mod check;
pub mod endpoints;
mod proxy;
pub mod record;
mod secure;
pub mod snapshot;
mod words;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;
use http::header::{CACHE_CONTROL, SET_COOKIE};
use http::{Extensions, HeaderMap, Response, StatusCode};

use crate::authn::Unverified;
use crate::config::settings::IdentityHeaders;
use crate::decision::guard::Throttled;
use crate::decision::{Core, Ruling};
use crate::dialect::{Dialect, direct};
use crate::pages;
use crate::policy::Route;
use crate::request::admission::Rejection;
use crate::request::{Facts, Peer, Received, Scheme};
use crate::upstream::{ClientSide, Passed, Upstreams};
use crate::wire::cookie::{Cookie, Found};
use crate::wire::{Answer, Body, Now};
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

/// What all cores share.
pub struct Shared {
    /// The settings in force.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// Where the present comes from.
    pub clock: crate::time::Clock,
    /// Audit, access log and metrics.
    pub observers: Observers,
    /// What administrators do.
    pub operations: crate::control::Reach,
    /// Forms that wait for a login.
    pub kept: pages::KeptForms,
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
    /// The newest snapshot, as far as this core has seen.
    newest: RefCell<Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
    upstreams: Upstreams,
    direct: Box<dyn Dialect>,
    /// The identity headers of answers that belong to no route.
    remote: Arc<IdentityHeaders>,
    worker: usize,
}

/// How far a request came.
enum Step {
    Answered(Answer),
    /// It was let through.
    Passed(Passing),
    /// It would have had to wait; nothing has happened.
    Waits,
}

impl From<Response<Body>> for Step {
    fn from(response: Response<Body>) -> Self {
        Step::Answered(response.into())
    }
}

/// A request on its way to a backend.
struct Passing {
    passed: Passed,
    /// Index of its route.
    route: usize,
    upgrade: bool,
    /// A dead cookie came with it.
    dead_cookie: bool,
    secure: bool,
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
            newest: RefCell::new(Cache::new(Arc::clone(&shared.snapshot))),
            shared,
            lane,
            upstreams,
            direct: direct::build(),
            remote: Arc::new(IdentityHeaders::remote()),
            worker,
        }
    }

    /// Answers one request. `extensions`: what the HTTP library promised for it.
    pub async fn handle(
        self: &Rc<Self>,
        mut received: Received<'_>,
        extensions: &mut Extensions,
        mut body: Body,
        peer: Peer,
        door: Door,
    ) -> Answer {
        let lane = self.lane();
        let mut record = Record::begin(&self.shared, &lane.snapshot, self.worker, &received, peer);
        let step = match lane.snapshot.endpoints.find(received.target, door) {
            Some(asking) => {
                let answer = self.check(&lane, asking, &mut received, peer, &mut record);
                Step::Answered(answer.await)
            }
            None => {
                let answer = self.answer(&lane, &mut received, &mut body, peer, &mut record);
                answer.await
            }
        };
        let mut answer = match step {
            Step::Answered(answer) => answer,
            Step::Passed(passing) => {
                let on_client = passing.upgrade.then(|| ClientSide::take(extensions));
                let (gate, kept) = (Rc::clone(self), record.keep());
                drop(record);
                return gate.forward(lane, passing, on_client, body, kept).await.0;
            }
            Step::Waits => pages::empty(StatusCode::SERVICE_UNAVAILABLE).into(),
        };
        record.finish(&mut answer);
        answer
    }

    /// The same for a plain request without anything to wait for, as far as that goes. `body` is taken where
    /// the request goes on to a backend; nothing has happened where it has to wait.
    pub fn handle_now(
        self: &Rc<Self>,
        received: &mut Received<'_>,
        body: &mut Body,
        peer: Peer,
        door: Door,
    ) -> Now {
        let lane = self.lane();
        let mut record = Record::begin(&self.shared, &lane.snapshot, self.worker, received, peer);
        if let Some(asking) = lane.snapshot.endpoints.find(received.target, door) {
            return self.check_now(&lane, asking, received, peer, &mut record);
        }
        match self.answer_now(&lane, received, peer, &mut record) {
            Step::Answered(mut answer) => {
                record.finish(&mut answer);
                Now::Answered(answer, record.at())
            }
            Step::Passed(passing) => {
                // Made where it stays: else all the room that it will ever need would be copied.
                let room = Box::new_uninit();
                let (gate, lane) = (Rc::clone(self), Rc::clone(&lane));
                let (kept, body) = (record.keep(), std::mem::take(body));
                let answer = Box::write(room, gate.forward(lane, passing, None, body, kept));
                Now::Passed(Box::into_pin(answer), record.at())
            }
            Step::Waits => {
                record.forget();
                Now::Waits
            }
        }
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
            kept: &self.shared.kept,
            explained: &observers.explained,
        }
    }

    /// Decides, and writes down what was decided. Every road comes through here, or through [`Gate::ruled`].
    async fn decide(&self, lane: &Lane, route: &Route, facts: &Facts<'_>, record: &mut Record<'_>) -> Ruling {
        let snapshot = &*lane.snapshot;
        let authority = &snapshot.authority;
        let ruling = match authority.decide_now(&lane.core, route, facts) {
            Ok(ruling) => ruling,
            Err(unverified) => {
                let undecided = record.undecided(facts);
                let ruling = authority.decide_later(&lane.core, route, facts, unverified).await;
                undecided.decided();
                ruling
            }
        };
        self.ruled(lane, route, facts, &ruling, record);
        ruling
    }

    /// The same if it takes no while; else nothing was decided.
    fn decide_now<'r>(
        &self,
        lane: &Lane,
        route: &Route,
        facts: &Facts<'r>,
        record: &mut Record<'_>,
    ) -> Result<Ruling, Unverified<'r>> {
        let ruling = lane.snapshot.authority.decide_now(&lane.core, route, facts)?;
        self.ruled(lane, route, facts, &ruling, record);
        Ok(ruling)
    }

    /// Writes down what was decided.
    fn ruled(&self, lane: &Lane, route: &Route, facts: &Facts<'_>, ruling: &Ruling, record: &mut Record<'_>) {
        let snapshot = &*lane.snapshot;
        record.ruled(route, facts, ruling, snapshot.settings.audit.allowed);
        if let Some(identity) = ruling.identity() {
            snapshot.authority.note_used(identity, facts);
        }
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
        let mut newest = self.newest.borrow_mut();
        let (current, mut lane) = (newest.load(), self.lane.borrow_mut());
        if !Arc::ptr_eq(current, &lane.snapshot) {
            *lane = Rc::new(Lane::new(Arc::clone(current)));
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
fn has_dead_cookie(facts: &Facts<'_>, ruling: &Ruling) -> bool {
    let passed_over = matches!(ruling.carrier, "none" | "network");
    passed_over && Cookie::Session.find(facts.headers, facts.scheme == Scheme::Https) != Found::Nothing
}

fn clear_cookie(secure: bool, headers: &mut HeaderMap) {
    headers.append(SET_COOKIE, Cookie::Session.clear(secure));
}

/// Whether a cache may give that answer to others, whose live cookies would go with it.
fn is_for_everyone(answer: &Answer) -> bool {
    let lines = answer.lines.iter();
    let mut words = lines
        .filter(|(name, _)| *name == CACHE_CONTROL.as_str().as_bytes())
        .filter_map(|(_, line)| std::str::from_utf8(line).ok())
        .flat_map(|line| line.split(','))
        .map(|word| word.split('=').next().unwrap_or_default().trim());
    words.any(|word| word.eq_ignore_ascii_case("public") || word.eq_ignore_ascii_case("s-maxage"))
}
