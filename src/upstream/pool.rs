//! Open connections of one worker to one backend.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::backends::Backend;
use super::connection::{Connection, Http1, Http2, MOST_REQUESTS, OLDEST};
use super::failure::Failure;
use crate::config::settings::UpstreamScheme;
use crate::outbound::{Offer, Protocol};

/// Idle connections that are kept.
const MOST_IDLE: usize = 256;
/// How often at least, and at most, a look is taken at the idle ones.
const LOOK_EVERY: Duration = Duration::from_secs(30);
const LOOK_AT_MOST_EVERY: Duration = Duration::from_millis(100);

/// The connections of one worker to one backend.
#[derive(Debug)]
pub(super) struct Pool {
    backend: Weak<Backend>,
    #[expect(clippy::vec_box, reason = "they come boxed, and go so")]
    idle: RefCell<Vec<Box<Http1>>>,
    shared: RefCell<Option<Http2>>,
    /// Held by the one who connects, where one connection will serve all.
    connecting: tokio::sync::Mutex<()>,
    speaks: Cell<Speaks>,
    /// HTTP/1.1 connections, idle or not; each counts itself.
    pub(super) opened: Cell<usize>,
    sweeping: Cell<bool>,
    /// Looks at the idle ones so far: how long one is idle, and how old, is counted in them, so that no request has to
    /// ask for the time.
    looks: Cell<u64>,
    /// How much time is between two of them.
    every: Cell<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    Unknown,
    Http1,
    Http2,
}

/// What a connection must respect.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) connect: Duration,
    pub(super) idle: Duration,
    pub(super) head: usize,
}

impl Pool {
    pub(super) fn new(backend: &Arc<Backend>) -> Self {
        Self {
            backend: backend.weak(),
            idle: RefCell::default(),
            shared: RefCell::default(),
            connecting: tokio::sync::Mutex::default(),
            speaks: Cell::new(match backend.connector.address().scheme {
                UpstreamScheme::Http => Speaks::Http1,
                UpstreamScheme::H2c => Speaks::Http2,
                UpstreamScheme::Https => Speaks::Unknown,
            }),
            opened: Cell::new(0),
            sweeping: Cell::new(false),
            looks: Cell::new(0),
            every: Cell::new(LOOK_EVERY),
        }
    }

    /// Whether the backend is still configured.
    pub(super) fn is_wanted(&self) -> bool {
        self.backend.strong_count() > 0
    }

    /// An open connection that can take a request now.
    pub(super) fn take(&self) -> Option<Connection> {
        // The last one used is the least likely to be closed by the other side.
        loop {
            let Some(mut http1) = self.idle.borrow_mut().pop() else {
                break;
            };
            if http1.is_quiet() {
                http1.used += 1;
                return Some(Connection::Http1(http1));
            }
        }
        let mut shared = self.shared.borrow_mut();
        let http2 = shared.as_mut()?;
        if http2.is_fit() {
            http2.used += 1;
            return Some(Connection::Http2(Box::new(http2.clone())));
        }
        *shared = None;
        None
    }

    /// Keeps a connection that is free, if it may carry another request.
    pub(super) fn keep(&self, mut http1: Box<Http1>) {
        http1.idle_since = self.looks.get();
        let mut idle = self.idle.borrow_mut();
        if http1.used < MOST_REQUESTS && http1.idle_since < http1.ends && idle.len() < MOST_IDLE {
            idle.push(http1);
        }
    }

    /// A new connection, unless one that is open serves as well and need not be `fresh`. Says whether
    /// it was used before.
    pub(super) async fn open(
        self: &Rc<Self>,
        backend: &Backend,
        terms: Terms,
        fresh: bool,
    ) -> Result<(Connection, bool), Failure> {
        if fresh || self.speaks.get() == Speaks::Http1 {
            return Ok((self.connect(backend, terms).await?, false));
        }
        // One handshake for all who wait, if it turns out to be HTTP/2.
        let connecting = self.connecting.lock().await;
        if let Some(open) = self.take() {
            return Ok((open, true));
        }
        let opened = self.connect(backend, terms).await?;
        drop(connecting);
        Ok((opened, false))
    }

    /// A new connection.
    async fn connect(self: &Rc<Self>, backend: &Backend, terms: Terms) -> Result<Connection, Failure> {
        let (stream, protocol) = backend
            .connector
            .connect(Offer::Any, terms.connect)
            .await
            .map_err(Failure::Connect)?;
        self.sweep(terms.idle);
        match protocol {
            Protocol::Http1 => {
                self.speaks.set(Speaks::Http1);
                let mut http1 = Http1::new(stream, terms.head, Rc::downgrade(self));
                http1.ends = self.looks.get() + looks_in(OLDEST, self.every.get());
                Ok(Connection::Http1(http1))
            }
            Protocol::Http2 => {
                self.speaks.set(Speaks::Http2);
                let http2 = Http2::open(stream, terms.head).await?;
                *self.shared.borrow_mut() = Some(http2.clone());
                Ok(Connection::Http2(Box::new(http2)))
            }
        }
    }

    /// Closes what was idle for too long or closed from the other side, for as long as there are
    /// connections.
    fn sweep(self: &Rc<Self>, idle: Duration) {
        if self.sweeping.replace(true) {
            return;
        }
        let pool = Rc::downgrade(self);
        let every = (idle / 2).clamp(LOOK_AT_MOST_EVERY, LOOK_EVERY);
        self.every.set(every);
        // It is idle since some time before the first.
        let longest = looks_in(idle, every) + 1;
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(every).await;
                let Some(pool) = pool.upgrade() else { return };
                let wanted = pool.is_wanted();
                let look = pool.looks.get() + 1;
                pool.looks.set(look);
                // Taken out, because a connection that goes counts itself.
                let mut kept = pool.idle.take();
                kept.retain_mut(|http1| wanted && look - http1.idle_since < longest && http1.is_quiet());
                *pool.idle.borrow_mut() = kept;
                let mut shared = pool.shared.borrow_mut();
                if shared.as_ref().is_some_and(|http2| !wanted || !http2.is_fit()) {
                    *shared = None;
                }
                if shared.is_none() && pool.opened.get() == 0 {
                    pool.sweeping.set(false);
                    return;
                }
            }
        });
    }
}

/// After how many looks so much time has passed since one of them.
fn looks_in(span: Duration, every: Duration) -> u64 {
    u64::try_from(span.as_millis().div_ceil(every.as_millis())).unwrap_or(u64::MAX)
}
