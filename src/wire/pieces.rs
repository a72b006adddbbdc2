//! Bytes of a message on their way into a socket.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use super::chunked;

/// What is to be written next, in this order. Empty ones are not there.
#[derive(Debug, Default)]
pub struct Pieces {
    head: Bytes,
    size: Bytes,
    data: Bytes,
    after: Bytes,
}

impl Pieces {
    /// The head of a message.
    pub fn of_head(head: Bytes) -> Self {
        Self {
            head,
            ..Self::default()
        }
    }

    /// Adds bytes of a body as they are, once those before are on their way.
    pub fn set_data(&mut self, data: Bytes) {
        self.data = data;
    }

    /// Adds bytes of a body as a chunk.
    pub fn set_chunk(&mut self, data: Bytes) {
        let mut size = Vec::with_capacity(18);
        chunked::write_size(data.len(), &mut size);
        self.size = size.into();
        self.data = data;
        self.after = Bytes::from_static(chunked::AFTER);
    }

    /// Whether bytes of a body are waiting.
    pub fn has_data(&self) -> bool {
        !self.data.is_empty() || !self.after.is_empty()
    }

    /// Whether nothing is left to write.
    pub fn is_empty(&self) -> bool {
        self.head.is_empty() && !self.has_data()
    }

    /// Writes as much as the socket takes at once; the number of bytes.
    pub fn poll_write<T: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut T,
    ) -> Poll<io::Result<usize>> {
        let slices = [&self.head, &self.size, &self.data, &self.after].map(|piece| IoSlice::new(piece));
        let Poll::Ready(written) = Pin::new(io).poll_write_vectored(cx, &slices) else {
            return Poll::Pending;
        };
        let mut left = written?;
        if left == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        let count = left;
        for piece in [&mut self.head, &mut self.size, &mut self.data, &mut self.after] {
            let part = left.min(piece.len());
            piece.advance(part);
            left -= part;
        }
        Poll::Ready(Ok(count))
    }
}
