//! A decision in words: why it is so, which rule nearly matched, and what would change it.

use std::time::Duration;

use super::near::{named, nearly, people, words};
use super::unjudged::empty;
use crate::authn::{Identity, Method};
use crate::config::settings::{Access, AccessTable, Route};
use crate::config::units::duration_text;
use crate::control::protocol::{Question, Recorded, SecretField, Who};
use crate::control::view::{AnswerView, Explanation, Verdict};
use crate::crypto::token_hash;
use crate::decision::{Challenge, Decision, Ruling};
use crate::dialect::DIALECTS;
use crate::gate::snapshot::Snapshot;
use crate::model::Role;
use crate::request::{Client, Facts, Scheme};

/// A request that found its route, and who asked about it.
pub(super) struct Asked<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) route: &'a Route,
    pub(super) facts: &'a Facts<'a>,
    pub(super) question: &'a Question,
}

/// Why, and what would change it.
type Because = (String, Vec<String>);

impl Asked<'_> {
    /// What that ruling means.
    pub(super) fn told(&self, ruling: &Ruling) -> Explanation {
        let who = ruling.identity().map(std::sync::Arc::as_ref);
        let (decision, (reason, advice)) = match &ruling.decision {
            Decision::Allow(_) => (Verdict::Allow, self.allowed(who)),
            Decision::Challenge(challenge) => (Verdict::Challenge, self.challenged(challenge.why, who)),
            Decision::Deny(denial) => (Verdict::Deny, self.denied(denial.why, who)),
            Decision::Throttle { why, retry_after } => (Verdict::Throttle, self.throttled(why, *retry_after)),
            Decision::Fail(fault) => (Verdict::Fail, failed(&fault.why)),
        };
        let mut explanation = Explanation {
            decision,
            reason,
            advice,
            identity: who.map(|who| format!("{} ({})", who.name(), who.account.user.role)),
            credential: self.credential(who, ruling.carrier),
            ..self.about()
        };
        self.answer(&ruling.decision, &mut explanation);
        self.note_surroundings(who, ruling.carrier, &mut explanation);
        explanation
    }

    /// What that line of the audit file means: the words that the same request would be explained
    /// with, by the settings and accounts of now.
    pub(super) fn recorded(&self, line: &Recorded) -> Explanation {
        let who = self
            .snapshot
            .authority
            .identity_recorded(line.user.as_str(), &line.credential);
        let who = who.map(|who| Identity {
            method: match line.auth.as_str() {
                "network" => Method::Network,
                "password" => Method::Password,
                "session" => Method::Session,
                _ => Method::ApiToken,
            },
            ..who
        });
        let who = who.as_ref();
        let (decision, (reason, advice)) = match line.decision.as_str() {
            "allow" => (Verdict::Allow, self.allowed(who)),
            "challenge" => (Verdict::Challenge, self.challenged(&line.reason, who)),
            "throttle" => (Verdict::Throttle, self.throttled(&line.reason, self.left())),
            "fail" => (Verdict::Fail, failed(&line.reason)),
            _ => (Verdict::Deny, self.denied(&line.reason, who)),
        };
        let mut explanation = Explanation {
            decision,
            status: line.status,
            reason,
            advice,
            identity: who
                .map(|who| format!("{} ({})", who.name(), who.account.user.role))
                .or_else(|| {
                    (!line.user.is_empty()).then(|| format!("{} (disabled or gone by now)", line.user))
                }),
            credential: self.credential(who, &line.carrier),
            answers: vec![AnswerView {
                road: line.road.clone(),
                status: line.status,
            }],
            ..self.about()
        };
        if line.rule != self.route.name {
            explanation.advice.push(format!(
                "it was the route {} then; the settings have changed since",
                line.rule
            ));
        }
        self.note_surroundings(who, &line.carrier, &mut explanation);
        explanation
    }

    /// How long this client is still banned or too fast.
    fn left(&self) -> Duration {
        let admitted = self
            .snapshot
            .authority
            .guard
            .admit(self.facts.client, self.facts.now);
        admitted.map_or_else(|throttled| throttled.retry_after, |()| Duration::ZERO)
    }

    /// How each road answers that decision.
    fn answer(&self, decision: &Decision, explanation: &mut Explanation) {
        // Without a route there is nothing to forward to, and only gateways have an answer.
        let unrouted = self.snapshot.settings.routes.is_empty();
        explanation.answers = DIALECTS
            .iter()
            .map(|(_, build)| build())
            .map(|dialect| {
                let forwards = dialect.endpoint().is_none();
                let status = match decision {
                    _ if forwards && unrouted => Some(404),
                    Decision::Allow(_) if forwards => None,
                    _ => {
                        let answer = dialect.answer(&self.snapshot.site, self.facts, decision);
                        Some(answer.status().as_u16())
                    }
                };
                AnswerView {
                    road: dialect.name().to_owned(),
                    status,
                }
            })
            .collect();
        explanation.status = explanation.answers.first().and_then(|answer| answer.status);
    }

    /// What any credential of a disabled user gets.
    pub(super) fn disabled(&self, name: &str) -> Explanation {
        let mut explanation = Explanation {
            decision: Verdict::Challenge,
            reason: format!("{name} is disabled, so every credential of {name} is refused"),
            advice: vec![format!("sidegate user enable {name}")],
            ..self.about()
        };
        let refused = Challenge {
            why: "user-disabled",
            presented: true,
        };
        self.answer(&Decision::Challenge(refused), &mut explanation);
        explanation
    }

    /// What is so whatever was decided.
    fn about(&self) -> Explanation {
        let network = self.snapshot.authority.networks.user_for(self.facts.client);
        Explanation {
            rule: Some(named(self.route)),
            route: Some(self.route.name.clone()),
            network: network.map(|(_, user)| format!("trusted as {user}")),
            nearly: nearly(
                &self.snapshot.settings.routes,
                Some(self.route),
                self.facts.host,
                self.facts.path.decoded(),
            ),
            ..empty(Verdict::Deny)
        }
    }

    fn allowed(&self, who: Option<&Identity>) -> Because {
        let method = self.facts.method;
        let reason = match who {
            None => format!("anyone may {method} here"),
            Some(who) if who.method == Method::Network => format!(
                "{} may {method} here, and that is who the client's network stands for",
                who.name()
            ),
            Some(who) => format!("{} may {method} here", who.name()),
        };
        (reason, Vec::new())
    }

    fn challenged(&self, why: &str, who: Option<&Identity>) -> Because {
        let token = self.token_name().unwrap_or("NAME");
        let user = who.map_or("USER", Identity::name);
        let because = |reason: &str, advice: String| (reason.to_owned(), vec![advice]);
        let list = "sidegate token list".to_owned();
        match why {
            "none" if matches!(self.question.who, Who::Token(_)) => because(
                "what was given is no credential of ours, so it counts as none, and this route asks for one",
                format!(
                    "a token starts with \"{}.\"; every other Authorization header is left to the backend",
                    self.snapshot.settings.tokens.prefix
                ),
            ),
            "none" => (
                "no credential was presented, and this route asks for one".to_owned(),
                vec![
                    "send a token: curl -H \"Authorization: Bearer $TOKEN\" URL; make one with: sidegate token \
                     create NAME --user USER"
                        .to_owned(),
                    format!(
                        "or let everyone in, with access = \"public\" on the route {}",
                        self.route.name
                    ),
                ],
            ),
            "no-owner-yet" => (
                "there is no user yet".to_owned(),
                vec![
                    "sidegate user add NAME".to_owned(),
                    "or open the link that this prints: sidegate setup-link".to_owned(),
                ],
            ),
            "token-malformed" => because(
                "that is no token: it has not the form, or its last six characters do not fit the rest",
                "was all of it copied, and nothing else? A token cannot be shown again; make another with: \
                 sidegate token create NAME --user USER"
                    .to_owned(),
            ),
            "token-unknown" => because(
                "the token has the right form, but this instance does not know it: it was made by another one, or \
                 revoked more than a year ago",
                list,
            ),
            "token-revoked" => because("the token was revoked", list),
            "token-expired" => because(
                "the token has expired",
                format!("sidegate token rotate {token} --user USER --overlap 0s"),
            ),
            "user-disabled" => because(
                "the user of this credential is disabled",
                "sidegate user enable USER".to_owned(),
            ),
            "user-gone" => because("the user of this token does not exist any more", list),
            "token-source-network" => {
                let networks = who.and_then(|who| who.token.as_deref()).map(|token| {
                    let networks = token.networks().iter().map(ToString::to_string);
                    networks.collect::<Vec<_>>().join(", ")
                });
                because(
                    &format!(
                        "this token may be used from {} only, and the client is {}",
                        networks.unwrap_or_default(),
                        self.client()
                    ),
                    format!("make one that may be used elsewhere: sidegate token create NAME --user {user}"),
                )
            }
            "second-factor" => because(
                "the user has a second factor, and Basic has no place for it",
                format!("use a token instead: sidegate token create NAME --user {user}"),
            ),
            "factors" | "max-age" => self.wants_more(why, user),
            "cross-site" => because(
                "a page of another site asks, and what a trusted network may do is not for it",
                "send a credential with the request".to_owned(),
            ),
            other => (format!("the credential is not accepted: {other}"), Vec::new()),
        }
    }

    /// What a browser is asked for in place, and no token can give.
    fn wants_more(&self, why: &str, name: &str) -> Because {
        let reason = match why {
            "factors" => format!(
                "the route asks for a login with two factors; {name} showed one, and a token or a password over Basic \
                 is never more"
            ),
            _ => format!("the route asks for a login that is newer; {name} logged in earlier, or not at all"),
        };
        let advice = vec![
            format!("a browser is asked for it in place; what {name} has: sidegate user factors {name}"),
            format!(
                "or take {} out of access of the route {}",
                why.replace('-', "_"),
                self.route.name
            ),
        ];
        (reason, advice)
    }

    fn denied(&self, why: &str, who: Option<&Identity>) -> Because {
        let Some(who) = who else {
            return (format!("the condition {why:?} does not hold"), Vec::new());
        };
        let (name, user, method) = (who.name(), &who.account.user, self.facts.method);
        let table = match &self.route.access {
            Access::Table(table) => table.clone(),
            Access::Public | Access::User | Access::Admin => AccessTable::default(),
        };
        match why {
            "csrf" => (
                format!(
                    "a page of another site asked through a browser in which {name} is logged in, or it did not \
                     say which page; nothing that changes something is done for such a page"
                ),
                vec![format!(
                    "csrf of the route {} says from where a page may",
                    self.route.name
                )],
            ),
            "scope" => (
                format!(
                    "{name} may, but the token's scope \"{}\" does not cover {method} {}",
                    who.scope(),
                    self.facts.path.decoded()
                ),
                vec![format!(
                    "widen [scope.NAME] in the configuration, or make a token without a scope: sidegate token \
                     create NAME --user {name}"
                )],
            ),
            "read-only" if user.role == Role::ReadOnly => (
                format!("{name} has the role read-only, which may GET, HEAD and OPTIONS; this is {method}"),
                vec![format!("sidegate user role {name} user")],
            ),
            "read-only" => (
                format!(
                    "{name} may, but the token's scope \"{}\" makes it read-only: GET, HEAD and OPTIONS; this is \
                     {method}",
                    who.scope()
                ),
                vec![format!(
                    "make a token without that scope: sidegate token create NAME --user {name}"
                )],
            ),
            "rights" => (
                format!(
                    "{name} asked for something that is for administrators, that concerns somebody with more rights, or that needs a login of a few minutes ago \
                     or a token with the scope admin"
                ),
                vec![format!("sidegate token create NAME --user {name} --scope admin")],
            ),
            "role" if user.role.administers() => (
                format!(
                    "{name} may, but the token's scope \"{}\" does not make it an administrator",
                    who.scope()
                ),
                vec![format!("sidegate token create NAME --user {name} --scope admin")],
            ),
            "role" => (
                format!(
                    "the route is for the owner and admins, and {name} has the role {}",
                    user.role
                ),
                vec![format!("sidegate user role {name} admin")],
            ),
            "users-groups" => {
                let mut groups: Vec<&str> = user.groups.iter().map(String::as_str).collect();
                groups.push(user.role.as_str());
                let mut advice = Vec::new();
                if let Some(group) = table.groups.first() {
                    let wider: Vec<&str> = user.groups.iter().chain([group]).map(String::as_str).collect();
                    advice.push(format!("sidegate user groups {name} {}", wider.join(" ")));
                }
                advice.push(format!(
                    "or name {name} in access.users of the route {}",
                    self.route.name
                ));
                (
                    format!(
                        "the route asks for {}; {name} is in the groups {}",
                        people(&table),
                        groups.join(", ")
                    ),
                    advice,
                )
            }
            "factors" | "max-age" => self.wants_more(why, name),
            "methods" => (
                format!("the route allows {}, and this is {method}", words(&table.methods)),
                vec![format!(
                    "add it to access.methods of the route {}",
                    self.route.name
                )],
            ),
            "networks" => (
                format!(
                    "the route is for clients from {}, and the client is {}",
                    words(&table.networks),
                    self.client()
                ),
                vec![format!(
                    "add the client's network to access.networks of the route {}",
                    self.route.name
                )],
            ),
            other => (format!("the condition {other:?} does not hold"), Vec::new()),
        }
    }

    fn throttled(&self, why: &str, left: Duration) -> Because {
        // Milliseconds would only be noise.
        let left = duration_text(Duration::from_secs(left.as_secs()));
        match (why, self.facts.client) {
            ("banned", Client::Address(address)) => (
                format!(
                    "{address} is banned for now (Retry-After: {left}); only credentials that were right lately pass"
                ),
                vec![format!("sidegate ban remove {address}")],
            ),
            ("rate", _) => (
                format!("too many requests of this client were refused lately; it may ask again in {left}"),
                vec!["guard.rate in the configuration says how many are too many".to_owned()],
            ),
            ("guesses", _) => (
                format!("too many wrong passwords for this account were typed there lately; more in {left}"),
                vec!["guard.guesses in the configuration says how many are too many".to_owned()],
            ),
            _ => (format!("{why}: for another {left}"), Vec::new()),
        }
    }

    /// The credential that was tried; never itself.
    fn credential(&self, who: Option<&Identity>, carrier: &str) -> Option<String> {
        let token = who.and_then(|who| who.token.as_deref());
        match (token, carrier) {
            (Some(token), _) => Some(match token.grant() {
                None => format!("token {} ({})", token.name(), token.id()),
                Some(id) => match self.snapshot.authority.accounts.grant(id, self.facts.now) {
                    Some(grant) => format!("the app {} ({id})", grant.record.client),
                    None => format!("an app that was let in ({id})"),
                },
            }),
            (None, "" | "none" | "network" | "preflight") => None,
            (None, "assumed") => Some("a right one, assumed".to_owned()),
            (None, carrier) => Some(match self.token_name() {
                Some(name) => format!("a token with the name {name} ({carrier})"),
                None => carrier.to_owned(),
            }),
        }
    }

    /// The name that stands in the token, whoever made it.
    fn token_name(&self) -> Option<&str> {
        match &self.question.who {
            Who::Token(SecretField(token)) => {
                let prefix = &self.snapshot.settings.tokens.prefix;
                token_hash::parse(token.expose(), prefix).map(|parts| parts.name)
            }
            Who::Recorded(line) if !line.credential_name.is_empty() => Some(&line.credential_name),
            Who::Recorded(_) | Who::User(_) | Who::Anonymous => None,
        }
    }

    fn client(&self) -> String {
        match self.facts.client {
            Client::Address(address) | Client::Proxy(address) => address.to_string(),
            Client::Unix => "one without an address".to_owned(),
        }
    }

    /// What the asker may have overlooked.
    fn note_surroundings(&self, who: Option<&Identity>, carrier: &str, explanation: &mut Explanation) {
        let settings = &self.snapshot.settings;
        let condition = matches!(&self.route.access, Access::Table(table) if !table.networks.is_empty());
        let source = who.and_then(|who| who.token.as_deref());
        let counts = condition
            || source.is_some_and(|token| !token.networks().is_empty())
            || (carrier == "none" && !settings.trusted_networks.is_empty());
        if counts && explanation.decision != Verdict::Allow && self.question.from.is_none() {
            explanation.advice.push(
                "networks count here, and no client address was given: ask again with --from IP".to_owned(),
            );
        }
        if let Client::Address(address) = self.facts.client
            && settings
                .server
                .trusted_proxies
                .iter()
                .any(|proxy| proxy.contains(&address))
        {
            explanation.advice.push(format!(
                "{address} is a trusted proxy: a request through it is judged by the client that it names"
            ));
        }
        if settings.routes.is_empty() {
            explanation.advice.extend([
                "there is no route at all, so nothing is forwarded, and gateways that ask are answered as said above: \
                 to forward, add [[route]] to the configuration"
                    .to_owned(),
                "a server that was started with --upstream knows its route itself; ask while it runs".to_owned(),
            ]);
        }
        let redirects = settings.tls.as_ref().is_some_and(|tls| tls.redirect_http);
        if redirects && self.facts.scheme == Scheme::Http {
            explanation
                .advice
                .push("over plain http a client is sent to https first (tls.redirect_http)".to_owned());
        }
    }
}

fn failed(why: &str) -> Because {
    let advice = "nobody is let in and nobody is counted; look at the server's log".to_owned();
    (why.to_owned(), vec![advice])
}
