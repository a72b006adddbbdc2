//! Looks through short texts, many bytes at a time: those of a head are too short for a search that has to be set up,
//! and byte by byte each costs several instructions.

use wide::u8x16;

/// As many bytes as are looked at in one step.
pub const STEP: usize = 16;

/// Which of these bytes are that one: a bit for each, the lowest for the first.
#[inline(always)]
pub fn equal(bytes: &[u8; STEP], byte: u8) -> u32 {
    u8x16::new(*bytes).simd_eq(u8x16::splat(byte)).to_bitmask()
}

/// Which of these bytes are neither visible ASCII nor a space: a bit for each, the lowest for the first.
#[inline(always)]
pub fn odd(bytes: &[u8; 4 * STEP]) -> u64 {
    let part = |at: usize| {
        let bytes = u8x16::new(bytes.as_chunks().0[at]);
        // What is below a space wraps around to behind all others.
        let above = bytes - u8x16::splat(b' ');
        let odd = above.max(u8x16::splat(0x7f - b' ')).simd_eq(above);
        u64::from(odd.to_bitmask()) << (STEP * at)
    };
    part(0) | part(1) | part(2) | part(3)
}

/// Where the first of these bytes is.
#[inline(always)]
pub fn position<const N: usize>(text: &[u8], of: [u8; N]) -> Option<usize> {
    let find = |word: &[u8; 8]| {
        let word = u64::from_le_bytes(*word);
        let found = of.iter().fold(0, |found, byte| found | first_equal(word, *byte));
        (found != 0).then(|| found.trailing_zeros() as usize / 8)
    };
    let Some(last) = text.last_chunk() else {
        return text.iter().position(|byte| of.contains(byte));
    };
    let words = text[..text.len() - 1].as_chunks().0;
    for (index, word) in words.iter().enumerate() {
        if let Some(at) = find(word) {
            return Some(8 * index + at);
        }
    }
    // What it shares with the word before is known to be something else.
    find(last).map(|at| text.len() - 8 + at)
}

/// The highest bit of the first byte that is that one. Of those behind it the bits say nothing.
const fn first_equal(word: u64, byte: u8) -> u64 {
    let differs = word ^ every(byte);
    differs.wrapping_sub(every(0x01)) & !differs & every(0x80)
}

const fn every(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Whether this holds for one of the bytes. Worth it where it is asked of ranges.
#[inline(always)]
pub fn has(text: &[u8], holds: impl Fn(u8) -> bool) -> bool {
    // Without a way out in between, the machine looks at all of them at once.
    let in_chunk = |chunk: &[u8; 16]| chunk.iter().fold(false, |any, byte| any | holds(*byte));
    if let Some(last) = text.last_chunk() {
        return in_chunk(last) || text.as_chunks().0.iter().any(in_chunk);
    }
    match ends(text) {
        Some(all) => in_chunk(&all),
        None => text.iter().any(|byte| holds(*byte)),
    }
}

/// The same of two bytes that stand together.
#[inline(always)]
pub fn has_pair(text: &[u8], holds: impl Fn(u8, u8) -> bool) -> bool {
    let Some((_, seconds)) = text.split_first() else {
        return false;
    };
    let firsts = &text[..seconds.len()];
    let in_chunk = |(firsts, seconds): (&[u8; 16], &[u8; 16])| {
        let pairs = firsts.iter().zip(seconds);
        pairs.fold(false, |any, (first, second)| any | holds(*first, *second))
    };
    if let (Some(first), Some(second)) = (firsts.last_chunk(), seconds.last_chunk()) {
        let mut chunks = firsts.as_chunks().0.iter().zip(seconds.as_chunks().0);
        return in_chunk((first, second)) || chunks.any(in_chunk);
    }
    match (ends(firsts), ends(seconds)) {
        (Some(firsts), Some(seconds)) => in_chunk((&firsts, &seconds)),
        _ => firsts
            .iter()
            .zip(seconds)
            .any(|(first, second)| holds(*first, *second)),
    }
}

/// All of a text of eight to sixteen bytes, those in the middle twice.
#[inline(always)]
fn ends(text: &[u8]) -> Option<[u8; 16]> {
    let (first, last) = (text.first_chunk::<8>()?, text.last_chunk::<8>()?);
    let mut all = [0; 16];
    all[..8].copy_from_slice(first);
    all[8..].copy_from_slice(last);
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bit_says_of_each_byte_what_a_look_at_it_says(bytes: [[u8; 16]; 4], sought: u8) {
            let whole = *bytes.as_flattened().first_chunk().unwrap();
            for (at, byte) in whole.iter().enumerate() {
                prop_assert_eq!(odd(&whole) >> at & 1 == 0, matches!(*byte, b' '..=b'~'));
            }
            for (at, byte) in bytes[0].iter().enumerate() {
                prop_assert_eq!(equal(&bytes[0], sought) >> at & 1 == 1, *byte == sought);
                prop_assert_eq!(equal(&bytes[0], *byte) >> at & 1, 1);
            }
        }

        #[test]
        fn what_is_found_is_what_a_look_at_each_byte_finds(text in "[-/?#a.é\u{80}]{0,60}") {
            let bytes = text.as_bytes();
            let each = |byte: &u8| matches!(byte, b'/' | b'?' | b'#');
            prop_assert_eq!(position(bytes, [b'/', b'?', b'#']), bytes.iter().position(each));
            prop_assert_eq!(position(bytes, [b'.']), bytes.iter().position(|byte| *byte == b'.'));
            let high = |byte: u8| byte >= 0x80;
            prop_assert_eq!(has(bytes, high), bytes.iter().any(|byte| high(*byte)));
            let twice = |first, second| first == b'/' && second == b'/';
            prop_assert_eq!(has_pair(bytes, twice), text.contains("//"));
        }

        #[test]
        fn one_byte_is_found_wherever_it_is(length in 0_usize..70, at in 0_usize..70, byte in 1_u8..) {
            let mut text = vec![byte - 1; length];
            let there = text.get_mut(at).map(|place| *place = byte);
            prop_assert_eq!(position(&text, [byte]), there.map(|()| at));
            prop_assert_eq!(has(&text, |other| other == byte), there.is_some());
            let pair = at > 0 && there.is_some();
            prop_assert_eq!(has_pair(&text, |first, second| first != byte && second == byte), pair);
        }
    }
}
