//! One timer before all others, so that those of single requests cost no system call.
//!
//! tokio tells its driver of a timer that is due before all others by writing to an eventfd. Each
//! request waits for its response with a timer that nearly never rings, and would pay that write.

use std::cell::Cell;
use std::rc::Rc;

use super::body::LOOK_EVERY;

/// Rings every [`LOOK_EVERY`], as long as requests come.
#[derive(Clone, Debug, Default)]
pub(super) struct Beat(Rc<Cell<State>>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Stopped,
    /// No request came since it last rang.
    Unused,
    Used,
}

impl Beat {
    /// A request is about to wait, with a timer that is not due before [`LOOK_EVERY`] has passed.
    pub(super) fn keep(&self) {
        if self.0.replace(State::Used) != State::Stopped {
            return;
        }
        let state = Rc::clone(&self.0);
        tokio::task::spawn_local(async move {
            while state.replace(State::Unused) == State::Used {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            state.set(State::Stopped);
        });
    }
}
