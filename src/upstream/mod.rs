//! The only way to a backend, and it costs a [`Permit`].

mod backends;
mod beat;
mod body;
mod client_side;
mod connection;
mod exchange;
mod failure;
mod http1;
mod identity;
mod names;
mod pool;
mod probe;
mod request_head;
mod response_framing;
mod response_head;
mod sending;
#[cfg(test)]
mod tests;
mod tunnel;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use http::Method;
use tokio::sync::watch;

pub use backends::{Backends, RouteBackends};
pub use client_side::{ClientSide, Duplex, Unwrap};
pub use failure::Failure;
pub use names::IdentityNames;
pub use request_head::strip_cookies;

use backends::Backend;
use beat::Beat;
use body::Upload;
use identity::{Identities, IdentityValues, Spread};
use pool::{Pool, Terms};
use request_head::Head;

use crate::accounts::Accounts;
use crate::authn::Identity;
use crate::config::settings::{IdentityHeaders, Limits, Route, Timeouts};
use crate::decision::Permit;
use crate::request::{Client, Received, RequestId, Scheme};
use crate::wire::{Answer, Body, Fields, Lines};

/// One worker's connections to all backends. Lives on one thread, inside a `LocalSet`.
#[derive(Debug)]
pub struct Upstreams {
    shared: Arc<Backends>,
    /// Per backend; entries whose backend is no longer configured go when a new one comes.
    pools: RefCell<HashMap<usize, Rc<Pool>, Spread>>,
    identities: RefCell<Identities>,
    beat: Beat,
    signals: Signals,
}

/// What a tunnel has to do with the rest: what ends it from outside, and whom it tells that it is in
/// use.
#[derive(Clone, Debug)]
pub struct Signals {
    /// Note that a login is in use for as long as a tunnel of it is open; none: nobody does.
    pub accounts: Option<Arc<Accounts>>,
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
    /// For `X-Forwarded-For`.
    pub client: Client,
    /// For `X-Forwarded-Proto`.
    pub scheme: Scheme,
    /// The host as the client wrote it, with the port: for `Host` and `X-Forwarded-Host`.
    pub authority: &'a str,
    /// For `X-Request-Id`.
    pub request_id: RequestId,
    /// The target, where it differs from the one received: without a prefix or a query token.
    pub target: Option<String>,
    /// Whether the request asks for a WebSocket, and may have it.
    pub upgrade: bool,
    /// The identity header names of all routes.
    pub identity_names: &'a IdentityNames,
}

/// By what a request goes to a backend, and under which terms.
#[derive(Clone, Copy, Debug)]
pub struct Via<'a> {
    /// The route's backends, from [`Backends::resolve`].
    pub backends: &'a RouteBackends,
    /// The identity header names of all routes.
    pub identity_names: &'a IdentityNames,
    /// `[timeouts]`
    pub timeouts: &'a Timeouts,
    /// `[limits]`
    pub limits: &'a Limits,
    /// Whether the answer is to say which backend gave it.
    pub name_backend: bool,
}

/// A request that was let through, as the backend gets it.
#[derive(Debug)]
pub struct Passed(Head);

impl Passed {
    /// The method.
    pub fn method(&self) -> &Method {
        &self.0.method
    }

    /// The fields that the backend gets.
    pub fn fields(&self) -> Fields<'_> {
        self.0.fields()
    }
}

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

    /// Writes down what a backend gets of a request: nothing of what was received is needed from there on.
    ///
    /// # Errors
    /// It may not go on.
    pub fn pass(
        &self,
        permit: Permit,
        outgoing: &Outgoing<'_>,
        received: &Received<'_>,
    ) -> Result<Passed, Failure> {
        let identity = self.values(&outgoing.route.identity_headers, permit.identity());
        Head::new(received, permit, outgoing, &identity).map(Passed)
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
    pub fn forward(
        &self,
        passed: &mut Passed,
        via: &Via<'_>,
        body: Body,
    ) -> impl Future<Output = Result<Answer, Failure>> {
        let upload = Upload::new(body, via.limits.body, via.timeouts.idle);
        self.exchange(&mut passed.0, via, upload)
    }

    /// The same of a request for a WebSocket, with the client's side of it.
    ///
    /// # Errors
    /// As of [`Upstreams::forward`].
    ///
    /// # Panics
    /// Outside a `LocalSet`.
    pub async fn forward_upgrade(
        &self,
        passed: &mut Passed,
        via: &Via<'_>,
        body: Body,
        on_client: ClientSide,
    ) -> Result<Answer, Failure> {
        self.open_tunnel(&mut passed.0, via, body, on_client).await
    }

    /// Sets every identity header of the preset as for a backend, empty where nothing is known: for
    /// answers that a gateway takes them out of.
    pub fn identify(&self, lines: &mut Lines, preset: &Arc<IdentityHeaders>, who: Option<&Arc<Identity>>) {
        lines.write(|out| self.identities.borrow_mut().write(preset, who, out));
    }

    fn values(&self, preset: &IdentityHeaders, who: Option<&Arc<Identity>>) -> Rc<IdentityValues> {
        self.identities.borrow_mut().of(who, preset.separator)
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

impl Via<'_> {
    fn terms(&self) -> Terms {
        Terms {
            connect: self.timeouts.connect,
            idle: self.timeouts.idle,
            head: self.limits.head,
        }
    }
}
