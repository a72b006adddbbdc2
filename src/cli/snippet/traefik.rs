//! Traefik, with `forwardAuth`: for the file provider, or as labels of containers.

use super::site::{Site, host_and_port, lines, place};
use crate::config::settings::UpstreamScheme;
use crate::control::{Exit, Failure};

/// A file for the file provider.
pub(super) fn file(site: &Site) -> Result<String, Failure> {
    let port = site.port;
    client_is_named(site)?;
    let head = site.head(
        "Traefik",
        &format!(
            "Dynamic configuration for the file provider; the static one needs an entry point \"web\":\n#   traefik \
             --entrypoints.web.address=:{port} --providers.file.filename=sidegate.yml"
        ),
    );
    let (host, prefix) = (&site.host, &site.prefix);
    let endpoint = site.question("traefik");
    let (decisions, pages, app) = (&site.decisions, &site.pages, place(&site.app));
    for address in [decisions, pages, &app] {
        host_and_port(address, "Traefik")?;
    }
    let scheme = scheme(site);
    let removed = |names: &[String]| lines(names, |name| format!("          {name}: \"\""));
    let forged = removed(&site.believed());
    let copied = lines(site.identity.iter().chain(&site.credentials), |name| {
        format!("          - {name}")
    });
    let (introduce, introduction, keep, keeping) = match &site.secret {
        None => ("", String::new(), "", ""),
        Some(secret) => (
            ", sidegate-introduce",
            format!(
                "    # forwardAuth has no headers of its own, so the request carries the secret up to it.\n    \
                 sidegate-introduce:\n      headers:\n        customRequestHeaders:\n          X-Sidegate-Secret: \"{secret}\"\n"
            ),
            ", sidegate-keep",
            "    sidegate-keep:\n      headers:\n        customRequestHeaders:\n          X-Sidegate-Secret: \"\"\n",
        ),
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
    # A WebSocket needs other rights than a GET, and forwardAuth tells one by its key alone.
    sidegate-keyless:
      rule: Host(`{host}`) && {KEYLESS}
      priority: 10000
      entryPoints: [web]
      middlewares: [sidegate-nobody]
      service: noop@internal

  middlewares:
    # What an application might believe of whoever says it.
    sidegate-forget:
      headers:
        customRequestHeaders:
{forged}{introduction}    sidegate:
      forwardAuth:
        address: http://{decisions}{endpoint}
        trustForwardHeader: false
        maxResponseBodySize: 0
        # Who is there, and what is left of the client's own when what was for Sidegate is out.
        authResponseHeaders:
{copied}        # Names that an application may take for others are in no answer, so they go.
        authResponseHeadersRegex: "{STRANGE}"
{keeping}    sidegate-nobody:
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

/// A request for another protocol without the key that every WebSocket of HTTP/1.1 has.
const KEYLESS: &str = "HeaderRegexp(`Upgrade`, `.`) && !HeaderRegexp(`Sec-WebSocket-Key`, `.`)";

/// Applications read `_` and `.` as `-` (CVE-2025-64484, CVE-2026-52845). `forwardAuth` takes what matches out of
/// the request before it copies what matches in the answer.
const STRANGE: &str = "[^A-Za-z0-9-]";

/// Labels in a compose file.
pub(super) fn labels(site: &Site) -> Result<String, Failure> {
    client_is_named(site)?;
    let head = site.head(
        "Traefik",
        "Labels for the containers of the application and of Sidegate, in docker-compose.yml; Traefik itself needs an \
         entry\n# point \"web\" and the Docker provider, with --providers.docker.exposedByDefault=false.",
    );
    let (host, prefix) = (&site.host, &site.prefix);
    let endpoint = site.question("traefik");
    let (decisions, pages, app) = (&site.decisions, &site.pages, place(&site.app));
    host_and_port(decisions, "Traefik")?;
    let (_, pages) = host_and_port(pages, "Traefik")?;
    let (_, app) = host_and_port(&app, "Traefik")?;
    let scheme = scheme(site);
    let copied: Vec<&str> = site
        .identity
        .iter()
        .chain(&site.credentials)
        .map(String::as_str)
        .collect();
    let copied = copied.join(",");
    let header = |middleware: &str, name: &str, value: &str| {
        format!("      - traefik.http.middlewares.{middleware}.headers.customRequestHeaders.{name}={value}")
    };
    let forged = lines(&site.believed(), |name| header("sidegate-forget", name, ""));
    let (introduce, introduction, keep) = match &site.secret {
        None => ("", String::new(), ""),
        Some(secret) => (
            ",sidegate-introduce",
            format!(
                "      # forwardAuth has no headers of its own, so the request carries the secret up to it.\n{}\n{}\n",
                header("sidegate-introduce", "X-Sidegate-Secret", secret),
                header("sidegate-keep", "X-Sidegate-Secret", ""),
            ),
            ",sidegate-keep",
        ),
    };
    Ok(format!(
        r#"{head}
services:
  app:
    labels:
      - traefik.enable=true
      - traefik.http.routers.app.rule=Host(`{host}`)
      - traefik.http.routers.app.entryPoints=web
      - traefik.http.routers.app.middlewares=sidegate-forget{introduce},sidegate{keep}
      - traefik.http.routers.app.service=app
      - traefik.http.services.app.loadBalancer.server.scheme={scheme}
      - traefik.http.services.app.loadBalancer.server.port={app}
      - traefik.http.services.app.loadBalancer.responseForwarding.flushInterval=1ms

  sidegate:
    labels:
      - traefik.enable=true
      # Sidegate's own pages.
      - traefik.http.routers.sidegate-pages.rule=Host(`{host}`) && PathPrefix(`{prefix}/`)
      - traefik.http.routers.sidegate-pages.entryPoints=web
      - traefik.http.routers.sidegate-pages.service=sidegate-pages
      - traefik.http.services.sidegate-pages.loadBalancer.server.port={pages}
      # Nobody but Traefik asks for decisions.
      - traefik.http.routers.sidegate-refused.rule=Host(`{host}`) && PathPrefix(`{prefix}/auth`)
      - traefik.http.routers.sidegate-refused.entryPoints=web
      - traefik.http.routers.sidegate-refused.middlewares=sidegate-nobody
      - traefik.http.routers.sidegate-refused.service=noop@internal
      # A WebSocket needs other rights than a GET, and forwardAuth tells one by its key alone.
      - traefik.http.routers.sidegate-keyless.rule=Host(`{host}`) && {KEYLESS}
      - traefik.http.routers.sidegate-keyless.priority=10000
      - traefik.http.routers.sidegate-keyless.entryPoints=web
      - traefik.http.routers.sidegate-keyless.middlewares=sidegate-nobody
      - traefik.http.routers.sidegate-keyless.service=noop@internal
      - traefik.http.middlewares.sidegate-nobody.ipAllowList.sourceRange=255.255.255.255/32
      - traefik.http.middlewares.sidegate.forwardAuth.address=http://{decisions}{endpoint}
      - traefik.http.middlewares.sidegate.forwardAuth.trustForwardHeader=false
      - traefik.http.middlewares.sidegate.forwardAuth.maxResponseBodySize=0
      # Who is there, and what is left of the client's own when what was for Sidegate is out.
      - traefik.http.middlewares.sidegate.forwardAuth.authResponseHeaders={copied}
      # Names that an application may take for others are in no answer, so they go.
      - traefik.http.middlewares.sidegate.forwardAuth.authResponseHeadersRegex={STRANGE}
{introduction}      # What an application might believe of whoever says it.
{forged}"#
    ))
}

fn scheme(site: &Site) -> &'static str {
    match site.app.scheme {
        UpstreamScheme::Http => "http",
        UpstreamScheme::Https => "https",
        UpstreamScheme::H2c => "h2c",
    }
}

/// No middleware writes the address of a client, and `forwardAuth` sends the `X-Real-Ip` of Traefik itself only where
/// it is to believe `X-Forwarded-Host` and the like as well.
fn client_is_named(site: &Site) -> Result<(), Failure> {
    let Some(name) = &site.client_header else {
        return Ok(());
    };
    Err(Failure::new(
        Exit::Config,
        format!(
            "server.client_ip_header = \"{name}\" cannot be used with Traefik, which tells Sidegate the address of a client \
             in X-Forwarded-For alone; take client_ip_header out of [server]"
        ),
    ))
}
