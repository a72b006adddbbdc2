//! HTTP/2 over TLS: ordinary clients, and frames that no ordinary client sends.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::harness::*;
use super::tls::{Authority, handshake, secure};

const LONG: u64 = 60_000;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// `GET path` from `localhost`, in HPACK without the dynamic table.
fn get(path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x87, 0x01, 9];
    block.extend(b"localhost");
    block.extend([0x04, u8::try_from(path.len()).unwrap()]);
    block.extend(path.as_bytes());
    block
}

type Secure = Raw<TlsStream<TcpStream>>;

async fn raw(address: std::net::SocketAddr, authority: &Authority, settings: &[u8]) -> Secure {
    let connector = authority.client(&[b"h2"]);
    let mut client = handshake(&connector, address, "localhost").await.unwrap();
    client
        .send([PREFACE, &frame(SETTINGS, 0, 0, settings)].concat())
        .await;
    client
}

/// The next frame: kind, flags, stream, payload; none when the server closed.
async fn next(client: &mut Secure) -> Option<(u8, u8, u32, Vec<u8>)> {
    let mut header = [0; 9];
    soon(client.0.read_exact(&mut header)).await.ok()?;
    let mut payload = vec![0; u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize];
    soon(client.0.read_exact(&mut payload)).await.ok()?;
    let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
    Some((header[3], header[4], stream, payload))
}

/// Sends the same bytes until the server closes; how often it could.
async fn flood(client: Secure, bytes: Vec<u8>, most: usize) -> usize {
    let (mut read, mut write) = tokio::io::split(client.0);
    let reading = tokio::spawn(async move {
        let mut bytes = [0; 4096];
        while matches!(read.read(&mut bytes).await, Ok(count) if count > 0) {}
    });
    let mut sent = 0;
    while sent < most && soon(write.write_all(&bytes)).await.is_ok() && !reading.is_finished() {
        sent += 1;
    }
    soon(reading).await.unwrap();
    sent
}

async fn client(address: std::net::SocketAddr, authority: &Authority) -> SendRequest<Empty<bytes::Bytes>> {
    let connector = authority.client(&[b"h2"]);
    let stream = handshake(&connector, address, "localhost").await.unwrap();
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .handshake(TokioIo::new(stream.0))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

async fn ask(sender: &mut SendRequest<Empty<bytes::Bytes>>, path: &str) -> hyper::Result<String> {
    let request = Request::get(format!("https://localhost{path}"))
        .body(Empty::new())
        .unwrap();
    let answer = soon(sender.send_request(request)).await?;
    let body = soon(answer.into_body().collect()).await?.to_bytes();
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn many_streams_share_a_connection_and_a_panic_costs_one() {
    let (tested, address, authority) = secure(LONG, LONG);
    let mut sender = client(address, &authority).await;
    let mut waiting = sender.clone();
    let waiting = tokio::spawn(async move { ask(&mut waiting, "/wait").await });
    tested.waiting().await;
    assert!(ask(&mut sender, "/panic").await.is_err());
    assert!(ask(&mut sender, "/peer").await.unwrap().starts_with("Https true"));
    tested.stage.gate.add_permits(1);
    assert_eq!(waiting.await.unwrap().unwrap(), "waited");
    let counters = tested.server.counters();
    until(|| counters.panics.load(Relaxed) == 1).await;
    assert_eq!(counters.accepted.load(Relaxed), 1);
}

#[tokio::test]
async fn a_reset_stream_cancels_its_request() {
    let (tested, address, authority) = secure(LONG, LONG);
    let mut client = raw(address, &authority, &[]).await;
    client
        .send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &get("/wait")))
        .await;
    tested.waiting().await;
    client.send(frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])).await;
    tested.cancelled(1).await;
    client
        .send(frame(HEADERS, END_HEADERS | END_STREAM, 3, &get("/wait")))
        .await;
    tested.waiting().await;
    drop(client);
    tested.cancelled(2).await;
}

