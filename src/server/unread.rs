//! Whether the body of a request was read to its end before its answer began.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use crate::wire::{Body, BodyError, Piped};

/// True as long as something of a body is still to come.
#[derive(Clone, Debug)]
pub(super) struct Unread(Rc<Cell<bool>>);

impl Unread {
    /// The body of an HTTP/1.1 request, and what tells how far it was read.
    pub(super) fn watch(body: Incoming) -> (Body, Self) {
        let unread = Self(Rc::new(Cell::new(true)));
        let watched = Watched {
            body,
            unread: unread.clone(),
        };
        (Body::stream(watched), unread)
    }

    pub(super) fn is_left(&self) -> bool {
        self.0.get()
    }
}

struct Watched {
    body: Incoming,
    unread: Unread,
}

impl Piped for Watched {}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        // Nobody asks for the end of a body of known length after its last byte.
        if frame.is_none() || self.body.is_end_stream() {
            self.unread.0.set(false);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
