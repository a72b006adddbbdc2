//! HMAC-SHA-256 over an unambiguous encoding.

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::random;

/// A 32-byte keyed digest.
pub type Digest = [u8; 32];

/// An HMAC-SHA-256 key. Its inputs carry a domain tag and the length of every part, so
/// `("ab", "c")` and `("a", "bc")` never meet (CVE-2026-71326 is what happens otherwise).
#[derive(Clone)]
pub struct Mac(hmac::Key);

impl Mac {
    /// A key from its bytes.
    pub fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// A key that exists for the life of the process only.
    pub fn ephemeral() -> Self {
        Self::new(&random::bytes::<32>())
    }

    /// The digest of the tagged parts.
    pub fn digest(&self, tag: &str, parts: &[&[u8]]) -> Digest {
        let mut context = hmac::Context::with_key(&self.0);
        absorb(&mut context, tag.as_bytes());
        for part in parts {
            absorb(&mut context, part);
        }
        let tag = context.sign();
        let mut digest = [0; 32];
        digest.copy_from_slice(tag.as_ref());
        digest
    }
}

impl std::fmt::Debug for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mac(..)")
    }
}

/// A key for names that live in the memory of this process: SHA-256 over the key and the tagged parts. Half the
/// time of a [`Mac`], whose second hash keeps those who see a result from lengthening its input: nobody sees
/// these, and the lengths come first, so that no input begins with another.
#[derive(Clone)]
pub struct NamingKey([u8; 16]);

impl NamingKey {
    /// A random one, of 128 bits: who would find names by trying keys never sees a name.
    pub fn ephemeral() -> Self {
        Self(random::bytes())
    }

    /// The name of the parts among those of that kind. Key, kind and length take 21 bytes, so that a token of ours with
    /// a short name is hashed in two blocks and not in three. A function of its own, because `benches/instructions`
    /// counts it apart.
    #[inline(never)]
    pub fn digest(&self, kind: u8, parts: &[&[u8]]) -> Digest {
        /// Enough for nearly every credential: hashing at once takes half the time of hashing piece by piece.
        const ROOM: usize = 384;
        // Not wiped afterwards: what was read from the socket has it as well, for as long.
        let (mut room, mut filled) = ([0; ROOM], 0);
        let fits = self.each_piece(kind, parts, |piece| {
            let end = filled + piece.len();
            let Some(place) = room.get_mut(filled..end) else {
                return false;
            };
            place.copy_from_slice(piece);
            filled = end;
            true
        });
        if fits {
            return sha256(&room[..filled]);
        }
        let mut all = Zeroizing::new(Vec::with_capacity(self.length(parts)));
        self.each_piece(kind, parts, |piece| {
            all.extend_from_slice(piece);
            true
        });
        sha256(&all)
    }

    /// As long as `take` says so; whether it said so of all.
    fn each_piece(&self, kind: u8, parts: &[&[u8]], mut take: impl FnMut(&[u8]) -> bool) -> bool {
        // Nobody sends a part of 4 GiB.
        let length = |part: &[u8]| u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes();
        take(&self.0) && take(&[kind]) && parts.iter().all(|part| take(&length(part)) && take(part))
    }

    fn length(&self, parts: &[&[u8]]) -> usize {
        let rest: usize = parts.iter().map(|part| size_of::<u32>() + part.len()).sum();
        self.0.len() + 1 + rest
    }
}

impl std::fmt::Debug for NamingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NamingKey(..)")
    }
}

/// Whether two digests are equal, in constant time.
pub fn equal(left: &[u8], right: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(left, right).is_ok()
}

/// SHA-256, for what needs no key: chains and fingerprints of public things.
pub fn sha256(data: &[u8]) -> Digest {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, data);
    let mut out = [0; 32];
    out.copy_from_slice(digest.as_ref());
    out
}

/// By which a secret of 256 random bits is found that is kept nowhere: half of its SHA-256, from which
/// nobody gets back to the secret. A secret with less chance in it needs a [`Mac`].
pub fn fingerprint(secret: &[u8]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&sha256(secret)[..16]);
    half
}

/// SHA-256 of all that the reader gives, in constant memory.
///
/// # Errors
/// Those of the reader.
pub fn sha256_of(reader: &mut impl std::io::Read) -> std::io::Result<Digest> {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => context.update(&buffer[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    Ok(out)
}

fn absorb(context: &mut hmac::Context, part: &[u8]) {
    context.update(&(part.len() as u64).to_be_bytes());
    context.update(part);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_the_digest_of_its_bytes() {
        let bytes = vec![7; (1 << 17) + 5];
        assert_eq!(
            sha256_of(&mut bytes.as_slice()).expect("memory reads"),
            sha256(&bytes)
        );
    }

    #[test]
    fn moving_a_byte_across_a_boundary_changes_the_digest() {
        let mac = Mac::new(b"key");
        let whole = mac.digest("t", &[b"ab", b"c"]);
        assert_ne!(whole, mac.digest("t", &[b"a", b"bc"]));
        assert_ne!(whole, mac.digest("t", &[b"abc", b""]));
        assert_ne!(whole, mac.digest("u", &[b"ab", b"c"]));
        assert_eq!(whole, mac.digest("t", &[b"ab", b"c"]));
    }

    #[test]
    fn names_in_memory_tell_boundaries_kinds_and_keys_apart_however_long_they_are() {
        let key = NamingKey::ephemeral();
        let whole = key.digest(1, &[b"ab", b"c"]);
        assert_eq!(whole, key.clone().digest(1, &[b"ab", b"c"]));
        for (kind, parts) in [(1, [&b"a"[..], b"bc"]), (1, [b"abc", b""]), (2, [b"ab", b"c"])] {
            assert_ne!(whole, key.digest(kind, &parts));
        }
        assert_ne!(whole, NamingKey::ephemeral().digest(1, &[b"ab", b"c"]));
        // Around the room that is on the stack.
        let mut before = Vec::new();
        for length in 320..400 {
            let name = key.digest(1, &[&vec![7; length], b"c"]);
            let first = [&key.0[..], &[1], &(length as u32).to_be_bytes()].concat();
            let expected = [&first[..], &vec![7; length], &[0, 0, 0, 1], b"c"].concat();
            assert_eq!(name, sha256(&expected), "{length}");
            assert!(!before.contains(&name));
            before.push(name);
        }
    }
}
