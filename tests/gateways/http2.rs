//! HTTP/2 from the client to the gateway, without TLS.

use std::future::Future;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::ext::Protocol;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

#[test]
#[ignore = "needs nginx: run tests/gateways/install first"]
fn nginx_asks_before_every_request_of_http2() {
    // The first questions are HTTP/1.1, and a port of nginx without TLS is for one of the two.
    let other = port_of_every_address();
    Tested::begin("nginx", SETTINGS, "gate.test", |place| {
        let listen = format!("listen {};", place.port);
        let printed = printed("nginx", place);
        assert!(printed.contains(&listen));
        run(
            "nginx",
            place,
            &printed.replace(&listen, &format!("{listen}\n    listen {other} http2;")),
        )
    })
    .over_http2(Some(other), false);
}

#[test]
#[ignore = "needs Traefik: run tests/gateways/install first"]
fn traefik_asks_before_every_request_of_http2() {
    Tested::start("traefik", SETTINGS).over_http2(None, false);
}

#[test]
#[ignore = "needs Caddy: run tests/gateways/install first"]
fn caddy_asks_before_every_request_of_http2() {
    Tested::begin("caddy", SETTINGS, "gate.test", |place| {
        place.write("home.Caddyfile", &printed("caddy", place));
        let whole = "{\n\tadmin off\n\tservers {\n\t\tprotocols h1 h2c\n\t}\n}\nimport home.Caddyfile\n";
        let mut command = Command::new(program("caddy"));
        command
            .args(["run", "--adapter", "caddyfile", "--config"])
            .arg(place.write("Caddyfile", whole));
        place.spawn("caddy", &mut command)
    })
    .over_http2(None, false);
}

#[test]
#[ignore = "needs Envoy: run tests/gateways/install first"]
fn envoy_asks_before_every_request_of_http2() {
    Tested::start("envoy", SETTINGS).over_http2(None, true);
}

#[test]
#[ignore = "needs HAProxy: run tests/gateways/install first"]
fn haproxy_asks_before_every_request_of_http2() {
    Tested::start("haproxy", SETTINGS).over_http2(None, true);
}

fn printed(name: &str, place: &Place<'_>) -> String {
    let app = format!("http://{}", place.app);
    let host = format!("gate.test:{}", place.port);
    let words = ["snippet", name, "--host", &host, "--app", &app];
    place.gate.cli(&words).success().stdout
}

struct Http2 {
    runtime: tokio::runtime::Runtime,
    sender: SendRequest<Empty<Bytes>>,
    authority: String,
}

impl Http2 {
    fn connect(address: SocketAddr, authority: String) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let sender = runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            let builder = Builder::new(TokioExecutor::new());
            let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            sender
        });
        Self {
            runtime,
            sender,
            authority,
        }
    }

    fn request(&self, method: &str, path: &str, lines: &[&str]) -> Request<Empty<Bytes>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.authority));
        for (name, value) in lines.iter().map(|line| line.split_once(": ").unwrap()) {
            request = request.header(name.to_ascii_lowercase(), value);
        }
        request.body(Empty::new()).unwrap()
    }

    /// Status 0 where the gateway resets the stream.
    fn send(&mut self, request: Request<Empty<Bytes>>) -> (u16, Option<Response<Incoming>>) {
        let answer = self.sender.send_request(request);
        match self.runtime.block_on(within(answer)) {
            Ok(answer) => (answer.status().as_u16(), Some(answer)),
            Err(_) => (0, None),
        }
    }

    fn get(&mut self, path: &str, lines: &[&str]) -> u16 {
        let (status, answer) = self.send(self.request("GET", path, lines));
        // The whole of it, so that the gateway is done.
        if let Some(answer) = answer {
            self.runtime
                .block_on(within(answer.into_body().collect()))
                .unwrap();
        }
        status
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap()
}

