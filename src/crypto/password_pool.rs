//! Where password hashes run: a few threads of their own behind a short queue, so that a flood of
//! logins can neither stop the proxy nor fill the memory.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::Secret;
use super::mac::Digest;
use super::password_hash::{self, Cost, HashError};

/// How many hashes of strangers may wait for a thread; as many again of those who are known.
const QUEUE: usize = 32;
/// How many may wait for the same hash.
const WAITERS: usize = 4096;

/// Runs password hashes. Dropping it ends its threads; what still waits is answered with
/// [`HashError::Unavailable`].
pub struct PasswordPool(Arc<Shared>);

impl PasswordPool {
    /// A pool with one thread less than the machine has cores, but one at least and two at most:
    /// of two cores, one always stays with the proxy.
    ///
    /// # Errors
    /// [`HashError::Unavailable`] when no thread can be started.
    pub fn start() -> Result<Self, HashError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_threads(cores.saturating_sub(1).clamp(1, 2))
    }

    fn with_threads(count: usize) -> Result<Self, HashError> {
        let pool = Self(Arc::new(Shared::default()));
        for number in 1..=count {
            let shared = Arc::clone(&pool.0);
            std::thread::Builder::new()
                .name(format!("password-{number}"))
                .spawn(move || while shared.run_next() {})
                .map_err(|error| HashError::Unavailable(error.to_string()))?;
        }
        Ok(pool)
    }

    /// Whether the secret fits the PHC string. Equal questions that arrive while one is waiting or
    /// running get its answer: `credential` must be a keyed digest of what the client sent, name
    /// and secret, and never of what is stored (CVE-2026-88010).
    ///
    /// # Errors
    /// [`QueueFull`]; the pool never makes the caller wait for room.
    pub fn verify(
        &self,
        secret: Secret,
        phc: Arc<str>,
        credential: Digest,
        lane: Lane,
    ) -> Result<Answer<bool>, QueueFull> {
        let (sender, answer) = oneshot::channel();
        let mut state = self.0.lock();
        let flight = (credential, phc);
        if let Some(waiters) = state.flights.get_mut(&flight) {
            if waiters.len() >= WAITERS {
                return Err(QueueFull);
            }
            waiters.push(sender);
        } else {
            let job = Job::Verify(secret, flight.clone());
            match lane {
                Lane::Known => state.push_known(job)?,
                Lane::Stranger(share) => {
                    state.make_room_for(share)?;
                    state.strangers.push_back((share, job));
                }
            }
            state.flights.insert(flight, vec![sender]);
            self.0.wake.notify_one();
        }
        Ok(Answer(answer))
    }

    /// A PHC string of the secret. Who may ask for one has shown who they are.
    ///
    /// # Errors
    /// [`QueueFull`]; the pool never makes the caller wait for room.
    pub fn hash(&self, secret: Secret, cost: Cost) -> Result<Answer<String>, QueueFull> {
        let (sender, answer) = oneshot::channel();
        let mut state = self.0.lock();
        state.push_known(Job::Hash(secret, cost, sender))?;
        self.0.wake.notify_one();
        Ok(Answer(answer))
    }

    /// How many hashes have been run since the start.
    pub fn hashes(&self) -> u64 {
        self.0.hashes.load(Ordering::Relaxed)
    }

    /// How many hashes wait for a thread now.
    pub fn waiting(&self) -> usize {
        let state = self.0.lock();
        state.known.len() + state.strangers.len()
    }

    /// A pool that hashes only when [`PasswordPool::run_waiting`] is called.
    #[cfg(test)]
    pub(crate) fn stopped() -> Self {
        Self(Arc::new(Shared::default()))
    }

    /// Runs what waits, on this thread.
    #[cfg(test)]
    pub(crate) fn run_waiting(&self) {
        while self.waiting() > 0 {
            self.0.run_next();
        }
    }
}

impl Drop for PasswordPool {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closed = true;
        // Dropping the senders is the answer to those who wait.
        state.known.clear();
        state.strangers.clear();
        state.flights.clear();
        self.0.wake.notify_all();
    }
}

impl fmt::Debug for PasswordPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordPool")
            .field("waiting", &self.waiting())
            .finish()
    }
}

