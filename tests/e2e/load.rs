//! Much of it: many requests on one connection, bodies larger than any memory, a reload in the middle.

use std::io::{BufRead, BufReader, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::support::backend::Recorder;
use crate::support::client::program;
use crate::support::{Backend, Client, Sidegate, base64, eventually};

const MIB: u64 = 1024 * 1024;
/// "1 GiB upload and 1 GiB download with flat memory"
const LARGE: u64 = 1024 * MIB;
/// What a process may grow by while it carries a body of any size, in KiB: two connections' buffers,
/// plus what the allocator of a debug build keeps for reuse.
const GROWTH: u64 = 2 * 1024 + 1024;

#[test]
fn a_thousand_requests_on_one_connection_by_each_road() {
    let backend = Backend::start();
    let gate = Sidegate::with_anna(&backend, "");
    let token = gate.token("anna", "phone");
    let before = gate.metric("sidegate_connections_accepted_total");
    let headers = [
        format!("Authorization: Bearer {token}"),
        format!("X-OPENHAB-TOKEN: {token}"),
        format!("Authorization: Basic {}", base64(&format!("{token}:"))),
    ];
    let by_each = 1000;
    for header in &headers {
        let mut client = Client::to(gate.address);
        for number in 0..by_each {
            let answer = client.get(&format!("/{number}"), &[header]);
            assert_eq!(
                (answer.status, answer.text().as_str()),
                (200, "ok"),
                "{header}, request {number}"
            );
        }
    }
    // curl takes one connection for all of them, and the token out of the address.
    let url = format!("http://{token}@{}/[0-999]", gate.address);
    let ran = program(
        "curl",
        &["-sS", "--max-time", "120", "-w", "%{http_code}\n", &url],
    )
    .success();
    assert_eq!(ran.stdout, "ok200\n".repeat(by_each));

    let received = backend.take();
    assert_eq!(received.len(), 4 * by_each);
    for (at, request) in received.iter().enumerate() {
        assert_eq!(request.line, format!("GET /{} HTTP/1.1", at % by_each));
        assert_eq!(request.only("remote-user"), Some("anna"));
        assert_eq!(request.all("authorization"), [""; 0]);
        assert_eq!(request.all("x-openhab-token"), [""; 0]);
    }
    assert_eq!(gate.metric("sidegate_connections_accepted_total") - before, 4.0);
    // Verified once per core at most, however it came.
    let misses = gate.metric("sidegate_cache_misses_total");
    let hits = gate.metric("sidegate_cache_hits_total");
    assert_eq!(misses + hits, 4000.0);
    assert!(misses <= 4.0, "{misses} verifications");
}

// "streaming both ways with back-pressure, nothing buffered"
#[test]
fn a_gibibyte_up_and_a_gibibyte_down_leave_memory_flat() {
    let arrived = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&arrived);
    let backend = Backend::serving(move |stream, _| {
        let mut stream = BufReader::with_capacity(256 * 1024, stream);
        while let Some(head) = read_head(&mut stream) {
            let length = |name: &str| {
                head.lines()
                    .find_map(|line| line.strip_prefix(name))
                    .and_then(|text| text.trim().parse::<u64>().ok())
            };
            let wanted = head
                .split(' ')
                .nth(1)
                .and_then(|path| path.strip_prefix("/down/")?.parse::<u64>().ok());
            let mut checked = Checked::default();
            let mut left = length("content-length:").unwrap_or(0);
            while left > 0 {
                let piece = stream.fill_buf().expect("the gate goes on");
                let count = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                assert!(count > 0, "the body was cut off");
                checked.next(&piece[..count]);
                stream.consume(count);
                left -= count as u64;
            }
            counted.fetch_add(checked.at, Ordering::SeqCst);
            let length = wanted.unwrap_or(2);
            let out = stream.get_mut();
            write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").expect("the gate listens");
            match wanted {
                None => out.write_all(b"ok").expect("the gate listens"),
                Some(length) => send_pattern(out, length),
            }
        }
    });
    let gate = Sidegate::with_anna(&backend, "");
    let token = gate.token("anna", "phone");
    let header = format!("X-OPENHAB-TOKEN: {token}");
    let upload = |size: u64| {
        let mut stream = crate::support::connect(gate.address);
        write!(
            stream,
            "PUT /up HTTP/1.1\r\nHost: gate.test\r\n{header}\r\nContent-Length: {size}\r\n\r\n"
        )
        .expect("the gate listens");
        send_pattern(&mut stream, size);
        assert_eq!(Client::over(stream).answer().text(), "ok");
    };
    let download = |size: u64| {
        let stream = crate::support::connect(gate.address);
        let mut stream = BufReader::with_capacity(256 * 1024, stream);
        write!(
            stream.get_mut(),
            "GET /down/{size} HTTP/1.1\r\nHost: gate.test\r\n{header}\r\n\r\n"
        )
        .expect("the gate listens");
        let head = read_head(&mut stream).expect("an answer");
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        assert!(head.contains(&format!("\ncontent-length: {size}\r")), "{head}");
        let mut checked = Checked::default();
        while checked.at < size {
            let piece = stream.fill_buf().expect("the gate goes on");
            assert!(!piece.is_empty(), "cut off after {} bytes", checked.at);
            let count = piece.len();
            checked.next(piece);
            stream.consume(count);
        }
        assert_eq!(checked.at, size);
    };
    // What is allocated once: connections, caches, the allocator's own.
    upload(32 * MIB);
    download(32 * MIB);
    let before = gate.resident();
    let over = AtomicBool::new(false);
    let highest = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut highest = 0;
            while !over.load(Ordering::Relaxed) {
                highest = highest.max(gate.resident());
                std::thread::sleep(Duration::from_millis(20));
            }
            highest
        });
        upload(LARGE);
        download(LARGE);
        over.store(true, Ordering::Relaxed);
        watch.join().expect("no panic")
    });
    assert_eq!(arrived.load(Ordering::SeqCst), LARGE + 32 * MIB);
    let after = gate.resident();
    println!("resident KiB: {before} before, {highest} at most, {after} after");
    assert!(
        highest >= before && highest - before < GROWTH,
        "{before} KiB grew to {highest} KiB"
    );
    assert!(
        after.saturating_sub(before) < GROWTH,
        "{before} KiB became {after} KiB"
    );
}

