//! What can be wrong with HAProxy.

use super::Case;

pub(super) const CASES: &[Case] = &[
    (
        &[
            ("    http-request lua.sidegate unless sidegate_pages\n", ""),
            (
                "    http-request deny deny_status 503 unless sidegate_pages or { var(txn.sidegate_allowed) -m bool }\n",
                "",
            ),
        ],
        "asked",
        &["http-request lua.sidegate unless sidegate_pages"],
    ),
    (
        &[("    http-request lua.sidegate unless sidegate_pages\n", "")],
        "asked",
        &["http-request lua.sidegate unless sidegate_pages"],
    ),
    (
        &[
            ("    http-request set-header X-Forwarded-For %[src]\n", ""),
            ("    http-request del-header x-forwarded- -m beg\n", ""),
        ],
        "forged-client",
        &["http-request set-header X-Forwarded-For %[src]"],
    ),
    (
        &[("    http-request set-header X-Forwarded-For %[src]\n", "")],
        "client",
        &["http-request set-header X-Forwarded-For %[src]"],
    ),
    (
        &[("    http-request deny deny_status 404 if sidegate_auth\n", "")],
        "endpoint",
        &["http-request deny deny_status 404 if { path_beg /_sidegate/auth }"],
    ),
    (
        &[(
            "acl sidegate_pages path_beg /_sidegate/",
            "acl sidegate_pages path_beg /_elsewhere/",
        )],
        "login",
        &["acl sidegate_pages path_beg /_sidegate/"],
    ),
    (
        &[(
            "elseif status == 401 and headers[\"x-auth-location\"] then",
            "elseif false then",
        )],
        "browser",
        &["x-auth-location"],
    ),
    (&[("\"set-cookie\", ", "")], "set-cookie", &["\"set-cookie\""]),
    (
        &[("\"www-authenticate\", ", "")],
        "program",
        &["\"www-authenticate\""],
    ),
    (
        &[(
            "[\"connection\"] = true,",
            "[\"connection\"] = true, [\"cookie\"] = true,",
        )],
        "cookies",
        &["\"cookie\""],
    ),
    (
        &[
            ("if txn.f:req_fhdr(\"upgrade\") and not", "if false and not"),
            (
                "[\"connection\"] = true,",
                "[\"connection\"] = true, [\"sec-websocket-key\"] = true,",
            ),
        ],
        "websocket",
        &["txn.f:req_fhdr(\"upgrade\")"],
    ),
    (
        &[(
            "[\"connection\"] = true,",
            "[\"connection\"] = true, [\"origin\"] = true,",
        )],
        "preflight",
        &["\"origin\""],
    ),
    (
        &[(
            "[\"connection\"] = true,",
            "[\"connection\"] = true, [\"x-openhab-token\"] = true,",
        )],
        "token",
        &["x-openhab-token"],
    ),
    (
        &[("local scheme = \"http\"", "local scheme = \"https\"")],
        "address",
        &["scheme .. \"://\""],
    ),
    (
        &[("txn.f:pathq()", "txn.f:path()")],
        "address",
        &["txn.f:pathq()"],
    ),
    (
        &[("host .. txn.f:pathq()", "\"127.0.0.1\" .. txn.f:pathq()")],
        "address",
        &["host .. txn.f:pathq()"],
    ),
    (
        &[
            ("    http-request del-header remote- -m beg\n", ""),
            ("txn.sidegate_headers) Remote-User,", "txn.sidegate_headers) "),
        ],
        "app-identity",
        &["http-request del-header ^remote[-_.]user$ -m reg"],
    ),
    (
        &[("    http-request del-header [^a-z0-9-] -m reg\n", "")],
        "app-identity",
        &["^remote[-_.]user$ -m reg"],
    ),
    (
        &[("    http-request del-header x-original- -m beg\n", "")],
        "app-address",
        &["http-request del-header X-Original-URL"],
    ),
    (
        &[("?strip", "")],
        "app-cookies",
        &["/_sidegate/auth/haproxy?strip"],
    ),
    (
        &[(
            "txn.sidegate_credentials) X-Openhab-Token,",
            "txn.sidegate_credentials) ",
        )],
        "app-credentials",
        &["txn.sidegate_credentials) x-openhab-token"],
    ),
    (
        &[(
            "\nbackend app\n",
            "\nbackend app\n    http-request set-path /x%[path]\n",
        )],
        "app-path",
        &["set-path"],
    ),
    (
        &[(
            "    http-request del-header connection unless { req.hdr(upgrade) -m found }\n",
            "    http-request del-header upgrade\n",
        )],
        "app-websocket",
        &["del-header Upgrade"],
    ),
];
