//! Sidegate beside nginx, HAProxy and Caddy: the same job, on the same core, in turn.
//!
//! `cargo bench --bench compare`: a quarter of an hour. After `--`:
//!
//! - `--quick`: less of everything, in two minutes: for the time of development
//! - `--only WORD`: the sections with that word in their name (also `handshakes`, `memory`, `few`,
//!   `latency`)
//! - `--program FILE`: another build of Sidegate
//! - `--save`: writes `docs/comparison.md` and `docs/comparison.svg`
//!
//! Servers are put on the last processor, all else (load, backend, this program) on the first. Processor
//! time of the server for each request, and its ratio to the first row, are the figures to trust: what
//! else the machine does hits throughput and latency much more. Each case is checked before it is measured:
//! a right credential gets the right answer, a wrong one is refused. One answer that is none, or no
//! success, and its row has no figure.

#[path = "../load/mod.rs"]
mod load;

mod ask;
mod bare;
mod cases;
mod certificate;
mod few;
mod gates;
mod handshakes;
mod idle;
mod machine;
mod paced;
mod peers;
mod report;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ask::Case;
use bare::Bare;
use cases::{Section, Stage};
use certificate::Certificate;
use gates::{Running, Settings};
use idle::Weight;
use load::{Backend, Process, free_address};
use peers::{Facts, Peer};
use report::{HANDSHAKES, Report, Row};

/// Where the load comes from.
const LOAD: usize = 0;

/// What was asked for on the command line.
struct Options {
    quick: bool,
    only: Option<String>,
    program: PathBuf,
    save: bool,
}

impl Options {
    fn read() -> Result<Self, String> {
        let mut options = Self {
            quick: false,
            only: None,
            program: env!("CARGO_BIN_EXE_sidegate").into(),
            save: false,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                // What cargo adds.
                "--bench" => {}
                "--quick" => options.quick = true,
                "--save" => options.save = true,
                "--only" => options.only = Some(value()?),
                "--program" => options.program = value()?.into(),
                _ => {
                    return Err(format!(
                        "{word} is unknown; there are --quick, --only WORD, --program FILE, --save"
                    ));
                }
            }
        }
        Ok(options)
    }

    fn wants(&self, name: &str) -> bool {
        let only = self.only.as_ref();
        only.is_none_or(|word| name.to_lowercase().contains(&word.to_lowercase()))
    }

    /// Rounds, and seconds of each.
    fn pace(&self) -> (usize, u32) {
        if self.quick { (2, 1) } else { (5, 2) }
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [word, rest @ ..] = &words[..]
        && word == bare::WORD
    {
        return bare::serve(rest);
    }
    let options = Options::read().unwrap_or_else(|error| {
        eprintln!("{error}");
        std::process::exit(64)
    });
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    assert!(
        processors > 1,
        "one processor is too few: load and server would share it"
    );
    let busy = machine::load_average();
    let programs = machine::programs();
    let server = processors - 1;
    Process::own().pin(&LOAD.to_string());
    machine::many_files();
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let certificate = Certificate::make(folder.path());
    let tokens = cases::tokens_of_peers(options.quick);
    let backend = peers::backend(&programs, folder.path(), LOAD);
    let facts = Facts {
        programs: &programs,
        folder: folder.path(),
        certificate: &certificate,
        tokens: &tokens,
        backend: backend.at("backend"),
        core: server,
    };
    let mut report = Report {
        conditions: machine::conditions(&programs, &options.program, busy, options.pace(), processors),
        ..Report::default()
    };
    let peers = [peers::nginx(&facts), peers::haproxy(&facts), peers::caddy(&facts)];
    let [nginx, haproxy, caddy] = &peers;
    let stage = Stage {
        program: &options.program,
        folder: folder.path(),
        certificate: &certificate,
        nginx,
        haproxy,
        caddy,
        backend: backend.at("backend"),
        tokens: &tokens,
        core: server,
        quick: options.quick,
    };
    requests(&options, &stage, &mut report);
    if options.wants(HANDSHAKES) {
        shake(&options, &stage, &mut report);
    }
    if options.wants("memory") {
        weigh(&options, &facts, &mut report);
    }
    if options.wants("few connections") {
        let rounds = if options.quick { 2 } else { 7 };
        match few::measure(&stage, LOAD, rounds) {
            Ok(seen) => report.few = seen,
            Err(why) => report.left_out.push(format!("few connections: {why}")),
        }
    }
    if options.wants("latency") {
        latency(&options, &stage, &mut report);
    }
    println!("{}", report.page());
    save(&options, &report);
}

