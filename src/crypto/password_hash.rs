//! Argon2id (RFC 9106) hashes of passwords, kept as PHC strings.
//!
//! A hash takes tens of milliseconds and megabytes by design: only [`super::password_pool`] may run
//! one where requests are served.

use std::cell::RefCell;
use std::fmt;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};

use super::{Secret, mac, random};

/// The longest password in bytes; a longer one is wrong without being hashed.
pub const MAX_PASSWORD: usize = 1024;

/// What a stored hash may ask for at most: 1 GiB. A record must not be able to exhaust the machine.
const MAX_MEMORY: u32 = 1024 * 1024;
/// What a stored hash may ask for at most, in passes.
const MAX_ITERATIONS: u32 = 64;
/// What a stored hash may ask for at most, in lanes.
const MAX_PARALLELISM: u32 = 64;
/// Argon2 version 1.3, the only one that new hashes are made with.
const VERSION: u32 = 0x13;

/// What one hash costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB, at least 8 for each lane.
    pub memory: u32,
    /// Passes over it, at least 1.
    pub iterations: u32,
    /// Lanes, at least 1.
    pub parallelism: u32,
}

impl Default for Cost {
    /// OWASP's floor for Argon2id: 19 MiB, two passes, one lane.
    fn default() -> Self {
        Self {
            memory: 19 * 1024,
            iterations: 2,
            parallelism: 1,
        }
    }
}

impl Cost {
    fn params(self) -> Result<Params, HashError> {
        let within = self.memory <= MAX_MEMORY
            && self.iterations <= MAX_ITERATIONS
            && (1..=MAX_PARALLELISM).contains(&self.parallelism)
            && self.memory >= 8 * self.parallelism;
        if !within {
            return Err(HashError::Cost(self));
        }
        Params::new(self.memory, self.iterations, self.parallelism, None).map_err(|_| HashError::Cost(self))
    }
}

/// A PHC string of the secret with a random salt.
///
/// # Errors
/// [`HashError::TooLong`], [`HashError::Cost`], [`HashError::Unavailable`].
pub fn hash(secret: &Secret, cost: Cost) -> Result<String, HashError> {
    if secret.expose().len() > MAX_PASSWORD {
        return Err(HashError::TooLong);
    }
    let params = cost.params()?;
    let salt = random::bytes::<16>();
    let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    run(&argon2, secret, &salt, &mut output)?;
    string(&params, &salt, &output)
}

/// Whether the secret is the one that the PHC string was made of. Runs with the parameters of the
/// string and compares in constant time.
///
/// # Errors
/// [`HashError::Unreadable`] when the string is no Argon2 hash that we would run, and
/// [`HashError::Unavailable`]; neither says anything about the secret.
pub fn verify(secret: &Secret, phc: &str) -> Result<bool, HashError> {
    if secret.expose().len() > MAX_PASSWORD {
        return Ok(false);
    }
    let parsed = parse(phc)?;
    let algorithm = Algorithm::try_from(parsed.algorithm.as_str()).map_err(HashError::unreadable)?;
    let version = Version::try_from(parsed.version.unwrap_or(VERSION)).map_err(HashError::unreadable)?;
    let params = Params::try_from(&parsed).map_err(HashError::unreadable)?;
    let (Some(salt), Some(expected)) = (&parsed.salt, &parsed.hash) else {
        return Err(HashError::Unreadable("it has no salt or no hash".into()));
    };
    let mut output = vec![0; expected.as_bytes().len()];
    run(
        &Argon2::new(algorithm, version, params),
        secret,
        salt.as_ref(),
        &mut output,
    )?;
    Ok(mac::equal(&output, expected.as_bytes()))
}

thread_local! {
    /// What the hashes of this thread run in, one after the other. Allocated anew for each, aligned as
    /// it must be, glibc's allocator does not find the room of the one before, and a few logins weigh
    /// hundreds of megabytes.
    static MEMORY: RefCell<Vec<Block>> = const { RefCell::new(Vec::new()) };
}

/// More than so many blocks of 1 KiB are given back after use.
const KEPT: usize = 64 * 1024;

