//! Codes by time (RFC 6238): SHA-1, six digits, thirty seconds, which is what every authenticator app
//! understands.

use totp_rs::{Builder, Totp};

use super::{Secret, random};
use crate::time::Timestamp;

/// Seconds in a step.
const STEP: u64 = 30;
/// Bytes of a secret: the length of the hash (RFC 4226, section 4).
const LENGTH: usize = 20;
/// Steps before and after the present one whose codes are taken: people type slowly, and clocks differ.
const SKEW: u64 = 1;
/// So far a clock may be off for us to say that it is: ten minutes.
const FAR: u64 = 20;

/// What a code by time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeCode {
    /// It is that of this step, which is near the present one.
    Fits(u64),
    /// It fits so many seconds away: a clock is off. Negative: the code is old, the clock that made
    /// it slow.
    Away(i64),
    /// Nothing.
    Wrong,
}

/// A new secret.
pub fn new_secret() -> Secret {
    Secret::new(random::bytes::<LENGTH>())
}

/// The secret as apps take it, by hand or from a QR code.
pub fn base32(secret: &Secret) -> Secret {
    let text = totp_rs::Secret::new(secret.expose().into()).to_base32();
    Secret::new(text)
}

/// What the code is at that moment; exactly six ASCII digits are one.
pub fn check(secret: &Secret, code: &str, now: Timestamp) -> TimeCode {
    let Some(totp) = generator(secret) else {
        return TimeCode::Wrong;
    };
    let present = u64::try_from(now.as_millis()).unwrap_or(0) / 1000 / STEP;
    // The nearest first. Each is compared in constant time, and how many are tells an attacker nothing
    // that the answer does not.
    for distance in 0..=FAR {
        for step in [present.checked_sub(distance), present.checked_add(distance)] {
            let Some(step) = step else { continue };
            if totp.check(code, step.saturating_mul(STEP)).is_none() {
                continue;
            }
            if distance <= SKEW {
                return TimeCode::Fits(step);
            }
            let away = i64::try_from(distance * STEP).unwrap_or(i64::MAX);
            return TimeCode::Away(if step < present { -away } else { away });
        }
    }
    TimeCode::Wrong
}

fn generator(secret: &Secret) -> Option<Totp> {
    let secret = totp_rs::Secret::new(secret.expose().into());
    Builder::new().with_secret(secret).with_skew(0).build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    // RFC 6238, appendix B, cut to six digits
    #[test]
    fn codes_are_those_of_the_standard() {
        let secret = Secret::new(*b"12345678901234567890");
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            let step = u64::try_from(seconds).unwrap() / 30;
            assert_eq!(check(&secret, code, at(seconds)), TimeCode::Fits(step));
        }
        assert_eq!(base32(&secret).expose(), b"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    }

    // M-02: "drift −1,0,+1 ok; ±2 reject"
    #[test]
    fn a_step_to_each_side_is_near_and_more_is_a_wrong_clock() {
        let secret = Secret::new(*b"12345678901234567890");
        let ask = |seconds: i64| check(&secret, "050471", at(1_111_111_110 + seconds));
        let step = 1_111_111_110 / STEP;
        assert_eq!(ask(-30), TimeCode::Fits(step));
        assert_eq!(ask(59), TimeCode::Fits(step));
        assert_eq!(ask(60), TimeCode::Away(-60));
        assert_eq!(ask(-60), TimeCode::Away(60));
        assert_eq!(ask(629), TimeCode::Away(-600));
        assert_eq!(ask(3600), TimeCode::Wrong);
        assert_eq!(ask(-3600), TimeCode::Wrong);
    }

    // M-04: "normalise spaces only; ASCII digits"
    #[test]
    fn six_digits_are_a_code() {
        let secret = Secret::new(*b"12345678901234567890");
        for code in [
            "",
            "28708",
            "2870820",
            "+87082",
            "-87082",
            "28708x",
            "２８７０８２",
            " 87082",
        ] {
            assert_eq!(check(&secret, code, at(59)), TimeCode::Wrong, "{code}");
        }
        assert_eq!(
            check(&secret, "287082", at(-5)),
            TimeCode::Fits(1),
            "before the epoch is 0"
        );
    }
}
