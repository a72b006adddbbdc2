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
    #[inline]
    pub fn digits(self) -> [u8; 16] {
        let halves = [digits((self.0 >> 32) as u32), digits(self.0 as u32)];
        let mut out = [0; 16];
        out[..8].copy_from_slice(&halves[0]);
        out[8..].copy_from_slice(&halves[1]);
        out
    }
}

/// The eight digits of a number, all at once: one by one they cost a hundred instructions.
#[inline]
const fn digits(bits: u32) -> [u8; 8] {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // Halves change places three times, so that each four bits have a byte, the highest first.
    let pairs = ((bits as u64) << 32 | bits as u64 >> 16) & 0x0000_ffff_0000_ffff;
    let bytes = (pairs << 16 | pairs >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = (bytes << 8 | bytes >> 4) & 0x0f0f_0f0f_0f0f_0f0f;
    let letters = ((fours + ONES * 6) >> 4) & ONES;
    (fours + ONES * b'0' as u64 + letters * (b'a' - b'9' - 1) as u64).to_le_bytes()
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
        for id in [
            one,
            two,
            RequestId::from_bits(0x0123_4567_89ab_cdef),
            RequestId::from_bits(0xf0f9_a000_0000_000f),
        ] {
            assert_eq!(id.to_string().as_bytes(), id.digits());
        }
    }
}
