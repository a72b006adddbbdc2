//! Proxy mode: a request that asks about itself, and goes on to a backend when it may.

use std::rc::Rc;

use http::{Response, StatusCode};
use tokio::time::Instant;

use super::record::{Kept, Record, Refused};
use super::{
    Gate, Lane, NO_ROUTE, Passing, Step, clear_cookie, has_dead_cookie, is_for_everyone, path_on, snapshot,
};
use crate::api;
use crate::decision::{Decision, Permit, Ruling};
use crate::dialect::{Arrival, Asked};
use crate::pages::{self, Confirmed};
use crate::policy::Route;
use crate::request::admission::{self, Handshake, Rejection, Target};
use crate::request::client_addr::Hop;
use crate::request::host::Authority;
use crate::request::{Expects, Facts, Peer, Received, Scheme, client_addr, safe_path};
use crate::upstream::{ClientSide, Outgoing, Via};
use crate::wire::{Answer, Body};

use super::snapshot::Snapshot;

/// What is answered instead. Boxed, because nearly every request goes on.
type Refusal = Box<Response<Body>>;

/// A request that came through the strict gate.
struct Entered<'r> {
    authority: Authority<'r>,
    hop: Hop,
    upgrade: bool,
}

impl Entered<'_> {
    /// The request as its dialect sees it.
    fn arrival<'a>(&'a self, received: &'a Received<'a>) -> Arrival<'a> {
        Arrival {
            received,
            authority: self.authority.as_written,
            host: &self.authority.host,
            handshake: if self.upgrade {
                Handshake::Upgrade
            } else {
                Handshake::None
            },
            hop: self.hop,
            rest: "",
        }
    }
}

