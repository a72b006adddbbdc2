//! The name of one request: in the log line, in the answer, and at the backend.

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Sixteen hex digits, unique in this process and random across restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(u64);

impl RequestId {
    /// The next one.
    pub fn next() -> Self {
        static START: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
        let start = *START.get_or_init(|| u64::from_be_bytes(crate::crypto::random::bytes()));
        // An odd factor visits every number once before it repeats, and neighbours look unlike.
        Self(start.wrapping_add(number().wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// For tests: a known one.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Writes the digits without allocating.
    pub fn digits(self) -> [u8; 16] {
        let mut out = [0; 16];
        for (index, digit) in out.iter_mut().enumerate() {
            let nibble = (self.0 >> (60 - 4 * index)) & 15;
            *digit = b"0123456789abcdef"[nibble as usize];
        }
        out
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A number that no other request of this process has. Threads take them by the block, so that
/// cores do not fight for one counter at every request.
fn number() -> u64 {
    const BLOCK: u64 = 1 << 16;
    static BLOCKS: AtomicU64 = AtomicU64::new(0);
    thread_local! {
        static NEXT: Cell<u64> = const { Cell::new(0) };
    }
    NEXT.with(|next| {
        let number = match next.get() {
            spent if spent % BLOCK == 0 => BLOCKS.fetch_add(1, Ordering::Relaxed).wrapping_mul(BLOCK),
            number => number,
        };
        next.set(number.wrapping_add(1));
        number
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_threads_give_the_same_id() {
        let many = || {
            (0..100_000)
                .map(|_| RequestId::next())
                .collect::<std::collections::HashSet<_>>()
        };
        let other = std::thread::spawn(many);
        let (mine, theirs) = (many(), other.join().unwrap());
        assert_eq!((mine.len(), theirs.len()), (100_000, 100_000));
        assert!(mine.is_disjoint(&theirs));
    }

    #[test]
    fn ids_differ_and_have_sixteen_digits() {
        let (one, two) = (RequestId::next(), RequestId::next());
        assert_ne!(one, two);
        assert_eq!(one.to_string().as_bytes(), one.digits());
    }
}
