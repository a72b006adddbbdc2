//! WebSockets: before, while and after.

use super::*;
use crate::crypto::websocket_accept;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

fn ask(more: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: {KEY}\r\n\r\n{more}"
    )
}

fn switch() -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: {}\r\nsec-websocket-protocol: chat\r\nx-accel-redirect: /\r\n\r\n",
        websocket_accept(KEY.as_bytes())
    )
}

/// Both ends of an open tunnel.
async fn open(gate: &Gate, origin: &Origin) -> (Wire, Wire) {
    let mut client = gate.connect().await;
    client.write(&ask("")).await;
    let mut wire = origin.accept().await;
    wire.head().await;
    wire.write(&switch()).await;
    assert!(client.head().await.starts_with("HTTP/1.1 101"));
    (client, wire)
}

// "bytes go through only after 101 and only if we asked for that upgrade".
#[test]
fn bytes_pass_only_after_the_backends_101() {
    local(async {
        let origin = Origin::start().await;
        let gate = Setup::to(vec![origin.upstream()]).start().await;
        let mut client = gate.connect().await;
        client.write(&ask("EARLY")).await;
        let mut wire = origin.accept().await;
        let head = wire.head().await;
        for field in [
            "connection: Upgrade",
            "upgrade: websocket",
            "remote-user: anna",
            "sec-websocket-version: 13",
        ] {
            assert!(fields(&head).contains(&field), "{head}");
        }
        let wait = Duration::from_millis(30);
        assert!(
            tokio::time::timeout(wait, wire.more()).await.is_err(),
            "early bytes went through"
        );
        assert!(
            tokio::time::timeout(wait, client.more()).await.is_err(),
            "101 came too early"
        );

        wire.write(&format!("{}hello", switch())).await;
        let answer = client.head().await;
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
        assert!(
            fields(&answer).contains(&"sec-websocket-protocol: chat"),
            "{answer}"
        );
        assert!(!answer.contains("x-accel"), "{answer}");
        client.until("hello").await;
        assert_eq!(wire.until("EARLY").await, "EARLY");
        assert_eq!(gate.shared.open_tunnels(), 1);

        // Either side's close ends it.
        drop(wire);
        assert_eq!(client.rest().await, "");
        assert_eq!(gate.shared.open_tunnels(), 0);
    });
}

#[test]
fn another_answer_is_relayed_as_what_it_is() {
    local(async {
        let origin = Origin::start().await;
        let gate = Setup::to(vec![origin.upstream()]).start().await;
        let mut client = gate.connect().await;
        client
            .write(&ask("GET /next HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"))
            .await;
        let mut wire = origin.accept().await;
        wire.head().await;
        wire.write(OK).await;
        assert!(client.until("ok").await.starts_with("HTTP/1.1 200"));
        // "backend sees exactly one request": the pipelined one is judged on its own.
        assert_eq!(wire.rest().await, "");
        let mut wire = origin.accept().await;
        assert!(wire.head().await.starts_with("GET /next "));
    });
}

// W-04: "101 without asked protocol / 101 with wrong Accept -> 502".
#[test]
fn a_switch_to_something_else_is_502() {
    local(async {
        for switch in [
            switch().replace("upgrade: websocket", "upgrade: h2c"),
            switch().replace("connection: upgrade\r\n", ""),
            switch().replace("sec-websocket-accept: ", "sec-websocket-accept: x"),
            switch().replace("sec-websocket-accept: ", "x-nothing: "),
        ] {
            let origin = Origin::start().await;
            let gate = Setup::to(vec![origin.upstream()]).start().await;
            let mut client = gate.connect().await;
            client.write(&ask("")).await;
            let mut wire = origin.accept().await;
            wire.head().await;
            wire.write(&switch).await;
            assert!(client.head().await.starts_with("HTTP/1.1 502"), "{switch}");
            assert_eq!(wire.rest().await, "");
        }
    });
}

// "Upgrade request with CL or TE -> 400".
#[test]
fn an_upgrade_with_a_body_is_refused() {
    local(async {
        let origin = Origin::start().await;
        let gate = Setup::to(vec![origin.upstream()]).start().await;
        let answer = gate
            .ask(
                "GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n\
                 content-length: 3\r\n\r\nabc",
            )
            .await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(origin.is_alone().await);
    });
}

