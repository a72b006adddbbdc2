//! Bodies on their way through, piece by piece: watched, never gathered.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::names::IdentityNames;
use super::response_head::strip_trailers;
use crate::authn::Identity;
use crate::time::Clock;
use crate::wire::{self, BodyError, Pipe, Piped};

/// How soon a revocation is noticed while nothing else happens: "within one second".
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(750);

/// Why a body ends before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    TooLarge,
    ClientSlow,
    ClientGone,
    UpstreamSilent,
    Revoked,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cut::TooLarge => "the request body is larger than limits.body",
            Cut::ClientSlow => "the client stopped sending its body",
            Cut::ClientGone => "the client broke off its body",
            Cut::UpstreamSilent => "the upstream stopped sending its body",
            Cut::Revoked => "the credential ended",
        })
    }
}

impl std::error::Error for Cut {}

/// Measures silence; costs a timer only once there is some.
#[derive(Debug, Default)]
struct Silence {
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Silence {
    fn broken(&mut self) {
        self.since = None;
    }

    /// Call when there is nothing to do but wait. Ready, and then again at every look, when
    /// `every` has passed; with how long the silence has lasted.
    fn poll(&mut self, cx: &mut Context<'_>, every: Duration) -> Poll<Duration> {
        let now = Instant::now();
        let since = *self.since.get_or_insert_with(|| {
            if let Some(timer) = &mut self.timer {
                timer.as_mut().reset(now + every);
            }
            now
        });
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(now + every)));
        ready!(timer.as_mut().poll(cx));
        let now = Instant::now();
        timer.as_mut().reset(now + every);
        Poll::Ready(now - since)
    }
}

/// How far a request body has come. Written by the body, read by whoever waits for the response.
#[derive(Debug)]
pub(super) struct Progress {
    state: AtomicU8,
    /// Milliseconds from `start` to the last piece.
    last: AtomicU64,
    start: Instant,
}

const FLOWING: u8 = 0;
const AWAITS_CLIENT: u8 = 1;
const DONE: u8 = 2;
const CUT: u8 = 3;

impl Progress {
    fn new() -> Self {
        Self {
            state: AtomicU8::new(FLOWING),
            last: AtomicU64::new(0),
            start: Instant::now(),
        }
    }

    fn set(&self, state: u8) {
        self.went_on();
        self.state.store(state, Ordering::Relaxed);
    }

    fn went_on(&self) {
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(millis, Ordering::Relaxed);
    }

    fn cut(&self, why: Cut) {
        self.set(CUT + why as u8);
    }

    /// Whether the client, and not the backend, is the one to wait for.
    pub(super) fn awaits_client(&self) -> bool {
        self.state.load(Ordering::Relaxed) == AWAITS_CLIENT
    }

    /// When the backend last took something.
    pub(super) fn last(&self) -> Instant {
        self.start + Duration::from_millis(self.last.load(Ordering::Relaxed))
    }

    /// Why it was cut, if it was by our side.
    pub(super) fn why_cut(&self) -> Option<Cut> {
        [Cut::TooLarge, Cut::ClientSlow, Cut::ClientGone]
            .into_iter()
            .find(|why| self.state.load(Ordering::Relaxed) == CUT + *why as u8)
    }
}

/// A request body on its way to the backend; `None` is none, as most are, so that it is small on its way.
#[derive(Debug)]
pub(super) struct Upload<B = wire::Body>(Option<Box<Uploading<B>>>);

#[derive(Debug)]
struct Uploading<B> {
    inner: B,
    /// Bytes that may still come; none: as many as like.
    left: Option<u64>,
    idle: Duration,
    silence: Silence,
    progress: Arc<Progress>,
}

impl<B: Body> Upload<B> {
    /// Watches `inner`: at most `limit` bytes, at most `idle` between two pieces.
    pub(super) fn new(inner: B, limit: Option<u64>, idle: Duration) -> Self {
        if inner.is_end_stream() {
            return Self(None);
        }
        Self(Some(Box::new(Uploading {
            inner,
            left: limit,
            idle,
            silence: Silence::default(),
            progress: Arc::new(Progress::new()),
        })))
    }

    /// No body.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// None when there is no body.
    pub(super) fn progress(&self) -> Option<Arc<Progress>> {
        self.0.as_ref().map(|body| Arc::clone(&body.progress))
    }

    /// The backend took a part of a piece.
    pub(super) fn went_on(&self) {
        if let Some(body) = &self.0 {
            body.progress.went_on();
        }
    }

    /// The length, if the client said it; 0 without a body.
    pub(super) fn length(&self) -> Option<u64> {
        self.0
            .as_ref()
            .map_or(Some(0), |body| body.inner.size_hint().exact())
    }
}

