//! Room that a core keeps from one message to the next, so that most need none from the allocator.
//! Nothing but room: what was in it is gone.

use std::cell::RefCell;

/// How many are kept, and how large they may be.
const MOST: usize = 64;
const MOST_BYTES: usize = 8 * 1024;

thread_local! {
    static BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer for a head.
pub fn buffer() -> Vec<u8> {
    let kept = BUFFERS.try_with(|buffers| buffers.borrow_mut().pop());
    kept.ok().flatten().unwrap_or_else(|| Vec::with_capacity(1024))
}

/// Keeps the room of a buffer that is needed no more.
pub fn keep_buffer(mut buffer: Vec<u8>) {
    if buffer.capacity() == 0 || buffer.capacity() > MOST_BYTES {
        return;
    }
    buffer.clear();
    let _ = BUFFERS.try_with(|buffers| {
        let mut buffers = buffers.borrow_mut();
        if buffers.len() < MOST {
            buffers.push(buffer);
        }
    });
}
