//! The listener for operators: is it alive, is it ready, what are its numbers.
//!
//! It stands on an address of its own, so that a full or banned front door hides nothing from
//! those who watch, and nobody outside sees the numbers.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::metrics::{CONTENT_TYPE, Metrics};

/// Connections at once; more are closed at once. Probes and scrapers need two or three.
const CONNECTIONS: usize = 32;
/// For the head of the request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// For a whole connection, which is one request: also for whoever does not read the answer.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(15);
/// After accept failed, mostly for want of file descriptors: trying on at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the operations listener answers.
#[derive(Clone)]
pub struct Operations {
    metrics: Arc<Metrics>,
    ready: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
}

impl fmt::Debug for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operations").finish_non_exhaustive()
    }
}

impl Operations {
    /// `ready` says whether requests can be decided (store reachable, snapshot loaded, not
    /// draining), or in plain words why not. It must not block.
    pub fn new(
        metrics: Arc<Metrics>,
        ready: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            metrics,
            ready: Arc::new(ready),
        }
    }

    /// The answer to one request.
    ///
    /// `/healthz`: 200 while the process runs. `/readyz`: 200, or 503 and the reason. `/metrics`:
    /// Prometheus text. GET and HEAD only.
    pub fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let (status, content_type, body) = match path {
            "/healthz" | "/readyz" | "/metrics" if method != Method::GET && method != Method::HEAD => {
                let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, TEXT, "use GET or HEAD\n".into());
                response
                    .headers_mut()
                    .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
                return response;
            }
            "/healthz" => (StatusCode::OK, TEXT, "ok\n".to_owned()),
            "/readyz" => match (self.ready)() {
                Ok(()) => (StatusCode::OK, TEXT, "ready\n".to_owned()),
                Err(why) => (
                    StatusCode::SERVICE_UNAVAILABLE,
                    TEXT,
                    format!("not ready: {why}\n"),
                ),
            },
            "/metrics" => (StatusCode::OK, CONTENT_TYPE, self.metrics.render()),
            _ => (
                StatusCode::NOT_FOUND,
                TEXT,
                "there are /healthz, /readyz and /metrics\n".to_owned(),
            ),
        };
        plain(status, content_type, body)
    }
}

/// Answers until `shutdown` completes; connections that are open then are cut.
pub async fn serve(listener: TcpListener, operations: Operations, shutdown: impl Future<Output = ()>) {
    let mut shutdown = std::pin::pin!(shutdown);
    let mut connections = JoinSet::new();
    loop {
        // All branches may be dropped half-way: accept and join_next lose nothing.
        tokio::select! {
            () = &mut shutdown => return,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < CONNECTIONS => {
                    connections.spawn(converse(stream, operations.clone()));
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "the operations listener cannot accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

/// One connection with one request.
async fn converse(stream: tokio::net::TcpStream, operations: Operations) {
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let response = operations.answer(request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(16 * 1024)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // A probe that goes away or dawdles is no event.
    let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
}

const TEXT: &str = "text/plain; charset=utf-8";

fn plain(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;

    use super::*;
    use crate::time::Timestamp;

    struct Server {
        address: std::net::SocketAddr,
        ready: Arc<AtomicBool>,
        stop: oneshot::Sender<()>,
        task: tokio::task::JoinHandle<()>,
    }

    impl Server {
        async fn start() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            let ready = Arc::new(AtomicBool::new(true));
            let operations = Operations::new(Arc::new(Metrics::new(Timestamp::default())), {
                let ready = ready.clone();
                move || match ready.load(Ordering::Relaxed) {
                    true => Ok(()),
                    false => Err("the store cannot be reached".to_owned()),
                }
            });
            let (stop, stopped) = oneshot::channel();
            let task = tokio::spawn(serve(listener, operations, async {
                let _ = stopped.await;
            }));
            Self {
                address,
                ready,
                stop,
                task,
            }
        }

        async fn ask(&self, request: &str) -> String {
            let mut stream = TcpStream::connect(self.address).await.expect("connects");
            stream.write_all(request.as_bytes()).await.expect("is written");
            let mut answer = String::new();
            stream
                .read_to_string(&mut answer)
                .await
                .expect("is answered and closed");
            answer
        }

        async fn get(&self, path: &str) -> String {
            self.ask(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await
        }
    }

    #[tokio::test]
    async fn it_tells_life_readiness_and_numbers() {
        let server = Server::start().await;
        assert!(server.get("/healthz").await.starts_with("HTTP/1.1 200 "));
        assert!(server.get("/readyz").await.ends_with("\r\n\r\nready\n"));
        let metrics = server.get("/metrics").await;
        assert!(metrics.contains("content-type: text/plain; version=0.0.4; charset=utf-8"));
        assert!(metrics.contains("\nsidegate_start_time_seconds 0.0\n"));
    }

    #[tokio::test]
    async fn not_ready_is_503_with_the_reason_and_still_alive() {
        let server = Server::start().await;
        server.ready.store(false, Ordering::Relaxed);
        let answer = server.get("/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503 "));
        assert!(answer.ends_with("not ready: the store cannot be reached\n"));
        assert!(server.get("/healthz").await.starts_with("HTTP/1.1 200 "));
    }

    #[tokio::test]
    async fn get_and_head_only_and_nothing_else_is_there() {
        let server = Server::start().await;
        let head = server.ask("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"));
        let post = server
            .ask("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            .await;
        assert!(post.starts_with("HTTP/1.1 405 ") && post.contains("allow: GET, HEAD"));
        for path in ["/", "/metrics/", "/metricsx", "//metrics"] {
            assert!(server.get(path).await.starts_with("HTTP/1.1 404 "), "{path}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_head_and_an_idle_connection_are_cut() {
        let server = Server::start().await;
        for beginning in ["", "GET /healthz HTTP/1.1\r\nHos"] {
            // Time moves by itself to the next timeout while everybody waits.
            let answer = tokio::time::timeout(Duration::from_secs(20), server.ask(beginning)).await;
            let answer = answer.expect("the connection ends before the test's patience");
            assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
        }
    }

    #[tokio::test]
    async fn more_connections_than_the_cap_are_closed_and_places_come_free_again() {
        let server = Server::start().await;
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS {
            held.push(TcpStream::connect(server.address).await.expect("connects"));
        }
        let mut extra = TcpStream::connect(server.address).await.expect("connects");
        let mut byte = [0];
        assert!(matches!(extra.read(&mut byte).await, Ok(0) | Err(_)));
        drop(held);
        // The server notices the ends in its own time.
        loop {
            let mut stream = TcpStream::connect(server.address).await.expect("connects");
            let _ = stream
                .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                .await;
            let mut answer = String::new();
            if stream.read_to_string(&mut answer).await.is_ok() && answer.starts_with("HTTP/1.1 200 ") {
                break;
            }
        }
    }

    #[tokio::test]
    async fn shutdown_ends_it() {
        let server = Server::start().await;
        let _idle = TcpStream::connect(server.address).await.expect("connects");
        server.stop.send(()).expect("it runs");
        server.task.await.expect("it ends");
    }
}