// "streaming both ways with back-pressure"
#[test]
fn a_backend_that_does_not_read_stops_the_client_and_not_the_memory() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let backend = Backend::serving(move |stream, _: &Recorder| {
        let mut stream = BufReader::new(stream);
        if read_head(&mut stream).is_some() {
            let _ = wait.lock().expect("one connection").recv();
        }
    });
    let gate = Sidegate::with_anna(&backend, "");
    let token = gate.token("anna", "phone");
    let before = gate.resident();
    let mut stream = crate::support::connect(gate.address);
    stream
        .set_write_timeout(Some(Duration::from_secs(1)))
        .expect("a time limit can be set");
    write!(
        stream,
        "PUT / HTTP/1.1\r\nHost: h\r\nX-OPENHAB-TOKEN: {token}\r\nContent-Length: {LARGE}\r\n\r\n"
    )
    .expect("the gate listens");
    let piece = vec![0; 64 * 1024];
    let mut sent = 0;
    while let Ok(count @ 1..) = stream.write(&piece) {
        sent += count as u64;
        assert!(sent < 64 * MIB, "nobody holds the client back");
    }
    assert!(sent > 0);
    let grown = gate.resident().saturating_sub(before);
    println!(
        "{} KiB were taken before the client had to wait; grown by {grown} KiB",
        sent / 1024
    );
    assert!(grown < GROWTH, "grown by {grown} KiB");
    drop(go);
}

// "A changed file or SIGHUP reloads atomically"; "Reload keeps unchanged listeners"
#[test]
fn reloads_in_the_middle_fail_no_request() {
    let backend = Backend::start();
    let settings = |round: usize| {
        format!(
            "[[route]]\npath = \"/\"\nupstream = \"http://{}\"\nidentity_headers = {{ user = \"X-Round-{round}\" }}\n",
            backend.address
        )
    };
    let mut gate = Sidegate::start(&settings(0));
    gate.cli(&["user", "add", "anna"]).success();
    let header = format!("X-OPENHAB-TOKEN: {}", gate.token("anna", "phone"));
    let (over, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let address = gate.address;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::to(address);
                while !over.load(Ordering::Relaxed) {
                    let answer = client.send("POST", "/", &[&header], b"state");
                    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 1..=10 {
                let at = done.load(Ordering::Relaxed);
                gate.write_config(&settings(round));
                // Every second change is told, the others are seen by themselves.
                if round % 2 == 0 {
                    gate.signal("HUP");
                }
                let name = format!("x-round-{round}");
                let arrived = || {
                    backend
                        .take()
                        .iter()
                        .any(|received| received.only(&name) == Some("anna"))
                };
                eventually(arrived, || format!("no request has {name}; log:\n{}", gate.log()));
                let more = || done.load(Ordering::Relaxed) > at + 4;
                eventually(more, || "the clients stand still".into());
            }
        }));
        over.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    println!("{} requests in 10 reloads", done.load(Ordering::Relaxed));
}

/// The head in lower case, with its lines; none at the end.
fn read_head(stream: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    Some(head.to_ascii_lowercase())
}

/// Its length is no power of two: a piece that is lost or doubled shows.
fn pattern() -> &'static [u8] {
    static PATTERN: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    PATTERN.get_or_init(|| {
        (0..65_521_u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect()
    })
}

fn send_pattern(out: &mut impl Write, size: u64) {
    let mut left = usize::try_from(size).expect("it fits");
    while left > 0 {
        let count = left.min(pattern().len());
        out.write_all(&pattern()[..count]).expect("the other side reads");
        left -= count;
    }
}

/// Compares what comes with the pattern.
#[derive(Default)]
struct Checked {
    at: u64,
}

impl Checked {
    fn next(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            let offset = usize::try_from(self.at % pattern().len() as u64).expect("it fits");
            let count = piece.len().min(pattern().len() - offset);
            assert!(
                piece[..count] == pattern()[offset..offset + count],
                "other bytes near {}",
                self.at
            );
            piece = &piece[count..];
            self.at += count as u64;
        }
    }
}
