//! One case: a request to a server, checked once, then asked as fast as wrk or h2load can.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::load::Process;

/// Something to ask, again and again.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) ours: bool,
    /// Whether quick runs measure it.
    pub(crate) quick: bool,
    pub(crate) process: Process,
    pub(crate) url: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// What is sent with a POST.
    pub(crate) body: Body,
    /// A file of tokens, one of which each request carries as Bearer at random.
    pub(crate) tokens: Option<PathBuf>,
    /// How long the answer must be; none: any length.
    pub(crate) answer: Option<u64>,
    /// A header with a wrong credential, which must be refused; none: nobody checks here.
    pub(crate) wrong: Option<(&'static str, String)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    None,
    Sized,
    Chunked,
}

/// The length of bodies that are sent.
const SENT: usize = 10_000;

/// How it is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    /// HTTP/1.1 over so many connections.
    Wrk(u32),
    /// HTTP/2 over TLS: connections, streams on each.
    H2load(u32, u32),
}

/// What one run saw.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) requests: u64,
    pub(crate) span: Duration,
    /// Answers that were none, or no success.
    pub(crate) errors: u64,
    /// Processor time of the server, all threads, user and kernel.
    pub(crate) cpu: Duration,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

impl Case {
    /// That a right credential gets the right answer, and a wrong one is refused.
    ///
    /// # Errors
    /// What came instead.
    pub(crate) fn check(&self, tool: Tool, folder: &Path) -> Result<(), String> {
        let right = match &self.tokens {
            Some(file) => {
                let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
                let token = text.lines().last().ok_or("no token")?;
                Some(("Authorization", format!("Bearer {token}")))
            }
            None => None,
        };
        let (status, length) = self.curl(tool, folder, right.as_ref(), None)?;
        if status != 200 || self.answer.is_some_and(|wanted| wanted != length) {
            return Err(format!("{status} with {length} bytes"));
        }
        let Some(wrong) = &self.wrong else { return Ok(()) };
        match self.curl(tool, folder, Some(wrong), Some(wrong.0))? {
            (401 | 403, _) => Ok(()),
            (status, _) => Err(format!("{status} for a wrong credential")),
        }
    }

    fn curl(
        &self,
        tool: Tool,
        folder: &Path,
        more: Option<&(&'static str, String)>,
        without: Option<&str>,
    ) -> Result<(u16, u64), String> {
        let mut command = Command::new("curl");
        command.args([
            "-sk",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code} %{size_download}",
            "-H",
            "Expect:",
        ]);
        command.arg(match tool {
            Tool::Wrk(_) => "--http1.1",
            Tool::H2load(..) => "--http2",
        });
        let kept = self.headers.iter().filter(|(name, _)| without != Some(name));
        for (name, value) in kept.chain(more) {
            command.arg("-H").arg(format!("{name}: {value}"));
        }
        if self.body != Body::None {
            let file = folder.join("sent");
            fs::write(&file, vec![b'y'; SENT]).map_err(|error| error.to_string())?;
            command.arg("--data-binary").arg(format!("@{}", file.display()));
        }
        if self.body == Body::Chunked {
            command.args(["-H", "Transfer-Encoding: chunked"]);
        }
        let output = command
            .arg(&self.url)
            .output()
            .map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let parsed = text
            .split_once(' ')
            .and_then(|(status, length)| Some((status.parse().ok()?, length.parse().ok()?)));
        parsed.ok_or(format!("curl said {text:?}"))
    }