impl Gate {
    /// Admits the request, finds its route, decides, and passes it on or refuses.
    pub(super) async fn answer<'g>(
        &'g self,
        lane: &'g Lane,
        received: &mut Received<'_>,
        body: &mut Body,
        peer: Peer,
        record: &mut Record<'g>,
    ) -> Step {
        let snapshot = &*lane.snapshot;
        let entered = match self.enter(lane, received, &peer, record) {
            Ok(entered) => entered,
            Err(answer) => return (*answer).into(),
        };
        let arrival = entered.arrival(received);
        let asked = self.direct.asked(&arrival);
        let facts = match self.facts(lane, &arrival, &asked, &peer, record) {
            Ok(facts) => facts,
            Err(answer) => return (*answer).into(),
        };
        if is_ours(snapshot, &facts) {
            let body = std::mem::take(body);
            // Boxed: each request has room for the future, and few need it.
            return Box::pin(self.serve_ours(lane, received, &facts, body, record))
                .await
                .into();
        }
        let (route, cut) = match self.find_route(lane, received, &facts, record) {
            Ok(found) => found,
            Err(answer) => return (*answer).into(),
        };

        let ruling = self.decide(lane, route, &facts, record).await;
        let dead_cookie = has_dead_cookie(&facts, &ruling);
        let permit = match ruling.decision {
            Decision::Allow(permit) => permit,
            Decision::Challenge(ref challenge)
                if !challenge.presented
                    && pages::may_be_kept(&self.house(snapshot), &facts, challenge.why) =>
            {
                let body = std::mem::take(body);
                return Box::pin(self.keep_form(snapshot, &facts, &ruling, body, record))
                    .await
                    .into();
            }
            _ => return self.deny(snapshot, &facts, &ruling, record).into(),
        };
        let mut kept = None;
        if let Some(who) = permit.identity()
            && pages::may_confirm(facts.method, facts.headers, who)
        {
            let house = self.house(snapshot);
            match Box::pin(pages::confirmed(&house, &facts, who, std::mem::take(body))).await {
                Confirmed::No(same) => *body = same,
                Confirmed::Yes(form) => kept = Some(form),
                Confirmed::Over(answer) => return answer.into(),
            }
        }
        // The question borrows the head, which goes to the upstream now.
        let cut = cut.map(str::to_owned);
        if let Some(kept) = kept {
            *body = kept.put_back(&mut received.fields);
        }
        self.pass(lane, received, &entered, route, cut, permit, dead_cookie, record)
    }

    /// The same of a request with nothing to wait for.
    pub(super) fn answer_now<'g>(
        &'g self,
        lane: &'g Lane,
        received: &mut Received<'_>,
        peer: Peer,
        record: &mut Record<'g>,
    ) -> Step {
        let snapshot = &*lane.snapshot;
        let entered = match self.enter(lane, received, &peer, record) {
            Ok(entered) => entered,
            Err(answer) => return (*answer).into(),
        };
        let arrival = entered.arrival(received);
        let asked = self.direct.asked(&arrival);
        let facts = match self.facts(lane, &arrival, &asked, &peer, record) {
            Ok(facts) => facts,
            Err(answer) => return (*answer).into(),
        };
        // Everything below the prefix of ours is slow by nature.
        if is_ours(snapshot, &facts) || pages::may_wait(facts.method, facts.headers) {
            return Step::Waits;
        }
        let (route, cut) = match self.find_route(lane, received, &facts, record) {
            Ok(found) => found,
            Err(answer) => return (*answer).into(),
        };
        let Ok(ruling) = self.decide_now(lane, route, &facts, record) else {
            return Step::Waits;
        };
        let dead_cookie = has_dead_cookie(&facts, &ruling);
        match ruling.decision {
            Decision::Allow(permit) => {
                let cut = cut.map(str::to_owned);
                self.pass(lane, received, &entered, route, cut, permit, dead_cookie, record)
            }
            _ => self.deny(snapshot, &facts, &ruling, record).into(),
        }
    }

    /// Lets in what can be read in one way only.
    fn enter<'r>(
        &self,
        lane: &Lane,
        received: &mut Received<'r>,
        peer: &Peer,
        record: &mut Record<'_>,
    ) -> Result<Entered<'r>, Refusal> {
        let snapshot = &*lane.snapshot;
        let settings = &snapshot.settings;
        let token_headers = &settings.credentials.token_headers;
        let admitted =
            admission::admit(received, token_headers, settings.limits.head).map_err(|rejection| {
                Box::new(self.reject(lane, record, &Refused::of(received, ""), &rejection))
            })?;
        let host = &*admitted.authority.host;
        let hop =
            client_addr::resolve(peer, &received.fields, &snapshot.proxy_trust()).map_err(|rejection| {
                Box::new(self.reject(lane, record, &Refused::of(received, host), &rejection))
            })?;
        record.client(hop.client);
        if admitted.target == Target::Asterisk {
            let nothing = || pages::empty(StatusCode::NO_CONTENT);
            let answer = self.unless_banned(lane, record, &Refused::of(received, host), nothing);
            return Err(Box::new(answer));
        }
        Ok(Entered {
            authority: admitted.authority,
            hop,
            upgrade: admitted.upgrade.is_some(),
        })
    }

    /// What it asks: a request that asks about itself.
    fn facts<'r>(
        &self,
        lane: &Lane,
        arrival: &Arrival<'r>,
        asked: &'r Result<Asked<'r>, Rejection>,
        peer: &Peer,
        record: &Record<'_>,
    ) -> Result<Facts<'r>, Refusal> {
        let refused = || Refused::of(arrival.received, arrival.host);
        let judged = |asked: &'r Asked<'r>| asked.facts(arrival, record.now(), record.id());
        let facts = asked
            .as_ref()
            .map_err(|rejection| *rejection)
            .and_then(judged)
            .map_err(|rejection| Box::new(self.reject(lane, record, &refused(), &rejection)))?;
        record.about(&facts);
        match lane.snapshot.https_instead(peer, &arrival.hop, &facts) {
            Some(elsewhere) => {
                let answer = self.unless_banned(lane, record, &refused(), || elsewhere);
                Err(Box::new(answer))
            }
            None => Ok(facts),
        }
    }

    /// What is ours alone: pages, and the REST interface.
    async fn serve_ours<'g>(
        &'g self,
        lane: &'g Lane,
        received: &Received<'_>,
        facts: &Facts<'_>,
        body: Body,
        record: &mut Record<'g>,
    ) -> Response<Body> {
        let snapshot = &*lane.snapshot;
        if api::is_here(&snapshot.api, facts.path.decoded()) {
            return self.api(lane, facts, body, record).await;
        }
        match snapshot.authority.visitor(&lane.core, facts).await {
            Ok(visitor) => pages::serve(&self.house(snapshot), facts, visitor, body).await,
            Err(throttled) => {
                let refused = Refused::of(received, facts.host);
                self.throttle(&*self.direct, record, &refused, &throttled)
            }
        }
    }

    /// Where it belongs, and what is left of its path when the route's own is cut off.
    fn find_route<'g, 'r>(
        &self,
        lane: &'g Lane,
        received: &Received<'_>,
        facts: &Facts<'r>,
        record: &mut Record<'g>,
    ) -> Result<(&'g Route, Option<&'r str>), Refusal> {
        let reject = |record: &Record<'_>, rejection| {
            let refused = Refused::of(received, facts.host);
            Box::new(self.reject(lane, record, &refused, &rejection))
        };
        let Some(route) = lane.snapshot.routes.find(facts.host, facts.path.decoded()) else {
            return Err(reject(record, NO_ROUTE));
        };
        record.route(route);
        let cut = path_on(route, facts).map_err(|rejection| reject(record, rejection))?;
        Ok((route, cut))
    }

    /// Writes out what the backend gets of a request that was let through.
    #[allow(
        clippy::too_many_arguments,
        reason = "what was learned on the way here; each is needed"
    )]
    fn pass(
        &self,
        lane: &Lane,
        received: &mut Received<'_>,
        entered: &Entered<'_>,
        route: &Route,
        cut: Option<String>,
        permit: Permit,
        dead_cookie: bool,
        record: &Record<'_>,
    ) -> Step {
        let snapshot = &*lane.snapshot;
        let query = snapshot.take_credentials(route, &permit, entered.upgrade, received);
        let scheme = entered.hop.scheme;
        let outgoing = Outgoing {
            route: &route.settings,
            client: entered.hop.client,
            scheme,
            authority: entered.authority.as_written,
            request_id: record.id(),
            target: snapshot::target(received, cut.as_deref(), query),
            upgrade: entered.upgrade,
            identity_names: &snapshot.identity_names,
        };
        match self.upstreams.pass(permit, &outgoing, received) {
            Ok(passed) => Step::Passed(Passing {
                passed,
                route: route.index,
                upgrade: entered.upgrade,
                dead_cookie,
                secure: scheme == Scheme::Https,
            }),
            Err(failure) => {
                let form = Refused::of(received, &entered.authority.host).form(&snapshot.site.prefix);
                record.failed(&failure, form).into()
            }
        }
    }

    /// Sends on what was let through, and writes down what came of it; the answer, and when it was there.
    // In place, so that the future is made where it stays, and one, so that nothing is handed from one to the next.
    #[inline(always)]
    #[expect(
        clippy::manual_async_fn,
        reason = "it would have room for what it is given twice"
    )]
    pub(super) fn forward(
        self: Rc<Self>,
        lane: Rc<Lane>,
        mut passing: Passing,
        on_client: Option<ClientSide>,
        body: Body,
        kept: Kept,
    ) -> impl Future<Output = (Answer, Instant)> {
        async move {
            let snapshot = &*lane.snapshot;
            let route = &snapshot.settings.routes[passing.route];
            let counters = &self.shared.observers.workers[self.worker];
            let mut record = Record::resume(&self.shared, counters, &route.name, kept);
            let via = Via {
                backends: &snapshot.backends[passing.route],
                identity_names: &snapshot.identity_names,
                timeouts: &snapshot.settings.timeouts,
                limits: &snapshot.settings.limits,
                name_backend: record.writes_access(),
            };
            let passed = &mut passing.passed;
            let forwarded = match on_client {
                // Boxed: each request has room for the future, and few need it.
                Some(on_client) => {
                    Box::pin(self.upstreams.forward_upgrade(passed, &via, body, on_client)).await
                }
                None => self.upstreams.forward(passed, &via, body).await,
            };
            let mut answer = match forwarded {
                Ok(answer) => answer,
                Err(failure) => {
                    let fields = passing.passed.fields();
                    let refused = Refused {
                        method: passing.passed.method(),
                        host: "",
                        path: "",
                        headers: &fields,
                    };
                    let form = refused.form(&snapshot.site.prefix);
                    let mut answer = Answer::from(record.failed(&failure, form));
                    let now = record.finish(&mut answer);
                    return (answer, now);
                }
            };
            if passing.dead_cookie && !is_for_everyone(&answer) {
                clear_cookie(passing.secure, answer.headers_mut());
            }
            let now = record.finish(&mut answer);
            (answer, now)
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
        match (&ruling.decision, ruling.identity()) {
            (Decision::Allow(_), Some(who)) => {
                let (reach, authority) = (&self.shared.operations, &snapshot.authority);
                api::serve(reach, authority, prefix, facts, who, body).await
            }
            _ => self.deny(snapshot, facts, &ruling, record),
        }
    }

    /// Somebody sent a form, and has to log in first: it is kept until then.
    async fn keep_form(
        &self,
        snapshot: &Snapshot,
        facts: &Facts<'_>,
        ruling: &Ruling,
        body: Body,
        record: &Record<'_>,
    ) -> Response<Body> {
        let mut answer = pages::keep(&self.house(snapshot), facts, ruling, body).await;
        if has_dead_cookie(facts, ruling) {
            clear_cookie(facts.scheme == Scheme::Https, answer.headers_mut());
        }
        record.refused(facts, ruling, &answer);
        answer
    }

    /// Says no, and why as far as it may be known.
    fn deny(
        &self,
        snapshot: &Snapshot,
        facts: &Facts<'_>,
        ruling: &Ruling,
        record: &Record<'_>,
    ) -> Response<Body> {
        let mut answer = match (&ruling.decision, ruling.identity()) {
            (Decision::Deny(_), Some(who)) if facts.expects() == Expects::Page => {
                pages::denied(&self.house(snapshot), facts, who)
            }
            _ => self.direct.answer(&snapshot.site, facts, &ruling.decision),
        };
        if has_dead_cookie(facts, ruling) {
            clear_cookie(facts.scheme == Scheme::Https, answer.headers_mut());
        }
        record.refused(facts, ruling, &answer);
        answer
    }
}

/// Whether the path is below the prefix of ours.
fn is_ours(snapshot: &Snapshot, facts: &Facts<'_>) -> bool {
    safe_path::covers(&snapshot.site.prefix, facts.path.decoded())
}
