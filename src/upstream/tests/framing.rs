//! Where messages end: requests, responses, and the connection between two of them.

use super::*;

// I7: "re-serialise from parsed form".
#[test]
fn bodies_are_framed_anew() {
    local(async {
        let origin = Origin::start().await;
        let gate = Setup::to(vec![origin.upstream()]).start().await;
        let mut client = gate.connect().await;
        for (sent, framing, body) in [
            (
                "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0003\r\n\r\nabc",
                "content-length: 3",
                "abc",
            ),
            (
                "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: Chunked\r\n\r\n2;x=y\r\nab\r\n0\r\nremote-user: root\r\n\r\n",
                "transfer-encoding: chunked",
                "2\r\nab\r\n0\r\n\r\n",
            ),
            // A GET with a body of unknown length must not lose it, nor leave it in the way.
            (
                "GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
                "transfer-encoding: chunked",
                "2\r\nab\r\n0\r\n\r\n",
            ),
            ("POST / HTTP/1.1\r\nhost: a\r\n\r\n", "content-length: 0", ""),
            (
                "DELETE / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
                "content-length: 0",
                "",
            ),
        ] {
            client.write(sent).await;
            let mut wire = origin.accept().await;
            let head = wire.head().await;
            assert!(fields(&head).contains(&framing), "{head}");
            assert_eq!(
                fields(&head)
                    .iter()
                    .filter(|field| field.contains("encoding") || field.contains("length"))
                    .count(),
                1
            );
            if !body.is_empty() {
                assert_eq!(wire.until(body).await, body);
            }
            wire.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
                .await;
            assert!(client.until("\r\n\r\nok").await.starts_with("HTTP/1.1 200"));
        }
    });
}

