//! Open connections of one worker to one backend.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::backends::Backend;
use super::body::Progress;
use super::connection::{Connection, Http1, Http2};
use super::failure::Failure;
use crate::config::settings::UpstreamScheme;
use crate::outbound::{Offer, Protocol};

/// Idle connections that are kept.
const MOST_IDLE: usize = 256;

/// The connections of one worker to one backend.
#[derive(Debug)]
pub(super) struct Pool {
    backend: Weak<Backend>,
    /// Never held across an await. Written by this worker only, but response bodies must be Send.
    idle: Mutex<Vec<Http1>>,
    shared: Mutex<Option<Http2>>,
    /// Held by the one who connects, where one connection will serve all.
    connecting: tokio::sync::Mutex<()>,
    speaks: AtomicU8,
    /// HTTP/1.1 connections, idle or not; each counts itself.
    pub(super) open: AtomicUsize,
    sweeping: AtomicBool,
}

const UNKNOWN: u8 = 0;
const HTTP1: u8 = 1;
const HTTP2: u8 = 2;

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
            idle: Mutex::default(),
            shared: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            speaks: AtomicU8::new(match backend.connector.address().scheme {
                UpstreamScheme::Http => HTTP1,
                UpstreamScheme::H2c => HTTP2,
                UpstreamScheme::Https => UNKNOWN,
            }),
            open: AtomicUsize::new(0),
            sweeping: AtomicBool::new(false),
        }
    }

    /// Whether the backend is still configured.
    pub(super) fn is_wanted(&self) -> bool {
        self.backend.strong_count() > 0
    }

    /// An open connection that can take a request now.
    pub(super) fn take(&self) -> Option<Connection> {
        let mut shared = lock(&self.shared);
        if let Some(http2) = &mut *shared {
            if http2.is_fit() {
                http2.used += 1;
                return Some(Connection::Http2(http2.clone()));
            }
            *shared = None;
        }
        drop(shared);
        let mut idle = lock(&self.idle);
        // The last one used is the least likely to be closed by the other side.
        let mut index = idle.len();
        while index > 0 {
            index -= 1;
            if !idle[index].is_fit() {
                idle.swap_remove(index);
            } else if idle[index].is_ready() {
                let mut http1 = idle.swap_remove(index);
                http1.used += 1;
                return Some(Connection::Http1(http1));
            }
        }
        None
    }

    /// An open connection, or a new one. Says whether it was used before.
    pub(super) async fn get(
        self: &Arc<Self>,
        backend: &Backend,
        terms: Terms,
    ) -> Result<(Connection, bool), Failure> {
        if let Some(open) = self.take() {
            return Ok((open, true));
        }
        if self.speaks.load(Ordering::Relaxed) == HTTP1 {
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
    pub(super) async fn connect(
        self: &Arc<Self>,
        backend: &Backend,
        terms: Terms,
    ) -> Result<Connection, Failure> {
        let (stream, protocol) = backend
            .connector
            .connect(Offer::Any, terms.connect)
            .await
            .map_err(Failure::Connect)?;
        self.sweep(terms.idle);
        match protocol {
            Protocol::Http1 => {
                self.speaks.store(HTTP1, Ordering::Relaxed);
                let http1 = Http1::open(stream, terms.head, Arc::downgrade(self), false).await?;
                Ok(Connection::Http1(http1))
            }
            Protocol::Http2 => {
                self.speaks.store(HTTP2, Ordering::Relaxed);
                let http2 = Http2::open(stream, terms.head).await?;
                *lock(&self.shared) = Some(http2.clone());
                Ok(Connection::Http2(http2))
            }
        }
    }

    /// Closes what was idle for too long, for as long as there are connections.
    fn sweep(self: &Arc<Self>, idle: Duration) {
        if self.sweeping.swap(true, Ordering::Relaxed) {
            return;
        }
        let pool = Arc::downgrade(self);
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep((idle / 2).max(Duration::from_millis(100))).await;
                let Some(pool) = pool.upgrade() else { return };
                let wanted = pool.is_wanted();
                lock(&pool.idle)
                    .retain(|http1| wanted && http1.is_fit() && http1.idle_since.elapsed() < idle);
                let mut shared = lock(&pool.shared);
                if shared.as_ref().is_some_and(|http2| !wanted || !http2.is_fit()) {
                    *shared = None;
                }
                if shared.is_none() && pool.open.load(Ordering::Relaxed) == 0 {
                    pool.sweeping.store(false, Ordering::Relaxed);
                    return;
                }
            }
        });
    }
}

/// A connection that a response body holds until its end.
#[derive(Debug)]
pub(super) struct Loan {
    pub(super) http1: Http1,
    /// The request body's; none: there was none.
    pub(super) progress: Option<Arc<Progress>>,
}

impl Loan {
    /// After the last byte of the response. An upload that is still under way would leave its
    /// rest in front of the next request, so the connection is closed then.
    pub(super) fn give_back(self) {
        let Loan { mut http1, progress } = self;
        if !progress.is_none_or(|progress| progress.is_done()) || !http1.is_fit() {
            return;
        }
        let Some(pool) = http1.home.upgrade() else {
            return;
        };
        http1.idle_since = Instant::now();
        let mut idle = lock(&pool.idle);
        if idle.len() < MOST_IDLE {
            idle.push(http1);
        } else {
            drop(idle);
            drop(http1);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
