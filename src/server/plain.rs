//! The plain lane: HTTP/1.1 in plain text without the HTTP library, as long as a client asks plainly.
//!
//! This is the same server as in [`super::connection`], for the requests that are nearly all of them: a
//! head that can be read in one way only, and a body of a known length or none. It shares the service,
//! the time limits and the places with the other lane, and has no rule of its own. The first request
//! that is anything else goes to the HTTP library, with the socket and every byte that was read.
//! `tests/bad_inputs/lanes.rs` holds the two against each other.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{Extensions, StatusCode};
use http_body::Body as _;
use tokio::task::coop::poll_proceed;
use tokio::time::Instant;

use super::Serve;
use super::connection::{Connection, Visit, close_after_refusal, linger};
use super::counters::{Place, count};
use super::head::{self, Asked, Content, Found, Framing};
use super::line::{Client, Line, READ};
use super::pulse::{Flight, Protocol, Pulse};
use crate::request::Received;
use crate::time::Timestamp;
use crate::wire::{Answer, Body, Later, Lines, Now, Pieces, Piped, chunked};

impl<S: Serve> Visit<S> {
    /// Serves a socket without TLS.
    pub(super) async fn plain<T>(self, io: T, place: Place)
    where
        T: Client + Send,
    {
        let visit = Rc::new(self);
        let pulse = Arc::new(Pulse::default());
        let accepted = Instant::now();
        let mut lane = Lane {
            visit: Rc::clone(&visit),
            line: Rc::new(Line::new(io, Arc::clone(&pulse), place)),
            under_way: None,
            unseen: false,
            since: accepted,
            served_at: None,
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
    /// An idle connection has no room for more than where it would be.
    under_way: Option<UnderWay>,
    /// Bytes were read ahead that nobody has looked for a head in.
    unseen: bool,
    /// Since when the head under way is awaited.
    since: Instant,
    /// When the last request came that was served, or passed on, in this poll, or when its answer came.
    served_at: Option<Instant>,
    end: End,
}

/// A request that was begun.
struct UnderWay {
    stage: Stage,
    _flight: Flight,
}

enum Stage {
    /// Its answer is awaited.
    Asked(Later, Asked),
    /// Its answer goes out as the client takes it.
    Answered(Box<Reply>),
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
    T: Client,
    S: Serve,
{
    fn graceful_shutdown(self: Pin<&mut Self>) {
        self.line.close_soon();
    }

    fn served_at(mut self: Pin<&mut Self>) -> Option<Instant> {
        self.served_at.take()
    }
}

impl<T, S> Future for Lane<T, S>
where
    T: Client,
    S: Serve,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let lane = &mut *self;
        loop {
            if lane.under_way.is_some() {
                let after = ready!(lane.poll_under_way(cx));
                lane.under_way = None;
                if let After::End(end) = after {
                    lane.end = end;
                    return Poll::Ready(());
                }
                lane.look_behind();
            }
            if lane.line.is_closing() {
                return Poll::Ready(());
            }
            match ready!(lane.poll_served(cx)) {
                Served::Begun => {}
                Served::Done(After::Next) => lane.look_behind(),
                Served::Done(After::End(end)) => {
                    lane.end = end;
                    return Poll::Ready(());
                }
            }
        }
    }
}

/// How far a head brought us.
enum Served {
    /// A request is under way, or there is no whole head yet.
    Begun,
    /// It was answered, or there is nothing to answer.
    Done(After),
}

impl Served {
    /// The client is gone, or an answer cannot be sent.
    const GONE: Self = Self::Done(After::End(End::Closed));
}

impl<T, S> Lane<T, S>
where
    T: Client,
    S: Serve,
{
    /// Whether bytes are here that nobody has looked for a head in; if not, there need be no room for any.
    fn look_behind(&mut self) {
        let mut ahead = self.line.ahead();
        self.unseen = !ahead.is_empty();
        if self.unseen {
            self.since = Instant::now();
        }
        if !self.unseen && ahead.capacity() > 0 {
            *ahead = BytesMut::new();
        }
    }

    /// Goes on with the request under way; ready when it is over.
    fn poll_under_way(&mut self, cx: &mut Context<'_>) -> Poll<After> {
        let (visit, line) = (&self.visit, &self.line);
        let Some(under_way) = &mut self.under_way else {
            return Poll::Ready(After::Next);
        };
        if let Stage::Asked(answer, asked) = &mut under_way.stage {
            let Poll::Ready((mut answer, at)) = answer.as_mut().poll(cx) else {
                return match line.look_ahead(cx) {
                    Ok(()) => Poll::Pending,
                    Err(_) => Poll::Ready(After::End(End::Closed)),
                };
            };
            self.served_at = Some(at);
            let Some(mut reply) = visit.reply(line, &mut answer, *asked, || visit.clock.now()) else {
                return Poll::Ready(After::End(End::Closed));
            };
            // Nearly every answer goes out at once, and needs no room of its own.
            let after = reply.poll(cx, line);
            if after.is_pending() {
                under_way.stage = Stage::Answered(Box::new(reply));
            }
            return after;
        }
        match &mut under_way.stage {
            Stage::Answered(reply) => reply.poll(cx, line),
            Stage::Asked(..) => Poll::Ready(After::End(End::Closed)),
        }
    }

    /// Reads the next head, and serves it as far as that goes at once.
    fn poll_served(&mut self, cx: &mut Context<'_>) -> Poll<Served> {
        let most = self.visit.pacing.head_bytes.min(READ);
        let line = Rc::clone(&self.line);
        if self.unseen {
            // A client that asks for much at once, without a read each, waits like one that is read from.
            ready!(poll_proceed(cx)).made_progress();
            self.unseen = false;
            let head = {
                let mut ahead = line.ahead();
                let length = match head::read(&ahead, most) {
                    Found::Asked(_, asked) => asked.head,
                    Found::Part => return Poll::Ready(Served::Begun),
                    Found::Other => return Poll::Ready(Served::Done(After::End(End::HandOver))),
                };
                ahead.split_to(length)
            };
            return Poll::Ready(match head::read(&head, most) {
                Found::Asked(mut received, asked) => self.serve(cx, &head, &mut received, asked),
                // It was one a moment ago.
                Found::Part | Found::Other => Served::GONE,
            });
        }
        let mut inside = Context::from_waker(cx.waker());
        let see = |bytes: &[u8]| {
            let mut ahead = line.ahead();
            if !ahead.is_empty() {
                ahead.extend_from_slice(bytes);
                self.unseen = true;
                return Served::Begun;
            }
            match head::read(bytes, most) {
                Found::Asked(ref mut received, asked) => {
                    let (head, rest) = bytes.split_at(asked.head);
                    if !rest.is_empty() {
                        ahead.extend_from_slice(rest);
                    }
                    drop(ahead);
                    self.serve(&mut inside, head, received, asked)
                }
                found @ (Found::Part | Found::Other) => {
                    ahead.extend_from_slice(bytes);
                    if matches!(found, Found::Other) {
                        return Served::Done(After::End(End::HandOver));
                    }
                    if self.line.pulse().started() > 0 {
                        self.since = Instant::now();
                    }
                    Served::Begun
                }
            }
        };
        line.poll_read(cx, READ, see)
            .map(|seen| seen.ok().flatten().unwrap_or(Served::GONE))
    }

    /// Serves a request. What can be done at once is; the rest is under way then.
    fn serve(
        &mut self,
        cx: &mut Context<'_>,
        head: &[u8],
        received: &mut Received<'_>,
        asked: Asked,
    ) -> Served {
        let (visit, line) = (&self.visit, &self.line);
        let (peer, role) = (visit.peer, visit.role);
        let mut body = line.body(asked.body);
        match visit.service.serve_now(received, &mut body, peer, role) {
            Now::Answered(ref mut answer, at) => {
                self.served_at = Some(at.steady);
                line.pulse().answered(asked.body > 0);
                let Some(mut reply) = visit.reply(line, answer, asked, || at.wall) else {
                    return Served::GONE;
                };
                match reply.sending.poll_write(cx, line) {
                    Poll::Ready(Ok(())) => return Served::Done(reply.after(line)),
                    Poll::Ready(Err(_)) => return Served::GONE,
                    Poll::Pending => {
                        let flight = Flight::resume(line.pulse());
                        self.begin(Stage::Answered(Box::new(reply)), flight);
                    }
                }
            }
            Now::Passed(answer, at) => {
                self.served_at = Some(at.steady);
                let flight = Flight::begin(line.pulse(), asked.body > 0);
                self.begin(Stage::Asked(answer, asked), flight);
            }
            Now::Waits => {
                let (visit, head) = (Rc::clone(visit), Box::<[u8]>::from(head));
                let flight = Flight::begin(line.pulse(), asked.body > 0);
                let answer = Box::pin(async move {
                    let Found::Asked(received, _) = head::read(&head, head.len()) else {
                        // It was one a moment ago.
                        let failed = StatusCode::INTERNAL_SERVER_ERROR;
                        let answer = Answer::new(failed, Lines::default(), Body::Empty);
                        return (answer, Instant::now());
                    };
                    let mut none = Extensions::new();
                    let answer = Box::pin(visit.service.serve(received, &mut none, body, peer, role)).await;
                    (answer, Instant::now())
                });
                self.begin(Stage::Asked(answer, asked), flight);
            }
        }
        Served::Begun
    }

    fn begin(&mut self, stage: Stage, flight: Flight) {
        self.under_way = Some(UnderWay {
            stage,
            _flight: flight,
        });
    }
}

impl<S: Serve> Visit<S> {
    /// What is sent for an answer; none where that is none.
    fn reply<T>(
        &self,
        line: &Line<T>,
        answer: &mut Answer,
        asked: Asked,
        now: impl FnOnce() -> Timestamp,
    ) -> Option<Reply>
    where
        T: Client,
    {
        // None is interim.
        if answer.status.is_informational() {
            return None;
        }
        let bodied = asked.body > 0;
        if bodied {
            close_after_refusal(answer);
        }
        let last = asked.last || line.is_closing() || line.awaits_body() || head::says_close(answer);
        let body = std::mem::take(&mut answer.body);
        let content = match body.size_hint().exact() {
            _ if body.is_end_stream() => Content::None,
            Some(length) => Content::Length(length),
            None => Content::Unknown,
        };
        let (head, framing) = head::write(answer, content, asked.head_only, last, now);
        Some(Reply {
            sending: Sending {
                pieces: Pieces::of_head(head),
                over: framing == Framing::Length(0),
                body,
                framing,
            },
            last,
            bodied,
        })
    }
}

/// An answer with all that follows from it.
struct Reply {
    sending: Sending,
    last: bool,
    bodied: bool,
}

impl Reply {
    /// Goes on sending; ready when that is over.
    fn poll<T>(&mut self, cx: &mut Context<'_>, line: &Line<T>) -> Poll<After>
    where
        T: Client,
    {
        Poll::Ready(match ready!(self.sending.poll(cx, line)) {
            Err(_) => After::End(End::Closed),
            Ok(()) => self.after(line),
        })
    }

    /// What follows once it was sent.
    fn after<T>(&self, line: &Line<T>) -> After
    where
        T: Client,
    {
        if self.last || !line.is_past_body() {
            let unread = self.bodied || !line.ahead().is_empty();
            return After::End(if unread { End::Unread } else { End::Closed });
        }
        After::Next
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
        T: Client,
    {
        let sent = self.poll_write(cx, line)?;
        if sent.is_pending() {
            line.look_ahead(cx)?;
        }
        sent.map(Ok)
    }

    /// The same without a look at what the client sends: the buffer for that is lent while a head is served.
    fn poll_write<T>(&mut self, cx: &mut Context<'_>, line: &Line<T>) -> Poll<io::Result<()>>
    where
        T: Client,
    {
        loop {
            let waits = !self.over && !self.pieces.has_data() && self.next_piece(cx)?.is_pending();
            if self.pieces.is_empty() {
                if self.over {
                    return Poll::Ready(Ok(()));
                }
                if waits {
                    return Poll::Pending;
                }
                continue;
            }
            if line.poll_write(cx, &mut self.pieces)?.is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Takes the next piece out of the body.
    fn next_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Framing::Length(left) = &mut self.framing
            && let Some(pipe) = Pin::new(&mut self.body).poll_pipe(cx)
        {
            let pipe = ready!(pipe).map_err(io::Error::other)?;
            *left = less(*left, pipe.held())?;
            self.over = *left == 0;
            self.pieces.set_pipe(pipe);
            return Poll::Ready(Ok(()));
        }
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
                *left = less(*left, data.len())?;
                self.over = *left == 0;
                self.pieces.set_data(data);
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn less(left: u64, count: usize) -> io::Result<u64> {
    left.checked_sub(count as u64)
        .ok_or_else(|| io::Error::other("the body is longer than it said"))
}
