//! The switch by which a revocation reaches every cache, core and tunnel at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Up until someone takes it down, for good.
#[derive(Clone, Debug)]
pub struct Flag(Arc<AtomicBool>);

impl Flag {
    /// A new one, up.
    pub fn up() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    /// Whether nobody has taken it down.
    pub fn is_up(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Takes it down for everyone who holds it.
    pub fn take_down(&self) {
        self.0.store(false, Ordering::Release);
    }
}
