//! One request and its response on an HTTP/1.1 connection of ours.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use http_body::{Frame, SizeHint};

use super::body::{Cut, Upload};
use super::connection::{Http1, Opened, poll_see};
use super::failure::Failure;
use super::names::IdentityNames;
use super::response_framing::{Left, framing};
use super::response_head::Relayed;
use super::sending::{SendError, Sending};
use crate::outbound::Stream;
use crate::wire::chunked::{self, Step};
use crate::wire::http1::{self, NoHead};
use crate::wire::{Body, BodyError, Pipe, Piped, Splice};

/// Room for a piece of a body.
const PIECE: usize = 64 * 1024;
/// From so many bytes on a response's body goes by a pipe where it can: measured, docs/performance.md.
const LARGE: u64 = 128 * 1024;
/// Interim responses before a head, in bytes all together; without a bound they could come for ever.
const MOST_INTERIM: usize = 64 * 1024;

/// A body that is shorter than it said.
const ENDED_EARLY: &str = "the upstream closed before the end of its body";

/// Why there is no response.
#[derive(Debug)]
pub(super) enum Broken {
    /// The connection ended before a byte of the response. `unsent`: and before one of the request.
    Closed { why: String, unsent: bool },
    /// What came is no response, or half of one.
    Wrong(String),
    /// The request's body ended before its end.
    Cut(Cut),
    /// Its head may not go on.
    Refused(Failure),
}

/// A connection with one request on it, from its head to the end of the response. None: the response is over, and the
/// connection is on its way back to its pool.
#[derive(Debug)]
pub(super) struct Exchange(Option<Box<Http1>>);

/// What is under way on a connection. It has its place there, so that none has to be found for each request.
#[derive(Debug, Default)]
pub(super) struct Turn {
    sending: Sending,
    /// What is still to come of the response.
    left: Left,
    /// Whether the body is large enough for pipes.
    large: bool,
    /// Whether the backend goes on listening after this response.
    keeps: bool,
    /// Bytes of interim responses so far.
    interim: usize,
}

impl Exchange {
    /// `length` is that of the body, if it is known; it must be what `head` says.
    pub(super) fn new(mut http1: Box<Http1>, head: Vec<u8>, upload: Upload, length: Option<u64>) -> Self {
        let turn = &mut http1.turn;
        turn.sending.begin(head, upload, length);
        (turn.left, turn.large, turn.keeps, turn.interim) = (Left::default(), false, false, 0);
        Self(Some(http1))
    }

