//! Failed logins: whether their times tell what was wrong, and what two hundred of them a second do to
//! everybody else.
//!
//! `cargo bench --bench logins`; a minute and a half. That each costs one hash is tested in
//! `tests/logins/sameness.rs`; here are the times of it.

mod load;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use load::{Backend, Gate, length};

const PASSWORD: &str = "plain words here";
/// Failed logins of each kind.
const TRIES: usize = 60;
/// Decisions about a token that is known, a second, over so many connections.
const RATE: u32 = 2000;
const CONNECTIONS: u32 = 4;
/// Logins a second, over so many connections: most of them wait for their hash.
const FLOOD: u32 = 200;
const FLOODERS: u32 = 100;
const ROUND: Duration = Duration::from_secs(6);
const ROUNDS: usize = 3;

fn main() {
    let gate = Gate::written(
        std::path::Path::new(env!("CARGO_BIN_EXE_sidegate")),
        |address, data| {
            format!(
                "[server]\nlisten = [\"{address}\"]\ndata = \"{}\"\ntrusted_proxies = [\"127.0.0.1/32\"]\n\
                 [operations]\nlisten = \"\"\n[credentials]\nbasic_passwords = true\n\
                 [[route]]\nupstream = \"http://{}\"\n",
                data.display(),
                Backend::start().address,
            )
        },
    );
    let mut gate = gate;
    for (name, password) in [("dora", PASSWORD), ("tom", "")] {
        let words = ["user", "add", name, "--password-stdin"];
        match password {
            "" => gate.run(&words[..3], ""),
            password => gate.run(&words, password),
        };
    }
    gate.set_password(PASSWORD);
    gate.run(&["user", "disable", "dora"], "");
    gate.launch();
    times_of_failures(&gate);
    flood(&gate);
}

/// In turns, so that whatever else the machine does falls on all kinds alike.
fn times_of_failures(gate: &Gate) {
    let kinds = [
        ("a wrong password", "anna"),
        ("nobody of that name", "nobody"),
        ("a disabled account", "dora"),
        ("no password set", "tom"),
    ];
    let form = LoginForm::open(gate);
    let mut connection = Connection::to(gate);
    let mut times: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for turn in 0..TRIES {
        for (kind, name) in kinds {
            // Its own network and words each time, so that no count is reached.
            let number = turn as u32 * 4 + 1;
            let request = form.request(
                number + name.len() as u32 * 65_536,
                name,
                &format!("wrong {turn}"),
            );
            let began = Instant::now();
            let status = connection.exchange(&request);
            // Strangers together may guess so often at one account; the answer then costs no hash.
            if status == 401 {
                times.entry(kind).or_default().push(began.elapsed());
            }
        }
    }
    println!(
        "{:<36}{:>8}{:>12}{:>12}{:>12}",
        "a failed login by the form", "looked at", "p10", "p50", "p90"
    );
    for (kind, mut taken) in times {
        taken.sort();
        let at = |part: f64| format!("{:.1} ms", quantile(&taken, part).as_secs_f64() * 1e3);
        println!(
            "{kind:<36}{:>8}{:>12}{:>12}{:>12}",
            taken.len(),
            at(0.1),
            at(0.5),
            at(0.9)
        );
    }
}

/// Decisions about one known token at a steady rate, alone and beside the flood, in turns.
fn flood(gate: &Gate) {
    let token = gate.token("phone");
    let question = format!(
        "GET /_sidegate/auth/nginx HTTP/1.1\r\nHost: gate\r\nX-Original-URL: http://home.example/app\r\n\
         X-Original-Method: GET\r\nX-Forwarded-For: 192.0.2.7\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    let form = LoginForm::open(gate);
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    let answers: Mutex<BTreeMap<u16, usize>> = Mutex::default();
    let (mut quiet_cpu, mut loud_cpu) = (Duration::ZERO, Duration::ZERO);
    steady(gate, question.as_bytes());
    for _ in 0..ROUNDS {
        let cpu = gate.process().cpu();
        alone.extend(steady(gate, question.as_bytes()));
        quiet_cpu += gate.process().cpu() - cpu;
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for number in 0..FLOODERS {
                let (form, over, answers) = (&form, &over, &answers);
                scope.spawn(move || flooder(gate, form, number, over, answers));
            }
            // The queue is full by then.
            std::thread::sleep(Duration::from_secs(1));
            let cpu = gate.process().cpu();
            beside.extend(steady(gate, question.as_bytes()));
            loud_cpu += gate.process().cpu() - cpu;
            over.store(true, Ordering::Relaxed);
        });
    }
    println!();
    println!(
        "{:<36}{:>16}{:>20}",
        format!("{RATE} decisions/s, cached token"),
        "alone",
        format!("{FLOOD} logins/s beside")
    );
    alone.sort();
    beside.sort();
    for part in [0.5, 0.9, 0.99, 0.999] {
        let at = |taken: &[Duration]| format!("{:.0} us", quantile(taken, part).as_secs_f64() * 1e6);
        println!(
            "{:<36}{:>16}{:>20}",
            format!("  p{}", part * 100.0),
            at(&alone),
            at(&beside)
        );
    }
    let share = |cpu: Duration| {
        let share = cpu.as_secs_f64() / (ROUND.as_secs_f64() * ROUNDS as f64);
        format!("{:.0} %", share * 100.0)
    };
    println!(
        "{:<36}{:>16}{:>20}",
        "  processor of the server",
        share(quiet_cpu),
        share(loud_cpu)
    );
    let answers = answers.into_inner().expect("no thread panicked");
    let seconds = (ROUND.as_secs_f64() + 1.0) * ROUNDS as f64;
    for (status, count) in answers {
        let each = format!("{:.0}/s", count as f64 / seconds);
        println!(
            "{:<36}{:>16}{each:>20}",
            format!("  logins answered {status}"),
            ""
        );
    }
}