#[tokio::test]
async fn a_drain_lets_streams_finish() {
    let (tested, address, authority) = secure(LONG, LONG);
    let mut sender = client(address, &authority).await;
    let mut busy = sender.clone();
    let busy = tokio::spawn(async move { ask(&mut busy, "/wait").await });
    tested.waiting().await;
    let stage = tested.stage.clone();
    let drain = tokio::spawn(tested.server.drain(SOON));
    until(|| std::net::TcpStream::connect(address).is_err()).await;
    soon(async { while ask(&mut sender, "/new").await.is_ok() {} }).await;
    stage.gate.add_permits(1);
    assert_eq!(busy.await.unwrap().unwrap(), "waited");
    assert_eq!(soon(drain).await.unwrap().aborted, 0);
}

// Bad inputs 2.1: "Not limited: ... idle h2 connection (never closed)"
#[tokio::test]
async fn an_idle_connection_is_told_goodbye_and_closed_although_it_pings() {
    let (tested, address, authority) = secure(LONG, 300);
    let mut client = raw(address, &authority, &[]).await;
    client
        .send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &get("/")))
        .await;
    let since = Instant::now();
    let mut goodbye = false;
    loop {
        // one PING for each frame that arrives, so that it is never silent for long
        let ping = frame(PING, 0, 0, &[7; 8]);
        if client.0.write_all(&ping).await.is_err() || client.0.flush().await.is_err() {
            break;
        }
        match next(&mut client).await {
            Some((kind, ..)) => goodbye |= kind == GOAWAY,
            None => break,
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(goodbye);
    assert!(since.elapsed() >= Duration::from_millis(280));
    assert_eq!(tested.server.counters().idle_timeouts.load(Relaxed), 1);
}

#[tokio::test]
async fn a_preface_that_never_comes_closes_after_the_head_time() {
    let (_tested, address, authority) = secure(300, LONG);
    let connector = authority.client(&[b"h2"]);
    for start in [&b""[..], &PREFACE[..10], PREFACE] {
        let mut client = handshake(&connector, address, "localhost").await.unwrap();
        client.send(start).await;
        client.closed().await;
    }
}

// Bad inputs H-11: "HEADERS without END_HEADERS then silence: close within header timeout"
#[tokio::test]
async fn an_unfinished_header_block_closes_after_the_head_time() {
    let (tested, address, authority) = secure(300, LONG);
    let block = get("/");
    let whole = frame(HEADERS, END_STREAM, 1, &block);
    for start in [&whole[..], &whole[..12]] {
        let mut client = raw(address, &authority, &[]).await;
        client
            .send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &get("/first")))
            .await;
        // The time starts with the block, not with the connection.
        tokio::time::sleep(Duration::from_millis(350)).await;
        let second = [&start[..5], &[0, 0, 0, 3], &start[9..]].concat();
        let since = Instant::now();
        client.send(second).await;
        while next(&mut client).await.is_some() {}
        let took = since.elapsed();
        assert!(took >= Duration::from_millis(280), "{took:?}");
    }
    assert_eq!(tested.seen(), ["GET /first"; 2]);
    assert_eq!(tested.server.counters().head_timeouts.load(Relaxed), 2);
}

// Bad inputs 2.1: "Not limited: 200 000 PINGs (0.5 s CPU), 100 000 SETTINGS (0.2 s)"
#[tokio::test]
async fn floods_of_control_frames_are_closed() {
    let (tested, address, authority) = secure(LONG, LONG);
    for bytes in [
        frame(PING, 0, 0, &[0; 8]),
        frame(SETTINGS, 0, 0, &[]),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
        frame(0xbb, 0, 0, &[]), // unknown: ignored by the protocol, not by us
    ] {
        let client = raw(address, &authority, &[]).await;
        let sent = flood(client, bytes.repeat(10), 20_000).await;
        assert!(sent < 20_000, "{sent}");
    }
    assert_eq!(tested.server.counters().floods.load(Relaxed), 4);
    assert!(tested.server.is_healthy());
}

