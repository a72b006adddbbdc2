//! Several backends, some of them gone.

use super::*;

fn nobody() -> UpstreamAddr {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    tcp(UpstreamScheme::Http, free.local_addr().unwrap())
}

/// Answers every request on every connection with its name, and closes.
async fn named(name: &'static str) -> UpstreamAddr {
    let origin = Origin::start().await;
    let upstream = origin.upstream();
    tokio::task::spawn_local(async move {
        loop {
            let mut wire = origin.accept().await;
            tokio::task::spawn_local(async move {
                wire.head().await;
                let response =
                    format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\n{name}");
                wire.write(&response).await;
            });
        }
    });
    upstream
}

// U-01: "refuse -> 502", U-14: "all backends down -> 503 quickly".
#[test]
fn a_refused_connection_is_502_and_a_known_one_503_with_trials() {
    local(async {
        let setup = Setup::to(vec![nobody()]);
        let clock = setup.clock.clone();
        let gate = setup.start().await;
        assert!(gate.get("").await.starts_with("HTTP/1.1 502"));
        assert!(gate.get("").await.starts_with("HTTP/1.1 503"));
        assert_eq!(*gate.failures.borrow(), ["connect", "all-down"]);
        assert!(!gate.shared.report()[0].1);
        // One request in a second looks whether it is back.
        clock.advance(Duration::from_millis(1001));
        assert!(gate.get("").await.starts_with("HTTP/1.1 502"));
        assert!(gate.get("").await.starts_with("HTTP/1.1 503"));
    });
}

#[test]
fn a_backend_that_comes_back_is_found_within_a_second() {
    local(async {
        let upstream = nobody();
        let UpstreamTarget::Tcp { port, .. } = upstream.target else {
            unreachable!("it is TCP")
        };
        let setup = Setup::to(vec![upstream]);
        let clock = setup.clock.clone();
        let gate = setup.start().await;
        assert!(gate.get("").await.starts_with("HTTP/1.1 502"));
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        clock.advance(Duration::from_secs(1));
        let backend = async {
            let mut wire = Wire::new(listener.accept().await.unwrap().0);
            wire.head().await;
            wire.write(OK).await;
        };
        let ((), answer) = tokio::join!(backend, gate.get(""));
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(gate.shared.report()[0].1);
    });
}

#[test]
fn backends_take_turns_and_one_that_is_gone_is_left_out() {
    local(async {
        let upstreams = vec![named("a").await, nobody(), named("b").await];
        let gate = Setup::to(upstreams).start().await;
        let mut answers = String::new();
        for _ in 0..6 {
            let answer = gate
                .ask("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx")
                .await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            answers.push_str(&answer[answer.len() - 1..]);
        }
        assert_eq!(answers, "abbabb", "nothing was sent to the one that is gone");
        assert!(gate.failures.borrow().is_empty());
    });
}

// "2xx/3xx healthy; 2 failures to leave, 1 success to return".
#[test]
fn a_probe_takes_a_backend_out_and_brings_it_back() {
    local(async {
        let origin = Origin::start().await;
        let mut setup = Setup::to(vec![origin.upstream()]);
        setup.route().health = Some("/healthy?x=1".to_owned());
        let gate = setup.start().await;
        let limit = Duration::from_secs(5);
        for (status, up) in [
            (500, true),
            (404, false),
            (503, false),
            (302, true),
            (500, true),
            (204, true),
        ] {
            let backend = async {
                let mut wire = origin.accept().await;
                let head = wire.head().await;
                assert!(head.starts_with("GET /healthy?x=1 HTTP/1.1\r\n"), "{head}");
                wire.write(&format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n"))
                    .await;
            };
            tokio::join!(backend, gate.shared.probe_all(limit));
            assert_eq!(gate.shared.report()[0].1, up, "{status}");
            if !up {
                assert!(gate.get("").await.starts_with("HTTP/1.1 503"));
            }
        }
    });
}

#[test]
fn a_pause_doubles_up_to_a_minute() {
    local(async {
        let clock = Clock::manual(Timestamp::from_millis(1_000_000));
        let shared = Backends::new(clock.clone());
        shared.resolve(&[route_to(vec![nobody()])]).unwrap();
        let backend = shared.list().remove(0);
        for seconds in [5, 10, 20, 40, 60, 60] {
            backend.failed(shared.now());
            // A second failure at the same time counts once.
            backend.failed(shared.now());
            clock.advance(Duration::from_millis(seconds * 1000 - 1));
            assert!(!backend.is_up(|| shared.now()), "{seconds}");
            clock.advance(Duration::from_millis(1));
            assert!(backend.is_up(|| shared.now()), "{seconds}");
        }
    });
}

#[test]
fn a_reload_keeps_what_is_known_of_a_backend() {
    let shared = Backends::new(Clock::manual(Timestamp::from_millis(1_000_000)));
    let routes = [route_to(vec![nobody()]), route_to(Vec::new())];
    let first = shared.resolve(&routes).unwrap();
    assert!(!first[0].is_empty() && first[1].is_empty());
    shared.list()[0].failed(shared.now());
    shared.resolve(&routes).unwrap();
    assert!(!shared.report()[0].1);
    shared.resolve(&routes[1..]).unwrap();
    assert!(shared.report().is_empty());
}
