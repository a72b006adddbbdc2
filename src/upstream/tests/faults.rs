//! Backends and clients that break off, fall silent or say too much.

use super::*;

const SHORT: Duration = Duration::from_millis(60);

// U-02: "never a clean short body".
#[test]
fn a_response_cut_short_never_looks_whole() {
    local(async {
        for response in [
            "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfour",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfour\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n8\r\nfour",
        ] {
            let answer = relayed(|_| {}, response).await;
            assert!(answer.contains("four") || !answer.contains("200"), "{answer}");
            assert!(!answer.contains("\r\n0\r\n\r\n"), "{answer}");
            assert!(!answer.contains("content-length: 4"), "{answer}");
        }
        for response in ["", "HTTP/1.1 200 OK\r\nx: 1\r\n"] {
            let answer = relayed(|_| {}, response).await;
            assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
        }
    });
}

#[test]
fn a_silent_backend_is_a_gateway_timeout() {
    local(async {
        let origin = Origin::start().await;
        let mut setup = Setup::to(vec![origin.upstream()]);
        setup.timeouts.response = SHORT;
        let gate = setup.start().await;
        let (mut wire, answer) = tokio::join!(origin.accept(), gate.get(""));
        assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
        wire.head().await;
        assert_eq!(wire.rest().await, "", "the backend is told by a close");
    });
}

#[test]
fn a_backend_that_stops_inside_its_body_is_cut() {
    local(async {
        let origin = Origin::start().await;
        let mut setup = Setup::to(vec![origin.upstream()]);
        setup.timeouts.idle = SHORT;
        let gate = setup.start().await;
        let backend = async {
            let mut wire = origin.accept().await;
            wire.head().await;
            wire.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfour")
                .await;
            wire.rest().await
        };
        let (rest, answer) = tokio::join!(backend, gate.get(""));
        assert!(answer.ends_with("four") && rest.is_empty(), "{answer}");
    });
}

#[test]
fn a_stream_of_events_may_be_silent_for_longer() {
    local(async {
        let origin = Origin::start().await;
        let mut setup = Setup::to(vec![origin.upstream()]);
        setup.timeouts.idle = SHORT;
        let gate = setup.start().await;
        let backend = async {
            let mut wire = origin.accept().await;
            wire.head().await;
            wire.write(
                "HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\nconnection: close\r\n\r\n",
            )
            .await;
            // Longer than `idle`, which cuts every other body in that time.
            tokio::time::sleep(3 * SHORT).await;
            wire.write("data: late\n\n").await;
        };
        let ((), answer) = tokio::join!(backend, gate.get(""));
        assert!(
            answer.contains("data: late") && answer.ends_with("\r\n0\r\n\r\n"),
            "{answer}"
        );
    });
}

