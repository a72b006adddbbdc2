//! Is the path that Sidegate judges the path that was sent?

use super::Check;
use super::advice::Topic;
use super::asking::Probe;
use super::forged::known;
use super::meeting::{Met, PATH_DANGER};
use super::visit::Visit;
use crate::control::Failure;

/// What two programs may read differently.
const SPELLINGS: [&str; 22] = [
    "/a%20b",
    "/A",
    "/%61",
    "/%7Ea",
    "/a+b",
    "/a%C3%A4",
    "/a\u{e4}",
    "/a%E4",
    "/a%25",
    "/a%2561",
    "/a%23b",
    "/a%3Fb",
    "/a%2Fb",
    "/a%2fb",
    "/a%5Cb",
    "/a\\b",
    "/a;b=c",
    "//a",
    "/./a",
    "/a/../b",
    "/a/%2e%2e/b",
    "/a/..%2Fb",
];

/// Compares what was sent with what was judged.
pub(super) fn judged(visit: &Visit<'_>, met: &Met, checks: &mut Vec<Check>) -> Result<(), Failure> {
    if known(visit, met, "paths", checks).is_none() {
        return Ok(());
    }
    let (mut same, mut refused) = (0, 0);
    for spelling in SPELLINGS {
        let path = visit.below(spelling);
        let trial = visit.send(&Probe::get(&path).query("a=%2F&b=../c"))?;
        let fail = |seen, topic: &Topic<'_>| Check::fail("paths", visit, seen, PATH_DANGER, topic);
        let check = match trial.question() {
            Some(question) => {
                let asked = question.asked.clone().unwrap_or_default();
                let is_same = asked.path == path && asked.query.starts_with("a=%2F&b=../c&");
                // A question that nobody understands lets nobody in.
                if is_same || question.decision == "reject" {
                    same += usize::from(is_same);
                    refused += usize::from(!is_same);
                    continue;
                }
                let told = format!("{}?{}", asked.path, asked.query);
                fail(
                    format!("sent was {path}?a=%2F&b=../c, judged was {told}"),
                    &Topic::Path,
                )
            }
            None if matches!(trial.answer.status, 0 | 300..=499) => {
                refused += 1;
                continue;
            }
            None => fail(
                format!("{path} got {} and Sidegate was not asked", trial.answer.shown()),
                &Topic::Asks,
            ),
        };
        checks.push(check);
        return Ok(());
    }
    checks.push(Check::pass(
        "paths",
        format!("{same} spellings were judged as they were sent, {refused} were refused by the gateway"),
    ));
    Ok(())
}
