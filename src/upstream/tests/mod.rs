//! A gate between a raw client and backends that record every byte.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod balance;
mod faults;
mod framing;
mod heads;
mod secure;
mod tunnels;

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Response};
use http_body_util::BodyExt;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{Backends, IdentityNames, Outgoing, Signals, Upstreams, Via};
use crate::accounts::{Account, Flag};
use crate::authn::{FirstUses, Identity, Lease, Method, RouteNames};
use crate::config::settings::*;
use crate::decision::Permit;
use crate::model::{Role, UserRecord};
use crate::request::{Client, Received, RequestId, Scheme};
use crate::time::{Clock, Timestamp};
use crate::wire::Body;

/// Runs a test on one thread, as a worker does; ten seconds are for ever.
fn local(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let tasks = tokio::task::LocalSet::new();
    let limited = async { tokio::time::timeout(Duration::from_secs(10), test).await };
    runtime
        .block_on(tasks.run_until(limited))
        .expect("the test ends in time");
}

fn tcp(scheme: UpstreamScheme, address: SocketAddr) -> UpstreamAddr {
    UpstreamAddr {
        scheme,
        target: UpstreamTarget::Tcp {
            host: address.ip().to_string(),
            port: address.port(),
        },
    }
}

fn name(text: &'static str) -> Option<HeaderName> {
    Some(HeaderName::from_static(text))
}

fn route_to(upstream: Vec<UpstreamAddr>) -> Route {
    Route {
        name: "*/".to_owned(),
        host: None,
        path: "/".to_owned(),
        upstream,
        ca_file: None,
        server_name: None,
        access: Access::User,
        identity_headers: Arc::new(IdentityHeaders {
            user: name("remote-user"),
            groups: name("remote-groups"),
            name: name("remote-name"),
            email: name("remote-email"),
            scope: None,
            separator: ',',
        }),
        pass_credentials: false,
        query_token: false,
        host_header: HostHeader::Preserve,
        strip_prefix: false,
        health: None,
        preflight_pass: false,
        websocket: WebSocket::Write,
        encoded_slash: false,
        path_params: false,
        csrf: crate::config::settings::Csrf::Enforce,
    }
}

fn anna(lease: Lease) -> Arc<Identity> {
    Arc::new(Identity {
        account: Arc::new(Account {
            user: UserRecord {
                name: "anna".to_owned(),
                role: Role::User,
                groups: vec!["family".to_owned(), "garden".to_owned()],
                display_name: "Anna J\u{fc}rgens".to_owned(),
                email: String::new(),
                password: None,
                disabled: false,
                preferences: Default::default(),
                created: Timestamp::from_millis(0),
            },
            flag: lease.user.clone(),
            password: Flag::up(),
        }),
        method: Method::ApiToken,
        token: None,
        lease,
        audited: FirstUses::new(&RouteNames::none()),
    })
}

fn for_ever() -> Lease {
    Lease {
        user: Flag::up(),
        shown: None,
        session: None,
    }
}

/// What a test changes before the gate starts.
struct Setup {
    routes: Vec<Route>,
    identity: Option<Arc<Identity>>,
    preflight: bool,
    client: Client,
    timeouts: Timeouts,
    limits: Limits,
    clock: Clock,
    http2: bool,
}

impl Setup {
    fn to(upstream: Vec<UpstreamAddr>) -> Self {
        let long = Duration::from_secs(60);
        Self {
            routes: vec![route_to(upstream)],
            identity: Some(anna(for_ever())),
            preflight: false,
            client: Client::Address([192, 0, 2, 7].into()),
            timeouts: Timeouts {
                head: long,
                connect: Duration::from_secs(5),
                response: long,
                idle: long,
                tunnel_idle: long,
                drain: long,
            },
            limits: Limits {
                head: 16 * 1024,
                body: None,
                connections: 100,
            },
            clock: Clock::manual(Timestamp::from_millis(1_000_000)),
            http2: false,
        }
    }

    fn route(&mut self) -> &mut Route {
        &mut self.routes[0]
    }

    async fn start(self) -> Gate {
        let shared = Arc::new(Backends::new(self.clock.clone()));
        let backends = shared.resolve(&self.routes).unwrap();
        let (revoke, revocations) = watch::channel(0);
        let (stop, drain) = watch::channel(false);
        let upstreams = Upstreams::new(
            Arc::clone(&shared),
            Signals {
                accounts: None,
                revocations,
                drain,
            },
        );
        let failures = Rc::new(RefCell::new(Vec::new()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gate = Gate {
            address: listener.local_addr().unwrap(),
            shared,
            revoke,
            stop,
            failures: Rc::clone(&failures),
        };
        let inside = Rc::new(Inside {
            names: IdentityNames::of(&self.routes),
            backends,
            upstreams,
            failures,
            setup: self,
        });
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let inside = Rc::clone(&inside);
                tokio::task::spawn_local(async move {
                    let http2 = inside.setup.http2;
                    let service = service_fn(move |request| {
                        let inside = Rc::clone(&inside);
                        async move { Ok::<_, Infallible>(inside.answer(request).await) }
                    });
                    let io = TokioIo::new(stream);
                    if http2 {
                        let _ = hyper::server::conn::http2::Builder::new(Local)
                            .serve_connection(io, service)
                            .await;
                    } else {
                        // Upgrades need an I/O that can be sent; the service needs not.
                        let _ = hyper::server::conn::http1::Builder::new()
                            .serve_connection(io, service)
                            .with_upgrades()
                            .await;
                    }
                });
            }
        });
        gate
    }
}

#[derive(Clone)]
struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}

struct Inside {
    names: IdentityNames,
    backends: Vec<super::RouteBackends>,
    upstreams: Upstreams,
    failures: Rc<RefCell<Vec<&'static str>>>,
    setup: Setup,
}

