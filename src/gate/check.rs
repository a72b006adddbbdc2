//! A question of a gateway: the same way as a request that is forwarded, up to the answer.

use std::sync::Arc;

use tracing::warn;

use super::endpoints::{self, Asking, OURS};
use super::record::{Record, Refused};
use super::{Gate, Lane, NO_ROUTE, clear_cookie, has_dead_cookie, path_on};
use crate::config::settings::IdentityHeaders;
use crate::decision::{Decision, Permit, Ruling};
use crate::dialect::answers::allowed;
use crate::dialect::{Arrival, Dialect, Family};
use crate::policy::Route;
use crate::request::admission::{self, Handshake, Rejection};
use crate::request::client_addr::Hop;
use crate::request::host::Authority;
use crate::request::{Client, Facts, Peer, Received, Scheme, client_addr, safe_path};
use crate::wire::{Answer, Now};

/// What is known of whoever asks, from one step to the next.
struct Asker<'s, 'r> {
    dialect: &'s dyn Dialect,
    /// The identity headers of another server.
    names: Option<&'s Arc<IdentityHeaders>>,
    /// What follows the endpoint in the target.
    rest: &'r str,
    /// Whether it may ask, so that what it says counts.
    may_ask: bool,
    /// Whether it told whose request it asks about.
    knows_client: bool,
    /// For whom the question itself is, once that was checked.
    authority: Option<Authority<'r>>,
}

/// What is known of the question itself, before it is asked what it is about.
struct Begun {
    handshake: Handshake,
    hop: Hop,
}

impl<'s, 'r> Asker<'s, 'r> {
    /// As far as the endpoint tells; by the dialect that every gateway understands where it does not.
    fn new(lane: &'s Lane, asking: &Result<Asking<'s, 'r>, Rejection>) -> Self {
        let asking = asking.as_ref().ok();
        Self {
            dialect: asking
                .and_then(|asking| asking.dialect)
                .unwrap_or_else(|| lane.snapshot.endpoints.speaking(None)),
            names: asking.and_then(|asking| asking.headers),
            rest: asking.map_or("", |asking| asking.rest),
            may_ask: false,
            knows_client: false,
            authority: None,
        }
    }

    /// The question as its dialect sees it.
    fn arrival<'a>(&'a self, received: &'a Received<'a>, begun: &Begun) -> Arrival<'a>
    where
        'r: 'a,
    {
        let authority = self.authority.as_ref();
        Arrival {
            received,
            authority: authority.map_or("", |authority| authority.as_written),
            host: authority.map_or("", |authority| &*authority.host),
            handshake: begun.handshake,
            hop: begun.hop,
            rest: self.rest,
        }
    }
}

impl Gate {
    /// Answers a question. Its body, if there should be one, is never waited for.
    pub(super) async fn check<'g, 'r>(
        &'g self,
        lane: &'g Lane,
        asking: Result<Asking<'g, 'r>, Rejection>,
        received: &mut Received<'r>,
        peer: Peer,
        record: &mut Record<'g>,
    ) -> Answer {
        let mut asker = Asker::new(lane, &asking);
        let judged = async {
            let begun = self.begin(lane, asking, received, peer, record, &mut asker)?;
            let arrival = asker.arrival(received, &begun);
            let asked = asker.dialect.asked(&arrival)?;
            let facts = asked.facts(&arrival, record.now(), record.id())?;
            let route = self.examine(lane, &facts, record)?;
            let ruling = self.decide(lane, route, &facts, record).await;
            Ok(self.conclude(lane, &asker, route, &facts, &ruling, record))
        };
        match judged.await {
            Ok(answer) => answer,
            Err(rejection) => self.refuse(lane, record, &asker, received, &rejection),
        }
    }

