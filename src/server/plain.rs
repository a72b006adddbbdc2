//! The plain lane: HTTP/1.1 in plain text without the HTTP library, as long as a client asks plainly.
//!
//! This is the same server as in [`super::connection`], for the requests that are nearly all of them: a
//! head that can be read in one way only, and a body of a known length or none. It shares the service,
//! the time limits and the places with the other lane, and has no rule of its own. The first request
//! that is anything else goes to the HTTP library, with the socket and every byte that was read.
//! `tests/bad_inputs/lanes.rs` holds the two against each other.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{Method, Request, Response};
use http_body::Body as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::Serve;
use super::connection::{Connection, Visit, linger};
use super::counters::{Place, count};
use super::head::{self, Asked, Content, Found, Framing};
use super::line::{Line, READ};
use super::pulse::{Flight, Protocol, Pulse};
use crate::wire::{Body, Pieces, chunked, spare};

impl<S: Serve> Visit<S> {
    /// Serves a socket without TLS.
    pub(super) async fn plain<T>(self, io: T, place: Place)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let visit = Rc::new(self);
        let pulse = Arc::new(Pulse::default());
        let accepted = Instant::now();
        let mut lane = Lane {
            visit: Rc::clone(&visit),
            line: Rc::new(Line::new(io, Arc::clone(&pulse), place)),
            request: None,
            unseen: false,
            since: accepted,
            end: End::Closed,
        };
        let ended = visit
            .drive(Pin::new(&mut lane), Protocol::Http1, &pulse, accepted)
            .await;
        let Lane { line, end, since, .. } = lane;
        let Some((io, ahead, place)) = Rc::into_inner(line).map(Line::into_parts).filter(|_| ended) else {
            return;
        };
        match end {
            End::HandOver => {
                count(&visit.counters.handed_over);
                Box::pin(visit.http1(io, ahead.into(), since, place)).await;
            }
            End::Unread => linger(io).await,
            End::Closed => {}
        }
    }
}

/// One connection in this lane.
struct Lane<T, S> {
    visit: Rc<Visit<S>>,
    line: Rc<Line<T>>,
    /// The request under way. An idle connection has no room for one.
    request: Option<Pin<Box<dyn Future<Output = After>>>>,
    /// Bytes were read ahead that nobody has looked for a head in.
    unseen: bool,
    /// Since when the head under way is awaited.
    since: Instant,
    end: End,
}

/// How this lane ended.
#[derive(Clone, Copy, Debug)]
enum End {
    Closed,
    /// Closed by us, while the client may have more to say.
    Unread,
    /// The HTTP library goes on from here.
    HandOver,
}

/// What follows an answer.
#[derive(Clone, Copy, Debug)]
enum After {
    Next,
    End(End),
}

impl<T, S> Connection for Lane<T, S>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    S: Serve,
{
    fn graceful_shutdown(self: Pin<&mut Self>) {
        self.line.close_soon();
    }
}

impl<T, S> Future for Lane<T, S>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    S: Serve,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let lane = &mut *self;
        loop {
            if let Some(request) = &mut lane.request {
                let after = ready!(request.as_mut().poll(cx));
                lane.request = None;
                if let After::End(end) = after {
                    lane.end = end;
                    return Poll::Ready(());
                }
                let mut ahead = lane.line.ahead();
                lane.unseen = !ahead.is_empty();
                if !lane.unseen {
                    *ahead = BytesMut::new();
                }
            }
            if lane.line.is_closing() {
                return Poll::Ready(());
            }
            match ready!(lane.poll_asked(cx)) {
                Ok(Some(asked)) => {
                    let (visit, line) = (Rc::clone(&lane.visit), Rc::clone(&lane.line));
                    lane.request = Some(Box::pin(async move { visit.converse(line, asked).await }));
                }
                Ok(None) => return Poll::Ready(()),
                // The client is gone.
                Err(_) => return Poll::Ready(()),
            }
        }
    }
}

impl<T, S> Lane<T, S>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    /// The next request; none when this lane ends, with how it does in `end`.
    fn poll_asked(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Asked>>> {
        let most = self.visit.pacing.head_bytes.min(READ);
        loop {
            let mut found = Found::Part;
            if std::mem::take(&mut self.unseen) {
                let mut ahead = self.line.ahead();
                found = head::read(&ahead, most);
                if let Found::Asked(asked) = &found {
                    let _ = ahead.split_to(asked.head);
                }
            } else {
                let line = &self.line;
                let see = |bytes: &[u8]| {
                    let mut ahead = line.ahead();
                    if !ahead.is_empty() {
                        ahead.extend_from_slice(bytes);
                        return None;
                    }
                    let found = head::read(bytes, most);
                    let used = match &found {
                        Found::Asked(asked) => asked.head,
                        Found::Part | Found::Other => 0,
                    };
                    ahead.extend_from_slice(&bytes[used..]);
                    Some(found)
                };
                match ready!(line.poll_read(cx, READ, see))? {
                    None => return Poll::Ready(Ok(None)),
                    Some(None) => self.unseen = true,
                    Some(Some(seen)) => {
                        found = seen;
                        if self.line.pulse().started() > 0 && matches!(found, Found::Part) {
                            self.since = Instant::now();
                        }
                    }
                }
            }
            match found {
                Found::Asked(asked) => return Poll::Ready(Ok(Some(asked))),
                Found::Part => {}
                Found::Other => {
                    self.end = End::HandOver;
                    return Poll::Ready(Ok(None));
                }
            }
        }
    }
}

