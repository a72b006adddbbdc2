//! Why a permitted request has no answer from a backend.

use std::fmt;
use std::time::Duration;

use http::StatusCode;

use crate::outbound::ConnectError;

/// What the caller renders instead of the backend's answer. Nothing in it comes from the client.
#[derive(Debug)]
pub enum Failure {
    /// The route is for forward-auth only.
    NoUpstream,
    /// Every backend of the route is out of service.
    AllDown {
        /// When one of them is tried again.
        retry_after: Duration,
    },
    /// No connection to a backend; nothing of the request was sent.
    Connect(ConnectError),
    /// The connection broke before the response head, or what came was no HTTP.
    Broken(String),
    /// The response can be read in two ways, or answers something that was not asked.
    BadResponse(&'static str),
    /// No response head in time.
    Silent,
    /// The request body is larger than `limits.body`.
    TooLarge,
    /// The client stopped sending its body.
    ClientSlow,
    /// The client went away, or broke off its body.
    ClientGone,
    /// The request went in circles through this program.
    Loop,
    /// The credential was revoked, or the user disabled, while the backend was at work.
    Revoked,
    /// An upgrade with a body, or another protocol than `websocket`.
    BadUpgrade(&'static str),
    /// The request's authority cannot be written in a header or a URI.
    BadAuthority,
}

impl Failure {
    /// The status to answer with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoUpstream => StatusCode::NOT_FOUND,
            Self::AllDown { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Connect(ConnectError::TimedOut(_)) | Self::Silent => StatusCode::GATEWAY_TIMEOUT,
            Self::Connect(_) | Self::Broken(_) | Self::BadResponse(_) => StatusCode::BAD_GATEWAY,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ClientSlow => StatusCode::REQUEST_TIMEOUT,
            Self::ClientGone | Self::BadUpgrade(_) | Self::BadAuthority => StatusCode::BAD_REQUEST,
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::Revoked => StatusCode::UNAUTHORIZED,
        }
    }

    /// For `Retry-After`.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::AllDown { retry_after } => Some(*retry_after),
            _ => None,
        }
    }

    /// The word in logs and metrics.
    pub fn why(&self) -> &'static str {
        match self {
            Self::NoUpstream => "no-upstream",
            Self::AllDown { .. } => "all-down",
            Self::Connect(ConnectError::TimedOut(_)) => "connect-timeout",
            Self::Connect(_) => "connect",
            Self::Broken(_) => "broken",
            Self::BadResponse(_) => "bad-response",
            Self::Silent => "response-timeout",
            Self::TooLarge => "body-too-large",
            Self::ClientSlow => "client-slow",
            Self::ClientGone => "client-gone",
            Self::Loop => "loop",
            Self::Revoked => "revoked",
            Self::BadUpgrade(_) => "bad-upgrade",
            Self::BadAuthority => "bad-authority",
        }
    }

    /// Whether the request body was left half read: the client's connection must not be used again.
    pub fn leaves_body(&self) -> bool {
        matches!(
            self,
            Self::TooLarge | Self::ClientSlow | Self::ClientGone | Self::Silent
        )
    }
}

/// For the log; never for the client.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoUpstream => f.write_str("the route has no upstream"),
            Self::AllDown { .. } => f.write_str("every upstream of the route is down"),
            Self::Connect(error) => error.fmt(f),
            Self::Broken(why) => write!(f, "the upstream broke off: {why}"),
            Self::BadResponse(why) => write!(f, "the upstream's response was refused: {why}"),
            Self::Silent => f.write_str("the upstream did not answer within timeouts.response"),
            Self::TooLarge => f.write_str("the request body is larger than limits.body"),
            Self::ClientSlow => f.write_str("the client stopped sending its body"),
            Self::ClientGone => f.write_str("the client broke off its body"),
            Self::Loop => {
                f.write_str("the request came back to where it was; an upstream leads to this server")
            }
            Self::Revoked => f.write_str("the credential ended before the upstream answered"),
            Self::BadUpgrade(why) => f.write_str(why),
            Self::BadAuthority => f.write_str("the host of the request cannot be forwarded"),
        }
    }
}

impl std::error::Error for Failure {}
