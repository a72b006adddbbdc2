//! One request and its response.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, Version, response};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::backends::Backend;
use super::body::{Cut, Download, LOOK_EVERY, Progress, Upload};
use super::connection::{Connection, Http1, Http2};
use super::failure::Failure;
use super::http1::{Broken, Exchange};
use super::request_head::Head;
use super::{Outgoing, ServedBy, Upstreams, response_head};
use crate::decision::Permit;
use crate::wire::{Body, BodyError};

/// A response of a backend, of which the head is known.
pub(super) struct Received {
    pub(super) head: response::Parts,
    pub(super) body: Source,
}

/// Where its body comes from.
#[expect(
    clippy::large_enum_variant,
    reason = "a box would cost each response more than its moves"
)]
pub(super) enum Source {
    Http1(Exchange),
    Http2(Incoming),
}

/// No response. With what was not sent, or could be sent once more.
pub(super) struct Unanswered {
    /// The body, if nothing of the request was sent.
    unsent: Option<Upload>,
    /// The connection ended before a byte of the response.
    closed: bool,
    why: String,
}

impl Upstreams {
    pub(super) async fn exchange(
        &self,
        permit: &Permit,
        outgoing: &Outgoing<'_>,
        head: Head,
        body: Body,
        version: Version,
    ) -> Result<Response<Body>, Failure> {
        let mut upload = Upload::new(body, outgoing.limits.body, outgoing.timeouts.idle);
        let length = upload.length();
        if let (Some(limit), Some(length)) = (outgoing.limits.body, length)
            && length > limit
        {
            return Err(Failure::TooLarge);
        }
        let progress = upload.progress();
        // Whether it does no harm when the backend has already acted on it (RFC 9110 section
        // 9.2.2) and can be said again.
        let repeatable = progress.is_none() && head.method.is_idempotent();
        let mut turn = outgoing.backends.turn();
        let mut may_retry = true;
        let mut before: Option<Failure> = None;
        loop {
            let backend = match turn.next(self.shared.now()) {
                Ok(backend) => backend,
                Err(failure) => return Err(before.unwrap_or(failure)),
            };
            let pool = self.pool(backend);
            let mut fresh = false;
            loop {
                let opened = if fresh {
                    pool.connect(backend, outgoing.terms())
                        .await
                        .map(|new| (new, false))
                } else {
                    pool.get(backend, outgoing.terms()).await
                };
                let (connection, used) = match opened {
                    Ok(opened) => opened,
                    // Nothing was sent: the next backend may have it.
                    Err(failure) => {
                        backend.failed(self.shared.now());
                        before = Some(failure);
                        break;
                    }
                };
                if !used {
                    backend.connected();
                }
                let sending = send(connection, &head, backend, outgoing, upload, length);
                let received = self
                    .await_head(sending, progress.as_deref(), outgoing.timeouts.response, permit)
                    .await??;
                let unanswered = match received {
                    Ok(received) => {
                        let mut answer = self.relay(permit, outgoing, received, &head.method, version)?;
                        if outgoing.name_backend {
                            let name = backend.connector.authority().into();
                            answer.extensions_mut().insert(ServedBy(name));
                        }
                        return Ok(answer);
                    }
                    Err(unanswered) => unanswered,
                };
                upload = match unanswered.unsent {
                    Some(unsent) if used && may_retry => unsent,
                    _ if used && may_retry && repeatable && unanswered.closed => Upload::none(),
                    _ => return Err(unanswered.failure(progress.as_deref())),
                };
                may_retry = false;
                fresh = true;
            }
        }
    }

    /// Waits for the head; not longer than allowed, and not beyond a revocation.
    pub(super) async fn await_head<T>(
        &self,
        sending: impl Future<Output = T>,
        progress: Option<&Progress>,
        limit: Duration,
        permit: &Permit,
    ) -> Result<T, Failure> {
        let mut sending = std::pin::pin!(sending);
        let every = match permit.lease() {
            Some(_) => limit.min(LOOK_EVERY),
            None => limit,
        };
        let mut last = Instant::now();
        self.beat.keep();
        loop {
            if let Ok(sent) = tokio::time::timeout(every, &mut sending).await {
                return Ok(sent);
            }
            if permit
                .lease()
                .is_some_and(|lease| !lease.is_live(self.shared.clock().now()))
            {
                return Err(Failure::Revoked);
            }
            if let Some(progress) = progress {
                if progress.awaits_client() {
                    // The body has a limit of its own for that.
                    last = Instant::now();
                } else {
                    last = last.max(progress.last());
                }
            }
            if last.elapsed() >= limit {
                return Err(Failure::Silent);
            }
        }
    }

