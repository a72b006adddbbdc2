//! Asks backends whether they are well, where the route says how.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, StatusCode, Uri};
use http_body_util::Empty;
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::backends::{Backend, Backends};
use crate::outbound::{Offer, Protocol};

const EVERY: Duration = Duration::from_secs(5);

impl Backends {
    /// Probes every backend that has `health`, every five seconds, until dropped. One task of the
    /// process runs this. `limit` bounds one probe.
    pub async fn probe_loop(self: Arc<Self>, limit: Duration) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.probe_all(limit).await;
        }
    }

    /// Probes each of them once, all at the same time.
    pub async fn probe_all(&self, limit: Duration) {
        let mut probes = tokio::task::JoinSet::new();
        for backend in self.list() {
            if let Some(path) = backend.health.clone() {
                probes.spawn(async move {
                    let probe = ask(&backend, &path, limit);
                    let answer = tokio::time::timeout(limit, probe).await.ok().flatten();
                    // 2xx and 3xx: the backend is there and means well.
                    backend
                        .probed(answer.is_some_and(|status| status.is_success() || status.is_redirection()));
                });
            }
        }
        while probes.join_next().await.is_some() {}
    }
}

/// The status of a GET; none when there is no answer.
async fn ask(backend: &Backend, path: &str, limit: Duration) -> Option<StatusCode> {
    let (stream, protocol) = backend.connector.connect(Offer::Any, limit).await.ok()?;
    let target = PathAndQuery::try_from(path).ok()?;
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = Method::GET;
    let headers = request.headers_mut();
    headers.insert(header::USER_AGENT, HeaderValue::from_static("sidegate-probe"));
    let io = TokioIo::new(stream);
    let answer = match protocol {
        Protocol::Http1 => {
            headers.insert(header::HOST, backend.host.clone());
            *request.uri_mut() = Uri::from(target);
            let (mut sender, connection) = http1::handshake(io).await.ok()?;
            drive(sender.send_request(request), connection).await
        }
        Protocol::Http2 => {
            *request.uri_mut() = Uri::builder()
                .scheme(backend.scheme.clone())
                .authority(backend.authority.clone())
                .path_and_query(target)
                .build()
                .ok()?;
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.ok()?;
            drive(sender.send_request(request), connection).await
        }
    };
    answer.map(|response| response.status())
}

/// Runs a connection until it has answered one request.
async fn drive<B>(
    answer: impl Future<Output = hyper::Result<Response<B>>>,
    connection: impl Future<Output = hyper::Result<()>>,
) -> Option<Response<B>> {
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer.ok(),
        _ = connection => answer.await.ok(),
    }
}
