//! WebSockets and streams of events.

use std::io::{BufRead, BufReader, Read, Write};
use std::time::{Duration, Instant};

use crate::support::backend::websocket_or_ok;
use crate::support::{Backend, Client, Sidegate, WebSocket, connect, eventually};

/// "an SSE stream silent for 30 s while `timeouts.idle = "2s"`"
const SILENCE: Duration = Duration::from_secs(30);

#[test]
fn a_thousand_websockets_are_open_at_once_and_each_echoes() {
    let backend = Backend::websocket();
    let gate = Sidegate::with_anna(&backend, "");
    let header = format!("X-OPENHAB-TOKEN: {}", gate.token("anna", "phone"));
    let mut sockets: Vec<WebSocket> = (0..1000)
        .map(|number| {
            let opened = WebSocket::open(Client::to(gate.address), "/ws", &[&header]);
            opened.unwrap_or_else(|answer| panic!("number {number}: {answer:?}"))
        })
        .collect();
    assert_eq!(gate.metric("sidegate_tunnels_open"), 1000.0);
    for round in 0..2 {
        for (number, socket) in sockets.iter_mut().enumerate() {
            socket.say(&format!("{round}/{number}"));
        }
        for (number, socket) in sockets.iter_mut().enumerate() {
            assert_eq!(
                socket.hear().as_deref(),
                Some(format!("{round}/{number}").as_str())
            );
        }
    }
    println!(
        "with 1000 open: {} KiB, {} descriptors",
        gate.resident(),
        gate.descriptors()
    );
    // "open sockets close within a second": all of them.
    gate.cli(&["token", "revoke", "phone", "--user", "anna"])
        .success();
    for socket in &mut sockets {
        assert_eq!(socket.hear(), None);
    }
    eventually(
        || gate.metric("sidegate_tunnels_open") == 0.0,
        || "tunnels stay open".into(),
    );
    // Nothing of them stays: what is left is listeners, store, log and the like.
    eventually(
        || gate.descriptors() < 100,
        || format!("{} descriptors stay open", gate.descriptors()),
    );
}

// "WebSocket only after the upstream's 101"
#[test]
fn a_websocket_opens_by_every_road_and_only_with_a_credential() {
    let backend = Backend::websocket();
    let gate = Sidegate::with_anna(&backend, "");
    let token = gate.token("anna", "phone");
    let roads = [
        format!("Authorization: Bearer {token}"),
        format!("X-OPENHAB-TOKEN: {token}"),
        format!(
            "Authorization: Basic {}",
            crate::support::base64(&format!("{token}:"))
        ),
    ];
    for road in &roads {
        let mut socket = WebSocket::open(Client::to(gate.address), "/ws", &[road])
            .map_err(|a| a.status)
            .expect("101");
        socket.say("state");
        assert_eq!(socket.hear().as_deref(), Some("state"), "{road}");
        let received = backend.take_one();
        assert_eq!(received.only("remote-user"), Some("anna"));
        assert_eq!(received.all("authorization"), [""; 0]);
    }
    for headers in [&[][..], &["X-OPENHAB-TOKEN: oh.phone.wrong"]] {
        let refused = WebSocket::open(Client::to(gate.address), "/ws", headers)
            .map(|_| ())
            .expect_err("refused");
        assert_eq!(refused.status, 401);
    }
    assert_eq!(backend.bytes(), b"");
}

// "timeouts.idle: silence on a connection that waits for its next request, and between two pieces of a
// body"; "tunnel_idle: silence in a WebSocket or a stream of server-sent events"
#[test]
fn events_may_be_silent_for_long_and_other_silence_ends() {
    let backend = Backend::serving(|mut stream, recorder| {
        let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
        while let Some(received) = recorder.read(&mut reader) {
            let kind = match received.line.split(' ').nth(1).unwrap_or("") {
                "/events" => "text/event-stream",
                "/stalls" => "text/plain",
                _ => {
                    let _ = stream.write_all(&websocket_or_ok(&received));
                    if received.only("sec-websocket-key").is_some() {
                        let mut piece = [0; 256];
                        while let Ok(count @ 1..) = reader.read(&mut piece) {
                            let _ = stream.write_all(&piece[..count]);
                        }
                    }
                    continue;
                }
            };
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n");
            let _ = stream.write_all(format!("{head}9\r\ndata: 1\n\n\r\n").as_bytes());
            std::thread::sleep(SILENCE);
            let _ = stream.write_all(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n");
        }
    });
    let gate = Sidegate::with_anna(&backend, "[timeouts]\nidle = \"2s\"\n");
    let header = format!("X-OPENHAB-TOKEN: {}", gate.token("anna", "phone"));
    let short = Duration::from_secs(2)..SILENCE / 2;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let began = Instant::now();
            let answer = Client::to(gate.address).get("/events", &[&header]);
            assert_eq!(
                (answer.status, answer.text().as_str()),
                (200, "data: 1\n\ndata: 2\n\n")
            );
            assert!(began.elapsed() >= SILENCE);
        });
        scope.spawn(|| {
            let mut socket = WebSocket::open(Client::to(gate.address), "/ws", &[&header])
                .map_err(|a| a.status)
                .expect("101");
            std::thread::sleep(SILENCE);
            socket.say("still there");
            assert_eq!(socket.hear().as_deref(), Some("still there"));
        });
        scope.spawn(|| {
            let began = Instant::now();
            let mut client = Client::to(gate.address);
            let answer = client.get("/stalls", &[&header]);
            assert_eq!((answer.status, answer.text().as_str()), (200, "data: 1\n\n"));
            // Cut off, not ended: the last chunk never came.
            assert_eq!(client.answer().status, 0);
            assert!(short.contains(&began.elapsed()), "{:?}", began.elapsed());
        });
        scope.spawn(|| {
            let mut client = Client::to(gate.address);
            let began = Instant::now();
            assert_eq!(client.get("/", &[&header]).status, 200);
            assert_eq!(client.answer().status, 0);
            assert!(short.contains(&began.elapsed()), "{:?}", began.elapsed());
        });
        scope.spawn(|| {
            let began = Instant::now();
            let mut stream = connect(gate.address);
            let head = format!("POST / HTTP/1.1\r\nHost: h\r\n{header}\r\nContent-Length: 10\r\n\r\nhalf");
            stream.write_all(head.as_bytes()).expect("the gate listens");
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line).expect("an answer");
            assert!(line.starts_with("HTTP/1.1 408 "), "{line}");
            assert!(short.contains(&began.elapsed()), "{:?}", began.elapsed());
        });
    });
}
