//! Is the path that Sidegate judges the path that was sent?

use super::Check;
use super::advice::{Gateway, Topic};
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

/// A path in which nothing is left that two programs must read alike (RFC 3986, section 6.2.2): gateways
/// may decode letters and encode what is not ASCII.
pub(super) fn normal(path: &str) -> String {
    let mut normal = String::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        let encoded = (*byte == b'%')
            .then(|| std::str::from_utf8(after.get(..2)?).ok())
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match encoded {
            Some(code) => {
                rest = &after[2..];
                if code.is_ascii_alphanumeric() || b"-._~".contains(&code) {
                    normal.push(char::from(code));
                } else {
                    normal.push_str(&format!("%{code:02X}"));
                }
            }
            None if byte.is_ascii() => normal.push(char::from(*byte)),
            None => normal.push_str(&format!("%{byte:02X}")),
        }
    }
    normal
}

/// Without empty segments and dots (RFC 3986, section 5.2.4).
fn clean(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}

/// Compares what was sent with what was judged.
pub(super) fn judged(visit: &Visit<'_>, met: &Met, checks: &mut Vec<Check>) -> Result<(), Failure> {
    if known(visit, met, "paths", checks).is_none() {
        return Ok(());
    }
    let (mut same, mut refused, mut cleaned) = (0, 0, 0);
    for spelling in SPELLINGS {
        let path = visit.below(spelling);
        let trial = visit.send(&Probe::get(&path).query("a=%2F&b=../c"))?;
        let fail = |seen, topic: &Topic<'_>| Check::fail("paths", visit, seen, PATH_DANGER, topic);
        let check = match trial.question() {
            Some(question) => {
                let asked = question.asked.clone().unwrap_or_default();
                let is_same =
                    normal(&asked.path) == normal(&path) && asked.query.starts_with("a=%2F&b=../c&");
                // A question that nobody understands lets nobody in.
                if is_same || question.decision == "reject" {
                    same += usize::from(is_same);
                    refused += usize::from(!is_same);
                    continue;
                }
                // These clean a path before they ask and before they forward, so it is the same for both.
                let cleans = matches!(
                    visit.gateway,
                    Some(Gateway::Traefik | Gateway::Envoy | Gateway::Haproxy)
                );
                if cleans && normal(&asked.path) == clean(&normal(&path)) {
                    cleaned += 1;
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
        format!(
            "{same} spellings were judged as they were sent, {cleaned} as the gateway cleaned them, {refused} were refused"
        ),
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_that_mean_the_same_are_the_same() {
        assert_eq!(normal("/%61%7ea"), normal("/a~a"));
        assert_eq!(normal("/a\u{e4}"), "/a%C3%A4");
        assert_eq!(normal("/%2f"), "/%2F");
        assert_ne!(normal("/%2F"), normal("//"));
        assert_ne!(normal("/%2561"), normal("/%61"));
        assert_eq!(clean("//a/./b/../c"), "/a/c");
        for odd in ["/%", "/%4", "/%+1", "/%\u{e4}", "/%zz"] {
            assert!(normal(odd).starts_with("/%"), "{odd}");
        }
    }
}
