//! What can be wrong with Caddy.

use super::Case;

pub(super) const CASES: &[Case] = &[
    (
        &[(
            "\t\t\tforward_auth ",
            "\t\t\t@never path /never\n\t\t\tforward_auth @never ",
        )],
        "asked",
        &["forward_auth", "uri /_sidegate/auth/caddy"],
    ),
    (
        &[
            (
                "\t\t\t\turi /_sidegate",
                "\t\t\t\ttrusted_proxies 0.0.0.0/0\n\t\t\t\turi /_sidegate",
            ),
            ("\t\t\trequest_header -X-Forwarded-*\n", ""),
        ],
        "forged-client",
        &["trusted_proxies"],
    ),
    (
        &[
            (
                "\t\t\t\turi /_sidegate",
                "\t\t\t\ttrusted_proxies 0.0.0.0/0\n\t\t\t\turi /_sidegate",
            ),
            ("\t\t\trequest_header -X-Forwarded-*\n", ""),
        ],
        "forged-address",
        &["trusted_proxies"],
    ),
    (
        &[(
            "@sidegate_refused path /_sidegate/auth /_sidegate/auth/*",
            "@sidegate_refused path /never",
        )],
        "endpoint",
        &["@sidegate_refused path /_sidegate/auth /_sidegate/auth/*"],
    ),
    (
        &[("handle /_sidegate/* {", "handle /_elsewhere/* {")],
        "login",
        &["handle /_sidegate/*"],
    ),
    (
        &[("\t\t\t\turi ", "\t\t\t\theader_up -Cookie\n\t\t\t\turi ")],
        "cookies",
        &["header_up -Cookie"],
    ),
    (
        &[(
            "\t\t\t\turi ",
            "\t\t\t\theader_up -Sec-WebSocket-Key\n\t\t\t\theader_up -Upgrade\n\t\t\t\turi ",
        )],
        "websocket",
        &["header_up -Sec-WebSocket-Key"],
    ),
    (
        &[("\t\t\t\turi ", "\t\t\t\theader_up -Origin\n\t\t\t\turi ")],
        "preflight",
        &["Origin"],
    ),
    (
        &[("\t\t\t\turi ", "\t\t\t\theader_up -Authorization\n\t\t\t\turi ")],
        "token",
        &["Authorization"],
    ),
    (
        &[("\t\t\t\turi ", "\t\t\t\theader_down -Set-Cookie\n\t\t\t\turi ")],
        "set-cookie",
        &["header_down"],
    ),
    (
        &[("\t\t\t\turi ", "\t\t\t\theader_down -Location\n\t\t\t\turi ")],
        "browser",
        &["header_down"],
    ),
    (
        &[(
            "\t\t\tforward_auth ",
            "\t\t\trewrite * /x{uri}\n\t\t\tforward_auth ",
        )],
        "address",
        &["rewrite"],
    ),
    (
        &[
            ("copy_headers Remote-User ", "copy_headers "),
            ("\t\t\trequest_header -Remote-*\n", ""),
        ],
        "app-identity",
        &["copy_headers remote-user"],
    ),
    (
        &[("\t\t\trequest_header @no_upgrade -Connection\n", "")],
        "app-identity",
        &["request_header -Connection"],
    ),
    (
        &[("\t\t\trequest_header -X-Original-*\n", "")],
        "app-address",
        &["request_header -X-Original-URL"],
    ),
    (&[("?strip", "")], "app-cookies", &["/_sidegate/auth/caddy?strip"]),
    (
        &[("copy_headers X-Openhab-Token ", "copy_headers ")],
        "app-credentials",
        &["copy_headers x-openhab-token"],
    ),
    (
        &[(
            "\t\t\treverse_proxy 127",
            "\t\t\trewrite * /x{uri}\n\t\t\treverse_proxy 127",
        )],
        "app-path",
        &["rewrite"],
    ),
    (
        &[(
            "\t\t\t\tflush_interval -1\n",
            "\t\t\t\tflush_interval -1\n\t\t\t\theader_up -Upgrade\n",
        )],
        "app-websocket",
        &["-Upgrade"],
    ),
];
