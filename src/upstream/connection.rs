//! One connection to a backend, and how much may be read from it.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::body::Upload;
use super::failure::Failure;
use super::pool::Pool;
use crate::outbound::{Protocol, Stream};

/// A connection carries so many requests, for so long, and is then replaced.
const MOST_REQUESTS: u32 = 1000;
const OLDEST: Duration = Duration::from_secs(300);
/// hyper's own read buffer; also what may come in with a response head behind it.
const READ_BUFFER: usize = 64 * 1024;

/// A connection to send one request on.
#[derive(Debug)]
pub(super) enum Connection {
    Http1(Http1),
    Http2(Http2),
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
    pub(super) idle_since: Instant,
    pub(super) used: u32,
    pub(super) home: Weak<Pool>,
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

    /// Whether the response before was read to its end.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// Whether it may carry another request.
    pub(super) fn is_fit(&self) -> bool {
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

/// One HTTP/2 connection; clones send on the same. It closes when the last is gone.
#[derive(Clone, Debug)]
pub(super) struct Http2 {
    sender: http2::SendRequest<Upload>,
    born: Instant,
    pub(super) used: u32,
}

impl Http2 {
    pub(super) async fn open(stream: Stream, head: usize) -> Result<Self, Failure> {
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

    pub(super) fn is_fit(&self) -> bool {
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
