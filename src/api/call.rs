//! What a request says: parameters of the path, of the query, and a body.

use std::time::Duration;

use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::{BodyExt, Limited};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::answer::Problem;
use super::endpoints::Parameter;
use crate::control::Failure;
use crate::request::Facts;
use crate::wire::Body;
use crate::wire::query;

/// More than any body of ours has.
const LARGEST: usize = 64 * 1024;
/// A body is a few hundred bytes: whoever takes longer is not sending one.
const PATIENCE: Duration = Duration::from_secs(10);

/// One request, taken apart.
pub(super) struct Call<'c> {
    /// Who asks.
    pub(super) me: &'c str,
    /// The parts of the path that stand for something, in their order.
    pub(super) parameters: Vec<&'c str>,
    pub(super) query: &'c str,
    /// Erased after use: it may hold a password.
    pub(super) body: Zeroizing<Vec<u8>>,
}

impl Call<'_> {
    /// A part of the path.
    pub(super) fn part(&self, index: usize) -> String {
        self.parameters.get(index).copied().unwrap_or_default().to_owned()
    }

    /// A parameter of the query; empty when it is not there.
    pub(super) fn query(&self, name: &str) -> String {
        match query::values(self.query, name).next() {
            Some(Ok(value)) => value.into_owned(),
            _ => String::new(),
        }
    }

    /// The body as what is wanted.
    pub(super) fn body<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Failure::data(format!("the body is not what is wanted here: {error}")))
    }

    /// A parameter that is not known, or there twice, is a slip of the finger that would list too much.
    pub(super) fn check_query(&self, known: &[Parameter]) -> Result<(), Problem> {
        for pair in self.query.split('&').filter(|pair| !pair.is_empty()) {
            let name = pair.split('=').next().unwrap_or_default();
            if !known.iter().any(|parameter| parameter.name == name) {
                let names: Vec<&str> = known.iter().map(|parameter| parameter.name).collect();
                return Err(Problem::query(&names));
            }
        }
        for parameter in known {
            let mut values = query::values(self.query, parameter.name);
            let (first, second) = (values.next(), values.next());
            if second.is_some() || first.is_some_and(|value| value.is_err()) {
                return Err(Problem::query(&[parameter.name]));
            }
        }
        Ok(())
    }
}

/// Reads a body that says it is JSON: a form of a foreign page cannot.
pub(super) async fn read(facts: &Facts<'_>, body: Body) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let is_json = facts.headers.get(CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind
            .as_bytes()
            .split(|byte| *byte == b';')
            .next()
            .unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"application/json")
    });
    if !is_json {
        return Err(Problem::status(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "send JSON, with Content-Type: application/json",
        ));
    }
    let too_large = || Problem::status(StatusCode::PAYLOAD_TOO_LARGE, "send at most 64 KiB");
    let declared = facts
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > LARGEST) {
        return Err(too_large());
    }
    match tokio::time::timeout(PATIENCE, Limited::new(body, LARGEST).collect()).await {
        Err(_) => Err(Problem::status(
            StatusCode::REQUEST_TIMEOUT,
            "the body took longer than ten seconds",
        )),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::status(StatusCode::BAD_REQUEST, "the body broke off")),
        Ok(Ok(collected)) => Ok(Zeroizing::new(collected.to_bytes().to_vec())),
    }
}
