//! The switch by which a revocation reaches every cache, core and tunnel at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::time::Timestamp;

/// Up until someone takes it down, for good, or until its time has come.
#[derive(Clone, Debug)]
pub struct Flag(Arc<AtomicI64>);

/// In place of the moment at which it falls by itself.
const NEVER: i64 = i64::MAX;
const TAKEN_DOWN: i64 = i64::MIN;

impl Flag {
    /// A new one, up.
    pub fn up() -> Self {
        Self::up_until(None)
    }

    /// A new one that falls by itself at that moment; none: never.
    pub fn up_until(end: Option<Timestamp>) -> Self {
        Self(Arc::new(AtomicI64::new(end.map_or(NEVER, Timestamp::as_millis))))
    }

    /// Whether nobody has taken it down. Says nothing of its time.
    pub fn is_up(&self) -> bool {
        self.0.load(Ordering::Acquire) != TAKEN_DOWN
    }

    /// Whether nobody has taken it down, and its time has not come.
    pub fn holds(&self, now: Timestamp) -> bool {
        now.as_millis() < self.0.load(Ordering::Acquire)
    }

    /// When it falls by itself; none: never, or it is down already.
    pub fn end(&self) -> Option<Timestamp> {
        match self.0.load(Ordering::Acquire) {
            NEVER | TAKEN_DOWN => None,
            end => Some(Timestamp::from_millis(end)),
        }
    }

    /// Takes it down for everyone who holds it.
    pub fn take_down(&self) {
        self.0.store(TAKEN_DOWN, Ordering::Release);
    }

    /// Lets it fall at that moment for everyone who holds it, unless it falls earlier.
    pub fn shorten(&self, end: Timestamp) {
        self.0.fetch_min(end.as_millis(), Ordering::AcqRel);
    }

    /// Whether both are one flag.
    #[cfg(test)]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_flag_falls_when_its_time_has_come_and_never_rises() {
        let flag = Flag::up_until(Some(at(10)));
        let held = flag.clone();
        assert!(held.holds(at(9)) && !held.holds(at(10)));
        flag.shorten(at(20));
        assert_eq!(held.end(), Some(at(10)));
        flag.shorten(at(5));
        assert!(held.holds(at(4)) && !held.holds(at(5)) && held.is_up());
        flag.take_down();
        flag.shorten(at(50));
        assert!(!held.holds(at(i64::MIN)) && !held.is_up());
        assert_eq!(held.end(), None);
    }

    #[test]
    fn a_flag_without_an_end_holds_until_it_is_taken_down() {
        let flag = Flag::up();
        assert!(flag.holds(at(i64::MAX - 1)));
        assert_eq!(flag.end(), None);
        flag.take_down();
        assert!(!flag.holds(at(0)));
    }
}