/// Behind whom a hash waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Before all strangers: their guesses must not keep out who is known.
    Known,
    /// Behind the strangers who came before. The number stands for where they come from: nobody takes
    /// the whole queue from there.
    Stranger(u64),
}

/// The answer to come. Dropped, its hash is not run unless someone else waits for it.
#[derive(Debug)]
#[must_use]
pub struct Answer<T>(oneshot::Receiver<Result<T, HashError>>);

impl<T> Answer<T> {
    /// Waits for it.
    ///
    /// # Errors
    /// As [`password_hash::hash`] and [`password_hash::verify`].
    pub async fn get(self) -> Result<T, HashError> {
        self.0
            .await
            .unwrap_or_else(|_| Err(HashError::Unavailable("the program is ending".into())))
    }
}

/// Too many hashes are waiting: ask again in a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFull;

impl fmt::Display for QueueFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{QUEUE} passwords are waiting to be checked already; try again in a few seconds"
        )
    }
}

impl std::error::Error for QueueFull {}

/// The same credential against the same stored hash: a password that changes meanwhile starts
/// another flight.
type Flight = (Digest, Arc<str>);

enum Job {
    Verify(Secret, Flight),
    Hash(Secret, Cost, oneshot::Sender<Result<String, HashError>>),
}

/// Written by whoever asks, read by the threads.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    hashes: AtomicU64,
}

#[derive(Default)]
struct State {
    /// Goes first.
    known: VecDeque<Job>,
    /// With the share that each takes of the queue.
    strangers: VecDeque<(u64, Job)>,
    flights: HashMap<Flight, Vec<oneshot::Sender<Result<bool, HashError>>>>,
    closed: bool,
}

impl State {
    fn push_known(&mut self, job: Job) -> Result<(), QueueFull> {
        if self.known.len() >= QUEUE {
            return Err(QueueFull);
        }
        self.known.push_back(job);
        Ok(())
    }

