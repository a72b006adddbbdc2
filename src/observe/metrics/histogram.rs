//! A histogram of durations that costs two additions.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::counters::add_to;

/// Upper bounds in nanoseconds: 10 µs (a decision from the cache) to 10 s.
const BOUNDS: [u64; 19] = [
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// By the number of binary digits: the first bucket for numbers of so many. A bound is at least twice the one before, so
/// that they belong there or to the next one.
const BY_DIGITS: [u8; 65] = {
    let mut first = [0; 65];
    let mut digits = 1;
    while digits < first.len() {
        let least = 1 << (digits - 1);
        let mut bucket = first[digits - 1];
        while (bucket as usize) < BOUNDS.len() && BOUNDS[bucket as usize] < least {
            bucket += 1;
        }
        first[digits] = bucket;
        digits += 1;
    }
    first
};

/// How many bounds are smaller.
fn bucket(nanos: u64) -> usize {
    let first = usize::from(BY_DIGITS[(u64::BITS - nanos.leading_zeros()) as usize]);
    first + usize::from(BOUNDS.get(first).is_some_and(|bound| *bound < nanos))
}

/// How long something took, and in which bucket that belongs: most answers are there as soon as the decision, and are
/// counted beside it.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    nanos: u64,
    bucket: usize,
}

impl From<Duration> for Took {
    fn from(duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = bucket(nanos);
        Self { nanos, bucket }
    }
}

/// Written by one worker, read when somebody asks.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    /// Per bound, not cumulative; the last is for all above.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanos: AtomicU64,
}

impl Histogram {
    pub(super) fn observe(&self, Took { nanos, bucket }: Took) {
        add_to(&self.buckets[bucket], 1);
        add_to(&self.nanos, nanos);
    }
}

/// Several histograms as one, in seconds.
#[derive(Debug)]
pub(super) struct Merged {
    pub(super) sum: f64,
    pub(super) count: u64,
    /// Upper bound and observations in that bucket alone.
    pub(super) buckets: Vec<(f64, u64)>,
}

pub(super) fn merge<'h>(histograms: impl Iterator<Item = &'h Histogram>) -> Merged {
    let mut counts = [0_u64; BOUNDS.len() + 1];
    let mut sum = 0.0;
    for histogram in histograms {
        for (count, bucket) in counts.iter_mut().zip(&histogram.buckets) {
            *count += bucket.load(Ordering::Relaxed);
        }
        sum += histogram.nanos.load(Ordering::Relaxed) as f64 / 1e9;
    }
    let bounds = BOUNDS
        .iter()
        .map(|&nanos| nanos as f64 / 1e9)
        .chain([f64::INFINITY]);
    Merged {
        sum,
        // Of the very numbers below, so that the count and the last bucket always agree.
        count: counts.iter().sum(),
        buckets: bounds.zip(counts).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_as_many_bounds_as_are_smaller() {
        let near = |number: u64| [number.saturating_sub(1), number, number.saturating_add(1)];
        let powers = (0..u64::BITS).map(|digits| 1 << digits);
        for nanos in powers.chain(BOUNDS).chain([u64::MAX]).flat_map(near) {
            let smaller = BOUNDS.partition_point(|&bound| bound < nanos);
            assert_eq!(bucket(nanos), smaller, "{nanos}");
        }
    }

    // Prometheus: a bucket counts observations less than or equal to its bound
    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let histogram = Histogram::default();
        for nanos in [0, 10_000, 10_001, 10_000_000_000, 10_000_000_001] {
            histogram.observe(Duration::from_nanos(nanos).into());
        }
        let merged = merge([&histogram, &Histogram::default()].into_iter());
        let count_of = |bound: f64| {
            merged
                .buckets
                .iter()
                .find(|bucket| bucket.0 == bound)
                .map(|bucket| bucket.1)
        };
        assert_eq!(count_of(0.000_01), Some(2));
        assert_eq!(count_of(0.000_025), Some(1));
        assert_eq!(count_of(10.0), Some(1));
        assert_eq!(count_of(f64::INFINITY), Some(1));
        assert_eq!(merged.count, 5);
        assert!((merged.sum - 20.000_020_002).abs() < 1e-9);
    }
}
