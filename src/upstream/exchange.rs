//! One request and its response.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Version;
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::body::{Cut, Download, LOOK_EVERY, Progress, Upload};
use super::connection::{Connection, Http2};
use super::failure::Failure;
use super::http1::{Broken, Exchange};
use super::request_head::Head;
use super::response_head::Relayed;
use super::{Upstreams, Via};
use crate::decision::Permit;
use crate::wire::{Answer, Body, BodyError, Fields, Piped};

/// A response of a backend, of which the head is known.
pub(super) struct Came {
    pub(super) head: Relayed,
    pub(super) body: Source,
}

/// Where its body comes from.
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
    /// Its head may not go on.
    refused: Option<Failure>,
}

impl Upstreams {
    pub(super) fn exchange(
        &self,
        head: &mut Head,
        via: &Via<'_>,
        mut upload: Upload,
    ) -> impl Future<Output = Result<Answer, Failure>> {
        let length = upload.length();
        // A block, because a function would have room for what it is given twice.
        async move {
            if let (Some(limit), Some(length)) = (via.limits.body, length)
                && length > limit
            {
                return Err(Failure::TooLarge);
            }
            let progress = upload.progress();
            // Whether it does no harm when the backend has already acted on it (RFC 9110 section
            // 9.2.2) and can be said again.
            let repeatable = progress.is_none() && head.method.is_idempotent();
            let mut turn = via.backends.turn();
            let mut may_retry = true;
            let mut before: Option<Box<Failure>> = None;
            loop {
                let backend = match turn.next(|| self.shared.now()) {
                    Ok(backend) => backend,
                    Err(failure) => return Err(before.map_or(failure, |before| *before)),
                };
                let pool = self.pool(backend);
                let mut fresh = false;
                loop {
                    let open = if fresh { None } else { pool.take() };
                    let (connection, used) = match open {
                        Some(open) => (open, true),
                        // Boxed: each request has room for the future, and few need it.
                        None => match Box::pin(pool.open(backend, via.terms(), fresh)).await {
                            Ok(opened) => opened,
                            // Nothing was sent: the next backend may have it.
                            Err(failure) => {
                                backend.failed(self.shared.now());
                                before = Some(Box::new(failure));
                                break;
                            }
                        },
                    };
                    if !used {
                        backend.connected();
                    }
                    let progressed = progress.as_deref();
                    let received = match connection {
                        Connection::Http1(http1) => {
                            let bytes = head.http1(backend, length);
                            let mut exchange = Exchange::new(http1, bytes, upload, length);
                            let asked = &*head;
                            let came = self
                                .await_head(asked, via, progressed, |cx| {
                                    exchange.poll_head(cx, &asked.method, via.identity_names)
                                })
                                .await;
                            if !matches!(&came, Ok(Ok(came)) if came.switch.is_none()) {
                                // The next backend needs it, or whoever tells the client.
                                head.put_back(exchange.take_head());
                            }
                            came_on_http1(exchange, came?)
                        }
                        Connection::Http2(http2) => {
                            let request = head.http2(backend, length, upload)?;
                            let mut sending = Box::pin(on_http2(*http2, request, head, via));
                            self.await_head(head, via, progressed, |cx| sending.as_mut().poll(cx))
                                .await?
                        }
                    };
                    let unanswered = match received {
                        Ok(came) => {
                            let mut answer = self.relay(head, via, came)?;
                            if via.name_backend {
                                answer.served_by = Some(backend.connector.authority().into());
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
    }

    /// Waits for the head of the answer, which `poll` looks for; not longer than allowed, and not beyond
    /// a revocation.
    pub(super) fn await_head<T>(
        &self,
        asked: &Head,
        via: &Via<'_>,
        progress: Option<&Progress>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> impl Future<Output = Result<T, Failure>> {
        let lease = asked.permit.lease();
        let limit = via.timeouts.response;
        let every = match lease {
            Some(_) => limit.min(LOOK_EVERY),
            None => limit,
        };
        let mut alarm = self.beat.alarm(every);
        let mut last = None;
        std::future::poll_fn(move |cx| {
            if let Poll::Ready(head) = poll(cx) {
                return Poll::Ready(Ok(head));
            }
            while alarm.poll(cx).is_ready() {
                if lease.is_some_and(|lease| !lease.is_live(self.shared.clock().now())) {
                    return Poll::Ready(Err(Failure::Revoked));
                }
                let now = Instant::now();
                // Nobody looked at the clock when it began, but it is that long ago at least.
                let last = last.get_or_insert_with(|| now.checked_sub(every).unwrap_or(now));
                if let Some(progress) = progress {
                    if progress.awaits_client() {
                        // The body has a limit of its own for that.
                        *last = now;
                    } else {
                        *last = progress.last().max(*last);
                    }
                }
                if now.duration_since(*last) >= limit {
                    return Poll::Ready(Err(Failure::Silent));
                }
            }
            Poll::Pending
        })
    }

    /// Turns the backend's response into ours. `asked` is what it answers.
    pub(super) fn relay(&self, asked: &Head, via: &Via<'_>, came: Came) -> Result<Answer, Failure> {
        let Came { head, body } = came;
        if head.switch.is_some() {
            return Err(super::response_head::UNASKED);
        }
        let trailers = asked.version == Version::HTTP_2 && head.version == Version::HTTP_2;
        let idle = if head.events {
            via.timeouts.tunnel_idle
        } else {
            via.timeouts.idle
        };
        let body = match body {
            Source::Http1(mut exchange) => match exchange.whole() {
                Some(body) => body,
                None => self.download(&asked.permit, exchange, idle, None),
            },
            Source::Http2(body) if body.is_end_stream() => Body::Empty,
            Source::Http2(body) => {
                let names = trailers.then(|| via.identity_names.clone());
                self.download(&asked.permit, body, idle, names)
            }
        };
        Ok(Answer::new(head.status, head.lines, body))
    }

    fn download<B>(
        &self,
        permit: &Permit,
        body: B,
        idle: Duration,
        trailers: Option<super::IdentityNames>,
    ) -> Body
    where
        B: http_body::Body<Data = Bytes, Error: Into<BodyError>> + Piped + Unpin + 'static,
    {
        let mut download = Download::new(body, idle);
        download.watched = permit
            .identity()
            .map(|identity| (Arc::clone(identity), self.shared.clock().clone()));
        download.trailers = trailers;
        Body::stream(download)
    }
}

/// What came of an exchange of which the head was awaited.
pub(super) fn came_on_http1(
    exchange: Exchange,
    head: Result<Relayed, Broken>,
) -> Result<Came, Box<Unanswered>> {
    let broken = match head {
        Ok(head) => {
            return Ok(Came {
                head,
                body: Source::Http1(exchange),
            });
        }
        Err(broken) => broken,
    };
    let unanswered = |why| Unanswered {
        unsent: None,
        closed: false,
        why,
        refused: None,
    };
    Err(Box::new(match broken {
        Broken::Closed { why, unsent } => Unanswered {
            unsent: unsent.then(|| exchange.unsent()).flatten(),
            closed: true,
            ..unanswered(why)
        },
        Broken::Wrong(why) => unanswered(why),
        Broken::Cut(cut) => unanswered(cut.to_string()),
        Broken::Refused(failure) => Unanswered {
            refused: Some(failure),
            ..unanswered(String::new())
        },
    }))
}

async fn on_http2(
    mut http2: Http2,
    request: hyper::Request<Upload>,
    asked: &Head,
    via: &Via<'_>,
) -> Result<Came, Box<Unanswered>> {
    match http2.sender.try_send_request(request).await {
        Ok(response) => {
            let (parts, body) = response.into_parts();
            let fields = Fields::of(&parts.headers);
            let head = Relayed::of(
                parts.status,
                parts.version,
                &fields,
                &asked.method,
                via.identity_names,
            );
            match head {
                Ok(head) => Ok(Came {
                    head,
                    body: Source::Http2(body),
                }),
                Err(failure) => Err(Box::new(Unanswered {
                    unsent: None,
                    closed: false,
                    why: String::new(),
                    refused: Some(failure),
                })),
            }
        }
        Err(mut error) => {
            let unsent = error.take_message().map(hyper::Request::into_body);
            let error = error.into_error();
            let source = std::error::Error::source(&error);
            Err(Box::new(Unanswered {
                unsent,
                closed: error.is_canceled() || error.is_closed() || is_reset(source),
                why: source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}")),
                refused: None,
            }))
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
        if let Some(refused) = self.refused {
            return refused;
        }
        match progress.and_then(Progress::why_cut) {
            Some(Cut::TooLarge) => Failure::TooLarge,
            Some(Cut::ClientSlow) => Failure::ClientSlow,
            Some(Cut::ClientGone) => Failure::ClientGone,
            Some(Cut::UpstreamSilent | Cut::Revoked) | None => Failure::Broken(self.why),
        }
    }
}
