//! What one core remembers of verified credentials: no other core touches it, and a look at it is a look at one place
//! in memory, beside a byte that says where. With many tokens in use waiting for memory is most of what a look-up
//! costs, and a general map keeps links, weights and values in places of their own.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use super::Identity;
use crate::crypto::mac::Digest;
use crate::time::Timestamp;

/// So many neighbours share a set; the newest drives one of them out where it is full.
const WAYS: usize = 8;
/// At most so many sets, which take 8 MiB with 128 KiB of marks. While a quarter of the places is in use, next to none is
/// driven out.
const MOST_SETS: usize = 16_384;

/// One credential: as large as what the processor fetches at once.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Kept {
    key: Digest,
    pub(super) identity: Arc<Identity>,
    pub(super) verified: Timestamp,
    pub(super) settled: Cell<Settled>,
}

const _: () = assert!(size_of::<Option<Kept>>() == 64, "one line of the cache");

/// How long an entry holds without another look at it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settled {
    /// The count of changes to accounts under which it was looked at.
    pub(super) changes: u64,
    /// When it ends by itself.
    pub(super) until: Timestamp,
}

impl Settled {
    /// Not for a moment.
    const NOT: Self = Self {
        changes: 0,
        until: Timestamp::from_millis(i64::MIN),
    };
}

/// What one core knows, in front of what the process knows.
#[derive(Debug, Default)]
pub struct CoreCache(RefCell<Table>);

impl CoreCache {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// What `see` makes of the credential of that name, if it is here.
    pub(super) fn see<R>(&self, key: &Digest, see: impl FnOnce(&Kept) -> R) -> Option<R> {
        self.0.borrow().get(key).map(see)
    }

    pub(super) fn keep(&self, key: Digest, identity: &Arc<Identity>, verified: Timestamp) {
        self.0.borrow_mut().put(Kept {
            key,
            identity: Arc::clone(identity),
            verified,
            settled: Cell::new(Settled::NOT),
        });
    }

    pub(super) fn remove(&self, key: &Digest) {
        self.0.borrow_mut().remove(key);
    }
}

/// Sets of neighbours. Names are keyed digests, so that nobody can aim at a set.
#[derive(Debug, Default)]
struct Table {
    /// A byte of each neighbour's name, never 0; 0 where there is none.
    marks: Vec<[u8; WAYS]>,
    kept: Vec<Option<Kept>>,
    held: usize,
    /// Which neighbour goes next.
    hand: usize,
}

impl Table {
    fn get(&self, key: &Digest) -> Option<&Kept> {
        let at = self.place(key)?;
        self.kept.get(at)?.as_ref()
    }

    fn remove(&mut self, key: &Digest) {
        if let Some(at) = self.place(key) {
            self.marks[at / WAYS][at % WAYS] = 0;
            self.kept[at] = None;
            self.held -= 1;
        }
    }

    fn put(&mut self, new: Kept) {
        self.remove(&new.key);
        if 2 * self.held >= self.kept.len() && self.marks.len() < MOST_SETS {
            self.grow();
        }
        let set = self.set(&new.key);
        let way = match self.marks[set].iter().position(|mark| *mark == 0) {
            Some(free) => {
                self.held += 1;
                free
            }
            None => {
                self.hand += 1;
                self.hand % WAYS
            }
        };
        self.marks[set][way] = mark(&new.key);
        self.kept[set * WAYS + way] = Some(new);
    }

    fn grow(&mut self) {
        let sets = (2 * self.marks.len()).max(WAYS);
        let before = std::mem::take(&mut self.kept);
        self.held = 0;
        self.marks = vec![[0; WAYS]; sets];
        self.kept.resize_with(sets * WAYS, || None);
        for kept in before.into_iter().flatten() {
            self.put(kept);
        }
    }

    fn place(&self, key: &Digest) -> Option<usize> {
        let (set, mark) = (self.set(key), mark(key));
        let marks = self.marks.get(set)?;
        (0..WAYS)
            .filter(|way| marks[*way] == mark)
            .map(|way| set * WAYS + way)
            .find(|at| self.kept[*at].as_ref().is_some_and(|kept| kept.key == *key))
    }

    /// There are 0, or a power of two.
    fn set(&self, key: &Digest) -> usize {
        let [a, b, c, d, ..] = *key;
        u32::from_le_bytes([a, b, c, d]) as usize & self.marks.len().wrapping_sub(1)
    }
}

fn mark(key: &Digest) -> u8 {
    key[31].max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::tests::identity;
    use crate::crypto::mac::sha256;

    fn key(number: usize) -> Digest {
        sha256(&number.to_be_bytes())
    }

    fn knows(cache: &CoreCache, number: usize) -> bool {
        let at = Timestamp::from_millis(number as i64);
        match cache.see(&key(number), |kept| kept.verified) {
            Some(verified) => {
                assert_eq!(verified, at, "one name, one entry");
                true
            }
            None => false,
        }
    }

    #[test]
    fn it_finds_what_was_kept_and_nothing_else_and_grows_with_it() {
        let (cache, who) = (CoreCache::new(), Arc::new(identity()));
        assert!(!knows(&cache, 0));
        for number in 0..5000 {
            cache.keep(key(number), &who, Timestamp::from_millis(number as i64));
            assert!(knows(&cache, number) && !knows(&cache, number + 1));
        }
        let known = (0..5000).filter(|number| knows(&cache, *number)).count();
        assert!(known > 4900, "few drive out others while there is room: {known}");
        for number in 0..5000 {
            cache.remove(&key(number));
            assert!(!knows(&cache, number));
        }
        assert_eq!(cache.0.borrow().held, 0);
        assert_eq!(Arc::strong_count(&who), 1, "nothing of it is left behind");
    }

    #[test]
    fn the_same_again_takes_the_place_of_what_was_there() {
        let (cache, who) = (CoreCache::new(), Arc::new(identity()));
        for second in 0..100 {
            cache.keep(key(1), &who, Timestamp::from_millis(second));
        }
        assert_eq!(
            cache.see(&key(1), |kept| kept.verified),
            Some(Timestamp::from_millis(99))
        );
        assert_eq!((cache.0.borrow().held, Arc::strong_count(&who)), (1, 2));
    }

    #[test]
    fn it_has_an_end_and_the_newest_is_always_known() {
        let (cache, who) = (CoreCache::new(), Arc::new(identity()));
        for number in 0..4 * MOST_SETS * WAYS {
            let key = key(number);
            cache.keep(key, &who, Timestamp::default());
            assert!(cache.see(&key, |_| ()).is_some());
        }
        let table = cache.0.borrow();
        assert_eq!(table.marks.len(), MOST_SETS);
        assert!(table.held <= MOST_SETS * WAYS);
        assert_eq!(Arc::strong_count(&who), 1 + table.held);
    }
}
