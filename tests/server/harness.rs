//! A server to test, its service, and a raw HTTP/1 client.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Extensions, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use sidegate::config::settings::{Limits, Listen, Timeouts};
use sidegate::request::{Peer, Received};
use sidegate::server::{Role, Serve, Server, bind};
use sidegate::time::Clock;
use sidegate::wire::{Answer, Body, Lines, Now, Piped};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Longer than anything here takes on a busy machine; reaching it means that it hangs.
pub const SOON: Duration = Duration::from_secs(10);

/// What the service saw and may do.
pub struct Stage {
    /// Request lines in the order of their arrival.
    pub seen: Mutex<Vec<String>>,
    /// Requests whose future was dropped before its end.
    pub cancelled: AtomicUsize,
    /// Requests to `/wait` go on for one permit each.
    pub gate: Semaphore,
    /// `/wait` requests that have begun.
    pub waiting: Semaphore,
}

impl Default for Stage {
    fn default() -> Self {
        Self {
            seen: Mutex::default(),
            cancelled: AtomicUsize::default(),
            gate: Semaphore::new(0),
            waiting: Semaphore::new(0),
        }
    }
}

/// With the number of its worker.
pub struct Actor(Arc<Stage>, usize);

struct Cancelled<'s>(&'s AtomicUsize, bool);

impl Drop for Cancelled<'_> {
    fn drop(&mut self) {
        if self.1 {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Serve for Actor {
    fn serve_now(self: &Rc<Self>, received: &mut Received<'_>, _: &mut Body, _: Peer, _: Role) -> Now {
        if received.path() != "/now" {
            return Now::Waits;
        }
        let mut seen = self.0.seen.lock().unwrap();
        if seen.is_empty() {
            let stage = Arc::clone(&self.0);
            tokio::task::spawn_local(
                async move { stage.seen.lock().unwrap().push("another task".to_owned()) },
            );
        }
        seen.push("GET /now".to_owned());
        let answer = Answer::new(StatusCode::OK, Lines::with_room(), Body::Empty);
        Now::Answered(answer, Clock::system().read())
    }

    async fn serve(
        &self,
        received: Received<'_>,
        extensions: &mut Extensions,
        body: Body,
        peer: Peer,
        role: Role,
    ) -> Answer {
        let stage = &self.0;
        let path = received.path().to_owned();
        stage
            .seen
            .lock()
            .unwrap()
            .push(format!("{} {path}", received.method));
        let mut guard = Cancelled(&stage.cancelled, true);
        let mut answer = match path.as_str() {
            "/wait" => {
                stage.waiting.add_permits(1);
                stage.gate.acquire().await.unwrap().forget();
                Response::new(Body::from("waited"))
            }
            "/refuse" => {
                let mut answer = Response::new(Body::from("no"));
                *answer.status_mut() = http::StatusCode::UNAUTHORIZED;
                answer
            }
            "/panic" => panic!("as asked"),
            "/read" => match body.collect().await {
                Ok(body) => Response::new(Body::from(body.to_bytes().len().to_string())),
                Err(error) => Response::new(Body::from(error.to_string())),
            },
            "/endless" => Response::new(Body::stream(Endless)),
            "/peer" => Response::new(Body::from(format!("{role:?} {} {:?}", peer.tls, peer.address))),
            "/worker" => Response::new(Body::from(self.1.to_string())),
            "/upgrade" => {
                let mut request = Request::new(());
                std::mem::swap(request.extensions_mut(), extensions);
                let upgrade = hyper::upgrade::on(&mut request);
                tokio::task::spawn_local(async move {
                    let mut io = TokioIo::new(upgrade.await.unwrap());
                    let mut byte = [0];
                    while io.read_exact(&mut byte).await.is_ok() {
                        io.write_all(&byte).await.unwrap();
                    }
                });
                let mut answer = Response::new(Body::Empty);
                *answer.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
                answer
                    .headers_mut()
                    .insert("connection", "upgrade".parse().unwrap());
                answer.headers_mut().insert("upgrade", "test".parse().unwrap());
                answer
            }
            path => Response::new(Body::from(path.to_owned())),
        };
        guard.1 = false;
        answer.headers_mut().insert("x-test", "1".parse().unwrap());
        answer.into()
    }
}

/// Bytes without end.
struct Endless;

impl Piped for Endless {}

impl http_body::Body for Endless {
    type Data = bytes::Bytes;
    type Error = sidegate::wire::BodyError;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        let piece = bytes::Bytes::from_static(&[b'x'; 16_384]);
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(piece))))
    }
}

