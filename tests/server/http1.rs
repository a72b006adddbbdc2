//! HTTP/1.1: time limits, framing, clients that leave.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;

use super::harness::*;

const LONG: u64 = 60_000;

fn between(since: Instant, least: u64, most: u64) {
    let took = since.elapsed();
    assert!(
        took >= Duration::from_millis(least) && took < Duration::from_millis(most),
        "{took:?} is not between {least} and {most} ms"
    );
}

// Settings: "idle: Silence on a kept-alive connection"
#[tokio::test]
async fn an_idle_connection_closes_after_the_idle_time_not_the_head_time() {
    let (tested, address) = plain(100, 500);
    let mut client = connect(address).await;
    client.get("/").await;
    assert!(client.answer().await.starts_with("HTTP/1.1 200"));
    let since = Instant::now();
    assert_eq!(client.rest().await, b"");
    between(since, 450, 3000);
    assert_eq!(tested.server.counters().idle_timeouts.load(Relaxed), 1);
}

// The runtime puts a task off that has done much at once, and its timers with it.
#[tokio::test]
async fn a_client_that_asks_much_at_once_and_then_nothing_is_idle_and_drained_as_any_other() {
    let much = "GET /a HTTP/1.1\r\nhost: a\r\n\r\n".repeat(300);
    for drains in [false, true] {
        let (tested, address) = plain(LONG, if drains { LONG } else { 300 });
        let mut client = connect(address).await;
        client.send(&much).await;
        for _ in 0..300 {
            assert!(client.answer().await.starts_with("HTTP/1.1 200"));
        }
        if drains {
            assert_eq!(soon(tested.server.drain(SOON / 2)).await.aborted, 0);
            assert_eq!(client.rest().await, b"");
        } else {
            assert_eq!(client.rest().await, b"");
            assert_eq!(tested.server.counters().idle_timeouts.load(Relaxed), 1);
        }
    }
}

// What was sent ahead is answered without a read between, and counts against the budget of the task all the same.
#[tokio::test]
async fn a_client_that_asks_much_at_once_lets_others_come_between() {
    let (tested, address) = plain(LONG, LONG);
    let mut client = connect(address).await;
    client
        .send(&"GET /now HTTP/1.1\r\nhost: a\r\n\r\n".repeat(400))
        .await;
    for _ in 0..400 {
        assert!(client.answer().await.starts_with("HTTP/1.1 200"));
    }
    let seen = tested.seen();
    let other = seen.iter().position(|seen| seen == "another task");
    assert!(
        other.is_some_and(|before| before < 200),
        "{other:?} of {}",
        seen.len()
    );
}

// Settings: "head: From accept, or from the first byte of a later request, to a complete
// request head"
#[tokio::test]
async fn a_first_byte_that_never_comes_closes_after_the_head_time() {
    let (tested, address) = plain(200, LONG);
    let since = Instant::now();
    assert_eq!(connect(address).await.closed().await, b"");
    between(since, 180, 3000);
    assert_eq!(tested.server.counters().head_timeouts.load(Relaxed), 1);
}