impl<B: Body<Data = Bytes> + Unpin> Uploading<B> {
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        loop {
            let frame = match Pin::new(&mut self.inner).poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending => return self.wait(cx).map(|why| Some(Err(why))),
            };
            self.silence.broken();
            let Some(frame) = frame else {
                self.progress.set(DONE);
                return Poll::Ready(None);
            };
            let Ok(frame) = frame else {
                return Poll::Ready(Some(Err(Cut::ClientGone)));
            };
            let Some(data) = frame.data_ref() else {
                // Request trailers end here: few backends expect any, and they could say what a
                // header may not.
                continue;
            };
            let count = data.len();
            return Poll::Ready(Some(self.took(count).map(|()| frame)));
        }
    }

    /// Ready when the client has been silent for too long.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Cut> {
        self.progress.set(AWAITS_CLIENT);
        ready!(self.silence.poll(cx, self.idle));
        Poll::Ready(Cut::ClientSlow)
    }

    /// So many bytes more.
    fn took(&mut self, count: usize) -> Result<(), Cut> {
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(count as u64).ok_or(Cut::TooLarge)?;
        }
        self.progress
            .set(if self.inner.is_end_stream() { DONE } else { FLOWING });
        Ok(())
    }
}

impl<B: Body<Data = Bytes> + Piped + Unpin> Upload<B> {
    /// The next bytes in a pipe; none: ask for a frame.
    pub(super) fn poll_pipe(&mut self, cx: &mut Context<'_>) -> Option<Poll<Result<Pipe, Cut>>> {
        let body = self.0.as_mut()?;
        let pipe = match Pin::new(&mut body.inner).poll_pipe(cx)? {
            Poll::Pending => body.wait(cx).map(Err),
            Poll::Ready(pipe) => {
                body.silence.broken();
                let pipe = pipe.map_err(|_| Cut::ClientGone);
                Poll::Ready(pipe.and_then(|pipe| body.took(pipe.held()).map(|()| pipe)))
            }
        };
        if let Poll::Ready(Err(why)) = &pipe {
            body.progress.cut(*why);
        }
        Some(pipe)
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Upload<B> {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let Some(body) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let polled = ready!(body.poll_data(cx));
        if let Some(Err(why)) = &polled {
            body.progress.cut(*why);
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|body| body.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), |body| body.inner.size_hint())
    }
}

/// A response body on its way to the client.
#[derive(Debug)]
pub(super) struct Download<B> {
    pub(super) inner: B,
    /// The longest silence.
    pub(super) idle: Duration,
    /// Whose it is; ended leases end it. None: nothing to revoke.
    pub(super) watched: Option<(Arc<Identity>, Clock)>,
    /// Where trailers may pass: the names that may not be among them.
    pub(super) trailers: Option<IdentityNames>,
    silence: Silence,
}

impl<B> Download<B> {
    pub(super) fn new(inner: B, idle: Duration) -> Self {
        Self {
            inner,
            idle,
            watched: None,
            trailers: None,
            silence: Silence::default(),
        }
    }

    fn is_revoked(&self) -> bool {
        self.watched
            .as_ref()
            .is_some_and(|(identity, clock)| !identity.lease.is_live(clock.now()))
    }

    /// Ready when the backend has been silent for too long, or the lease has ended.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Cut> {
        let every = match self.watched {
            Some(_) => self.idle.min(LOOK_EVERY),
            None => self.idle,
        };
        loop {
            let silence = ready!(self.silence.poll(cx, every));
            if self.is_revoked() {
                return Poll::Ready(Cut::Revoked);
            }
            if silence >= self.idle {
                return Poll::Ready(Cut::UpstreamSilent);
            }
        }
    }
}

impl<B> Body for Download<B>
where
    B: Body<Data = Bytes, Error: Into<BodyError>> + Unpin,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            let frame = match Pin::new(&mut this.inner).poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending => return this.wait(cx).map(|why| Some(Err(why.into()))),
            };
            this.silence.broken();
            let mut frame = match frame {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                Some(Ok(frame)) => frame,
            };
            if this.is_revoked() {
                return Poll::Ready(Some(Err(Cut::Revoked.into())));
            }
            if let Some(trailers) = frame.trailers_mut() {
                match &this.trailers {
                    Some(identities) => strip_trailers(trailers, identities),
                    None => *trailers = HeaderMap::new(),
                }
                if trailers.is_empty() {
                    continue;
                }
            }
            return Poll::Ready(Some(Ok(frame)));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B: Piped + Unpin> Piped for Download<B> {
    fn poll_pipe(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Option<Poll<Result<Pipe, BodyError>>> {
        let pipe = match Pin::new(&mut self.inner).poll_pipe(cx)? {
            Poll::Pending => self.wait(cx).map(|why| Err(why.into())),
            Poll::Ready(pipe) => {
                self.silence.broken();
                Poll::Ready(pipe.and_then(|pipe| match self.is_revoked() {
                    true => Err(Cut::Revoked.into()),
                    false => Ok(pipe),
                }))
            }
        };
        Some(pipe)
    }
}

impl Piped for hyper::body::Incoming {}
