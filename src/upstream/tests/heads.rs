//! What a backend sees of a request, and a client of a response.

use super::*;

// Section 5: "Every header of the preset is always set, empty when unknown"; "X-Forwarded-For is
// overwritten with the one client address, -Proto and -Host are rebuilt".
#[test]
fn the_backend_gets_exactly_these_bytes() {
    local(async {
        let head = seen_by_backend(|_| {}, "accept: */*\r\n").await;
        assert_eq!(head.lines().next(), Some("GET /p?q=1 HTTP/1.1"));
        assert_eq!(
            fields(&head),
            [
                "accept: */*",
                "host: Home.Example:8480",
                "remote-email: ",
                "remote-groups: family,garden,user",
                "remote-name: Anna J%C3%BCrgens",
                "remote-user: anna",
                "x-forwarded-for: 192.0.2.7",
                "x-forwarded-host: Home.Example:8480",
                "x-forwarded-proto: https",
                "x-request-id: 0000000000000abc",
                "x-sidegate-hop: 1",
            ]
        );
    });
}

// Where nothing is said of single fields, most go on without a closer look.
#[test]
fn a_field_goes_on_or_not_whether_or_not_it_is_looked_at_closely() {
    let sent = "Accept: */*\r\nAccept: text/html\r\nUser-Agent: a b\r\nReferer:\r\nX-Own: 1\r\nx_own: 2\r\n\
                Cookie: a=b\r\nForwarded: for=a\r\nVia: 1.1 a\r\nX-Real-IP: a\r\nX-Original-URL: /\r\nRemote-User: a\r\n\
                Keep-Alive: 5\r\nTE: trailers\r\nProxy-Authorization: a\r\nAuthorization: Basic eDp5\r\nDate: a\r\n\
                X-Requested-With: a\r\nSec-Fetch-Mode: cors\r\nIf-None-Match: *\r\n";
    for connection in [
        "",
        "Connection: keep-alive\r\n",
        "Connection: close, user-agent\r\n",
    ] {
        let sent = format!("{sent}{connection}");
        local(async {
            let head = seen_by_backend(|_| {}, &sent).await;
            // Another route has a name of its own for an identity, which must not come by this one.
            let closely = |setup: &mut Setup| {
                let mut other = setup.route().clone();
                other.identity_headers = Arc::new(IdentityHeaders {
                    user: super::name("x-nobody-sends"),
                    ..(*other.identity_headers).clone()
                });
                setup.routes.push(other);
            };
            assert_eq!(head, seen_by_backend(closely, &sent).await, "{connection}");
            let named = connection.contains("user-agent");
            assert_ne!(head.contains("user-agent: a b"), named, "{head}");
        });
    }
}

#[test]
fn a_route_says_who_it_is_under_names_of_its_own() {
    local(async {
        let own = |setup: &mut Setup| {
            setup.route().identity_headers = Arc::new(IdentityHeaders {
                user: super::name("x-authentik-username"),
                groups: super::name("x-authentik-groups"),
                name: None,
                email: None,
                scope: super::name("x-custom-scope"),
                separator: '|',
            });
        };
        let head = seen_by_backend(own, "x-custom-scope: admin\r\nremote-user: root\r\n").await;
        let seen = fields(&head);
        assert!(seen.contains(&"x-authentik-username: anna"), "{head}");
        assert!(seen.contains(&"x-authentik-groups: family|garden|user"), "{head}");
        assert!(seen.contains(&"x-custom-scope: "), "{head}");
        assert!(!head.contains("remote-") && !head.contains("admin"), "{head}");
    });
}

#[test]
fn nobody_is_told_as_empty_headers_and_a_unix_client_has_no_address() {
    local(async {
        let head = seen_by_backend(
            |setup| {
                setup.identity = None;
                setup.client = Client::Unix;
            },
            "remote-user: root\r\nx-forwarded-for: 127.0.0.1\r\n",
        )
        .await;
        let fields = fields(&head);
        assert!(
            fields.contains(&"remote-user: ") && fields.contains(&"remote-groups: "),
            "{head}"
        );
        assert!(
            !head.contains("x-forwarded-for") && !head.contains("root"),
            "{head}"
        );
    });
}

// "each non-empty subset of `-` replaced by `_`, in 3 casings, once and twice", and
// the same with `.`.
#[test]
fn no_spelling_of_an_identity_header_survives() {
    local(async {
        let names = [
            "remote-user",
            "remote-groups",
            "remote-name",
            "remote-email",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-host",
            "x-real-ip",
            "x-original-url",
            "x-auth-request-preferred-username",
            "x-custom-who",
        ];
        let mut spellings = Vec::new();
        for name in names {
            let hyphens = name.matches('-').count();
            for choice in 0..3_usize.pow(u32::try_from(hyphens).unwrap()) {
                let mut choice = choice;
                let spelled: String = name
                    .chars()
                    .map(|letter| match letter {
                        '-' => {
                            let digit = choice % 3;
                            choice /= 3;
                            ['-', '_', '.'][digit]
                        }
                        other => other,
                    })
                    .collect();
                spellings.push(spelled.to_uppercase());
                let mut capital = spelled.clone();
                capital[..1].make_ascii_uppercase();
                spellings.push(capital);
                spellings.push(spelled);
            }
        }
        for some in spellings.chunks(30) {
            let lines: String = some
                .iter()
                .flat_map(|name| [format!("{name}: forged\r\n"), format!("{name}: forged2\r\n")])
                .collect();
            let head = seen_by_backend(
                |setup| {
                    // A name of another route is deleted on this one too.
                    let mut other = route_to(Vec::new());
                    Arc::make_mut(&mut other.identity_headers).user = super::name("x-custom-who");
                    setup.routes.push(other);
                },
                &lines,
            )
            .await;
            assert!(!head.contains("forged"), "{some:?}: {head}");
            assert_eq!(head.matches("remote-user:").count(), 1);
        }
    });
}