/// Decisions and forwarding.
fn requests(options: &Options, stage: &Stage<'_>, report: &mut Report) {
    if options.wants("decision") {
        match stage.decision() {
            Some((mut section, _gates)) => {
                let bare = Bare::start(None, stage.core);
                section.cases.push(cases::bare(&bare, "/"));
                measure(options, stage, section, report);
            }
            None => report
                .left_out
                .push("decision: this version answers no gateways yet".into()),
        }
    }
    let (sections, _gates) = stage.proxy();
    let bare = Bare::start(Some(stage.backend), stage.core);
    for mut section in sections {
        if options.wants(section.name) {
            if section.name == "proxy, 100 B" {
                section.cases.push(cases::bare(&bare, "/100"));
            }
            measure(options, stage, section, report);
        }
    }
    let (section, _gate) = stage.password();
    if options.wants(section.name) {
        measure(options, stage, section, report);
    }
}

/// All cases of a section in turn, several times, so that what else the machine does hits them alike.
fn measure(options: &Options, stage: &Stage<'_>, section: Section, report: &mut Report) {
    let Section { name, tool, cases } = section;
    let cases: Vec<Case> = cases
        .into_iter()
        .filter(|case| case.quick || !options.quick)
        .collect();
    let (rounds, seconds) = options.pace();
    let mut rows: Vec<Row> = cases
        .iter()
        .map(|case| Row {
            section: name,
            name: case.name.clone(),
            ours: case.ours,
            rounds: Vec::new(),
            invalid: case.check(tool, stage.folder).err(),
        })
        .collect();
    for round in 0..=rounds {
        eprintln!(
            "{name}: {}",
            if round == 0 {
                "warming up".into()
            } else {
                format!("round {round} of {rounds}")
            }
        );
        for (case, row) in cases.iter().zip(&mut rows) {
            // The check has warmed everything but a list of tokens.
            let warm = round == 0 && options.quick && case.tokens.is_none();
            if row.invalid.is_some() || warm {
                continue;
            }
            let seconds = if round == 0 { 1 } else { seconds };
            match case.ask(tool, seconds, stage.folder, LOAD) {
                Err(why) => row.invalid = Some(why),
                Ok(_) if round == 0 => {}
                Ok(sample) if sample.errors > 0 || sample.requests == 0 => {
                    row.invalid = Some(format!("{} errors of {} answers", sample.errors, sample.requests));
                }
                Ok(sample) => row.rounds.push(sample),
            }
        }
    }
    report.rows.extend(rows);
}

/// Handshakes of nginx and ours, in turn.
fn shake(options: &Options, stage: &Stage<'_>, report: &mut Report) {
    let tls = free_address();
    let ours = Running::start(
        stage.program,
        stage.backend,
        Settings {
            tls: Some((stage.certificate, tls)),
            ..Settings::default()
        },
        stage.core,
    );
    let rounds = options.pace().0;
    let nginx = ("nginx", stage.nginx.process(), stage.nginx.at("tls proxy"));
    let haproxy = ("HAProxy", stage.haproxy.process(), stage.haproxy.at("tls proxy"));
    let sidegate = ("Sidegate", ours.gate.process(), tls);
    let mut cases = Vec::new();
    let kinds = &handshakes::KINDS[..if options.quick { 2 } else { 4 }];
    for &kind in kinds {
        cases.extend([nginx, haproxy, sidegate].map(|server| (kind, server)));
    }
    cases.push((handshakes::HYBRID, sidegate));
    let mut rows: Vec<Row> = cases
        .iter()
        .map(|(kind, (name, ..))| Row {
            section: HANDSHAKES,
            name: format!("{name}: {}", kind.name),
            ours: *name == "Sidegate",
            rounds: Vec::new(),
            invalid: None,
        })
        .collect();
    for round in 1..=rounds {
        eprintln!("{HANDSHAKES}: round {round} of {rounds}");
        for ((kind, (_, process, address)), row) in cases.iter().zip(&mut rows) {
            let second = Duration::from_secs(1);
            match handshakes::run(*kind, *process, *address, &stage.certificate.cert, second) {
                Ok(sample) => row.rounds.push(sample),
                Err(why) => row.invalid = Some(why),
            }
        }
    }
    report.rows.extend(rows);
}

/// Connections that wait, each kind at a fresh server, which has no room left over from before.
fn weigh(options: &Options, facts: &Facts<'_>, report: &mut Report) {
    let count = if options.quick { 1000 } else { 9000 };
    eprintln!("memory: {count} connections, {} tunnels", count / 2);
    let backend = Backend::start();
    let token = format!("Bearer {}", facts.tokens[0]);
    let nginx = || peers::nginx_plain(facts, backend.address);
    let haproxy = || peers::haproxy_plain(facts, backend.address);
    let of = |peer: &Peer, weigh: idle::Weigh| weigh(peer.process(), peer.at("proxy"), &token, count);
    let gate = || Running::start(&options.program, backend.address, Settings::default(), facts.core);
    let ours = |running: &Running, weigh: idle::Weigh| {
        let credential = format!("Bearer {}", running.token);
        weigh(running.gate.process(), running.gate.address, &credential, count)
    };
    report.weights = vec![
        Weight {
            name: "nginx",
            kept: of(&nginx(), idle::kept),
            tunnel: of(&nginx(), idle::tunnels),
        },
        Weight {
            name: "HAProxy",
            kept: of(&haproxy(), idle::kept),
            tunnel: of(&haproxy(), idle::tunnels),
        },
        Weight {
            name: "Sidegate",
            kept: ours(&gate(), idle::kept),
            tunnel: ours(&gate(), idle::tunnels),
        },
    ];
}

