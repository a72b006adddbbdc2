//! Room for the lines of a head.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

use super::Field;

/// The lines of a head, in room that a core keeps from one head to the next: reading one allocates nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Room<'r>(Vec<Field<'r>>);

/// So many are kept, each for so many lines: more than a core has heads at once, and than most have lines.
const MOST_KEPT: usize = 16;
const LINES: usize = 14;

thread_local! {
    static KEPT: RefCell<Vec<Vec<Field<'static>>>> = const { RefCell::new(Vec::new()) };
}

impl<'r> Room<'r> {
    pub(super) fn kept() -> Self {
        let kept = KEPT.try_with(|kept| kept.borrow_mut().pop());
        Self(
            kept.ok()
                .flatten()
                .map_or_else(|| Vec::with_capacity(LINES), emptied),
        )
    }
}

/// The room of a list, with nothing in it: what is collected so has the place of what was there.
fn emptied<'from, 'to>(list: Vec<Field<'from>>) -> Vec<Field<'to>> {
    let mut list = list;
    list.clear();
    list.into_iter()
        .map(|_: Field<'from>| unreachable!("it was emptied"))
        .collect()
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        if self.0.capacity() < LINES || self.0.capacity() > 4 * LINES {
            return;
        }
        let list = emptied(std::mem::take(&mut self.0));
        let _ = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if kept.len() < MOST_KEPT {
                kept.push(list);
            }
        });
    }
}

impl<'r> Deref for Room<'r> {
    type Target = Vec<Field<'r>>;

    #[inline]
    fn deref(&self) -> &Vec<Field<'r>> {
        &self.0
    }
}

impl DerefMut for Room<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<'r> From<Vec<Field<'r>>> for Room<'r> {
    fn from(list: Vec<Field<'r>>) -> Self {
        Self(list)
    }
}

#[cfg(test)]
mod tests {
    use crate::wire::Fields;

    // "no allocation on a hit"
    #[test]
    fn the_room_of_one_head_is_that_of_the_next() {
        let mut fields = Fields::with_room();
        fields.push("host", b"a");
        let (room, lines) = (fields.list.as_ptr().addr(), fields.list.capacity());
        drop(fields);
        let next = Fields::with_room();
        assert!(next.is_empty() && next.list.capacity() == lines);
        assert_eq!(next.list.as_ptr().addr(), room);
    }
}
