//! A client's socket without the HTTP library: what was read ahead, the body of the request under
//! way, and the signs of life that [`super::pulse`] turns into time limits.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::counters::Place;
use super::pulse::Pulse;
use super::socket::AHEAD;
use crate::wire::{Body, BodyError, Pieces, Pipe, Piped, Transfer};

/// The most that is read at once while a head is expected.
pub(super) const READ: usize = 16 * 1024;
/// The most that is read of a body at once.
const PIECE: usize = 64 * 1024;
/// From so many bytes on a body goes by a pipe where it can: measured, docs/performance.md.
const LARGE: u64 = 64 * 1024;

thread_local! {
    /// One buffer for all connections of a worker: an idle one has none.
    static BUFFER: RefCell<Box<[u8; READ]>> = RefCell::new(Box::new([0; READ]));
}

/// A socket without TLS.
pub(super) trait Client: AsyncRead + AsyncWrite + Transfer + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Transfer + Unpin + 'static> Client for T {}

/// A client's socket. The request under way and its body share it.
pub(super) struct Line<T> {
    io: RefCell<T>,
    /// Read, and not used yet.
    ahead: RefCell<BytesMut>,
    /// Bytes of the request's body that are still to come out of `ahead` and the socket.
    body: Cell<u64>,
    pulse: Arc<Pulse>,
    closing: Cell<bool>,
    place: Place,
}

impl<T: Client> Line<T> {
    pub(super) fn new(io: T, pulse: Arc<Pulse>, place: Place) -> Self {
        Self {
            io: RefCell::new(io),
            ahead: RefCell::default(),
            body: Cell::new(0),
            pulse,
            closing: Cell::new(false),
            place,
        }
    }

    /// The answer under way shall be the last.
    pub(super) fn close_soon(&self) {
        self.closing.set(true);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.get()
    }

    /// The socket and its place, with what was read and not used.
    pub(super) fn into_parts(self) -> (T, BytesMut, Place) {
        (self.io.into_inner(), self.ahead.into_inner(), self.place)
    }

    /// What was read and not used.
    pub(super) fn ahead(&self) -> std::cell::RefMut<'_, BytesMut> {
        self.ahead.borrow_mut()
    }

    pub(super) fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }

    /// Shows `see` what the client sent, at most `most` bytes; none: it will send nothing more.
    pub(super) fn poll_read<R>(
        &self,
        cx: &mut Context<'_>,
        most: usize,
        see: impl FnOnce(&[u8]) -> R,
    ) -> Poll<io::Result<Option<R>>> {
        if self.pulse.ended.load(Relaxed) {
            return Poll::Ready(Ok(None));
        }
        BUFFER.with_borrow_mut(|buffer| {
            let room = &mut buffer[..most.min(READ)];
            let count = ready!(self.io.borrow_mut().poll_receive(cx, room))?;
            let bytes = &buffer[..count];
            self.came(count);
            Poll::Ready(Ok((!bytes.is_empty()).then(|| see(bytes))))
        })
    }

    /// While a request is being answered nobody reads. This reads a little: an error cancels the
    /// request, an end is noted, bytes are kept.
    pub(super) fn look_ahead(&self, cx: &mut Context<'_>) -> io::Result<()> {
        if !self.ahead.borrow().is_empty() || self.pulse.ended.load(Relaxed) {
            return Ok(());
        }
        let keep = |bytes: &[u8]| self.ahead.borrow_mut().extend_from_slice(bytes);
        match self.poll_read(cx, AHEAD, keep) {
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(_)) | Poll::Pending => Ok(()),
        }
    }

    /// Writes as much as the client takes.
    pub(super) fn poll_write(&self, cx: &mut Context<'_>, pieces: &mut Pieces) -> Poll<io::Result<()>> {
        let written = pieces.poll_write(cx, &mut *self.io.borrow_mut());
        self.pulse.blocked.store(written.is_pending(), Relaxed);
        self.pulse.went(ready!(written)?);
        Poll::Ready(Ok(()))
    }

    /// The body of the request whose head was just taken out of `ahead`.
    pub(super) fn body(self: &Rc<Self>, length: u64) -> Body {
        self.body.set(length);
        if length == 0 {
            return Body::Empty;
        }
        let whole = usize::try_from(length).is_ok_and(|length| length <= self.ahead.borrow().len());
        match self.take_ahead() {
            Some(bytes) if whole => Body::Passed(bytes),
            first => Body::stream(Upload {
                line: Rc::clone(self),
                first,
                large: self.body.get() >= LARGE,
            }),
        }
    }

    /// Whether all of the body was taken, or what is left of it can be forgotten without waiting: what
    /// comes next is another request.
    pub(super) fn is_past_body(&self) -> bool {
        if self.body.get() > 0 {
            self.take_ahead();
        }
        self.body.get() == 0
    }

    /// Whether a part of the body is neither taken nor here.
    pub(super) fn awaits_body(&self) -> bool {
        self.body.get() > self.ahead.borrow().len() as u64
    }

    /// What is here of the body.
    fn take_ahead(&self) -> Option<Bytes> {
        let mut ahead = self.ahead.borrow_mut();
        let count = usize::try_from(self.body.get())
            .unwrap_or(usize::MAX)
            .min(ahead.len());
        if count == 0 {
            return None;
        }
        self.body.set(self.body.get() - count as u64);
        Some(ahead.split_to(count).freeze())
    }

    fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            if self.body.get() == 0 {
                return Poll::Ready(None);
            }
            if let Some(bytes) = self.take_ahead() {
                return Poll::Ready(Some(Ok(bytes)));
            }
            if self.pulse.ended.load(Relaxed) {
                return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
            }
            let room = usize::try_from(self.body.get()).unwrap_or(PIECE).min(PIECE);
            let (mut io, mut ahead) = (self.io.borrow_mut(), self.ahead.borrow_mut());
            ahead.reserve(room);
            match ready!(pin!(io.read_buf(&mut *ahead)).poll(cx)) {
                Ok(count) => self.came(count),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }

    /// The same by a pipe, if that goes.
    fn poll_body_pipe(&self, cx: &mut Context<'_>) -> Option<Poll<io::Result<Pipe>>> {
        if self.body.get() == 0 || !self.ahead.borrow().is_empty() || self.pulse.ended.load(Relaxed) {
            return None;
        }
        let filled = self.io.borrow().poll_fill(cx, self.body.get())?;
        if let Poll::Ready(Ok(pipe)) = &filled {
            self.came(pipe.held());
            if pipe.held() == 0 {
                return Some(Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())));
            }
            self.body.set(self.body.get().saturating_sub(pipe.held() as u64));
        }
        Some(filled)
    }

    fn came(&self, count: usize) {
        if count == 0 {
            self.pulse.ended.store(true, Relaxed);
        }
        self.pulse.came(count);
    }
}

/// A body that is not whole yet.
struct Upload<T> {
    line: Rc<Line<T>>,
    /// What came with the head.
    first: Option<Bytes>,
    large: bool,
}

impl<T: Client> Upload<T> {
    fn left(&self) -> u64 {
        self.line.body.get() + self.first.as_ref().map_or(0, |first| first.len() as u64)
    }
}

impl<T: Client> http_body::Body for Upload<T> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        let bytes = ready!(self.line.poll_body(cx));
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes?))))
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}

impl<T: Client> Piped for Upload<T> {
    fn poll_pipe(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Option<Poll<Result<Pipe, BodyError>>> {
        if !self.large || self.first.is_some() {
            return None;
        }
        Some(self.line.poll_body_pipe(cx)?.map_err(BodyError::from))
    }
}
