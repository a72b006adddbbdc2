//! The figures of `docs/performance.md`: what a server weighs, how soon it answers, what a token, a
//! connection and a WebSocket cost, and how long requests take at a steady rate.
//!
//! `cargo bench --bench figures`; a few minutes, 1 GiB of memory and 2 GiB of disk.

mod load;

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use load::{Backend, Client, Gate, store};

const TOKENS: usize = 1_000_000;
const GIBIBYTE: u64 = 1 << 30;
/// Idle connections and WebSockets.
const IDLE: usize = 2000;
/// Requests a second, over so many connections, for so long.
const RATE: u32 = 10_000;
const CONNECTIONS: u32 = 8;
const STEADY: Duration = Duration::from_secs(5);

fn main() {
    println!("{:<52}{:>18}{:>14}", "", "measured", "goal");
    let backend = Backend::start().address;
    start(backend);
    let gate = Gate::start(backend, "");
    let token = gate.token("phone");
    idle_server(&gate);
    bodies(&gate, &token);
    // A server that has served nothing yet, so that no buffer is left to be used again.
    idle_connections(&Gate::start(backend, ""));
    let gate = Gate::start(backend, "");
    let token = gate.token("phone");
    idle_sockets(&gate, &token);
    steady(&gate, &token);
    drop(gate);
    many_tokens(backend);
}

fn row(what: &str, measured: String, goal: &str) {
    println!("{what:<52}{measured:>18}{goal:>14}");
}

fn start(backend: SocketAddr) {
    let mut starts: Vec<Duration> = (0..5).map(|_| Gate::prepare(backend, "").launch()).collect();
    starts.sort();
    let measured = format!("{:.0} ms", starts[2].as_secs_f64() * 1e3);
    row("start to first answer, median of 5", measured, "100 ms");
}

fn idle_server(gate: &Gate) {
    settle();
    let process = gate.process();
    row("idle server, resident", mebibytes(process.resident()), "15 MiB");
    row("  of that allocated", mebibytes(process.allocated()), "");
}

/// A gibibyte up and one down. Nothing is gathered, so memory stays as it is.
fn bodies(gate: &Gate, token: &str) {
    let mut client = gate.client();
    client.exchange(&get("/100", token));
    let peak = |transfer: &mut dyn FnMut()| {
        let before = gate.process().resident();
        gate.process().forget_peak();
        let started = Instant::now();
        transfer();
        let speed = GIBIBYTE as f64 / started.elapsed().as_secs_f64() / f64::from(1 << 30);
        let grown = gate.process().peak().saturating_sub(before);
        (mebibytes(grown), format!("{speed:.2} GiB/s"))
    };
    let (up, up_speed) = peak(&mut || {
        let head = format!(
            "POST /2 HTTP/1.1\r\nHost: home.example\r\nAuthorization: Bearer {token}\r\nContent-Length: {GIBIBYTE}\r\n\r\n"
        );
        client.send(head.as_bytes());
        let piece = vec![b'y'; 256 * 1024];
        for _ in 0..GIBIBYTE / piece.len() as u64 {
            client.send(&piece);
        }
        client.answer(200);
    });
    let (down, down_speed) = peak(&mut || {
        let length = client.exchange(&get(&format!("/{GIBIBYTE}"), token));
        assert_eq!(length, GIBIBYTE);
    });
    row("upload of 1 GiB, more memory at most", up, "2 MiB");
    row("  speed", up_speed, "");
    row("download of 1 GiB, more memory at most", down, "2 MiB");
    row("  speed", down_speed, "");
}

/// Connections that asked once, and keep quiet.
fn idle_connections(gate: &Gate) {
    let token = gate.token("phone");
    let request = get("/100", &token);
    let mut warm: Vec<Client> = (0..20).map(|_| gate.client()).collect();
    for client in &mut warm {
        client.exchange(&request);
    }
    let each = growth(gate, || {
        let mut client = gate.client();
        client.exchange(&request);
        client
    });
    row("idle kept connection", format!("{each} bytes"), "");
}