/// Cached checks while something else goes on.
fn latency(options: &Options, stage: &Stage<'_>, report: &mut Report) {
    let ours = Running::start(
        stage.program,
        stage.backend,
        Settings {
            rest: "[credentials]\nbasic_passwords = true",
            password: true,
            ..Settings::default()
        },
        stage.core,
    );
    let span = Duration::from_secs(if options.quick { 2 } else { 6 });
    let password = cases::password_header();
    let (gate, nginx, caddy) = (&ours.gate, stage.nginx, stage.caddy);
    let mut seen =
        |name: &str, address: SocketAddr, credential: &str, beside: &(dyn Fn(&AtomicBool) + Sync)| {
            eprintln!("latency: {name}");
            // The first is verified, and its backend connected.
            paced::run(address, credential, "/100", Duration::from_millis(500), |_| {});
            let paced = paced::run(address, credential, "/100", span, beside);
            report.paced.push((name.to_owned(), paced));
        };
    let nothing = |_: &AtomicBool| {};
    let (sha, bcrypt) = (nginx.at("sha proxy"), nginx.at("bcrypt5 proxy"));
    let cached = caddy.at("basic proxy");
    let address = gate.address;
    seen("nginx {SHA}: nothing else", sha, &password, &nothing);
    seen(
        "nginx {SHA}: reload 5 times a second",
        sha,
        &password,
        &|stop: &AtomicBool| {
            again(stop, Duration::from_millis(200), || nginx.process().signal("HUP"));
        },
    );
    seen("nginx bcrypt cost 5: nothing else", bcrypt, &password, &nothing);
    seen(
        "nginx bcrypt cost 5: 200 wrong passwords a second",
        bcrypt,
        &password,
        &|stop: &AtomicBool| {
            paced::guess(bcrypt, stop);
        },
    );
    seen(
        "Caddy bcrypt cost 14, cached: nothing else",
        cached,
        &password,
        &nothing,
    );
    seen(
        "Caddy bcrypt cost 14, cached: 200 wrong passwords a second",
        cached,
        &password,
        &|stop: &AtomicBool| {
            paced::guess(cached, stop);
        },
    );
    seen("**Sidegate**: nothing else", address, &password, &nothing);
    seen(
        "**Sidegate**: 200 wrong passwords a second",
        address,
        &password,
        &|stop: &AtomicBool| {
            paced::guess(address, stop);
        },
    );
    seen(
        "**Sidegate**: reload 5 times a second",
        address,
        &password,
        &|stop: &AtomicBool| {
            again(stop, Duration::from_millis(200), || gate.process().signal("HUP"));
        },
    );
    seen(
        "**Sidegate**: nothing else, after the reloads",
        address,
        &password,
        &nothing,
    );
    let backups = stage.folder.join("backups");
    std::fs::create_dir_all(&backups).expect("a folder can be made");
    seen(
        "**Sidegate**: one backup after the other",
        address,
        &password,
        &|stop: &AtomicBool| {
            let number = std::sync::atomic::AtomicU32::new(0);
            again(stop, Duration::from_millis(100), || {
                let file = backups.join(number.fetch_add(1, Ordering::Relaxed).to_string());
                gate.run(&["backup", &file.display().to_string()], "");
            });
        },
    );
    let count = if options.quick { 1000 } else { 9000 };
    let request = format!("GET /100 HTTP/1.1\r\nHost: home.example\r\nAuthorization: {password}\r\n\r\n");
    let idle: Vec<load::Client> = (0..count)
        .map(|_| {
            let mut client = gate.client();
            client.exchange(request.as_bytes());
            client
        })
        .collect();
    seen(
        &format!("**Sidegate**: {count} idle connections"),
        address,
        &password,
        &nothing,
    );
    drop(idle);
}

/// Does it again and again until it is told to stop.
fn again(stop: &AtomicBool, pause: Duration, what: impl Fn()) {
    while !stop.load(Ordering::Relaxed) {
        what();
        std::thread::sleep(pause);
    }
}

/// The page and the plot: beside the build, or in the documents.
fn save(options: &Options, report: &Report) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = if options.save {
        root.join("docs")
    } else {
        root.join("target/compare")
    };
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    let intro = "# Beside nginx, HAProxy and Caddy\n\nWritten by `cargo bench --bench compare -- --save`; \
                 [performance.md](performance.md) says how it is measured.\n\n![The same as a plot](comparison.svg)\n\n";
    let page = format!("{intro}{}", report.page());
    for (name, text) in [("comparison.md", page), ("comparison.svg", report.plot())] {
        let file = folder.join(name);
        std::fs::write(&file, text).expect("a file can be written");
        eprintln!("wrote {}", file.display());
    }
}
