//! What is written down of one request: metrics always, an audit line when there is something to
//! say, an access line when that log is on.

mod waiting;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::header::{CONNECTION, HeaderValue, RETRY_AFTER, SET_COOKIE};
use http::{Method, Response, StatusCode};
use http_body::Body as _;
use tokio::time::Instant;
use tracing::warn;

use super::Shared;
use super::access::{Access, Counted, Unwritten};
use super::snapshot::Snapshot;
use super::words::{message, reason, upstream_failure};
use crate::authn::Identity;
use crate::config::settings::AuditAllowed;
use crate::decision::{Decision, Ruling};
use crate::dialect::direct;
use crate::observe::Outcome;
use crate::observe::access::AccessLog;
use crate::observe::audit::{Audit, Event, Line};
use crate::observe::log::Explained;
use crate::observe::metrics::{Metrics, Took, WorkerCounters};
use crate::observe::sightings::{self, Noticed, Sightings};
use crate::policy::Route;
use crate::request::admission::Rejection;
use crate::request::{Client, Facts, Peer, Received, RequestId};
use crate::time::{Moment, Timestamp};
use crate::upstream::Failure;
use crate::wire::names::USER_AGENT;
use crate::wire::problem::{Form, problem};
use crate::wire::{Answer, Body, Fields, accept};

pub use waiting::Kept;

/// What nginx writes for a client that did not wait for its answer.
const CLIENT_GONE: u16 = 499;

/// Everything that watches.
pub struct Observers {
    /// Who was let in and who was not.
    pub audit: Arc<Audit>,
    /// One line per request, if it is on.
    pub access: ArcSwapOption<AccessLog>,
    /// Numbers of the process.
    pub metrics: Arc<Metrics>,
    /// Numbers of each core; only that core writes them.
    pub workers: Vec<Arc<WorkerCounters>>,
    /// Which refusals were explained in the log.
    pub explained: Explained,
    /// What `doctor` watches for.
    pub sightings: Sightings,
}

impl Observers {
    #[inline(never)]
    fn access(&self, received: &Received<'_>) -> Option<Box<Access>> {
        let log = self.access.load_full()?;
        Some(Box::new(Access::new(log, received)))
    }
}

/// What is known of a request that nobody could judge.
#[derive(Clone, Copy)]
pub struct Refused<'r> {
    /// Its method.
    pub method: &'r Method,
    /// Its host; empty when even that is unknown.
    pub host: &'r str,
    /// Its path.
    pub path: &'r str,
    /// The client's headers.
    pub headers: &'r Fields<'r>,
}

impl<'r> Refused<'r> {
    /// A request about itself.
    pub fn of(received: &'r Received<'_>, host: &'r str) -> Self {
        Self {
            method: &received.method,
            host,
            path: received.path(),
            headers: &received.fields,
        }
    }

    /// The form of an error for this client; a page links to ours below `prefix` unless that is empty.
    pub fn form<'p>(&self, prefix: &'p str) -> Form<'p> {
        let expects = accept::expects(self.method, self.headers);
        direct::form(self.headers, expects, prefix)
    }
}

/// One request on its way.
pub struct Record<'g> {
    shared: &'g Shared,
    counters: &'g WorkerCounters,
    id: RequestId,
    at: Moment,
    /// How long it took to decide.
    judged: Option<Took>,
    peer: Peer,
    /// As far as it was found out; before that it is whoever is on the socket.
    client: Option<Client>,
    rule: Option<&'g str>,
    road: &'static str,
    access: Option<Box<Access>>,
    /// If `doctor` watches for it.
    noticed: Option<RefCell<Box<Noticed>>>,
}