    /// Turns the backend's response into ours. `version` is the client's.
    pub(super) fn relay(
        &self,
        permit: &Permit,
        outgoing: &Outgoing<'_>,
        received: Received,
        asked: &Method,
        version: Version,
    ) -> Result<Response<Body>, Failure> {
        let Received {
            head: mut parts,
            body,
        } = received;
        let length = match &body {
            Source::Http1(exchange) => exchange.length(),
            Source::Http2(body) => body.size_hint().exact(),
        };
        response_head::check(&parts)?;
        let trailers = version == Version::HTTP_2 && parts.version == Version::HTTP_2;
        let idle = if response_head::is_event_stream(&parts.headers) {
            outgoing.timeouts.tunnel_idle
        } else {
            outgoing.timeouts.idle
        };
        response_head::strip(&mut parts, asked, length, outgoing.identity_names);
        let body = match body {
            Source::Http1(mut exchange) => match exchange.whole() {
                Some(body) => body,
                None => self.download(permit, exchange, idle, None),
            },
            Source::Http2(body) if body.is_end_stream() => Body::Empty,
            Source::Http2(body) => {
                let names = trailers.then(|| outgoing.identity_names.clone());
                self.download(permit, body, idle, names)
            }
        };
        Ok(Response::from_parts(parts, body))
    }

    fn download<B>(
        &self,
        permit: &Permit,
        body: B,
        idle: Duration,
        trailers: Option<super::IdentityNames>,
    ) -> Body
    where
        B: http_body::Body<Data = Bytes, Error: Into<BodyError>> + Unpin + 'static,
    {
        let mut download = Download::new(body, idle);
        download.watched = permit
            .identity()
            .map(|identity| (Arc::clone(identity), self.shared.clock().clone()));
        download.trailers = trailers;
        Body::stream(download)
    }
}

/// Sends the request; answers with the head of the response.
async fn send(
    connection: Connection,
    head: &Head,
    backend: &Backend,
    outgoing: &Outgoing<'_>,
    upload: Upload,
    length: Option<u64>,
) -> Result<Result<Received, Unanswered>, Failure> {
    let how = outgoing.route.host_header;
    match connection {
        Connection::Http1(http1) => {
            let bytes = head.http1(backend, how, length);
            Ok(on_http1(http1, bytes, upload, length, &head.method).await)
        }
        Connection::Http2(http2) => {
            let request = head.http2(backend, how, length, upload)?;
            Ok(on_http2(http2, request).await)
        }
    }
}

pub(super) async fn on_http1(
    http1: Http1,
    head: Bytes,
    upload: Upload,
    length: Option<u64>,
    asked: &Method,
) -> Result<Received, Unanswered> {
    let mut exchange = Exchange::new(http1, head, upload, length);
    match exchange.head(asked).await {
        Ok(head) => Ok(Received {
            head,
            body: Source::Http1(exchange),
        }),
        Err(Broken::Closed { why, unsent }) => Err(Unanswered {
            unsent: unsent.then(|| exchange.unsent()).flatten(),
            closed: true,
            why,
        }),
        Err(Broken::Wrong(why)) => Err(Unanswered {
            unsent: None,
            closed: false,
            why,
        }),
        Err(Broken::Cut(cut)) => Err(Unanswered {
            unsent: None,
            closed: false,
            why: cut.to_string(),
        }),
    }
}

async fn on_http2(mut http2: Http2, request: hyper::Request<Upload>) -> Result<Received, Unanswered> {
    match http2.sender.try_send_request(request).await {
        Ok(response) => {
            let (head, body) = response.into_parts();
            Ok(Received {
                head,
                body: Source::Http2(body),
            })
        }
        Err(mut error) => {
            let unsent = error.take_message().map(hyper::Request::into_body);
            let error = error.into_error();
            let source = std::error::Error::source(&error);
            Err(Unanswered {
                unsent,
                closed: error.is_canceled() || error.is_closed() || is_reset(source),
                why: source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}")),
            })
        }
    }
}

fn is_reset(source: Option<&(dyn std::error::Error + 'static)>) -> bool {
    use std::io::{Error, ErrorKind};
    source
        .and_then(|source| source.downcast_ref::<Error>())
        .is_some_and(|error| matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe))
}

impl Unanswered {
    /// Whose fault it was: the client's, if the body says so.
    pub(super) fn failure(self, progress: Option<&Progress>) -> Failure {
        match progress.and_then(Progress::why_cut) {
            Some(Cut::TooLarge) => Failure::TooLarge,
            Some(Cut::ClientSlow) => Failure::ClientSlow,
            Some(Cut::ClientGone) => Failure::ClientGone,
            Some(Cut::UpstreamSilent | Cut::Revoked) | None => Failure::Broken(self.why),
        }
    }
}
