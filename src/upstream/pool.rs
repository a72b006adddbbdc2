//! Open connections of one worker to one backend.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::backends::Backend;
use super::body::{Progress, Upload};
use super::failure::Failure;
use crate::config::settings::UpstreamScheme;
use crate::outbound::{Offer, Protocol, Stream};

/// A connection carries so many requests, for so long, and is then replaced.
const MOST_REQUESTS: u32 = 1000;
const OLDEST: Duration = Duration::from_secs(300);
/// Idle connections that are kept.
const MOST_IDLE: usize = 256;
/// hyper's own read buffer; also what may come in with a response head behind it.
const READ_BUFFER: usize = 64 * 1024;

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
    open: AtomicUsize,
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

/// A connection to send one request on.
#[derive(Debug)]
pub(super) enum Connection {
    Http1(Http1),
    Http2(Http2),
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
            } else if idle[index].sender.is_ready() {
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

impl Connection {
    pub(super) fn protocol(&self) -> Protocol {
        match self {
            Connection::Http1(_) => Protocol::Http1,
            Connection::Http2(_) => Protocol::Http2,
        }
    }

    /// Sends, and waits for the head. The request comes back when nothing of it was sent.
    pub(super) async fn send(
        &mut self,
        request: Request<Upload>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Upload>>> {
        match self {
            Connection::Http1(http1) => http1.send(request).await,
            Connection::Http2(http2) => http2.sender.try_send_request(request).await,
        }
    }
}

/// One HTTP/1.1 connection. Dropping it closes the socket, whatever is under way.
#[derive(Debug)]
pub(super) struct Http1 {
    sender: http1::SendRequest<Upload>,
    driver: AbortHandle,
    /// Bytes that may be read before the response head is complete.
    allowance: Arc<AtomicUsize>,
    /// `limits.head`.
    head: usize,
    born: Instant,
    idle_since: Instant,
    used: u32,
    home: Weak<Pool>,
}

impl Http1 {
    /// With `upgrades`, a 101 can be taken over.
    pub(super) async fn open(
        stream: Stream,
        head: usize,
        home: Weak<Pool>,
        upgrades: bool,
    ) -> Result<Self, Failure> {
        let allowance = Arc::new(AtomicUsize::new(usize::MAX));
        let io = TokioIo::new(Allowed {
            stream,
            allowance: Arc::clone(&allowance),
        });
        let (sender, connection) = http1::Builder::new()
            .max_header_size(head)
            .max_buf_size(READ_BUFFER.max(head))
            .handshake(io)
            .await
            .map_err(|error| Failure::Broken(error.to_string()))?;
        let driver = if upgrades {
            tokio::task::spawn_local(async move {
                let _ = connection.with_upgrades().await;
            })
        } else {
            // Its errors reach the request that is under way.
            tokio::task::spawn_local(async move {
                let _ = connection.await;
            })
        };
        if let Some(pool) = home.upgrade() {
            pool.open.fetch_add(1, Ordering::Relaxed);
        }
        let now = Instant::now();
        Ok(Self {
            sender,
            driver: driver.abort_handle(),
            allowance,
            head,
            born: now,
            idle_since: now,
            used: 1,
            home,
        })
    }

    pub(super) async fn send(
        &mut self,
        request: Request<Upload>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Upload>>> {
        // Interim responses and the head together; without a bound they could come for ever.
        self.allowance
            .store(self.head + 2 * READ_BUFFER, Ordering::Relaxed);
        let response = self.sender.try_send_request(request).await;
        self.allowance.store(usize::MAX, Ordering::Relaxed);
        response
    }

    fn is_fit(&self) -> bool {
        !self.sender.is_closed() && self.used < MOST_REQUESTS && self.born.elapsed() < OLDEST
    }
}

impl Drop for Http1 {
    fn drop(&mut self) {
        // The backend shall notice at once that nobody listens any more.
        self.driver.abort();
        if let Some(pool) = self.home.upgrade() {
            pool.open.fetch_sub(1, Ordering::Relaxed);
        }
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

/// One HTTP/2 connection; clones send on the same. It closes when the last is gone.
#[derive(Clone, Debug)]
pub(super) struct Http2 {
    sender: http2::SendRequest<Upload>,
    born: Instant,
    used: u32,
}

impl Http2 {
    async fn open(stream: Stream, head: usize) -> Result<Self, Failure> {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_header_list_size(u32::try_from(head).unwrap_or(u32::MAX))
            .initial_stream_window_size(256 * 1024)
            .initial_connection_window_size(1024 * 1024)
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20))
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Failure::Broken(error.to_string()))?;
        tokio::task::spawn_local(async move {
            let _ = connection.await;
        });
        Ok(Self {
            sender,
            born: Instant::now(),
            used: 1,
        })
    }

    fn is_fit(&self) -> bool {
        !self.sender.is_closed() && self.used < MOST_REQUESTS && self.born.elapsed() < OLDEST
    }
}

/// A stream that can be read only so far.
#[derive(Debug)]
pub(super) struct Allowed {
    stream: Stream,
    allowance: Arc<AtomicUsize>,
}

impl AsyncRead for Allowed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = self.allowance.load(Ordering::Relaxed);
        if left == usize::MAX {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        if left == 0 {
            return Poll::Ready(Err(io::Error::other("too many interim responses")));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let read = buffer.filled().len() - before;
        self.allowance.store(left.saturating_sub(read), Ordering::Relaxed);
        polled
    }
}

impl AsyncWrite for Allowed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