    /// In a full queue whoever waits for more than their share makes room: a flood from a few networks
    /// must not keep out who comes from another one.
    fn make_room_for(&mut self, share: u64) -> Result<(), QueueFull> {
        if self.strangers.len() < QUEUE {
            return Ok(());
        }
        let mut waiting: HashMap<u64, usize> = HashMap::new();
        for (other, _) in &self.strangers {
            *waiting.entry(*other).or_default() += 1;
        }
        let own = waiting.get(&share).copied().unwrap_or_default();
        let (greediest, most) = waiting
            .into_iter()
            .max_by_key(|(other, most)| (*most, *other))
            .ok_or(QueueFull)?;
        if most <= own + 1 {
            return Err(QueueFull);
        }
        let last = self.strangers.iter().rposition(|(other, _)| *other == greediest);
        if let Some((_, Job::Verify(_, flight))) = last.and_then(|at| self.strangers.remove(at)) {
            for waiter in self.flights.remove(&flight).unwrap_or_default() {
                let _ = waiter.send(Err(HashError::NoRoom));
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Option<Job> {
        let stranger = |state: &mut Self| state.strangers.pop_front().map(|(_, job)| job);
        self.known.pop_front().or_else(|| stranger(self))
    }

    fn is_wanted(&self, job: &Job) -> bool {
        match job {
            Job::Hash(_, _, sender) => !sender.is_closed(),
            Job::Verify(_, flight) => self
                .flights
                .get(flight)
                .is_some_and(|waiters| waiters.iter().any(|waiter| !waiter.is_closed())),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that could panic runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a job and runs it. False: there will be no more.
    fn run_next(&self) -> bool {
        let mut state = self.lock();
        let job = loop {
            if state.closed {
                return false;
            }
            if let Some(job) = state.next() {
                break job;
            }
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        let wanted = state.is_wanted(&job);
        if let (false, Job::Verify(_, flight)) = (wanted, &job) {
            // Under the same lock as the look, so that nobody joins a flight that never takes off.
            state.flights.remove(flight);
        }
        drop(state);
        if wanted {
            self.run(job);
        }
        true
    }

    fn run(&self, job: Job) {
        self.hashes.fetch_add(1, Ordering::Relaxed);
        match job {
            Job::Hash(secret, cost, sender) => {
                // Nobody may be waiting any more, which is fine.
                let _ = sender.send(caught(|| password_hash::hash(&secret, cost)));
            }
            Job::Verify(secret, flight) => {
                let answer = caught(|| password_hash::verify(&secret, &flight.1));
                let waiters = self.lock().flights.remove(&flight).unwrap_or_default();
                for waiter in waiters {
                    let _ = waiter.send(answer.clone());
                }
            }
        }
    }
}

/// A panic in the hash must not cost a thread: with the last one, every login would hang.
fn caught<T>(work: impl FnOnce() -> Result<T, HashError>) -> Result<T, HashError> {
    std::panic::catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(HashError::Unavailable("the hash function failed".into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Cost = Cost {
        memory: 8,
        iterations: 1,
        parallelism: 1,
    };

    const STRANGER: Lane = Lane::Stranger(1);

    fn phc(secret: &str) -> Arc<str> {
        password_hash::hash(&Secret::new(secret), CHEAP).unwrap().into()
    }

    #[tokio::test]
    async fn threads_answer() {
        let pool = PasswordPool::start().unwrap();
        let hash = pool.hash(Secret::new("x"), CHEAP).unwrap().get().await.unwrap();
        let stored: Arc<str> = hash.into();
        let right = pool
            .verify(Secret::new("x"), Arc::clone(&stored), [1; 32], STRANGER)
            .unwrap();
        let wrong = pool.verify(Secret::new("y"), stored, [2; 32], STRANGER).unwrap();
        assert_eq!(right.get().await, Ok(true));
        assert_eq!(wrong.get().await, Ok(false));
        assert_eq!(pool.hashes(), 3);
    }

    #[tokio::test]
    async fn a_thousand_equal_questions_cost_one_hash() {
        let pool = PasswordPool::stopped();
        let stored = phc("x");
        let answers: Vec<_> = (0..1000)
            .map(|_| {
                pool.verify(Secret::new("x"), Arc::clone(&stored), [1; 32], STRANGER)
                    .unwrap()
            })
            .collect();
        pool.run_waiting();
        for answer in answers {
            assert_eq!(answer.get().await, Ok(true));
        }
        assert_eq!(pool.hashes(), 1);
    }

    #[tokio::test]
    async fn another_credential_or_another_stored_hash_is_another_question() {
        let pool = PasswordPool::stopped();
        let (old, new) = (phc("old"), phc("new"));
        let before = pool.verify(Secret::new("old"), old, [1; 32], STRANGER).unwrap();
        let after = pool
            .verify(Secret::new("old"), Arc::clone(&new), [1; 32], STRANGER)
            .unwrap();
        let other = pool.verify(Secret::new("new"), new, [2; 32], STRANGER).unwrap();
        pool.run_waiting();
        assert_eq!(before.get().await, Ok(true));
        assert_eq!(after.get().await, Ok(false));
        assert_eq!(other.get().await, Ok(true));
        assert_eq!(pool.hashes(), 3);
    }

    #[tokio::test]
    async fn the_queue_holds_32_and_refuses_the_next_at_once() {
        let pool = PasswordPool::stopped();
        let stored = phc("x");
        let ask = |number: u8| pool.verify(Secret::new("x"), Arc::clone(&stored), [number; 32], STRANGER);
        let waiting: Vec<_> = (0..32).map(|number| ask(number).unwrap()).collect();
        assert_eq!(ask(32).unwrap_err(), QueueFull);
        assert!(
            pool.hash(Secret::new("x"), CHEAP).is_ok(),
            "who may ask for one is known"
        );
        assert!(ask(31).is_ok(), "joining a flight needs no room");
        pool.run_waiting();
        for answer in waiting {
            assert_eq!(answer.get().await, Ok(true));
        }
        assert!(ask(32).is_ok());
    }

    #[tokio::test]
    async fn who_was_right_before_finds_room_and_goes_first() {
        let pool = PasswordPool::stopped();
        let stored = phc("x");
        let secret = || Secret::new("x");
        let strangers: Vec<_> = (0..32)
            .map(|number| {
                pool.verify(secret(), Arc::clone(&stored), [number; 32], STRANGER)
                    .unwrap()
            })
            .collect();
        let known = pool
            .verify(secret(), Arc::clone(&stored), [200; 32], Lane::Known)
            .unwrap();
        assert!(pool.0.run_next());
        assert_eq!(known.get().await, Ok(true), "the first hash was this one");
        let more: Vec<_> = (100..132)
            .map(|number| {
                pool.verify(secret(), Arc::clone(&stored), [number; 32], Lane::Known)
                    .unwrap()
            })
            .collect();
        let one_more = pool.verify(secret(), Arc::clone(&stored), [201; 32], Lane::Known);
        assert_eq!(one_more.unwrap_err(), QueueFull, "they have a bound too");
        drop((strangers, more));
    }

    // "a flood of guesses must not keep a person at a form out"
    #[tokio::test]
    async fn nobody_takes_the_whole_queue_from_one_place() {
        let pool = PasswordPool::stopped();
        let stored = phc("x");
        let ask = |share, number: u8| {
            pool.verify(
                Secret::new("x"),
                Arc::clone(&stored),
                [number; 32],
                Lane::Stranger(share),
            )
        };
        let mut flood: Vec<_> = (0..32).map(|number| ask(1, number).unwrap()).collect();
        let person = ask(2, 100).unwrap();
        let displaced = flood.pop().unwrap().get().await;
        assert_eq!(displaced, Err(HashError::NoRoom), "the last of the flood");
        assert_eq!(ask(1, 101).unwrap_err(), QueueFull);
        let again: Vec<_> = (110..125).map(|number| ask(2, number).unwrap()).collect();
        assert_eq!(ask(2, 126).unwrap_err(), QueueFull, "shares are even now");
        pool.run_waiting();
        assert_eq!(person.get().await, Ok(true));
        drop(again);
    }

    #[test]
    fn a_flight_takes_at_most_4096_passengers() {
        let pool = PasswordPool::stopped();
        let stored = phc("x");
        let ask = || pool.verify(Secret::new("x"), Arc::clone(&stored), [1; 32], STRANGER);
        let waiting: Vec<_> = (0..WAITERS).map(|_| ask().unwrap()).collect();
        assert_eq!(ask().unwrap_err(), QueueFull);
        drop(waiting);
    }

    #[tokio::test]
    async fn a_question_that_nobody_waits_for_costs_no_hash() {
        let pool = PasswordPool::stopped();
        let stored = phc("x");
        drop(
            pool.verify(Secret::new("x"), Arc::clone(&stored), [1; 32], STRANGER)
                .unwrap(),
        );
        drop(pool.hash(Secret::new("x"), CHEAP).unwrap());
        pool.run_waiting();
        assert_eq!(pool.hashes(), 0);
        let again = pool.verify(Secret::new("x"), stored, [1; 32], STRANGER).unwrap();
        pool.run_waiting();
        assert_eq!(again.get().await, Ok(true));
    }

    #[tokio::test]
    async fn a_fault_reaches_everyone_and_is_no_answer() {
        let pool = PasswordPool::stopped();
        let damaged: Arc<str> = "damaged".into();
        let first = pool
            .verify(Secret::new("x"), Arc::clone(&damaged), [1; 32], STRANGER)
            .unwrap();
        let second = pool.verify(Secret::new("x"), damaged, [1; 32], STRANGER).unwrap();
        pool.run_waiting();
        assert!(matches!(first.get().await, Err(HashError::Unreadable(_))));
        assert!(matches!(second.get().await, Err(HashError::Unreadable(_))));
    }

    #[test]
    fn a_panic_is_a_fault_and_leaves_the_thread_alive() {
        let answer: Result<(), _> = caught(|| panic!("as a defect in a dependency would"));
        assert!(matches!(answer, Err(HashError::Unavailable(_))));
    }

    #[tokio::test]
    async fn ending_answers_those_who_wait() {
        let pool = PasswordPool::stopped();
        let answer = pool
            .verify(Secret::new("x"), phc("x"), [1; 32], STRANGER)
            .unwrap();
        drop(pool);
        assert!(matches!(answer.get().await, Err(HashError::Unavailable(_))));
    }
}
