//! What can be wrong with nginx.

use super::Case;

pub(super) const CASES: &[Case] = &[
    (
        &[("        auth_request /_sidegate/auth/nginx;\n", "")],
        "asked",
        &["auth_request /_sidegate/auth/nginx;"],
    ),
    (
        &[(
            "proxy_set_header X-Forwarded-For $remote_addr;",
            "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
        )],
        "forged-client",
        &["proxy_set_header X-Forwarded-For $remote_addr;"],
    ),
    (
        &[("proxy_set_header X-Forwarded-For $remote_addr;", "")],
        "forged-client",
        &["proxy_set_header X-Forwarded-For $remote_addr;"],
    ),
    (
        &[(
            "proxy_set_header X-Forwarded-For $remote_addr;",
            "proxy_set_header X-Forwarded-For \"\";",
        )],
        "client",
        &["proxy_set_header X-Forwarded-For $remote_addr;"],
    ),
    (
        &[(
            "X-Original-URL $scheme://$http_host$request_uri;",
            "X-Original-URL $scheme://$http_host$uri;",
        )],
        "asked",
        &["$request_uri;"],
    ),
    (
        &[
            (
                "X-Original-URL $scheme://$http_host$request_uri;",
                "X-Original-URL $scheme://$http_host$merged?$args;",
            ),
            (
                "    location / {\n",
                "    location / {\n        set $merged $uri;\n",
            ),
        ],
        "paths",
        &["$request_uri;"],
    ),
    (
        &[(
            "X-Original-URL $scheme://$http_host$request_uri;",
            "X-Original-URL $scheme://$server_addr$request_uri;",
        )],
        "address",
        &["$http_host"],
    ),
    (
        &[(
            "X-Original-URL $scheme://$http_host$request_uri;",
            "X-Original-URL https://$http_host$request_uri;",
        )],
        "address",
        &["X-Original-URL $scheme://"],
    ),
    (
        &[(
            "        proxy_set_header X-Original-URL $scheme://$http_host$request_uri;\n",
            "",
        )],
        "asked",
        &["proxy_set_header X-Original-URL $scheme://$http_host$request_uri;"],
    ),
    (
        &[
            (
                "        proxy_set_header X-Original-URL $scheme://$http_host$request_uri;\n",
                "",
            ),
            (
                "        proxy_set_header X-Original-Method $request_method;\n",
                "",
            ),
        ],
        "forged-address",
        &["X-Original-URL $scheme", "X-Original-Method $request_method"],
    ),
    (
        &[(
            "        return 404;\n",
            "        proxy_pass http://sidegate_pages;\n",
        )],
        "endpoint",
        &["location ^~ /_sidegate/auth { return 404; }", "internal;"],
    ),
    (
        &[("location ^~ /_sidegate/ {", "location ^~ /_elsewhere/ {")],
        "login",
        &["location ^~ /_sidegate/ { proxy_pass"],
    ),
    (
        &[("            return 302 $sidegate_login;\n", "")],
        "browser",
        &["error_page 401 = @sidegate_challenge;"],
    ),
    (
        &[(
            "        error_page 401 = @sidegate_challenge;\n",
            "        error_page 401 =302 /_sidegate/login;\n",
        )],
        "program",
        &["@sidegate_challenge"],
    ),
    (
        &[("add_header Set-Cookie $sidegate_set_cookie always;", "")],
        "set-cookie",
        &["add_header Set-Cookie"],
    ),
    (
        &[(
            "        proxy_pass_request_body off;\n",
            "        proxy_pass_request_body off;\n        proxy_set_header Cookie \"\";\n",
        )],
        "cookies",
        &["Cookie"],
    ),
    (
        &[(
            "    client_max_body_size 0;\n",
            "    client_max_body_size 0;\n    underscores_in_headers on;\n",
        )],
        "app-identity",
        &["underscores_in_headers off;"],
    ),
    (
        &[("        proxy_set_header Remote-User $sidegate_1;\n", "")],
        "app-identity",
        &["proxy_set_header remote-user $sidegate_remote_user"],
    ),
    (
        &[("        proxy_set_header X-Original-URL \"\";\n", "")],
        "app-address",
        &["proxy_set_header X-Original-URL \"\";"],
    ),
    (
        &[(
            "proxy_pass http://sidegate_app;",
            "proxy_pass http://sidegate_app/x/;",
        )],
        "app-path",
        &["proxy_pass"],
    ),
    (
        &[(
            "        proxy_set_header Upgrade $http_upgrade;\n        proxy_set_header Connection",
            "        proxy_set_header Connection",
        )],
        "app-websocket",
        &["proxy_set_header Upgrade $http_upgrade;"],
    ),
    (
        &[("X-Original-Method $request_method;", "X-Original-Method GET;")],
        "preflight",
        &["X-Original-Method $request_method;"],
    ),
    (
        &[(
            "        proxy_set_header Upgrade $http_upgrade;\n        proxy_set_header X-Original-URL",
            "        proxy_set_header X-Original-URL",
        )],
        "websocket",
        &["proxy_set_header Upgrade $http_upgrade;"],
    ),
    (
        &[(
            "        proxy_pass_request_body off;\n",
            "        proxy_pass_request_body off;\n        proxy_set_header Authorization \"\";\n",
        )],
        "token",
        &["Authorization"],
    ),
    (
        &[("        proxy_set_header X-Openhab-Token $sidegate_5;\n", "")],
        "app-credentials",
        &["proxy_set_header x-openhab-token $sidegate_x_openhab_token;"],
    ),
    (&[("?strip", "")], "app-cookies", &["/_sidegate/auth/nginx?strip"]),
];