// W-07: "closed <= bound"; section 7: "ends ... its open sockets within one second".
#[test]
fn a_revocation_closes_the_tunnel_and_another_ones_does_not() {
    local(async {
        let origin = Origin::start().await;
        let mut setup = Setup::to(vec![origin.upstream()]);
        let lease = Lease {
            shown: Some(Flag::up()),
            ..for_ever()
        };
        setup.identity = Some(anna(lease.clone()));
        let gate = setup.start().await;
        let (mut client, mut wire) = open(&gate, &origin).await;
        gate.revoke.send(1).unwrap();
        client.write("ping").await;
        wire.until("ping").await;
        let revoked = std::time::Instant::now();
        lease.shown.unwrap().take_down();
        gate.revoke.send(2).unwrap();
        assert_eq!(
            (client.rest().await, wire.rest().await),
            (String::new(), String::new())
        );
        assert!(revoked.elapsed() < Duration::from_secs(1));
    });
}

#[test]
fn a_tunnel_ends_with_the_expiry_of_its_credential() {
    local(async {
        let origin = Origin::start().await;
        let mut setup = Setup::to(vec![origin.upstream()]);
        let clock = Clock::system();
        setup.clock = clock.clone();
        setup.identity = Some(anna(Lease {
            shown: Some(Flag::up_until(Some(clock.now().plus(Duration::from_millis(150))))),
            ..for_ever()
        }));
        let gate = setup.start().await;
        let (mut client, mut wire) = open(&gate, &origin).await;
        client.write("ping").await;
        wire.until("ping").await;
        assert_eq!(
            (client.rest().await, wire.rest().await),
            (String::new(), String::new())
        );
        assert_eq!(gate.shared.open_tunnels(), 0);
    });
}

// Section 7: "Rotation keeps the old one valid for the overlap given."
#[test]
fn a_lease_that_is_shortened_ends_its_tunnel_then_and_not_before() {
    local(async {
        let origin = Origin::start().await;
        let mut setup = Setup::to(vec![origin.upstream()]);
        let clock = Clock::system();
        setup.clock = clock.clone();
        let flag = Flag::up_until(Some(clock.now().plus(Duration::from_secs(3600))));
        setup.identity = Some(anna(Lease {
            shown: Some(flag.clone()),
            ..for_ever()
        }));
        let gate = setup.start().await;
        let (mut client, mut wire) = open(&gate, &origin).await;
        flag.shorten(clock.now().plus(Duration::from_millis(400)));
        gate.revoke.send(1).unwrap();
        client.write("ping").await;
        wire.until("ping").await;
        assert!(flag.holds(clock.now()), "the machine was too slow for this test");
        assert_eq!(
            (client.rest().await, wire.rest().await),
            (String::new(), String::new())
        );
        assert!(!flag.holds(clock.now()));
    });
}

#[test]
fn a_tunnel_ends_after_silence_and_not_while_something_is_said() {
    local(async {
        let origin = Origin::start().await;
        let mut setup = Setup::to(vec![origin.upstream()]);
        setup.timeouts.tunnel_idle = Duration::from_millis(150);
        setup.identity = None;
        let gate = setup.start().await;
        let (mut client, mut wire) = open(&gate, &origin).await;
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(60)).await;
            wire.write("tick").await;
            client.until("tick").await;
        }
        assert_eq!(client.rest().await, "");
    });
}

#[test]
fn a_tunnel_ends_when_the_server_shuts_down() {
    local(async {
        let origin = Origin::start().await;
        let gate = Setup::to(vec![origin.upstream()]).start().await;
        let (mut client, mut wire) = open(&gate, &origin).await;
        gate.stop.send(true).unwrap();
        assert_eq!(
            (client.rest().await, wire.rest().await),
            (String::new(), String::new())
        );
    });
}

#[test]
fn much_passes_both_ways_and_a_slow_reader_holds_the_other_side_back() {
    local(async {
        let origin = Origin::start().await;
        let gate = Setup::to(vec![origin.upstream()]).start().await;
        let (client, wire) = open(&gate, &origin).await;
        let piece: Vec<u8> = (0..3_000_000_u32).map(|index| (index % 251) as u8).collect();
        let echo = |mut stream: TcpStream, sent: Vec<u8>| async move {
            let (mut read, mut write) = stream.split();
            let mut got = vec![0; sent.len()];
            let (read, written) = tokio::join!(read.read_exact(&mut got), write.write_all(&sent));
            read.unwrap();
            written.unwrap();
            assert!(got == sent);
            stream
        };
        let ends = tokio::join!(echo(client.stream, piece.clone()), echo(wire.stream, piece));
        drop(ends);
    });
}
