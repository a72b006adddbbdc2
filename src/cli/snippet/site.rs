//! What every gateway has to be told.

use std::fmt::Write;

use http::HeaderName;

use super::names::{BELIEVED, CREDENTIALS, WRITTEN_BY_GATEWAYS, believed};
use super::{Form, Snippet};
use crate::config::Settings;
use crate::config::settings::{Listen, Route, UpstreamAddr, UpstreamScheme, UpstreamTarget};
use crate::control::{Exit, Failure};

/// What every gateway has to be told.
pub(super) struct Site {
    /// The name that people type.
    pub(super) host: String,
    /// Where the gateway listens.
    pub(super) port: u16,
    /// The application.
    pub(super) app: UpstreamAddr,
    /// Where decisions are asked for: `host:port` or `unix:/path`.
    pub(super) decisions: String,
    /// Where our pages are.
    pub(super) pages: String,
    /// `server.prefix`
    pub(super) prefix: String,
    /// The identity headers, as they are in answers.
    pub(super) identity: Vec<String>,
    /// The headers that may hold a credential of ours, of which the application gets what an answer
    /// leaves: those for Sidegate alone come first.
    pub(super) credentials: Vec<String>,
    /// What gateways must send with every question.
    pub(super) secret: Option<String>,
    /// `server.client_ip_header`: the gateway writes it, whatever its client says.
    pub(super) client_header: Option<String>,
}

/// What a gateway that knows patterns takes out of a request.
pub(super) enum Removed {
    /// One header.
    Name(String),
    /// Every header that begins so.
    Beginning(&'static str),
}

impl Site {
    pub(super) fn of(settings: &Settings, snippet: &Snippet) -> Result<Self, Failure> {
        let server = &settings.server;
        let host = snippet
            .host
            .clone()
            .or_else(|| authority_of(server.public_url.as_deref()?))
            .or_else(|| settings.routes.iter().find_map(|route| route.host.clone()))
            .unwrap_or_else(|| "home.example".into());
        let authority: http::uri::Authority = host
            .parse()
            .map_err(|_| Failure::usage(format!("{host:?} is not a host; write for example home.example")))?;
        let host = authority.host().to_ascii_lowercase();
        let routes: Vec<&Route> = settings
            .routes
            .iter()
            .filter(|route| route.host.as_ref().is_none_or(|of| *of == host))
            .collect();
        let app = match &snippet.app {
            Some(url) => app(url)?,
            None => match routes.iter().find_map(|route| route.upstream.first()) {
                Some(upstream) => upstream.clone(),
                None => app("http://127.0.0.1:8123")?,
            },
        };
        let pages = server.listen.first();
        let (Some(pages), Some(decisions)) = (pages, server.decision_listen.first().or(pages)) else {
            return Err(Failure::new(
                Exit::Config,
                "a gateway asks in plain HTTP: give server.listen an address that it can reach, for example \
                 \"127.0.0.1:8480\"",
            ));
        };
        // The address of a container is another one than that of its neighbour.
        let here = match (&snippet.sidegate, snippet.form) {
            (Some(name), _) => Some(sidegate_at(name)?),
            (None, Form::Labels) => Some("sidegate".to_owned()),
            (None, Form::File | Form::Npm) => None,
        };
        let reachable = |listen| reachable(listen, here.as_deref());
        let secret = server.decision_secret.as_ref().map(|secret| {
            secret
                .secret
                .expose_str()
                .filter(|secret| secret.bytes().all(is_plain))
                .map(str::to_owned)
                .ok_or_else(|| {
                    Failure::new(
                        Exit::Config,
                        "the secret of server.decision_secret_file has characters that mean something in the \
                         configuration of a gateway; choose letters, digits and - . _ ~ + / =",
                    )
                })
        });
        let mut credentials = Vec::new();
        for name in &settings.credentials.token_headers {
            add(&mut credentials, name);
        }
        credentials.extend(CREDENTIALS.map(str::to_owned));
        Ok(Self {
            port: authority.port_u16().unwrap_or(80),
            host,
            app,
            decisions: reachable(decisions)?,
            pages: reachable(pages)?,
            prefix: server.prefix.clone(),
            identity: identity(&routes),
            credentials,
            secret: secret.transpose()?,
            client_header: (server.client_ip_header.as_ref()).map(|name| in_capitals(name.as_str())),
        })
    }

