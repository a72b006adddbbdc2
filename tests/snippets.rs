//! `sidegate snippet`: what it prints for which settings. That gateways work with it is proven by `tests/gateways.rs`.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use support::{Ran, run_cli};

const GATEWAYS: [&str; 5] = ["nginx", "traefik", "caddy", "envoy", "haproxy"];

/// Runs `snippet` with these settings.
fn snippet(settings: &str, arguments: &[&str]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sidegate.toml");
    std::fs::write(&file, settings).unwrap();
    let before = ["--config", file.to_str().unwrap(), "snippet"];
    run_cli(&[&before[..], arguments].concat(), "", &[])
}

/// What printed the files of the examples; the last one is a part of its file.
const EXAMPLES: &[(&str, &str, &[&str])] = &[
    ("nginx/forward-auth", "home.conf", &["nginx"]),
    (
        "nginx/proxy-manager",
        "advanced.conf",
        &["nginx", "--form", "npm"],
    ),
    ("traefik/forward-auth", "sidegate.yml", &["traefik"]),
    ("caddy", "Caddyfile", &["caddy"]),
    ("envoy", "envoy.yaml", &["envoy"]),
    ("haproxy", "haproxy.cfg", &["haproxy"]),
    ("haproxy", "sidegate.lua", &["haproxy", "--lua"]),
    (
        "traefik/labels",
        "docker-compose.yml",
        &["traefik", "--form", "labels"],
    ),
];

#[test]
fn the_examples_are_what_is_printed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for (folder, file, arguments) in EXAMPLES {
        let folder = root.join(folder);
        let read = |name| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        let containers: &[&str] = if *file == "sidegate.lua" {
            &[]
        } else {
            &["--sidegate", "sidegate", "--app", "http://app:8000"]
        };
        let printed = snippet(&read("sidegate.toml"), &[arguments, containers].concat()).success();
        assert_eq!(printed.stderr, "", "{file}");
        let (wanted, written) = if *file == "docker-compose.yml" {
            let labels = |text: &str| -> Vec<String> {
                let lines = text.lines().map(str::trim);
                let labels = lines.filter(|line| line.starts_with("- traefik."));
                let mut labels: Vec<String> = labels.map(str::to_owned).collect();
                labels.sort();
                labels
            };
            (labels(&printed.stdout), labels(&read(file)))
        } else {
            (vec![printed.stdout], vec![read(file)])
        };
        assert!(!wanted[0].is_empty());
        assert!(
            wanted == written,
            "{} is out of date; print it anew there: sidegate --config sidegate.toml snippet {} {}",
            folder.join(file).display(),
            arguments.join(" "),
            containers.join(" ")
        );
        // The README says so too.
        let command = format!("snippet {}", arguments.join(" "));
        assert!(read("README.md").contains(&command), "{command}");
    }
}

#[test]
fn a_form_is_for_its_own_gateway() {
    for gateway in GATEWAYS {
        for (form, of) in [("labels", "traefik"), ("npm", "nginx"), ("file", gateway)] {
            let ran = snippet(
                "[server]\nlisten = [\"0.0.0.0:8480\"]\n",
                &[gateway, "--form", form],
            );
            let code = if of == gateway { 0 } else { 64 };
            assert_eq!(ran.code, code, "{gateway} {form}: {}", ran.stderr);
            assert_eq!(ran.stdout.is_empty(), code != 0);
        }
    }
    let ran = snippet("", &["nginx", "--form", "paper"]);
    assert_eq!(ran.code, 64, "{}", ran.stderr);
}

#[test]
fn a_sidegate_elsewhere_is_reached_by_its_name_and_its_own_ports() {
    let settings = "[server]\nlisten = [\"0.0.0.0:8001\"]\ndecision_listen = [\"[::]:8002\"]\n";
    for gateway in GATEWAYS {
        for (name, written) in [("gate.home", "gate.home"), ("2001:db8::1", "2001:db8::1")] {
            let text = snippet(settings, &[gateway, "--sidegate", name]).success().stdout;
            for wanted in [written, "8001", "8002"] {
                assert!(text.contains(wanted), "{gateway} has no {wanted}:\n{text}");
            }
            assert!(!text.contains("127.0.0.1:800"), "{text}");
        }
        let loopback = snippet("", &[gateway, "--sidegate", "gate.home"]);
        assert_eq!(loopback.code, 78, "{}", loopback.stderr);
        assert!(
            loopback.stderr.contains("listen for example on \"0.0.0.0:8480\""),
            "{}",
            loopback.stderr
        );
        let wrong = snippet(settings, &[gateway, "--sidegate", "gate.home:8480"]);
        assert_eq!(wrong.code, 64, "{}", wrong.stderr);
    }
    // A container is never at an address of the machine.
    let labels = snippet("", &["traefik", "--form", "labels"]);
    assert_eq!(labels.code, 78, "{}", labels.stderr);
}

