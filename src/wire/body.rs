//! The body of every request and every answer.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::Pipe;

/// Why a body ended before its end. The connection is aborted, so that a short body never
/// looks whole.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A body of which large parts may go by a pipe, where both ends can do that. Most cannot.
pub trait Piped {
    /// The next bytes, in a pipe that is not empty. None: ask for a frame. Both may be asked in turn, and each byte
    /// comes once.
    fn poll_pipe(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Option<Poll<Result<Pipe, BodyError>>> {
        let _ = cx;
        None
    }
}

impl<B: Piped + Unpin> Piped for Box<B> {
    fn poll_pipe(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Option<Poll<Result<Pipe, BodyError>>> {
        Pin::new(&mut **self).poll_pipe(cx)
    }
}

/// A body that stays in its worker.
pub trait Stream: http_body::Body<Data = Bytes, Error = BodyError> + Piped {}

impl<B> Stream for B where B: http_body::Body<Data = Bytes, Error = BodyError> + Piped {}

/// Empty, there as a whole, or a stream. The first three do not allocate.
#[derive(Default)]
pub enum Body {
    /// No bytes.
    #[default]
    Empty,
    /// All of it, at once, and our own; empty after it was sent.
    Full(Bytes),
    /// All of it, at once, from the other side; empty after it was sent.
    Passed(Bytes),
    /// From the other side, piece by piece.
    Stream(Pin<Box<dyn Stream>>),
}

impl Body {
    /// Wraps a stream.
    pub fn stream<B>(body: B) -> Self
    where
        B: Stream + 'static,
    {
        Self::Stream(Box::pin(body))
    }

    /// Whether it was written here, and not by a client or a backend.
    pub fn is_ours(&self) -> bool {
        matches!(self, Body::Empty | Body::Full(_))
    }
}

impl Piped for Body {
    fn poll_pipe(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Option<Poll<Result<Pipe, BodyError>>> {
        match &mut *self {
            Body::Stream(stream) => stream.as_mut().poll_pipe(cx),
            Body::Empty | Body::Full(_) | Body::Passed(_) => None,
        }
    }
}

impl<B, F> Piped for http_body_util::combinators::MapErr<B, F> {}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Body::Empty => "Empty",
            Body::Full(_) => "Full",
            Body::Passed(_) => "Passed",
            Body::Stream(_) => "Stream",
        })
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        Self::Full(bytes.into())
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Body::Empty => Poll::Ready(None),
            Body::Full(bytes) | Body::Passed(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Body::Empty;
                if bytes.is_empty() {
                    Poll::Ready(None)
                } else {
                    Poll::Ready(Some(Ok(Frame::data(bytes))))
                }
            }
            Body::Stream(stream) => stream.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Empty => true,
            Body::Full(bytes) | Body::Passed(bytes) => bytes.is_empty(),
            Body::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Empty => SizeHint::with_exact(0),
            Body::Full(bytes) | Body::Passed(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Body::Stream(stream) => stream.size_hint(),
        }
    }
}