fn run(argon2: &Argon2<'_>, secret: &Secret, salt: &[u8], output: &mut [u8]) -> Result<(), HashError> {
    let blocks = argon2.params().block_count();
    MEMORY.with_borrow_mut(|memory| {
        if memory.len() < blocks {
            // Not grown, which would have both in memory for a while.
            *memory = Vec::new();
            memory.try_reserve_exact(blocks).map_err(HashError::unavailable)?;
            memory.resize(blocks, Block::new());
        }
        let done =
            argon2.hash_password_into_with_memory(secret.expose(), salt, output, &mut memory[..blocks]);
        if memory.len() > KEPT {
            *memory = Vec::new();
        }
        done.map_err(HashError::unavailable)
    })
}

fn string(params: &Params, salt: &[u8], output: &[u8]) -> Result<String, HashError> {
    let phc = PasswordHash {
        algorithm: ARGON2ID_IDENT,
        version: Some(VERSION),
        params: ParamsString::try_from(params).map_err(HashError::unavailable)?,
        salt: Some(Salt::new(salt).map_err(HashError::unavailable)?),
        hash: Some(Output::new(output).map_err(HashError::unavailable)?),
    };
    Ok(phc.to_string())
}

/// Whether a new hash of the same secret would be made differently: other algorithm, version or
/// cost. Also true of what cannot be read.
pub fn needs_rehash(phc: &str, cost: Cost) -> bool {
    let Ok(parsed) = parse(phc) else { return true };
    let Ok(params) = Params::try_from(&parsed) else {
        return true;
    };
    parsed.algorithm != ARGON2ID_IDENT
        || parsed.version != Some(VERSION)
        || params.m_cost() != cost.memory
        || params.t_cost() != cost.iterations
        || params.p_cost() != cost.parallelism
}

/// A PHC string of that cost which no secret fits: what an unknown user's password is compared
/// with, so that the answer takes as long as for a known one.
///
/// # Errors
/// [`HashError::Cost`].
pub fn decoy(cost: Cost) -> Result<String, HashError> {
    // Random bytes are the hash of something nobody can find.
    let output = random::bytes::<{ Params::DEFAULT_OUTPUT_LEN }>();
    string(&cost.params()?, &random::bytes::<16>(), &output)
}

/// Whether [`verify`] would run with this string.
///
/// # Errors
/// [`HashError::Unreadable`] with the reason.
pub fn check(phc: &str) -> Result<(), HashError> {
    parse(phc).map(drop)
}

fn parse(phc: &str) -> Result<PasswordHash, HashError> {
    let parsed = PasswordHash::new(phc).map_err(|error| HashError::Unreadable(error.to_string()))?;
    Algorithm::try_from(parsed.algorithm.as_str())
        .map_err(|_| HashError::Unreadable(format!("{} is not an Argon2 hash", parsed.algorithm)))?;
    // Without these two the crate answers "wrong password", and faster than for a real one.
    if parsed.salt.is_none() || parsed.hash.is_none() {
        return Err(HashError::Unreadable("it has no salt or no hash".into()));
    }
    let params = Params::try_from(&parsed).map_err(|error| HashError::Unreadable(error.to_string()))?;
    let cost = Cost {
        memory: params.m_cost(),
        iterations: params.t_cost(),
        parallelism: params.p_cost(),
    };
    cost.params()
        .map_err(|error| HashError::Unreadable(error.to_string()))?;
    Ok(parsed)
}

/// Why there is no answer. Never "wrong password", which is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashError {
    /// A new password is longer than [`MAX_PASSWORD`] bytes.
    TooLong,
    /// The cost is outside what Argon2 or this program allows.
    Cost(Cost),
    /// The stored string is no Argon2 hash, or asks for too much.
    Unreadable(String),
    /// The machine could not do it: no memory, no threads.
    Unavailable(String),
    /// It waited, and made room for somebody who comes from where fewer do.
    NoRoom,
}

impl HashError {
    fn unreadable(error: impl fmt::Display) -> Self {
        HashError::Unreadable(error.to_string())
    }

    fn unavailable(error: impl fmt::Display) -> Self {
        HashError::Unavailable(error.to_string())
    }
}

impl fmt::Display for HashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HashError::TooLong => write!(f, "the password is longer than {MAX_PASSWORD} bytes"),
            HashError::Cost(cost) => write!(
                f,
                "Argon2id with {} KiB, {} iterations and {} lanes is out of range; write 1 to {MAX_PARALLELISM} \
                 lanes, 1 to {MAX_ITERATIONS} iterations, and from 8 KiB per lane to {MAX_MEMORY} KiB",
                cost.memory, cost.iterations, cost.parallelism
            ),
            HashError::Unreadable(why) => write!(f, "the stored password hash cannot be used: {why}"),
            HashError::Unavailable(why) => write!(f, "the password cannot be hashed now: {why}"),
            HashError::NoRoom => super::password_pool::QueueFull.fmt(f),
        }
    }
}

