//! What concerns decision endpoints only: their secret, their names at other servers, and the
//! headers of their answers.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::error::Wrong;
use super::file;
use super::resolve::Resolver;
use super::secret;
use super::settings::{
    Access, Alias, Csrf, DecisionSecret, HostHeader, IdentityHeaders, Route, Settings, WebSocket,
};
use super::tree::element;
use crate::crypto::Secret;

/// Fewer characters can be guessed by asking.
const SHORT: usize = 16;

/// `server.decision_secret_file`
pub(super) fn secret(resolver: &mut Resolver<'_>, text: &str) -> Option<DecisionSecret> {
    let key = "server.decision_secret_file";
    if text.is_empty() {
        return None;
    }
    let file = resolver.given_file(key, text);
    let read = secret::read(&file).and_then(|secret| {
        // What is no header value could never be sent. Spaces around a value are cut off on the way.
        let plain = HeaderValue::from_str(&secret).is_ok_and(|value| value.to_str().is_ok());
        if plain && secret.trim() == secret {
            Ok(secret)
        } else {
            Err(Wrong::new("holds what no header can carry").hint("write one line of letters and digits"))
        }
    });
    match read {
        Ok(secret) => {
            if secret.len() < SHORT {
                resolver.warn(
                    key,
                    format_args!("= \"{text}\" holds fewer than {SHORT} characters"),
                );
            }
            Some(DecisionSecret {
                file,
                secret: Secret::new(secret),
            })
        }
        Err(wrong) => {
            resolver.wrong(key, Some(text), wrong);
            None
        }
    }
}

/// `compat.aliases`
pub(super) fn aliases(resolver: &mut Resolver<'_>, written: &[file::Alias]) -> Vec<Alias> {
    let mut aliases = Vec::with_capacity(written.len());
    for (index, alias) in written.iter().enumerate() {
        let alias = match alias {
            file::Alias::Oauth2Proxy => Alias::Oauth2Proxy,
            file::Alias::Authelia => Alias::Authelia,
            file::Alias::Authentik => Alias::Authentik,
            file::Alias::Tinyauth => Alias::Tinyauth,
            file::Alias::Vouch => Alias::Vouch,
        };
        if aliases.contains(&alias) {
            let wrong = Wrong::new("is in the list twice").hint("leave one of them out");
            resolver.wrong(&element("compat.aliases", index), Some(&alias.to_string()), wrong);
        }
        aliases.push(alias);
    }
    aliases
}

/// Settings of decision endpoints that nobody could use.
pub(super) fn compare(resolver: &mut Resolver<'_>, settings: &Settings) {
    let server = &settings.server;
    if !server.trusted_proxies.is_empty() || server.trust_unix {
        return;
    }
    for (key, is_set) in [
        ("server.decision_listen", !server.decision_listen.is_empty()),
        ("server.decision_secret_file", server.decision_secret.is_some()),
        ("compat.aliases", !settings.aliases.is_empty()),
    ] {
        if is_set {
            resolver.warn(
                key,
                "is of no use: nobody may ask for decisions, because server.trusted_proxies is empty",
            );
        }
    }
}

impl std::fmt::Display for Alias {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Alias::Oauth2Proxy => "oauth2-proxy",
            Alias::Authelia => "authelia",
            Alias::Authentik => "authentik",
            Alias::Tinyauth => "tinyauth",
            Alias::Vouch => "vouch",
        })
    }
}

impl Alias {
    /// The identity headers that a gateway made for that server takes out of its answers.
    pub fn identity_headers(self) -> IdentityHeaders {
        match self {
            Alias::Oauth2Proxy => IdentityHeaders::oauth2_proxy_answer(),
            Alias::Authelia | Alias::Tinyauth => IdentityHeaders::remote(),
            Alias::Authentik => IdentityHeaders::preset(file::Preset::Authentik),
            Alias::Vouch => IdentityHeaders {
                user: Some(HeaderName::from_static("x-vouch-user")),
                groups: None,
                name: None,
                email: None,
                scope: None,
                separator: ',',
            },
        }
    }
}

impl IdentityHeaders {
    /// The names in the answers of decision endpoints: those of the route, but for the preset
    /// `oauth2-proxy`, which has others there (`X-Auth-Request-*`).
    pub fn in_decisions(&self) -> Self {
        if *self == Self::preset(file::Preset::Oauth2Proxy) {
            Self::oauth2_proxy_answer()
        } else {
            self.clone()
        }
    }

    fn oauth2_proxy_answer() -> Self {
        let header = |name| Some(HeaderName::from_static(name));
        Self {
            user: header("x-auth-request-user"),
            groups: header("x-auth-request-groups"),
            name: header("x-auth-request-preferred-username"),
            email: header("x-auth-request-email"),
            scope: None,
            separator: ',',
        }
    }
}

impl Route {
    /// "Without any `[[route]]` the decision endpoints use `access = "user"`" (product contract,
    /// section 8).
    pub fn for_decisions() -> Self {
        Self {
            name: "*/".into(),
            host: None,
            path: "/".into(),
            upstream: Vec::new(),
            ca_file: None,
            server_name: None,
            access: Access::User,
            identity_headers: Arc::new(IdentityHeaders::remote()),
            pass_credentials: false,
            query_token: false,
            host_header: HostHeader::Preserve,
            strip_prefix: false,
            health: None,
            preflight_pass: false,
            websocket: WebSocket::Write,
            csrf: Csrf::Enforce,
            encoded_slash: false,
            path_params: false,
        }
    }
}
