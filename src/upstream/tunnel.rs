//! WebSockets: forwarded as an upgrade, then copied both ways.

use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Weak;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body::Body as _;
use tokio::io::{AsyncWriteExt, ReadBuf};
use tokio::time::Instant;

use super::body::Upload;
use super::client_side::{ClientSide, Duplex};
use super::connection::Http1;
use super::exchange::{Came, Source, came_on_http1};
use super::failure::Failure;
use super::http1::{Exchange, Tunneled};
use super::request_head::Head;
use super::response_head::Relayed;
use super::{Signals, Upstreams, Via};
use crate::authn::Identity;
use crate::crypto::websocket_accept;
use crate::outbound::Offer;
use crate::time::Clock;
use crate::wire::{Answer, Body, Pipe};

/// Bytes that one turn of a copy may take at most; shared by all tunnels of a worker.
const PIECE: usize = 16 * 1024;
/// How long either side may take over its goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

impl Upstreams {
    /// Asks the backend for the upgrade on a connection of its own. The client gets its 101 only
    /// after the backend's; what it sent before waits in its connection until then.
    pub(super) async fn open_tunnel(
        &self,
        head: &mut Head,
        via: &Via<'_>,
        body: Body,
        on_client: ClientSide,
    ) -> Result<Answer, Failure> {
        if !body.is_end_stream() {
            return Err(Failure::BadUpgrade("an upgrade cannot have a body"));
        }
        let mut turn = via.backends.turn();
        let mut before = None;
        let (backend, http1) = loop {
            let backend = match turn.next(|| self.shared.now()) {
                Ok(backend) => backend,
                Err(failure) => return Err(before.unwrap_or(failure)),
            };
            if !backend.connector.speaks_http1() {
                before = Some(Failure::BadResponse(
                    "it speaks HTTP/2 only, which has no such upgrade",
                ));
                continue;
            }
            let terms = via.terms();
            match backend.connector.connect(Offer::Http1, terms.connect).await {
                Ok((stream, _)) => {
                    backend.connected();
                    break (backend, Http1::new(stream, terms.head, Weak::new()));
                }
                Err(error) => {
                    backend.failed(self.shared.now());
                    before = Some(Failure::Connect(error));
                }
            }
        };
        let bytes = head.http1(backend, Some(0));
        head.put_back(bytes.clone());
        let head = &*head;
        let mut exchange = Exchange::new(http1, bytes, Upload::none(), Some(0));
        let came = self
            .await_head(head, via, None, |cx| {
                exchange.poll_head(cx, &head.method, via.identity_names)
            })
            .await?;
        let came = came_on_http1(exchange, came).map_err(|unanswered| unanswered.failure(None))?;
        let (said, mut lines, exchange) = match came {
            Came {
                head:
                    Relayed {
                        switch: Some(said),
                        lines,
                        ..
                    },
                body: Source::Http1(exchange),
            } => (said, lines, exchange),
            other => return self.relay(head, via, other),
        };
        check_switch(&said, head.key.as_deref())?;
        lines.push(b"connection", b"Upgrade");
        lines.push(b"upgrade", b"websocket");
        let answer = Answer::new(StatusCode::SWITCHING_PROTOCOLS, lines, Body::Empty);
        let Some((upstream, early)) = exchange.into_stream() else {
            return Err(Failure::BadResponse("it closed with its answer"));
        };
        // Boxed: a future has room for what it is given more than once.
        let tunnel = Box::new(Tunnel {
            identity: head.permit.identity().cloned(),
            client: head.client,
            clock: self.shared.clock().clone(),
            idle: via.timeouts.tunnel_idle,
            signals: self.signals.clone(),
            upstream,
            up: Way::default(),
            down: Way::after(&early),
            _counted: Counted::new(self.shared.tunnels()),
        });
        tokio::task::spawn_local(tunnel.run(on_client));
        Ok(answer)
    }
}

