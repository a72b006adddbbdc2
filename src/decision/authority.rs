//! Facts in, decision out.

use std::cell::RefCell;
use std::sync::Arc;

use http::Method;

use super::guard::{Guard, Guessed, Throttled};
use super::refusing::{no_owner_yet, refuse, throttle};
use super::ruling::Granted;
use super::{Challenge, Decision, Denial, Permit, Ruling, guessing};
use crate::accounts::{Accounts, LiveSession};
use crate::authn::identity::{self, Identity};
use crate::authn::{
    Authenticator, CoreCache, FirstUses, Lease, Place, Recognised, Refusal, RouteNames, Unverified,
};
use crate::policy::{self, Route, Scopes, TrustedNetworks, Verdict};
use crate::request::{Facts, origin};

/// Decides requests, by one snapshot of the settings.
pub struct Authority {
    /// Finds out who it is.
    pub authenticator: Authenticator,
    /// Narrows what a token may do.
    pub scopes: Scopes,
    /// Speak for clients that presented nothing.
    pub networks: TrustedNetworks,
    /// Whether a client may ask.
    pub guard: Arc<Guard>,
    /// Users and tokens.
    pub accounts: Arc<Accounts>,
    /// The routes of the snapshot, by which first uses are counted.
    pub routes: RouteNames,
    /// The host of `server.public_url`: pages from there are ours as well.
    pub own_host: Option<String>,
    /// `server.public_url`, all of it: what a cookie may be sent for is compared to the port.
    pub public_url: Option<String>,
    /// `server.domains`: sites of their own, to which pages of `public_url` are foreign.
    pub domains: Vec<String>,
}

/// Who looks at a page.
#[derive(Clone, Debug)]
pub enum Visitor {
    /// By a login, or by a trusted network.
    Person(Arc<Identity>),
    /// Whoever it is did not say.
    Nobody,
    /// It presented something else than a login, which nobody looked at.
    Program,
}

/// Whether a wrong credential has consequences.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Counted,
    Examined,
}

/// What one core remembers between requests; no other core touches it.
pub struct Core {
    cache: CoreCache,
    networks: RefCell<Vec<Option<Arc<Identity>>>>,
}

impl Core {
    /// An empty memory for the snapshot of that authority.
    pub fn new(authority: &Authority) -> Self {
        let networks = RefCell::new(vec![None; authority.networks.len()]);
        Self {
            cache: CoreCache::new(),
            networks,
        }
    }
}

impl Authority {
    /// Decides one request. No socket, no clock, no response. When the credential is known,
    /// nothing in here waits, locks or allocates.
    pub async fn decide(&self, core: &Core, route: &Route, facts: &Facts<'_>) -> Ruling {
        match self.decide_now(core, route, facts) {
            Ok(ruling) => ruling,
            Err(unverified) => self.decide_later(core, route, facts, unverified).await,
        }
    }

