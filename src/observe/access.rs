//! The access log: one line per request, for statistics rather than for proof.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::queue::Queue;
use crate::config::settings::LogFormat;
use crate::request::{Client, RequestId};
use crate::time::Timestamp;
use crate::wire::{escape, query, redact};

/// One request.
#[derive(Clone, Copy, Debug)]
pub struct AccessLine<'a> {
    /// When it arrived.
    pub time: Timestamp,
    /// Whose it is.
    pub client: Client,
    /// The account; empty: nobody.
    pub user: &'a str,
    /// Its method.
    pub method: &'a str,
    /// Its path as received.
    pub path: &'a str,
    /// Its query without the `?`; values that are credentials are not written.
    pub query: &'a str,
    /// `HTTP/1.1`, `HTTP/2.0`.
    pub version: &'a str,
    /// What the client calls itself.
    pub agent: &'a str,
    /// Status of the answer.
    pub status: u16,
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// From the request head to the last byte.
    pub duration: Duration,
    /// The upstream's address; empty: answered here.
    pub upstream: &'a str,
    /// The id in audit and answer.
    pub request_id: RequestId,
}

/// The access log could not be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLogError {
    /// The file.
    pub file: PathBuf,
    /// In the words of the operating system.
    pub why: String,
}

impl fmt::Display for AccessLogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "log.access = \"{}\" cannot be written: {}",
            self.file.display(),
            self.why
        )
    }
}

impl std::error::Error for AccessLogError {}

/// Writes access lines, by a thread of its own and in batches. A request never waits: lines that
/// do not fit are dropped and counted.
///
/// Text is the "combined" format of Apache and nginx (the referrer is always `-`, it may hold
/// tokens), then duration in milliseconds, upstream and request id:
///
/// ```text
/// 192.0.2.1 - anna [01/Jan/2026:12:00:00 +0000] "GET /a?b HTTP/1.1" 200 5 "-" "curl" 1.250 "http://10.0.0.2:8080" 00000000000000ff
/// ```
#[derive(Debug)]
pub struct AccessLog {
    shared: Arc<Shared>,
    format: LogFormat,
    /// What tokens begin with: none is written.
    prefix: String,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    queue: Queue<Entry>,
    /// Added to by workers and the writer, read by metrics.
    dropped: AtomicU64,
}

/// An encoded line but for its time, which goes in at `at`: only the writer pays for calendars.
#[derive(Debug)]
struct Entry {
    time: Timestamp,
    line: Vec<u8>,
    at: usize,
}

const QUEUE: usize = 8192;
/// A pause after each batch: the next one is larger, and senders need not wake anybody.
const PAUSE: Duration = Duration::from_millis(50);

