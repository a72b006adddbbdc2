//! One client connection, from accept to close: TLS, HTTP/1.1 or HTTP/2, and every time limit.
//!
//! hyper's own `header_read_timeout` is not used: it also runs while a kept-alive connection is
//! idle, so it cannot tell `timeouts.head` from `timeouts.idle`. [`Pace`] does both.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use http::{HeaderValue, Request, Response, header};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::coop::has_budget_remaining;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use super::answer::{Outflow, Streams};
use super::counters::{Counters, Place, count};
use super::pulse::{Flight, Overdue, Pace, Protocol, Pulse};
use super::socket::Socket;
use super::unread::Unread;
use super::{Pacing, Role, Serve};
use crate::request::{Peer, Received};
use crate::time::Clock;
use crate::upstream::{Duplex, Unwrap};
use crate::wire::{Answer, Body, Splice};

/// What every connection of a listener shares.
pub(super) struct Visit<S> {
    pub(super) service: Rc<S>,
    pub(super) peer: Peer,
    pub(super) role: Role,
    pub(super) pacing: Pacing,
    pub(super) counters: Arc<Counters>,
    /// Becomes true when the connection shall end after the requests that it has begun.
    pub(super) finish: watch::Receiver<bool>,
    /// For the dates of answers.
    pub(super) clock: Clock,
}

/// So long we go on reading after we closed our side, so that the client can read our answer
/// before its unread bytes make the kernel reset the connection (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(2);
/// And so many bytes at most.
const LINGER_BYTES: usize = 4 << 20;
/// So long a client may take to close after it was told that the connection ends.
const FAREWELL: Duration = Duration::from_secs(1);
/// A connection that was accepted just before a drain may still bring its first request.
const LATE_REQUEST: Duration = Duration::from_millis(200);

/// RFC 9113 windows: one stream may send so much before we read it ...
const STREAM_WINDOW: u32 = 64 << 10;
/// ... and all streams of a connection so much.
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Finds clients that are gone without a word.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
const MAX_STREAMS: u32 = 100;
/// Per HTTP/2 stream: bytes of an answer that wait for the client.
const SEND_BUFFER: usize = 64 << 10;
const MAX_RESET_STREAMS: usize = 20;
const MAX_LOCAL_RESETS: usize = 256;
/// hyper refuses a smaller buffer.
const SMALLEST_BUFFER: usize = 8192;

