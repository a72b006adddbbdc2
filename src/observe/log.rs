//! The log: `tracing` events as lines on standard error.
//!
//! Own formatting rather than the subscriber's, because every value may come from a stranger
//! a line stays one line, and nothing in it steers a terminal.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::{self, Write as _};
use std::hash::{BuildHasher, Hash, RandomState};
use std::io::{self, Write};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::config::settings::{LogFormat, LogLevel};
use crate::request::Client;
use crate::time::{Clock, Timestamp};
use crate::wire::{escape, redact};

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogStyle {
    /// For people or for programs.
    pub format: LogFormat,
    /// Colour the level; standard error is a terminal and `NO_COLOR` is not set. Text only.
    pub color: bool,
    /// Begin lines with `<6>` and the like instead of the time; `JOURNAL_STREAM` is set. Text only.
    pub journal: bool,
}

/// Another part of the program already installed a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlreadyInstalled;

impl fmt::Display for AlreadyInstalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the log was already set up in this process")
    }
}

impl std::error::Error for AlreadyInstalled {}

/// Changes the level while the program runs.
#[derive(Clone, Debug)]
pub struct LogControl {
    level: Arc<AtomicU8>,
}

impl LogControl {
    /// From now on, lines of this level and more severe ones are written.
    pub fn set_level(&self, level: LogLevel) {
        self.level.store(rank(level), Ordering::Relaxed);
        // tracing keeps the answer of each call site.
        tracing::callsite::rebuild_interest_cache();
    }
}

/// Sends all events of this process to standard error. Tokens, which begin with `prefix`, are not
/// written: a path or a host that a client wrote may hold one.
///
/// # Errors
/// It was called before.
pub fn install(
    style: LogStyle,
    level: LogLevel,
    prefix: &str,
    clock: Clock,
) -> Result<LogControl, AlreadyInstalled> {
    let (lines, control) = Lines::new(style, level, prefix, clock, io::stderr());
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines))
        .map_err(|_| AlreadyInstalled)?;
    Ok(control)
}

/// Writes one line per event.
#[derive(Debug)]
struct Lines<W> {
    style: LogStyle,
    /// Written by `LogControl`, read for every event.
    level: Arc<AtomicU8>,
    /// What tokens begin with: none is written.
    prefix: String,
    clock: Clock,
    out: Mutex<W>,
}

/// Bytes of one value that are kept.
const VALUE_LIMIT: usize = 1024;

impl<W: Write> Lines<W> {
    fn new(style: LogStyle, level: LogLevel, prefix: &str, clock: Clock, out: W) -> (Self, LogControl) {
        let level = Arc::new(AtomicU8::new(rank(level)));
        let lines = Self {
            style,
            level: level.clone(),
            prefix: prefix.to_owned(),
            clock,
            out: Mutex::new(out),
        };
        (lines, LogControl { level })
    }

