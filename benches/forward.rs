//! What forwarding costs: a real server with one worker between a raw client and a raw backend, all
//! on loopback, against the same client straight to the same backend.
//!
//! The server is put on the first processor, everything else on the others, where `taskset` is
//! installed. `CPU` is the server's own, all threads, user and kernel: the figure to trust when
//! others use the machine too.

mod load;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use load::{Backend, Client, Gate, Process};

/// Connections that ask at once.
const CLIENTS: usize = 8;
/// How long a row is measured, and how often; the median counts.
const SPAN: Duration = Duration::from_millis(400);
const ROUNDS: usize = 5;

/// What is asked for.
const LOADS: [Load; 4] = [
    Load {
        name: "GET 100 B",
        path: "/100",
        body: 0,
    },
    Load {
        name: "GET 10 kB",
        path: "/10000",
        body: 0,
    },
    Load {
        name: "GET 1 MB",
        path: "/1000000",
        body: 0,
    },
    Load {
        name: "POST 10 kB",
        path: "/2",
        body: 10_000,
    },
];

struct Load {
    name: &'static str,
    path: &'static str,
    body: usize,
}

/// One way to the backend, with a credential.
struct Road {
    name: &'static str,
    address: SocketAddr,
    header: String,
    server: Option<Process>,
}

/// The medians of one row.
struct Figures {
    per_second: f64,
    /// None: there is no server in between.
    cpu: Option<Duration>,
}

fn main() {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let backend = Backend::start();
    let gate = Gate::start(
        backend.address,
        "[networks]\ntrusted = [{ cidr = \"127.0.0.0/8\", user = \"anna\" }]",
    );
    if processors > 1 {
        gate.process().pin("0");
        Process::own().pin(&format!("1-{}", processors - 1));
    }
    let token = gate.token("phone");
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{token}:"));
    let road = |name, header| Road {
        name,
        address: gate.address,
        header,
        server: Some(gate.process()),
    };
    let roads = [
        Road {
            name: "straight",
            address: backend.address,
            header: String::new(),
            server: None,
        },
        road("Bearer", format!("Authorization: Bearer {token}\r\n")),
        road("X-OPENHAB-TOKEN", format!("X-OPENHAB-TOKEN: {token}\r\n")),
        road("Basic", format!("Authorization: Basic {basic}\r\n")),
        road("trusted network", String::new()),
    ];
    println!(
        "{:<12}{:<18}{:>14}{:>16}{:>14}",
        "", "road", "requests/s", "CPU/request", "of straight"
    );
    for load in &LOADS {
        let rows = measure(load, &roads);
        let straight = rows[0].per_second;
        for (road, row) in roads.iter().zip(&rows) {
            let cpu = row
                .cpu
                .map_or_else(String::new, |cpu| format!("{:.1} us", micros(cpu)));
            let share = row.per_second / straight;
            println!(
                "{:<12}{:<18}{:>14.0}{cpu:>16}{share:>14.2}",
                load.name, road.name, row.per_second
            );
        }
    }
}

/// All roads in turn, several times, so that what else the machine does hits them alike.
fn measure(load: &Load, roads: &[Road]) -> Vec<Figures> {
    let mut rounds: Vec<Vec<(f64, Duration)>> = roads.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for (road, rounds) in roads.iter().zip(&mut rounds) {
            rounds.push(run(load, road));
        }
    }
    let figures = |(mut rounds, road): (Vec<(f64, Duration)>, &Road)| {
        rounds.sort_by(|one, other| one.0.total_cmp(&other.0));
        let per_second = rounds[ROUNDS / 2].0;
        rounds.sort_by_key(|round| round.1);
        let cpu = road.server.map(|_| rounds[ROUNDS / 2].1);
        Figures { per_second, cpu }
    };
    rounds.into_iter().zip(roads).map(figures).collect()
}

/// Requests per second, and the server's processor time for each.
fn run(load: &Load, road: &Road) -> (f64, Duration) {
    let mut request = format!(
        "{} {} HTTP/1.1\r\nHost: home.example\r\nUser-Agent: openHAB/3.17 (Android 15)\r\n\
         Accept: application/json\r\nAccept-Encoding: gzip\r\n{}",
        load.name.split(' ').next().unwrap_or("GET"),
        load.path,
        road.header
    );
    if load.body > 0 {
        request.push_str(&format!(
            "Content-Type: text/plain\r\nContent-Length: {}\r\n",
            load.body
        ));
    }
    request.push_str("\r\n");
    let request = [request.as_bytes(), &vec![b'y'; load.body]].concat();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(road.address)).collect();
    for client in &mut clients {
        client.exchange(&request);
    }
    let stop = AtomicBool::new(false);
    let cpu = road.server.map_or(Duration::ZERO, Process::cpu);
    let started = Instant::now();
    let answered: u32 = std::thread::scope(|scope| {
        let asking: Vec<_> = clients
            .iter_mut()
            .map(|client| {
                scope.spawn(|| {
                    let mut answered = 0;
                    while !stop.load(Ordering::Relaxed) {
                        client.exchange(&request);
                        answered += 1;
                    }
                    answered
                })
            })
            .collect();
        std::thread::sleep(SPAN);
        stop.store(true, Ordering::Relaxed);
        asking
            .into_iter()
            .map(|asking| asking.join().expect("no client failed"))
            .sum()
    });
    let took = started.elapsed();
    let cpu = road.server.map_or(Duration::ZERO, Process::cpu) - cpu;
    (f64::from(answered) / took.as_secs_f64(), cpu / answered.max(1))
}

fn micros(span: Duration) -> f64 {
    span.as_secs_f64() * 1e6
}
