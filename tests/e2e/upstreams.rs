//! Backends of every kind, several of them, and what happens when they are down.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::backend::{Recorder, Reply, keep_alive, websocket_or_ok};
use crate::support::{Backend, Client, Sidegate, WebSocket, eventually};

fn gate(route: &str) -> (Sidegate, String) {
    let gate = Sidegate::start(&format!("[[route]]\npath = \"/\"\n{route}"));
    gate.cli(&["user", "add", "anna"]).success();
    let header = format!("X-OPENHAB-TOKEN: {}", gate.token("anna", "phone"));
    (gate, header)
}

/// An address where nobody listens, and nobody will: the listener is kept and never listens again.
fn dead() -> (socket2::Socket, String) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket
        .bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .expect("loopback has ports");
    let address = socket.local_addr().expect("bound").as_socket().expect("IPv4");
    // Bound and not listening: connections are refused.
    (socket, format!("http://{address}"))
}

// "`unix:/path`"
#[test]
fn a_backend_on_a_unix_socket_is_reached() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("backend.sock");
    let listener = UnixListener::bind(&path).expect("a free path");
    let recorder = Recorder::default();
    let heard = recorder.clone();
    std::thread::spawn(move || {
        let reply: Reply = Arc::new(websocket_or_ok);
        for stream in listener.incoming().flatten() {
            let (recorder, reply) = (recorder.clone(), Arc::clone(&reply));
            std::thread::spawn(move || keep_alive(stream, &recorder, &reply));
        }
    });
    let (gate, header) = gate(&format!("upstream = \"unix:{}\"\n", path.display()));
    for _ in 0..3 {
        let answer = gate.send("POST", "/x", &[&header], b"state");
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    }
    let mut socket = WebSocket::open(Client::to(gate.address), "/ws", &[&header])
        .map_err(|a| a.status)
        .expect("101");
    socket.say("hello");
    assert_eq!(socket.hear().as_deref(), Some("hello"));
    let received = heard.requests();
    assert_eq!(received.len(), 4);
    assert_eq!(
        (received[0].body.as_slice(), received[0].only("remote-user")),
        (&b"state"[..], Some("anna"))
    );
}

// "HTTP/1.1 or h2 out"
#[test]
fn a_backend_that_speaks_http_2_without_tls_is_reached() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let address = listener.local_addr().expect("bound");
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async move {
            listener.set_nonblocking(true).expect("a socket");
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let io = hyper_util::rt::TokioIo::new(stream);
                tokio::task::spawn_local(
                    hyper::server::conn::http2::Builder::new(Local)
                        .serve_connection(io, hyper::service::service_fn(echo)),
                );
            }
        });
    });
    let (gate, header) = gate(&format!("upstream = \"h2c://{address}\"\n"));
    let body = vec![b'x'; 300_000];
    let before = connections.load(Ordering::SeqCst);
    let mut client = Client::to(gate.address);
    for number in 0..20 {
        let answer = client.send("POST", &format!("/{number}"), &[&header], &body);
        assert_eq!(answer.status, 200);
        let head = format!("POST /{number} HTTP/2.0 anna\n");
        assert_eq!(&answer.body[..head.len()], head.as_bytes());
        assert!(answer.body[head.len()..] == body, "the body came back");
    }
    assert_eq!(
        connections.load(Ordering::SeqCst) - before,
        1,
        "one connection carries them all"
    );
}

#[derive(Clone)]
struct Local;

impl<F: std::future::Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(async move {
            task.await;
        });
    }
}

async fn echo(
    request: hyper::Request<hyper::body::Incoming>,
) -> Result<hyper::Response<http_body_util::Full<bytes::Bytes>>, std::convert::Infallible> {
    use http_body_util::BodyExt;
    let user = request
        .headers()
        .get("remote-user")
        .and_then(|value| value.to_str().ok())
        .unwrap_or("-");
    let head = format!(
        "{} {} {:?} {user}\n",
        request.method(),
        request.uri().path(),
        request.version()
    );
    let body = request
        .into_body()
        .collect()
        .await
        .expect("a whole body")
        .to_bytes();
    let answer = [head.as_bytes(), &body].concat();
    Ok(hyper::Response::new(http_body_util::Full::from(answer)))
}