impl<'g> Record<'g> {
    /// A request arrived.
    pub fn begin(
        shared: &'g Shared,
        snapshot: &Snapshot,
        worker: usize,
        received: &Received<'_>,
        peer: Peer,
    ) -> Self {
        let observers = &shared.observers;
        // The settings come into force after their log: it is there if they have one.
        let log = snapshot.settings.log.access.as_ref();
        let access = log.and_then(|_| observers.access(received));
        let at = shared.clock.read();
        Self {
            shared,
            counters: &observers.workers[worker],
            id: RequestId::next(),
            at,
            judged: None,
            peer,
            client: None,
            rule: None,
            road: "proxy",
            access,
            noticed: observers
                .sightings
                .notice(received, &peer, at.wall)
                .map(RefCell::new),
        }
    }

    /// The id of the request.
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// When it arrived.
    pub fn now(&self) -> Timestamp {
        self.at.wall
    }

    /// The same by both clocks.
    pub fn at(&self) -> Moment {
        self.at
    }

    /// The client behind the trusted proxies.
    pub fn client(&mut self, client: Client) {
        self.client = Some(client);
    }

    /// The route that it belongs to.
    pub fn route(&mut self, route: &'g Route) {
        self.rule = Some(&route.settings.name);
    }

    /// Whose request it is, as far as is known.
    pub fn whose(&self) -> Client {
        self.client.unwrap_or_else(|| Client::of(&self.peer))
    }

    /// By which road it came, if not through proxy mode.
    pub fn road(&mut self, road: &'static str) {
        self.road = road;
    }

    /// It was no request that anyone could judge, or for nothing that is served here.
    pub fn rejected(&self, refused: &Refused<'_>, rejection: &Rejection, status: StatusCode) {
        self.unjudged(Outcome::Reject, refused, rejection.reason, status);
        self.noticed(|noticed| {
            let Refused {
                method, host, path, ..
            } = *refused;
            noticed.refused(method.as_str(), host, path, rejection.reason, rejection.message);
        });
    }

    /// It was not judged, because its client is banned or too fast.
    pub fn throttled(&self, refused: &Refused<'_>, why: &'static str, status: StatusCode) {
        self.unjudged(Outcome::Throttle, refused, why, status);
    }

    fn unjudged(&self, outcome: Outcome, refused: &Refused<'_>, reason: &'static str, status: StatusCode) {
        self.counters.decided(outcome, None, self.elapsed());
        self.noticed(|noticed| noticed.decided(outcome));
        self.shared.observers.audit.record(&Line {
            decision: Some(outcome),
            reason,
            host: refused.host,
            method: refused.method.as_str(),
            path: refused.path,
            agent: agent(refused.headers),
            status: Some(status.as_u16()),
            ..self.line()
        });
    }

    /// Tells the operator what was wrong with a question: of a gateway once an hour, of a stranger
    /// once. The gateway has no page for it, and whoever sees a 403 there does not know whose it is.
    pub fn explain_rejection(&self, refused: &Refused<'_>, rejection: &Rejection, gateway: bool) {
        let explained = &self.shared.observers.explained;
        let news = if gateway {
            explained.is_news(&(self.road, rejection.message), self.now())
        } else {
            explained.is_first(self.whose(), rejection.message, self.now())
        };
        if news {
            warn!(
                request.id = %self.id,
                client.ip = %self.whose(),
                peer = %self.peer.address.map_or_else(|| "unix".to_owned(), |peer| peer.ip().to_string()),
                road = self.road,
                path = refused.path,
                reason = rejection.reason,
                "refused a question; {}", rejection.message
            );
        }
    }

    /// Whether nobody was told of this header at this endpoint within the hour.
    pub fn is_news(&self, header: &str) -> bool {
        let news = (self.road, header);
        self.shared.observers.explained.is_news(&news, self.now())
    }

    /// What the request is about, as it is judged.
    pub fn about(&self, facts: &Facts<'_>) {
        self.noticed(|noticed| noticed.facts(facts));
    }

    fn noticed(&self, tell: impl FnOnce(&mut Noticed)) {
        if let Some(noticed) = &self.noticed {
            tell(&mut noticed.borrow_mut());
        }
    }

