//! The only reader of the clock. Everything else is given a [`Timestamp`].

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// A moment: milliseconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment so many milliseconds after the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// So long after the epoch.
    fn of(span: Duration) -> Self {
        Self(i64::try_from(span.as_millis()).unwrap_or(i64::MAX))
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This moment and `span` more; saturates at the end of time.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// As HTTP writes it (RFC 9110 section 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`. None before the year
    /// 0 and after 9999.
    pub fn http_date(self) -> Option<String> {
        let stamp = jiff::Timestamp::from_second(self.as_seconds()).ok()?;
        jiff::fmt::rfc2822::DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&stamp)
            .ok()
    }

    /// Parses RFC 3339.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>()
            .ok()
            .map(|stamp| Self(stamp.as_millisecond()))
    }
}

/// RFC 3339 in UTC with milliseconds.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(stamp) => write!(f, "{stamp:.3}"),
            Err(_) => write!(f, "@{}", self.0),
        }
    }
}

/// One reading of the clock: all that a request needs to know of when it came.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// By the clock on the wall.
    pub wall: Timestamp,
    /// By the clock that never goes back.
    pub steady: Instant,
}

/// How long the clock on the wall is told by the steady one before it is asked again. So late is seen that it was set,
/// or that the machine slept, which the steady one does not count.
const WALL_FOR: Duration = Duration::from_millis(10);

/// Where the present comes from: the system, or a test that moves it.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System { origin: std::time::Instant },
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The clock of the system.
    pub fn system() -> Self {
        Self(Source::System {
            origin: std::time::Instant::now(),
        })
    }

    /// A clock that stands still until [`Clock::advance`] moves it.
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(start.0))))
    }

    /// The present.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System { .. } => {
                let now = std::time::SystemTime::now();
                match now.duration_since(std::time::UNIX_EPOCH) {
                    Ok(span) => Timestamp::of(span),
                    Err(before) => Timestamp(
                        i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |millis| -millis),
                    ),
                }
            }
            Source::Manual(millis) => Timestamp(millis.load(Ordering::Relaxed)),
        }
    }

    /// The present by both clocks. The one on the wall is asked a hundred times a second at most: each look at a clock is
    /// a hundredth of what an answer costs.
    pub fn read(&self) -> Moment {
        thread_local! {
            /// Since 1970, and when it was asked.
            static ASKED: Cell<Option<(Duration, Instant)>> = const { Cell::new(None) };
        }
        if let Source::Manual(_) = &self.0 {
            let (wall, steady) = (self.now(), Instant::now());
            return Moment { wall, steady };
        }
        let steady = Instant::now();
        let told = ASKED.get().and_then(|(wall, asked)| {
            let since = steady.checked_duration_since(asked)?;
            (since < WALL_FOR).then(|| wall + since)
        });
        if let Some(wall) = told {
            // Rounded once and from the same clock, so that all threads agree.
            let wall = Timestamp::of(wall);
            return Moment { wall, steady };
        }
        // In this order it can only be told too late.
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let steady = Instant::now();
        ASKED.set(wall.as_ref().ok().map(|wall| (*wall, steady)));
        Moment {
            wall: wall.map_or_else(|_| self.now(), Timestamp::of),
            steady,
        }
    }

    /// How long ago that was.
    pub fn since(&self, moment: &Moment) -> Duration {
        self.since_and_now(moment).0
    }

    /// The same with the present by the steady clock, for one look at it.
    pub fn since_and_now(&self, moment: &Moment) -> (Duration, Instant) {
        let now = Instant::now();
        let since = match &self.0 {
            Source::System { .. } => now.saturating_duration_since(moment.steady),
            Source::Manual(_) => self.now().since(moment.wall),
        };
        (since, now)
    }

    /// Time since some fixed moment; never goes back, whatever the wall clock does.
    pub fn monotonic(&self) -> Duration {
        match &self.0 {
            Source::System { origin } => origin.elapsed(),
            Source::Manual(millis) => {
                Duration::from_millis(u64::try_from(millis.load(Ordering::Relaxed)).unwrap_or(0))
            }
        }
    }

    /// Moves a manual clock; the system's clock cannot be moved and ignores it.
    pub fn advance(&self, span: Duration) {
        if let Source::Manual(millis) = &self.0 {
            millis.fetch_add(
                i64::try_from(span.as_millis()).unwrap_or(i64::MAX),
                Ordering::Relaxed,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_parses_rfc_3339() {
        let stamp = Timestamp::from_millis(1_767_225_600_123);
        assert_eq!(stamp.to_string(), "2026-01-01T00:00:00.123Z");
        assert_eq!(Timestamp::parse("2026-01-01T00:00:00.123Z"), Some(stamp));
    }

    #[test]
    fn prints_the_dates_of_http() {
        let stamp = Timestamp::from_millis(784_111_777_999);
        assert_eq!(
            stamp.http_date().as_deref(),
            Some("Sun, 06 Nov 1994 08:49:37 GMT")
        );
    }

    #[test]
    fn both_clocks_are_read_at_once_and_agree_with_each() {
        let clock = Clock::system();
        for _ in 0..1000 {
            let (before, read, after) = (clock.now(), clock.read(), clock.now());
            // Told by the steady clock it may be a moment behind.
            assert!(before.as_millis() - 1 <= read.wall.as_millis() && read.wall <= after);
            let since = clock.since(&read);
            assert!(since <= read.steady.elapsed());
        }
        let (clock, start) = (
            Clock::manual(Timestamp::from_millis(5)),
            Timestamp::from_millis(5),
        );
        let read = clock.read();
        clock.advance(Duration::from_secs(7));
        assert_eq!((read.wall, clock.since(&read)), (start, Duration::from_secs(7)));
    }

    #[test]
    fn the_past_is_zero_away() {
        assert_eq!(
            Timestamp::from_millis(5).since(Timestamp::from_millis(9)),
            Duration::ZERO
        );
    }
}
