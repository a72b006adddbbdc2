//! Listeners that come and go, the cap on connections, and the drain.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use sidegate::config::settings::Listen;
use sidegate::server::{Drained, ListenError, Role, bind, inherited, systemd};
use tokio::net::{TcpStream, UnixStream};

use super::harness::*;

const LONG: u64 = 60_000;

#[tokio::test]
async fn every_listener_says_its_role_and_peer() {
    let (tested, http) = plain(LONG, LONG);
    let operations = tested.listen(Role::Operations);
    for (address, role) in [(http, "Http"), (operations, "Operations")] {
        let mut client = connect(address).await;
        let own = client.0.local_addr().unwrap();
        client.get("/peer").await;
        let answer = client.answer().await;
        assert!(answer.ends_with(&format!("{role} false Some({own})")), "{answer}");
    }
}

// A dual-stack socket shows ::ffff:127.0.0.1, which no network or ban is written as.
#[tokio::test]
async fn an_ipv4_client_of_an_ipv6_listener_has_an_ipv4_address() {
    let tested = start(&timeouts(LONG, LONG), &limits(10));
    let any = Listen::Tcp("[::]:0".parse().unwrap());
    let bound = bind(&any, Role::Http, 2).unwrap();
    let Listen::Tcp(address) = *bound.address() else {
        unreachable!()
    };
    tested.server.add(bound);
    let mut client = connect(([127, 0, 0, 1], address.port()).into()).await;
    client.get("/peer").await;
    assert!(client.answer().await.contains("Some(127.0.0.1:"));
}

// Contract: "Inherited sockets (systemd) and unix sockets are shared by all cores."
#[tokio::test]
async fn a_unix_socket_serves_and_its_file_goes_with_the_drain() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("http.sock");
    let tested = start(&timeouts(LONG, LONG), &limits(100));
    tested
        .server
        .relisten(&[(Listen::Unix(path.clone()), Role::Http)])
        .unwrap();
    for _ in 0..20 {
        let mut client = Raw(UnixStream::connect(&path).await.unwrap());
        client.get("/peer").await;
        assert!(client.answer().await.ends_with("Http false None"));
    }
    soon(tested.server.drain(Duration::ZERO)).await;
    assert!(!path.exists());
}

// Issue 4: "Few keep-alive connections from one gateway may all land on one core: measure 1, 2, 4 and 64
// connections and even it out if it matters."
#[tokio::test]
async fn few_connections_come_out_even_over_the_workers() {
    let (tested, address) = plain(LONG, LONG);
    // The kernel alone would put all of them on one worker once in eight times.
    for few in [2, 4, 8] {
        let (mut clients, mut served) = (Vec::new(), [0, 0]);
        for _ in 0..few {
            let mut client = connect(address).await;
            client.get("/worker").await;
            let answer = client.answer().await;
            let worker: usize = answer.rsplit("\r\n").next().unwrap().parse().unwrap();
            served[worker] += 1;
            clients.push(client);
        }
        assert_eq!(served, [few / 2, few / 2]);
        drop(clients);
        let counters = tested.server.counters();
        until(|| counters.open.load(Relaxed) == 0).await;
    }
    // Wherever they are served: their listener's end is theirs.
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = connect(address).await;
        client.get("/").await;
        client.answer().await;
        clients.push(client);
    }
    let drained = soon(tested.server.drain(SOON)).await;
    assert_eq!(drained.aborted, 0);
    for client in &mut clients {
        assert_eq!(client.rest().await, b"");
    }
}

#[tokio::test]
async fn a_drain_finishes_what_has_begun_and_accepts_nobody() {
    let (tested, address) = plain(LONG, LONG);
    let counters = tested.server.counters();
    let mut busy = connect(address).await;
    busy.get("/wait").await;
    tested.waiting().await;
    let mut idle = connect(address).await;
    idle.get("/").await;
    idle.answer().await;
    let stage = tested.stage.clone();
    let drain = tokio::spawn(tested.server.drain(SOON));
    assert_eq!(idle.rest().await, b"", "told to end at once");
    until(|| std::net::TcpStream::connect(address).is_err()).await;
    assert!(!drain.is_finished());
    stage.gate.add_permits(1);
    let answer = busy.answer().await;
    assert!(answer.ends_with("waited"));
    assert_eq!(busy.rest().await, b"");
    let drained = soon(drain).await.unwrap();
    assert_eq!((drained.aborted, drained.tunnels), (0, 0));
    assert!(drained.finished >= 2);
    assert_eq!(counters.open.load(Relaxed), 0);
}

