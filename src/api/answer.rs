//! What is answered: JSON, or what is wrong (RFC 9457).

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response, StatusCode};

use super::endpoints::Gives;
use crate::control::{Exit, Failure, Payload};
use crate::request::Facts;
use crate::wire::Body;
use crate::wire::problem::{Form, problem};

/// Why there is no answer.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    allow: Option<String>,
}

impl Problem {
    pub(super) fn status(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            allow: None,
        }
    }

    pub(super) fn nowhere() -> Self {
        Self::status(
            StatusCode::NOT_FOUND,
            "there is nothing at this address; openapi.json beside it says what there is",
        )
    }

    pub(super) fn method(allowed: &str) -> Self {
        Self {
            allow: Some(allowed.to_owned()),
            ..Self::status(
                StatusCode::METHOD_NOT_ALLOWED,
                format!("this address understands {allowed}"),
            )
        }
    }

    pub(super) fn query(names: &[&str]) -> Self {
        let detail = match names {
            [] => "this address has no query".to_owned(),
            names => format!("the query may have, once each: {}", names.join(", ")),
        };
        Self::status(StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn network() -> Self {
        Self::status(
            StatusCode::FORBIDDEN,
            "a trusted network opens applications only; send a token or log in",
        )
    }

    pub(super) fn response(self, facts: &Facts<'_>) -> Response<Body> {
        let title = self.status.canonical_reason().unwrap_or("Not now");
        let mut response = problem(
            self.status,
            title,
            &self.detail,
            &facts.id.to_string(),
            Form::Json,
        );
        let headers = response.headers_mut();
        if let Some(allow) = self.allow.and_then(|allow| HeaderValue::from_str(&allow).ok()) {
            headers.insert(ALLOW, allow);
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let status = match failure.exit {
            Exit::Usage | Exit::Data => StatusCode::BAD_REQUEST,
            Exit::Missing => StatusCode::NOT_FOUND,
            Exit::Permission => StatusCode::FORBIDDEN,
            Exit::CannotCreate | Exit::Config => StatusCode::CONFLICT,
            Exit::Unavailable | Exit::Io => StatusCode::SERVICE_UNAVAILABLE,
            Exit::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if status.is_server_error() {
            tracing::warn!(why = %failure, "something that was asked for over REST could not be done");
        }
        Self::status(status, failure.message)
    }
}

/// What was found or made.
pub(super) fn payload(gives: Gives, payload: &Payload) -> Result<Response<Body>, Problem> {
    let status = gives.status();
    if let Payload::Done = payload {
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = StatusCode::NO_CONTENT;
        guard(&mut response);
        return Ok(response);
    }
    match serde_json::to_string(payload) {
        Ok(text) => Ok(json(status, text)),
        Err(error) => Err(Problem::status(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the answer cannot be written: {error}"),
        )),
    }
}

pub(super) fn json(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text.into_bytes()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    guard(&mut response);
    response
}

/// Kept by nobody, and taken for nothing else.
fn guard(response: &mut Response<Body>) {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}
