//! Proxy mode: a request that asks about itself, and goes on to a backend when it may.

use http::{Response, StatusCode};
use hyper::upgrade::OnUpgrade;

use super::record::{Record, Refused};
use super::{
    Gate, Lane, NO_ROUTE, Passing, Patience, Step, clear_cookie, has_dead_cookie, is_for_everyone, path_on,
    snapshot,
};
use crate::api;
use crate::decision::{Decision, Ruling};
use crate::dialect::Arrival;
use crate::pages::{self, Confirmed};
use crate::request::admission::{self, Handshake, Target};
use crate::request::{Expects, Facts, Peer, Received, Scheme, client_addr, safe_path};
use crate::upstream::{Outgoing, Via};
use crate::wire::{Answer, Body};

use super::snapshot::Snapshot;

impl Gate {
    /// Admits the request, finds its route, decides, and passes it on or refuses.
    pub(super) async fn answer<'g>(
        &'g self,
        lane: &'g Lane,
        received: &mut Received<'_>,
        body: &mut Body,
        peer: Peer,
        record: &mut Record<'g>,
        patience: Patience,
    ) -> Step {
        let snapshot = &*lane.snapshot;
        let settings = &snapshot.settings;
        let token_headers = &settings.credentials.token_headers;
        let admitted = match admission::admit(received, token_headers, settings.limits.head) {
            Ok(admitted) => admitted,
            Err(rejection) => {
                return self
                    .reject(lane, record, &Refused::of(received, ""), &rejection)
                    .into();
            }
        };
        let host = &*admitted.authority.host;
        let hop = match client_addr::resolve(&peer, &received.fields, &snapshot.proxy_trust()) {
            Ok(hop) => hop,
            Err(rejection) => {
                return self
                    .reject(lane, record, &Refused::of(received, host), &rejection)
                    .into();
            }
        };
        record.client(hop.client);
        if admitted.target == Target::Asterisk {
            let nothing = || pages::empty(StatusCode::NO_CONTENT);
            return self
                .unless_banned(lane, record, &Refused::of(received, host), nothing)
                .into();
        }
        let upgrade = admitted.upgrade.is_some();
        let authority = admitted.authority.as_written;
        let arrival = Arrival {
            received,
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
            Err(rejection) => {
                return self
                    .reject(lane, record, &Refused::of(received, host), &rejection)
                    .into();
            }
        };
        let facts = question.facts(record.now(), record.id());
        record.about(&facts);
        if let Some(elsewhere) = snapshot.https_instead(&peer, &hop, &facts) {
            return self
                .unless_banned(lane, record, &Refused::of(received, host), || elsewhere)
                .into();
        }
        // Everything below the prefix of ours is slow by nature.
        let ours = safe_path::covers(&snapshot.site.prefix, facts.path.decoded());
        if patience == Patience::None && (ours || pages::may_wait(facts.method, facts.headers)) {
            return Step::Waits;
        }
        if ours && api::is_here(&snapshot.api, facts.path.decoded()) {
            let body = std::mem::take(body);
            return self.api(lane, &facts, body, record).await.into();
        }
        if ours {
            let body = std::mem::take(body);
            // Boxed: each request has room for the future, and few need it.
            let served = Box::pin(async {
                match snapshot.authority.visitor(&lane.core, &facts).await {
                    Ok(visitor) => pages::serve(&self.house(snapshot), &facts, visitor, body).await,
                    Err(throttled) => {
                        self.throttle(&*self.direct, record, &Refused::of(received, host), &throttled)
                    }
                }
            });
            return served.await.into();
        }
        let Some(route) = snapshot.routes.find(facts.host, facts.path.decoded()) else {
            return self
                .reject(lane, record, &Refused::of(received, host), &NO_ROUTE)
                .into();
        };
        record.route(route);
        let cut = match path_on(route, &facts) {
            Ok(cut) => cut,
            Err(rejection) => {
                return self
                    .reject(lane, record, &Refused::of(received, host), &rejection)
                    .into();
            }
        };

        let Some(ruling) = self.decide(lane, route, &facts, record, patience).await else {
            return Step::Waits;
        };
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
        if let Some(who) = ruling.identity.as_deref()
            && pages::may_confirm(facts.method, facts.headers, who)
        {
            let house = self.house(snapshot);
            match Box::pin(pages::confirmed(&house, &facts, who, std::mem::take(body))).await {
                Confirmed::No(same) => *body = same,
                Confirmed::Yes(form) => kept = Some(form),
                Confirmed::Over(answer) => return answer.into(),
            }
        }

        let (client, scheme) = (facts.client, facts.scheme);
        // The question borrows the head, which goes to the upstream now.
        let cut = cut.map(str::to_owned);
        if let Some(kept) = kept {
            *body = kept.put_back(&mut received.fields);
        }
        let query = snapshot.take_credentials(route, &permit, upgrade, received);
        let outgoing = Outgoing {
            route: &route.settings,
            client,
            scheme,
            authority,
            request_id: record.id(),
            target: snapshot::target(received, cut.as_deref(), query),
            strip: &[],
            upgrade,
            identity_names: &snapshot.identity_names,
        };
        match self.upstreams.pass(permit, &outgoing, received) {
            Ok(passed) => Step::Passed(Passing {
                passed,
                route: route.index,
                upgrade,
                dead_cookie,
                secure: scheme == Scheme::Https,
            }),
            Err(failure) => record
                .failed(&failure, Refused::of(received, host).form(&snapshot.site.prefix))
                .into(),
        }
    }

    /// Sends on what was let through.
    pub(super) async fn forward(
        &self,
        lane: &Lane,
        passing: &Passing,
        on_client: Option<OnUpgrade>,
        body: Body,
        record: &Record<'_>,
    ) -> Answer {
        let snapshot = &*lane.snapshot;
        let via = Via {
            backends: &snapshot.backends[passing.route],
            identity_names: &snapshot.identity_names,
            timeouts: &snapshot.settings.timeouts,
            limits: &snapshot.settings.limits,
            name_backend: record.writes_access(),
        };
        let passed = &passing.passed;
        match self.upstreams.forward(passed, &via, on_client, body).await {
            Ok(mut answer) => {
                if passing.dead_cookie && !is_for_everyone(&answer) {
                    clear_cookie(passing.secure, &mut answer.headers);
                }
                answer
            }
            Err(failure) => {
                let fields = passed.fields();
                let refused = Refused {
                    method: passed.method(),
                    host: "",
                    path: "",
                    headers: &fields,
                };
                record
                    .failed(&failure, refused.form(&snapshot.site.prefix))
                    .into()
            }
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
        let ruling = self.decide(lane, &snapshot.api, facts, record, Patience::Waits);
        let Some(ruling) = ruling.await else {
            return pages::empty(StatusCode::SERVICE_UNAVAILABLE);
        };
        match (&ruling.decision, &ruling.identity) {
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
        let mut answer = match (&ruling.decision, &ruling.identity) {
            (Decision::Deny(_), Some(who)) if facts.expects == Expects::Page => {
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
