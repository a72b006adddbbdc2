//! What the devices of a house send and answer, none of it tidy.

use std::io::Write;
use std::sync::Mutex;
use std::sync::mpsc::channel;

use crate::support::client::curl;
use crate::support::{Backend, Client, Sidegate};

fn with_token(backend: &Backend) -> (Sidegate, String) {
    let gate = Sidegate::with_anna(backend, "");
    let header = format!("X-OPENHAB-TOKEN: {}", gate.token("anna", "phone"));
    (gate, header)
}

// curl waits with a large body until it is asked to go on.
#[test]
fn a_client_that_waits_for_100_continue_is_told_to_go_on_or_not_to() {
    let backend = Backend::start();
    let (gate, header) = with_token(&backend);
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("body");
    let body: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(&file, &body).expect("a file can be written");
    let url = format!("http://{}/upload", gate.address);
    let upload = |header: &str| {
        let file = file.to_str().expect("utf-8");
        let shown = [
            "-o",
            "/dev/null",
            "-w",
            "%{http_code} %{size_upload}",
            "--expect100-timeout",
            "20",
        ];
        curl(
            &[
                &["-T", file, "-H", header, "-H", "Expect: 100-continue"][..],
                &shown,
                &[&url],
            ]
            .concat(),
        )
        .success()
        .stdout
    };
    assert_eq!(upload(&header), format!("200 {}", body.len()));
    assert!(backend.take_one().body == body);
    // Nothing of the body was sent.
    assert_eq!(upload("X-OPENHAB-TOKEN: oh.phone.wrong"), "401 0");
    assert_eq!(backend.bytes(), b"");
}

#[test]
fn old_clients_and_bodiless_methods_are_served() {
    let backend = Backend::replying(|received| match received.line.split(' ').next() {
        Some("HEAD") => b"HTTP/1.1 200 OK\r\nContent-Length: 77\r\nETag: \"x\"\r\n\r\n".to_vec(),
        Some("DELETE") => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        _ if received.only("if-none-match").is_some() => {
            b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n".to_vec()
        }
        _ => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec(),
    });
    let (gate, header) = with_token(&backend);
    let url = format!("http://{}/", gate.address);
    let old = curl(&["-0", "-H", &header, "-w", " %{http_code}", &url])
        .success()
        .stdout;
    assert_eq!(old, "ok 200");
    let head = curl(&["-I", "-H", &header, &url])
        .success()
        .stdout
        .to_ascii_lowercase();
    assert!(
        head.starts_with("http/1.1 200 ") && head.contains("content-length: 77\r\n"),
        "{head}"
    );
    // All on one connection, which stays in step.
    let mut client = Client::to(gate.address);
    for _ in 0..3 {
        assert_eq!(client.send("DELETE", "/", &[&header], b"").status, 204);
        let answer = client.get("/", &[&header, "If-None-Match: \"x\""]);
        assert_eq!((answer.status, answer.header("etag")), (304, Some("\"x\"")));
        assert_eq!(client.get("/", &[&header]).text(), "ok");
        assert_eq!(
            client
                .send("PROPFIND", "/", &[&header, "Depth: 1"], b"<propfind/>")
                .text(),
            "ok"
        );
    }
}

// "nothing buffered", "forwarded as received"
#[test]
fn answers_of_every_framing_arrive_as_they_are() {
    let backend = Backend::replying(|received| {
        let (_, path) = received.line.split_once(' ').expect("a request line");
        match path.split(' ').next().expect("a path") {
            "/old" => b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nuntil the end".to_vec(),
            "/chunked" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=1\r\nin pi\r\n4\r\neces\r\n0\r\n\r\n".to_vec(),
            "/gzip" => b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00".to_vec(),
            "/empty" => b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec(),
            "/cookies" => b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2; HttpOnly\r\nContent-Length: 0\r\n\r\n".to_vec(),
            "/early" => b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec(),
            _ => b"HTTP/1.1 418 I'm a teapot\r\nX-Own: caf\xe9!\r\nContent-Length: 3\r\n\r\ntea".to_vec(),
        }
    });
    let (gate, header) = with_token(&backend);
    let mut client = Client::to(gate.address);
    for _ in 0..2 {
        let mut get = |path: &str| client.get(path, &[&header, "Accept-Encoding: gzip"]);
        assert_eq!(get("/old").text(), "until the end");
        assert_eq!(get("/chunked").text(), "in pieces");
        assert_eq!(get("/gzip").body, b"\x1f\x8b\x08\x00");
        assert_eq!((get("/empty").status, get("/empty").body.len()), (200, 0));
        assert_eq!(
            get("/cookies").all("set-cookie"),
            ["a=1; Path=/", "b=2; HttpOnly"]
        );
        let early = get("/early");
        assert_eq!((early.status, early.text().as_str()), (200, "ok"));
        let teapot = get("/teapot");
        assert_eq!((teapot.status, teapot.text().as_str()), (418, "tea"));
        assert_eq!(
            teapot.header("x-own"),
            Some("caf\u{fffd}!"),
            "bytes that are no UTF-8 pass, too"
        );
    }
    assert!(
        backend
            .take()
            .iter()
            .all(|received| received.only("accept-encoding") == Some("gzip"))
    );
}

// Many a device closes after each answer and does not say so.
#[test]
fn a_backend_that_closes_without_a_word_costs_no_request() {
    let (closed, wait) = channel();
    let closed = Mutex::new(closed);
    let backend = Backend::serving(move |mut stream, recorder| {
        let mut reader = std::io::BufReader::new(stream.try_clone().expect("a socket"));
        if recorder.read(&mut reader).is_some() {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
        // Closing alone says nothing while a program that another test starts has a copy of it.
        let _ = stream.shutdown(std::net::Shutdown::Both);
        let _ = closed.lock().expect("no panic").send(());
    });
    let (gate, header) = with_token(&backend);
    let mut client = Client::to(gate.address);
    for round in 0..50 {
        let answer = client.send("POST", "/", &[&header], b"state");
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "ok"),
            "round {round}"
        );
        wait.recv().expect("the backend closes");
    }
    // Not even waiting for the end: a GET may be sent again.
    for round in 0..50 {
        assert_eq!(client.get("/", &[&header]).status, 200, "round {round}");
    }
    assert_eq!(
        backend
            .take()
            .iter()
            .filter(|received| received.line.starts_with("POST "))
            .count(),
        50
    );
}