// Section 2: "`sidegate snippet nginx --host home.example`  # prints a working gateway configuration for the running
// settings"
#[test]
fn what_is_printed_follows_the_settings() {
    for gateway in GATEWAYS {
        let printed = snippet(
            "[server]\nlisten = [\"0.0.0.0:9999\"]\nprefix = \"/door\"\ntrusted_proxies = [\"192.0.2.1\"]\n[credentials]\ntoken_headers = \
             [\"X-Key\"]\n[[route]]\nhost = \"one.test\"\nidentity_headers = \"authentik\"\nupstream = \
             \"http://10.0.0.7:8080\"\n[[route]]\nhost = \"two.test\"\nidentity_headers = \"grafana\"\nupstream = \
             \"http://10.0.0.8:8080\"\n",
            &[gateway, "--host", "two.test:8888"],
        )
        .success();
        // A pattern has its dots with a backslash.
        let text = printed.stdout.replace('\\', "");
        for wanted in [
            "127.0.0.1",
            "9999",
            "/door/auth",
            "two.test",
            "8888",
            "10.0.0.8",
            "X-Key",
            "-Webauth-User",
        ] {
            let there = text.to_ascii_lowercase().contains(&wanted.to_ascii_lowercase());
            assert!(there, "{gateway} has no {wanted}:\n{text}");
        }
        for foreign in [
            "_sidegate/",
            "10.0.0.7",
            "OPENHAB",
            "$upstream_http_remote_user",
            "- Remote-User",
            "exact: remote-user",
            "one.test",
        ] {
            assert!(!text.contains(foreign), "{gateway} has {foreign}:\n{text}");
        }
        let app = snippet("", &[gateway, "--app", "http://10.0.0.9"]).success();
        assert!(
            app.stdout.contains("10.0.0.9:80") || app.stdout.contains("port_value: 80"),
            "{}",
            app.stdout
        );
        assert!(app.stdout.replace('\\', "").contains("home.example"));
        assert!(
            app.stderr.contains("server.trusted_proxies is empty"),
            "{}",
            app.stderr
        );
    }
}

#[test]
fn the_secret_is_printed_where_the_gateway_needs_it_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    let write = |secret: &str| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(&file, secret).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    let settings = format!(
        "[server]\ntrusted_proxies = [\"127.0.0.1\"]\ndecision_secret_file = \"{}\"\n",
        file.display()
    );
    for gateway in GATEWAYS {
        write("correct-horse-battery");
        let printed = snippet(&settings, &[gateway]).success();
        assert_eq!(
            printed.stdout.matches("correct-horse-battery").count(),
            1,
            "{gateway}"
        );
        assert!(printed.stdout.contains("let nobody else read it"));
        assert!(!printed.stderr.contains("correct-horse"));
        // What would mean something else in some gateway's language.
        for secret in [
            "correct-$horse-battery",
            "correct horse battery",
            "correct-\"horse\"-battery",
            "{correct}-horse-battery",
        ] {
            write(secret);
            let refused = snippet(&settings, &[gateway]);
            assert_eq!((refused.code, refused.stdout.as_str()), (78, ""), "{gateway}");
            assert!(
                refused.stderr.contains("choose letters, digits") && !refused.stderr.contains("horse"),
                "{}",
                refused.stderr
            );
        }
    }
}

// Section 6: "another header only if `server.client_ip_header` names it": no client may say it then
#[test]
fn the_header_that_names_the_client_is_the_gateways_or_none() {
    let settings = "[server]\ntrusted_proxies = [\"127.0.0.1\"]\nclient_ip_header = \"X-Client-Addr\"\n";
    for (gateway, line, count) in [
        ("nginx", "proxy_set_header X-Client-Addr $remote_addr;", 3),
        ("caddy", "X-Client-Addr {client_ip}", 2),
        (
            "envoy",
            "key: X-Client-Addr, value: \"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%\"",
            1,
        ),
        ("haproxy", "http-request set-header X-Client-Addr %[src]", 1),
    ] {
        let text = snippet(settings, &[gateway]).success().stdout;
        assert_eq!(text.matches(line).count(), count, "{gateway}:\n{text}");
        // What does not count any more is no way to trust another proxy.
        assert!(
            !text.contains("add that proxy to server.trusted_proxies"),
            "{text}"
        );
        assert!(text.contains("Behind a CDN"), "{text}");
    }
    for form in ["file", "labels"] {
        let settings = settings.replace("[server]", "[server]\nlisten = [\"0.0.0.0:8480\"]");
        let refused = snippet(&settings, &["traefik", "--form", form]);
        assert_eq!((refused.code, refused.stdout.as_str()), (78, ""));
        let wanted = "server.client_ip_header = \"X-Client-Addr\" cannot be used with Traefik";
        assert!(refused.stderr.contains(wanted), "{}", refused.stderr);
    }
}

