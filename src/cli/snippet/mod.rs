//! `snippet`: a whole configuration for a gateway, that works with the settings as they are.

mod caddy;
mod envoy;
mod haproxy;
mod nginx;
mod traefik;

use std::fmt::Write;

use clap::{Args, ValueEnum};
use http::HeaderName;

use super::io::Io;
use super::reach::Reach;
use crate::config::Settings;
use crate::config::settings::{Listen, Route, UpstreamAddr, UpstreamScheme, UpstreamTarget};
use crate::control::{Exit, Failure};

/// `snippet`
#[derive(Args, Clone, Debug)]
pub(super) struct Snippet {
    /// For which gateway
    #[arg(value_enum)]
    gateway: Gateway,
    /// The name that people type, with the port if it is not 80 [default: the host of
    /// server.public_url, else of the first route that has one, else home.example]
    #[arg(long, value_name = "HOST[:PORT]")]
    host: Option<String>,
    /// The application behind the gateway [default: the upstream of that host's route, else
    /// http://127.0.0.1:8123]
    #[arg(long, value_name = "URL")]
    app: Option<String>,
    /// The Lua file that the configuration of HAProxy loads, instead of the configuration
    #[arg(long)]
    lua: bool,
}

/// A gateway that there is a snippet for.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Gateway {
    /// `auth_request`
    Nginx,
    /// `forwardAuth`
    Traefik,
    /// `forward_auth`
    Caddy,
    /// `ext_authz` over HTTP
    Envoy,
    /// A question from Lua
    Haproxy,
}

/// Prints the configuration.
///
/// # Errors
/// The settings, a host or URL that is none, or addresses that the gateway cannot reach.
pub(super) fn run(snippet: &Snippet, reach: &Reach<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    if snippet.lua && snippet.gateway != Gateway::Haproxy {
        return Err(Failure::usage("only HAProxy loads a Lua file"));
    }
    if snippet.lua {
        return io.put(haproxy::LUA.as_bytes());
    }
    let settings = reach.settings()?;
    let site = Site::of(&settings, snippet)?;
    let text = match snippet.gateway {
        Gateway::Nginx => nginx::snippet(&site),
        Gateway::Traefik => traefik::snippet(&site)?,
        Gateway::Caddy => caddy::snippet(&site),
        Gateway::Envoy => envoy::snippet(&site)?,
        Gateway::Haproxy => haproxy::snippet(&site),
    };
    io.put(text.as_bytes())?;
    if settings.server.trusted_proxies.is_empty() && !settings.server.trust_unix {
        io.say(
            "server.trusted_proxies is empty: every question gets 403 until the address of the gateway is in it, for \
             example trusted_proxies = [\"127.0.0.1/32\"]",
        );
    }
    Ok(())
}

/// What every gateway has to be told.
struct Site {
    /// The name that people type.
    host: String,
    /// Where the gateway listens.
    port: u16,
    /// The application.
    app: UpstreamAddr,
    /// Where decisions are asked for.
    decisions: Listen,
    /// Where our pages are.
    pages: Listen,
    /// `server.prefix`
    prefix: String,
    /// The identity headers, as they are in answers.
    identity: Vec<String>,
    /// Headers that are for Sidegate alone.
    tokens: Vec<String>,
    /// What gateways must send with every question.
    secret: Option<String>,
}

/// What a client may send to change what an application believes it was asked for.
const REWRITES: [&str; 4] = [
    "X-Original-URL",
    "X-Original-Method",
    "X-Original-URI",
    "X-Rewrite-URL",
];

/// The headers that a decision can depend on, for gateways that send only what they are told to.
const ASKED_WITH: [&str; 11] = [
    "accept",
    "access-control-request-method",
    "authorization",
    "cookie",
    "origin",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "user-agent",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-requested-with",
];

