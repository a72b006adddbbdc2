//! What is said of a decision or a failure: words for audit and metrics, sentences for the log and for
//! the client.

use crate::decision::Decision;
use crate::observe::metrics::UpstreamFailure;
use crate::upstream::Failure;

/// The word for the audit line, and the sentence for the log that says what to send instead.
pub(super) fn reason(decision: &Decision) -> (&str, Option<&'static str>) {
    match decision {
        Decision::Allow(_) => ("", None),
        Decision::Challenge(challenge) => {
            let hint = match challenge.why {
                "none" => {
                    "no credential was sent: send a token as \"Authorization: Bearer TOKEN\", as \
                     \"X-OPENHAB-TOKEN: TOKEN\", or as the user name of Basic with an empty password"
                }
                "no-owner-yet" => {
                    "there is no user yet: run \"sidegate user add NAME\", or open the link that \"sidegate setup-link\" prints"
                }
                "token-with-password" => "a token as the user name of Basic needs an empty password",
                "token-expired" | "token-revoked" => {
                    "the token has ended: make a new one with \"sidegate token create\""
                }
                "cross-site" => {
                    "a page of another site asked through its visitor's browser, and a trusted network does \
                     not speak for that; let the page send a token"
                }
                "token-source-network" => "the token may not be used from this address",
                "token-malformed" => "that is not a token of ours, or it was cut off or mistyped",
                _ => "the credential is wrong",
            };
            (challenge.why, Some(hint))
        }
        Decision::Deny(denial) => (
            denial.why,
            Some(match denial.why {
                "csrf" => {
                    "a page of another site asked through a browser that is logged in; csrf of the route says \
                     from where a page may"
                }
                _ => {
                    "the user is known and may not do this; \"sidegate explain --id\" with this request.id says why"
                }
            }),
        ),
        Decision::Throttle { why, .. } => (why, None),
        Decision::Fail(fault) => (&fault.why, None),
    }
}

/// What the metrics count it as; none: no fault of an upstream.
pub(super) fn upstream_failure(failure: &Failure) -> Option<UpstreamFailure> {
    use crate::outbound::ConnectError;
    match failure {
        Failure::AllDown { .. } => Some(UpstreamFailure::Unhealthy),
        Failure::Connect(ConnectError::TimedOut(_)) | Failure::Silent => Some(UpstreamFailure::Timeout),
        Failure::Connect(ConnectError::Tls { .. }) => Some(UpstreamFailure::Tls),
        Failure::Connect(_) => Some(UpstreamFailure::Connect),
        Failure::Broken(_) => Some(UpstreamFailure::Closed),
        Failure::BadResponse(_) => Some(UpstreamFailure::Protocol),
        Failure::NoUpstream
        | Failure::TooLarge
        | Failure::ClientSlow
        | Failure::ClientGone
        | Failure::Loop
        | Failure::Revoked
        | Failure::BadUpgrade(_)
        | Failure::BadAuthority => None,
    }
}

/// For the client: nothing of addresses behind us.
pub(super) fn message(failure: &Failure) -> &'static str {
    match failure {
        Failure::NoUpstream => "Nothing is served at this host and path.",
        Failure::AllDown { .. } | Failure::Connect(_) => {
            "The application behind this gate cannot be reached. Try again; if it stays so, tell whoever runs it."
        }
        Failure::Broken(_) | Failure::BadResponse(_) => {
            "The application behind this gate gave no proper answer."
        }
        Failure::Silent => "The application behind this gate did not answer in time.",
        Failure::TooLarge => "The body is larger than this gate lets through.",
        Failure::ClientSlow => "The body did not arrive in time.",
        Failure::ClientGone => "The body did not arrive whole.",
        Failure::Loop => "The request came back to this gate: its upstream is this gate itself.",
        Failure::Revoked => "The credential was revoked.",
        Failure::BadUpgrade(_) => "Only an upgrade to WebSocket, without a body, can be forwarded.",
        Failure::BadAuthority => "The Host of the request cannot be forwarded.",
    }
}
