//! Traefik, with `forwardAuth`, for the file provider.

use super::{REWRITES, Site, host_and_port, lines, place, reachable};
use crate::config::settings::UpstreamScheme;
use crate::control::Failure;

/// A file for the file provider.
pub(super) fn snippet(site: &Site) -> Result<String, Failure> {
    let port = site.port;
    let head = site.head(
        "Traefik",
        &format!(
            "Dynamic configuration for the file provider; the static one needs an entry point \"web\":\n#   traefik \
             --entrypoints.web.address=:{port} --providers.file.filename=sidegate.yml"
        ),
    );
    let (host, prefix) = (&site.host, &site.prefix);
    let endpoint = site.endpoint("traefik");
    let decisions = reachable(&site.decisions);
    let pages = reachable(&site.pages);
    let app = place(&site.app);
    for address in [&decisions, &pages, &app] {
        host_and_port(address, "Traefik")?;
    }
    let scheme = match site.app.scheme {
        UpstreamScheme::Http => "http",
        UpstreamScheme::Https => "https",
        UpstreamScheme::H2c => "h2c",
    };
    let removed = |names: &[String]| lines(names, |name| format!("          {name}: \"\""));
    let mut forged = site.foldings();
    forged.extend(REWRITES.map(str::to_owned));
    let forged = removed(&forged);
    let copied = lines(&site.identity, |name| format!("          - {name}"));
    let (introduce, introduction) = match &site.secret {
        None => (String::new(), String::new()),
        Some(secret) => (
            ", sidegate-introduce".to_owned(),
            format!(
                "    # forwardAuth has no headers of its own, so the request carries the secret up to it.\n    \
                 sidegate-introduce:\n      headers:\n        customRequestHeaders:\n          X-Sidegate-Secret: \"{secret}\"\n"
            ),
        ),
    };
    let mut kept = site.tokens.clone();
    if site.secret.is_some() {
        kept.push("X-Sidegate-Secret".into());
    }
    let keep = if kept.is_empty() { "" } else { ", sidegate-keep" };
    let keeping = if kept.is_empty() {
        String::new()
    } else {
        format!(
            "    # What was for Sidegate.\n    sidegate-keep:\n      headers:\n        customRequestHeaders:\n{}",
            removed(&kept)
        )
    };
    Ok(format!(
        r#"{head}
http:
  routers:
    app:
      rule: Host(`{host}`)
      entryPoints: [web]
      middlewares: [sidegate-forget{introduce}, sidegate{keep}]
      service: app
    # Sidegate's own pages.
    sidegate-pages:
      rule: Host(`{host}`) && PathPrefix(`{prefix}/`)
      entryPoints: [web]
      service: sidegate-pages
    # Nobody but Traefik asks for decisions.
    sidegate-refused:
      rule: Host(`{host}`) && PathPrefix(`{prefix}/auth`)
      entryPoints: [web]
      middlewares: [sidegate-nobody]
      service: noop@internal

  middlewares:
    # What clients may not say: who they are, in spellings that an application takes for the headers
    # below, and which address they ask for.
    sidegate-forget:
      headers:
        customRequestHeaders:
{forged}{introduction}    sidegate:
      forwardAuth:
        address: http://{decisions}{endpoint}
        trustForwardHeader: false
        maxResponseBodySize: 0
        authResponseHeaders:
{copied}{keeping}    sidegate-nobody:
      ipAllowList:
        sourceRange: ["255.255.255.255/32"]

  services:
    app:
      loadBalancer:
        servers:
          - url: {scheme}://{app}
        responseForwarding:
          flushInterval: 1ms
    sidegate-pages:
      loadBalancer:
        servers:
          - url: http://{pages}
"#
    ))
}