impl std::error::Error for HashError {}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Cost = Cost {
        memory: 8,
        iterations: 1,
        parallelism: 1,
    };

    #[test]
    fn a_hash_fits_its_password_and_no_other() {
        let phc = hash(&Secret::new("correct horse"), CHEAP).unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{phc}");
        assert_eq!(verify(&Secret::new("correct horse"), &phc), Ok(true));
        for wrong in ["correct hors", "correct horse ", "Correct horse", ""] {
            assert_eq!(verify(&Secret::new(wrong), &phc), Ok(false), "{wrong:?}");
        }
        assert_ne!(phc, hash(&Secret::new("correct horse"), CHEAP).unwrap());
    }

    // RFC 9106 leaves the encoding open; this string was made by the reference implementation:
    // echo -n password | argon2 somesalt -id -t 2 -k 65536 -p 1
    #[test]
    fn reads_what_the_reference_implementation_wrote() {
        let phc = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert_eq!(verify(&Secret::new("password"), phc), Ok(true));
        assert_eq!(verify(&Secret::new("differentpassword"), phc), Ok(false));
        assert!(needs_rehash(phc, Cost::default()));
    }

    #[test]
    fn passwords_have_at_most_1024_bytes() {
        let longest = Secret::new(vec![b'a'; MAX_PASSWORD]);
        let longer = Secret::new(vec![b'a'; MAX_PASSWORD + 1]);
        let phc = hash(&longest, CHEAP).unwrap();
        assert_eq!(verify(&longest, &phc), Ok(true));
        assert_eq!(verify(&longer, &phc), Ok(false));
        assert_eq!(hash(&longer, CHEAP), Err(HashError::TooLong));
    }

    #[test]
    fn another_cost_or_kind_asks_for_a_new_hash() {
        let phc = hash(&Secret::new("x"), CHEAP).unwrap();
        assert!(!needs_rehash(&phc, CHEAP));
        assert!(needs_rehash(
            &phc,
            Cost {
                iterations: 2,
                ..CHEAP
            }
        ));
        assert!(needs_rehash(&phc, Cost { memory: 16, ..CHEAP }));
        assert!(needs_rehash(&phc.replace("argon2id", "argon2i"), CHEAP));
        assert!(needs_rehash(&phc.replace("v=19", "v=16"), CHEAP));
        assert!(needs_rehash("rubbish", CHEAP));
    }

    #[test]
    fn a_decoy_is_a_hash_of_the_same_cost_that_nothing_fits() {
        let phc = decoy(Cost::default()).unwrap();
        assert!(!needs_rehash(&phc, Cost::default()), "{phc}");
        let cheap = decoy(CHEAP).unwrap();
        let real = hash(&Secret::new("x"), CHEAP).unwrap();
        assert_eq!(cheap.len(), real.len());
        assert_eq!(verify(&Secret::new(""), &cheap), Ok(false));
    }

    #[test]
    fn a_damaged_or_greedy_record_is_a_fault_and_not_a_wrong_password() {
        for phc in [
            "",
            "plain",
            "$2y$10$abcdefghijklmnopqrstuu",
            "$argon2id$v=19$m=8,t=1,p=1",
            "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21lc2FsdA",
            "$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            "$argon2id$v=19$m=8,t=4294967295,p=1$c29tZXNhbHRzb21lc2FsdA$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            "$argon2id$v=19$m=8,t=1,p=9$c29tZXNhbHRzb21lc2FsdA$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        ] {
            let answer = verify(&Secret::new("x"), phc);
            assert!(
                matches!(answer, Err(HashError::Unreadable(_))),
                "{phc}: {answer:?}"
            );
        }
    }

    #[test]
    fn a_cost_out_of_range_is_refused() {
        for cost in [
            Cost { memory: 7, ..CHEAP },
            Cost {
                iterations: 0,
                ..CHEAP
            },
            Cost {
                parallelism: 0,
                ..CHEAP
            },
            Cost {
                parallelism: 2,
                ..CHEAP
            },
            Cost {
                memory: MAX_MEMORY + 1,
                ..CHEAP
            },
        ] {
            assert_eq!(hash(&Secret::new("x"), cost), Err(HashError::Cost(cost)));
        }
    }
}
