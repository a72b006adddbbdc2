//! The parts of the file that are names of headers, and of other servers. See `file.rs`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `identity_headers`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum IdentityHeaders {
    Preset(Preset),
    Table(IdentityTable),
}

/// `identity_headers`, as a preset
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Preset {
    /// `Remote-User`, `Remote-Groups`, `Remote-Name`, `Remote-Email`.
    Remote,
    /// `X-Forwarded-User`, `-Groups`, `-Preferred-Username`, `-Email`.
    Oauth2Proxy,
    /// `X-authentik-username`, `-groups` (separated by `|`), `-name`, `-email`.
    Authentik,
    /// `X-WEBAUTH-USER`.
    Grafana,
}

/// `identity_headers`, as a table. What is not named is not told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct IdentityTable {
    /// The header for the account name.
    #[schemars(extend("x-kind" = "header name", "examples" = ["Remote-User"]))]
    pub(super) user: Option<String>,
    /// The header for the groups, then the role, separated by commas.
    #[schemars(extend("x-kind" = "header name", "examples" = ["Remote-Groups"]))]
    pub(super) groups: Option<String>,
    /// The header for the name for people.
    #[schemars(extend("x-kind" = "header name", "examples" = ["Remote-Name"]))]
    pub(super) name: Option<String>,
    /// The header for the e-mail address.
    #[schemars(extend("x-kind" = "header name", "examples" = ["Remote-Email"]))]
    pub(super) email: Option<String>,
    /// The header for the scope of the token.
    #[schemars(extend("x-kind" = "header name", "examples" = ["Remote-Scope"]))]
    pub(super) scope: Option<String>,
}

/// `[compat]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Compat {
    /// Servers whose decision endpoints are answered too, so that a gateway changes one address: `"oauth2-proxy"` (`/oauth2/auth`), `"authelia"` (`/api/authz/auth-request`, `/api/authz/forward-auth`, `/api/authz/ext-authz`, `/api/verify`), `"authentik"` (`/outpost.goauthentik.io/auth/nginx`, `/traefik`, `/caddy`, `/envoy`), `"tinyauth"` (`/api/auth/nginx`, `/traefik`, `/caddy`, `/envoy`), `"vouch"` (`/validate`). The answers there have the identity headers of that server, whatever the route says.
    #[schemars(extend("x-kind" = "name"))]
    pub(super) aliases: Vec<Alias>,
}

/// One of `compat.aliases`
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Alias {
    /// `X-Auth-Request-User`, `-Groups`, `-Preferred-Username`, `-Email`.
    Oauth2Proxy,
    /// `Remote-User`, `Remote-Groups`, `Remote-Name`, `Remote-Email`.
    Authelia,
    /// `X-authentik-username`, `-groups`, `-name`, `-email`.
    Authentik,
    /// `Remote-User`, `Remote-Groups`, `Remote-Name`, `Remote-Email`.
    Tinyauth,
    /// `X-Vouch-User`.
    Vouch,
}