    /// The same, unless a credential has to be verified first: then nothing was counted yet.
    ///
    /// # Errors
    /// The credential, for [`Authority::decide_later`].
    pub fn decide_now<'r>(
        &self,
        core: &Core,
        route: &Route,
        facts: &Facts<'r>,
    ) -> Result<Ruling, Unverified<'r>> {
        self.judge_now(core, route, facts, Effect::Counted)
    }

    /// What [`Authority::decide_now`] could not decide.
    pub async fn decide_later(
        &self,
        core: &Core,
        route: &Route,
        facts: &Facts<'_>,
        unverified: Unverified<'_>,
    ) -> Ruling {
        // Boxed: each request has room for the future, and few need it.
        let verified = Box::pin(self.verify(core, route, facts, unverified, Effect::Counted));
        let mut ruling = verified.await;
        self.spend(facts, &mut ruling);
        ruling
    }

    fn judge_now<'r>(
        &self,
        core: &Core,
        route: &Route,
        facts: &Facts<'r>,
        effect: Effect,
    ) -> Result<Ruling, Unverified<'r>> {
        let mut ruling = if is_preflight(route, facts) {
            self.anonymous(facts, Permit::preflight())
        } else {
            let place = route.place(facts.is_upgrade());
            match self.authenticator.recognise(&core.cache, facts, place) {
                Recognised::Known { identity, carrier } => Ruling {
                    carrier,
                    cached: true,
                    ..self.rule(route, facts, Some(identity), true)
                },
                Recognised::Unverified(unverified) => return Err(unverified),
                Recognised::Nothing => self.nothing_presented(core, route, facts),
            }
        };
        if effect == Effect::Counted {
            self.spend(facts, &mut ruling);
        }
        Ok(ruling)
    }

    /// What [`Authority::decide`] would say, without counting, spending or banning. With `assumed`:
    /// as if that identity had shown a right credential.
    pub async fn examine(
        &self,
        core: &Core,
        route: &Route,
        facts: &Facts<'_>,
        assumed: Option<Arc<Identity>>,
    ) -> Ruling {
        if let Some(identity) = assumed {
            return Ruling {
                carrier: "assumed",
                ..self.rule(route, facts, Some(identity), true)
            };
        }
        match self.judge_now(core, route, facts, Effect::Examined) {
            Ok(ruling) => ruling,
            Err(unverified) => {
                let verified = self.verify(core, route, facts, unverified, Effect::Examined);
                Box::pin(verified).await
            }
        }
    }

    /// An identity of that user, as a right credential of that kind would give; none when there is no
    /// such user or it is disabled.
    pub fn identity_of(&self, name: &str, method: identity::Method) -> Option<Arc<Identity>> {
        let account = self
            .accounts
            .user(name)
            .filter(|account| !account.user.disabled)?;
        Some(Arc::new(Identity {
            lease: Lease::of_network(&account),
            account,
            method,
            token: None,
            audited: FirstUses::new(&RouteNames::none()),
        }))
    }

    /// Who looks at a page of ours: by a login, else by a trusted network. Other credentials are no
    /// key to pages, and keep a network from speaking. Nothing is counted.
    ///
    /// # Errors
    /// The client is banned or too fast, and its login was not known.
    pub async fn visitor(&self, core: &Core, facts: &Facts<'_>) -> Result<Visitor, Throttled> {
        let place = Place {
            query_token: false,
            upgrade: false,
        };
        let identity = match self.authenticator.recognise(&core.cache, facts, place) {
            Recognised::Known { identity, .. } if identity.session().is_some() => {
                match self.is_at_home(&identity, facts) {
                    true => Some(identity),
                    false => self.network_identity(core, facts),
                }
            }
            Recognised::Unverified(unverified) if unverified.is_session() => {
                if unverified.before.is_none() {
                    self.guard.admit(facts.client, facts.now)?;
                }
                // A cookie is looked up at once, so there is nothing to abandon.
                let outcome = self.authenticator.verify(&core.cache, facts, unverified, |_| {});
                match outcome.await {
                    Ok(identity) if self.is_at_home(&identity, facts) => Some(identity),
                    Ok(_) | Err(_) => self.network_identity(core, facts),
                }
            }
            Recognised::Known { .. } | Recognised::Unverified(_) => {
                self.guard.admit(facts.client, facts.now)?;
                return Ok(Visitor::Program);
            }
            Recognised::Nothing => {
                self.guard.admit(facts.client, facts.now)?;
                self.network_identity(core, facts)
            }
        };
        Ok(match identity {
            Some(identity) => {
                self.note_used(&identity, facts);
                Visitor::Person(identity)
            }
            None => Visitor::Nobody,
        })
    }

    /// Notes that the credential behind an identity was used: now and then it is written down.
    #[inline]
    pub fn note_used(&self, identity: &Identity, facts: &Facts<'_>) {
        let token = identity.token.as_ref();
        if !token.is_some_and(|token| token.is_noted(facts.now)) {
            self.note_now(identity, facts);
        }
    }

    #[inline(never)]
    fn note_now(&self, identity: &Identity, facts: &Facts<'_>) {
        let address = facts.client.address();
        // From elsewhere it is a wrong token, and no use of it that would hide the real ones for an hour.
        if !identity.may_come_from(address) {
            return;
        }
        if let Some(token) = &identity.token {
            token.note_used(|token| self.accounts.note_used(token, facts.now, address));
        } else if let Some(session) = identity.session() {
            self.accounts.note_session_used(session, facts.now, address);
        }
    }

    /// As [`Authority::identity_of`], with that token of theirs, if there still is one of that id.
    pub fn identity_recorded(&self, name: &str, token: &str) -> Option<Identity> {
        let mut identity = Arc::into_inner(self.identity_of(name, identity::Method::Password)?)?;
        identity.token = self.accounts.live_token(token).map(Into::into);
        Some(identity)
    }

    async fn verify(
        &self,
        core: &Core,
        route: &Route,
        facts: &Facts<'_>,
        mut unverified: Unverified<'_>,
        effect: Effect,
    ) -> Ruling {
        let (carrier, key) = (unverified.carrier, unverified.key);
        // Without accounts nothing can be guessed, and whoever sets them up sits behind the same address
        // as the programs that show what another server gave them.
        let counted =
            effect == Effect::Counted && !self.is_planted(carrier, facts) && !self.accounts.is_empty();
        if unverified.before.is_none()
            && let Err(throttled) = self.guard.admit(facts.client, facts.now)
        {
            return Ruling {
                carrier,
                ..Ruling::without(throttle(throttled))
            };
        }
        let name = match unverified.before {
            None => unverified.named(),
            Some(_) => None,
        };
        let guess = name.map(|name| self.guess(facts, name, Guessed::Password, key));
        if let Some(guess) = &guess {
            if let Err(throttled) = self.guard.admit_guess(guess, facts.now) {
                let _ = self.guard.spend_refused(facts.client);
                return Ruling {
                    carrier,
                    ..Ruling::without(throttle(throttled))
                };
            }
            unverified.lane = guessing::lane(guess);
        }
        let abandoned = {
            let (guard, client, now) = (Arc::clone(&self.guard), facts.client, facts.now);
            let guess = guess.clone();
            move |refusal: &Refusal| {
                if counted && refusal.counts() {
                    guard.failed(client, &key, now);
                    let _ = guard.spend_refused(client);
                } else if let Some(guess) = &guess {
                    guard.no_wrong_guess(guess);
                }
            }
        };
        let outcome = self
            .authenticator
            .verify(&core.cache, facts, unverified, abandoned);
        let outcome = outcome.await;
        if let Some(guess) = &guess
            && !matches!(&outcome, Err(refusal) if refusal.counts())
        {
            self.guard.no_wrong_guess(guess);
        }
        match outcome {
            Ok(identity) => {
                if guess.is_some() {
                    self.has_come_in(facts, identity.name());
                }
                Ruling {
                    carrier,
                    ..self.rule(route, facts, Some(identity), true)
                }
            }
            // "Unknown, expired, ended, damaged or sent twice, it counts as absent": networks and public
            // routes work as if there were none.
            Err(Refusal::Absent(_)) => self.nothing_presented(core, route, facts),
            // Nothing is wrong with what somebody shows who knew another instance: nobody is known here yet.
            Err(Refusal::Malformed(_) | Refusal::Invalid(_) | Refusal::Dead(_))
                if self.accounts.is_empty() =>
            {
                Ruling {
                    carrier,
                    ..Ruling::without(no_owner_yet())
                }
            }
            Err(refusal) => {
                let banned = (counted && refusal.counts())
                    .then(|| self.guard.failed(facts.client, &key, facts.now))
                    .flatten()
                    .map(Box::new);
                Ruling {
                    carrier,
                    banned,
                    ..Ruling::without(refuse(refusal))
                }
            }
        }
    }

    /// A trusted network speaks only for clients that presented nothing of ours: a wrong
    /// credential from the living room is still a wrong credential.
    fn nothing_presented(&self, core: &Core, route: &Route, facts: &Facts<'_>) -> Ruling {
        if let Err(throttled) = self.guard.admit(facts.client, facts.now) {
            return Ruling::without(throttle(throttled));
        }
        let identity = self.network_identity(core, facts);
        // Except what a trusted network may do.
        if identity.is_none() && self.accounts.is_empty() {
            return Ruling::without(no_owner_yet());
        }
        if identity.is_some() && self.is_forged(facts) {
            let mut ruling = self.rule(route, facts, None, false);
            if let Decision::Challenge(challenge) = &mut ruling.decision {
                challenge.why = "cross-site";
            }
            return ruling;
        }
        let carrier = if identity.is_some() { "network" } else { "none" };
        Ruling {
            carrier,
            ..self.rule(route, facts, identity, false)
        }
    }

    /// A page of another site that its visitor's browser opens a WebSocket for, or sends more than a
    /// GET, would act with the rights of the visitor's network, and a WebSocket would even tell it the
    /// answers. A link to us is no harm.
    fn is_forged(&self, facts: &Facts<'_>) -> bool {
        let harmless = matches!(*facts.method, Method::GET | Method::HEAD | Method::OPTIONS);
        (facts.is_upgrade() || !harmless) && self.is_from_elsewhere(facts)
    }

    /// Any page can make its visitor's browser send a wrong token by these two roads. It must not be
    /// able to have the visitor banned; and nobody guesses 256 bits.
    fn is_planted(&self, carrier: &str, facts: &Facts<'_>) -> bool {
        matches!(carrier, "websocket-protocol" | "query-token") && self.is_from_elsewhere(facts)
    }

    pub(super) fn is_from_elsewhere(&self, facts: &Facts<'_>) -> bool {
        let own = self.own_host.as_deref().filter(|_| self.own_url(facts).is_some());
        origin::is_from_elsewhere(facts.headers, facts.host, own)
    }

    fn own_url(&self, facts: &Facts<'_>) -> Option<&str> {
        let is_domain = !self.domains.is_empty()
            && origin::normal(facts.scheme.as_str(), facts.authority)
                .is_some_and(|here| self.domains.contains(&here));
        self.public_url.as_deref().filter(|_| !is_domain)
    }

    /// What the route's rule says of them.
    fn rule(&self, route: &Route, facts: &Facts<'_>, who: Option<Arc<Identity>>, presented: bool) -> Ruling {
        let judged = self.judge(route, facts, who.as_deref(), presented);
        Ruling::of(judged, who)
    }

    fn judge(
        &self,
        route: &Route,
        facts: &Facts<'_>,
        who: Option<&Identity>,
        presented: bool,
    ) -> Result<Granted, Decision> {
        if who.is_some_and(|who| !who.may_come_from(facts.client.address())) {
            let why = "token-source-network";
            return Err(Decision::Challenge(Challenge { why, presented }));
        }
        let astray = who.and_then(|who| self.astray(who, facts));
        let who = who.filter(|_| astray.is_none());
        if who.is_some_and(|who| who.session().is_some())
            && !policy::may_use_cookie(route.settings.csrf, facts, self.own_url(facts))
        {
            return Err(Decision::Deny(Denial {
                why: "csrf",
                user: who.map(|who| who.name().to_owned()),
            }));
        }
        Err(match policy::rule(&self.scopes, route, facts, who) {
            Verdict::Grant if astray.is_some() => return Ok(Granted::ToAnyone),
            Verdict::Grant => return Ok(Granted::ToThem),
            Verdict::Identify => Decision::Challenge(Challenge {
                why: astray.unwrap_or("none"),
                presented: presented && astray.is_none(),
            }),
            // Who logs in can do better; a token or a password over Basic cannot.
            Verdict::StepUp(why) if who.is_some_and(|who| who.method.is_interactive()) => {
                Decision::Challenge(Challenge {
                    why,
                    presented: false,
                })
            }
            Verdict::StepUp(why) | Verdict::Refuse(why) => Decision::Deny(Denial {
                why,
                user: who.map(|who| who.name().to_owned()),
            }),
        })
    }

    /// Why a login counts as none here: one that was chosen in a trusted network is worth nothing
    /// elsewhere, and nothing once the network offers it no more; the cookie of a domain opens nothing but
    /// that domain, whoever got hold of it there.
    #[inline]
    fn astray(&self, who: &Identity, facts: &Facts<'_>) -> Option<&'static str> {
        self.session_astray(who, who.session()?, facts)
    }

    fn session_astray(
        &self,
        who: &Identity,
        session: &LiveSession,
        facts: &Facts<'_>,
    ) -> Option<&'static str> {
        if session.is_chosen() && !self.networks.offers(facts.client, who.name()) {
            return Some("network-left");
        }
        let is_here = || {
            origin::normal(facts.scheme.as_str(), facts.authority)
                .is_some_and(|here| here == session.domain())
        };
        (!session.is_head() && !is_here()).then_some("other-domain")
    }

    fn is_at_home(&self, who: &Identity, facts: &Facts<'_>) -> bool {
        self.astray(who, facts).is_none()
    }

    fn anonymous(&self, facts: &Facts<'_>, permit: Permit) -> Ruling {
        match self.guard.admit(facts.client, facts.now) {
            Ok(()) if self.accounts.is_empty() => Ruling::without(no_owner_yet()),
            Ok(()) => Ruling {
                carrier: "preflight",
                ..Ruling::without(Decision::Allow(permit))
            },
            // Nobody looked at its cookie, so it must not be taken for a dead one.
            Err(throttled) => Ruling {
                carrier: "preflight",
                ..Ruling::without(throttle(throttled))
            },
        }
    }

    /// Who the client's network says it is; the user must exist and be enabled.
    fn network_identity(&self, core: &Core, facts: &Facts<'_>) -> Option<Arc<Identity>> {
        if self.networks.is_empty() {
            return None;
        }
        let (index, name) = self.networks.user_for(facts.client)?;
        let mut remembered = core.networks.borrow_mut();
        let entry = remembered.get_mut(index)?;
        if let Some(identity) = entry
            .as_ref()
            .filter(|identity| identity.lease.is_live(facts.now))
        {
            return Some(Arc::clone(identity));
        }
        let account = self
            .accounts
            .user(name)
            .filter(|account| !account.user.disabled)?;
        let identity = Arc::new(Identity {
            lease: Lease::of_network(&account),
            account,
            method: identity::Method::Network,
            token: None,
            audited: FirstUses::new(&self.routes),
        });
        *entry = Some(Arc::clone(&identity));
        Some(identity)
    }

    /// Allowed requests spend from one rate, all others from another; what cannot be spent turns
    /// into a throttle.
    #[inline]
    fn spend(&self, facts: &Facts<'_>, ruling: &mut Ruling) {
        let free = matches!(ruling.decision, Decision::Allow(_)) && !self.guard.limits_allowed();
        if !free {
            self.spend_from_rates(facts, ruling);
        }
    }

    #[inline(never)]
    fn spend_from_rates(&self, facts: &Facts<'_>, ruling: &mut Ruling) {
        let spent = match &ruling.decision {
            Decision::Allow(permit) => {
                let who = permit.identity().map(Arc::as_ref);
                self.guard.spend_allowed(facts.client, who)
            }
            Decision::Challenge(_) | Decision::Deny(_) => self.guard.spend_refused(facts.client),
            Decision::Throttle { .. } | Decision::Fail(_) => Ok(()),
        };
        if let Err(throttled) = spent {
            ruling.refuse(throttle(throttled));
        }
    }
}

/// "`preflight = "pass"`: OPTIONS with `Origin` and `Access-Control-Request-Method` goes on without
/// cookies, credentials or identity" (product contract, section 8).
fn is_preflight(route: &Route, facts: &Facts<'_>) -> bool {
    route.settings.preflight_pass
        && *facts.method == Method::OPTIONS
        && facts.headers.contains_key(http::header::ORIGIN)
        && facts
            .headers
            .contains_key(http::header::ACCESS_CONTROL_REQUEST_METHOD)
}