// Bad inputs 2.1: "rapid reset, CONTINUATION (big/empty), empty DATA ... → connection dropped"
#[tokio::test]
async fn rapid_resets_and_continuations_are_closed() {
    let (tested, address, authority) = secure(LONG, LONG);
    let client = raw(address, &authority, &[]).await;
    let (mut read, mut write) = tokio::io::split(client.0);
    let reading = tokio::spawn(async move {
        let mut bytes = Vec::new();
        let _ = read.read_to_end(&mut bytes).await;
    });
    let mut stream = 1;
    while !reading.is_finished() && stream < 200_000 {
        let bytes = [
            frame(HEADERS, END_HEADERS | END_STREAM, stream, &get("/wait")),
            frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]),
        ]
        .concat();
        if soon(write.write_all(&bytes)).await.is_err() {
            break;
        }
        stream += 2;
    }
    assert!(stream < 200_000);
    for continuation in [
        frame(CONTINUATION, 0, 1, &[]),
        frame(CONTINUATION, 0, 1, &[b'a'; 16_000]),
    ] {
        let mut client = raw(address, &authority, &[]).await;
        client.send(frame(HEADERS, 0, 1, &get("/"))).await;
        assert!(flood(client, continuation, 50_000).await < 50_000);
    }
    let mut client = raw(address, &authority, &[]).await;
    client.send(frame(HEADERS, END_HEADERS, 1, &get("/wait"))).await;
    assert!(flood(client, frame(DATA, 0, 1, &[]), 50_000).await < 50_000);
    assert!(tested.server.is_healthy());
    until(|| tested.server.counters().open.load(Relaxed) == 0).await;
}

// Bad inputs 2.1: "Not limited: ... zero-window pinned responses"
#[tokio::test]
async fn a_stream_whose_window_stays_shut_is_reset_and_the_others_go_on() {
    let (tested, address, authority) = secure(LONG, 400);
    // SETTINGS_INITIAL_WINDOW_SIZE = 0
    let mut client = raw(address, &authority, &[0, 4, 0, 0, 0, 0]).await;
    client
        .send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &get("/endless")))
        .await;
    client
        .send(frame(HEADERS, END_HEADERS | END_STREAM, 3, &get("/wait")))
        .await;
    tested.waiting().await;
    while next(&mut client)
        .await
        .is_some_and(|(kind, _, stream, _)| (kind, stream) != (RST_STREAM, 1))
    {}
    assert_eq!(tested.server.counters().stalled.load(Relaxed), 1);
    tested.stage.gate.add_permits(1);
    client.send(frame(WINDOW_UPDATE, 0, 3, &[0, 0, 1, 0])).await;
    loop {
        let (kind, _, stream, payload) = next(&mut client).await.expect("the connection goes on");
        if (kind, stream) == (DATA, 3) {
            assert_eq!(payload, b"waited");
            break;
        }
    }
}

// Threat model: "`max_concurrent_streams` 100, `max_header_list_size` ..."
#[tokio::test]
async fn the_limits_are_announced_and_kept() {
    let (_tested, address, authority) = secure(LONG, LONG);
    let mut client = raw(address, &authority, &[]).await;
    let (kind, _, _, settings) = next(&mut client).await.unwrap();
    assert_eq!(kind, SETTINGS);
    let announced = |id: u16| {
        settings.chunks(6).find_map(|entry| {
            (entry[..2] == id.to_be_bytes())
                .then(|| u32::from_be_bytes([entry[2], entry[3], entry[4], entry[5]]))
        })
    };
    assert_eq!(announced(3), Some(100)); // MAX_CONCURRENT_STREAMS
    assert_eq!(announced(4), Some(65_536)); // INITIAL_WINDOW_SIZE
    assert_eq!(announced(6), Some(16_384)); // MAX_HEADER_LIST_SIZE: limits.head of these tests
    assert_eq!(announced(8), None); // ENABLE_CONNECT_PROTOCOL
    for stream in (1..=201).step_by(2) {
        client
            .send(frame(HEADERS, END_HEADERS | END_STREAM, stream, &get("/wait")))
            .await;
    }
    loop {
        let (kind, _, stream, payload) = next(&mut client).await.unwrap();
        if kind == RST_STREAM {
            assert_eq!((stream, payload), (201, vec![0, 0, 0, 7])); // REFUSED_STREAM
            break;
        }
    }
}
