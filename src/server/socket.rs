//! The wrapper around every socket, outside TLS's cipher and inside HTTP: it counts, looks at
//! HTTP/2 frame headers, and notices when an HTTP/1 client goes away.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::counters::Place;
use super::frames::{Flood, Frames};
use super::pulse::{Protocol, Pulse};
use crate::wire::{Pipe, Splice};

/// So many bytes are read ahead while a request is being answered.
pub(super) const AHEAD: usize = 512;

/// A client's byte stream.
#[derive(Debug)]
pub(super) struct Socket<T> {
    io: T,
    pulse: Arc<Pulse>,
    /// HTTP/2 only, with the time it was last looked at. Boxed: tunnels keep a socket without for hours.
    frames: Option<Box<(Frames, Instant)>>,
    /// Bytes to be read first: found by [`Socket::look_ahead`], or by the lane before.
    ahead: Vec<u8>,
    /// hyper read since the last flush.
    was_read: bool,
    _place: Place,
}

impl<T> Socket<T> {
    /// `ahead` is what was read of it before.
    pub(super) fn new(io: T, ahead: Vec<u8>, protocol: Protocol, pulse: Arc<Pulse>, place: Place) -> Self {
        Self {
            io,
            pulse,
            frames: (protocol == Protocol::Http2).then(|| Box::new((Frames::new(), Instant::now()))),
            ahead,
            was_read: false,
            _place: place,
        }
    }
}

impl<T> Socket<T> {
    /// Puts back what was read before everything that is ahead.
    pub(super) fn unread(&mut self, bytes: &[u8]) {
        self.ahead.splice(..0, bytes.iter().copied());
    }
}

impl<T: AsyncRead + Unpin> Socket<T> {
    /// While an HTTP/1 request is being answered hyper does not read (with half-close allowed),
    /// so nobody would notice that the client is gone. This reads a little: an error cancels
    /// the request, an end is noted, bytes are kept for the next read. A body that hyper is
    /// busy reading is left alone.
    fn look_ahead(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let busy_reading = std::mem::take(&mut self.was_read) && self.pulse.bodied();
        if self.frames.is_some()
            || busy_reading
            || !self.pulse.in_flight()
            || !self.ahead.is_empty()
            || self.pulse.ended.load(Relaxed)
        {
            return Ok(());
        }
        let mut space = [0; AHEAD];
        let mut buffer = ReadBuf::new(&mut space);
        match Pin::new(&mut self.io).poll_read(cx, &mut buffer) {
            Poll::Pending => {}
            Poll::Ready(result) => {
                result?;
                if buffer.filled().is_empty() {
                    self.pulse.ended.store(true, Relaxed);
                } else {
                    self.ahead.extend_from_slice(buffer.filled());
                }
            }
        }
        Ok(())
    }

    fn note_read(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.pulse.read.fetch_add(bytes.len() as u64, Relaxed);
        let Some((frames, at)) = self.frames.as_deref_mut() else {
            return Ok(());
        };
        let now = Instant::now();
        // Only whole spans count, else many short ones would be rounded away.
        if let Some(span) = now
            .checked_duration_since(*at)
            .filter(|span| span.as_millis() > 0)
        {
            frames.elapsed(span);
            *at = now;
        }
        let read = frames.read(bytes);
        self.pulse.any_frame.store(frames.any(), Relaxed);
        self.pulse.block_open.store(frames.block_open(), Relaxed);
        read.map_err(|Flood| {
            self.pulse.flooded.store(true, Relaxed);
            io::Error::other("too many control frames")
        })
    }

    fn note_write(&mut self, written: &Poll<io::Result<usize>>) {
        self.pulse.blocked.store(written.is_pending(), Relaxed);
        if let Poll::Ready(Ok(bytes)) = written {
            self.pulse.written.fetch_add(*bytes as u64, Relaxed);
            if let Some((frames, _)) = self.frames.as_deref_mut() {
                frames.wrote(*bytes);
            }
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Socket<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.was_read = true;
        let before = buffer.filled().len();
        if !this.ahead.is_empty() {
            let count = this.ahead.len().min(buffer.remaining());
            buffer.put_slice(&this.ahead[..count]);
            this.ahead.drain(..count);
            if this.ahead.is_empty() {
                // A head was in it perhaps, and an idle connection has no room for one.
                this.ahead = Vec::new();
            }
        } else if this.pulse.ended.load(Relaxed) {
            return Poll::Ready(Ok(()));
        } else {
            std::task::ready!(Pin::new(&mut this.io).poll_read(cx, buffer))?;
            if buffer.filled().len() == before && buffer.remaining() > 0 {
                this.pulse.ended.store(true, Relaxed);
            }
        }
        Poll::Ready(this.note_read(&buffer.filled()[before..]))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.note_write(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.note_write(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.look_ahead(cx)?;
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        // TLS keeps records of its own, so a flush can wait for the client too.
        self.pulse.blocked.store(flushed.is_pending(), Relaxed);
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// For tunnels, which begin when HTTP and its time limits have ended on the socket.
impl<T: Splice> Splice for Socket<T> {
    fn is_bare(&self) -> bool {
        self.io.is_bare()
    }

    fn poll_fill(&self, cx: &mut Context<'_>, most: u64) -> Option<Poll<io::Result<Pipe>>> {
        let reads = !self.ahead.is_empty() || self.pulse.ended.load(Relaxed);
        if reads { None } else { self.io.poll_fill(cx, most) }
    }

    fn poll_drain(&self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<io::Result<usize>> {
        self.io.poll_drain(cx, pipe)
    }
}