impl Site {
    fn of(settings: &Settings, snippet: &Snippet) -> Result<Self, Failure> {
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
        let pages = server.listen.first().cloned();
        let decisions = server.decision_listen.first().cloned().or_else(|| pages.clone());
        let (Some(pages), Some(decisions)) = (pages, decisions) else {
            return Err(Failure::new(
                Exit::Config,
                "a gateway asks in plain HTTP: give server.listen an address that it can reach, for example \
                 \"127.0.0.1:8480\"",
            ));
        };
        let mut identity: Vec<String> = Vec::new();
        for route in &routes {
            for name in route.identity_headers.in_decisions().names() {
                add(&mut identity, name);
            }
        }
        if routes.is_empty() {
            for name in Route::for_decisions().identity_headers.names() {
                add(&mut identity, name);
            }
        }
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
        let mut tokens = Vec::new();
        for name in &settings.credentials.token_headers {
            add(&mut tokens, name);
        }
        Ok(Self {
            port: authority.port_u16().unwrap_or(80),
            host,
            app,
            decisions,
            pages,
            prefix: server.prefix.clone(),
            identity,
            tokens,
            secret: secret.transpose()?,
        })
    }

    /// Where a gateway asks.
    fn endpoint(&self, dialect: &str) -> String {
        format!("{}/auth/{dialect}", self.prefix)
    }

    /// What must not come from a client under any name that an application could take for an
    /// identity header: applications read `_` and `.` as `-` (CVE-2025-64484, CVE-2026-52845).
    fn foldings(&self) -> Vec<String> {
        self.identity.iter().flat_map(|name| foldings(name)).collect()
    }

    /// The first lines of every snippet.
    fn head(&self, gateway: &str, place: &str) -> String {
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

/// What no gateway reads as anything but itself, quoted or not.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)
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

/// Every spelling with `_` or `.` for some `-`, without the name itself.
fn foldings(name: &str) -> Vec<String> {
    let mut spellings = vec![String::new()];
    for character in name.chars() {
        let choices: &[char] = if character == '-' {
            &['-', '_', '.']
        } else {
            &[character]
        };
        spellings = spellings
            .iter()
            .flat_map(|begun| choices.iter().map(move |choice| format!("{begun}{choice}")))
            .collect();
    }
    spellings.retain(|spelling| spelling != name);
    spellings
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

/// Where to connect for what listens there: every address of this machine is this one too.
fn reachable(listen: &Listen) -> String {
    match listen {
        Listen::Unix(path) => format!("unix:{}", path.display()),
        Listen::Tcp(address) if address.ip().is_unspecified() => {
            let loopback = if address.is_ipv4() { "127.0.0.1" } else { "[::1]" };
            format!("{loopback}:{}", address.port())
        }
        Listen::Tcp(address) => address.to_string(),
    }
}

/// `host:port`, or `unix:/path`.
fn place(app: &UpstreamAddr) -> String {
    match &app.target {
        UpstreamTarget::Unix(path) => format!("unix:{}", path.display()),
        UpstreamTarget::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
        UpstreamTarget::Tcp { host, port } => format!("{host}:{port}"),
    }
}

/// Host and port of what must not be a unix socket.
fn host_and_port(place: &str, gateway: &str) -> Result<(String, u16), Failure> {
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
fn lines(names: &[impl AsRef<str>], line: impl Fn(&str) -> String) -> String {
    names.iter().fold(String::new(), |mut text, name| {
        let _ = writeln!(text, "{}", line(name.as_ref()));
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_that_an_application_may_take_for_a_name_is_known() {
        assert_eq!(foldings("Remote-User"), ["Remote_User", "Remote.User"]);
        assert_eq!(foldings("X-Auth-Request-User").len(), 26);
        assert_eq!(in_capitals("x-webauth-user"), "X-Webauth-User");
    }

    #[test]
    fn what_listens_everywhere_is_reached_on_loopback() {
        let tcp = |text: &str| Listen::Tcp(text.parse().expect("a literal"));
        assert_eq!(reachable(&tcp("0.0.0.0:8480")), "127.0.0.1:8480");
        assert_eq!(reachable(&tcp("[::]:8480")), "[::1]:8480");
        assert_eq!(reachable(&tcp("192.0.2.1:8480")), "192.0.2.1:8480");
    }
}