    /// Sends the request and looks for the head of the response. `asked` is the method.
    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        asked: &Method,
        identities: &IdentityNames,
    ) -> Poll<Result<Relayed, Broken>> {
        let Some(http1) = self.0.as_deref_mut() else {
            return Poll::Ready(Err(Broken::Wrong("it was answered before".to_owned())));
        };
        let written = match http1.turn.sending.poll(cx, &mut http1.stream) {
            Poll::Ready(Err(SendError::Cut(why))) => return Poll::Ready(Err(Broken::Cut(why))),
            // It may have said why before it closed.
            Poll::Ready(Err(SendError::Io(error))) => Some(error),
            Poll::Ready(Ok(())) | Poll::Pending => None,
        };
        loop {
            let (turn, limit) = (&mut http1.turn, http1.head);
            let mut found = Ok(None);
            let filled = poll_see(&mut http1.stream, &mut http1.read, &mut http1.body, cx, |bytes| {
                let mut done = 0;
                found = turn.find_head(bytes, &mut done, limit, asked, identities);
                let of_body = turn.left.at_most(bytes.len() - done);
                (done, of_body)
            });
            match filled {
                Poll::Pending => match written {
                    Some(error) => return Poll::Ready(Err(http1.closed(&error))),
                    None => return Poll::Pending,
                },
                Poll::Ready(Err(error)) => return Poll::Ready(Err(http1.closed(&error))),
                Poll::Ready(Ok(0)) => {
                    let end = written.unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into());
                    return Poll::Ready(Err(http1.closed(&end)));
                }
                Poll::Ready(Ok(_)) => {}
            }
            if let Some(found) = found.transpose() {
                return Poll::Ready(found);
            }
        }
    }

    /// The head of a request that got no answer.
    pub(super) fn take_head(&mut self) -> Vec<u8> {
        self.0
            .as_mut()
            .map_or_else(Vec::new, |http1| http1.turn.sending.take_head())
    }

    /// What is known of the body's length.
    pub(super) fn length(&self) -> Option<u64> {
        let Some(http1) = &self.0 else {
            return Some(0);
        };
        match http1.turn.left {
            Left::Length(left) => Some(left),
            Left::Chunked(_) | Left::UntilClose => None,
        }
    }

    /// The whole body, if it is here already; then the connection is free again.
    pub(super) fn whole(&mut self) -> Option<Body> {
        let length = usize::try_from(self.length()?).ok()?;
        let http1 = self.0.as_mut()?;
        let body = if http1.body.len() == length {
            std::mem::take(&mut http1.body)
        } else if http1.body.is_empty() && http1.read.len() >= length {
            http1.read.split_to(length).freeze()
        } else {
            return None;
        };
        http1.turn.left = Left::Length(0);
        self.give_back();
        Some(if body.is_empty() {
            Body::Empty
        } else {
            Body::Passed(body)
        })
    }

    /// Back to what was asked before anything was sent; none when something was.
    pub(super) fn unsent(self) -> Option<Upload> {
        self.0?.turn.sending.unsent()
    }

    /// The socket, and what was read of it beyond the head: for a tunnel.
    pub(super) fn into_stream(self) -> Option<(Tunneled, BytesMut)> {
        let Http1 {
            stream, read, opened, ..
        } = *self.0?;
        let tunneled = Tunneled {
            stream,
            _opened: opened,
        };
        Some((tunneled, read))
    }

    /// After the last byte of the response. An upload that is still under way would leave its rest in
    /// front of the next request, and bytes that nobody asked for would answer it, so the connection is
    /// closed then.
    fn give_back(&mut self) {
        let Some(mut http1) = self.0.take() else {
            return;
        };
        let Some(pool) = http1.opened.pool() else { return };
        // A pipe takes what the body has and not a byte more, so what follows it was not seen yet.
        let quiet = !http1.turn.large || http1.is_quiet();
        let done = http1.turn.keeps && http1.turn.sending.is_done();
        if done && quiet && http1.read.is_empty() {
            http1.turn.sending.rest();
            http1.read = BytesMut::new();
            pool.keep(http1);
        }
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            let Some(http1) = self.0.as_deref_mut() else {
                return Poll::Ready(None);
            };
            // Goes on while the response comes; how it ends is asked for afterwards.
            let turn = &mut http1.turn;
            if turn.sending.goes_on() {
                let _ = turn.sending.poll(cx, &mut http1.stream);
            }
            let read = &mut http1.read;
            let data = match &mut turn.left {
                Left::Length(0) => {
                    self.give_back();
                    return Poll::Ready(None);
                }
                left if !http1.body.is_empty() => {
                    if let Left::Length(left) = left {
                        *left = left.saturating_sub(http1.body.len() as u64);
                    }
                    Some(std::mem::take(&mut http1.body))
                }
                Left::Length(left) if !read.is_empty() => {
                    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(read.len());
                    *left -= count as u64;
                    Some(read.split_to(count).freeze())
                }
                Left::UntilClose if !read.is_empty() => Some(read.split().freeze()),
                Left::Length(_) | Left::UntilClose => None,
                Left::Chunked(chunks) => match chunks.next(read) {
                    Ok(Step::Data(data)) => Some(data),
                    Ok(Step::More) => None,
                    Ok(Step::End) => {
                        turn.left = Left::Length(0);
                        continue;
                    }
                    Err(chunked::Malformed) => {
                        self.0 = None;
                        return Poll::Ready(Some(Err("the upstream's chunks are malformed".into())));
                    }
                },
            };
            if let Some(data) = data {
                if matches!(turn.left, Left::Length(0)) {
                    self.give_back();
                }
                return Poll::Ready(Some(Ok(data)));
            }
            let most = match &turn.left {
                Left::Chunked(_) => PIECE,
                left => left.at_most(PIECE),
            };
            let count = match ready!(http1.poll_fill(cx, most)) {
                Ok(count) => count,
                Err(error) => {
                    self.0 = None;
                    return Poll::Ready(Some(Err(error.into())));
                }
            };
            if count == 0 {
                let whole = matches!(http1.turn.left, Left::UntilClose);
                self.0 = None;
                return Poll::Ready((!whole).then(|| Err(ENDED_EARLY.into())));
            }
        }
    }
}

