//! Wrong guesses per account: so many from one network, so many from all strangers together.
//!
//! A stranger must not be able to lock the real person out. So whoever is known to the account, by a
//! browser that logged in before or by a network that did, is counted apart from strangers, who can
//! only use up what strangers have. Names that nobody has are counted like all others, so that the
//! count tells nothing of who exists.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Throttled;
use super::rates::{Key, Rates};
use crate::crypto::mac::Digest;
use crate::request::Client;
use crate::time::Timestamp;

/// Strangers together may guess so many times what one network may.
const STRANGERS: usize = 5;
/// What is counted at once; a guess costs a hash, so filling this takes long.
const MOST: usize = 65_536;
/// Networks from which an account was right lately, and that are remembered.
const MOST_SEEN: usize = 65_536;
/// A network is known for so long after a right password.
const SEEN_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// What is guessed at: an account's password, the code of its second factor, or its passkey.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Guessed {
    /// A password.
    Password,
    /// A code of a second factor. It has a million values only, so strangers share one count with
    /// everyone: whoever guesses here knows the password.
    Code,
    /// A passkey. It cannot be guessed; so that nobody tries all day, it is counted, and apart from what
    /// others wear out.
    Passkey,
}

/// Who guesses, as seen from the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// A browser in which that account was logged in; the number names it.
    Browser(u64),
    /// A client in a network where that account was right lately.
    Network,
    /// Anyone else.
    Stranger,
}

/// One guess, from before it is judged until it is known to be no wrong one.
#[derive(Clone, Debug)]
pub struct Guess {
    /// Digest of what is guessed at and whose: see [`super::Guard::admit_guess`].
    pub account: Digest,
    /// What is guessed at.
    pub what: Guessed,
    /// Who guesses.
    pub standing: Standing,
    /// From where.
    pub client: Client,
    /// Names what was typed; the same again counts once.
    pub credential: Digest,
}

/// Counts; locks are taken for a password or a code only, never for a known credential.
#[derive(Default)]
pub(super) struct Guesses {
    wrong: Mutex<HashMap<Counted, Vec<Wrong>>>,
    seen: Mutex<HashMap<(Digest, Key), Timestamp>>,
}

/// What has a count of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Counted {
    Browser(Digest, Guessed, u64),
    Network(Digest, Guessed, Key),
    Strangers(Digest, Guessed),
}

#[derive(Clone, Copy)]
struct Wrong {
    when: Timestamp,
    credential: u64,
}

impl Guesses {
    /// Counts a guess before it is judged, so that many at once are not one too many. What turns out to
    /// be no wrong one is taken back.
    pub(super) fn charge(
        &self,
        guess: &Guess,
        most: u32,
        window: Duration,
        now: Timestamp,
    ) -> Result<(), Throttled> {
        let most = usize::try_from(most).unwrap_or(usize::MAX).max(1);
        let counts = counts(guess, most);
        let mut wrong = locked(&self.wrong);
        for (counted, most) in &counts {
            let Some(list) = wrong.get_mut(counted) else {
                continue;
            };
            list.retain(|old| now.since(old.when) < window);
            if list.len() >= *most {
                let oldest = list.first().map_or(now, |first| first.when);
                return Err(Throttled {
                    retry_after: window.saturating_sub(now.since(oldest)),
                    why: "guesses",
                });
            }
        }
        let credential = short(&guess.credential);
        for (counted, _) in counts {
            if wrong.len() >= MOST && !wrong.contains_key(&counted) {
                forget_one(&mut wrong);
            }
            let list = wrong.entry(counted).or_default();
            if list.iter().all(|old| old.credential != credential) {
                list.push(Wrong {
                    when: now,
                    credential,
                });
            }
        }
        Ok(())
    }

    /// Takes a guess back: it was right, or could not be judged.
    pub(super) fn take_back(&self, guess: &Guess) {
        let credential = short(&guess.credential);
        let mut wrong = locked(&self.wrong);
        for (counted, _) in counts(guess, 1) {
            if let Some(list) = wrong.get_mut(&counted) {
                list.retain(|old| old.credential != credential);
                if list.is_empty() {
                    wrong.remove(&counted);
                }
            }
        }
    }

    /// Remembers from where an account was right.
    pub(super) fn remember(&self, account: &Digest, client: Client, now: Timestamp) {
        let mut seen = locked(&self.seen);
        if seen.len() >= MOST_SEEN {
            let oldest = seen.iter().take(16).min_by_key(|(_, when)| **when);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                seen.remove(&oldest);
            }
        }
        seen.insert((*account, Rates::client_key(client)), now);
    }

    /// Whether the account was right from there lately, in the life of this process.
    pub(super) fn is_known(&self, account: &Digest, client: Client, now: Timestamp) -> bool {
        let key = (*account, Rates::client_key(client));
        locked(&self.seen)
            .get(&key)
            .is_some_and(|when| now.since(*when) < SEEN_FOR)
    }

    /// Forgets what no longer counts.
    pub(super) fn sweep(&self, window: Duration, now: Timestamp) {
        locked(&self.wrong).retain(|_, list| list.iter().any(|old| now.since(old.when) < window));
        locked(&self.seen).retain(|_, when| now.since(*when) < SEEN_FOR);
    }
}