    /// Where a gateway asks, for answers that say what the application gets of [`Site::credentials`].
    pub(super) fn question(&self, dialect: &str) -> String {
        format!("{}/auth/{dialect}?strip", self.prefix)
    }

    /// What no client may say, for a gateway that knows patterns. A token may come under a name that begins as
    /// one of them: then the names in use go one by one, because no such pattern has exceptions.
    pub(super) fn removed(&self) -> Vec<Removed> {
        let spared = |beginning: &str| self.credentials.iter().any(|name| begins(name, beginning));
        let covers = |beginning: &str, rests: &[&str], name: &str| match rests {
            [] => name == beginning,
            _ => begins(name, beginning) && !spared(beginning),
        };
        let covered = |name: &str| {
            BELIEVED
                .iter()
                .any(|(beginning, rests)| covers(beginning, rests, name))
        };
        let own = self.identity.iter().filter(|name| !covered(name)).cloned();
        let mut removed: Vec<Removed> = own.map(Removed::Name).collect();
        for (beginning, rests) in BELIEVED {
            if !rests.is_empty() && !spared(beginning) {
                removed.push(Removed::Beginning(beginning));
                continue;
            }
            let written: &[&str] = match *beginning {
                "X-Forwarded-" => &WRITTEN_BY_GATEWAYS,
                _ => &[],
            };
            let whole: &[&str] = if rests.is_empty() { &[""] } else { rests };
            let names = (whole.iter().chain(written)).map(|rest| format!("{beginning}{rest}"));
            let names = names.filter(|name| !is_in(&self.credentials, name) && !is_in(&self.identity, name));
            removed.extend(names.map(Removed::Name));
        }
        removed.push(Removed::Name("X-Real-IP".into()));
        removed
    }

    /// The same for a gateway that knows no patterns.
    pub(super) fn believed(&self) -> Vec<String> {
        let mut names = believed();
        names.retain(|name| !is_in(&self.credentials, name));
        names
    }

    /// The first lines of every snippet.
    pub(super) fn head(&self, gateway: &str, place: &str) -> String {
        let mut text = format!(
            "# {gateway} in front of {}, which Sidegate protects; made by \"sidegate snippet\".\n# {place}\n",
            self.app
        );
        if self.secret.is_some() {
            text.push_str("# It holds the secret of server.decision_secret_file: let nobody else read it.\n");
        }
        text
    }
}

/// Those of every route, or of decisions without one.
fn identity(routes: &[&Route]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for route in routes {
        for name in route.identity_headers.in_decisions().names() {
            add(&mut names, name);
        }
    }
    if routes.is_empty() {
        for name in Route::for_decisions().identity_headers.names() {
            add(&mut names, name);
        }
    }
    names
}

/// What no gateway reads as anything but itself, quoted or not.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)
}

/// Whether the header is among these.
pub(super) fn is_in(names: &[String], name: &str) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

fn begins(name: &str, beginning: &str) -> bool {
    name.get(..beginning.len())
        .is_some_and(|begun| begun.eq_ignore_ascii_case(beginning))
}

fn add(names: &mut Vec<String>, name: &HeaderName) {
    let name = in_capitals(name.as_str());
    if !names.contains(&name) {
        names.push(name);
    }
}

/// `remote-user` as people write it: `Remote-User`.
fn in_capitals(name: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        format!("{}{rest}", first.to_ascii_uppercase())
    };
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}

fn authority_of(url: &str) -> Option<String> {
    Some(url.split_once("://")?.1.to_owned())
}

fn app(url: &str) -> Result<UpstreamAddr, Failure> {
    let wrong = || {
        Failure::usage(format!(
            "{url:?} is not an application; write for example http://127.0.0.1:8123"
        ))
    };
    if let Some(path) = url.strip_prefix("unix:") {
        return Ok(UpstreamAddr {
            scheme: UpstreamScheme::Http,
            target: UpstreamTarget::Unix(path.into()),
        });
    }
    let uri: http::Uri = url.trim_end_matches('/').parse().map_err(|_| wrong())?;
    let (scheme, usual) = match uri.scheme_str() {
        Some("http") => (UpstreamScheme::Http, 80),
        Some("https") => (UpstreamScheme::Https, 443),
        _ => return Err(wrong()),
    };
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(wrong());
    }
    let authority = uri
        .authority()
        .filter(|authority| !authority.as_str().contains('@'))
        .ok_or_else(wrong)?;
    Ok(UpstreamAddr {
        scheme,
        target: UpstreamTarget::Tcp {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(usual),
        },
    })
}

