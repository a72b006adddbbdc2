//! Where clients that came in plain text are sent to instead: `tls.redirect_http`.

use http::header::LOCATION;
use http::{HeaderValue, Response, StatusCode};

use crate::config::Settings;
use crate::request::{Facts, origin};
use crate::wire::Body;

/// The usual port of https, which addresses leave out.
const USUAL: u16 = 443;

/// Our addresses over TLS, as clients know them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Secure {
    /// Host, and scheme, host and port, of `server.public_url` and each of `server.domains`.
    known: Vec<(String, String)>,
    /// For all other hosts.
    port: u16,
}

impl Secure {
    /// None: plain text stays where it is. `bound` are the ports on which TLS is really spoken: sockets of
    /// the service manager stand for `tls.listen`, whatever that says.
    pub(super) fn new(settings: &Settings, bound: &[u16]) -> Option<Self> {
        let tls = settings.tls.as_ref().filter(|tls| tls.redirect_http)?;
        let mut asked = tls.listen.iter().map(std::net::SocketAddr::port);
        let first = asked.clone().next();
        let port = asked
            .find(|port| bound.contains(port))
            .or(bound.first().copied())
            .or(first);
        let server = &settings.server;
        let known = server
            .public_url
            .iter()
            .chain(&server.domains)
            // One that begins with http:// would lead back here, and so on without end.
            .filter(|url| url.starts_with("https://"))
            .filter_map(|url| Some((origin::host_of(url)?, url.clone())))
            .collect();
        Some(Self {
            known,
            port: port.unwrap_or(USUAL),
        })
    }

    /// The same address over TLS, for good: 308 keeps method and body (RFC 9110, section 15.4.9).
    /// Only ever the host that was asked for.
    pub(super) fn redirect(&self, facts: &Facts<'_>) -> Response<Body> {
        let question = if facts.query.is_empty() { "" } else { "?" };
        let location = format!(
            "{}{}{question}{}",
            self.base(facts.host),
            facts.path.raw(),
            facts.query
        );
        let mut response = Response::new(Body::Empty);
        // Bytes, since a query may have raw ones above 0x7F. What cannot be redirected must not go on
        // in plain text.
        match HeaderValue::from_bytes(location.as_bytes()) {
            Ok(location) => {
                *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
                response.headers_mut().insert(LOCATION, location);
            }
            Err(_) => *response.status_mut() = StatusCode::BAD_REQUEST,
        }
        response
    }

    /// Scheme, host and port. A gateway or a router may lead from another port to ours: what the settings
    /// say of a host counts before the port that we know of.
    fn base(&self, host: &str) -> String {
        if let Some((_, url)) = self.known.iter().find(|(known, _)| known == host) {
            return url.clone();
        }
        let port = match self.port {
            USUAL => String::new(),
            port => format!(":{port}"),
        };
        if host.contains(':') && !host.starts_with('[') {
            format!("https://[{host}]{port}")
        } else {
            format!("https://{host}{port}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secure(port: u16) -> Secure {
        Secure {
            known: vec![("home.example".into(), "https://home.example:8443".into())],
            port,
        }
    }

    #[test]
    fn the_usual_port_is_left_out_and_a_known_host_has_the_port_of_the_settings() {
        assert_eq!(secure(443).base("192.0.2.7"), "https://192.0.2.7");
        assert_eq!(secure(443).base("2001:db8::7"), "https://[2001:db8::7]");
        assert_eq!(secure(4443).base("[2001:db8::7]"), "https://[2001:db8::7]:4443");
        assert_eq!(secure(443).base("home.example"), "https://home.example:8443");
        assert_eq!(secure(443).base("not.home.example"), "https://not.home.example");
    }
}