    fn threshold(&self) -> Level {
        match self.level.load(Ordering::Relaxed) {
            0 => Level::ERROR,
            1 => Level::WARN,
            2 => Level::INFO,
            _ => Level::DEBUG,
        }
    }

    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        // Libraries print whole header blocks at their lower levels, and our users' tokens with them.
        let is_ours = metadata
            .target()
            .split("::")
            .next()
            .is_some_and(|name| name == env!("CARGO_CRATE_NAME"));
        metadata.is_event()
            && *metadata.level() <= self.threshold()
            && (is_ours || *metadata.level() <= Level::WARN)
    }

    /// What the event says, without tokens.
    fn fields(&self, event: &Event<'_>) -> Fields {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let values = fields.others.iter_mut().map(|(_, value)| &mut value.text);
        for text in values.chain([&mut fields.message]) {
            if let Cow::Owned(hidden) = redact::tokens(text, &self.prefix) {
                *text = hidden;
            }
        }
        fields
    }

    fn text(&self, event: &Event<'_>) -> Vec<u8> {
        let level = *event.metadata().level();
        let mut out = Vec::with_capacity(256);
        if self.style.journal {
            // sd-daemon(3): the priority of syslog(3), before the line.
            let priority = priority(level);
            out.extend_from_slice(&[b'<', priority, b'>']);
        } else {
            // Writing to a vector cannot fail.
            let _ = write!(out, "{} ", self.clock.now());
        }
        let word = word(level);
        if self.style.color {
            let _ = write!(out, "\u{1b}[{}m{word:5}\u{1b}[0m ", color(level));
        } else {
            let _ = write!(out, "{word:5} ");
        }
        let fields = self.fields(event);
        message(&fields.message, &mut out);
        for (name, value) in &fields.others {
            out.push(b' ');
            out.extend_from_slice(name.as_bytes());
            out.push(b'=');
            let is_plain = !value.text.is_empty()
                && !value
                    .text
                    .contains(|c: char| c.is_whitespace() || c == '"' || c == '=');
            if is_plain {
                escape::json_cut(&value.text, VALUE_LIMIT, &mut out);
            } else {
                quoted(&value.text, &mut out);
            }
        }
        out.push(b'\n');
        out
    }

    fn json(&self, event: &Event<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        // Writing to a vector cannot fail.
        let _ = write!(
            out,
            "{{\"time\":\"{}\",\"level\":\"{}\",\"target\":",
            self.clock.now(),
            word(*event.metadata().level()).to_ascii_lowercase()
        );
        quoted(event.metadata().target(), &mut out);
        let fields = self.fields(event);
        out.extend_from_slice(b",\"message\":");
        quoted(&fields.message, &mut out);
        for (name, value) in &fields.others {
            out.push(b',');
            quoted(name, &mut out);
            out.push(b':');
            if value.is_literal {
                out.extend_from_slice(value.text.as_bytes());
            } else {
                quoted(&value.text, &mut out);
            }
        }
        out.extend_from_slice(b"}\n");
        out
    }
}

impl<S: Subscriber, W: Write + Send + 'static> Layer<S> for Lines<W> {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.wants(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::from_level(self.threshold()))
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let line = match self.style.format {
            LogFormat::Text => self.text(event),
            LogFormat::Json => self.json(event),
        };
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        // There is no other place to complain.
        let _ = out.write_all(&line);
    }
}

/// The fields of one event, in their order.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

struct Value {
    text: String,
    /// A number or truth value: stands in JSON without quotes.
    is_literal: bool,
}

impl Fields {
    fn add(&mut self, field: &Field, text: String, is_literal: bool) {
        if field.name() == "message" {
            self.message = text;
        } else {
            self.others.push((field.name(), Value { text, is_literal }));
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // Writing to a string fails only when the value's own formatting does.
        let _ = write!(text, "{value:?}");
        self.add(field, text, false);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned(), false);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.add(field, value.to_string(), false);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.to_string(), true);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.to_string(), true);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.to_string(), true);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has neither NaN nor infinity.
        self.add(field, value.to_string(), value.is_finite());
    }
}

/// Which refusals were already explained: a client that asks every second is told once per path
/// what was tried and what to send.
///
/// Bounded: two generations of 4096; the older is forgotten when the younger is full. And ten a
/// second, whoever asks for what: paths cost a stranger nothing, and lines cost the operator a disk.
#[derive(Debug, Default)]
pub struct Explained {
    hasher: RandomState,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    young: HashSet<u64>,
    old: HashSet<u64>,
    second: i64,
    told: u32,
}

impl Explained {
    /// Whether this client was not yet told about this path. Says so once.
    pub fn is_first(&self, client: Client, path: &str, now: Timestamp) -> bool {
        const PER_SECOND: u32 = 10;
        let key = self.hasher.hash_one((client, path));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.young.contains(&key) || seen.old.contains(&key) {
            return false;
        }
        if seen.second != now.as_seconds() {
            seen.second = now.as_seconds();
            seen.told = 0;
        }
        if seen.told >= PER_SECOND {
            // Not remembered: it is told when there is room again.
            return false;
        }
        seen.told += 1;
        seen.insert(key)
    }