impl Tested {
    fn over_http2(self, port: Option<u16>, offers_websockets: bool) {
        let address = SocketAddr::new(self.address.ip(), port.unwrap_or(self.address.port()));
        let mut client = Http2::connect(address, self.host());
        let bob = format!("Authorization: Bearer {}", self.bob);
        let anna = format!("X-OPENHAB-TOKEN: {}", self.anna);

        assert_eq!(
            client.get(
                "/a%20b?c",
                &[&bob, "Cookie: a=1", "Cookie: sidegate=x", "Cookie: b=2"]
            ),
            200
        );
        let received = self.backend.take_one();
        assert_eq!(received.line, "GET /a%20b?c HTTP/1.1");
        assert_eq!(received.only("remote-user"), Some("bob"));
        assert_eq!(received.only("host"), Some(&*self.host()));
        assert_eq!(received.only("authorization"), None);
        assert_eq!(received.all("cookie").join("; "), "a=1; b=2");

        assert_eq!(client.get("/admin", &[&anna]), 200);
        assert_eq!(self.backend.take().len(), 1);
        assert_eq!(client.get("/", &[]), 401);
        assert_eq!(client.get("/", &["Sec-Fetch-Mode: navigate"]), 302);
        for lines in [
            &[&*bob][..],
            &[
                &*bob,
                "X-Original-URL: http://gate.test/public",
                "X-Forwarded-Uri: /public",
            ],
        ] {
            assert_eq!(client.get("/admin", lines), 403);
        }
        for path in [
            "/_sidegate/auth/nginx",
            "/_sidegate/auth/envoy/public",
            "/_sidegate/auth",
        ] {
            assert!(matches!(client.get(path, &[&bob]), 403 | 404), "{path}");
        }
        assert!(self.backend.take().is_empty());

        // Each of them may be refused; what arrives is nobody else's word.
        for lines in [
            &["Remote-User: mallory"][..],
            &[
                "Remote_User: mallory",
                "Remote.User: mallory",
                "Remote!User: mallory",
            ],
            &["Host: mallory.test"],
            &["Connection: Remote-User", "Remote-User: mallory"],
            &["TE: mallory"],
            &[
                "X-Forwarded-Host: mallory",
                "X-HTTP-Method-Override: mallory",
                "X-Real-IP: mallory",
            ],
        ] {
            for (credential, user) in [(Some(&*bob), "bob"), (None, "")] {
                // A connection of its own: some refuse by closing it.
                let mut client = Http2::connect(address, self.host());
                let lines: Vec<&str> = lines.iter().copied().chain(credential).collect();
                let status = client.get("/public", &lines);
                let seen = String::from_utf8_lossy(&self.backend.bytes()).into_owned();
                let arrived = self.backend.take();
                assert!(!seen.contains("mallory"), "{lines:?}: {status} {seen}");
                assert_eq!(arrived.len(), usize::from(status == 200), "{lines:?}: {status}");
                for received in arrived {
                    assert_eq!(received.only("remote-user").unwrap_or(""), user, "{lines:?}");
                }
            }
        }
        let (status, _) = client.send(client.request("CONNECT", "", &[&bob]));
        assert_ne!(status, 200);
        assert!(self.backend.take().is_empty());
        self.websockets(address, offers_websockets);
    }

    // RFC 8441
    fn websockets(&self, address: SocketAddr, offered: bool) {
        let open = |line: &str| {
            let mut client = Http2::connect(address, self.host());
            // Whether the gateway offers it stands in its first frame.
            assert_eq!(client.get("/public", &[]), 200);
            self.backend.take();
            let mut request = client.request("CONNECT", "/ws", &[line, "Sec-WebSocket-Version: 13"]);
            request
                .extensions_mut()
                .insert(Protocol::from_static("websocket"));
            let (status, answer) = client.send(request);
            (status, answer, client)
        };
        let bob = format!("Authorization: Bearer {}", self.bob);
        let (status, answer, client) = open(&bob);
        if !offered {
            // Browsers fall back to HTTP/1.1 by themselves.
            assert_ne!(status, 200, "{} offers WebSockets over HTTP/2 now", self.name);
            assert!(self.backend.take().is_empty());
            return;
        }
        assert_eq!(status, 200, "{}", self.name);
        let received = self.backend.take_one();
        assert_eq!(received.line, "GET /ws HTTP/1.1");
        assert_eq!(received.only("upgrade"), Some("websocket"));
        assert_eq!(received.only("remote-user"), Some("bob"));
        assert_eq!(received.only("authorization"), None);
        client.runtime.block_on(async {
            let upgraded = within(hyper::upgrade::on(answer.unwrap())).await.unwrap();
            let mut socket = TokioIo::new(upgraded);
            let sent: Vec<u8> = (0..100_000_u32).map(|byte| byte as u8).collect();
            let (mut reader, mut writer) = tokio::io::split(&mut socket);
            let mut received = vec![0; sent.len()];
            let (wrote, read) =
                tokio::join!(writer.write_all(&sent), within(reader.read_exact(&mut received)));
            wrote.unwrap();
            read.unwrap();
            assert_eq!(received, sent);
        });
        assert_eq!(open("Accept: */*").0, 401);
        assert_eq!(open(&format!("Authorization: Bearer {}", self.rita)).0, 403);
        assert!(self.backend.take().is_empty());
    }
}
