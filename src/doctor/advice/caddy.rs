//! Caddy, with `forward_auth`.

use super::super::visit::CHAIN;
use super::{Topic, joined, others, spellings};

/// What to write, and where.
pub(super) fn change(topic: &Topic<'_>, prefix: &str) -> String {
    let question = "in forward_auth";
    match topic {
        Topic::Asks => format!(
            "before reverse_proxy, both in one route block: forward_auth ADDRESS-OF-SIDEGATE {{ uri {prefix}/auth/caddy }}"
        ),
        Topic::Reach => format!("forward_auth ADDRESS-OF-SIDEGATE {{ uri {prefix}/auth/caddy }}"),
        Topic::Scheme | Topic::Host | Topic::Path => format!(
            "{question}: take out every \"header_up X-Forwarded-\" line, which it sends by itself; and before it no rewrite, \
             uri or handle_path"
        ),
        Topic::Client(name) if *name != CHAIN => format!(
            "before forward_auth: request_header {name} {{client_ip}} and in \"handle {prefix}/*\": reverse_proxy \
             ADDRESS-OF-SIDEGATE {{ header_up {name} {{client_ip}} }}"
        ),
        Topic::Client(_) => format!(
            "{question}: take out \"header_up X-Forwarded-For\"; in the global options no \"trusted_proxies\" but for \
             proxies in front"
        ),
        Topic::Forged("Connection") => {
            "before forward_auth: request_header -Connection (and for WebSockets: @upgrade \
             header Connection *pgrade* with request_header @upgrade Connection Upgrade)"
                .into()
        }
        Topic::Forged(name) if name.starts_with("X-Forwarded-") => format!(
            "{question}: take out \"header_up {name}\"; in the global options no \"trusted_proxies\" but for proxies in front"
        ),
        Topic::Forged(name) | Topic::Rewrites(name) => format!("before forward_auth: request_header -{name}"),
        Topic::Spelling(name) => format!(
            "before forward_auth: {}",
            joined(
                others(name)
                    .into_iter()
                    .map(|name| format!("request_header -{name}"))
            )
        ),
        Topic::Identity(names) => format!(
            "{question}: copy_headers {} and before it: {}",
            names.join(" "),
            joined(
                names
                    .iter()
                    .flat_map(|name| spellings(name))
                    .map(|name| format!("request_header -{name}"))
            )
        ),
        Topic::Endpoint => format!(
            "@sidegate_refused path {prefix}/auth {prefix}/auth/* and handle @sidegate_refused {{ respond 404 }}"
        ),
        Topic::Pages => {
            format!("handle {prefix}/* {{ reverse_proxy ADDRESS-OF-SIDEGATE }}, without forward_auth")
        }
        Topic::Login | Topic::Challenge | Topic::CookieOut => format!(
            "{question}: take out handle_response and intercept blocks and \"header_down\" lines: it passes refusals on as \
             they are"
        ),
        Topic::CookieIn => format!("{question}: take out \"header_up -Cookie\""),
        Topic::WebSocketAsk => {
            format!("{question}: take out \"header_up -Sec-WebSocket-Key\" and \"header_up -Upgrade\"")
        }
        Topic::Preflight => {
            "before forward_auth: take out what answers OPTIONS, and request_header lines for Origin and \
                             Access-Control-Request-Method"
                .into()
        }
        Topic::TokenIn(name) => format!("before and {question}: take out the lines that remove {name}"),
        Topic::AppCookies => format!(
            "{question}: uri {prefix}/auth/caddy?strip and copy_headers Cookie; in reverse_proxy no header_up or header_down \
             for Cookie and Set-Cookie"
        ),
        Topic::WebSocketPass => {
            "before reverse_proxy: @upgrade header Connection *pgrade* with request_header @upgrade \
                                 Connection Upgrade; take out \"-Connection\" and \"-Upgrade\" for it"
                .into()
        }
        Topic::Keep(name) => {
            format!("{question}: uri {prefix}/auth/caddy?strip and copy_headers {name}")
        }
        Topic::AppPath => "before reverse_proxy: take out rewrite, uri and handle_path".into(),
        Topic::Trusted(_) | Topic::Secret => String::new(),
    }
}