#[tokio::test]
async fn a_drain_cuts_off_at_its_limit_and_does_not_wait_for_tunnels() {
    let (tested, address) = plain(LONG, LONG);
    let mut tunnel = connect(address).await;
    tunnel
        .send("GET /upgrade HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: test\r\n\r\n")
        .await;
    assert!(tunnel.answer().await.starts_with("HTTP/1.1 101"));
    let mut busy = connect(address).await;
    busy.get("/wait").await;
    tested.waiting().await;
    let stage = tested.stage.clone();
    let drained = soon(tested.server.drain(Duration::from_millis(300))).await;
    assert_eq!(
        drained,
        Drained {
            finished: 0,
            aborted: 1,
            tunnels: 1
        }
    );
    assert_eq!(busy.closed().await, b"");
    assert_eq!(tunnel.closed().await, b"");
    assert_eq!(stage.cancelled.load(Relaxed), 1);
}

#[tokio::test]
async fn a_drain_with_only_tunnels_is_over_at_once() {
    let (tested, address) = plain(LONG, LONG);
    let mut tunnel = connect(address).await;
    tunnel
        .send("GET /upgrade HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: test\r\n\r\nx")
        .await;
    assert!(tunnel.answer().await.starts_with("HTTP/1.1 101"));
    let drained = soon(tested.server.drain(Duration::from_secs(3600))).await;
    assert_eq!((drained.aborted, drained.tunnels), (0, 1));
}

// A request that is on the wire when the drain begins is not lost.
#[tokio::test]
async fn a_connection_in_the_queue_is_still_served() {
    let (tested, address) = plain(LONG, LONG);
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = Raw(std::net::TcpStream::connect(address).unwrap());
        std::io::Write::write_all(&mut client.0, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        clients.push(client);
    }
    soon(tested.server.drain(SOON)).await;
    for client in clients {
        client.0.set_nonblocking(true).unwrap();
        let mut client = Raw(TcpStream::from_std(client.0).unwrap());
        assert!(client.answer().await.starts_with("HTTP/1.1 200"));
    }
}

// Contract: "Reload keeps unchanged listeners; a removed one is emptied before it closes."
#[tokio::test]
async fn a_reload_keeps_adds_and_empties() {
    let (tested, kept) = plain(LONG, LONG);
    let removed = tested.listen(Role::Http);
    let mut staying = connect(kept).await;
    staying.get("/").await;
    staying.answer().await;
    let mut leaving = connect(removed).await;
    leaving.get("/wait").await;
    tested.waiting().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new.sock");
    let wanted = [
        (Listen::Tcp(kept), Role::Http),
        (Listen::Unix(path.clone()), Role::Http),
    ];
    tested.server.relisten(&wanted).unwrap();
    assert_eq!(tested.server.listeners(), wanted);
    until(|| std::net::TcpStream::connect(removed).is_err()).await;
    tested.stage.gate.add_permits(1);
    assert!(leaving.answer().await.ends_with("waited"));
    assert_eq!(leaving.rest().await, b"");
    staying.get("/again").await;
    assert!(staying.answer().await.ends_with("/again"));
    let mut new = Raw(UnixStream::connect(&path).await.unwrap());
    new.get("/new").await;
    assert!(new.answer().await.ends_with("/new"));
}

#[tokio::test]
async fn a_reload_that_cannot_bind_changes_nothing() {
    let (tested, address) = plain(LONG, LONG);
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = Listen::Tcp(holder.local_addr().unwrap());
    let error = tested.server.relisten(&[(taken, Role::Http)]).unwrap_err();
    assert!(matches!(error, ListenError::InUse { .. }));
    let mut client = connect(address).await;
    client.get("/").await;
    assert!(client.answer().await.starts_with("HTTP/1.1 200"));
}

// Bad inputs D-07: "accept pauses, no busy loop ..., reserve fds for admin"
#[tokio::test]
async fn at_the_cap_clients_wait_and_operations_do_not() {
    let tested = start(&timeouts(LONG, LONG), &limits(2));
    let address = tested.listen(Role::Http);
    let operations = tested.listen(Role::Operations);
    let mut first = connect(address).await;
    first.get("/").await;
    first.answer().await;
    let mut second = connect(address).await;
    second.get("/").await;
    second.answer().await;
    let mut third = connect(address).await;
    third.get("/third").await;
    until(|| tested.server.counters().full.load(Relaxed) > 0).await;
    let mut health = connect(operations).await;
    health.get("/healthz").await;
    assert!(health.answer().await.ends_with("/healthz"));
    assert!(!tested.seen().contains(&"GET /third".to_owned()));
    assert_eq!(tested.server.counters().open.load(Relaxed), 3);
    drop(first);
    assert!(third.answer().await.ends_with("/third"), "waited, not dropped");
    // A higher limit is in force at once.
    let mut fourth = connect(address).await;
    fourth.get("/fourth").await;
    tested.server.set_limits(&timeouts(LONG, LONG), &limits(3));
    assert!(fourth.answer().await.ends_with("/fourth"));
    drop((second, third, fourth));
    until(|| tested.server.counters().open.load(Relaxed) == 1).await;
}