// Section 7: "The same request gets the same decision by every road"
#[test]
fn what_may_hold_a_token_is_not_taken_out_and_all_else_is() {
    let removal = |gateway: &str, name: &str| match gateway {
        "nginx" => format!("proxy_set_header {name} \"\";"),
        "traefik" => format!("{name}: \"\""),
        "caddy" => format!("request_header -{name}\n"),
        "envoy" => format!("- remove: {name}\n"),
        _ => format!("del-header {}\n", name.to_ascii_lowercase()),
    };
    let settings = |name: &str| {
        format!(
            "[server]\ntrusted_proxies = [\"127.0.0.1\"]\n[credentials]\ntoken_headers = [\"{name}\"]\n[[route]]\n\
             identity_headers = {{ user = \"X-Forwarded-Person\" }}\nupstream = \"http://127.0.0.1:1\"\n"
        )
    };
    for gateway in GATEWAYS {
        let text = snippet(&settings("X-Forwarded-User"), &[gateway])
            .success()
            .stdout;
        assert!(
            !text.contains(&removal(gateway, "X-Forwarded-User")),
            "{gateway}:\n{text}"
        );
        for name in ["X-Forwarded-Email", "X-Forwarded-Prefix", "Client-IP"] {
            assert!(
                text.contains(&removal(gateway, name)),
                "{gateway} has no {name}:\n{text}"
            );
        }
        for pattern in ["X-Forwarded-*", "prefix: \"x-forwarded-\"", "x-forwarded- -m beg"] {
            assert!(!text.contains(pattern), "{gateway}:\n{text}");
        }
        let knows_patterns = !matches!(gateway, "nginx" | "traefik");
        let other = snippet(&settings("X-Token"), &[gateway]).success().stdout;
        let patterns = ["X-Forwarded-*", "prefix: \"x-forwarded-\"", "x-forwarded- -m beg"];
        assert_eq!(
            patterns.iter().any(|pattern| other.contains(pattern)),
            knows_patterns,
            "{other}"
        );
        // An identity header of that beginning goes by its own name then.
        if knows_patterns {
            for name in ["X-Forwarded-Person", "X-Forwarded-Host"] {
                assert!(
                    text.contains(&removal(gateway, name)),
                    "{gateway} has no {name}:\n{text}"
                );
                assert!(!other.contains(&removal(gateway, name)), "{gateway}:\n{other}");
            }
        }
    }
}

#[test]
fn what_a_gateway_cannot_reach_is_said() {
    let unix =
        "[server]\ntrusted_proxies = [\"unix\"]\ndecision_listen = [\"unix:/run/sidegate/decisions.sock\"]\n";
    for gateway in GATEWAYS {
        let printed = snippet(unix, &[gateway]);
        if gateway == "traefik" {
            assert_eq!(printed.code, 78);
            assert!(
                printed
                    .stderr
                    .contains("Traefik does not reach unix:/run/sidegate/decisions.sock"),
                "{}",
                printed.stderr
            );
        } else {
            assert!(
                printed.success().stdout.contains("/run/sidegate/decisions.sock"),
                "{gateway}"
            );
        }
    }
    for (arguments, code, says) in [
        (&["apache"][..], 64, "apache"),
        (&["nginx", "--lua"], 64, "only HAProxy loads a Lua file"),
        (&["nginx", "--host", "a b"], 64, "is not a host"),
        (
            &["nginx", "--app", "127.0.0.1:8123"],
            64,
            "write for example http://127.0.0.1:8123",
        ),
        (
            &["nginx", "--app", "http://anna@home.test"],
            64,
            "is not an application",
        ),
        (
            &["nginx", "--app", "http://home.test/path"],
            64,
            "is not an application",
        ),
    ] {
        let ran = snippet("", arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{arguments:?}");
        assert!(ran.stderr.contains(says), "{arguments:?}: {}", ran.stderr);
    }
    let only_tls = snippet("[server]\nlisten = []\n", &["nginx"]);
    assert_eq!(only_tls.code, 78);
}