#[test]
fn with_one_of_several_backends_down_no_request_fails() {
    let (one, two) = (Backend::start(), Backend::start());
    let (_kept, dead) = dead();
    let (gate, header) = gate(&format!(
        "upstream = [\"http://{}\", \"{dead}\", \"http://{}\"]\n",
        one.address, two.address
    ));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::to(gate.address);
                for number in 0..100 {
                    let answer = client.send("POST", "/", &[&header], b"state");
                    assert_eq!(
                        (answer.status, answer.text().as_str()),
                        (200, "ok"),
                        "number {number}"
                    );
                }
            });
        }
    });
    let (one, two) = (one.take().len(), two.take().len());
    assert_eq!(one + two, 400);
    assert!(one > 100 && two > 100, "{one} and {two}");
    let up = |address: &str| gate.metric(&format!("sidegate_upstream_up{{upstream=\"{address}\"}}"));
    assert_eq!(up(dead.trim_start_matches("http://")), 0.0);
}

// "502 and 504 when the upstream fails"
#[test]
fn with_all_backends_down_the_answer_comes_at_once_and_they_are_found_again() {
    let (first, dead_one) = dead();
    let (_second, dead_two) = dead();
    let (gate, header) = gate(&format!("upstream = [\"{dead_one}\", \"{dead_two}\"]\n"));
    let mut client = Client::to(gate.address);
    let mut seen = Vec::new();
    for _ in 0..20 {
        let began = Instant::now();
        let answer = client.get("/", &[&header]);
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        assert!([502, 503].contains(&answer.status), "{answer:?}");
        assert_eq!(
            answer.status == 503,
            answer.header("retry-after").is_some(),
            "{answer:?}"
        );
        seen.push(answer.status);
    }
    assert!(
        seen.iter().filter(|status| **status == 503).count() >= 15,
        "{seen:?}"
    );
    assert!(gate.metric("sidegate_upstream_failures_total{why=\"connect\"}") >= 1.0);
    assert!(gate.metric("sidegate_upstream_failures_total{why=\"unhealthy\"}") >= 15.0);
    // "TRIAL_EVERY": one of them comes back and serves, without a restart or a reload.
    first.listen(16).expect("a bound socket");
    let listener = TcpListener::from(first);
    std::thread::spawn(move || {
        let reply: Reply = Arc::new(websocket_or_ok);
        for stream in listener.incoming().flatten() {
            let reply = Arc::clone(&reply);
            std::thread::spawn(move || keep_alive(stream, &Recorder::default(), &reply));
        }
    });
    let mut back = || client.get("/", &[&header]).status == 200;
    eventually(&mut back, || "it is not found again".into());
}

// "`health = "/path"` (no probe without it)"
#[test]
fn a_backend_that_says_it_is_ill_gets_no_requests_until_it_is_well() {
    let ill = Arc::new(AtomicBool::new(true));
    let is_ill = Arc::clone(&ill);
    let one = Backend::replying(move |received| {
        if received.line.contains("/health") && is_ill.load(Ordering::SeqCst) {
            return b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_vec();
        }
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()
    });
    let two = Backend::start();
    let (gate, header) = gate(&format!(
        "upstream = [\"http://{}\", \"http://{}\"]\nhealth = \"/health\"\n",
        one.address, two.address
    ));
    let up = || gate.metric(&format!("sidegate_upstream_up{{upstream=\"{}\"}}", one.address));
    eventually(|| up() == 0.0, || "the ill one stays in service".into());
    one.take();
    two.take();
    for _ in 0..20 {
        assert_eq!(gate.get("/", &[&header]).status, 200);
    }
    let asked = |backend: &Backend| {
        backend
            .take()
            .iter()
            .filter(|r| r.line.starts_with("GET / "))
            .count()
    };
    assert_eq!((asked(&one), asked(&two)), (0, 20));
    ill.store(false, Ordering::SeqCst);
    eventually(|| up() == 1.0, || "the well one stays out of service".into());
    for _ in 0..20 {
        assert_eq!(gate.get("/", &[&header]).status, 200);
    }
    assert_eq!((asked(&one), asked(&two)), (10, 10));
    // Probes tell nobody who anybody is.
    let probes = two.requests();
    assert!(
        probes.iter().all(|probe| probe.all("authorization").is_empty()),
        "{probes:?}"
    );
}

