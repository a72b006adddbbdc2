//! One connection to a backend.

use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use super::body::Upload;
use super::failure::Failure;
use super::http1::Turn;
use super::pool::Pool;
use crate::outbound::Stream;
use crate::wire::Transfer;
use crate::wire::spare::{READ, ReadRoom};

/// A connection carries so many requests, for so long, and is then replaced.
pub(super) const MOST_REQUESTS: u32 = 1000;
pub(super) const OLDEST: Duration = Duration::from_secs(300);

/// A connection to send one request on.
#[derive(Debug)]
pub(super) enum Connection {
    Http1(Box<Http1>),
    Http2(Box<Http2>),
}

/// One HTTP/1.1 connection, driven by the request that has it. Dropping it closes the socket,
/// whatever is under way.
#[derive(Debug)]
pub(super) struct Http1 {
    pub(super) stream: Stream,
    /// Read, and not used yet. Between two requests there is nothing in it, and no room for anything.
    pub(super) read: BytesMut,
    /// What was read of a body before that, where it was read.
    pub(super) body: Bytes,
    /// `limits.head`.
    pub(super) head: usize,
    /// The last of its pool's looks at idle connections before it was idle, and the one from which on it carries no
    /// further request.
    pub(super) idle_since: u64,
    pub(super) ends: u64,
    pub(super) used: u32,
    pub(super) opened: Opened,
    pub(super) turn: Turn,
}

/// Counts as open with the pool that it belongs to.
#[derive(Debug)]
pub(super) struct Opened(Weak<Pool>);

impl Http1 {
    /// Boxed, because it goes from hand to hand with each request.
    pub(super) fn new(stream: Stream, head: usize, home: Weak<Pool>) -> Box<Self> {
        Box::new(Self {
            stream,
            read: BytesMut::new(),
            body: Bytes::new(),
            head,
            idle_since: 0,
            ends: 0,
            used: 1,
            opened: Opened::with(home),
            turn: Turn::default(),
        })
    }

    /// Whether the backend neither closed it nor said anything that nobody asked for. Costs no system
    /// call while nothing has happened.
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        let has_nothing =
            |read: io::Result<usize>| read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        self.read.is_empty()
            && match &mut self.stream {
                // Nobody is to be woken, which is most of what a poll costs.
                Stream::Tcp(stream) => has_nothing(stream.try_read(&mut byte)),
                Stream::Unix(stream) => has_nothing(stream.try_read(&mut byte)),
                Stream::Tls(stream) => {
                    let mut cx = Context::from_waker(Waker::noop());
                    let mut byte = ReadBuf::new(&mut byte);
                    Pin::new(stream).poll_read(&mut cx, &mut byte).is_pending()
                }
            }
    }

    /// Reads of a body of which so many bytes are to come; the number of bytes, 0 at the end.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<usize>> {
        // Mostly more than is to come: a read that fills its room is followed by another.
        if most <= READ {
            let Self {
                stream, read, body, ..
            } = self;
            return poll_see(stream, read, body, cx, |came| (0, came.len().min(most)));
        }
        self.read.reserve(most);
        let reading = tokio::io::AsyncReadExt::read_buf(&mut self.stream, &mut self.read);
        std::pin::pin!(reading).poll(cx)
    }
}

/// Reads what there is behind what was kept before, and lets `see` look at all of it. It says how many bytes it is done
/// with, and how many behind them are of a body: if nothing was kept before, those need not be copied. The number of
/// bytes that were read, 0 at the end.
pub(super) fn poll_see(
    stream: &mut Stream,
    kept: &mut BytesMut,
    body: &mut Bytes,
    cx: &mut Context<'_>,
    see: impl FnOnce(&[u8]) -> (usize, usize),
) -> Poll<io::Result<usize>> {
    let mut room = ReadRoom::default();
    let count = ready!(stream.poll_receive(cx, &mut room))?;
    if kept.is_empty() {
        let (done, of_body) = see(&room[..count]);
        let rest = done + of_body;
        if rest < count {
            // As large as it is, and not larger.
            *kept = BytesMut::from(&room[rest..count]);
        }
        if of_body > 0 {
            *body = room.lend(done..rest);
        }
    } else {
        kept.extend_from_slice(&room[..count]);
        let (done, _) = see(kept);
        kept.advance(done);
    }
    Poll::Ready(Ok(count))
}

impl Opened {
    fn with(pool: Weak<Pool>) -> Self {
        let opened = Self(pool);
        if let Some(pool) = opened.pool() {
            pool.opened.set(pool.opened.get() + 1);
        }
        opened
    }

    /// None: it belongs to none, or that is gone.
    pub(super) fn pool(&self) -> Option<Rc<Pool>> {
        self.0.upgrade()
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some(pool) = self.pool() {
            pool.opened.set(pool.opened.get().saturating_sub(1));
        }
    }
}

/// One HTTP/2 connection; clones send on the same. It closes when the last is gone.
#[derive(Clone, Debug)]
pub(super) struct Http2 {
    pub(super) sender: http2::SendRequest<Upload>,
    born: Instant,
    pub(super) used: u32,
}

impl Http2 {
    pub(super) async fn open(stream: Stream, head: usize) -> Result<Self, Failure> {
        let (sender, connection) = http2::Builder::new(Local)
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

/// Runs what belongs to a connection on the thread of the connection.
#[derive(Clone, Debug)]
pub(super) struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(async move {
            task.await;
        });
    }
}
