//! A question of a gateway: the same way as a request that is forwarded, up to the answer.

use tracing::warn;

use super::endpoints::{self, OURS};
use super::record::{Record, Refused};
use super::{Door, Gate, Lane, NO_ROUTE, Patience, clear_cookie, has_dead_cookie, path_on};
use crate::config::settings::IdentityHeaders;
use crate::decision::Decision;
use crate::dialect::answers::allowed;
use crate::dialect::{Arrival, Dialect, Family};
use crate::request::admission::{self, Handshake, Rejection};
use crate::request::client_addr::Hop;
use crate::request::host::Authority;
use crate::request::{Client, Peer, Received, Scheme, client_addr, safe_path};
use crate::wire::Answer;

/// What is known of whoever asks, from one step to the next.
struct Asker<'s, 'r> {
    dialect: &'s dyn Dialect,
    /// The identity headers of another server.
    names: Option<&'s IdentityHeaders>,
    /// What follows the endpoint in the target.
    rest: &'r str,
    /// Whether it may ask, so that what it says counts.
    may_ask: bool,
    /// Whether it told whose request it asks about.
    knows_client: bool,
    /// For whom the question itself is, once that was checked.
    authority: Option<Authority<'r>>,
}

impl Gate {
    /// Answers a question. Its body, if there should be one, is never waited for.
    pub(super) async fn check<'g>(
        &'g self,
        lane: &'g Lane,
        door: Door,
        received: &mut Received<'_>,
        peer: Peer,
        record: &mut Record<'g>,
        patience: Patience,
    ) -> Option<Answer> {
        let mut asker = Asker {
            dialect: lane.snapshot.endpoints.speaking(None),
            names: None,
            rest: "",
            may_ask: false,
            knows_client: false,
            authority: None,
        };
        let judged = self.judge(lane, door, received, peer, record, &mut asker, patience);
        match judged.await {
            Ok(answer) => answer,
            Err(rejection) => Some(self.refuse(lane, record, &asker, received, &rejection)),
        }
    }

    /// Finds out who asks about what, decides, and answers.
    ///
    /// # Errors
    /// Nobody could judge it, or the one who asks may not.
    #[allow(
        clippy::too_many_arguments,
        reason = "the steps of one story; each is needed to the end"
    )]
    async fn judge<'g, 'r>(
        &'g self,
        lane: &'g Lane,
        door: Door,
        received: &mut Received<'r>,
        peer: Peer,
        record: &mut Record<'g>,
        asker: &mut Asker<'g, 'r>,
        patience: Patience,
    ) -> Result<Option<Answer>, Rejection> {
        let snapshot = &*lane.snapshot;
        let (places, settings) = (&snapshot.endpoints, &snapshot.settings);
        let asking = places.find(received.target, door)?;
        (asker.names, asker.rest) = (asking.headers, asking.rest);
        if let Some(dialect) = asking.dialect {
            asker.dialect = dialect;
        }
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
        let authority = &*asker.authority.insert(admitted.authority);
        let hop = client_addr::resolve(&peer, &received.fields, &trust)?;
        record.client(hop.client);
        asker.knows_client = true;
        let arrival = Arrival {
            received,
            authority: authority.as_written,
            host: &authority.host,
            handshake,
            hop,
            rest: asker.rest,
        };
        let question = dialect.question(&arrival)?;
        let facts = question.facts(record.now(), record.id());
        record.about(&facts);
        // what is ours is never allowed by way of a question.
        if safe_path::covers(&snapshot.site.prefix, facts.path.decoded()) {
            return Err(OURS);
        }
        let route = snapshot
            .routes
            .find(facts.host, facts.path.decoded())
            .or_else(|| places.default_route())
            .ok_or(NO_ROUTE)?;
        record.route(route);
        path_on(route, &facts)?;

        let Some(ruling) = self.decide(lane, route, &facts, record, patience).await else {
            return Ok(None);
        };
        let (mut answer, who) = match &ruling.decision {
            Decision::Allow(permit) => {
                let mut answer = allowed();
                if endpoints::hands_on(dialect, asker.rest) {
                    let headers = snapshot.handed_on(route, permit, &facts);
                    dialect.hand_on(&mut answer.headers, headers);
                }
                (answer, permit.identity())
            }
            // A refusal lets nobody in, so it names nobody.
            Decision::Challenge(_) | Decision::Deny(_) | Decision::Throttle { .. } | Decision::Fail(_) => {
                let answer = dialect.answer(&snapshot.site, &facts, &ruling.decision);
                record.refused(&facts, &ruling, &answer);
                (answer.into(), None)
            }
        };
        if has_dead_cookie(&facts, &ruling) {
            clear_cookie(facts.scheme == Scheme::Https, &mut answer.headers);
        }
        let names = asker.names.or_else(|| places.headers(route));
        self.upstreams
            .identify(&mut answer.lines, names.unwrap_or(&self.remote), who);
        Ok(Some(answer))
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
        let authority = asker.authority.as_ref();
        let arrival = Arrival {
            received,
            authority: authority.map_or("", |authority| authority.as_written),
            host: authority.map_or("", |authority| &*authority.host),
            handshake: Handshake::None,
            hop: Hop {
                client: Client::Unix,
                scheme: Scheme::Http,
                trusted: true,
            },
            rest: asker.rest,
        };
        let asked = asker.dialect.asked(&arrival);
        let refused = match &asked {
            Ok(asked) if asker.may_ask => Refused {
                method: &asked.method,
                host: &asked.host,
                path: asked.path,
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
