//! The line to change, in the language of each gateway. They are those of `sidegate snippet`, which has
//! them in their places.

mod caddy;
mod envoy;
mod haproxy;
mod nginx;
mod traefik;

use serde::Serialize;

/// A gateway whose configuration is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gateway {
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

impl Gateway {
    const ALL: [Gateway; 5] = [
        Gateway::Nginx,
        Gateway::Traefik,
        Gateway::Caddy,
        Gateway::Envoy,
        Gateway::Haproxy,
    ];

    /// By the road of its questions.
    pub(super) fn of_road(road: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|gateway| gateway.name() == road)
    }

    /// By the `Server` header of its answers; Traefik and HAProxy have none.
    pub(super) fn of_server(server: &str) -> Option<Self> {
        let server = server.to_ascii_lowercase();
        [
            ("nginx", Gateway::Nginx),
            ("openresty", Gateway::Nginx),
            ("caddy", Gateway::Caddy),
            ("envoy", Gateway::Envoy),
        ]
        .into_iter()
        .find_map(|(word, gateway)| server.contains(word).then_some(gateway))
    }

    /// As in `sidegate snippet`.
    pub const fn name(self) -> &'static str {
        match self {
            Gateway::Nginx => "nginx",
            Gateway::Traefik => "traefik",
            Gateway::Caddy => "caddy",
            Gateway::Envoy => "envoy",
            Gateway::Haproxy => "haproxy",
        }
    }
}

/// What is to be changed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Topic<'t> {
    /// The gateway does not ask.
    Asks,
    /// It does not reach Sidegate.
    Reach,
    /// It may not ask; its address.
    Trusted(&'t str),
    /// It does not know the secret.
    Secret,
    /// Another scheme is judged.
    Scheme,
    /// Another host is judged.
    Host,
    /// Another path, query or method is judged.
    Path,
    /// Whose request it is; the header that says so.
    Client(&'t str),
    /// A client's own header is believed.
    Forged(&'t str),
    /// An identity header in another spelling passes.
    Spelling(&'t str),
    /// Identity headers for the application.
    Identity(&'t [String]),
    /// The decision endpoint is relayed.
    Endpoint,
    /// Our own pages are not.
    Pages,
    /// Browsers are not sent to log in.
    Login,
    /// Programs do not get their 401.
    Challenge,
    /// Cookies do not arrive.
    CookieIn,
    /// Cookies of ours do not reach the browser.
    CookieOut,
    /// Cookies between application and browser.
    AppCookies,
    /// A question about a WebSocket does not say so.
    WebSocketAsk,
    /// An allowed WebSocket does not open.
    WebSocketPass,
    /// A preflight is not known as one.
    Preflight,
    /// A credential does not arrive; its header.
    TokenIn(&'t str),
    /// A header that tells another address reaches the application.
    Rewrites(&'t str),
    /// The application is asked for another path.
    AppPath,
    /// A credential reaches the application; its header.
    Keep(&'t str),
}

/// What to write, and where.
pub(super) fn change(gateway: Option<Gateway>, topic: &Topic<'_>, prefix: &str) -> String {
    match topic {
        Topic::Trusted(peer) => {
            let entry = match *peer {
                "unix" => "unix".to_owned(),
                peer if peer.contains(':') => format!("{peer}/128"),
                peer => format!("{peer}/32"),
            };
            return format!("in sidegate.toml, [server]: trusted_proxies = [\"{entry}\"]");
        }
        Topic::Secret => {
            return "let the gateway send the content of server.decision_secret_file as X-Sidegate-Secret, as \
                    \"sidegate snippet\" writes it"
                .to_owned();
        }
        _ => {}
    }
    let line = |gateway| match gateway {
        Gateway::Nginx => nginx::change(topic, prefix),
        Gateway::Traefik => traefik::change(topic, prefix),
        Gateway::Caddy => caddy::change(topic, prefix),
        Gateway::Envoy => envoy::change(topic, prefix),
        Gateway::Haproxy => haproxy::change(topic, prefix),
    };
    match gateway {
        Some(gateway) => line(gateway),
        None => {
            let lines = Gateway::ALL.map(|gateway| format!("{}: {}", gateway.name(), line(gateway)));
            lines.join("\n")
        }
    }
}

/// What matches every spelling.
fn pattern(name: &str) -> String {
    format!("^{}$ -m reg", name.replace('-', "[-_.]"))
}

/// The spellings with `_` and `.`.
fn others(name: &str) -> Vec<String> {
    spellings(name).split_off(1)
}

fn spellings(name: &str) -> Vec<String> {
    super::forged::spellings(name).into()
}

fn joined(lines: impl IntoIterator<Item = String>) -> String {
    lines.into_iter().collect::<Vec<_>>().join("; ")
}