/// WebSockets on which each side has said one byte.
fn idle_sockets(gate: &Gate, token: &str) {
    let request = format!(
        "GET /socket HTTP/1.1\r\nHost: home.example\r\nAuthorization: Bearer {token}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let open = || {
        let mut client = gate.client();
        client.send(request.as_bytes());
        client.answer(101);
        client.echo();
        client
    };
    let _warm: Vec<Client> = (0..20).map(|_| open()).collect();
    let each = growth(gate, open);
    row("idle WebSocket", format!("{each} bytes"), "");
}

/// Bytes that each of many connections adds to what the server has allocated.
fn growth(gate: &Gate, open: impl Fn() -> Client) -> u64 {
    settle();
    let before = gate.process().allocated();
    let clients: Vec<Client> = (0..IDLE).map(|_| open()).collect();
    settle();
    let grown = gate.process().allocated().saturating_sub(before);
    drop(clients);
    grown / IDLE as u64
}

/// Latency at a steady rate, well below what the server can do.
fn steady(gate: &Gate, token: &str) {
    let request = get("/100", token);
    let latencies = Mutex::new(Vec::new());
    let cpu = gate.process().cpu();
    let began = Instant::now();
    let (pause, late) = (Duration::from_secs(1) * CONNECTIONS / RATE, Mutex::new(0_usize));
    std::thread::scope(|scope| {
        for number in 0..CONNECTIONS {
            let (request, latencies, late) = (&request, &latencies, &late);
            scope.spawn(move || {
                let mut client = gate.client();
                let mut taken = Vec::new();
                // The connections take turns.
                let mut due = began + Duration::from_millis(100) + pause * number / CONNECTIONS;
                let end = due + STEADY;
                while due < end {
                    let now = Instant::now();
                    // What the server held up counts; what the operating system woke late does not.
                    let since = if now < due {
                        std::thread::sleep(due - now);
                        Instant::now()
                    } else {
                        *late.lock().expect("no panic while it is held") += 1;
                        due
                    };
                    client.exchange(request);
                    taken.push(since.elapsed());
                    due += pause;
                }
                latencies.lock().expect("no panic while it is held").extend(taken);
            });
        }
    });
    let cpu = gate.process().cpu() - cpu;
    let mut latencies = latencies.into_inner().expect("no thread panicked");
    latencies.sort();
    let at = |part: f64| {
        let index = (latencies.len() as f64 * part) as usize;
        format!("{:.0} us", latencies[index].as_secs_f64() * 1e6)
    };
    let share = late.into_inner().expect("no thread panicked") as f64 / latencies.len() as f64;
    row("10,000 requests/s, p50", at(0.5), "");
    row("10,000 requests/s, p99", at(0.99), "");
    row(
        "  sent late, behind an earlier answer",
        format!("{:.1} %", share * 100.0),
        "",
    );
    let busy = cpu.as_secs_f64() / STEADY.as_secs_f64();
    row("  processor of the server", format!("{:.0} %", busy * 100.0), "");
}

/// A server with one token, and the same with a million.
fn many_tokens(backend: SocketAddr) {
    let mut gate = Gate::prepare(backend, "");
    let few = gate.launch();
    settle();
    let before = gate.process().resident();
    gate.stop();
    store::add_tokens(&gate.data(), TOKENS);
    let many = gate.launch();
    settle();
    let grown = gate.process().resident().saturating_sub(before);
    let took = (many.saturating_sub(few)).as_secs_f64();
    row("1,000,000 tokens, loaded", format!("{took:.1} s"), "");
    let each = grown / TOKENS as u64;
    row(
        "1,000,000 tokens, memory each",
        format!("{each} bytes"),
        "600 bytes",
    );
}

fn get(path: &str, token: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: home.example\r\nAuthorization: Bearer {token}\r\n\r\n").into_bytes()
}

/// Lets a server finish what it does after an answer.
fn settle() {
    std::thread::sleep(Duration::from_millis(500));
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