/// Runs one ignored test of this binary under a shell line; `$0` is the binary.
fn under(line: &str, test: &str, stdin: Stdio) {
    let binary = std::env::current_exe().unwrap();
    let output = Command::new("/bin/sh")
        .args(["-c", &format!("{line} exec \"$0\" --exact {test} --ignored")])
        .arg0(binary.to_str().unwrap())
        .arg(&binary)
        .stdin(stdin)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{output:?}");
}

// Conventions 4.2: "`.socket` unit with `FileDescriptorName=http|https|admin`"
#[test]
fn a_socket_from_the_service_manager_is_taken_over() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    under(
        "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=http;",
        "listeners::child_with_an_inherited_socket",
        Stdio::from(std::os::fd::OwnedFd::from(socket)),
    );
}

#[tokio::test]
#[ignore = "run by a_socket_from_the_service_manager_is_taken_over"]
async fn child_with_an_inherited_socket() {
    let mut bound = inherited(2).unwrap();
    assert_eq!(bound.len(), 1);
    assert_eq!(bound[0].role(), Role::Http);
    let Listen::Tcp(address) = *bound[0].address() else {
        unreachable!()
    };
    let tested = start(&timeouts(LONG, LONG), &limits(10));
    tested.server.add(bound.remove(0));
    for _ in 0..8 {
        let mut client = connect(address).await;
        client.get("/inherited").await;
        assert!(client.answer().await.ends_with("/inherited"));
    }
    assert!(inherited(2).unwrap().is_empty(), "taken only once");
}

// Bad inputs D-07: "no busy loop on EMFILE, ...; log once/s"
#[test]
fn without_file_descriptors_accepting_pauses() {
    under(
        "ulimit -n 60;",
        "listeners::child_without_descriptors",
        Stdio::null(),
    );
}

#[tokio::test]
#[ignore = "run by without_file_descriptors_accepting_pauses"]
async fn child_without_descriptors() {
    let (tested, address) = plain(LONG, LONG);
    let counters = tested.server.counters();
    let mut client = std::net::TcpStream::connect(address).unwrap();
    until(|| counters.accepted.load(Relaxed) == 1).await;
    let waiting = std::net::TcpStream::connect(address).unwrap();
    until(|| counters.accepted.load(Relaxed) == 2).await;
    drop(waiting);
    until(|| counters.open.load(Relaxed) == 1).await;
    // The last descriptors: a client's socket is made, and accept has none left for it.
    let last = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut hoard = Vec::new();
    while let Ok(more) = last.try_clone() {
        hoard.push(more);
    }
    hoard.pop();
    let late = std::net::TcpStream::connect(address).unwrap();
    until(|| counters.accept_failed.load(Relaxed) > 0).await;
    let before = counters.accept_failed.load(Relaxed);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let tries = counters.accept_failed.load(Relaxed) - before;
    assert!(tries <= 6, "{tries} tries in half a second");
    hoard.clear();
    until(|| counters.accepted.load(Relaxed) == 3).await;
    std::io::Write::write_all(&mut client, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    std::io::Read::read_exact(&mut client, &mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    drop(late);
}

// Conventions 4.2: "send `RELOADING=1` + `MONOTONIC_USEC`, then `READY=1`", "`WatchdogSec=30`"
#[test]
fn the_service_manager_hears_of_start_reload_and_stop() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let manager = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    manager.set_nonblocking(true).unwrap();
    under(
        &format!("export NOTIFY_SOCKET={} WATCHDOG_USEC=30000000;", path.display()),
        "listeners::child_of_a_service_manager",
        Stdio::null(),
    );
    let mut buffer = [0; 256];
    let mut next = || {
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    assert_eq!(next(), "READY=1\n");
    assert_eq!(next(), "STATUS=serving\n");
    let reloading = next();
    let time = reloading
        .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
        .and_then(|time| time.trim_end().parse::<u64>().ok());
    assert!(time.is_some_and(|time| time > 0), "{reloading}");
    assert_eq!(next(), "WATCHDOG=1\n");
    assert_eq!(next(), "STOPPING=1\n");
}

#[test]
#[ignore = "run by the_service_manager_hears_of_start_reload_and_stop"]
fn child_of_a_service_manager() {
    systemd::ready();
    systemd::status("serving");
    systemd::reloading();
    assert_eq!(systemd::watchdog_interval(), Some(Duration::from_secs(15)));
    systemd::watchdog();
    systemd::stopping();
}
