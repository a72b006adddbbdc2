//! nginx, with `auth_request`.

use super::{Topic, joined};

/// What to write, and where.
pub(super) fn change(topic: &Topic<'_>, prefix: &str) -> String {
    let asking = format!("in \"location = {prefix}/auth/nginx\"");
    match topic {
        Topic::Asks => format!("in every location that passes to the application: auth_request {prefix}/auth/nginx;"),
        Topic::Reach => format!("{asking}: proxy_pass http://ADDRESS-OF-SIDEGATE{prefix}/auth/nginx;"),
        Topic::Scheme | Topic::Host | Topic::Path => format!(
            "{asking}: proxy_set_header X-Original-URL $scheme://$http_host$request_uri; proxy_set_header \
             X-Original-Method $request_method; (and where nginx forwards to Sidegate: proxy_set_header Host $http_host; \
             proxy_set_header X-Forwarded-Proto $scheme;)"
        ),
        Topic::Client(name) => format!(
            "{asking}, in \"location ^~ {prefix}/\" and where the application is: proxy_set_header {name} \
             $remote_addr;"
        ),
        Topic::Forged("X-Original-URL" | "X-Original-Method") => format!(
            "{asking}: proxy_set_header X-Original-URL $scheme://$http_host$request_uri; proxy_set_header \
             X-Original-Method $request_method;"
        ),
        Topic::Forged("X-Forwarded-Proto") => {
            format!("in \"location ^~ {prefix}/\" and where the application is: proxy_set_header X-Forwarded-Proto $scheme;")
        }
        Topic::Forged("Connection") => "where the application is: proxy_set_header Connection $sidegate_connection;".into(),
        Topic::Forged(name) => format!("{asking}: proxy_set_header {name} \"\";"),
        Topic::Spelling(_) => "in the server block: underscores_in_headers off; ignore_invalid_headers on;".into(),
        Topic::Identity(names) => {
            let lines = names.iter().map(|name| {
                let variable = name.replace('-', "_");
                format!(
                    "auth_request_set $sidegate_{variable} $upstream_http_{variable}; proxy_set_header {name} \
                     $sidegate_{variable}"
                )
            });
            format!(
                "in every location that passes to the application: {}; and in the server block: underscores_in_headers off;",
                joined(lines)
            )
        }
        Topic::Endpoint => format!("location ^~ {prefix}/auth {{ return 404; }} and {asking}: internal;"),
        Topic::Pages => format!(
            "location ^~ {prefix}/ {{ proxy_pass http://ADDRESS-OF-SIDEGATE; proxy_set_header Host $http_host; \
             proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme; }} without \
             auth_request, before location /"
        ),
        Topic::Login => "where auth_request is: auth_request_set $sidegate_login $upstream_http_x_auth_location; \
                         error_page 401 = @sidegate_challenge; and location @sidegate_challenge { if ($sidegate_login) { \
                         return 302 $sidegate_login; } return 401; }"
            .into(),
        Topic::Challenge => "in \"location @sidegate_challenge\": if ($sidegate_login) { return 302 $sidegate_login; } \
                             return 401;"
            .into(),
        Topic::CookieIn => format!("{asking}: take out the line that sets or clears Cookie"),
        Topic::CookieOut => "where auth_request is: auth_request_set $sidegate_set_cookie $upstream_http_set_cookie; and in \
                             \"location @sidegate_challenge\": add_header Set-Cookie $sidegate_set_cookie always;"
            .into(),
        Topic::AppCookies => format!(
            "{asking}: proxy_pass http://ADDRESS-OF-SIDEGATE{prefix}/auth/nginx?strip; and where the application is: \
             auth_request_set $sidegate_cookie $upstream_http_cookie; proxy_set_header Cookie $sidegate_cookie; without \
             proxy_hide_header and proxy_ignore_headers"
        ),
        Topic::WebSocketAsk => {
            format!("{asking}: proxy_set_header Upgrade $http_upgrade; and no line that clears Sec-WebSocket-Key")
        }
        Topic::WebSocketPass => "where the application is: proxy_http_version 1.1; proxy_set_header Upgrade \
                                 $http_upgrade; proxy_set_header Connection $sidegate_connection;"
            .into(),
        Topic::Preflight => format!("{asking}: proxy_set_header X-Original-Method $request_method; and no \"if ($request_method = OPTIONS)\""),
        Topic::TokenIn(name) => format!("{asking}: take out the line that sets or clears {name}"),
        Topic::Rewrites(name) => format!("where the application is: proxy_set_header {name} \"\";"),
        Topic::Keep(name) => {
            let variable = name.replace('-', "_");
            format!(
                "{asking}: proxy_pass http://ADDRESS-OF-SIDEGATE{prefix}/auth/nginx?strip; and where the application is: \
                 auth_request_set $sidegate_{variable} $upstream_http_{variable}; proxy_set_header {name} \
                 $sidegate_{variable};"
            )
        }
        Topic::AppPath => "where the application is: proxy_pass http://APPLICATION; without a path or a slash behind it".into(),
        Topic::Trusted(_) | Topic::Secret => String::new(),
    }
}