/// Every count that a guess goes into, with the most that it may hold.
fn counts(guess: &Guess, most: usize) -> Vec<(Counted, usize)> {
    let (account, what) = (guess.account, guess.what);
    let network = || Counted::Network(account, what, Rates::client_key(guess.client));
    match (guess.standing, what) {
        (Standing::Browser(browser), _) => vec![(Counted::Browser(account, what, browser), most)],
        (Standing::Network, _) => vec![(network(), most)],
        (Standing::Stranger, Guessed::Password | Guessed::Passkey) => vec![
            (network(), most),
            (Counted::Strangers(account, what), most.saturating_mul(STRANGERS)),
        ],
        (Standing::Stranger, Guessed::Code) => vec![(Counted::Strangers(account, what), most)],
    }
}

/// The oldest of a few, not of all: a full table must not make every guess slow.
fn forget_one(wrong: &mut HashMap<Counted, Vec<Wrong>>) {
    let last = |list: &[Wrong]| list.last().map_or(i64::MIN, |last| last.when.as_millis());
    let oldest = wrong.iter().take(16).min_by_key(|(_, list)| last(list));
    if let Some(oldest) = oldest.map(|(counted, _)| counted.clone()) {
        wrong.remove(&oldest);
    }
}

fn short(digest: &Digest) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *digest;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic inside leaves a count that is off by one, which is better than no counting.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(900);

    fn client(last: u8) -> Client {
        Client::Address([203, 0, 113, last].into())
    }

    fn guess(standing: Standing, from: u8, typed: u8) -> Guess {
        Guess {
            account: [1; 32],
            what: Guessed::Password,
            standing,
            client: client(from),
            credential: [typed; 32],
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    // M-13: "account lockout abuse: attacker locks victim: per-(account, prefix) delay; known-device
    // cookie bypasses"
    #[test]
    fn strangers_use_up_only_what_strangers_have() {
        let guesses = Guesses::default();
        let charge = |guess: &Guess, now| guesses.charge(guess, 3, WINDOW, at(now));
        // Five networks, three guesses each, are all that strangers have together.
        for number in 0..15 {
            assert_eq!(charge(&guess(Standing::Stranger, number / 3, number), 0), Ok(()));
        }
        let refused = charge(&guess(Standing::Stranger, 99, 99), 60).unwrap_err();
        assert_eq!(
            (refused.why, refused.retry_after),
            ("guesses", WINDOW - Duration::from_secs(60))
        );
        assert_eq!(charge(&guess(Standing::Network, 50, 99), 60), Ok(()));
        assert_eq!(charge(&guess(Standing::Browser(7), 99, 99), 60), Ok(()));
        let other = Guess {
            account: [2; 32],
            ..guess(Standing::Stranger, 99, 99)
        };
        assert_eq!(charge(&other, 60), Ok(()), "another account");
        assert_eq!(
            charge(&guess(Standing::Stranger, 99, 99), 900),
            Ok(()),
            "the window has gone"
        );
    }

    #[test]
    fn nobody_guesses_without_end() {
        for standing in [Standing::Stranger, Standing::Network, Standing::Browser(7)] {
            let guesses = Guesses::default();
            for typed in 0..3 {
                assert_eq!(
                    guesses.charge(&guess(standing, 1, typed), 3, WINDOW, at(0)),
                    Ok(())
                );
            }
            let refused = guesses.charge(&guess(standing, 1, 9), 3, WINDOW, at(0));
            assert!(refused.is_err(), "{standing:?}");
        }
    }

    #[test]
    fn a_guess_counts_before_it_is_judged_and_the_same_one_once() {
        let guesses = Guesses::default();
        for _ in 0..10 {
            assert_eq!(
                guesses.charge(&guess(Standing::Stranger, 1, 1), 3, WINDOW, at(0)),
                Ok(())
            );
        }
        for typed in [2, 3] {
            assert_eq!(
                guesses.charge(&guess(Standing::Stranger, 1, typed), 3, WINDOW, at(0)),
                Ok(())
            );
        }
        assert!(
            guesses
                .charge(&guess(Standing::Stranger, 1, 4), 3, WINDOW, at(0))
                .is_err()
        );
        guesses.take_back(&guess(Standing::Stranger, 1, 3));
        assert_eq!(
            guesses.charge(&guess(Standing::Stranger, 1, 4), 3, WINDOW, at(0)),
            Ok(())
        );
    }

    #[test]
    fn a_network_is_known_for_a_month() {
        let guesses = Guesses::default();
        guesses.remember(&[1; 32], client(1), at(0));
        assert!(guesses.is_known(&[1; 32], client(1), at(29 * 24 * 3600)));
        assert!(!guesses.is_known(&[1; 32], client(1), at(30 * 24 * 3600)));
        assert!(!guesses.is_known(&[1; 32], client(2), at(0)));
        assert!(!guesses.is_known(&[2; 32], client(1), at(0)));
    }

    #[test]
    fn the_tables_stay_small() {
        let guesses = Guesses::default();
        for number in 0..70_000_u32 {
            let mut account = [0; 32];
            account[..4].copy_from_slice(&number.to_be_bytes());
            let guess = Guess {
                account,
                ..guess(Standing::Stranger, 1, 1)
            };
            assert_eq!(guesses.charge(&guess, 3, WINDOW, at(0)), Ok(()));
            guesses.remember(&account, client(1), at(0));
        }
        assert!(locked(&guesses.wrong).len() <= MOST);
        assert!(locked(&guesses.seen).len() <= MOST_SEEN);
        guesses.sweep(WINDOW, at(900));
        assert_eq!(locked(&guesses.wrong).len(), 0);
    }
}