#[test]
fn a_kept_connection_carries_the_next_request() {
    local(async {
        let origin = Origin::start().await;
        let gate = Setup::to(vec![origin.upstream()]).start().await;
        let mut client = gate.connect().await;
        client
            .write("POST /1 HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab")
            .await;
        let mut wire = origin.accept().await;
        wire.until("\r\n\r\nab").await;
        wire.write(OK).await;
        client.until("ok").await;
        client.write("GET /2 HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(wire.head().await.starts_with("GET /2 "));
        wire.write(OK).await;
        client.until("ok").await;
        assert!(origin.is_alone().await);
    });
}

// "Retry only when nothing was sent or the request is idempotent without a body."
#[test]
fn a_get_on_a_connection_that_just_closed_is_said_again() {
    local(async {
        let origin = Origin::start().await;
        let gate = Setup::to(vec![origin.upstream()]).start().await;
        let mut client = gate.connect().await;
        client.write("GET /1 HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let mut first = origin.accept().await;
        first.head().await;
        first.write(OK).await;
        client.until("ok").await;

        client.write("GET /2 HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(first.head().await.starts_with("GET /2 "));
        drop(first);
        let mut second = origin.accept().await;
        assert!(second.head().await.starts_with("GET /2 "));
        // Only once: the second failure is an answer.
        drop(second);
        assert!(client.head().await.starts_with("HTTP/1.1 502"));
        assert!(origin.is_alone().await);
    });
}

#[test]
fn a_post_that_may_have_arrived_is_not_said_again() {
    local(async {
        for post in [
            "POST /2 HTTP/1.1\r\nhost: a\r\n\r\n",
            "PUT /2 HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab",
        ] {
            let origin = Origin::start().await;
            let gate = Setup::to(vec![origin.upstream()]).start().await;
            let mut client = gate.connect().await;
            client.write("GET /1 HTTP/1.1\r\nhost: a\r\n\r\n").await;
            let mut first = origin.accept().await;
            first.head().await;
            first.write(OK).await;
            client.until("ok").await;
            client.write(post).await;
            first.head().await;
            drop(first);
            assert!(client.head().await.starts_with("HTTP/1.1 502"));
            assert!(origin.is_alone().await);
        }
    });
}

#[test]
fn a_connection_that_closed_while_idle_is_not_used_and_costs_nothing() {
    local(async {
        let origin = Origin::start().await;
        let gate = Setup::to(vec![origin.upstream()]).start().await;
        let mut client = gate.connect().await;
        client.write("GET /1 HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let mut first = origin.accept().await;
        first.head().await;
        first.write(OK).await;
        drop(first);
        client.until("ok").await;
        client
            .write("POST /2 HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab")
            .await;
        let mut second = origin.accept().await;
        assert!(second.until("\r\n\r\nab").await.starts_with("POST /2 "));
        second.write(OK).await;
        assert!(client.head().await.starts_with("HTTP/1.1 200"));
    });
}

#[test]
fn a_body_of_any_size_arrives_as_it_was_however_it_came() {
    local(async {
        let origin = Origin::start().await;
        let gate = Setup::to(vec![origin.upstream()]).start().await;
        let mut client = gate.connect().await;
        client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let mut backend = origin.accept().await;
        for size in [
            1, 1024, 1025, 10_000, 16_320, 16_384, 16_385, 40_000, 70_000, 200_000,
        ] {
            let body: String = (0..size).map(|at| char::from(b'a' + (at % 23) as u8)).collect();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n");
            for cut in [0, 10, head.len(), head.len() + 1, head.len() + size / 2] {
                backend.head().await;
                let whole = format!("{head}{body}");
                let (before, behind) = whole.split_at(cut.min(whole.len()));
                backend.write(before).await;
                tokio::time::sleep(Duration::from_millis(5)).await;
                let (_, got) = tokio::join!(backend.write(behind), async {
                    client.head().await;
                    while client.seen.len() < size && client.more().await {}
                    std::mem::take(&mut client.seen)
                });
                assert!(got == body.as_bytes(), "{size} cut at {cut}: {} bytes", got.len());
                client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
            }
        }
    });
}

#[test]
fn a_connection_is_closed_once_it_was_idle_for_long_and_not_before() {
    local(async {
        const IDLE: Duration = Duration::from_millis(300);
        let origin = Origin::start().await;
        let mut setup = Setup::to(vec![origin.upstream()]);
        setup.timeouts.idle = IDLE;
        let gate = setup.start().await;
        let mut client = gate.connect().await;
        client.write("GET /1 HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let mut backend = origin.accept().await;
        // Looks at idle connections fall at any time between.
        for path in ["/2", "/3"] {
            backend.until("\r\n\r\n").await;
            backend.write(OK).await;
            client.until("ok").await;
            tokio::time::sleep(IDLE / 3).await;
            client
                .write(&format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"))
                .await;
        }
        backend.until("\r\n\r\n").await;
        backend.write(OK).await;
        let idle = std::time::Instant::now();
        backend.rest().await;
        assert!(idle.elapsed() >= IDLE, "{:?}", idle.elapsed());
    });
}

// U-07: "not delivered; connection dropped".
#[test]
fn a_second_response_is_nobodys() {
    local(async {
        let origin = Origin::start().await;
        let gate = Setup::to(vec![origin.upstream()]).start().await;
        let mut client = gate.connect().await;
        client.write("GET /1 HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let mut first = origin.accept().await;
        first.head().await;
        first
            .write(&format!("{OK}HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison"))
            .await;
        client.until("ok").await;
        client.write("GET /2 HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let mut second = origin.accept().await;
        second.head().await;
        second.write(OK).await;
        assert!(!client.until("\r\n\r\nok").await.contains("poison"));
        assert_eq!(first.rest().await, "");
    });
}

// U-08: "HEAD/204/304 with body: not forwarded; not reused".
#[test]
fn a_body_where_there_is_none_is_not_forwarded() {
    local(async {
        for (ask, response, length) in [
            ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", true),
            ("GET", "HTTP/1.1 204 No Content\r\n\r\nhello", false),
            (
                "GET",
                "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\nhello",
                false,
            ),
        ] {
            let origin = Origin::start().await;
            let gate = Setup::to(vec![origin.upstream()]).start().await;
            let mut client = gate.connect().await;
            client
                .write(&format!("{ask} /1 HTTP/1.1\r\nhost: a\r\n\r\n"))
                .await;
            let mut first = origin.accept().await;
            first.head().await;
            first.write(response).await;
            let head = client.head().await;
            assert_eq!(head.contains("content-length: 5"), length, "{head}");
            client.write("GET /2 HTTP/1.1\r\nhost: a\r\n\r\n").await;
            let mut second = origin.accept().await;
            second.head().await;
            second.write(OK).await;
            assert!(client.until("ok").await.starts_with("HTTP/1.1 200"));
        }
    });
}

// "TE other than chunked -> 502", "CL+TE in a response -> 502", "unsolicited 101 -> 502".
#[test]
fn responses_that_can_be_read_in_two_ways_are_refused() {
    local(async {
        for response in [
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\nok",
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
            "HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok",
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx: a\rset-cookie: b\r\n\r\n",
            "HTTP/1.1 200 OK\r\n x: folded\r\n\r\n",
            "ICY 200 OK\r\n\r\n",
        ] {
            let answer = relayed(|_| {}, response).await;
            assert!(answer.starts_with("HTTP/1.1 502"), "{response:?}: {answer}");
        }
    });
}

#[test]
fn a_response_head_has_a_limit() {
    local(async {
        let large = format!(
            "HTTP/1.1 200 OK\r\nx: {}\r\ncontent-length: 0\r\n\r\n",
            "a".repeat(9000)
        );
        let allowed = relayed(|_| {}, &large).await;
        assert!(allowed.starts_with("HTTP/1.1 200"), "{allowed}");
        let answer = relayed(|setup| setup.limits.head = 8192, &large).await;
        assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    });
}

// U-05: "100/103 relayed or dropped; bound count".
#[test]
fn interim_responses_are_dropped_and_a_flood_of_them_is_cut() {
    local(async {
        let some = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
        let answer = relayed(|_| {}, &format!("{some}{OK}")).await;
        assert!(
            answer.starts_with("HTTP/1.1 200") && !answer.contains("link"),
            "{answer}"
        );

        let origin = Origin::start().await;
        let gate = Setup::to(vec![origin.upstream()]).start().await;
        let backend = async {
            let mut wire = origin.accept().await;
            wire.head().await;
            let some = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100);
            // For ever, unless the gate goes.
            while wire.stream.write_all(some.as_bytes()).await.is_ok() {}
        };
        let ((), answer) = tokio::join!(backend, gate.get(""));
        assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    });
}

// What came is looked at from where nothing was found before.
#[test]
fn a_head_behind_an_interim_one_may_come_in_any_two_parts() {
    local(async {
        let origin = Origin::start().await;
        let gate = Setup::to(vec![origin.upstream()]).start().await;
        let interim = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
        let all = format!("{interim}HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok");
        for cut in 1..all.len() {
            let backend = async {
                let mut wire = origin.accept().await;
                wire.head().await;
                wire.write(&all[..cut]).await;
                // Until the gate has seen that.
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
                wire.write(&all[cut..]).await;
            };
            let ((), answer) = tokio::join!(backend, gate.get(""));
            let right = answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\nok");
            assert!(right && !answer.contains("link"), "{cut}: {answer}");
        }
    });
}

#[test]
fn a_body_of_unknown_length_ends_with_the_connection_and_trailers_end_here() {
    local(async {
        let answer = relayed(|_| {}, "HTTP/1.0 200 OK\r\n\r\nto the end").await;
        assert!(answer.contains("A\r\nto the end\r\n0\r\n\r\n"), "{answer}");
        let answer = relayed(
            |_| {},
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n",
        )
        .await;
        assert!(answer.ends_with("2\r\nok\r\n0\r\n\r\n"), "{answer}");
    });
}

// F-29: "value passed or dropped, never becomes a line break".
#[test]
fn high_bytes_in_a_value_stay_one_value() {
    local(async {
        let origin = Origin::start().await;
        let gate = Setup::to(vec![origin.upstream()]).start().await;
        let mut client = gate.connect().await;
        client
            .stream
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\nx-odd: a\x85\xa0\r\n\r\n")
            .await
            .unwrap();
        let mut wire = origin.accept().await;
        while !wire.seen.ends_with(b"\r\n\r\n") {
            assert!(wire.more().await);
        }
        let expected = b"x-odd: a\x85\xa0\r\n";
        assert!(wire.seen.windows(expected.len()).any(|window| window == expected));
    });
}
