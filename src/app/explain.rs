//! What would be decided about a request, and why.

use http::header::{AUTHORIZATION, HOST};
use http::request::Parts;
use http::{HeaderValue, Method as Verb, Request, Uri};

use super::local::patiently;
use super::reasons::Asked;
use super::unjudged;
use super::{block_on, near, parts, wrong_config};
use crate::authn::Method;
use crate::config::{self, Settings, Sources};
use crate::control::protocol::{Question, SecretField, Who};
use crate::control::view::Explanation;
use crate::control::{Exit, Failure};
use crate::decision::Core;
use crate::gate::NO_ROUTE;
use crate::gate::snapshot::Snapshot;
use crate::instance::Instance;
use crate::request::admission;
use crate::request::safe_path::{self, SafePath};
use crate::request::{Client, Expects, Facts, Received, RequestId, Scheme};
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
        let parts = parts::Parts::load(instance, &settings, clock.clone()).await?;
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
    let Head {
        parts,
        authority,
        scheme,
    } = Head::of(question)?;
    let mut received = Received::of(&parts);
    let settings = &snapshot.settings;
    if let Who::Recorded(line) = &question.who
        && line.decision == "reject"
        && line.reason != NO_ROUTE.reason
    {
        return Ok(unjudged::rejected_then(line));
    }
    let admitted = match admission::admit(
        &mut received,
        &settings.credentials.token_headers,
        settings.limits.head,
    ) {
        Ok(admitted) => admitted,
        Err(rejection) => return Ok(unjudged::rejected(&rejection)),
    };
    let path = match SafePath::parse(received.path()) {
        Ok(path) => path,
        Err(error) => return Ok(unjudged::rejected(&error.into())),
    };
    let host = &*admitted.authority.host;
    let ours = safe_path::covers(&snapshot.site.prefix, path.decoded());
    let route = if crate::api::is_here(&snapshot.api, path.decoded()) {
        &snapshot.api
    } else if ours {
        return Ok(unjudged::own_address(&snapshot.site.prefix));
    } else {
        let found = snapshot.routes.find(host, path.decoded());
        match found.or_else(|| snapshot.endpoints.default_route()) {
            Some(route) => route,
            None => return Ok(near::no_route(&settings.routes, host, path.decoded())),
        }
    };
    if let Err(error) = path.allowed_on(route.settings.encoded_slash, route.settings.path_params) {
        return Ok(unjudged::rejected(&error.into()));
    }
    let facts = Facts {
        now,
        id: RequestId::next(),
        client: question.from.map_or(Client::Unix, Client::Address),
        method: &received.method,
        scheme,
        host,
        authority: &authority,
        path: &path,
        query: received.query(),
        headers: &received.fields,
        expects: Some(match question.browser {
            true => Expects::Page,
            false => Expects::Program,
        }),
    };
    let asked = Asked {
        snapshot,
        route: &route.settings,
        facts: &facts,
        question,
    };
    let assumed = match &question.who {
        Who::User(name) => {
            let account = snapshot.authority.accounts.user(name);
            let account = account.ok_or_else(|| Failure::missing(format!("there is no user {name:?}")))?;
            let method = match question.browser {
                true => Method::Session,
                false => Method::Password,
            };
            match snapshot.authority.identity_of(name, method) {
                None => return Ok(asked.disabled(&account.user.name)),
                identity => identity,
            }
        }
        Who::Recorded(line) => return Ok(asked.recorded(line)),
        Who::Anonymous | Who::Token(_) => None,
    };
    let core = Core::new(&snapshot.authority);
    let ruling = snapshot.authority.examine(&core, route, &facts, assumed).await;
    Ok(asked.told(&ruling))
}

/// The head of the request that the question is about.
struct Head {
    parts: Parts,
    authority: String,
    scheme: Scheme,
}

impl Head {
    fn of(question: &Question) -> Result<Self, Failure> {
        let method: Verb = question.method.parse().map_err(|_| {
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
        let host =
            HeaderValue::from_str(&authority).map_err(|_| Failure::data("the URL has no proper host"))?;
        parts.headers.insert(HOST, host);
        if let Who::Token(SecretField(token)) = &question.who {
            let value = [b"Bearer ", token.expose()].concat();
            let mut value =
                HeaderValue::from_bytes(&value).map_err(|_| Failure::data("that is not a token"))?;
            value.set_sensitive(true);
            parts.headers.insert(AUTHORIZATION, value);
        }
        let scheme = match uri.scheme_str() {
            Some("https") => Scheme::Https,
            _ => Scheme::Http,
        };
        Ok(Self {
            parts,
            authority,
            scheme,
        })
    }
}
