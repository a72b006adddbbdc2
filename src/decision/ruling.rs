//! A decision, and how it came about.

use std::sync::Arc;

use super::{Decision, Permit};
use crate::authn::Identity;
use crate::model::BanRecord;

/// A decision, and what the audit line says of how it came about.
#[derive(Debug)]
pub struct Ruling {
    /// The answer.
    pub decision: Decision,
    /// Who it was, if there is no permit that says it.
    pub(super) refused: Option<Arc<Identity>>,
    /// How the credential travelled; `network` or `none` without one.
    pub carrier: &'static str,
    /// Whether the credential was known.
    pub cached: bool,
    /// A ban that this request brought on its client.
    pub banned: Option<Box<BanRecord>>,
}

/// Who is let in.
pub(super) enum Granted {
    /// Whoever asks, as who it is.
    ToThem,
    /// Whoever asks, as nobody: a login that counts as none here is not who was let in.
    ToAnyone,
}

impl Ruling {
    /// What was judged of them.
    #[inline]
    pub(super) fn of(judged: Result<Granted, Decision>, who: Option<Arc<Identity>>) -> Self {
        match judged {
            Ok(Granted::ToThem) => Self::without(Decision::Allow(Permit::new(who))),
            Ok(Granted::ToAnyone) => Self::without(Decision::Allow(Permit::new(None))),
            Err(decision) => Self {
                refused: who,
                ..Self::without(decision)
            },
        }
    }

    /// Who it was, whatever the answer; nobody where what was shown counts for nothing, and the route is open
    /// to nobody as well.
    pub fn identity(&self) -> Option<&Arc<Identity>> {
        match &self.decision {
            Decision::Allow(permit) => permit.identity(),
            _ => self.refused.as_ref(),
        }
    }

    /// The decision alone.
    pub(super) fn without(decision: Decision) -> Self {
        Self {
            decision,
            refused: None,
            carrier: "none",
            cached: false,
            banned: None,
        }
    }

    /// It says something else after all.
    pub(super) fn refuse(&mut self, decision: Decision) {
        if let Decision::Allow(permit) = std::mem::replace(&mut self.decision, decision) {
            self.refused = permit.into_identity();
        }
    }
}