// "timeouts: connect, response"; "502 and 504 when the upstream fails"
#[test]
fn a_backend_that_breaks_off_or_says_nothing_is_answered_for() {
    let backend = Backend::serving(|stream, recorder| {
        let mut reader = std::io::BufReader::new(stream);
        while let Some(received) = recorder.read(&mut reader) {
            use std::io::Write;
            if received.line.contains("/silent") {
                std::thread::sleep(Duration::from_secs(20));
                return;
            }
            if received.line.contains("/garbage") {
                let _ = reader.get_mut().write_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n");
                return;
            }
            if received.line.contains("/gone") {
                return;
            }
            let _ = reader
                .get_mut()
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let (gate, header) = gate(&format!(
        "upstream = \"http://{}\"\n[timeouts]\nresponse = \"1s\"\n",
        backend.address
    ));
    for (path, status) in [("/gone", 502), ("/garbage", 502), ("/silent", 504), ("/", 200)] {
        let answer = gate.send("POST", path, &[&header], b"state");
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        let times = backend.take().len();
        assert_eq!(times, 1, "{path}: what may have been done is not sent again");
    }
}

// RFC 9112 section 9.6: "A server that sends a "close" connection option MUST initiate closure"; and one
// that will close without having said so makes its client guess what became of the next request.
#[test]
fn a_backend_that_answers_before_an_upload_is_read_costs_its_connection_with_a_word() {
    let backend = Backend::serving(|stream, _| {
        use std::io::{BufRead, Write};
        let mut reader = std::io::BufReader::new(stream);
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|count| count > 0) {
            if line == "\r\n" {
                // At once, and the body is for nobody.
                let _ = reader
                    .get_mut()
                    .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
                let _ = std::io::copy(&mut reader, &mut std::io::sink());
                return;
            }
            line.clear();
        }
    });
    let (gate, header) = gate(&format!("upstream = \"http://{}\"\n", backend.address));
    for framing in ["Content-Length: 10000", "Transfer-Encoding: chunked"] {
        let mut client = Client::to(gate.address);
        // Without its body, which is never sent.
        client.begin("POST", "/early", &[&header, framing], b"");
        let answer = client.answer();
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "{framing}");
        assert_eq!(
            answer.header("connection"),
            Some("close"),
            "{framing}: {answer:?}"
        );
        assert_eq!(client.answer().status, 0, "{framing}: it is closed, as it said");
    }
    // What is there as a whole is skipped, or the end announced: in no case a surprise.
    let whole = [
        ("Content-Length: 5", "state".to_owned()),
        (
            "Transfer-Encoding: chunked",
            format!("2710\r\n{:10000}\r\n0\r\n\r\n", ""),
        ),
    ];
    for (framing, body) in whole {
        use std::io::Write;
        let mut client = Client::to(gate.address);
        for number in 0..200 {
            client.begin("POST", "/early", &[&header, framing], b"");
            let _ = client.stream().get_mut().write_all(body.as_bytes());
            let answer = client.answer();
            assert_eq!(answer.status, 200, "{framing}, number {number}: {answer:?}");
            if answer.header("connection") == Some("close") {
                client = Client::to(gate.address);
            }
        }
    }
}
