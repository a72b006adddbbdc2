//! `snippet`: a whole configuration for a gateway, that works with the settings as they are.

mod caddy;
mod envoy;
mod haproxy;
mod names;
mod nginx;
mod site;
mod traefik;

use clap::{Args, ValueEnum};

use super::io::Io;
use super::reach::Reach;
use crate::control::Failure;
use site::Site;

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
    /// The name or address by which the gateway reaches Sidegate, if it is on another machine or in
    /// another container; the ports are those of server.listen and server.decision_listen
    #[arg(long, value_name = "HOST")]
    sidegate: Option<String>,
    /// Where the configuration goes
    #[arg(long, value_enum, value_name = "FORM", default_value_t = Form::File)]
    form: Form,
    /// The Lua file that the configuration of HAProxy loads, instead of the configuration
    #[arg(long)]
    lua: bool,
}

/// A gateway that there is a snippet for.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gateway {
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

/// Where a configuration goes.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A file of the gateway
    File,
    /// Labels of containers, for Traefik
    Labels,
    /// The field "Advanced" of a proxy host in Nginx Proxy Manager
    Npm,
}

/// Prints the configuration.
///
/// # Errors
/// The settings, a host or URL that is none, or addresses that the gateway cannot reach.
pub(super) fn run(snippet: &Snippet, reach: &Reach<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    match (snippet.form, snippet.gateway) {
        (Form::File, _) | (Form::Labels, Gateway::Traefik) | (Form::Npm, Gateway::Nginx) => {}
        (Form::Labels, _) => return Err(Failure::usage("only Traefik reads labels of containers")),
        (Form::Npm, _) => return Err(Failure::usage("Nginx Proxy Manager is a form of nginx")),
    }
    if snippet.lua {
        return match snippet.gateway {
            Gateway::Haproxy => io.put(haproxy::LUA.as_bytes()),
            _ => Err(Failure::usage("only HAProxy loads a Lua file")),
        };
    }
    let settings = reach.settings()?;
    let site = Site::of(&settings, snippet)?;
    let text = match (snippet.gateway, snippet.form) {
        (Gateway::Nginx, Form::Npm) => nginx::npm(&site),
        (Gateway::Nginx, _) => nginx::file(&site),
        (Gateway::Traefik, Form::Labels) => traefik::labels(&site)?,
        (Gateway::Traefik, _) => traefik::file(&site)?,
        (Gateway::Caddy, _) => caddy::snippet(&site),
        (Gateway::Envoy, _) => envoy::snippet(&site)?,
        (Gateway::Haproxy, _) => haproxy::snippet(&site),
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
