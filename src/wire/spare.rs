//! Room that a core keeps from one message to the next, so that most need none from the allocator.
//! What was in a buffer is gone. A [`ReadRoom`] may still have bytes of an earlier answer behind those that were read: who
//! read knows how many those are.

use std::cell::{Cell, RefCell};
use std::ops::{Deref, Range};

use bytes::Bytes;

/// How many are kept, and how large they may be.
const MOST: usize = 64;
const MOST_BYTES: usize = 8 * 1024;

/// What is read at once of a head, and with it of a small body.
pub const READ: usize = 16 * 1024;
/// Rooms of a core with bytes in them that are still to be sent: a client that takes its time keeps one so long. What
/// comes when so many are away is copied.
const MOST_LENT: usize = 16;

thread_local! {
    static BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static ROOMS: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
    static LENT: Cell<usize> = const { Cell::new(0) };
}

/// An empty buffer for a head.
pub fn buffer() -> Vec<u8> {
    let kept = BUFFERS.try_with(|buffers| buffers.borrow_mut().pop());
    kept.ok().flatten().unwrap_or_else(|| Vec::with_capacity(1024))
}

/// Keeps the room of a buffer that is needed no more.
#[inline]
pub fn keep_buffer(buffer: Vec<u8>) {
    if (1..=MOST_BYTES).contains(&buffer.capacity()) {
        keep(buffer);
    }
}

fn keep(mut buffer: Vec<u8>) {
    buffer.clear();
    let _ = BUFFERS.try_with(|buffers| {
        let mut buffers = buffers.borrow_mut();
        if buffers.len() < MOST {
            buffers.push(buffer);
        }
    });
}

/// Room to read into, once there is something to read. What was read need not be copied to be kept.
#[derive(Debug, Default)]
pub struct ReadRoom(Box<[u8]>);

impl ReadRoom {
    /// A part of what was read, which keeps the room for as long as it is needed.
    pub fn lend(self, part: Range<usize>) -> Bytes {
        let lent = LENT.get();
        if lent >= MOST_LENT {
            return Bytes::copy_from_slice(&self[part]);
        }
        LENT.set(lent + 1);
        Bytes::from_owner(Lent { room: self, part })
    }
}

impl AsMut<[u8]> for ReadRoom {
    fn as_mut(&mut self) -> &mut [u8] {
        if self.0.is_empty() {
            let kept = ROOMS.try_with(|rooms| rooms.borrow_mut().pop());
            self.0 = kept.ok().flatten().unwrap_or_else(|| vec![0; READ].into());
        }
        &mut self.0
    }
}

impl Deref for ReadRoom {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for ReadRoom {
    #[inline]
    fn drop(&mut self) {
        if !self.0.is_empty() {
            keep_room(std::mem::take(&mut self.0));
        }
    }
}

fn keep_room(room: Box<[u8]>) {
    let _ = ROOMS.try_with(|rooms| {
        let mut rooms = rooms.borrow_mut();
        if rooms.len() < MOST_LENT {
            rooms.push(room);
        }
    });
}

/// A part of a room.
struct Lent {
    room: ReadRoom,
    part: Range<usize>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.room[self.part.clone()]
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let _ = LENT.try_with(|lent| lent.set(lent.get().saturating_sub(1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_keeps_its_room_and_gives_it_back_and_no_more_are_lent_than_may_be() {
        let read = |byte: u8| {
            let mut room = ReadRoom::default();
            room.as_mut()[..3].fill(byte);
            let place = room.as_ptr().addr() + 1;
            let lent = room.lend(1..3);
            assert_eq!(lent, [byte, byte][..]);
            (lent.as_ptr().addr() == place, lent)
        };
        let lent: Vec<_> = (0..MOST_LENT as u8).map(read).collect();
        assert!(lent.iter().all(|(in_place, _)| *in_place));
        let (in_place, copied) = read(99);
        assert!(!in_place);
        for (byte, (_, bytes)) in lent.iter().enumerate() {
            assert_eq!(bytes[..], [byte as u8; 2]);
        }
        drop(lent);
        assert_eq!((LENT.get(), ROOMS.with_borrow(Vec::len)), (0, MOST_LENT));
        assert!(read(7).0);
        assert_eq!(copied[..], [99, 99]);
    }
}
