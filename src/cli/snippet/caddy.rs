//! Caddy, with `forward_auth`.

use super::{REWRITES, Site, lines, place, reachable};
use crate::config::settings::UpstreamScheme;

/// A Caddyfile, or a part of one.
pub(super) fn snippet(site: &Site) -> String {
    let head = site.head("Caddy", "A Caddyfile, or a part of one.");
    let (host, prefix) = (&site.host, &site.prefix);
    // Caddy gets a certificate by itself for a name without scheme and port.
    let address = match site.port {
        80 => host.clone(),
        port => format!("http://{host}:{port}"),
    };
    let endpoint = site.endpoint("caddy");
    let socket = |place: String| place.replace("unix:", "unix/");
    let (decisions, pages) = (socket(reachable(&site.decisions)), socket(reachable(&site.pages)));
    let app = match site.app.scheme {
        UpstreamScheme::Http => socket(place(&site.app)),
        UpstreamScheme::Https => format!("https://{}", place(&site.app)),
        UpstreamScheme::H2c => format!("h2c://{}", place(&site.app)),
    };
    let mut forged = site.identity.clone();
    forged.extend(site.foldings());
    forged.extend(REWRITES.map(str::to_owned));
    let forged = lines(&forged, |name| format!("\t\t\trequest_header -{name}"));
    let copied = site.identity.join(" ");
    let kept = lines(&site.tokens, |name| format!("\t\t\t\theader_up -{name}"));
    let secret = site.secret.as_ref().map_or_else(String::new, |secret| {
        format!("\t\t\t\theader_up X-Sidegate-Secret \"{secret}\"\n")
    });
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
		reverse_proxy {pages}
	}}

	handle {{
		route {{
			# What clients may not say: who they are, in any spelling that an application takes for the
			# headers below, and which address they ask for.
{forged}			# A header that Connection names would be taken away after it was set.
			@upgrade header Connection *pgrade*
			request_header @upgrade Connection Upgrade
			@no_upgrade not header Connection *pgrade*
			request_header @no_upgrade -Connection

			forward_auth {decisions} {{
				uri {endpoint}
				copy_headers {copied}
{secret}			}}
			reverse_proxy {app} {{
				flush_interval -1
				# What was for Sidegate.
{kept}			}}
		}}
	}}
}}
"
    )
}
