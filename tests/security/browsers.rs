//! Pages of other sites that use their visitor's browser.

use crate::support::{Backend, Client, Sidegate, WebSocket, base64};

const LIVING_ROOM: &str = "[networks]\ntrusted = [{ cidr = \"127.0.0.0/8\", user = \"anna\" }]\n";

// Threat model, T8: "Session theft/fixation/CSRF/CSWSH"; a trusted network is as ambient as a cookie.
#[test]
fn a_trusted_network_does_not_speak_for_pages_of_other_sites() {
    let backend = Backend::websocket();
    let gate = Sidegate::with_anna(&backend, LIVING_ROOM);
    let post = |headers: &[&str]| gate.send("POST", "/turn-off", headers, b"x").status;
    assert_eq!(post(&[]), 200, "a program");
    assert_eq!(post(&["Origin: http://gate.test"]), 200, "a page of ours");
    assert_eq!(post(&["Origin: http://gate.test:8123"]), 200);
    assert_eq!(
        post(&["Origin: http://a.gate.test", "Sec-Fetch-Site: same-site"]),
        200
    );
    assert_eq!(backend.take().len(), 4);
    for headers in [
        &["Origin: http://evil.example"][..],
        &["Origin: null"],
        &["Origin: http://gate.test.evil.example"],
        &["Origin: http://evil.example", "Sec-Fetch-Site: cross-site"],
        &["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"],
    ] {
        assert_eq!(post(headers), 401, "{headers:?}");
        let mut upgrade = vec!["Host: gate.test"];
        upgrade.extend(headers);
        let opened = WebSocket::open(Client::to(gate.address), "/ws", &upgrade);
        assert_eq!(opened.err().map(|answer| answer.status), Some(401), "{headers:?}");
    }
    assert!(backend.take().is_empty(), "the backend saw nothing of them");
    gate.await_log("cross-site");

    // A credential that the page itself has is no ambient one.
    let token = gate.token("anna", "page");
    let bearer = format!("Authorization: Bearer {token}");
    assert_eq!(post(&["Origin: http://evil.example", &bearer]), 200);
    // A link from elsewhere works as any link.
    let link = gate.get("/", &["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"]);
    assert_eq!(link.status, 200);
    let socket = WebSocket::open(Client::to(gate.address), "/ws", &["Origin: http://gate.test"]);
    assert!(socket.is_ok());
}

// Section 6.4: "A ban stops everything from that address", so nobody else may bring it about.
#[test]
fn a_page_cannot_have_its_visitor_banned() {
    let backend = Backend::websocket();
    let settings = "[guard]\nfailures = \"3 in 5m\"\nexempt = []\n[credentials]\nquery_token = true\n";
    let gate = Sidegate::with_anna(&backend, settings);
    let planted = |number: u32, origin: &str| {
        let token = base64(&format!("oh.x.{number}"));
        let protocol = format!(
            "Sec-WebSocket-Protocol: org.openhab.ws.accessToken.base64.{}",
            token.trim_end_matches('=')
        );
        let headers = [protocol.as_str(), origin];
        let opened = WebSocket::open(Client::to(gate.address), "/ws", &headers);
        opened.err().map(|answer| answer.status)
    };
    for number in 0..10 {
        assert_eq!(planted(number, "Origin: http://evil.example"), Some(401));
        let image = format!("/x.png?accessToken=oh.x.{number}");
        let answer = gate.get(&image, &["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"]);
        assert_eq!(answer.status, 401);
    }
    assert_eq!(gate.get("/", &[]).status, 401, "not banned");
    // The same by who is no foreign page counts.
    for number in 0..3 {
        assert_eq!(planted(number, "Origin: http://gate.test"), Some(401));
    }
    assert_eq!(gate.get("/", &[]).status, 429);
}
