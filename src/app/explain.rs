//! What would be decided about a request, and why.

use http::header::{AUTHORIZATION, HOST};
use http::{HeaderValue, Method, Request, Uri};

use super::local::patiently;
use super::parts::Parts;
use super::{block_on, wrong_config};
use crate::config::settings::{Access, Route};
use crate::config::{self, Settings, Sources};
use crate::control::protocol::{Question, SecretField, Who};
use crate::control::view::{Explanation, Verdict};
use crate::control::{Exit, Failure};
use crate::decision::{Core, Decision, Ruling};
use crate::gate::snapshot::Snapshot;
use crate::instance::Instance;
use crate::request::admission::{self, Rejection};
use crate::request::safe_path::SafePath;
use crate::request::{Client, Expects, Facts, RequestId, Scheme};
use crate::time::{Clock, Timestamp};

/// Decides about a request without a running server.
///
/// # Errors
/// The settings, the instance, or a question that is none.
pub fn explain(sources: Sources, question: Question) -> Result<Explanation, Failure> {
    let loaded = config::load(&sources).map_err(|errors| wrong_config(&errors))?;
    let settings: Settings = loaded.settings;
    block_on(async move {
        let clock = Clock::system();
        let data = &settings.server.data;
        let instance = patiently(data, || Instance::open_existing(data, &settings.store, &clock))?;
        let parts = Parts::load(instance, &settings, clock.clone()).await?;
        let snapshot = Snapshot::build(settings, &parts.lasting, None)
            .map_err(|error| Failure::new(Exit::Config, error))?;
        examine(&snapshot, &question, clock.now()).await
    })
}

/// Decides about a request by that snapshot. Nothing is counted, spent or banned.
///
/// # Errors
/// A method, address or user that is none.
pub(super) async fn examine(
    snapshot: &Snapshot,
    question: &Question,
    now: Timestamp,
) -> Result<Explanation, Failure> {
    let method: Method = question.method.parse().map_err(|_| {
        Failure::data(format!(
            "{:?} is not a method; write for example GET",
            question.method
        ))
    })?;
    let uri: Uri = question.url.parse().map_err(|_| {
        Failure::data(format!(
            "{:?} is not a URL; write for example http://home.example/api",
            question.url
        ))
    })?;
    let authority = uri
        .authority()
        .map(|authority| authority.as_str())
        .unwrap_or_default()
        .to_owned();
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = uri
        .path_and_query()
        .map_or_else(|| Uri::from_static("/"), |path| Uri::from(path.clone()));
    let (mut parts, ()) = request.into_parts();
    let host = HeaderValue::from_str(&authority).map_err(|_| Failure::data("the URL has no proper host"))?;
    parts.headers.insert(HOST, host);
    if let Who::Token(SecretField(token)) = &question.who {
        let value = [b"Bearer ", token.expose()].concat();
        let mut value = HeaderValue::from_bytes(&value).map_err(|_| Failure::data("that is not a token"))?;
        value.set_sensitive(true);
        parts.headers.insert(AUTHORIZATION, value);
    }
    let admitted = match admission::admit(
        &mut parts,
        &snapshot.settings.credentials.token_headers,
        snapshot.settings.limits.head,
    ) {
        Ok(admitted) => admitted,
        Err(rejection) => return Ok(rejected(rejection)),
    };
    let path = match SafePath::parse(parts.uri.path()) {
        Ok(path) => path,
        Err(error) => return Ok(rejected(error.into())),
    };
    let Some(route) = snapshot.routes.find(admitted.authority.host(), path.decoded()) else {
        return Ok(Explanation {
            reason: "no route covers this host and path (404)".into(),
            ..empty(Verdict::Deny)
        });
    };
    if let Err(error) = path.allowed_on(route.settings.encoded_slash, route.settings.path_params) {
        return Ok(rejected(error.into()));
    }
    let scheme = if uri.scheme_str() == Some("https") {
        Scheme::Https
    } else {
        Scheme::Http
    };
    let client = question.from.map_or(Client::Unix, Client::Address);
    let facts = Facts {
        now,
        id: RequestId::next(),
        client,
        method: &parts.method,
        scheme,
        host: admitted.authority.host(),
        authority: &authority,
        path: &path,
        query: parts.uri.query().unwrap_or(""),
        headers: &parts.headers,
        expects: Expects::Program,
    };
    let assumed = match &question.who {
        Who::User(name) => Some(snapshot.authority.identity_of(name).ok_or_else(|| {
            Failure::missing(format!(
                "there is no user {name:?}, or it is disabled: its credentials get 401"
            ))
        })?),
        Who::Anonymous | Who::Token(_) => None,
    };
    let core = Core::new(&snapshot.authority);
    let ruling = snapshot.authority.examine(&core, route, &facts, assumed).await;
    Ok(told(snapshot, &route.settings, client, &facts, &ruling))
}

