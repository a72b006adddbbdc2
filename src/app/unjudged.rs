//! What is said of requests that no rule was asked about.

use crate::control::protocol::Recorded;
use crate::control::view::{AnswerView, Explanation, Verdict};
use crate::dialect::DIALECTS;
use crate::gate::endpoints::OURS;
use crate::request::RequestId;
use crate::request::admission::Rejection;
use crate::wire::problem::Form;

/// A request that nobody could judge.
pub(super) fn rejected(rejection: &Rejection) -> Explanation {
    Explanation {
        status: Some(rejection.status.as_u16()),
        answers: refusals(rejection),
        reason: format!("{} ({})", rejection.message, rejection.reason),
        advice: vec!["no rule is asked about such a request, and no backend sees it".to_owned()],
        ..empty(Verdict::Deny)
    }
}

/// A request that nobody could judge, by the audit file alone.
pub(super) fn rejected_then(line: &Recorded) -> Explanation {
    Explanation {
        status: line.status,
        answers: vec![AnswerView {
            road: line.road.clone(),
            status: line.status,
        }],
        reason: format!("it was no request that anyone could judge ({})", line.reason),
        advice: vec!["no rule is asked about such a request, and no backend sees it".to_owned()],
        ..empty(Verdict::Deny)
    }
}

/// How each road answers what nobody could judge.
pub(super) fn refusals(rejection: &Rejection) -> Vec<AnswerView> {
    DIALECTS
        .iter()
        .map(|(_, build)| build())
        .map(|dialect| AnswerView {
            road: dialect.name().to_owned(),
            status: Some(
                dialect
                    .refuse(rejection, RequestId::from_bits(0), Form::Text)
                    .status()
                    .as_u16(),
            ),
        })
        .collect()
}

/// What is under our own prefix.
pub(super) fn own_address(prefix: &str) -> Explanation {
    let mut answers = refusals(&OURS);
    answers[0].status = None;
    Explanation {
        answers,
        reason: format!("{prefix} belongs to sidegate itself: what is below it is never forwarded"),
        advice: vec!["server.prefix can move it elsewhere".to_owned()],
        ..empty(Verdict::Deny)
    }
}

pub(super) fn empty(decision: Verdict) -> Explanation {
    Explanation {
        decision,
        status: None,
        answers: Vec::new(),
        reason: String::new(),
        rule: None,
        identity: None,
        credential: None,
        network: None,
        route: None,
        nearly: None,
        advice: Vec::new(),
    }
}
