//! From when to when a certificate is valid: the few bytes of X.509 that the TLS crates keep to
//! themselves.
//!
//! RFC 5280 §4.1: `Certificate ::= SEQUENCE { tbsCertificate SEQUENCE { version [0], serialNumber,
//! signature, issuer, validity SEQUENCE { notBefore Time, notAfter Time }, … } … }`

use crate::time::Timestamp;

/// The period of validity, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Reads the period from a certificate in DER; none when it is not one.
pub(super) fn validity(certificate: &[u8]) -> Option<Validity> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (mut rest, _) = element(certificate, SEQUENCE)?;
    if rest.first() == Some(&VERSION) {
        (_, rest) = element(rest, VERSION)?;
    }
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, rest) = element(rest, tag)?;
    }
    let (period, _) = element(rest, SEQUENCE)?;
    let (not_before, rest) = time(period)?;
    let (not_after, _) = time(rest)?;
    Some(Validity {
        not_before,
        not_after,
    })
}

/// The contents of the first element, which must have this tag, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    if found != tag {
        return None;
    }
    // X.690 §8.1.3: short form, or the number of length bytes that follow.
    let length = if first < 0x80 {
        usize::from(first)
    } else {
        let (digits, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
        rest = after;
        if digits.is_empty() || digits.len() > 4 {
            return None;
        }
        digits
            .iter()
            .fold(0, |length, digit| length << 8 | usize::from(*digit))
    };
    rest.split_at_checked(length)
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ` (RFC 5280 §4.1.2.5: always with seconds, always Z).
fn time(bytes: &[u8]) -> Option<(Timestamp, &[u8])> {
    let tag = *bytes.first()?;
    let (text, rest) = element(bytes, tag)?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (century, text) = match (tag, text.len()) {
        // §4.1.2.5.1: 50 and later are in the 20th century.
        (UTC_TIME, 12) if text >= "50" => ("19", text),
        (UTC_TIME, 12) => ("20", text),
        (GENERALIZED_TIME, 14) => text.split_at(2),
        _ => return None,
    };
    let [year, month, day, hour, minute, second] = [0, 2, 4, 6, 8, 10].map(|at| &text[at..at + 2]);
    let stamp = Timestamp::parse(&format!(
        "{century}{year}-{month}-{day}T{hour}:{minute}:{second}Z"
    ))?;
    Some((stamp, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(tag: u8, contents: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag, 0x82];
        bytes.extend(u16::try_from(contents.len()).expect("short").to_be_bytes());
        bytes.extend(contents);
        bytes
    }

    fn certificate(not_before: (u8, &str), not_after: (u8, &str)) -> Vec<u8> {
        let period = [
            der(not_before.0, not_before.1.as_bytes()),
            der(not_after.0, not_after.1.as_bytes()),
        ];
        let fields = [
            der(VERSION, &[2, 1, 2]),
            der(INTEGER, &[7]),
            der(SEQUENCE, b""),
            der(SEQUENCE, b""),
            der(SEQUENCE, &period.concat()),
        ];
        der(SEQUENCE, &der(SEQUENCE, &fields.concat()))
    }

    fn period(not_before: &str, not_after: &str) -> Option<Validity> {
        Some(Validity {
            not_before: Timestamp::parse(not_before)?,
            not_after: Timestamp::parse(not_after)?,
        })
    }

    #[test]
    fn both_forms_of_time_are_read() {
        let bytes = certificate((UTC_TIME, "491231235959Z"), (GENERALIZED_TIME, "20500101000000Z"));
        assert_eq!(
            validity(&bytes),
            period("2049-12-31T23:59:59Z", "2050-01-01T00:00:00Z")
        );
        let bytes = certificate((UTC_TIME, "500101000000Z"), (UTC_TIME, "260301120000Z"));
        assert_eq!(
            validity(&bytes),
            period("1950-01-01T00:00:00Z", "2026-03-01T12:00:00Z")
        );
    }

    #[test]
    fn damaged_bytes_are_refused_and_never_panic() {
        let bytes = certificate((UTC_TIME, "491231235959Z"), (UTC_TIME, "491231235959Z"));
        for length in 0..bytes.len() {
            assert_eq!(validity(&bytes[..length]), None);
        }
        for at in 0..bytes.len() {
            for value in [0, 0x30, 0x7f, 0x80, 0x84, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                let _ = validity(&damaged);
            }
        }
        for wrong in [
            "4912312359Z",
            "491231235959+0100",
            "49123123595xZ",
            "é91231235959Z",
            "",
        ] {
            assert_eq!(
                validity(&certificate((UTC_TIME, wrong), (UTC_TIME, "491231235959Z"))),
                None
            );
        }
        assert_eq!(
            validity(&certificate(
                (UTC_TIME, "491331235959Z"),
                (UTC_TIME, "491231235959Z")
            )),
            None
        );
    }
}
