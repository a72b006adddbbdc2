//! What can be wrong with Envoy.

use super::Case;

pub(super) const CASES: &[Case] = &[
    (
        &[(
            "route: { cluster: app, timeout: 0s }",
            "route: { cluster: app, timeout: 0s }\n                typed_per_filter_config: *unasked",
        )],
        "asked",
        &["disabled: true"],
    ),
    (
        &[("\n                - exact: cookie\n", "\n")],
        "cookies",
        &["- exact: cookie"],
    ),
    (
        &[("\n                - exact: upgrade\n", "\n")],
        "websocket",
        &["- exact: upgrade"],
    ),
    (
        &[("\n                - exact: access-control-request-method\n", "\n")],
        "preflight",
        &["- exact: access-control-request-method"],
    ),
    (
        &[("\n                - exact: x-openhab-token\n", "\n")],
        "token",
        &["- exact: x-openhab-token"],
    ),
    (
        &[("                    - exact: set-cookie\n", "")],
        "set-cookie",
        &["- exact: set-cookie"],
    ),
    (
        &[
            ("use_remote_address: true", "use_remote_address: false"),
            ("              - remove: X-Forwarded-For\n", ""),
            (
                "              - remove_on_match: { key_matcher: { prefix: \"x-forwarded-\" } }\n",
                "",
            ),
        ],
        "forged-client",
        &["use_remote_address: true", "- remove: X-Forwarded-For"],
    ),
    (
        &[
            ("use_remote_address: true", "use_remote_address: false"),
            ("              - remove: X-Forwarded-For\n", ""),
            (
                "              - remove_on_match: { key_matcher: { prefix: \"x-forwarded-\" } }\n",
                "",
            ),
        ],
        "forged-address",
        &["use_remote_address: true"],
    ),
    (
        &[("prefix: /_sidegate/auth }", "prefix: /never }")],
        "endpoint",
        &["prefix: /_sidegate/auth }", "direct_response: { status: 404 }"],
    ),
    (
        &[(
            "- match: { prefix: /_sidegate/ }",
            "- match: { prefix: /_elsewhere/ }",
        )],
        "login",
        &["prefix: /_sidegate/ }"],
    ),
    (
        &[(
            "path_prefix: /_sidegate/auth/envoy",
            "path_prefix: /_sidegate/auth/envoy/x",
        )],
        "address",
        &["path_prefix: /_sidegate/auth/envoy,"],
    ),
    (
        &[
            (
                "              - remove_on_match: { key_matcher: { prefix: \"remote-\" } }\n",
                "",
            ),
            ("                    - exact: remote-user\n", ""),
        ],
        "app-identity",
        &["- exact: remote-user", "- remove: remote-user"],
    ),
    (
        &[
            ("DROP_HEADER", "ALLOW"),
            (
                "              - remove_on_match: { key_matcher: { safe_regex: { regex: \"[a-z0-9-]*[^a-z0-9:-].*\" } } }\n",
                "",
            ),
        ],
        "app-identity",
        &["DROP_HEADER"],
    ),
    (
        &[(
            "              - remove_on_match: { key_matcher: { prefix: \"x-original-\" } }\n",
            "",
        )],
        "app-address",
        &["- remove: X-Original-URL"],
    ),
    (
        &[("timeout: 0s }", "timeout: 0s, prefix_rewrite: /x/ }")],
        "app-path",
        &["prefix_rewrite"],
    ),
    (
        &[(
            "          upgrade_configs:\n          - upgrade_type: websocket\n",
            "",
        )],
        "app-websocket",
        &["upgrade_type: websocket"],
    ),
];
