//! The way from many threads to the one that writes.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A bounded queue whose senders never wait and whose one reader takes everything at once.
///
/// The lock is held for moving one entry in, or for swapping two vectors; never during I/O. A
/// channel would do too, but wakes its reader for every entry: under load the reader naps
/// between batches instead, and senders pay no system call.
#[derive(Debug)]
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    capacity: usize,
}

#[derive(Debug)]
struct State<T> {
    entries: Vec<T>,
    /// Written by the reader, read by senders: only a sleeper needs waking.
    asleep: bool,
    closed: bool,
    reopen: bool,
}

/// Why an entry was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The reader is too far behind.
    Full,
    /// There is no reader any more.
    Closed,
}

/// What the reader is asked to do besides writing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Signals {
    /// Write what was taken, then end.
    pub(super) closed: bool,
    /// Open the file anew, then write.
    pub(super) reopen: bool,
}

impl<T> Queue<T> {
    /// A queue for so many entries.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::new(State {
                entries: Vec::new(),
                asleep: false,
                closed: false,
                reopen: false,
            }),
            arrived: Condvar::new(),
            capacity,
        }
    }

    /// Adds an entry, or says at once why not.
    pub(super) fn push(&self, entry: T) -> Result<(), Refused> {
        self.add(entry, self.capacity)
    }

    /// Adds an entry that somebody waits for: there is twice the room, so that a flood of
    /// ordinary entries does not lock these out.
    pub(super) fn push_awaited(&self, entry: T) -> Result<(), Refused> {
        self.add(entry, self.capacity.saturating_mul(2))
    }

    fn add(&self, entry: T, capacity: usize) -> Result<(), Refused> {
        let mut state = self.state();
        if state.closed {
            return Err(Refused::Closed);
        }
        if state.entries.len() >= capacity {
            return Err(Refused::Full);
        }
        state.entries.push(entry);
        self.wake(state);
        Ok(())
    }

    /// Asks the reader to open its file anew.
    pub(super) fn reopen(&self) {
        let mut state = self.state();
        state.reopen = true;
        self.wake(state);
    }

    /// Takes no more entries; the reader writes what is there and ends.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        self.wake(state);
    }

    /// Whether the reader was asked to end.
    pub(super) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Moves everything into `into` (which must be empty, its memory is used again). Waits until
    /// there is something to do, or for `at_most`.
    pub(super) fn take(&self, into: &mut Vec<T>, at_most: Option<Duration>) -> Signals {
        let mut state = self.state();
        if state.entries.is_empty() && !state.closed && !state.reopen {
            state.asleep = true;
            let idle = |state: &mut State<T>| state.entries.is_empty() && !state.closed && !state.reopen;
            state = match at_most {
                None => self
                    .arrived
                    .wait_while(state, idle)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(at_most) => {
                    self.arrived
                        .wait_timeout_while(state, at_most, idle)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
            state.asleep = false;
        }
        std::mem::swap(&mut state.entries, into);
        Signals {
            closed: state.closed,
            reopen: std::mem::take(&mut state.reopen),
        }
    }

    fn wake(&self, mut state: MutexGuard<'_, State<T>>) {
        let asleep = std::mem::take(&mut state.asleep);
        drop(state);
        if asleep {
            self.arrived.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // Nothing inside can panic half-way, so a poisoned state is a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_refuses_at_once_but_has_room_for_what_is_awaited() {
        let queue = Queue::new(2);
        assert_eq!(queue.push(1), Ok(()));
        assert_eq!(queue.push(2), Ok(()));
        assert_eq!(queue.push(3), Err(Refused::Full));
        assert_eq!(queue.push_awaited(4), Ok(()));
        let mut taken = Vec::new();
        assert_eq!(queue.take(&mut taken, None), Signals::default());
        assert_eq!(taken, [1, 2, 4]);
        assert_eq!(queue.push(5), Ok(()));
    }

    #[test]
    fn a_closed_queue_gives_what_it_has_and_takes_nothing() {
        let queue = Queue::new(2);
        assert_eq!(queue.push(1), Ok(()));
        queue.close();
        assert_eq!(queue.push(2), Err(Refused::Closed));
        let mut taken = Vec::new();
        assert!(queue.take(&mut taken, None).closed);
        assert_eq!(taken, [1]);
    }

    #[test]
    fn a_sleeping_reader_is_woken() {
        let queue = std::sync::Arc::new(Queue::new(2));
        let reader = std::thread::spawn({
            let queue = queue.clone();
            move || {
                let mut taken = Vec::new();
                queue.take(&mut taken, None);
                taken
            }
        });
        while !queue.state().asleep {
            std::thread::yield_now();
        }
        assert_eq!(queue.push(7), Ok(()));
        assert_eq!(reader.join().expect("the reader"), [7]);
    }
}