#[tokio::test]
async fn a_dribbled_head_closes_although_bytes_keep_coming() {
    let (tested, address) = plain(300, LONG);
    let mut client = connect(address).await;
    let since = Instant::now();
    client.send("GET / HTTP/1.1\r\nhost: a\r\nx: ").await;
    let (mut read, mut write) = client.0.into_split();
    let dribble = tokio::spawn(async move {
        while write.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut bytes = Vec::new();
    let _ = soon(tokio::io::AsyncReadExt::read_to_end(&mut read, &mut bytes)).await;
    between(since, 280, 3000);
    dribble.abort();
    assert_eq!(tested.seen(), [""; 0]);
}

#[tokio::test]
async fn a_later_head_is_timed_from_its_first_byte() {
    let (_tested, address) = plain(200, LONG);
    let mut client = connect(address).await;
    client.get("/").await;
    client.answer().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let since = Instant::now();
    client.send("G").await;
    client.closed().await;
    between(since, 180, 3000);
}

// Bad inputs 2.1: "with `hyper_util auto`: idle and partial `PRI` stay open forever"
// Bad inputs H-20: "prior-knowledge h2c on cleartext listener: ... off"
#[tokio::test]
async fn http2_in_plain_text_is_closed_whole_or_partial() {
    let (tested, address) = plain(200, LONG);
    let mut partial = connect(address).await;
    partial.send("PRI * HTTP/2.0\r\n").await;
    partial.closed().await;
    let mut whole = connect(address).await;
    whole
        .send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await;
    let answer = whole.closed().await;
    assert!(!answer.windows(3).any(|bytes| bytes == b"200"));
    assert_eq!(tested.seen(), [""; 0]);
}

// Bad inputs F-25: "client half-close after full request: response still delivered"
#[tokio::test]
async fn a_half_closed_client_gets_its_answer() {
    let (tested, address) = plain(5000, LONG);
    for request in [
        "GET /wait HTTP/1.1\r\nhost: a\r\n\r\n",
        "POST /wait HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc",
    ] {
        let mut client = connect(address).await;
        client.send(request).await;
        client.0.shutdown().await.unwrap();
        tested.waiting().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        tested.stage.gate.add_permits(1);
        assert!(client.answer().await.ends_with("waited"));
        assert_eq!(client.rest().await, b"");
    }
    assert_eq!(tested.stage.cancelled.load(Relaxed), 0);
}

#[tokio::test]
async fn a_reset_by_the_client_cancels_the_request_at_once() {
    let (tested, address) = plain(LONG, LONG);
    let mut client = connect(address).await;
    client.get("/wait").await;
    tested.waiting().await;
    client.0.set_zero_linger().unwrap();
    drop(client);
    tested.cancelled(1).await;
}

#[tokio::test]
async fn a_client_that_is_gone_cancels_after_the_head_time() {
    let (tested, address) = plain(200, LONG);
    for (count, request) in [
        (1, "GET /wait HTTP/1.1\r\nhost: a\r\n\r\n"),
        (
            2,
            "POST /wait HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc",
        ),
    ] {
        let mut client = connect(address).await;
        client.send(request).await;
        tested.waiting().await;
        drop(client);
        tested.cancelled(count).await;
    }
}

// Bad inputs F-11: "body shorter than CL then FIN: upstream request aborted"
#[tokio::test]
async fn a_short_body_is_an_error_to_whoever_reads_it() {
    let (_tested, address) = plain(LONG, LONG);
    let mut client = connect(address).await;
    client
        .send("POST /read HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc")
        .await;
    client.0.shutdown().await.unwrap();
    let answer = client.answer().await;
    assert!(!answer.ends_with("\r\n\r\n3"), "{answer}");
}

// Bad inputs F-20: "pipelining 100 requests, mixed auth, first slow: responses in order"
#[tokio::test]
async fn a_hundred_pipelined_requests_are_answered_in_order() {
    let (tested, address) = plain(LONG, LONG);
    let mut client = connect(address).await;
    let mut requests = String::from("GET /wait HTTP/1.1\r\nhost: a\r\n\r\n");
    for number in 1..100 {
        requests += &format!("GET /{number} HTTP/1.1\r\nhost: a\r\n\r\n");
    }
    client.send(requests).await;
    tested.waiting().await;
    assert_eq!(tested.seen().len(), 1);
    tested.stage.gate.add_permits(1);
    assert!(client.answer().await.ends_with("waited"));
    for number in 1..100 {
        let answer = client.answer().await;
        assert!(answer.ends_with(&format!("\r\n\r\n/{number}")), "{answer}");
    }
}

// Bad inputs F-26: "1-byte TCP segments for the whole request: identical verdict"
#[tokio::test]
async fn a_request_in_single_bytes_is_one_request() {
    let (tested, address) = plain(LONG, LONG);
    let mut client = connect(address).await;
    client.0.set_nodelay(true).unwrap();
    for byte in b"POST /read HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc" {
        client.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    assert!(client.answer().await.ends_with("\r\n\r\n3"));
    assert_eq!(tested.seen(), ["POST /read"]);
}

// R-037: "answers come before the body is read → connection closed (or body drained), pipelined
// bytes never parsed as a request"
#[tokio::test]
async fn the_body_of_a_refused_request_is_never_a_request() {
    let (tested, address) = plain(LONG, LONG);
    let inner = "GET /admin HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut client = connect(address).await;
    client
        .send(format!(
            "POST /refuse HTTP/1.1\r\nhost: a\r\ncontent-length: 50\r\n\r\n{inner}"
        ))
        .await;
    let answer = client.answer().await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    // The rest of the body comes late, and more requests after it.
    client.send(format!("{inner}{inner}{inner}")).await;
    client.0.shutdown().await.unwrap();
    assert_eq!(client.rest().await, b"");
    for whole in [
        // all of it in one segment, so that hyper can skip the body
        format!("POST /refuse HTTP/1.1\r\nhost: a\r\ncontent-length: 33\r\n\r\n{inner:33}"),
        format!("POST /refuse HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n21\r\n{inner:33}\r\n"),
    ] {
        let mut client = connect(address).await;
        client.send(whole).await;
        client.0.shutdown().await.unwrap();
        assert!(client.answer().await.starts_with("HTTP/1.1 401"));
        client.closed().await;
    }
    assert_eq!(tested.seen(), ["POST /refuse"; 3]);
}

#[tokio::test]
async fn a_client_that_sends_megabytes_can_read_the_refusal_first() {
    let (_tested, address) = plain(LONG, LONG);
    let mut client = connect(address).await;
    client
        .send("POST /refuse HTTP/1.1\r\nhost: a\r\ncontent-length: 3000000\r\n\r\n")
        .await;
    // Only when the answer is there, and in pieces: all at once could be on its way before the
    // server closes.
    client.0.readable().await.unwrap();
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        client.send(vec![b'x'; 100_000]).await;
    }
    assert!(client.answer().await.starts_with("HTTP/1.1 401"));
    assert_eq!(client.rest().await, b"", "an end, not a reset");
}

// Bad inputs F-22: "Expect: 100-continue + unauthenticated: 401 without 100; body never read"
// F-23: "100 only after decision"
#[tokio::test]
async fn a_refusal_comes_without_100_and_a_read_body_with_it() {
    let (_tested, address) = plain(LONG, LONG);
    let head = "HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n";
    let mut refused = connect(address).await;
    refused.send(format!("POST /refuse {head}")).await;
    assert!(refused.answer().await.starts_with("HTTP/1.1 401"));
    let mut accepted = connect(address).await;
    accepted.send(format!("POST /read {head}")).await;
    assert_eq!(accepted.answer().await, "HTTP/1.1 100 Continue\r\n\r\n");
    accepted.send("abc").await;
    assert!(accepted.answer().await.ends_with("\r\n\r\n3"));
}

// Bad inputs 2.1: "101 headers → 431; 500 KB header → 431"
#[tokio::test]
async fn a_head_over_the_limits_is_431() {
    let (tested, address) = plain(LONG, LONG);
    let many: String = (0..101).map(|n| format!("x{n}: a\r\n")).collect();
    let big = format!("x: {}\r\n", "a".repeat(17_000));
    for fields in [many, big] {
        let mut client = connect(address).await;
        client
            .send(format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n"))
            .await;
        assert!(client.answer().await.starts_with("HTTP/1.1 431"));
    }
    assert_eq!(tested.seen(), [""; 0]);
}

// Bad inputs D-02: "slow read (-X, window 1 B): closed"
#[tokio::test]
async fn a_client_that_takes_no_answer_is_cut_off() {
    let (tested, address) = plain(LONG, 300);
    let mut client = connect(address).await;
    client.get("/endless").await;
    until(|| tested.server.counters().stalled.load(Relaxed) == 1).await;
    until(|| tested.server.counters().open.load(Relaxed) == 0).await;
    drop(client);
}

#[tokio::test]
async fn a_panic_costs_one_connection() {
    let (tested, address) = plain(LONG, LONG);
    let mut other = connect(address).await;
    other.get("/a").await;
    other.answer().await;
    for _ in 0..4 {
        let mut client = connect(address).await;
        client.get("/panic").await;
        assert_eq!(client.closed().await, b"");
    }
    other.get("/b").await;
    assert!(other.answer().await.ends_with("/b"));
    until(|| tested.server.counters().panics.load(Relaxed) == 4).await;
    assert!(tested.server.is_healthy());
    until(|| tested.server.counters().open.load(Relaxed) == 1).await;
}

#[tokio::test]
async fn an_upgraded_connection_is_a_tunnel_without_time_limits_of_http() {
    let (tested, address) = plain(100, 100);
    let mut client = connect(address).await;
    // "bytes go through only after 101", and none is lost
    client
        .send("GET /upgrade HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: test\r\n\r\nab")
        .await;
    assert!(client.answer().await.starts_with("HTTP/1.1 101"));
    tokio::time::sleep(Duration::from_millis(400)).await;
    client.send("c").await;
    client.0.shutdown().await.unwrap();
    assert_eq!(client.rest().await, b"abc");
    until(|| tested.server.counters().open.load(Relaxed) == 0).await;
}

// ARCHITECTURE: "the first request that is anything else goes to the HTTP library, with the socket and
// every byte that was read"
#[tokio::test]
async fn plain_requests_stay_in_the_plain_lane_and_the_first_other_one_leaves_it() {
    let (tested, address) = plain(LONG, LONG);
    let handed_over = || tested.server.counters().handed_over.load(Relaxed);
    let mut client = connect(address).await;
    client
        .send("GET /1 HTTP/1.1\r\nhost: a\r\n\r\nPOST /read HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc")
        .await;
    assert!(client.answer().await.ends_with("/1"));
    assert!(client.answer().await.ends_with("\r\n3"));
    // In pieces, and a body that comes late.
    client.send("POST /read HTTP/1.1\r\nhost: a\r\ncontent-le").await;
    client.send("ngth: 5\r\n\r\nab").await;
    client.send("cde").await;
    assert!(client.answer().await.ends_with("\r\n5"));
    assert_eq!(handed_over(), 0);
    // Whatever follows is read by whoever reads this.
    client
        .send(
            "POST /read HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n\
             GET /2 HTTP/1.1\r\nhost: a\r\n\r\n",
        )
        .await;
    assert!(client.answer().await.ends_with("\r\n2"));
    assert!(client.answer().await.ends_with("/2"));
    assert_eq!(handed_over(), 1);
}
