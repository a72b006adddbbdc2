//! Bytes of a message on their way into a socket.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};

use super::{Pipe, Transfer, chunked, spare};

/// To copy so few bytes behind a head costs less than to write from two places.
const SMALL: usize = 1024;

/// What is to be written next, in this order. Empty ones are not there.
#[derive(Debug, Default)]
pub struct Pieces {
    head: Vec<u8>,
    /// So much of the head was written.
    written: usize,
    /// Bytes of a body stand behind the head.
    has_body: bool,
    data: Option<Data>,
    pipe: Option<Pipe>,
}

/// Bytes of a body as they are, or as a chunk with what stands around them.
#[derive(Debug)]
struct Data {
    size: Bytes,
    bytes: Bytes,
    after: &'static [u8],
}

impl Pieces {
    /// The head of a message.
    pub fn of_head(head: Vec<u8>) -> Self {
        let mut pieces = Self::default();
        pieces.head = head;
        pieces
    }

    /// Begins anew with the head of another message.
    pub fn begin(&mut self, head: Vec<u8>) {
        self.clear();
        self.head = head;
    }

    /// Forgets all of it, and keeps no room.
    pub fn clear(&mut self) {
        spare::keep_buffer(std::mem::take(&mut self.head));
        self.written = 0;
        self.has_body = false;
        self.data = None;
        self.pipe = None;
    }

    /// The head, with what stands behind it; nothing of it is written from then on.
    pub fn take_head(&mut self) -> Vec<u8> {
        self.written = 0;
        std::mem::take(&mut self.head)
    }

    /// Adds bytes of a body as they are, once those before are on their way.
    pub fn set_data(&mut self, data: Bytes) {
        let behind = self.written == 0 && !self.has_body && !self.head.is_empty();
        if behind && (1..=SMALL).contains(&data.len()) {
            self.head.extend_from_slice(&data);
            self.has_body = true;
        } else if !data.is_empty() {
            self.data = Some(Data {
                size: Bytes::new(),
                bytes: data,
                after: &[],
            });
        }
    }

    /// Adds bytes of a body as a chunk.
    pub fn set_chunk(&mut self, data: Bytes) {
        let mut size = Vec::with_capacity(18);
        chunked::write_size(data.len(), &mut size);
        self.data = Some(Data {
            size: size.into(),
            bytes: data,
            after: chunked::AFTER,
        });
    }

    /// Adds bytes of a body that are in a pipe.
    pub fn set_pipe(&mut self, pipe: Pipe) {
        self.pipe = Some(pipe);
    }

    /// Whether bytes of a body are waiting.
    pub fn has_data(&self) -> bool {
        self.data.is_some() || self.pipe.is_some()
    }

    /// Whether bytes of a body are among them, also right behind the head.
    pub fn has_body(&self) -> bool {
        self.has_body || self.has_data()
    }

    /// Whether nothing is left to write.
    pub fn is_empty(&self) -> bool {
        self.written == self.head.len() && !self.has_data()
    }

    /// Writes as much as the socket takes at once; the number of bytes.
    pub fn poll_write<T: Transfer>(&mut self, cx: &mut Context<'_>, io: &mut T) -> Poll<io::Result<usize>> {
        let head = &self.head[self.written..];
        let written = match &self.data {
            None if head.is_empty() && self.pipe.is_some() => return self.poll_drain(cx, io),
            None => io.poll_send(cx, head),
            Some(Data { bytes, after: [], .. }) if head.is_empty() => io.poll_send(cx, bytes),
            Some(Data { bytes, after: [], .. }) => io.poll_send_all(cx, &[head, bytes].map(IoSlice::new)),
            Some(Data { size, bytes, after }) => {
                let places = [head, size, bytes, after].map(IoSlice::new);
                let empty = places.iter().take_while(|place| place.is_empty()).count();
                io.poll_send_all(cx, &places[empty..])
            }
        };
        let Poll::Ready(written) = written else {
            return Poll::Pending;
        };
        let count = written?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        let of_head = count.min(head.len());
        self.written += of_head;
        if self
            .data
            .as_mut()
            .is_some_and(|data| data.advance(count - of_head))
        {
            self.data = None;
        }
        Poll::Ready(Ok(count))
    }

    /// Moves on what is in the pipe, or copies it.
    fn poll_drain<T: Transfer>(&mut self, cx: &mut Context<'_>, io: &mut T) -> Poll<io::Result<usize>> {
        let Some(mut pipe) = self.pipe.take() else {
            return Poll::Pending;
        };
        match io.poll_drain(cx, &mut pipe) {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Unsupported => {
                self.set_data(pipe.copy_out()?);
                self.poll_write(cx, io)
            }
            drained => {
                self.pipe = Some(pipe).filter(|pipe| pipe.held() > 0);
                drained
            }
        }
    }
}

impl Data {
    /// So many bytes were written; whether nothing is left.
    fn advance(&mut self, count: usize) -> bool {
        let mut left = count;
        for piece in [&mut self.size, &mut self.bytes] {
            let part = left.min(piece.len());
            piece.advance(part);
            left -= part;
        }
        self.after = &self.after[left..];
        self.bytes.is_empty() && self.after.is_empty()
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        spare::keep_buffer(std::mem::take(&mut self.head));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_stays_what_it_was_whatever_goes_behind_it() {
        let mut pieces = Pieces::of_head(b"head".to_vec());
        pieces.written = 4;
        pieces.set_chunk(Bytes::from_static(b"one"));
        assert_eq!(pieces.take_head(), b"head");
    }

    #[test]
    fn a_small_body_goes_behind_its_head_once_and_none_is_no_body() {
        let mut pieces = Pieces::of_head(b"head".to_vec());
        pieces.set_data(Bytes::new());
        assert!(!pieces.has_body() && !pieces.has_data());
        pieces.set_data(Bytes::from_static(b"one"));
        assert!(pieces.has_body() && !pieces.has_data());
        assert_eq!(pieces.head, b"headone");
        pieces.set_data(Bytes::from_static(b"two"));
        assert!(pieces.has_body() && pieces.has_data());
        assert_eq!(
            (&pieces.head[..], &pieces.data.as_ref().unwrap().bytes[..]),
            (&b"headone"[..], &b"two"[..])
        );
        let mut large = Pieces::of_head(b"head".to_vec());
        large.set_data(vec![7; SMALL + 1].into());
        assert!(large.has_body() && large.has_data());
    }
}