/// Two logins a second, each from another network at another account.
fn flooder(
    gate: &Gate,
    form: &LoginForm,
    number: u32,
    over: &AtomicBool,
    answers: &Mutex<BTreeMap<u16, usize>>,
) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let pause = Duration::from_secs(1) * FLOODERS / FLOOD;
    let mut connection = Connection::to(gate);
    let mut due = Instant::now() + pause * number / FLOODERS;
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("somebody{}", next % 5000);
        // Half by the form, half by Basic.
        let request = match next % 2 {
            0 => form.request(next + 1_000_000, &name, &format!("wrong {next}")),
            _ => basic(next + 1_000_000, &name, &format!("wrong {next}")),
        };
        let status = connection.exchange(&request);
        *answers
            .lock()
            .expect("no panic while it is held")
            .entry(status)
            .or_default() += 1;
        due = (due + pause).max(Instant::now());
    }
}

/// How long each request took, at the steady rate.
fn steady(gate: &Gate, request: &[u8]) -> Vec<Duration> {
    let latencies = Mutex::new(Vec::new());
    let pause = Duration::from_secs(1) * CONNECTIONS / RATE;
    let began = Instant::now();
    std::thread::scope(|scope| {
        for number in 0..CONNECTIONS {
            let latencies = &latencies;
            scope.spawn(move || {
                let mut client = gate.client();
                let mut taken = Vec::new();
                let mut due = began + Duration::from_millis(100) + pause * number / CONNECTIONS;
                let end = due + ROUND;
                while due < end {
                    let now = Instant::now();
                    // What the server held up counts; what the operating system woke late does not.
                    let since = if now < due {
                        std::thread::sleep(due - now);
                        Instant::now()
                    } else {
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
    latencies.into_inner().expect("no thread panicked")
}

/// What a browser has when it was shown the login form.
struct LoginForm {
    cookie: String,
    token: String,
}

impl LoginForm {
    fn open(gate: &Gate) -> Self {
        let mut stream = TcpStream::connect(gate.address).expect("the address listens");
        let request = b"GET /_sidegate/login HTTP/1.1\r\nHost: home.example\r\nAccept: text/html\r\nConnection: close\r\n\r\n";
        stream.write_all(request).expect("it reads");
        let mut page = String::new();
        stream.read_to_string(&mut page).expect("a page");
        let after = |start: &str, end: char| {
            let (_, rest) = page.split_once(start).expect("the login form");
            rest.split(end).next().unwrap_or_default().to_owned()
        };
        Self {
            cookie: after("sidegate-form=", ';'),
            token: after("name=\"form\" value=\"", '"'),
        }
    }

    fn request(&self, from: u32, name: &str, password: &str) -> Vec<u8> {
        let password = password.replace(' ', "+");
        let body = format!("form={}&name={name}&password={password}", self.token);
        format!(
            "POST /_sidegate/login HTTP/1.1\r\nHost: home.example\r\nOrigin: http://home.example\r\n\
             Cookie: sidegate-form={}\r\nX-Forwarded-For: {}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.cookie,
            address(from),
            body.len()
        )
        .into_bytes()
    }
}

fn basic(from: u32, name: &str, password: &str) -> Vec<u8> {
    use base64::Engine;
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
    format!(
        "GET /app HTTP/1.1\r\nHost: home.example\r\nX-Forwarded-For: {}\r\nAuthorization: Basic {pair}\r\n\r\n",
        address(from)
    )
    .into_bytes()
}

/// One of 10.0.0.0/8.
fn address(number: u32) -> std::net::Ipv4Addr {
    (0x0a00_0000 | (number & 0x00ff_ffff)).into()
}

/// A connection on which any answer may come; opened anew when the server closes it.
struct Connection<'g> {
    gate: &'g Gate,
    stream: Option<TcpStream>,
}

impl<'g> Connection<'g> {
    fn to(gate: &'g Gate) -> Self {
        Self { gate, stream: None }
    }

    /// The status of the answer.
    fn exchange(&mut self, request: &[u8]) -> u16 {
        let mut stream = self.stream.take().unwrap_or_else(|| {
            let stream = TcpStream::connect(self.gate.address).expect("the address listens");
            stream.set_nodelay(true).expect("a socket");
            stream
        });
        stream.write_all(request).expect("it reads");
        let mut seen = Vec::new();
        let mut piece = [0; 16 * 1024];
        let (head, end) = loop {
            let count = stream.read(&mut piece).expect("an answer");
            assert!(count > 0, "closed instead of an answer");
            seen.extend_from_slice(&piece[..count]);
            if let Some(at) = seen.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break (String::from_utf8_lossy(&seen[..at]).to_ascii_lowercase(), at + 4);
            }
        };
        let whole = end as u64 + length(&head);
        while (seen.len() as u64) < whole {
            let count = stream.read(&mut piece).expect("a body");
            assert!(count > 0, "closed within a body");
            seen.extend_from_slice(&piece[..count]);
        }
        if !head.contains("connection: close") {
            self.stream = Some(stream);
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.expect("a status line")
    }
}

fn quantile(sorted: &[Duration], part: f64) -> Duration {
    let index = (sorted.len() as f64 * part) as usize;
    sorted[index.min(sorted.len() - 1)]
}
