//! A request on its way to a backend: its head, and then its body as it comes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Body as _;
use tokio::io::AsyncWrite;

use super::body::{Cut, Upload};
use crate::outbound::Stream;
use crate::wire::{Pieces, Splice, chunked};

/// A request on its way to the backend, piece by piece.
#[derive(Debug)]
pub(super) struct Sending {
    pieces: Pieces,
    upload: Upload,
    framing: Framing,
    /// The last bytes of a known length, until it is certain that they are the last: a whole request must not
    /// come of one whose client breaks its word.
    held: Bytes,
    state: State,
    /// Whether something was written.
    begun: bool,
}

impl Default for Sending {
    /// Nothing.
    fn default() -> Self {
        Self {
            pieces: Pieces::default(),
            upload: Upload::none(),
            framing: Framing::Length(0),
            held: Bytes::new(),
            state: State::Done,
            begun: false,
        }
    }
}

/// How the body of the request is framed.
#[derive(Clone, Copy, Debug)]
enum Framing {
    /// So many bytes are still to come.
    Length(u64),
    Chunked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Sending,
    /// The last byte is on its way.
    Last,
    Done,
    /// It cannot go on; what the backend has to say may still come.
    Failed,
}

/// Why it cannot go on.
pub(super) enum SendError {
    Cut(Cut),
    Io(io::Error),
}

impl Sending {
    /// Begins with a request. `length` is that of the body, if it is known; it must be what `head` says.
    pub(super) fn begin(&mut self, head: Vec<u8>, upload: Upload, length: Option<u64>) {
        self.pieces.begin(head);
        self.upload = upload;
        self.framing = length.map_or(Framing::Chunked, Framing::Length);
        self.state = State::Sending;
        self.begun = false;
    }

    /// Keeps nothing of a request that was sent.
    pub(super) fn rest(&mut self) {
        self.pieces.clear();
        self.upload = Upload::none();
        self.held = Bytes::new();
    }

    /// Whether something was written.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether something is left to write, and can be.
    pub(super) fn goes_on(&self) -> bool {
        matches!(self.state, State::Sending | State::Last)
    }

    /// Whether all of it was written.
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The head, with what stands behind it, of a request that is given up.
    pub(super) fn take_head(&mut self) -> Vec<u8> {
        self.state = State::Failed;
        self.pieces.take_head()
    }

    /// The body, if nothing was sent of the request.
    pub(super) fn unsent(self) -> Option<Upload> {
        // A piece that was taken out of the body cannot be put back.
        (!self.begun && !self.pieces.has_body() && self.held.is_empty()).then_some(self.upload)
    }

    /// Ready when all of it was written, or it cannot be.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, stream: &mut Stream) -> Poll<Result<(), SendError>> {
        loop {
            match self.state {
                State::Done | State::Failed => return Poll::Ready(Ok(())),
                State::Sending if !self.pieces.has_data() => {
                    if let Err(why) = self.next_piece(cx, stream.is_bare()) {
                        self.state = State::Failed;
                        return Poll::Ready(Err(SendError::Cut(why)));
                    }
                }
                State::Sending | State::Last => {}
            }
            if self.pieces.is_empty() {
                // TLS gathers records; without this the last one would wait for the next.
                let flushed = ready!(Pin::new(&mut *stream).poll_flush(cx));
                if let Err(error) = flushed {
                    self.state = State::Failed;
                    return Poll::Ready(Err(SendError::Io(error)));
                }
                if self.state == State::Sending {
                    return Poll::Pending;
                }
                self.state = State::Done;
                return Poll::Ready(Ok(()));
            }
            match ready!(self.pieces.poll_write(cx, stream)) {
                Ok(_) => {
                    self.begun = true;
                    self.upload.went_on();
                }
                Err(error) => {
                    self.state = State::Failed;
                    return Poll::Ready(Err(SendError::Io(error)));
                }
            }
        }
    }

    /// Takes the next piece out of the body, if there is one; in a pipe, if `bare`.
    fn next_piece(&mut self, cx: &mut Context<'_>, bare: bool) -> Result<(), Cut> {
        loop {
            if self.upload.is_end_stream() {
                return self.last_piece();
            }
            if let Framing::Length(left) = &mut self.framing
                && bare
                && let Some(pipe) = self.upload.poll_pipe(cx)
            {
                let Poll::Ready(pipe) = pipe else { return Ok(()) };
                let pipe = pipe?;
                *left = left.checked_sub(pipe.held() as u64).ok_or(Cut::ClientGone)?;
                // The last bytes are not held: what goes by a pipe ends where it said.
                if *left == 0 && !self.upload.is_end_stream() {
                    return Err(Cut::ClientGone);
                }
                self.pieces.set_pipe(pipe);
                return Ok(());
            }
            let frame = match Pin::new(&mut self.upload).poll_frame(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(None) => return self.last_piece(),
                Poll::Ready(Some(frame)) => frame?,
            };
            let data = frame.into_data().unwrap_or_default();
            // An empty chunk would be the last.
            if data.is_empty() {
                continue;
            }
            match &mut self.framing {
                Framing::Length(left) => {
                    *left = left.checked_sub(data.len() as u64).ok_or(Cut::ClientGone)?;
                    if *left == 0 {
                        self.held = data;
                        continue;
                    }
                    self.pieces.set_data(data);
                }
                Framing::Chunked => self.pieces.set_chunk(data),
            }
            return Ok(());
        }
    }

    fn last_piece(&mut self) -> Result<(), Cut> {
        match self.framing {
            Framing::Length(0) => self.pieces.set_data(std::mem::take(&mut self.held)),
            Framing::Length(_) => return Err(Cut::ClientGone),
            Framing::Chunked => self.pieces.set_data(Bytes::from_static(chunked::LAST)),
        }
        self.state = State::Last;
        Ok(())
    }
}