/// Short times; `head` and `idle` in milliseconds.
pub fn timeouts(head: u64, idle: u64) -> Timeouts {
    Timeouts {
        head: Duration::from_millis(head),
        connect: SOON,
        response: SOON,
        idle: Duration::from_millis(idle),
        tunnel_idle: SOON,
        drain: SOON,
    }
}

pub fn limits(connections: usize) -> Limits {
    Limits {
        head: 16_384,
        body: None,
        connections,
    }
}

pub struct Tested {
    pub server: Server,
    pub stage: Arc<Stage>,
}

/// A server with two workers and no listener.
pub fn start(timeouts: &Timeouts, limits: &Limits) -> Tested {
    let stage = Arc::new(Stage::default());
    let given = stage.clone();
    let server = Server::start(2, timeouts, limits, move |number| Actor(given.clone(), number)).unwrap();
    Tested { server, stage }
}

/// A server with one plain listener.
pub fn plain(head: u64, idle: u64) -> (Tested, SocketAddr) {
    let tested = start(&timeouts(head, idle), &limits(1000));
    let address = tested.listen(Role::Http);
    (tested, address)
}

impl Tested {
    pub fn listen(&self, role: Role) -> SocketAddr {
        let any = Listen::Tcp((Ipv4Addr::LOCALHOST, 0).into());
        let bound = bind(&any, role, 2).unwrap();
        let Listen::Tcp(address) = *bound.address() else {
            unreachable!()
        };
        self.server.add(bound);
        address
    }

    pub fn seen(&self) -> Vec<String> {
        self.stage.seen.lock().unwrap().clone()
    }

    /// A `/wait` request has reached the service.
    pub async fn waiting(&self) {
        let permit = soon(self.stage.waiting.acquire()).await.unwrap();
        permit.forget();
    }

    /// So many requests were dropped before their end.
    pub async fn cancelled(&self, count: usize) {
        until(|| self.stage.cancelled.load(Ordering::SeqCst) == count).await;
    }
}

/// Panics when it hangs.
pub async fn soon<F: Future>(future: F) -> F::Output {
    timeout(SOON, future).await.expect("hangs")
}

/// Looks until it is so.
pub async fn until(is_so: impl Fn() -> bool) {
    soon(async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// A client that writes bytes and reads bytes.
pub struct Raw<T>(pub T);

pub async fn connect(address: SocketAddr) -> Raw<TcpStream> {
    Raw(TcpStream::connect(address).await.unwrap())
}

impl<T: AsyncRead + AsyncWrite + Unpin> Raw<T> {
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon(self.0.write_all(bytes.as_ref())).await.unwrap();
        soon(self.0.flush()).await.unwrap();
    }

    /// Asks for a path, with a `Host`.
    pub async fn get(&mut self, path: &str) {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
    }

    /// One answer: head and, by its `content-length`, body. Empty when the server closed.
    pub async fn answer(&mut self) -> String {
        let mut bytes = Vec::new();
        let mut need = None;
        while need.is_none_or(|need| bytes.len() < need) {
            let mut byte = [0];
            match soon(self.0.read(&mut byte)).await {
                Ok(0) | Err(_) => break,
                Ok(_) => bytes.extend(byte),
            }
            if need.is_none() && bytes.ends_with(b"\r\n\r\n") {
                let head = String::from_utf8(bytes.clone()).unwrap();
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "))
                    .map_or(0, |length| length.parse().unwrap());
                need = Some(bytes.len() + length);
            }
        }
        String::from_utf8(bytes).unwrap()
    }

    /// Everything until the server closes, in order; panics on a reset.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        soon(self.0.read_to_end(&mut bytes)).await.unwrap();
        bytes
    }

    /// Everything until the server closes or resets.
    pub async fn closed(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = soon(self.0.read_to_end(&mut bytes)).await;
        bytes
    }
}