    /// It was decided. Allowed requests are audited now, all others when their answer is known.
    pub fn ruled(&mut self, route: &Route, facts: &Facts<'_>, ruling: &Ruling, all: AuditAllowed) {
        let outcome = Outcome::from(&ruling.decision);
        let identity = ruling.identity().map(Arc::as_ref);
        self.noticed(|noticed| noticed.decided(outcome));
        let took = Took::from(self.elapsed());
        self.judged = Some(took);
        self.counters
            .decided(outcome, identity.map(|identity| identity.method), took);
        match (ruling.cached, ruling.carrier) {
            (true, _) => self.counters.cache_hit(),
            (false, "none" | "network" | "preflight") => {}
            (false, _) => self.counters.cache_miss(),
        }
        if let (Some(access), Some(identity)) = (&mut self.access, identity) {
            access.user = identity.name().to_owned();
        }
        if outcome == Outcome::Allow {
            let due = match all {
                AuditAllowed::All => true,
                AuditAllowed::First => {
                    identity.is_some_and(|identity| identity.audited.is_first(route.index, facts.now))
                }
            };
            if due {
                self.shared
                    .observers
                    .audit
                    .record(&self.decided(facts, ruling, "", None));
            }
        }
    }

    /// A refusal is about to be sent.
    pub fn refused(&self, facts: &Facts<'_>, ruling: &Ruling, response: &Response<Body>) {
        let (reason, hint) = reason(&ruling.decision);
        let status = Some(response.status().as_u16());
        self.shared
            .observers
            .audit
            .record(&self.decided(facts, ruling, reason, status));
        if let Some(ban) = &ruling.banned {
            self.shared.observers.audit.record(&Line {
                reason: &format!(
                    "{} until {}",
                    ban.network,
                    ban.until.map_or_else(String::new, |until| until.to_string())
                ),
                request_id: Some(self.id),
                client: Some(self.whose()),
                ..Line::new(self.now(), Event::BanAdd)
            });
            warn!(network = %ban.network, client.ip = %self.whose(), "banned after too many wrong credentials");
        }
        if let Decision::Fail(fault) = &ruling.decision {
            warn!(request.id = %self.id, why = %fault.why, "a request could not be decided and was refused");
        } else if let Some(hint) = hint
            && self
                .shared
                .observers
                .explained
                .is_first(self.whose(), facts.path.raw(), self.now())
        {
            warn!(
                request.id = %self.id,
                client.ip = %self.whose(),
                method = %facts.method,
                path = facts.path.raw(),
                tried = ruling.carrier,
                reason,
                "refused; {hint}"
            );
        }
    }

    /// Whether the access log is on.
    pub fn writes_access(&self) -> bool {
        self.access.is_some()
    }

