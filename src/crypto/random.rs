//! Random bytes and names. The only source of randomness.

/// Fills an array from the operating system's generator.
///
/// # Panics
/// When the operating system has no randomness to give: nothing secure can be done then.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    aws_lc_rs::rand::fill(&mut out).expect("the operating system's random generator works");
    out
}

/// `length` characters of `[A-Za-z0-9]`, 5.95 bits each.
pub fn alphanumeric(length: usize) -> String {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut out = String::with_capacity(length);
    while out.len() < length {
        for byte in bytes::<64>() {
            // 248 = 4 * 62: a larger byte would favour the first letters.
            if byte < 248 && out.len() < length {
                out.push(char::from(ALPHABET[usize::from(byte) % 62]));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alphanumeric_is_of_the_asked_length_and_alphabet() {
        let text = alphanumeric(86);
        assert_eq!(text.len(), 86);
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_ne!(text, alphanumeric(86));
    }
}