impl Inside {
    async fn answer(&self, request: hyper::Request<hyper::body::Incoming>) -> Response<Body> {
        let authority = request
            .headers()
            .get("host")
            .map(|host| host.to_str().unwrap().to_owned())
            .or_else(|| request.uri().authority().map(ToString::to_string))
            .unwrap_or_default();
        let outgoing = Outgoing {
            route: &self.setup.routes[0],
            client: self.setup.client,
            scheme: Scheme::Https,
            authority: &authority,
            request_id: RequestId::from_bits(0xabc),
            target: None,
            upgrade: request.headers().contains_key("upgrade"),
            identity_names: &self.names,
        };
        let via = Via {
            backends: &self.backends[0],
            identity_names: &self.names,
            timeouts: &self.setup.timeouts,
            limits: &self.setup.limits,
            name_backend: false,
        };
        let permit = Permit::for_tests(self.setup.identity.clone(), self.setup.preflight);
        let request = request.map(|body| Body::stream(body.map_err(Into::into)));
        let (mut parts, body) = request.into_parts();
        let on_client = outgoing
            .upgrade
            .then(|| crate::upstream::ClientSide::take(&mut parts.extensions));
        let passed = self.upstreams.pass(permit, &outgoing, &Received::of(&parts));
        let answer = match passed {
            Ok(mut passed) => match on_client {
                Some(on_client) => {
                    let forwarded = self.upstreams.forward_upgrade(&mut passed, &via, body, on_client);
                    forwarded.await
                }
                None => self.upstreams.forward(&mut passed, &via, body).await,
            },
            Err(failure) => Err(failure),
        };
        match answer {
            Ok(answer) => answer.into_response(),
            Err(failure) => {
                self.failures.borrow_mut().push(failure.why());
                let mut response = Response::new(Body::from(failure.to_string()));
                *response.status_mut() = failure.status();
                response
            }
        }
    }
}

/// A running gate, seen from outside.
struct Gate {
    address: SocketAddr,
    shared: Arc<Backends>,
    revoke: watch::Sender<u64>,
    stop: watch::Sender<bool>,
    failures: Rc<RefCell<Vec<&'static str>>>,
}

impl Gate {
    async fn connect(&self) -> Wire {
        Wire::new(TcpStream::connect(self.address).await.unwrap())
    }

    /// Sends one request on a connection of its own; the whole answer until the gate closes.
    async fn ask(&self, request: &str) -> String {
        let mut wire = self.connect().await;
        wire.write(request).await;
        wire.rest().await
    }

    /// GET with more fields.
    async fn get(&self, fields: &str) -> String {
        self.ask(&format!(
            "GET /p?q=1 HTTP/1.1\r\nhost: Home.Example:8480\r\n{fields}connection: close\r\n\r\n"
        ))
        .await
    }
}

/// One end of a raw connection.
struct Wire {
    stream: TcpStream,
    seen: Vec<u8>,
}

impl Wire {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            seen: Vec::new(),
        }
    }

    async fn write(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads until `end` has come, and takes everything up to it; what came instead if closed.
    async fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self
                .seen
                .windows(end.len())
                .position(|window| window == end.as_bytes())
            {
                let taken: Vec<u8> = self.seen.drain(..at + end.len()).collect();
                return String::from_utf8(taken).unwrap();
            }
            if !self.more().await {
                return String::from_utf8(std::mem::take(&mut self.seen)).unwrap();
            }
        }
    }

    async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    async fn rest(&mut self) -> String {
        while self.more().await {}
        String::from_utf8(std::mem::take(&mut self.seen)).unwrap()
    }

    /// False at the end, however it came.
    async fn more(&mut self) -> bool {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer).await {
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.seen.extend_from_slice(&buffer[..count]);
                true
            }
        }
    }
}

/// A backend whose every connection the test plays itself.
struct Origin {
    listener: TcpListener,
    address: SocketAddr,
}

impl Origin {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    fn upstream(&self) -> UpstreamAddr {
        tcp(UpstreamScheme::Http, self.address)
    }

    async fn accept(&self) -> Wire {
        Wire::new(self.listener.accept().await.unwrap().0)
    }

    /// Whether nobody has connected.
    async fn is_alone(&self) -> bool {
        let wait = Duration::from_millis(30);
        tokio::time::timeout(wait, self.listener.accept()).await.is_err()
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// The fields of a head, sorted.
fn fields(head: &str) -> Vec<&str> {
    let mut fields: Vec<&str> = head
        .split("\r\n")
        .skip(1)
        .filter(|line| !line.is_empty())
        .collect();
    fields.sort_unstable();
    fields
}

/// One GET with `fields`, answered with 200: the head as the backend saw it.
async fn seen_by_backend(setup: impl FnOnce(&mut Setup), extra: &str) -> String {
    let origin = Origin::start().await;
    let mut prepared = Setup::to(vec![origin.upstream()]);
    setup(&mut prepared);
    let gate = prepared.start().await;
    let backend = async {
        let mut wire = origin.accept().await;
        let head = wire.head().await;
        wire.write(OK).await;
        head
    };
    let (head, answer) = tokio::join!(backend, gate.get(extra));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    head
}

/// One GET, answered by `response` and a close: what the client got.
async fn relayed(setup: impl FnOnce(&mut Setup), response: &str) -> String {
    let origin = Origin::start().await;
    let mut prepared = Setup::to(vec![origin.upstream()]);
    setup(&mut prepared);
    let gate = prepared.start().await;
    let backend = async {
        let mut wire = origin.accept().await;
        wire.head().await;
        wire.write(response).await;
    };
    let ((), answer) = tokio::join!(backend, gate.get(""));
    answer
}