    /// The same unless something has to be waited for. What a step found is looked at where it is: it is large, and
    /// would be moved several times.
    pub(super) fn check_now<'g, 'r>(
        &'g self,
        lane: &'g Lane,
        asking: Result<Asking<'g, 'r>, Rejection>,
        received: &mut Received<'r>,
        peer: Peer,
        record: &mut Record<'g>,
    ) -> Now {
        let mut asker = Asker::new(lane, &asking);
        let begun = &self.begin(lane, asking, received, peer, record, &mut asker);
        let begun = match begun {
            Ok(begun) => begun,
            Err(rejection) => return self.refuse_now(lane, record, &asker, received, rejection),
        };
        let arrival = asker.arrival(received, begun);
        let asked = asker.dialect.asked(&arrival);
        let asked = match &asked {
            Ok(asked) => asked,
            Err(rejection) => return self.refuse_now(lane, record, &asker, received, rejection),
        };
        let facts = asked.facts(&arrival, record.now(), record.id());
        let facts = match &facts {
            Ok(facts) => facts,
            Err(rejection) => return self.refuse_now(lane, record, &asker, received, rejection),
        };
        let route = match self.examine(lane, facts, record) {
            Ok(route) => route,
            Err(rejection) => return self.refuse_now(lane, record, &asker, received, &rejection),
        };
        let decided = lane.snapshot.authority.decide_now(&lane.core, route, facts);
        let Ok(ruling) = &decided else {
            record.forget();
            return Now::Waits;
        };
        self.ruled(lane, route, facts, ruling, record);
        let mut answer = self.conclude(lane, &asker, route, facts, ruling, record);
        record.finish_at_once(&mut answer);
        Now::Answered(answer, record.at())
    }

    fn refuse_now(
        &self,
        lane: &Lane,
        record: &mut Record<'_>,
        asker: &Asker<'_, '_>,
        received: &Received<'_>,
        rejection: &Rejection,
    ) -> Now {
        let mut answer = self.refuse(lane, record, asker, received, rejection);
        record.finish_at_once(&mut answer);
        Now::Answered(answer, record.at())
    }

    /// Finds out who asks, and on whose behalf.
    ///
    /// # Errors
    /// The one who asks may not, or nobody could tell.
    fn begin<'g, 'r>(
        &'g self,
        lane: &'g Lane,
        asking: Result<Asking<'g, 'r>, Rejection>,
        received: &mut Received<'r>,
        peer: Peer,
        record: &mut Record<'g>,
        asker: &mut Asker<'g, 'r>,
    ) -> Result<Begun, Rejection> {
        let snapshot = &*lane.snapshot;
        let (places, settings) = (&snapshot.endpoints, &snapshot.settings);
        let asking = asking?;
        record.road(asker.dialect.name());
        let trust = snapshot.proxy_trust();
        places.admit(&peer, &mut received.fields, &trust)?;
        asker.may_ask = true;
        if asking.dialect.is_none() {
            let family = Family::detect(&received.fields)?;
            asker.dialect = places.speaking(Some(family));
            record.road(asker.dialect.name());
        }
        let dialect = asker.dialect;
        if let Some(endpoint) = dialect.endpoint() {
            let ignored = endpoint.family.keep_only(&mut received.fields);
            tell_of_ignored(record, dialect, &ignored);
        }
        let handshake = admission::take_handshake(&mut received.fields)?;
        let token_headers = &settings.credentials.token_headers;
        let admitted = admission::admit(received, token_headers, settings.limits.head)?;
        asker.authority = Some(admitted.authority);
        let hop = client_addr::behind_proxy(&peer, &received.fields, &trust)?;
        record.client(hop.client);
        asker.knows_client = true;
        Ok(Begun { handshake, hop })
    }