    /// Whether nobody was told of this within the hour. For sentences of ours about a gateway, of
    /// which there are few, whoever asks and however often.
    pub fn is_news(&self, what: &(impl Hash + ?Sized), now: Timestamp) -> bool {
        let key = self.hasher.hash_one((what, now.as_seconds() / 3600));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        !seen.young.contains(&key) && !seen.old.contains(&key) && seen.insert(key)
    }
}

impl Seen {
    fn insert(&mut self, key: u64) -> bool {
        const GENERATION: usize = 4096;
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key)
    }
}

/// In text, quotes in a message are punctuation and stay as they are.
fn message(text: &str, out: &mut Vec<u8>) {
    for (index, piece) in escape::cut(text, 4 * VALUE_LIMIT).split('"').enumerate() {
        if index > 0 {
            out.push(b'"');
        }
        escape::json(piece, out);
    }
}

fn quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    escape::json_cut(text, 4 * VALUE_LIMIT, out);
    out.push(b'"');
}

const fn rank(level: LogLevel) -> u8 {
    match level {
        LogLevel::Error => 0,
        LogLevel::Warn => 1,
        LogLevel::Info => 2,
        LogLevel::Debug => 3,
    }
}

fn word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARN",
        Level::INFO => "INFO",
        Level::DEBUG => "DEBUG",
        _ => "TRACE",
    }
}

fn color(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        _ => 34,
    }
}

fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => b'3',
        Level::WARN => b'4',
        Level::INFO => b'6',
        _ => b'7',
    }
}

#[cfg(test)]
mod tests {
    use tracing::{debug, error, info};

    use super::*;
    use crate::time::Timestamp;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("whole").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const TEXT: LogStyle = LogStyle {
        format: LogFormat::Text,
        color: false,
        journal: false,
    };

    fn log(style: LogStyle, level: LogLevel, events: impl FnOnce(&LogControl)) -> String {
        let paper = Paper::default();
        let clock = Clock::manual(Timestamp::from_millis(1_767_268_800_000));
        let (lines, control) = Lines::new(style, level, "oh", clock, paper.clone());
        let subscriber = tracing_subscriber::registry().with(lines);
        tracing::subscriber::with_default(subscriber, || events(&control));
        let bytes = paper.0.lock().expect("whole").clone();
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn a_line_reads_alone_and_its_fields_can_be_searched() {
        let text = log(TEXT, LogLevel::Info, |_| {
            info!(client.ip = %"192.0.2.1", status = 200, agent = "a b", "allowed \"anna\" to GET /");
        });
        assert_eq!(
            text,
            "2026-01-01T12:00:00.000Z INFO  allowed \"anna\" to GET / client.ip=192.0.2.1 status=200 agent=\"a b\"\n"
        );
    }

    #[test]
    fn json_lines_are_flat_objects_with_numbers_as_numbers() {
        let style = LogStyle {
            format: LogFormat::Json,
            ..TEXT
        };
        let text = log(style, LogLevel::Info, |_| {
            info!(client.ip = %"192.0.2.1", status = 200, ok = true, ratio = f64::NAN, "allowed");
        });
        let line: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            line,
            serde_json::json!({
                "time": "2026-01-01T12:00:00.000Z", "level": "info",
                "target": "sidegate::observe::log::tests", "message": "allowed",
                "client.ip": "192.0.2.1", "status": 200, "ok": true, "ratio": "NaN",
            })
        );
    }

    // "\n, \r, ESC, U+2028, quotes, 64 KB -> one valid JSON line, escaped, truncated"
    #[test]
    fn a_hostile_value_stays_one_line_in_both_formats() {
        let hostile = "a\r\n<3>forged \u{1b}[2J\u{2028}\u{9b}\"\\".to_owned() + &"x".repeat(65_536);
        for format in [LogFormat::Text, LogFormat::Json] {
            let style = LogStyle { format, ..TEXT };
            let text = log(style, LogLevel::Info, |_| {
                info!(agent = %hostile, other = ?hostile, third = hostile.as_str(), "{hostile}");
            });
            assert_eq!(text.matches('\n').count(), 1);
            assert!(
                !text
                    .trim_end()
                    .contains(|c: char| c.is_control() || c == '\u{2028}')
            );
            assert!(text.len() < 40_000, "{}", text.len());
            if format == LogFormat::Json {
                assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
            }
        }
    }