/// A name or address without a port, as it stands before one.
fn sidegate_at(name: &str) -> Result<String, Failure> {
    let bracketed = match name.parse::<std::net::Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => name.to_owned(),
    };
    bracketed
        .parse::<http::uri::Authority>()
        .ok()
        .filter(|authority| authority.host() == bracketed)
        .map(|_| bracketed)
        .ok_or_else(|| {
            Failure::usage(format!(
                "{name:?} is not a host; write the name or address of Sidegate without a port, for example sidegate"
            ))
        })
}

/// Where to connect for what listens there: every address of this machine is this one too, and those
/// of another one are known there by that name.
fn reachable(listen: &Listen, other: Option<&str>) -> Result<String, Failure> {
    match (listen, other) {
        (Listen::Unix(path), _) => Ok(format!("unix:{}", path.display())),
        (Listen::Tcp(address), Some(other)) if address.ip().is_loopback() => Err(Failure::new(
            Exit::Config,
            format!(
                "{address} is reached from the machine of Sidegate alone, and not as {other:?}: listen for example on \
                 \"0.0.0.0:{}\"",
                address.port()
            ),
        )),
        (Listen::Tcp(address), Some(other)) => Ok(format!("{other}:{}", address.port())),
        (Listen::Tcp(address), None) if address.ip().is_unspecified() => {
            let loopback = if address.is_ipv4() { "127.0.0.1" } else { "[::1]" };
            Ok(format!("{loopback}:{}", address.port()))
        }
        (Listen::Tcp(address), None) => Ok(address.to_string()),
    }
}

/// `host:port`, or `unix:/path`.
pub(super) fn place(app: &UpstreamAddr) -> String {
    match &app.target {
        UpstreamTarget::Unix(path) => format!("unix:{}", path.display()),
        UpstreamTarget::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
        UpstreamTarget::Tcp { host, port } => format!("{host}:{port}"),
    }
}

/// Host and port of what must not be a unix socket.
pub(super) fn host_and_port(place: &str, gateway: &str) -> Result<(String, u16), Failure> {
    let (host, port) = place
        .rsplit_once(':')
        .filter(|_| !place.starts_with("unix:"))
        .and_then(|(host, port)| Some((host.trim_matches(['[', ']']).to_owned(), port.parse().ok()?)))
        .ok_or_else(|| {
            Failure::new(
                Exit::Config,
                format!("{gateway} does not reach {place}: give it an address with a port"),
            )
        })?;
    Ok((host, port))
}

/// Lines made from names; writing to a text cannot fail.
pub(super) fn lines<'n, N: AsRef<str> + ?Sized + 'n>(
    names: impl IntoIterator<Item = &'n N>,
    line: impl Fn(&str) -> String,
) -> String {
    names.into_iter().fold(String::new(), |mut text, name| {
        let _ = writeln!(text, "{}", line(name.as_ref()));
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_people_do() {
        assert_eq!(in_capitals("x-webauth-user"), "X-Webauth-User");
    }

    #[test]
    fn what_listens_everywhere_is_reached_on_loopback_or_by_its_name() {
        let at = |text: &str, other| reachable(&Listen::Tcp(text.parse().expect("a literal")), other);
        let here = |text| at(text, None).expect("reachable");
        assert_eq!(here("0.0.0.0:8480"), "127.0.0.1:8480");
        assert_eq!(here("[::]:8480"), "[::1]:8480");
        assert_eq!(here("192.0.2.1:8480"), "192.0.2.1:8480");
        assert_eq!(at("0.0.0.0:8480", Some("gate")).expect("reachable"), "gate:8480");
        assert!(at("127.0.0.1:8480", Some("gate")).is_err());
    }

    #[test]
    fn a_host_of_sidegate_has_no_port() {
        assert_eq!(sidegate_at("::1").ok().as_deref(), Some("[::1]"));
        assert_eq!(sidegate_at("gate.home").ok().as_deref(), Some("gate.home"));
        for wrong in ["gate:8480", "http://gate", "a b", "", "a@b"] {
            assert!(sidegate_at(wrong).is_err(), "{wrong}");
        }
    }
}