/// RFC 6455 section 4.1: what the response must have, else it is no WebSocket that was asked for.
fn check_switch(headers: &HeaderMap, key: Option<&[u8]>) -> Result<(), Failure> {
    let has = |name: HeaderName, word: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|token| token.trim().eq_ignore_ascii_case(word))
    };
    if !has(header::UPGRADE, "websocket") || !has(header::CONNECTION, "upgrade") {
        return Err(Failure::BadResponse("it switches to another protocol than asked"));
    }
    let accept = headers.get(header::SEC_WEBSOCKET_ACCEPT);
    let expected = key.map(websocket_accept);
    if accept.map(HeaderValue::as_bytes) != expected.as_deref().map(str::as_bytes) {
        return Err(Failure::BadResponse(
            "its Sec-WebSocket-Accept is not for this request",
        ));
    }
    Ok(())
}

/// What a tunnel lives by.
struct Tunnel {
    identity: Option<Arc<Identity>>,
    /// From where its login is used.
    client: Option<IpAddr>,
    clock: Clock,
    idle: Duration,
    signals: Signals,
    upstream: Tunneled,
    up: Way,
    down: Way,
    _counted: Counted,
}

impl Tunnel {
    /// Copies until one side closes, nothing was said for too long, the lease ends or the server
    /// shuts down.
    async fn run(mut self: Box<Self>, on_client: ClientSide) {
        let Some(mut client) = on_client.open().await else {
            return;
        };
        let mut last = Instant::now();
        let mut pause = pin!(tokio::time::sleep_until(self.wake(last)));
        let mut watch_revocations = self.identity.is_some();
        let mut watch_drain = true;
        while self.is_live() && !*self.signals.drain.borrow() {
            self.note_used();
            let Self {
                upstream,
                up,
                down,
                signals,
                ..
            } = &mut *self;
            let upstream = upstream.stream();
            let copying = std::future::poll_fn(|cx| {
                let one = up.poll(cx, &mut *client, upstream);
                let other = down.poll(cx, upstream, &mut *client);
                if up.take_moved() | down.take_moved() {
                    last = Instant::now();
                }
                // One side that closes ends both ways: a WebSocket has no half of it.
                if one.is_ready() || other.is_ready() {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            });
            // All of these may be dropped half-way: a `Way` keeps what it has not written yet.
            tokio::select! {
                () = copying => break,
                changed = signals.revocations.changed(), if watch_revocations => {
                    watch_revocations = changed.is_ok();
                    // A rotation lets the lease end earlier than it would have.
                    let wake = self.wake(last);
                    pause.as_mut().reset(wake);
                }
                changed = signals.drain.changed(), if watch_drain => watch_drain = changed.is_ok(),
                () = &mut pause => {
                    if last.elapsed() >= self.idle {
                        break;
                    }
                    let wake = self.wake(last);
                    pause.as_mut().reset(wake);
                }
            }
        }
        let goodbye = async {
            let _ = client.shutdown().await;
            let _ = self.upstream.stream().shutdown().await;
        };
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    }

    /// A page that only listens is in use as well: its login must not end by lying still.
    fn note_used(&self) {
        let session = self.identity.as_deref().and_then(|who| who.session());
        if let (Some(session), Some(accounts)) = (session, &self.signals.accounts) {
            accounts.note_session_used(session, self.clock.now(), self.client);
        }
    }

    fn is_live(&self) -> bool {
        self.identity
            .as_ref()
            .is_none_or(|identity| identity.lease.is_live(self.clock.now()))
    }

    /// The end of the silence, or of the lease, or when the use of the login is noted again, whatever is
    /// earliest.
    fn wake(&self, last: Instant) -> Instant {
        let mut silent = last + self.idle;
        let session = self.identity.as_deref().and_then(|who| who.session());
        if let Some(every) = session.and_then(|session| session.noted_every()) {
            silent = silent.min(Instant::now() + every);
        }
        let end = self.identity.as_ref().and_then(|identity| identity.lease.end());
        match end {
            None => silent,
            Some(end) => {
                let left = end.since(self.clock.now()).max(Duration::from_millis(1));
                // A wall clock may be set; not too long until we look again.
                silent.min(Instant::now() + left.min(Duration::from_secs(3600)))
            }
        }
    }
}

/// One direction. Holds no buffer while nothing is under way.
#[derive(Debug, Default)]
struct Way {
    rest: Vec<u8>,
    written: usize,
    flush: bool,
    closed: bool,
    moved: bool,
    /// Bytes on their way inside the kernel.
    pipe: Option<Pipe>,
    /// So much came at once that a pipe moves it for less.
    bulk: bool,
}

thread_local! {
    /// One buffer for all tunnels of a worker: what cannot be written at once is copied out of it.
    static BUFFER: std::cell::RefCell<Box<[u8; PIECE]>> = std::cell::RefCell::new(Box::new([0; PIECE]));
}

impl Way {
    /// One that begins with what was read before; whatever room that had is not kept.
    fn after(early: &[u8]) -> Self {
        Self {
            rest: early.to_vec(),
            ..Self::default()
        }
    }