    // Operations: "no credential is ever written"
    #[test]
    fn a_token_in_the_clients_text_is_not_written() {
        let random = "0123456789abcdefghijKLMNOPQRSTUVWXYZ0123456789abcdef";
        let token = format!("oh.phone.{random}");
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = log(LogStyle { format, ..TEXT }, LogLevel::Info, |_| {
                info!(path = %format!("/{token}"), host = token.as_str(), other = ?token, "refused {token}");
            });
            assert!(!text.contains(&random[..8]), "{text}");
            assert_eq!(text.matches("oh.phone.***").count(), 4, "{text}");
        }
    }

    #[test]
    fn the_level_can_be_changed_while_running() {
        let text = log(TEXT, LogLevel::Warn, |control| {
            for level in [LogLevel::Warn, LogLevel::Debug, LogLevel::Error] {
                control.set_level(level);
                debug!("detail");
                error!("broken");
            }
        });
        let words: Vec<&str> = text
            .lines()
            .filter_map(|line| line.split_whitespace().nth(2))
            .collect();
        assert_eq!(words, ["broken", "detail", "broken", "broken"]);
    }

    // Threat model: "tokens never logged"; libraries print header blocks at debug
    #[test]
    fn libraries_are_heard_only_when_they_warn() {
        let text = log(TEXT, LogLevel::Debug, |_| {
            debug!(target: "h2::codec", "authorization: Bearer s3cret");
            tracing::warn!(target: "h2", "heard");
            debug!(target: "sidegate_other", "not ours either");
        });
        assert!(text.ends_with("heard\n") && text.lines().count() == 1, "{text}");
    }

    #[test]
    fn the_journal_gets_a_priority_and_a_terminal_gets_colour() {
        let journal = LogStyle {
            journal: true,
            ..TEXT
        };
        assert_eq!(
            log(journal, LogLevel::Info, |_| error!("broken")),
            "<3>ERROR broken\n"
        );
        let color = LogStyle { color: true, ..TEXT };
        assert!(log(color, LogLevel::Info, |_| error!("broken")).contains("\u{1b}[31mERROR\u{1b}[0m broken"));
    }

    // "a refused request logs once per path and client what was tried and what to send"
    #[test]
    fn a_refusal_is_explained_once_per_path_and_client() {
        let explained = Explained::default();
        let anna = Client::Address([192, 0, 2, 1].into());
        assert!(explained.is_first(anna, "/a", NOW));
        assert!(!explained.is_first(anna, "/a", NOW));
        assert!(explained.is_first(anna, "/b", NOW));
        assert!(explained.is_first(Client::Unix, "/a", NOW));
    }

    const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

    #[test]
    fn the_memory_of_explanations_is_bounded() {
        let explained = Explained::default();
        for number in 0..50_000 {
            let second = Timestamp::from_millis(1000 * number);
            assert!(explained.is_first(Client::Unix, &number.to_string(), second));
        }
        {
            let seen = explained.seen.lock().expect("whole");
            assert!(seen.young.len() + seen.old.len() <= 2 * 4096);
        }
        assert!(!explained.is_first(Client::Unix, "49999", NOW));
    }
    // D-10: "sampled after N/s per event"
    #[test]
    fn a_stranger_with_many_paths_gets_ten_lines_a_second() {
        let explained = Explained::default();
        let told = |second: i64| {
            let now = Timestamp::from_millis(1000 * second);
            (0..1000)
                .filter(|path: &i64| explained.is_first(Client::Unix, &path.to_string(), now))
                .count()
        };
        assert_eq!([told(1), told(1), told(2)], [10, 0, 10]);
    }
}