    /// Finds the route of what is asked about.
    ///
    /// # Errors
    /// Nobody could judge it.
    fn examine<'g>(
        &'g self,
        lane: &'g Lane,
        facts: &Facts<'_>,
        record: &mut Record<'g>,
    ) -> Result<&'g Route, Rejection> {
        let snapshot = &*lane.snapshot;
        record.about(facts);
        // what is ours is never allowed by way of a question.
        if safe_path::covers(&snapshot.site.prefix, facts.path.decoded()) {
            return Err(OURS);
        }
        let route = snapshot
            .routes
            .find(facts.host, facts.path.decoded())
            .or_else(|| snapshot.endpoints.default_route())
            .ok_or(NO_ROUTE)?;
        record.route(route);
        path_on(route, facts)?;
        Ok(route)
    }

    /// The answer to what was decided.
    fn conclude(
        &self,
        lane: &Lane,
        asker: &Asker<'_, '_>,
        route: &Route,
        facts: &Facts<'_>,
        ruling: &Ruling,
        record: &Record<'_>,
    ) -> Answer {
        let snapshot = &*lane.snapshot;
        let dialect = asker.dialect;
        let permit = match &ruling.decision {
            Decision::Allow(permit) => Some(permit),
            Decision::Challenge(_) | Decision::Deny(_) | Decision::Throttle { .. } | Decision::Fail(_) => {
                None
            }
        };
        let mut answer = if permit.is_some() {
            allowed()
        } else {
            let answer = dialect.answer(&snapshot.site, facts, &ruling.decision);
            record.refused(facts, ruling, &answer);
            answer.into()
        };
        if let Some(permit) = permit
            && endpoints::hands_on(dialect, asker.rest)
        {
            let headers = snapshot.handed_on(route, permit, facts);
            dialect.hand_on(answer.headers_mut(), headers);
        }
        if has_dead_cookie(facts, ruling) {
            clear_cookie(facts.scheme == Scheme::Https, answer.headers_mut());
        }
        // A refusal lets nobody in, so it names nobody.
        let who = permit.and_then(Permit::identity);
        let names = asker.names.or_else(|| snapshot.endpoints.headers(route));
        self.upstreams
            .identify(&mut answer.lines, names.unwrap_or(&self.remote), who);
        answer
    }

    /// Writes down what nobody could judge, tells the operator once how to mend it, and answers.
    fn refuse(
        &self,
        lane: &Lane,
        record: &Record<'_>,
        asker: &Asker<'_, '_>,
        received: &Received<'_>,
        rejection: &Rejection,
    ) -> Answer {
        // Where it was told what is asked about, the audit line says so as in proxy mode.
        let begun = Begun {
            handshake: Handshake::None,
            hop: Hop {
                client: Client::Unix,
                scheme: Scheme::Http,
                trusted: true,
            },
        };
        let arrival = asker.arrival(received, &begun);
        let asked = asker.dialect.asked(&arrival);
        let refused = match &asked {
            Ok(asked) if asker.may_ask => Refused {
                method: &asked.method,
                host: &asked.host,
                path: asked.target.path,
                headers: &received.fields,
            },
            _ => Refused::of(received, arrival.host),
        };
        // Before it is known whose request it is, there is only the gateway, which is never banned.
        let spent = if asker.knows_client {
            lane.spend(record)
        } else {
            Ok(())
        };
        let answer = match spent {
            Ok(()) => {
                let answer = asker.dialect.refuse(rejection, record.id(), refused.form(""));
                record.rejected(&refused, rejection, answer.status());
                record.explain_rejection(&refused, rejection, asker.may_ask);
                answer
            }
            Err(throttled) => self.throttle(asker.dialect, record, &refused, &throttled),
        };
        let names = asker.names.unwrap_or(&self.remote);
        let mut answer = Answer::from(answer);
        self.upstreams.identify(&mut answer.lines, names, None);
        answer
    }
}

/// Once per endpoint and header: a gateway that sends more than it needs is not wrong, but whoever
/// believes that the header counts is.
fn tell_of_ignored(record: &Record<'_>, dialect: &dyn Dialect, ignored: &[&str]) {
    for name in ignored {
        if record.is_news(name) {
            warn!(
                road = dialect.name(),
                header = name,
                "ignored a header that says nothing at this endpoint"
            );
        }
    }
}