    /// Ready when `from` has closed and all of it was written, or when either side failed.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl Duplex + ?Sized),
        to: &mut (impl Duplex + ?Sized),
    ) -> Poll<io::Result<()>> {
        loop {
            if let Some(pipe) = &mut self.pipe {
                match ready!(to.poll_drain(cx, pipe)) {
                    Ok(_) => {
                        self.moved = true;
                        if pipe.held() == 0 {
                            self.pipe = None;
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                        self.bulk = false;
                        if let Some(pipe) = self.pipe.take() {
                            self.rest = pipe.copy_out()?.into();
                        }
                    }
                    Err(error) => return Poll::Ready(Err(error)),
                }
                continue;
            }
            if self.written < self.rest.len() {
                let written = ready!(Pin::new(&mut *to).poll_write(cx, &self.rest[self.written..]))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.written += written;
                self.moved = true;
                continue;
            }
            if !self.rest.is_empty() {
                self.rest = Vec::new();
                self.written = 0;
            }
            if self.closed {
                return Pin::new(to).poll_flush(cx);
            }
            if self.bulk && to.is_bare() {
                match from.poll_fill(cx, u64::MAX) {
                    Some(Poll::Ready(pipe)) => {
                        let pipe = pipe?;
                        self.closed = pipe.held() == 0;
                        self.moved |= !self.closed;
                        self.bulk = pipe.held() >= PIECE;
                        self.pipe = Some(pipe).filter(|_| !self.closed);
                        continue;
                    }
                    // Both sides are bare: nothing is to be flushed.
                    Some(Poll::Pending) => return Poll::Pending,
                    None => self.bulk = false,
                }
            }
            let polled = BUFFER.with(|buffer| {
                let mut buffer = buffer.borrow_mut();
                let mut read = ReadBuf::new(&mut buffer[..]);
                ready!(Pin::new(&mut *from).poll_read(cx, &mut read))?;
                let bytes = read.filled();
                if bytes.is_empty() {
                    self.closed = true;
                    return Poll::Ready(Ok(()));
                }
                self.moved = true;
                self.flush = true;
                self.bulk = bytes.len() == PIECE;
                let written = match Pin::new(&mut *to).poll_write(cx, bytes) {
                    Poll::Ready(written) => written?,
                    Poll::Pending => 0,
                };
                self.rest.extend_from_slice(&bytes[written..]);
                Poll::Ready(Ok::<_, io::Error>(()))
            });
            match polled {
                Poll::Ready(outcome) => outcome?,
                Poll::Pending => {
                    // TLS gathers records; without this the last one would wait for the next.
                    if self.flush {
                        ready!(Pin::new(to).poll_flush(cx))?;
                        self.flush = false;
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// Whether bytes moved since the last question.
    fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }
}

/// One open tunnel in the count.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
