//! `explain`: what would be decided, and why.

use std::net::IpAddr;

use clap::Args;

use super::audit::file_of as audit_file;
use super::globals::Output;
use super::io::Io;
use super::reach::{Reach, unexpected};
use super::show;
use crate::control::protocol::{Payload, Question, Request, SecretField, Who};
use crate::control::view::{AnswerView, Explanation};
use crate::control::{Failure, recorded};

/// `explain`
#[derive(Args, Clone, Debug)]
pub(super) struct Explain {
    /// As this user, with a right credential
    #[arg(long, value_name = "U", group = "who")]
    user: Option<String>,
    /// As whoever the token on standard input is
    #[arg(long, group = "who")]
    token_stdin: bool,
    /// Without a credential; this is the default
    #[arg(long, group = "who")]
    anonymous: bool,
    /// The client's address [default: one in no network]
    #[arg(long, value_name = "IP")]
    from: Option<IpAddr>,
    /// As a browser that opens a page, not as a program
    #[arg(long)]
    browser: bool,
    /// The request with this id, which its answer, the log and the audit file have
    #[arg(long, value_name = "ID", conflicts_with_all = ["who", "from", "browser", "method", "url"])]
    id: Option<String>,
    /// The request's method
    #[arg(required_unless_present = "id")]
    method: Option<String>,
    /// The request's address, such as https://home.example/api/states
    #[arg(required_unless_present = "id")]
    url: Option<String>,
}

/// Runs `explain`.
///
/// # Errors
/// The question is malformed, or nobody could be asked. A decision to refuse is no error.
pub(super) fn run(explain: Explain, reach: &Reach<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    let question = match explain.id.clone() {
        Some(id) => recorded::question_about(&audit_file(None, reach)?, &id)?,
        None => asked(explain, io)?,
    };
    let settings = reach.settings()?;
    let explanation = match reach.server(&settings)? {
        Some(connection) => match connection.ask(Request::Explain(question))? {
            Payload::Explained(explanation) => explanation,
            _ => return Err(unexpected()),
        },
        None => (reach.programs.explain)(reach.sources()?, question)?,
    };
    show(&explanation, reach.output(), io)
}

/// What the command line asks about.
fn asked(explain: Explain, io: &mut Io<'_>) -> Result<Question, Failure> {
    let (method, url) = (
        explain.method.unwrap_or_default(),
        explain.url.unwrap_or_default(),
    );
    check_method(&method)?;
    check_url(&url)?;
    let who = if let Some(user) = explain.user {
        Who::User(user)
    } else if explain.token_stdin {
        Who::Token(SecretField(io.read_secret()?))
    } else {
        Who::Anonymous
    };
    Ok(Question {
        who,
        from: explain.from.map(|address| address.to_canonical()),
        method,
        url,
        browser: explain.browser,
    })
}

fn show(explanation: &Explanation, output: Output, io: &mut Io<'_>) -> Result<(), Failure> {
    let mut lines = vec![("decision", explanation.decision.as_str().to_owned())];
    // What was not reached has no line.
    let mut line = |name, text: &Option<String>| lines.extend(text.clone().map(|text| (name, text)));
    line("status", &explanation.status.map(|status| status.to_string()));
    let answers: Vec<String> = explanation.answers.iter().map(told).collect();
    line("answers", &(!answers.is_empty()).then(|| answers.join(", ")));
    line("reason", &Some(explanation.reason.clone()));
    line("who", &explanation.identity);
    line("credential", &explanation.credential);
    line("network", &explanation.network);
    line("rule", &explanation.rule);
    line("nearly", &explanation.nearly);
    for advice in &explanation.advice {
        line("advice", &Some(advice.clone()));
    }
    show::one(io, output, explanation, &lines)
}

fn told(answer: &AnswerView) -> String {
    match answer.status {
        Some(status) => format!("{} {status}", answer.road),
        None => format!("{} passes", answer.road),
    }
}

fn check_method(method: &str) -> Result<(), Failure> {
    match http::Method::from_bytes(method.as_bytes()) {
        Ok(_) => Ok(()),
        Err(_) => Err(Failure::usage(format!("{method:?} is not an HTTP method"))),
    }
}

/// Absolute, and without user information: a token there would be in the shell's history.
fn check_url(url: &str) -> Result<(), Failure> {
    let authority = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))
        .and_then(|rest| rest.split(['/', '?', '#']).next())
        .filter(|authority| !authority.is_empty());
    match authority {
        None => Err(Failure::usage(
            "write the whole address, such as https://home.example/api/states",
        )),
        Some(authority) if authority.contains('@') => Err(Failure::usage(
            "a token does not belong on a command line; write it to standard input with --token-stdin",
        )),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Exit;

    // "passwords come from a prompt or --password-stdin, never from an argument"
    #[test]
    fn a_url_with_a_token_in_it_is_refused_without_repeating_it() {
        let failure = check_url("http://oh.phone.AAAA@home.example/").expect_err("refused");
        assert_eq!(failure.exit, Exit::Usage);
        assert!(!failure.message.contains("AAAA"));
        for wrong in [
            "/api/states",
            "home.example",
            "ftp://home.example/",
            "http://",
            "https:///x",
        ] {
            assert!(check_url(wrong).is_err(), "{wrong}");
        }
        for right in ["http://home.example", "https://[::1]:8443/a?b=@"] {
            assert_eq!(check_url(right), Ok(()), "{right}");
        }
        assert!(check_method("GE T").is_err());
        assert!(check_method("PROPFIND").is_ok());
    }
}
