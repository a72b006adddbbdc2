//! How a request ended for whoever watches: in the audit line and in the metrics.

use crate::decision::Decision;

/// The word for a decision, and for a request that never came to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It went on.
    Allow,
    /// It was asked who it is.
    Challenge,
    /// It is known and not allowed.
    Deny,
    /// Not now: banned or too fast.
    Throttle,
    /// Something of ours is broken.
    Fail,
    /// It was no proper request, or for no route of ours: nobody was asked.
    Reject,
}

impl Outcome {
    /// All of them, in the order of their [`Outcome::index`].
    pub const ALL: [Outcome; 6] = [
        Outcome::Allow,
        Outcome::Challenge,
        Outcome::Deny,
        Outcome::Throttle,
        Outcome::Fail,
        Outcome::Reject,
    ];

    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Allow => "allow",
            Outcome::Challenge => "challenge",
            Outcome::Deny => "deny",
            Outcome::Throttle => "throttle",
            Outcome::Fail => "fail",
            Outcome::Reject => "reject",
        }
    }

    /// Its place in an array of counters.
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl From<&Decision> for Outcome {
    fn from(decision: &Decision) -> Self {
        match decision {
            Decision::Allow(_) => Outcome::Allow,
            Decision::Challenge(_) => Outcome::Challenge,
            Decision::Deny(_) => Outcome::Deny,
            Decision::Throttle { .. } => Outcome::Throttle,
            Decision::Fail(_) => Outcome::Fail,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_stands_at_its_index() {
        for (index, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome.index(), index);
        }
    }
}