impl http_body::Body for Exchange {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.poll_data(cx).map(|data| Some(data?.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.length().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Piped for Exchange {
    fn poll_pipe(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Option<Poll<Result<Pipe, BodyError>>> {
        let http1 = self.0.as_deref_mut()?;
        let turn = &mut http1.turn;
        // The rest of the request, and what came with the head, go by the other way.
        if !turn.large || turn.sending.goes_on() || !http1.body.is_empty() || !http1.read.is_empty() {
            return None;
        }
        let Left::Length(left) = &mut turn.left else {
            return None;
        };
        let Poll::Ready(filled) = http1.stream.poll_fill(cx, *left)? else {
            return Some(Poll::Pending);
        };
        let pipe = match filled {
            Ok(pipe) if pipe.held() > 0 => pipe,
            ended => {
                self.0 = None;
                let why = ended.map_or_else(BodyError::from, |_| ENDED_EARLY.into());
                return Some(Poll::Ready(Err(why)));
            }
        };
        *left = left.saturating_sub(pipe.held() as u64);
        if *left == 0 {
            self.give_back();
        }
        Some(Poll::Ready(Ok(pipe)))
    }
}

impl Turn {
    /// Looks for the head of the response, behind interim ones. What is done with is counted in `done`; none: it is
    /// not whole.
    fn find_head(
        &mut self,
        bytes: &[u8],
        done: &mut usize,
        limit: usize,
        asked: &Method,
        identities: &IdentityNames,
    ) -> Result<Option<Relayed>, Broken> {
        loop {
            let rest = &bytes[*done..];
            if rest.is_empty() {
                return Ok(None);
            }
            let head = match http1::response(rest) {
                Ok(head) if head.length <= limit => head,
                Err(NoHead::Partial) if rest.len() <= limit => return Ok(None),
                Ok(_) | Err(NoHead::Partial) => return Err(wrong("its head is too large")),
                Err(NoHead::Other) => return Err(wrong("what it sent is no HTTP/1.1 response")),
            };
            *done += head.length;
            // 101 ends HTTP on this connection; the others come before the response itself.
            if head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS {
                self.interim += head.length;
                if self.interim > MOST_INTERIM {
                    return Err(wrong("too many interim responses"));
                }
                continue;
            }
            (self.left, self.keeps) = framing(&head, asked)?;
            self.large = matches!(self.left, Left::Length(LARGE..));
            return Relayed::of(head.status, head.version, &head.fields, asked, identities)
                .map(Some)
                .map_err(Broken::Refused);
        }
    }
}

impl Http1 {
    /// What an end means while a head is awaited.
    fn closed(&self, error: &io::Error) -> Broken {
        let why = match error.kind() {
            io::ErrorKind::UnexpectedEof => "the connection closed before the response".to_owned(),
            _ => error.to_string(),
        };
        if self.read.is_empty() {
            let unsent = !self.turn.sending.has_begun();
            Broken::Closed { why, unsent }
        } else {
            Broken::Wrong(why)
        }
    }
}

/// A connection that carries a tunnel.
pub(super) struct Tunneled {
    stream: Stream,
    _opened: Opened,
}

impl Tunneled {
    pub(super) fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }
}

pub(super) fn wrong(why: &str) -> Broken {
    Broken::Wrong(why.to_owned())
}