impl<S: Serve> Visit<S> {
    /// Serves a TLS socket: HTTP/2 or HTTP/1.1, as ALPN says.
    pub(super) async fn tls<T>(self, io: T, acceptor: TlsAcceptor, place: Place)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut finish = self.finish.clone();
        let too_long = async {
            tokio::select! {
                () = sleep(self.pacing.head) => {}
                _ = finish.wait_for(|finish| *finish) => sleep(FAREWELL).await,
            }
        };
        // An abandoned handshake is a closed connection, so both may be dropped half-way.
        let stream = tokio::select! {
            stream = acceptor.accept(io) => stream,
            () = too_long => Err(io::ErrorKind::TimedOut.into()),
        };
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                count(&self.counters.tls_failed);
                tracing::debug!(client.address = ?self.peer.address, "TLS handshake failed: {error}");
                return;
            }
        };
        count(&self.counters.tls_ok);
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            self.http2(stream, place).await;
        } else {
            Rc::new(self)
                .http1(stream, Vec::new(), Instant::now(), place)
                .await;
        }
    }

    /// Serves HTTP/1.1 only: prior-knowledge HTTP/2 in plain text is closed by the parser. `ahead` was
    /// read before, and the first head has been awaited `since` then.
    pub(super) async fn http1<T>(self: Rc<Self>, io: T, ahead: Vec<u8>, since: Instant, place: Place)
    where
        T: AsyncRead + AsyncWrite + Splice + Unpin + Send + 'static,
    {
        let visit = self;
        let pulse = Arc::new(Pulse::default());
        let io = Socket::new(io, ahead, Protocol::Http1, pulse.clone(), place);
        let service = service_fn(|mut request: Request<Incoming>| {
            if request.headers().contains_key(header::UPGRADE) {
                request.extensions_mut().insert(Unwrap(unwrap::<T>));
            }
            let bodied = !request.body().is_end_stream();
            let flight = Flight::begin(&pulse, bodied);
            let visit = visit.clone();
            async move { visit.answer(request, flight, bodied).await }
        });
        // hyper's default of 100 header fields is ours too; setting it would allocate per request.
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .half_close(true)
            .max_header_size(visit.pacing.head_bytes)
            .max_buf_size(visit.pacing.head_bytes.max(SMALLEST_BUFFER))
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades();
        let closed = visit
            .drive(Pin::new(&mut connection), Protocol::Http1, &pulse, since)
            .await;
        // None: upgraded, and the socket is the tunnel's now.
        if let (true, Some(parts)) = (closed, connection.into_parts())
            && !pulse.ended.load(Relaxed)
            && (pulse.bodied() || !parts.read_buf.is_empty())
        {
            linger(parts.io.into_inner()).await;
        }
    }

    async fn http2<T>(self, io: T, place: Place)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let visit = Rc::new(self);
        let pulse = Arc::new(Pulse::default());
        let io = Socket::new(io, Vec::new(), Protocol::Http2, pulse.clone(), place);
        let service = service_fn(|request: Request<Incoming>| {
            let flight = Flight::begin(&pulse, false);
            let visit = visit.clone();
            async move { visit.answer(request, flight, false).await }
        });
        let streams = Streams::new(visit.pacing.idle, visit.counters.clone());
        let connection = http2::Builder::new(streams)
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(u32::try_from(visit.pacing.head_bytes).unwrap_or(u32::MAX))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .max_send_buf_size(SEND_BUFFER)
            .max_pending_accept_reset_streams(MAX_RESET_STREAMS)
            .max_local_error_reset_streams(MAX_LOCAL_RESETS)
            .serve_connection(TokioIo::new(io), service);
        visit
            .drive(pin!(connection), Protocol::Http2, &pulse, Instant::now())
            .await;
        if pulse.flooded.load(Relaxed) {
            count(&visit.counters.floods);
            tracing::warn!(client.address = ?visit.peer.address,
                "closed a connection that sent too many HTTP/2 control frames");
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        flight: Flight,
        http1_body: bool,
    ) -> Result<Response<Outflow>, Infallible> {
        let (mut parts, body) = request.into_parts();
        let mut unread = None;
        let body = if body.is_end_stream() {
            Body::Empty
        } else if http1_body {
            let (body, left) = Unread::watch(body);
            unread = Some(left);
            body
        } else {
            Body::stream(body.map_err(Into::into))
        };
        let mut extensions = std::mem::take(&mut parts.extensions);
        let received = Received::of(&parts);
        let (peer, role) = (self.peer, self.role);
        let mut answer = self
            .service
            .serve(received, &mut extensions, body, peer, role)
            .await;
        if http1_body {
            close_after_refusal(&mut answer);
        }
        // Not every answer waits for the whole request. hyper reads a little of what is unread then,
        // and closes if that is not all: the client should not have to guess.
        if unread.is_some_and(|unread| unread.is_left()) {
            say_close(&mut answer);
        }
        Ok(answer.into_response().map(|body| Outflow::new(body, flight)))
    }

    /// Polls the connection until it ends, and ends it when the client is too slow. True when
    /// HTTP ended by itself; false when it was cut off. The first head is awaited since `accepted`.
    pub(super) async fn drive<C: Connection>(
        &self,
        mut connection: Pin<&mut C>,
        protocol: Protocol,
        pulse: &Pulse,
        accepted: Instant,
    ) -> bool {
        let mut pace = Pace::new(protocol, self.pacing.head, self.pacing.idle, accepted);
        let mut finish = self.finish.clone();
        let mut finishing = pin!(async move { finish.wait_for(|finish| *finish).await.is_ok() });
        let mut told = Told::Nothing;
        let mut alarm = pin!(sleep_until(accepted + self.pacing.head));
        let mut armed = None;
        let mut awaited = false;
        poll_fn(|cx| {
            loop {
                if connection.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(true);
                }
                // Both wake this task, whose waker stays the same, so neither need be asked again at each request once it
                // has the waker; which it has not where tokio lets a task that did much do no more for now.
                if matches!(told, Told::Nothing)
                    && (!awaited || !matches!(self.finish.has_changed(), Ok(false)))
                {
                    awaited = has_budget_remaining();
                    if finishing.as_mut().poll(cx).is_ready() {
                        told = Told::Wait(Instant::now() + LATE_REQUEST);
                    }
                }
                let now = connection.as_mut().served_at().unwrap_or_else(Instant::now);
                let deadline = match told {
                    Told::Nothing => pace.next(now, pulse),
                    Told::Wait(until) if pulse.started() == 0 && now < until => Some((until, Overdue::Look)),
                    Told::Wait(_) => {
                        connection.as_mut().graceful_shutdown();
                        told = Told::End;
                        continue;
                    }
                    Told::End => pace.next(now, pulse),
                    // It was asked again just before it heard.
                    Told::Farewell(_) if pulse.in_flight() => {
                        told = Told::End;
                        continue;
                    }
                    Told::Farewell(until) => Some((until, Overdue::Idle)),
                };
                let Some((at, overdue)) = deadline else {
                    return Poll::Pending;
                };
                if at <= now {
                    match (overdue, told) {
                        (Overdue::Look, _) => {
                            pace.looked();
                            continue;
                        }
                        (Overdue::Idle, Told::Farewell(_)) => return Poll::Ready(false),
                        (Overdue::Idle, _) => {
                            count(&self.counters.idle_timeouts);
                            connection.as_mut().graceful_shutdown();
                            told = Told::Farewell(now + FAREWELL);
                            continue;
                        }
                        (Overdue::Head, _) => count(&self.counters.head_timeouts),
                        (Overdue::Stalled, _) => count(&self.counters.stalled),
                        (Overdue::Gone, _) => {}
                    }
                    tracing::debug!(client.address = ?self.peer.address, "closed a connection: {overdue:?}");
                    return Poll::Ready(false);
                }
                // An alarm that rings too early costs one look; moving it at every request
                // would cost more.
                match armed {
                    Some(armed) if armed <= at && now < armed => return Poll::Pending,
                    Some(armed) if armed <= at => {}
                    _ => {
                        alarm.as_mut().reset(at);
                        armed = Some(at);
                    }
                }
                let waits = has_budget_remaining();
                if alarm.as_mut().poll(cx).is_pending() {
                    armed = armed.filter(|_| waits);
                    return Poll::Pending;
                }
                armed = None;
            }
        })
        .await
    }
}

