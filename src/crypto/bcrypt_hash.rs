//! bcrypt, which other programs keep passwords in.

use super::Secret;
use super::password_hash::HashError;

/// A hash of the secret with a random salt. A secret that is longer than the 72 bytes which bcrypt looks
/// at is an error, not cut off.
///
/// # Errors
/// [`HashError::TooLong`], [`HashError::Unavailable`].
pub fn hash(secret: &Secret, cost: u32) -> Result<String, HashError> {
    bcrypt::non_truncating_hash(secret.expose(), cost).map_err(|error| match error {
        bcrypt::BcryptError::Truncation(_) => HashError::TooLong,
        error => HashError::Unavailable(error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_fits_its_password_and_no_other() {
        let made = hash(&Secret::new("open sesame"), 4).expect("hashes");
        assert!(made.starts_with("$2b$04$"), "{made}");
        assert_eq!(bcrypt::verify("open sesame", &made).ok(), Some(true));
        assert_eq!(bcrypt::verify("close sesame", &made).ok(), Some(false));
        assert_eq!(hash(&Secret::new("x".repeat(100)), 4), Err(HashError::TooLong));
    }
}