// "backend must still see our header and must not see a Connection token naming it".
#[test]
fn connection_cannot_name_our_headers_away() {
    local(async {
        for lines in [
            "connection: remote-user, X-Forwarded-For\r\n",
            "connection:  Remote-User ,\tHOST\r\nConnection: x-request-id, x-mine\r\nx-mine: 1\r\n",
        ] {
            let head = seen_by_backend(|_| {}, &format!("{lines}remote-user: root\r\n")).await;
            for ours in [
                "remote-user: anna",
                "x-forwarded-for: 192.0.2.7",
                "host: Home.Example:8480",
                "x-request-id: 0000000000000abc",
            ] {
                assert!(fields(&head).contains(&ours), "{head}");
            }
            assert!(!head.contains("connection") && !head.contains("x-mine"), "{head}");
        }
    });
}

// B-01: "none forwarded", R-009: "never reaches backend".
#[test]
fn hop_by_hop_fields_and_proxy_do_not_go_on() {
    local(async {
        let head = seen_by_backend(
            |_| {},
            "keep-alive: 5\r\nproxy-connection: a\r\nte: trailers\r\ntrailer: x\r\nupgrade-insecure-requests: 1\r\n\
             proxy-authenticate: a\r\nproxy-authorization: a\r\nhttp2-settings: AA\r\nproxy: http://evil/\r\n\
             expect: nothing\r\nvia: 1.1 x\r\nforwarded: for=1\r\nx-http-method-override: DELETE\r\n\
             x-accel-redirect: /\r\nx-sidegate-subject: root\r\nodd_name: 1\r\n",
        )
        .await;
        assert_eq!(fields(&head).len(), 11, "{head}");
        assert!(fields(&head).contains(&"upgrade-insecure-requests: 1"));
    });
}

#[test]
fn cookies_of_ours_go_and_what_is_the_backends_stays() {
    local(async {
        let sent = "authorization: Basic Zm9vOmJhcg==\r\n\
                    cookie: a=1; __Host-sidegate=s; sidegate=t; b=2\r\n";
        let head = seen_by_backend(|_| {}, sent).await;
        let seen = fields(&head);
        assert!(seen.contains(&"authorization: Basic Zm9vOmJhcg=="), "{head}");
        assert!(seen.contains(&"cookie: a=1; b=2"), "{head}");

        let head = seen_by_backend(|setup| setup.route().pass_credentials = true, sent).await;
        let seen = fields(&head);
        assert!(
            seen.contains(&"cookie: a=1; __Host-sidegate=s; sidegate=t; b=2"),
            "{head}"
        );

        // "OPTIONS ... goes on without cookies, credentials or identity."
        let anonymous = |setup: &mut Setup| {
            setup.preflight = true;
            setup.identity = None;
            setup.route().pass_credentials = true;
        };
        let head = seen_by_backend(anonymous, sent).await;
        assert!(
            !head.contains("cookie") && !head.contains("authorization"),
            "{head}"
        );
        assert!(head.contains("remote-user: \r\n"), "{head}");
    });
}

#[test]
fn the_host_can_be_the_upstreams_own() {
    local(async {
        let head = seen_by_backend(|setup| setup.route().host_header = HostHeader::Upstream, "").await;
        assert!(head.contains("host: 127.0.0.1:"), "{head}");
        assert!(head.contains("x-forwarded-host: Home.Example:8480"), "{head}");
    });
}

// B-10: "loop -> 508".
#[test]
fn a_request_that_goes_in_circles_is_refused() {
    local(async {
        let origin = Origin::start().await;
        let gate = Setup::to(vec![origin.upstream()]).start().await;
        let answer = gate.get("x-sidegate-hop: 1\r\nX-Sidegate-Hop: 8\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 508"), "{answer}");
        assert!(origin.is_alone().await);

        let head = seen_by_backend(|_| {}, "x-sidegate-hop: 3\r\nx-sidegate-hop: evil\r\n").await;
        assert!(fields(&head).contains(&"x-sidegate-hop: 4"), "{head}");
    });
}

// K-07: "backend `Set-Cookie: __Host-s=…` or with our name: dropped"
#[test]
fn a_response_says_nothing_that_only_we_may_say() {
    local(async {
        let answer = relayed(
            |_| {},
            "HTTP/1.1 201 Made\r\ncontent-length: 2\r\nconnection: x-private\r\nx-private: 1\r\n\
             keep-alive: 9\r\nproxy-authenticate: x\r\nx-accel-redirect: /secret\r\nx-sendfile: /etc/passwd\r\n\
             x-reproxy-url: http://a\r\nX-Request-ID: theirs\r\nRemote-User: root\r\nremote_groups: admin\r\nset-cookie: a=1\r\n\
             set-cookie: __Host-Sidegate=stolen; Path=/\r\nset-cookie: sidegate=stolen\r\n\
             set-cookie: =sidegate=stolen\r\nset-cookie: b=2\r\netag: \"x\"\r\n\r\nok",
        )
        .await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let mut seen = fields(head);
        seen.retain(|field| !field.starts_with("date:") && !field.starts_with("connection: close"));
        assert_eq!(
            seen,
            [
                "content-length: 2",
                "etag: \"x\"",
                "set-cookie: a=1",
                "set-cookie: b=2"
            ]
        );
        assert_eq!(body, "ok");
    });
}
