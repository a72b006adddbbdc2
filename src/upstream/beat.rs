//! One timer of a worker for everything that its requests wait for and that nearly never happens.
//!
//! Each request waits for its response with a limit and an eye on its lease. A timer of its own would
//! cost each one more than its system calls; here it leaves its waker, and takes it back.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// How exact an alarm is: late by up to two of these, never early.
const TICK: Duration = Duration::from_millis(1000 / PER_SECOND);
const PER_SECOND: u64 = 20;
/// The timer stops after so many ticks in which nobody set an alarm.
const STOP_AFTER: u32 = 20;

/// Counts time, as long as requests come.
#[derive(Clone, Debug, Default)]
pub(super) struct Beat(Rc<State>);

#[derive(Debug, Default)]
struct State {
    ticks: Cell<u64>,
    runs: Cell<bool>,
    /// An alarm was set since the last tick.
    used: Cell<bool>,
    waiting: RefCell<Vec<Option<Waiting>>>,
    /// Places in `waiting` that nobody has.
    free: RefCell<Vec<usize>>,
}

#[derive(Debug)]
struct Waiting {
    due: u64,
    waker: Waker,
}

/// Rings again and again. Costs nothing until it is polled, and little then.
#[derive(Debug)]
pub(super) struct Alarm<'b> {
    beat: &'b Beat,
    every: u64,
    due: u64,
    place: Option<usize>,
}

impl Beat {
    pub(super) fn alarm(&self, every: Duration) -> Alarm<'_> {
        let last = u64::from(every.subsec_millis()).div_ceil(1000 / PER_SECOND);
        Alarm {
            beat: self,
            // The tick under way has begun before.
            every: every
                .as_secs()
                .saturating_mul(PER_SECOND)
                .saturating_add(last + 1),
            due: 0,
            place: None,
        }
    }

    fn start(&self) {
        self.0.used.set(true);
        if self.0.runs.replace(true) {
            return;
        }
        let state = Rc::clone(&self.0);
        tokio::task::spawn_local(async move {
            let mut unused = 0;
            while unused < STOP_AFTER {
                tokio::time::sleep(TICK).await;
                let waits = state.tick();
                unused = if state.used.replace(false) || waits {
                    0
                } else {
                    unused + 1
                };
            }
            state.runs.set(false);
        });
    }
}

impl State {
    /// Wakes those whose time has come; whether anyone waits.
    fn tick(&self) -> bool {
        let now = self.ticks.get().wrapping_add(1);
        self.ticks.set(now);
        let waiting = self.waiting.borrow();
        let mut waits = false;
        for one in waiting.iter().flatten() {
            waits = true;
            if one.due <= now {
                one.waker.wake_by_ref();
            }
        }
        waits
    }
}

impl Alarm<'_> {
    /// Ready each time it has rung; pending sets it anew.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let state = &*self.beat.0;
        let now = state.ticks.get();
        let Some(place) = self.place else {
            self.beat.start();
            self.due = now.saturating_add(self.every);
            let waiting = Waiting {
                due: self.due,
                waker: cx.waker().clone(),
            };
            let mut all = state.waiting.borrow_mut();
            let place = match state.free.borrow_mut().pop() {
                Some(place) => {
                    all[place] = Some(waiting);
                    place
                }
                None => {
                    all.push(Some(waiting));
                    all.len() - 1
                }
            };
            self.place = Some(place);
            return Poll::Pending;
        };
        let rang = self.due <= now;
        if rang {
            self.due = now.saturating_add(self.every);
        }
        if let Some(waiting) = &mut state.waiting.borrow_mut()[place] {
            waiting.due = self.due;
            waiting.waker.clone_from(cx.waker());
        }
        if rang { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        let state = &*self.beat.0;
        // Dropped after its place is free: a waker that goes may take a whole task with it.
        let gone = state.waiting.borrow_mut()[place].take();
        state.free.borrow_mut().push(place);
        drop(gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_alarm_rings_in_time_and_again_and_leaves_nothing_behind() {
        let tasks = tokio::task::LocalSet::new();
        let look = async {
            let beat = Beat::default();
            for every in [120, 2030].map(Duration::from_millis) {
                let mut alarm = beat.alarm(every);
                for _ in 0..3 {
                    let asked = tokio::time::Instant::now();
                    std::future::poll_fn(|cx| alarm.poll(cx)).await;
                    let took = asked.elapsed();
                    assert!(took >= every && took <= every + TICK * 3, "{took:?}");
                }
            }
            assert!(beat.0.waiting.borrow().iter().all(Option::is_none));
            assert_eq!(beat.0.free.borrow().len(), 1);
            tokio::time::sleep(TICK * (STOP_AFTER + 2)).await;
            assert!(!beat.0.runs.get());
        };
        tasks.run_until(look).await;
    }
}
