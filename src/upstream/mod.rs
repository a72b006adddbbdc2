//! The only way to a backend, and it costs a [`Permit`].

mod backends;
mod beat;
mod body;
mod connection;
mod exchange;
mod failure;
mod http1;
mod identity;
mod names;
mod pool;
mod probe;
mod request_head;
mod response_head;
#[cfg(test)]
mod tests;
mod tunnel;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, Request, Response};
use tokio::sync::watch;

pub use backends::{Backends, RouteBackends};
pub use failure::Failure;
pub use names::IdentityNames;
pub use request_head::strip_cookies;

use backends::Backend;
use beat::Beat;
use identity::IdentityValues;
use pool::{Pool, Terms};
use request_head::Head;

use crate::authn::Identity;
use crate::config::settings::{IdentityHeaders, Limits, Route, Timeouts};
use crate::decision::Permit;
use crate::request::{Client, RequestId, Scheme};
use crate::wire::Body;

/// One worker's connections to all backends. Lives on one thread, inside a `LocalSet`.
#[derive(Debug)]
pub struct Upstreams {
    shared: Arc<Backends>,
    /// Per backend; entries whose backend is no longer configured go when a new one comes.
    pools: RefCell<HashMap<usize, Rc<Pool>>>,
    identities: RefCell<IdentityValues>,
    beat: Beat,
    signals: Signals,
}

/// What ends a tunnel from outside.
#[derive(Clone, Debug)]
pub struct Signals {
    /// Changes with every revocation; then leases are looked at again.
    pub revocations: watch::Receiver<u64>,
    /// True once the server shuts down.
    pub drain: watch::Receiver<bool>,
}

/// What a request becomes on the other side.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// The route that was decided about.
    pub route: &'a Route,
    /// Its backends, from [`Backends::resolve`].
    pub backends: &'a RouteBackends,
    /// For `X-Forwarded-For`.
    pub client: Client,
    /// For `X-Forwarded-Proto`.
    pub scheme: Scheme,
    /// The host as the client wrote it, with the port: for `Host` and `X-Forwarded-Host`.
    pub authority: &'a str,
    /// For `X-Request-Id`.
    pub request_id: RequestId,
    /// The target, where it differs from the one received: without a prefix or a query token.
    pub target: Option<PathAndQuery>,
    /// The fields that hold credentials of ours in this request. They go unless the route passes
    /// credentials; our cookies go with them and need not be named.
    pub strip: &'a [HeaderName],
    /// Whether the request asks for a WebSocket, and may have it.
    pub upgrade: bool,
    /// The identity header names of all routes.
    pub identity_names: &'a IdentityNames,
    /// `[timeouts]`
    pub timeouts: &'a Timeouts,
    /// `[limits]`
    pub limits: &'a Limits,
    /// Whether the response is to say, by [`ServedBy`] among its extensions, which backend gave it.
    pub name_backend: bool,
}

/// The address of the backend that gave a response: for the access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedBy(pub Box<str>);

impl Upstreams {
    /// Without any connection yet.
    pub fn new(shared: Arc<Backends>, signals: Signals) -> Self {
        Self {
            shared,
            pools: RefCell::default(),
            identities: RefCell::default(),
            beat: Beat::default(),
            signals,
        }
    }

    /// Sends the request to one of the route's backends, and gives back the head of its response
    /// with a body that streams. Dropping the future or the body closes the way to the backend.
    ///
    /// # Errors
    /// When no backend gave an answer that may be passed on. After [`Failure::leaves_body`] the
    /// client's connection is to be closed.
    ///
    /// # Panics
    /// Outside a `LocalSet`.
    pub async fn forward(
        &self,
        permit: Permit,
        outgoing: Outgoing<'_>,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, Failure> {
        let on_client = outgoing.upgrade.then(|| hyper::upgrade::on(&mut request));
        let (parts, body) = request.into_parts();
        let version = parts.version;
        let head = Head::new(parts, &permit, &outgoing, &mut self.identities.borrow_mut())?;
        match on_client {
            Some(on_client) => self.open_tunnel(&permit, &outgoing, head, body, on_client).await,
            None => self.exchange(&permit, &outgoing, head, body, version).await,
        }
    }

    /// Sets every identity header of the preset as for a backend, empty where nothing is known: for
    /// answers that a gateway takes them out of.
    pub fn identify(&self, headers: &mut HeaderMap, preset: &IdentityHeaders, who: Option<&Arc<Identity>>) {
        self.identities.borrow_mut().set(headers, preset, who);
    }

    fn pool(&self, backend: &Arc<Backend>) -> Rc<Pool> {
        let mut pools = self.pools.borrow_mut();
        match pools.get(&backend.id()) {
            // An address may be used again after its backend went.
            Some(pool) if pool.is_wanted() => Rc::clone(pool),
            _ => {
                pools.retain(|_, pool| pool.is_wanted());
                let pool = Rc::new(Pool::new(backend));
                pools.insert(backend.id(), Rc::clone(&pool));
                pool
            }
        }
    }
}

impl Outgoing<'_> {
    fn terms(&self) -> Terms {
        Terms {
            connect: self.timeouts.connect,
            idle: self.timeouts.idle,
            head: self.limits.head,
        }
    }
}
