//! Caddy, with `forward_auth`.

use super::site::{Removed, Site, lines, place};
use crate::config::settings::UpstreamScheme;

/// What a name may have besides letters, digits and `-` (RFC 9110, section 5.6.2). Applications read `_` and `.`
/// as `-` (CVE-2025-64484, CVE-2026-52845), and old CGI every other one.
const STRANGE: &str = "_.!#$%&'*+^`|~";

/// A Caddyfile, or a part of one.
pub(super) fn snippet(site: &Site) -> String {
    let head = site.head("Caddy", "A Caddyfile, or a part of one.");
    let (host, prefix) = (&site.host, &site.prefix);
    // Caddy gets a certificate by itself for a name without scheme and port.
    let address = match site.port {
        80 => host.clone(),
        port => format!("http://{host}:{port}"),
    };
    let question = site.question("caddy");
    let socket = |place: &str| place.replace("unix:", "unix/");
    let (decisions, pages) = (socket(&site.decisions), socket(&site.pages));
    let app = match site.app.scheme {
        UpstreamScheme::Http => socket(&place(&site.app)),
        UpstreamScheme::Https => format!("https://{}", place(&site.app)),
        UpstreamScheme::H2c => format!("h2c://{}", place(&site.app)),
    };
    let removed = |name: &str| format!("\t\t\trequest_header -{name}");
    let mut forged: Vec<String> = STRANGE.chars().map(|letter| format!("*{letter}*")).collect();
    forged.extend(site.removed().into_iter().map(|removed| match removed {
        Removed::Name(name) => name,
        Removed::Beginning(beginning) => format!("{beginning}*"),
    }));
    let forged = lines(&forged, removed);
    let (own_pages, client) = client(site);
    let secret = site.secret.as_ref().map_or_else(String::new, |secret| {
        format!("\t\t\t\theader_up X-Sidegate-Secret \"{secret}\"\n")
    });
    let (identity, credentials) = (site.identity.join(" "), site.credentials.join(" "));
    format!(
        "{head}
{address} {{
	# Nobody but Caddy asks for decisions.
	@sidegate_refused path {prefix}/auth {prefix}/auth/*
	handle @sidegate_refused {{
		respond 404
	}}

	# Sidegate's own pages.
	handle {prefix}/* {{
		reverse_proxy {pages}{own_pages}
	}}

	handle {{
		route {{
			# What an application might believe of whoever says it, and names that it may take for others.
			# Behind another proxy take X-Forwarded-For, -Proto and -Host out of this, and see trusted_proxies.
{forged}{client}			# A header that Connection names would be taken away after it was set.
			@upgrade header Connection *pgrade*
			request_header @upgrade Connection Upgrade
			@no_upgrade not header Connection *pgrade*
			request_header @no_upgrade -Connection

			forward_auth {decisions} {{
				uri {question}
				# Who is there.
				copy_headers {identity}
				# What is left of the client's own when what was for Sidegate is out.
				copy_headers {credentials}
{secret}				# Without an answer nobody passes.
				transport http {{
					dial_timeout 5s
					response_header_timeout 10s
				}}
			}}
			reverse_proxy {app} {{
				flush_interval -1
			}}
		}}
	}}
}}
"
    )
}

/// What tells Sidegate whose request it is, where that is not `X-Forwarded-For`: for its own pages, and for all else.
/// For the pages `Connection` stays as the client sent it, and takes nothing away that `header_up` sets.
fn client(site: &Site) -> (String, String) {
    let Some(name) = &site.client_header else {
        return Default::default();
    };
    (
        format!(" {{\n\t\t\theader_up {name} {{client_ip}}\n\t\t}}"),
        format!(
            "\t\t\t# Where server.client_ip_header looks: the address of Caddy's own client, whatever that says of itself.\n\
             \t\t\t# Behind a CDN write in the global options:\n\
             \t\t\t#   servers {{\n\
             \t\t\t#     trusted_proxies static NETWORKS-OF-THE-CDN\n\
             \t\t\t#     client_ip_headers {name}\n\
             \t\t\t#   }}\n\
             \t\t\trequest_header {name} {{client_ip}}\n"
        ),
    )
}