    /// Asks for so many seconds, from that core.
    ///
    /// # Errors
    /// The tool did not run.
    pub(crate) fn ask(&self, tool: Tool, seconds: u32, folder: &Path, core: usize) -> Result<Sample, String> {
        let family = self.process.family();
        let used = || family.iter().map(|process| process.cpu()).sum::<Duration>();
        let (core, span) = (core.to_string(), seconds.to_string());
        let mut command = Command::new("taskset");
        command.args(["-c", &core]);
        let log = folder.join("h2load.log");
        match tool {
            Tool::Wrk(connections) => {
                let script = folder.join("ask.lua");
                fs::write(&script, self.script()).map_err(|error| error.to_string())?;
                command
                    .args(["wrk", "-t1", "--timeout", "10s", "-c"])
                    .arg(connections.to_string());
                command.args(["-d", &format!("{span}s"), "-s"]).arg(script);
            }
            Tool::H2load(connections, streams) => {
                let _ = fs::remove_file(&log);
                command
                    .args(["h2load", "-t1", "-D", &span, "-c"])
                    .arg(connections.to_string());
                command
                    .arg("-m")
                    .arg(streams.to_string())
                    .arg("--log-file")
                    .arg(&log);
                for (name, value) in &self.headers {
                    command.arg("-H").arg(format!("{name}: {value}"));
                }
            }
        }
        command.arg(&self.url);
        let before = used();
        let output = command.output().map_err(|error| error.to_string())?;
        let cpu = used().saturating_sub(before);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let sample = match tool {
            Tool::Wrk(_) => of_wrk(&text, cpu),
            Tool::H2load(..) => of_h2load(&text, &fs::read_to_string(log).unwrap_or_default(), seconds, cpu),
        };
        sample.ok_or_else(|| format!("{text}{}", String::from_utf8_lossy(&output.stderr)))
    }

    /// For wrk. Tokens come in their order first, so that a warm-up uses each, then at random.
    fn script(&self) -> String {
        let mut script = String::new();
        for (name, value) in &self.headers {
            let _ = writeln!(script, "wrk.headers[{name:?}] = {value:?}");
        }
        match self.body {
            Body::None => {}
            Body::Sized => {
                let _ = writeln!(
                    script,
                    "wrk.method = \"POST\"\nwrk.body = string.rep(\"y\", {SENT})"
                );
            }
            Body::Chunked => {
                let _ = writeln!(
                    script,
                    "wrk.method = \"POST\"
wrk.headers[\"Transfer-Encoding\"] = \"chunked\"
local chunk = string.rep(\"y\", {0})
local body = string.format(\"%x\\r\\n%s\\r\\n%x\\r\\n%s\\r\\n0\\r\\n\\r\\n\", {0}, chunk, {0}, chunk)
function init(args) head = wrk.format() .. body end
function request() return head end",
                    SENT / 2
                );
            }
        }
        if let Some(file) = &self.tokens {
            let _ = writeln!(
                script,
                "local requests, at = {{}}, 0
function init(args)
  for token in io.lines({:?}) do
    wrk.headers[\"Authorization\"] = \"Bearer \" .. token
    requests[#requests + 1] = wrk.format()
  end
end
function request()
  at = at + 1
  if at <= #requests then return requests[at] end
  return requests[math.random(#requests)]
end",
                file.display().to_string()
            );
        }
        script.push_str(
            "function done(summary, latency)
  local e = summary.errors
  io.write(string.format(\"seen %d %d %d %d %d\\n\", summary.requests, summary.duration,
    e.connect + e.read + e.write + e.timeout + e.status, latency:percentile(50), latency:percentile(99)))
end\n",
        );
        script
    }
}

fn of_wrk(text: &str, cpu: Duration) -> Option<Sample> {
    let line = text.lines().find_map(|line| line.strip_prefix("seen "))?;
    let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
    let &[requests, span, errors, p50, p99] = numbers.as_slice() else {
        return None;
    };
    Some(Sample {
        requests,
        span: Duration::from_micros(span),
        errors,
        cpu,
        p50: Duration::from_micros(p50),
        p99: Duration::from_micros(p99),
    })
}

fn of_h2load(text: &str, log: &str, seconds: u32, cpu: Duration) -> Option<Sample> {
    let number = |line: &str, before: &str| -> Option<u64> {
        let line = text.lines().find_map(|candidate| candidate.strip_prefix(line))?;
        let word = line.split(',').find(|part| part.trim().ends_with(before))?;
        word.trim().split(' ').next()?.parse().ok()
    };
    let succeeded = number("requests:", "succeeded")?;
    // The log has a line for each answer: when, status, microseconds.
    let mut latencies: Vec<u64> = log
        .lines()
        .filter_map(|line| line.split('\t').nth(2)?.parse().ok())
        .collect();
    latencies.sort_unstable();
    let at = |part: f64| {
        let index = (latencies.len() as f64 * part) as usize;
        latencies.get(index).copied().map(Duration::from_micros)
    };
    Some(Sample {
        requests: succeeded,
        span: Duration::from_secs(seconds.into()),
        errors: number("requests:", "failed")?
            + number("requests:", "errored")?
            + number("status codes:", "4xx")?,
        cpu,
        p50: at(0.5)?,
        p99: at(0.99)?,
    })
}