/// The socket itself, for a tunnel.
fn unwrap<T>(upgraded: Upgraded) -> Box<dyn Duplex>
where
    T: AsyncRead + AsyncWrite + Splice + Unpin + Send + 'static,
{
    match upgraded.downcast::<TokioIo<Socket<T>>>() {
        Ok(parts) => {
            let mut socket = parts.io.into_inner();
            socket.unread(&parts.read_buf);
            Box::new(socket)
        }
        Err(upgraded) => Box::new(TokioIo::new(upgraded)),
    }
}

/// For an answer to a request with a body on HTTP/1.1, which has nothing but the body's end to tell where the next
/// request begins: a refusal of ours usually comes before the body was read. hyper then closes instead of
/// looking for the next request inside that body (CVE-2025-4366 in Pingora); the client should hear of it.
pub(super) fn close_after_refusal(answer: &mut Answer) {
    if answer.body.is_ours() && (answer.status.is_client_error() || answer.status.is_server_error()) {
        say_close(answer);
    }
}

fn say_close(answer: &mut Answer) {
    answer
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
}

/// What the connection was told about its end.
#[derive(Clone, Copy, Debug)]
enum Told {
    Nothing,
    /// Nothing yet: it is new, and its first request may be on the way.
    Wait(Instant),
    /// To end after the requests that it has begun.
    End,
    /// To end now, because it was idle.
    Farewell(Instant),
}

/// hyper's two kinds of connection, and ours.
pub(super) trait Connection: Future {
    fn graceful_shutdown(self: Pin<&mut Self>);

    /// When it was asked what it answered or passed on, or when an answer came, since this was called last: a look at
    /// the clock saved.
    fn served_at(self: Pin<&mut Self>) -> Option<Instant> {
        None
    }
}

impl<I, S> Connection for http1::UpgradeableConnection<I, S>
where
    S: HttpService<Incoming, ResBody = Outflow, Error = Infallible>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    fn graceful_shutdown(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S> Connection for http2::Connection<I, S, Streams>
where
    S: HttpService<Incoming, ResBody = Outflow, Error = Infallible>,
    S::Future: 'static,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    fn graceful_shutdown(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Closes our side; then reads and forgets, for a while.
pub(super) async fn linger(mut io: impl AsyncRead + AsyncWrite + Unpin) {
    // Not an array, for which each connection would have room all its life.
    let mut forgotten = vec![0; 4096];
    let mut left = LINGER_BYTES;
    let reading = async {
        // hyper leaves our side open after some errors. One that is closed already is fine.
        let _ = io.shutdown().await;
        while left > 0 {
            match io.read(&mut forgotten).await {
                Ok(0) | Err(_) => return,
                Ok(count) => left = left.saturating_sub(count),
            }
        }
    };
    let _ = timeout(LINGER, reading).await;
}
