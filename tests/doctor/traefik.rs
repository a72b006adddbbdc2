//! What can be wrong with Traefik.

use super::Case;

pub(super) const CASES: &[Case] = &[
    (
        &[(
            "middlewares: [sidegate-forget, sidegate]",
            "middlewares: [sidegate-forget]",
        )],
        "asked",
        &["middlewares: [sidegate-forget, sidegate"],
    ),
    (
        &[
            (
                "\nhttp:\n",
                "\n#! --entrypoints.web.forwardedHeaders.insecure=true\nhttp:\n",
            ),
            ("trustForwardHeader: false", "trustForwardHeader: true"),
        ],
        "forged-client",
        &["trustForwardHeader: false", "insecure: false"],
    ),
    (
        &[
            (
                "\nhttp:\n",
                "\n#! --entrypoints.web.forwardedHeaders.insecure=true\nhttp:\n",
            ),
            ("trustForwardHeader: false", "trustForwardHeader: true"),
            ("          X-Forwarded-Uri: \"\"\n", ""),
        ],
        "forged-address",
        &["trustForwardHeader: false", "insecure: false"],
    ),
    (
        &[("PathPrefix(`/_sidegate/auth`)", "PathPrefix(`/_elsewhere/auth`)")],
        "endpoint",
        &["PathPrefix(`/_sidegate/auth`)", "sidegate-nobody"],
    ),
    (
        &[("PathPrefix(`/_sidegate/`)", "PathPrefix(`/_elsewhere/`)")],
        "login",
        &["PathPrefix(`/_sidegate/`)"],
    ),
    (
        &[(
            "        trustForwardHeader: false\n",
            "        trustForwardHeader: false\n        authRequestHeaders: [Accept, Authorization, Sec-Fetch-Mode]\n",
        )],
        "cookies",
        &["authRequestHeaders", "Cookie"],
    ),
    (
        &[(
            "        trustForwardHeader: false\n",
            "        trustForwardHeader: false\n        authRequestHeaders: [Accept, Authorization, Sec-Fetch-Mode]\n",
        )],
        "websocket",
        &["authRequestHeaders", "Sec-WebSocket-Key"],
    ),
    (
        &[(
            "        trustForwardHeader: false\n",
            "        trustForwardHeader: false\n        authRequestHeaders: [Accept, Authorization, Sec-Fetch-Mode]\n",
        )],
        "preflight",
        &["authRequestHeaders", "Access-Control-Request-Method"],
    ),
    (
        &[(
            "        trustForwardHeader: false\n",
            "        trustForwardHeader: false\n        authRequestHeaders: [Accept, Authorization, Sec-Fetch-Mode]\n",
        )],
        "token",
        &["authRequestHeaders", "x-openhab-token"],
    ),
    (
        &[
            ("          Remote-User: \"\"\n", ""),
            ("          - Remote-User\n", ""),
        ],
        "app-identity",
        &["authResponseHeaders: [remote-user"],
    ),
    (
        &[("        authResponseHeadersRegex: \"[^A-Za-z0-9-]\"\n", "")],
        "app-identity",
        &["remote_user"],
    ),
    (
        &[("          X-Original-URL: \"\"\n", "")],
        "app-address",
        &["X-Original-URL: \"\""],
    ),
    (
        &[("?strip", "")],
        "app-cookies",
        &["/_sidegate/auth/traefik?strip"],
    ),
    (
        &[("          - X-Openhab-Token\n", "")],
        "app-credentials",
        &["authResponseHeaders: - x-openhab-token"],
    ),
    (
        &[
            (
                "middlewares: [sidegate-forget, sidegate]",
                "middlewares: [sidegate-forget, sidegate, changed]",
            ),
            (
                "\n  middlewares:\n",
                "\n  middlewares:\n    changed:\n      addPrefix:\n        prefix: /x\n",
            ),
        ],
        "app-path",
        &["addPrefix"],
    ),
    (
        &[("HeaderRegexp(`Upgrade`, `.`)", "Path(`/never`)")],
        "websocket",
        &["http.routers.sidegate-keyless"],
    ),
];