impl AccessLog {
    /// Opens (or creates, mode 0640) the file and starts the writer. Tokens, which begin with
    /// `prefix`, are not written where a client may have put one.
    ///
    /// # Errors
    /// The file cannot be opened for appending.
    pub fn open(path: &Path, format: LogFormat, prefix: &str) -> Result<Self, AccessLogError> {
        let fail = |error: io::Error| AccessLogError {
            file: path.to_owned(),
            why: error.to_string(),
        };
        let file = append_to(path).map_err(fail)?;
        let shared = Arc::new(Shared {
            queue: Queue::new(QUEUE),
            dropped: AtomicU64::new(0),
        });
        let writer = Writer {
            shared: shared.clone(),
            path: path.to_owned(),
            file,
            format,
            failing: false,
        };
        let thread = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || writer.run())
            .map_err(fail)?;
        Ok(Self {
            shared,
            format,
            prefix: prefix.to_owned(),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Queues a line, or counts it as dropped.
    pub fn record(&self, line: &AccessLine<'_>) {
        let method = redact::tokens(line.method, &self.prefix);
        let path = redact::tokens(line.path, &self.prefix);
        let query = query::redact(line.query);
        let line = &AccessLine {
            method: &method,
            path: &path,
            // A value whose name says nothing may be one too.
            query: &redact::tokens(&query, &self.prefix),
            agent: &redact::tokens(line.agent, &self.prefix),
            ..*line
        };
        let entry = match self.format {
            LogFormat::Text => combined(line),
            LogFormat::Json => json(line),
        };
        if self.shared.queue.push(entry).is_err() {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Opens the path anew (SIGUSR1 after a rotation); the old file stays if that fails.
    pub fn reopen(&self) {
        self.shared.queue.reopen();
    }

    /// Lines lost since the start.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Writes what is queued and ends the writer. Blocks.
    pub fn close(&self) {
        self.shared.queue.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A writer that panicked has nothing more to say.
            let _ = thread.join();
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.close();
    }
}

struct Writer {
    shared: Arc<Shared>,
    path: PathBuf,
    file: File,
    format: LogFormat,
    failing: bool,
}

impl Writer {
    fn run(mut self) {
        let mut taken = Vec::new();
        let mut batch = Vec::new();
        loop {
            let signals = self.shared.queue.take(&mut taken, None);
            if signals.reopen {
                match append_to(&self.path) {
                    Ok(file) => self.file = file,
                    Err(error) => {
                        tracing::warn!(%error, "the access log {} cannot be reopened", self.path.display());
                    }
                }
            }
            batch.clear();
            for entry in &taken {
                batch.extend_from_slice(&entry.line[..entry.at]);
                match self.format {
                    LogFormat::Text => clf_time(entry.time, &mut batch),
                    LogFormat::Json => {
                        // Writing to a vector cannot fail.
                        let _ = write!(batch, "{}", entry.time);
                    }
                }
                batch.extend_from_slice(&entry.line[entry.at..]);
            }
            self.write(&batch, taken.len() as u64);
            taken.clear();
            batch.shrink_to(1024 * 1024);
            if signals.closed {
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn write(&mut self, batch: &[u8], lines: u64) {
        match self.file.write_all(batch) {
            Ok(()) => self.failing = false,
            Err(error) => {
                self.shared.dropped.fetch_add(lines, Ordering::Relaxed);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(%error, "the access log {} cannot be written", self.path.display());
                }
            }
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
}

/// Bytes of one value that are kept.
const VALUE_LIMIT: usize = 1024;

fn combined(line: &AccessLine<'_>) -> Entry {
    let mut out = Vec::with_capacity(256);
    // Writing to a vector cannot fail, here and below.
    let _ = write!(out, "{} - ", line.client);
    // A space would move the columns.
    let user = line.user.replace(char::is_whitespace, "_");
    escape::json_cut(if user.is_empty() { "-" } else { &user }, VALUE_LIMIT, &mut out);
    out.extend_from_slice(b" [");
    let at = out.len();
    out.extend_from_slice(b"] \"");
    escape::json_cut(line.method, VALUE_LIMIT, &mut out);
    out.push(b' ');
    target(line, &mut out);
    out.push(b' ');
    out.extend_from_slice(line.version.as_bytes());
    let _ = write!(out, "\" {} {} \"-\" \"", line.status, line.bytes);
    escape::json_cut(or_dash(line.agent), VALUE_LIMIT, &mut out);
    let _ = write!(out, "\" {}", Millis(line.duration));
    out.extend_from_slice(b" \"");
    escape::json_cut(or_dash(line.upstream), VALUE_LIMIT, &mut out);
    out.extend_from_slice(b"\" ");
    out.extend_from_slice(&line.request_id.digits());
    out.push(b'\n');
    Entry {
        time: line.time,
        line: out,
        at,
    }
}

fn json(line: &AccessLine<'_>) -> Entry {
    let mut out = Vec::with_capacity(384);
    out.extend_from_slice(b"{\"time\":\"");
    let at = out.len();
    // Writing to a vector cannot fail, here and below.
    let _ = write!(out, "\",\"client\":\"{}", line.client);
    for (name, value) in [("\",\"user\":\"", line.user), ("\",\"method\":\"", line.method)] {
        out.extend_from_slice(name.as_bytes());
        escape::json_cut(value, VALUE_LIMIT, &mut out);
    }
    out.extend_from_slice(b"\",\"path\":\"");
    target(line, &mut out);
    for (name, value) in [
        ("\",\"protocol\":\"", line.version),
        ("\",\"agent\":\"", line.agent),
        ("\",\"upstream\":\"", line.upstream),
    ] {
        out.extend_from_slice(name.as_bytes());
        escape::json_cut(value, VALUE_LIMIT, &mut out);
    }
    let _ = write!(
        out,
        "\",\"status\":{},\"bytes\":{},\"duration_ms\":{},\"request_id\":\"",
        line.status,
        line.bytes,
        Millis(line.duration)
    );
    out.extend_from_slice(&line.request_id.digits());
    out.extend_from_slice(b"\"}\n");
    Entry {
        time: line.time,
        line: out,
        at,
    }
}

fn target(line: &AccessLine<'_>, out: &mut Vec<u8>) {
    escape::json_cut(line.path, VALUE_LIMIT, out);
    if !line.query.is_empty() {
        out.push(b'?');
        escape::json_cut(line.query, VALUE_LIMIT, out);
    }
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

/// Milliseconds with three digits behind the point.
struct Millis(Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        write!(f, "{}.{:03}", micros / 1000, micros % 1000)
    }
}

/// `01/Jan/2026:12:00:00 +0000`, made of RFC 3339.
fn clf_time(time: Timestamp, out: &mut Vec<u8>) {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let text = time.to_string();
    let parts = (text.get(0..4), text.get(5..7), text.get(8..10), text.get(11..19));
    let (Some(year), Some(month), Some(day), Some(clock)) = parts else {
        out.extend_from_slice(text.as_bytes());
        return;
    };
    let month = month
        .parse::<usize>()
        .ok()
        .and_then(|number| MONTHS.get(number.wrapping_sub(1)))
        .unwrap_or(&"???");
    // Writing to a vector cannot fail.
    let _ = write!(out, "{day}/{month}/{year}:{clock} +0000");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line<'a>() -> AccessLine<'a> {
        AccessLine {
            time: Timestamp::from_millis(1_767_268_800_000),
            client: Client::Address([192, 0, 2, 1].into()),
            user: "anna",
            method: "GET",
            path: "/a",
            query: "b=1&accessToken=oh.phone.s3cret",
            version: "HTTP/1.1",
            agent: "curl",
            status: 200,
            bytes: 5,
            duration: Duration::from_micros(1250),
            upstream: "http://10.0.0.2:8080",
            request_id: RequestId::from_bits(255),
        }
    }

    fn written(format: LogFormat, lines: &[AccessLine<'_>]) -> String {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("access.log");
        let log = AccessLog::open(&path, format, "oh").expect("opens");
        for line in lines {
            log.record(line);
        }
        log.close();
        assert_eq!(log.dropped(), 0);
        std::fs::read_to_string(path).expect("the file")
    }

    #[test]
    fn text_is_combined_and_three_columns_more() {
        assert_eq!(
            written(LogFormat::Text, &[line()]),
            "192.0.2.1 - anna [01/Jan/2026:12:00:00 +0000] \"GET /a?b=1&accessToken=*** HTTP/1.1\" \
             200 5 \"-\" \"curl\" 1.250 \"http://10.0.0.2:8080\" 00000000000000ff\n"
        );
    }

    #[test]
    fn json_has_the_same() {
        let value: serde_json::Value =
            serde_json::from_str(&written(LogFormat::Json, &[line()])).expect("JSON");
        assert_eq!(
            value,
            serde_json::json!({
                "time": "2026-01-01T12:00:00.000Z", "client": "192.0.2.1", "user": "anna",
                "method": "GET", "path": "/a?b=1&accessToken=***", "protocol": "HTTP/1.1",
                "agent": "curl", "upstream": "http://10.0.0.2:8080", "status": 200, "bytes": 5,
                "duration_ms": 1.25, "request_id": "00000000000000ff",
            })
        );
    }

    // Operations: "no credential is ever written"
    #[test]
    fn a_token_in_the_clients_text_does_not_reach_the_file() {
        let random = "0123456789abcdefghijKLMNOPQRSTUVWXYZ0123456789abcdef";
        let token = format!("oh.phone.{random}");
        let (path, query) = (format!("/{token}"), format!("a={token}&token={token}"));
        let slip = AccessLine {
            method: &token,
            path: &path,
            query: &query,
            agent: &token,
            ..line()
        };
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = written(format, &[slip]);
            assert!(!text.contains(&random[..8]), "{text}");
            assert!(text.contains("/oh.phone.***?a=oh.phone.***&token=***"), "{text}");
        }
    }

    #[test]
    fn reopening_follows_a_rotation() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, old) = (
            directory.path().join("access.log"),
            directory.path().join("access.log.1"),
        );
        let log = AccessLog::open(&path, LogFormat::Text, "oh").expect("opens");
        std::fs::rename(&path, &old).expect("rotated");
        log.reopen();
        log.record(&line());
        log.close();
        let lines = |path| std::fs::read_to_string(path).expect("the file").lines().count();
        assert_eq!((lines(&old), lines(&path)), (0, 1));
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        let log = AccessLog::open(Path::new("/dev/full"), LogFormat::Text, "oh").expect("opens");
        for _ in 0..3 {
            log.record(&line());
        }
        log.close();
        log.record(&line());
        assert_eq!(log.dropped(), 4);
    }

    proptest! {
        #[test]
        fn whatever_a_stranger_sends_it_is_one_line(text in "[\\x00-\\xff\u{2028}\"\\\\&;=%]{0,300}") {
            let hostile = AccessLine { user: &text, method: &text, path: &text, query: &text, agent: &text,
                upstream: &text, ..line() };
            let entry = json(&hostile);
            let whole = [&entry.line[..entry.at], &entry.line[entry.at..]].concat();
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&whole).is_ok());
            let entry = combined(&hostile);
            prop_assert_eq!(entry.line.iter().filter(|byte| byte.is_ascii_control()).count(), 1);
        }
    }
}