    /// No upstream answered, or the client broke off. `form` is that of an error for this client.
    pub fn failed(&self, failure: &Failure, form: Form<'_>) -> Response<Body> {
        if let Some(why) = upstream_failure(failure) {
            self.counters.upstream_failed(why);
        }
        if matches!(failure, Failure::Revoked) {
            // It was allowed, and then refused after all.
            self.shared.observers.audit.record(&Line {
                decision: Some(Outcome::Challenge),
                reason: failure.why(),
                status: Some(failure.status().as_u16()),
                ..self.line()
            });
        }
        warn!(request.id = %self.id, why = failure.why(), route = self.rule, "{failure}");
        let status = failure.status();
        let title = status.canonical_reason().unwrap_or("Failed");
        let mut response = problem(status, title, message(failure), &self.id.to_string(), form);
        if let Some(wait) = failure.retry_after() {
            let seconds = HeaderValue::from(wait.as_secs().max(1));
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
        if failure.leaves_body() {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// The last step of every way: the answer gets its id, and goes to the access log if it is on. When that was.
    pub fn finish(&mut self, answer: &mut Answer) -> Instant {
        let (took, now) = self.shared.clock.since_and_now(&self.at);
        self.finish_after(answer, took.into());
        now
    }

    /// The same where the answer was there as soon as the decision, so that one look at the clock does for both.
    pub fn finish_at_once(&mut self, answer: &mut Answer) {
        let took = self.judged.unwrap_or_else(|| self.elapsed().into());
        self.finish_after(answer, took);
    }

    #[inline]
    fn finish_after(&mut self, answer: &mut Answer, took: Took) {
        let mut line = *b"x-request-id: 0123456789abcdef\r\n";
        line[14..30].copy_from_slice(&self.id.digits());
        answer.lines.write(|out| out.extend_from_slice(&line));
        self.counters.answered(took);
        if self.access.is_some() || self.noticed.is_some() {
            self.tell(answer);
        }
    }

    /// Tells whoever watches of the answer.
    #[inline(never)]
    fn tell(&mut self, answer: &mut Answer) {
        if let Some(noticed) = self.noticed.take() {
            let noticed = noticed
                .into_inner()
                .answered(self.road, self.whose(), answer.status.as_u16());
            self.shared.observers.sightings.keep(noticed);
            // Does it reach the client, as a session's would have to?
            answer.headers_mut().append(SET_COOKIE, sightings::COOKIE_SET);
        }
        if let (Some(access), Some(backend)) = (&mut self.access, answer.served_by.take()) {
            access.upstream = backend.into();
        }
        let Some(mut line) = self.access_line(answer.status.as_u16()) else {
            return;
        };
        // An upgraded connection has no body to count; its line is written when it begins.
        if answer.status == StatusCode::SWITCHING_PROTOCOLS {
            return;
        }
        // What is there as a whole is counted now.
        if !matches!(answer.body, Body::Stream(_)) {
            if line.access.method != "HEAD" {
                line.bytes = answer.body.size_hint().exact().unwrap_or_default();
            }
            return;
        }
        let body = std::mem::take(&mut answer.body);
        answer.body = Body::stream(Counted { body, line });
    }

    /// It begins anew elsewhere.
    pub fn forget(&mut self) {
        self.access = None;
    }

    /// The access line, if that log is on; it writes itself when it is dropped.
    fn access_line(&mut self, status: u16) -> Option<Unwritten> {
        Some(Unwritten {
            access: self.access.take()?,
            at: self.at,
            client: self.whose(),
            status,
            id: self.id,
            clock: self.shared.clock.clone(),
            bytes: 0,
        })
    }

    fn elapsed(&self) -> Duration {
        self.shared.clock.since(&self.at)
    }

    fn line(&self) -> Line<'_> {
        let client = self.whose();
        let peer = self
            .peer
            .address
            .map(|address| crate::request::client_addr::canonical(address.ip()));
        Line {
            client: Some(client),
            peer: peer.filter(|peer| Some(*peer) != client.address()),
            rule: self.rule.unwrap_or(""),
            road: self.road,
            request_id: Some(self.id),
            ..Line::new(self.now(), Event::Request)
        }
    }

    fn decided<'l>(
        &'l self,
        facts: &Facts<'l>,
        ruling: &'l Ruling,
        reason: &'l str,
        status: Option<u16>,
    ) -> Line<'l> {
        let identity = ruling.identity().map(Arc::as_ref);
        let token = identity.and_then(|identity| identity.token.as_deref());
        Line {
            decision: Some(Outcome::from(&ruling.decision)),
            reason,
            host: facts.host,
            method: facts.method.as_str(),
            path: facts.path.raw(),
            agent: agent(facts.headers),
            user: identity.map_or("", Identity::name),
            auth: identity.map_or("", |identity| identity.method.as_str()),
            credential: token
                .map(|token| token.id())
                .or_else(|| Some(identity?.session()?.id()))
                .unwrap_or(""),
            credential_name: token.map_or("", |token| token.name()),
            carrier: ruling.carrier,
            status,
            ..self.line()
        }
    }
}

impl Drop for Record<'_> {
    /// The client went away before there was an answer.
    fn drop(&mut self) {
        if self.access.is_some() {
            drop(self.access_line(CLIENT_GONE));
        }
    }
}

pub(super) fn agent<'h>(headers: &'h Fields<'_>) -> &'h str {
    headers
        .get(USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("")
}
