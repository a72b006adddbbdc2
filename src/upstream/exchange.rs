//! One request and its response.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Version};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::TrySendError;
use hyper::{Request, Response};
use tokio::time::Instant;

use super::body::{Cut, Download, LOOK_EVERY, Progress, Upload};
use super::connection::{Connection, Http1};
use super::failure::Failure;
use super::pool::Loan;
use super::request_head::Head;
use super::{Outgoing, ServedBy, Upstreams, response_head};
use crate::decision::Permit;
use crate::outbound::Protocol;
use crate::wire::Body;

type Sent = Result<Response<Incoming>, TrySendError<Request<Upload>>>;

impl Upstreams {
    pub(super) async fn exchange(
        &self,
        permit: &Permit,
        outgoing: &Outgoing<'_>,
        mut head: Head,
        body: Incoming,
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
        let mut headers = std::mem::take(&mut head.headers);
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
                let (mut connection, used) = match opened {
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
                let protocol = connection.protocol();
                let (uri, http) = head.dress(
                    &mut headers,
                    backend,
                    outgoing.route.host_header,
                    protocol,
                    length,
                )?;
                let copy = (used && repeatable && may_retry).then(|| headers.clone());
                let mut request = Request::new(std::mem::replace(&mut upload, Upload::none()));
                *request.method_mut() = head.method.clone();
                *request.uri_mut() = uri;
                *request.version_mut() = http;
                *request.headers_mut() = std::mem::take(&mut headers);
                let sent = self
                    .await_head(
                        connection.send(request),
                        progress.as_deref(),
                        outgoing.timeouts.response,
                        permit,
                    )
                    .await?;
                let mut error = match sent {
                    Ok(response) => {
                        let exchanged = Exchanged {
                            connection,
                            progress,
                            asked: head.method,
                            version,
                        };
                        let mut answer = self.relay(permit, outgoing, response, exchanged)?;
                        if outgoing.name_backend {
                            let name = backend.connector.authority().into();
                            answer.extensions_mut().insert(ServedBy(name));
                        }
                        return Ok(answer);
                    }
                    Err(error) => error,
                };
                let unsent = error.take_message();
                let retry = used && may_retry;
                match (unsent, copy) {
                    (Some(request), _) if retry => {
                        let (parts, body) = request.into_parts();
                        headers = parts.headers;
                        upload = body;
                    }
                    (None, Some(copy)) if is_closed(error.error()) => headers = copy,
                    _ => return Err(broken(&error.into_error(), progress.as_deref())),
                }
                may_retry = false;
                fresh = true;
            }
        }
    }

    /// Waits for the head; not longer than allowed, and not beyond a revocation.
    pub(super) async fn await_head(
        &self,
        sending: impl Future<Output = Sent>,
        progress: Option<&Progress>,
        limit: Duration,
        permit: &Permit,
    ) -> Result<Sent, Failure> {
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

    /// Turns the backend's response into ours.
    pub(super) fn relay(
        &self,
        permit: &Permit,
        outgoing: &Outgoing<'_>,
        response: Response<Incoming>,
        exchanged: Exchanged,
    ) -> Result<Response<Body>, Failure> {
        let (mut parts, body) = response.into_parts();
        response_head::check(&parts)?;
        let trailers = exchanged.version == Version::HTTP_2 && parts.version == Version::HTTP_2;
        let idle = if response_head::is_event_stream(&parts.headers) {
            outgoing.timeouts.tunnel_idle
        } else {
            outgoing.timeouts.idle
        };
        response_head::strip(
            &mut parts,
            &exchanged.asked,
            body.size_hint().exact(),
            outgoing.identity_names,
        );
        let loan = match exchanged.connection {
            Connection::Http1(http1) => Some(Loan {
                http1,
                progress: exchanged.progress,
            }),
            Connection::Http2(_) => None,
        };
        if body.is_end_stream() {
            if let Some(loan) = loan {
                loan.give_back();
            }
            return Ok(Response::from_parts(parts, Body::Empty));
        }
        let mut download = Download::new(body, idle);
        download.loan = loan;
        download.watched = permit
            .identity()
            .map(|identity| (Arc::clone(identity), self.shared.clock().clone()));
        download.trailers = trailers.then(|| outgoing.identity_names.clone());
        Ok(Response::from_parts(parts, Body::stream(download)))
    }
}

/// What a response must be seen against.
pub(super) struct Exchanged {
    pub(super) connection: Connection,
    pub(super) progress: Option<Arc<Progress>>,
    pub(super) asked: Method,
    /// The client's.
    pub(super) version: Version,
}

impl Exchanged {
    /// For a connection that is for this request alone.
    pub(super) fn alone(http1: Http1, asked: Method) -> Self {
        Self {
            connection: Connection::Http1(http1),
            progress: None,
            asked,
            version: Version::HTTP_11,
        }
    }
}

/// Whether a kept connection turned out to be closed, rather than answered wrongly.
fn is_closed(error: &hyper::Error) -> bool {
    error.is_canceled() || error.is_closed() || error.is_incomplete_message() || {
        let source =
            std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
        source.is_some_and(|error| {
            matches!(
                error.kind(),
                std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe
            )
        })
    }
}

/// Whose fault it was: the client's, if the body says so.
pub(super) fn broken(error: &hyper::Error, progress: Option<&Progress>) -> Failure {
    match progress.and_then(Progress::why_cut) {
        Some(Cut::TooLarge) => Failure::TooLarge,
        Some(Cut::ClientSlow) => Failure::ClientSlow,
        Some(Cut::ClientGone) => Failure::ClientGone,
        Some(Cut::UpstreamSilent | Cut::Revoked) | None => {
            let why = std::error::Error::source(error)
                .map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
            Failure::Broken(why)
        }
    }
}

/// Only HTTP/1.1 knows upgrades as we forward them.
pub(super) const TUNNEL_PROTOCOL: Protocol = Protocol::Http1;
