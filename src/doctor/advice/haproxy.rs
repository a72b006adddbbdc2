//! HAProxy, which asks from Lua.

use super::{Topic, joined, pattern};

/// What to write, and where.
pub(super) fn change(topic: &Topic<'_>, prefix: &str) -> String {
    let deleted =
        |name: &str| format!("in the frontend, before lua.sidegate: http-request del-header {name}");
    match topic {
        Topic::Asks => "in the frontend: http-request lua.sidegate unless sidegate_pages".into(),
        Topic::Reach => format!(
            "in the frontend: http-request set-var-fmt(txn.sidegate_url) \
             http://ADDRESS-OF-SIDEGATE{prefix}/auth/haproxy?strip and http-request lua.sidegate unless sidegate_pages"
        ),
        Topic::Scheme | Topic::Host | Topic::Path => "in sidegate.lua: headers[\"x-original-url\"] = { scheme .. \"://\" .. \
             host .. txn.f:pathq() }; in the frontend no set-path, replace-path, normalize-uri or set-header Host before \
             lua.sidegate, and http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]"
            .into(),
        Topic::Client(name) => {
            format!("in the frontend, before lua.sidegate: http-request set-header {name} %[src]")
        }
        Topic::Forged("Connection") => "in the frontend: http-request del-header connection unless { req.hdr(upgrade) -m \
             found } and http-request set-header connection upgrade if { req.hdr(upgrade) -m found }"
            .into(),
        Topic::Forged("X-Forwarded-Proto") => {
            "in the frontend: http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]".into()
        }
        Topic::Forged(name @ ("X-Original-URL" | "X-Original-Method")) => {
            format!("{}, and in sidegate.lua, kept_here: [\"{}\"] = true", deleted(name), name.to_ascii_lowercase())
        }
        Topic::Forged(name) | Topic::Rewrites(name) => deleted(name),
        Topic::Spelling(name) => deleted(&pattern(name)),
        Topic::Identity(names) => format!(
            "in the frontend, before lua.sidegate: {}; http-request set-var-fmt(txn.sidegate_headers) {}",
            joined(names.iter().map(|name| format!("http-request del-header {}", pattern(name)))),
            names.join(",")
        ),
        Topic::Endpoint => format!("in the frontend, first: http-request deny deny_status 404 if {{ path_beg {prefix}/auth }}"),
        Topic::Pages => format!(
            "in the frontend: acl sidegate_pages path_beg {prefix}/ with use_backend sidegate_pages if sidegate_pages and \
             http-request lua.sidegate unless sidegate_pages"
        ),
        Topic::Login => "in sidegate.lua: elseif status == 401 and headers[\"x-auth-location\"] then refuse(txn, 302, headers)".into(),
        Topic::Challenge => "in sidegate.lua: passed_on = { \"www-authenticate\", ... } and elseif status == 401 or status \
                             == 403 then refuse(txn, status, headers)"
            .into(),
        Topic::CookieOut => "in sidegate.lua: passed_on = { \"www-authenticate\", \"retry-after\", \"x-request-id\", \
                             \"x-auth-error\", \"set-cookie\" }"
            .into(),
        Topic::CookieIn => "in the frontend, before lua.sidegate: no \"del-header Cookie\"; in sidegate.lua, kept_here: no \
                            \"cookie\""
            .into(),
        Topic::WebSocketAsk => "in sidegate.lua, kept_here: no \"sec-websocket-key\"; and in question: if \
                                txn.f:req_fhdr(\"upgrade\") and not headers[\"sec-websocket-key\"] then \
                                headers[\"sec-websocket-key\"] = { \"none\" } end"
            .into(),
        Topic::Preflight => "in the frontend, before lua.sidegate: nothing that answers OPTIONS; in sidegate.lua, kept_here: \
                             no \"origin\" and no \"access-control-request-method\""
            .into(),
        Topic::TokenIn(name) => {
            format!("in the frontend, before lua.sidegate: no \"del-header {name}\", but in the backend of the application")
        }
        Topic::AppCookies => format!(
            "in the frontend: http-request set-var-fmt(txn.sidegate_url) \
             http://ADDRESS-OF-SIDEGATE{prefix}/auth/haproxy?strip and Cookie in txn.sidegate_credentials; in the backend of \
             the application no line that changes Cookie or Set-Cookie"
        ),
        Topic::WebSocketPass => "in the frontend: http-request set-header connection upgrade if { req.hdr(upgrade) -m found \
                                 }; no del-header Upgrade"
            .into(),
        Topic::Keep(name) => format!(
            "in the frontend, before lua.sidegate: http-request set-var-fmt(txn.sidegate_url) \
             http://ADDRESS-OF-SIDEGATE{prefix}/auth/haproxy?strip and http-request set-var-fmt(txn.sidegate_credentials) \
             {name},..."
        ),
        Topic::AppPath => "in the backend of the application: no set-path, replace-path or normalize-uri".into(),
        Topic::Trusted(_) | Topic::Secret => String::new(),
    }
}