// "A token's revocation ends its requests at once."
#[test]
fn a_revocation_ends_a_response_that_still_streams() {
    local(async {
        let origin = Origin::start().await;
        let mut setup = Setup::to(vec![origin.upstream()]);
        let lease = for_ever();
        setup.identity = Some(anna(lease.clone()));
        let gate = setup.start().await;
        let mut client = gate.connect().await;
        client.write("GET /events HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let mut wire = origin.accept().await;
        wire.head().await;
        wire.write("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n")
            .await;
        client.until("data: 1").await;
        let revoked = std::time::Instant::now();
        lease.user.take_down();
        assert!(!client.rest().await.contains("\r\n0\r\n\r\n"));
        assert_eq!(wire.rest().await, "");
        assert!(revoked.elapsed() < Duration::from_secs(1));
    });
}

#[test]
fn a_revocation_ends_a_response_that_never_pauses() {
    local(async {
        let origin = Origin::start().await;
        let mut setup = Setup::to(vec![origin.upstream()]);
        let lease = for_ever();
        setup.identity = Some(anna(lease.clone()));
        let gate = setup.start().await;
        let mut client = gate.connect().await;
        client.write("GET /events HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let mut wire = origin.accept().await;
        wire.head().await;
        wire.write("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: before\n\n")
            .await;
        client.until("data: before").await;
        lease.user.take_down();
        let backend = async {
            while wire.stream.write_all(b"data: after\n\n").await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        let ((), rest) = tokio::join!(backend, client.rest());
        assert!(!rest.contains("after"), "{rest}");
    });
}

#[test]
fn a_revocation_ends_a_request_that_still_waits() {
    local(async {
        let origin = Origin::start().await;
        let mut setup = Setup::to(vec![origin.upstream()]);
        let lease = for_ever();
        setup.identity = Some(anna(lease.clone()));
        let gate = setup.start().await;
        let backend = async {
            let mut wire = origin.accept().await;
            wire.head().await;
            lease.user.take_down();
            wire.rest().await
        };
        let (rest, answer) = tokio::join!(backend, gate.get(""));
        assert!(answer.starts_with("HTTP/1.1 401") && rest.is_empty(), "{answer}");
    });
}

// U-10, W-10: "client gone -> upstream cancelled <= 1 s".
#[test]
fn the_backend_is_told_when_the_client_goes() {
    local(async {
        for begun in [false, true] {
            let origin = Origin::start().await;
            let gate = Setup::to(vec![origin.upstream()]).start().await;
            let mut client = gate.connect().await;
            client.write("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
            let mut wire = origin.accept().await;
            wire.head().await;
            if begun {
                wire.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nsome")
                    .await;
                client.until("some").await;
            }
            let gone = std::time::Instant::now();
            drop(client);
            assert_eq!(wire.rest().await, "");
            assert!(gone.elapsed() < Duration::from_secs(1));
        }
    });
}

#[test]
fn a_body_above_the_limit_is_413() {
    local(async {
        // Said beforehand: the backend never hears of it.
        let origin = Origin::start().await;
        let mut setup = Setup::to(vec![origin.upstream()]);
        setup.limits.body = Some(4);
        let gate = setup.start().await;
        let answer = gate
            .ask("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 5\r\n\r\n")
            .await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        assert!(origin.is_alone().await);

        // Found out on the way: the backend sees an aborted body.
        let backend = async {
            let mut wire = origin.accept().await;
            wire.rest().await
        };
        let client = gate.ask(
            "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n\
             3\r\nuvw\r\n2\r\nde\r\n0\r\n\r\n",
        );
        let (seen, answer) = tokio::join!(backend, client);
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        assert!(!seen.contains("\r\nde\r\n"), "{seen}");
        assert!(!seen.ends_with("\r\n0\r\n\r\n"), "{seen}");
        assert_eq!(*gate.failures.borrow(), ["body-too-large", "body-too-large"]);
    });
}

#[test]
fn a_client_that_stops_sending_is_408_and_the_backend_sees_no_end() {
    local(async {
        let origin = Origin::start().await;
        let mut setup = Setup::to(vec![origin.upstream()]);
        setup.timeouts.idle = 2 * SHORT;
        // Shorter: it must not run while the client is the one to wait for.
        setup.timeouts.response = SHORT;
        let gate = setup.start().await;
        let backend = async {
            let mut wire = origin.accept().await;
            wire.rest().await
        };
        let client = gate
            .ask("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n3\r\nuvw\r\n");
        let (seen, answer) = tokio::join!(backend, client);
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(seen.ends_with("3\r\nuvw\r\n"), "{seen}");
    });
}

// "backend sees an aborted request, pooled connection not reused".
#[test]
fn an_upload_cut_short_never_looks_whole() {
    local(async {
        let origin = Origin::start().await;
        let gate = Setup::to(vec![origin.upstream()]).start().await;
        for sent in [
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nuvw",
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nuvw\r\n",
        ] {
            let mut client = gate.connect().await;
            client.write(sent).await;
            let mut wire = origin.accept().await;
            wire.until("uvw").await;
            drop(client);
            let rest = wire.rest().await;
            assert!(!rest.contains('0'), "{rest}");
        }
    });
}

// U-04: "relayed; upload stopped; both connections closed".
#[test]
fn an_early_response_is_relayed_and_both_connections_close() {
    local(async {
        let origin = Origin::start().await;
        let gate = Setup::to(vec![origin.upstream()]).start().await;
        let mut client = gate.connect().await;
        client
            .write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nuvw")
            .await;
        let mut wire = origin.accept().await;
        wire.until("uvw").await;
        wire.write("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno")
            .await;
        assert!(client.until("no").await.starts_with("HTTP/1.1 403"));
        assert_eq!(wire.rest().await, "");
        // what follows is the rest of a body, never a request.
        let _ = client
            .stream
            .write_all(b"GET /canary HTTP/1.1\r\nhost: a\r\n\r\n")
            .await;
        assert_eq!(client.rest().await, "");
        assert!(origin.is_alone().await);
    });
}

// F-23: "100 only after decision (and after backend connected)".
#[test]
fn continue_is_said_once_the_backend_is_there() {
    local(async {
        let origin = Origin::start().await;
        let gate = Setup::to(vec![origin.upstream()]).start().await;
        let mut client = gate.connect().await;
        client
            .write("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
            .await;
        assert!(client.head().await.starts_with("HTTP/1.1 100"));
        client.write("uvw").await;
        let mut wire = origin.accept().await;
        let seen = wire.until("uvw").await;
        assert!(!seen.contains("expect"), "{seen}");
        wire.write(OK).await;
        assert!(client.until("ok").await.starts_with("HTTP/1.1 200"));

        let gone = origin.upstream();
        drop(origin);
        let gate = Setup::to(vec![gone]).start().await;
        let mut client = gate.connect().await;
        client
            .write("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
            .await;
        assert!(client.head().await.starts_with("HTTP/1.1 502"));
    });
}

#[test]
fn a_stream_goes_through_piece_by_piece() {
    local(async {
        let origin = Origin::start().await;
        let gate = Setup::to(vec![origin.upstream()]).start().await;
        let mut client = gate.connect().await;
        client
            .write("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n")
            .await;
        let mut wire = origin.accept().await;
        wire.until("1\r\na\r\n").await;
        wire.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nA\r\n")
            .await;
        client.until("1\r\nA\r\n").await;
        client.write("1\r\nb\r\n0\r\n\r\n").await;
        wire.until("1\r\nb\r\n0\r\n\r\n").await;
        wire.write("1\r\nB\r\n0\r\n\r\n").await;
        client.until("1\r\nB\r\n0\r\n\r\n").await;
    });
}

// "nothing buffered": a client that does not read holds the backend back.
#[test]
fn a_client_that_does_not_read_stops_the_backend() {
    local(async {
        let origin = Origin::start().await;
        let gate = Setup::to(vec![origin.upstream()]).start().await;
        let mut client = gate.connect().await;
        client.write("GET /big HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let mut wire = origin.accept().await;
        wire.head().await;
        wire.write("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
            .await;
        let piece = vec![b'x'; 1 << 20];
        let mut sent = 0_usize;
        while let Ok(written) =
            tokio::time::timeout(Duration::from_millis(200), wire.stream.write(&piece)).await
        {
            sent += written.unwrap();
            assert!(sent < 64 << 20, "more than the sockets' buffers was taken");
        }
        assert!(sent > 0);
    });
}
