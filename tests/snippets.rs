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

#[test]
fn the_examples_are_what_is_printed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let settings = std::fs::read_to_string(root.join("forward-auth.toml")).unwrap();
    for (file, arguments) in [
        ("nginx/forward-auth.conf", &["nginx"][..]),
        ("traefik/forward-auth.yml", &["traefik"]),
        ("caddy/forward-auth.Caddyfile", &["caddy"]),
        ("envoy/forward-auth.yaml", &["envoy"]),
        ("haproxy/forward-auth.cfg", &["haproxy"]),
        ("haproxy/sidegate.lua", &["haproxy", "--lua"]),
    ] {
        let printed = snippet(&settings, arguments).success();
        let written = std::fs::read_to_string(root.join(file)).unwrap_or_default();
        assert!(
            printed.stdout == written,
            "examples/{file} is out of date; print it anew: sidegate --config examples/forward-auth.toml snippet {}",
            arguments.join(" ")
        );
        assert_eq!(printed.stderr, "", "{file}");
    }
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
        let text = printed.stdout;
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
            "authentik",
            "Remote-User",
            "OPENHAB",
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
        assert!(app.stdout.contains("home.example"));
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
