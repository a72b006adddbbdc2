//! The hosts that requests of this core named a moment ago: nearly every request names one of them, and the same text
//! is the same host. Only what was found to be a host is kept, so never a user name, which could be a token.

use std::cell::RefCell;

/// A text has one set, and a set has room for the newest of its texts.
const SETS: usize = 16;
const WAYS: usize = 2;
/// The longest text that is kept.
const MOST_BYTES: usize = 32;

/// A host and a port, as they were written.
#[derive(Clone, Copy)]
struct Recent {
    text: [u8; MOST_BYTES],
    length: usize,
    /// Where the host ends.
    end: usize,
    port: Option<u16>,
}

impl Recent {
    const NONE: Self = Self {
        text: [0; MOST_BYTES],
        // Longer than any: no text at all is one that was kept.
        length: usize::MAX,
        end: 0,
        port: None,
    };

    fn is(&self, text: &str) -> bool {
        self.text.get(..self.length) == Some(text.as_bytes())
    }
}

thread_local! {
    static RECENT: RefCell<[[Recent; WAYS]; SETS]> = const { RefCell::new([[Recent::NONE; WAYS]; SETS]) };
}

fn set_of(text: &str) -> Option<usize> {
    match text.as_bytes() {
        [first, .., last] => Some((usize::from(*first) + 3 * usize::from(*last) + text.len()) % SETS),
        _ => None,
    }
}

/// Host and port of a text that was kept.
#[inline]
pub(super) fn find(text: &str) -> Option<(&str, Option<u16>)> {
    let set = set_of(text)?;
    let (end, port) = RECENT.with_borrow(|recent| {
        let found = recent[set].iter().find(|recent| recent.is(text))?;
        Some((found.end, found.port))
    })?;
    Some((text.get(..end)?, port))
}

/// Keeps what a text was read as. The host is at its beginning.
pub(super) fn keep(text: &str, host: &str, port: Option<u16>) {
    let Some(set) = set_of(text).filter(|_| text.len() <= MOST_BYTES) else {
        return;
    };
    let mut kept = Recent {
        length: text.len(),
        end: host.len(),
        port,
        ..Recent::NONE
    };
    kept.text[..text.len()].copy_from_slice(text.as_bytes());
    RECENT.with_borrow_mut(|recent| {
        recent[set].rotate_right(1);
        recent[set][0] = kept;
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_found_and_nothing_else() {
        keep("home.example:8080", "home.example", Some(8080));
        assert_eq!(find("home.example:8080"), Some(("home.example", Some(8080))));
        for other in [
            "",
            "h",
            "home.example",
            "home.example:8081",
            "home.example:80800",
            "xome.example:8080",
        ] {
            assert_eq!(find(other), None, "{other}");
        }
        let long = "a".repeat(MOST_BYTES + 1);
        keep(&long, &long, None);
        assert_eq!(find(&long), None);
        keep(&long[1..], &long[1..], None);
        assert_eq!(find(&long[1..]), Some((&long[1..], None)));
    }

    #[test]
    fn the_newest_of_a_set_drives_out_the_oldest() {
        let hosts = ["a-a.a", "a.b-a", "a.c.a"];
        for host in hosts {
            assert_eq!(set_of(host), set_of(hosts[0]));
            keep(host, host, None);
        }
        assert_eq!(hosts.map(|host| find(host).is_some()), [false, true, true]);
    }
}