impl<S: Serve> Visit<S> {
    /// One request and its answer.
    async fn converse<T>(&self, line: Rc<Line<T>>, asked: Asked) -> After
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let bodied = asked.body > 0;
        let flight = Flight::begin(line.pulse(), bodied);
        let method = asked.parts.method.clone();
        let request = Request::from_parts(asked.parts, line.body(asked.body));
        let served = {
            let mut serving = pin!(self.ask(request, bodied));
            std::future::poll_fn(|cx| match serving.as_mut().poll(cx) {
                Poll::Ready(response) => Poll::Ready(Ok(response)),
                Poll::Pending => match line.look_ahead(cx) {
                    Ok(()) => Poll::Pending,
                    Err(error) => Poll::Ready(Err(error)),
                },
            })
            .await
        };
        let Ok(response) = served else {
            return After::End(End::Closed);
        };
        let last =
            asked.last || line.is_closing() || line.awaits_body() || head::says_close(response.headers());
        let sent = self.send(&line, response, &method, last).await;
        drop(flight);
        match sent {
            Err(_) => After::End(End::Closed),
            Ok(()) if last || !line.is_past_body() => {
                let unread = bodied || !line.ahead().is_empty();
                After::End(if unread { End::Unread } else { End::Closed })
            }
            Ok(()) => After::Next,
        }
    }

    async fn send<T>(
        &self,
        line: &Line<T>,
        response: Response<Body>,
        asked: &Method,
        last: bool,
    ) -> io::Result<()>
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let (parts, body) = response.into_parts();
        if parts.status.is_informational() {
            return Err(io::Error::other("no answer is interim"));
        }
        let content = match body.size_hint().exact() {
            _ if body.is_end_stream() => Content::None,
            Some(length) => Content::Length(length),
            None => Content::Unknown,
        };
        let mut out = spare::buffer();
        let framing = head::write(&parts, content, asked, last, self.clock.now(), &mut out);
        spare::keep(parts.headers);
        let mut sending = Sending {
            pieces: Pieces::of_head(out),
            over: framing == Framing::Length(0),
            body,
            framing,
        };
        std::future::poll_fn(|cx| sending.poll(cx, line)).await
    }
}

/// An answer on its way out.
struct Sending {
    pieces: Pieces,
    body: Body,
    framing: Framing,
    /// The last piece is among `pieces`.
    over: bool,
}

impl Sending {
    fn poll<T>(&mut self, cx: &mut Context<'_>, line: &Line<T>) -> Poll<io::Result<()>>
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        loop {
            let waits = !self.over && !self.pieces.has_data() && self.next_piece(cx)?.is_pending();
            if self.pieces.is_empty() {
                if self.over {
                    return Poll::Ready(Ok(()));
                }
                if waits {
                    line.look_ahead(cx)?;
                    return Poll::Pending;
                }
                continue;
            }
            if line.poll_write(cx, &mut self.pieces)?.is_pending() {
                line.look_ahead(cx)?;
                return Poll::Pending;
            }
        }
    }

    /// Takes the next piece out of the body.
    fn next_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(frame) => frame.map_err(io::Error::other)?,
            None => {
                self.over = true;
                match self.framing {
                    // A short body must not look whole.
                    Framing::Length(_) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                    Framing::Chunked => self.pieces.set_data(Bytes::from_static(chunked::LAST)),
                }
                return Poll::Ready(Ok(()));
            }
        };
        // Trailers end here.
        let data = frame.into_data().unwrap_or_default();
        if data.is_empty() {
            return Poll::Ready(Ok(()));
        }
        match &mut self.framing {
            Framing::Chunked => self.pieces.set_chunk(data),
            Framing::Length(left) => {
                let Some(rest) = left.checked_sub(data.len() as u64) else {
                    return Poll::Ready(Err(io::Error::other("the body is longer than it said")));
                };
                *left = rest;
                self.over = rest == 0;
                self.pieces.set_data(data);
            }
        }
        Poll::Ready(Ok(()))
    }
}
