//! The decisions of what was refused before a rule was asked.

use std::time::Duration;

use super::guard::Throttled;
use super::{Challenge, Decision, Fault};
use crate::authn::Refusal;

pub(super) fn refuse(refusal: Refusal) -> Decision {
    match refusal {
        Refusal::Malformed(why) | Refusal::Invalid(why) | Refusal::Dead(why) => {
            Decision::Challenge(Challenge { why, presented: true })
        }
        Refusal::Absent(why) => Decision::Challenge(Challenge {
            why,
            presented: false,
        }),
        Refusal::Busy(retry_after) => Decision::Throttle {
            retry_after,
            why: "password-queue",
        },
        Refusal::Unavailable(why) => Decision::Fail(Fault { why }),
    }
}

/// "Until an owner exists every request gets 401"
pub(super) fn no_owner_yet() -> Decision {
    Decision::Challenge(Challenge {
        why: "no-owner-yet",
        presented: false,
    })
}

pub(super) fn throttle(Throttled { retry_after, why }: Throttled) -> Decision {
    // `Retry-After: 0` invites to come back at once.
    Decision::Throttle {
        retry_after: retry_after.max(Duration::from_secs(1)),
        why,
    }
}
