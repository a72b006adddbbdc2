//! What the backend is told about who is there, and what nobody else can tell it.

use crate::support::{Backend, Received, Sidegate};

/// A gate whose only user has everything a header can say, and a token of that user.
fn gate(backend: &Backend, route: &str) -> (Sidegate, String) {
    let gate = Sidegate::in_front_of(backend, route);
    gate.cli(&["group", "add", "family"]).success();
    gate.cli(&["group", "add", "garden"]).success();
    let words = ["user", "add", "anna", "--group", "family", "--group", "garden"];
    let person = ["--name", "Änna B", "--email", "anna@example.org"];
    gate.cli(&[&words[..], &person].concat()).success();
    let token = gate.token("anna", "phone");
    (gate, token)
}

fn told(received: &Received, expected: &[(&str, &str)]) {
    for (name, value) in expected {
        assert_eq!(received.only(name), Some(*value), "{name} in {received:?}");
    }
}

// "Preset `remote` (default)", "the user's groups, then the role, comma-separated", "Non-ASCII is
// percent-encoded UTF-8"; "Presets `oauth2-proxy`, `authentik`, `grafana`, or a table"
#[test]
fn every_preset_tells_the_backend_who_it_is() {
    let presets: [(&str, &[(&str, &str)]); 6] = [
        (
            "",
            &[
                ("Remote-User", "anna"),
                ("Remote-Groups", "family,garden,owner"),
                ("Remote-Name", "%C3%84nna B"),
                ("Remote-Email", "anna@example.org"),
            ],
        ),
        (
            "identity_headers = \"remote\"\n",
            &[("Remote-User", "anna"), ("Remote-Groups", "family,garden,owner")],
        ),
        (
            "identity_headers = \"oauth2-proxy\"\n",
            &[
                ("X-Forwarded-User", "anna"),
                ("X-Forwarded-Groups", "family,garden,owner"),
                ("X-Forwarded-Email", "anna@example.org"),
            ],
        ),
        (
            "identity_headers = \"authentik\"\n",
            &[
                ("X-authentik-username", "anna"),
                ("X-authentik-groups", "family|garden|owner"),
                ("X-authentik-name", "%C3%84nna B"),
                ("X-authentik-email", "anna@example.org"),
            ],
        ),
        ("identity_headers = \"grafana\"\n", &[("X-WEBAUTH-USER", "anna")]),
        (
            "identity_headers = { user = \"X-User\", scope = \"X-Scope\" }\n",
            &[("X-User", "anna"), ("X-Scope", "")],
        ),
    ];
    for (setting, expected) in presets {
        let backend = Backend::start();
        let (gate, token) = gate(&backend, setting);
        let header = format!("X-OPENHAB-TOKEN: {token}");
        assert_eq!(gate.get("/", &[&header]).status, 200, "{setting}");
        told(&backend.take_one(), expected);
    }
}

// "Every header of the preset is always set, empty when unknown; whatever the client sent under such
// a name (any case, `_` or `.` for `-`, doubled, or listed in `Connection`) never arrives."
#[test]
fn nobody_else_can_tell_the_backend_who_it_is() {
    let backend = Backend::start();
    let (gate, token) = gate(&backend, "access = \"public\"\n");
    let header = format!("X-OPENHAB-TOKEN: {token}");
    let attempts = [
        "Remote-User: root",
        "remote-user: root",
        "REMOTE_USER: root",
        "Remote.User: root",
        "Remote-Groups: owner",
        "remote_groups: owner",
        "Remote-Email: root@example.org",
        "Remote-Name: root",
    ];
    for attempt in attempts {
        for (credential, name) in [(None, ""), (Some(header.as_str()), "anna")] {
            for extra in [&[][..], &[attempt], &["Connection: remote-user, remote-groups"]] {
                let headers: Vec<&str> = [attempt]
                    .into_iter()
                    .chain(credential)
                    .chain(extra.iter().copied())
                    .collect();
                let status = gate.get("/", &headers).status;
                // Doubled headers may be refused; what arrives must be ours.
                for received in backend.take() {
                    assert_eq!(status, 200);
                    assert!(
                        !format!("{received:?}").contains("root"),
                        "{headers:?}: {received:?}"
                    );
                    told(&received, &[("Remote-User", name)]);
                    let groups = if name.is_empty() {
                        ""
                    } else {
                        "family,garden,owner"
                    };
                    told(&received, &[("Remote-Groups", groups)]);
                }
                assert!(
                    status == 200 || (extra == [attempt] && status == 400),
                    "{headers:?}: {status}"
                );
            }
        }
    }
}

// "`X-Forwarded-For` is overwritten with the one client address, `-Proto` and `-Host` are rebuilt."
#[test]
fn forwarding_headers_are_ours() {
    let backend = Backend::start();
    let (gate, token) = gate(&backend, "");
    let header = format!("X-OPENHAB-TOKEN: {token}");
    let lies = [
        "X-Forwarded-For: 10.0.0.1, 10.0.0.2",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: bank.example",
        "X-Real-IP: 10.0.0.3",
        "Forwarded: for=10.0.0.4",
        header.as_str(),
    ];
    assert_eq!(gate.get("/", &lies).status, 200);
    let received = backend.take_one();
    told(
        &received,
        &[
            ("X-Forwarded-For", "127.0.0.1"),
            ("X-Forwarded-Proto", "http"),
            ("X-Forwarded-Host", "gate.test"),
        ],
    );
    assert!(!format!("{received:?}").contains("10.0.0."), "{received:?}");
}