fn told(
    snapshot: &Snapshot,
    route: &Route,
    client: Client,
    facts: &Facts<'_>,
    ruling: &Ruling,
) -> Explanation {
    let identity = ruling.identity.as_deref();
    let (decision, reason) = match &ruling.decision {
        Decision::Allow(_) => {
            let who = identity.map_or_else(|| "anyone".to_owned(), |who| who.name().to_owned());
            (Verdict::Allow, format!("{who} may {} here", facts.method))
        }
        Decision::Challenge(challenge) => (Verdict::Challenge, challenge_reason(challenge.why)),
        Decision::Deny(denial) => (
            Verdict::Deny,
            format!(
                "known, and not allowed: the condition {:?} does not hold",
                denial.why
            ),
        ),
        Decision::Throttle { why, retry_after } => (
            Verdict::Throttle,
            format!("{why}: for another {} s", retry_after.as_secs()),
        ),
        Decision::Fail(fault) => (Verdict::Fail, fault.why.clone()),
    };
    let token = identity.and_then(|identity| identity.token.as_deref());
    let network = snapshot
        .authority
        .networks
        .user_for(client)
        .map(|(_, user)| format!("trusted as {user}"));
    Explanation {
        decision,
        reason,
        rule: Some(format!("{} ({})", route.name, access(&route.access))),
        credential: token
            .map(|token| format!("token {} ({})", token.name(), token.id()))
            .or_else(|| {
                (!matches!(ruling.carrier, "none" | "assumed" | "network")).then(|| ruling.carrier.to_owned())
            }),
        network,
        route: Some(route.name.clone()),
        nearly: nearly(snapshot, route, facts),
    }
}

/// The route of the same host that covers most of the path besides the one that matched.
fn nearly(snapshot: &Snapshot, matched: &Route, facts: &Facts<'_>) -> Option<String> {
    snapshot
        .settings
        .routes
        .iter()
        .filter(|route| route.name != matched.name)
        .filter(|route| route.host.as_deref().is_none_or(|host| host == facts.host))
        .filter(|route| crate::request::safe_path::covers(&route.path, facts.path.decoded()))
        .max_by_key(|route| (route.host.is_some(), route.path.len()))
        .map(|route| format!("{} ({})", route.name, access(&route.access)))
}

fn access(access: &Access) -> &'static str {
    match access {
        Access::Public => "public",
        Access::User => "user",
        Access::Admin => "admin",
        Access::Table(_) => "a table of conditions",
    }
}

fn challenge_reason(why: &str) -> String {
    match why {
        "none" => "no credential, and this route asks for one".into(),
        "no-owner-yet" => "there is no user yet: run \"sidegate user add NAME\"".into(),
        _ => format!("the credential is not accepted: {why}"),
    }
}

fn rejected(rejection: Rejection) -> Explanation {
    Explanation {
        reason: format!(
            "{} ({}, {})",
            rejection.message,
            rejection.reason,
            rejection.status.as_u16()
        ),
        ..empty(Verdict::Deny)
    }
}

fn empty(decision: Verdict) -> Explanation {
    Explanation {
        decision,
        reason: String::new(),
        rule: None,
        credential: None,
        network: None,
        route: None,
        nearly: None,
    }
}
