//! The machine and the programs on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sidegate::time::Clock;

use crate::load::Process;
use crate::peers::Programs;

/// Above this, others use the machine too.
const QUIET: f64 = 0.5;

/// Finds every program, or installs it: Debian packages, and Caddy as `tests/gateways/install` pins it.
pub(crate) fn programs() -> Programs {
    let missing: Vec<&str> = [
        ("wrk", "wrk"),
        ("h2load", "nghttp2-client"),
        ("curl", "curl"),
        ("taskset", "util-linux"),
    ]
    .into_iter()
    .filter(|(program, _)| find(program).is_none())
    .map(|(_, package)| package)
    .collect();
    if !missing.is_empty() {
        let script = format!(
            "sudo=; [ \"$(id -u)\" = 0 ] || sudo=sudo; $sudo apt-get update -qq && \
             $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq {}",
            missing.join(" ")
        );
        run(Command::new("sh").arg("-c").arg(script));
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let caddy = root.join("target/gateways/bin/caddy");
    if !caddy.exists() || find("nginx").is_none() || find("haproxy").is_none() {
        run(&mut Command::new(root.join("tests/gateways/install")));
    }
    Programs {
        nginx: find("nginx").expect("installed"),
        haproxy: find("haproxy").expect("installed"),
        caddy,
    }
}

fn run(command: &mut Command) {
    let status = command.status().expect("it can be run");
    assert!(
        status.success(),
        "{command:?} failed: install what it names by hand"
    );
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps servers where only root looks.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// The last minute's.
pub(crate) fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap_or_default()
}

/// As many open files as the system allows, for this process and those it starts.
pub(crate) fn many_files() {
    let own = Process::own().0.to_string();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let hard = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|line| line.split_whitespace().nth(1));
    if let Some(hard) = hard {
        let _ = Command::new("prlimit")
            .args(["--pid", &own, &format!("--nofile={hard}:{hard}")])
            .status();
    }
}

/// Date, machine, programs, and how much was measured.
pub(crate) fn conditions(
    programs: &Programs,
    sidegate: &Path,
    busy: f64,
    (rounds, seconds): (usize, u32),
    processors: usize,
) -> Vec<String> {
    let now = Clock::system().now().to_string();
    let date = now.get(..10).unwrap_or(&now);
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model)
        .to_owned();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel: Vec<&str> = kernel.trim().split('.').take(2).collect();
    let first = |program: &Path, argument: &str| {
        let output = Command::new(program).arg(argument).output().ok();
        let text = output
            .map(|output| [output.stdout, output.stderr].concat())
            .unwrap_or_default();
        String::from_utf8_lossy(&text)
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let (nginx, haproxy) = (first(&programs.nginx, "-v"), first(&programs.haproxy, "-v"));
    let haproxy: Vec<&str> = haproxy.split(' ').take(3).collect();
    let mut conditions = vec![
        format!(
            "{date}, {processors} processors ({model}), Linux {}",
            kernel.join(".")
        ),
        format!(
            "{rounds} rounds of {seconds} s, medians; a ratio is the median of the rounds' ratios to the first row"
        ),
        format!(
            "{}; {nginx}; {}; Caddy {}",
            first(sidegate, "--version"),
            haproxy.join(" "),
            first(&programs.caddy, "version")
                .split(' ')
                .next()
                .unwrap_or_default()
        ),
    ];
    if busy > QUIET {
        conditions.insert(
            1,
            format!("**provisional**: others used the machine (load {busy:.1} at the start)"),
        );
    }
    conditions
}
