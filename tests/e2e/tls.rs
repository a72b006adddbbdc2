//! TLS on our side and on the backend's.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use crate::support::backend::{Recorder, Reply, keep_alive, websocket_or_ok};
use crate::support::client::curl;
use crate::support::tls::{Authority, accept};
use crate::support::{Backend, Client, Sidegate, WebSocket, eventually, free_port};

/// A gate with a TLS listener, certificates for two names, and a user anna.
fn secure(backend: &Backend, settings: &str) -> (Sidegate, SocketAddr, Authority) {
    let authority = Authority::new();
    let home = authority.issue("home", &["home.test", "127.0.0.1"]);
    let shop = authority.issue("shop", &["shop.test", "*.shop.test"]);
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let tls = format!(
        "[tls]\nlisten = [\"{address}\"]\ncertificates = [{}, {}]\n{settings}",
        home.toml(),
        shop.toml()
    );
    (Sidegate::with_anna(backend, &tls), address, authority)
}

// "HTTP/1.1 and HTTP/2 in"; "TLS only on these"
#[test]
fn the_real_curl_speaks_http_1_and_http_2_over_tls() {
    let backend = Backend::start();
    let (gate, address, authority) = secure(&backend, "");
    let token = gate.token("anna", "phone");
    let header = format!("Authorization: Bearer {token}");
    let ca = authority.file();
    let resolve = format!("home.test:{}:127.0.0.1", address.port());
    let url = format!("https://home.test:{}/api/states", address.port());
    for (version, expected) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let call = |more: &[&str]| {
            let words = [
                version,
                "--cacert",
                ca.to_str().expect("utf-8"),
                "--resolve",
                &resolve,
            ];
            let shown = ["-w", " %{http_code} %{http_version}", &url];
            curl(&[&words[..], more, &shown].concat()).success().stdout
        };
        assert_eq!(call(&["-H", &header]), format!("ok 200 {expected}"));
        let received = backend.take_one();
        assert_eq!(received.line, "GET /api/states HTTP/1.1");
        assert_eq!(received.only("remote-user"), Some("anna"));
        assert_eq!(received.only("x-forwarded-proto"), Some("https"));
        assert_eq!(
            received.only("host"),
            Some(format!("home.test:{}", address.port()).as_str())
        );
        assert_eq!(received.all("authorization"), [""; 0]);
        assert_eq!(
            call(&["-u", &format!("{token}:"), "--data-binary", "state=ON"]),
            format!("ok 200 {expected}")
        );
        assert_eq!(backend.take_one().body, b"state=ON");
        assert!(call(&["-H", "X-OPENHAB-TOKEN: oh.phone.wrong"]).ends_with(&format!(" 401 {expected}")));
        assert_eq!(backend.bytes(), b"");
    }
    let plain = curl(&["-o", "/dev/null", &format!("http://{address}/")]);
    assert_ne!(plain.code, 0, "plain HTTP is not spoken here");
}

// "chosen by SNI"; configuration: "the first is for all others"
#[test]
fn the_certificate_is_chosen_by_the_name_that_the_client_asks_for() {
    let backend = Backend::start();
    let (_gate, address, authority) = secure(&backend, "");
    // The handshake verifies the name, so each of these fails with the other certificate.
    for name in ["home.test", "shop.test", "a.shop.test"] {
        assert!(
            !authority.connect(address, name, &[]).conn.is_handshaking(),
            "{name}"
        );
    }
    // By address no name is asked for; only the first one is for this address.
    assert!(!authority.connect(address, "127.0.0.1", &[]).conn.is_handshaking());
}

#[test]
fn http_2_is_chosen_by_alpn_and_a_websocket_goes_over_tls() {
    let backend = Backend::websocket();
    let (gate, address, authority) = secure(&backend, "");
    let header = format!("X-OPENHAB-TOKEN: {}", gate.token("anna", "phone"));
    for (offered, chosen) in [
        (&[b"h2".as_slice(), b"http/1.1"][..], Some(b"h2".as_slice())),
        (&[b"http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let stream = authority.connect(address, "home.test", offered);
        assert_eq!(stream.conn.alpn_protocol(), chosen);
    }
    let mut client = authority.client(address, "home.test");
    for _ in 0..10 {
        assert_eq!(client.get("/", &[&header, "Host: home.test"]).status, 200);
    }
    // By hand, since the client of the other tests is a plain one.
    let upgrade = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
    ];
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let answer = client.get(
        "/ws",
        &[&[header.as_str(), key, "Host: home.test"][..], &upgrade].concat(),
    );
    assert_eq!(answer.status, 101);
    use std::io::{Read, Write};
    let frame = [0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];
    let stream = client.stream();
    stream
        .get_mut()
        .write_all(&frame)
        .and_then(|()| stream.get_mut().flush())
        .expect("it is open");
    let mut echoed = [0; 8];
    stream.read_exact(&mut echoed).expect("it echoes");
    assert_eq!(echoed, frame);
}

// "redirect_http = true"
#[test]
fn plain_listeners_send_everybody_to_https() {
    let backend = Backend::start();
    let (gate, address, _authority) = secure(&backend, "");
    let token = format!("X-OPENHAB-TOKEN: {}", gate.token("anna", "phone"));
    for (method, headers) in [("GET", vec![]), ("POST", vec![token.as_str()])] {
        let mut client = Client::to(gate.address);
        let answer = client.send(
            method,
            "/a%20b?x=1",
            &[&headers[..], &["Host: home.test"]].concat(),
            b"",
        );
        assert_eq!(answer.status, 308, "{method}: {answer:?}");
        let there = format!("https://home.test:{}/a%20b?x=1", address.port());
        assert_eq!(answer.header("location"), Some(there.as_str()));
    }
    assert_eq!(backend.bytes(), b"");
}

/// Where plain text is sent to, for each of the hosts.
fn sent_to(plain: SocketAddr, hosts: &[&str]) -> Vec<String> {
    let ask = |host: &&str| {
        let answer = Client::to(plain).get("/x?y=1", &[&format!("Host: {host}")]);
        assert_eq!(answer.status, 308, "{host}: {answer:?}");
        answer.header("location").expect("a redirect").to_owned()
    };
    hosts.iter().map(ask).collect()
}

// "public_url … where browsers find us", behind a port forward of 443 to ours
#[test]
fn plain_text_is_sent_to_where_browsers_find_us() {
    let backend = Backend::start();
    let known =
        "server: public_url = \"https://home.test\"\nserver: domains = [\"https://shop.test:4443\"]\n";
    let (mut gate, address, authority) = secure(&backend, known);
    let port = address.port();
    let hosts = [
        "home.test",
        "HOME.test.:8080",
        "shop.test",
        "127.0.0.1",
        "[::1]:80",
        "other.test:80",
    ];
    assert_eq!(
        sent_to(gate.address, &hosts),
        [
            "https://home.test/x?y=1".to_owned(),
            "https://home.test/x?y=1".to_owned(),
            "https://shop.test:4443/x?y=1".to_owned(),
            format!("https://127.0.0.1:{port}/x?y=1"),
            format!("https://[::1]:{port}/x?y=1"),
            format!("https://other.test:{port}/x?y=1"),
        ],
        "only ever the host that was asked for"
    );

    // One that is plain text itself would lead back to where the client came from. And the port is that of
    // the listener that a reload opened.
    let next = crate::support::free_port();
    let pair = authority.issue("home", &["home.test"]);
    gate.write_config(&format!(
        "server: public_url = \"http://home.test\"\n[tls]\nlisten = [\"127.0.0.1:{next}\"]\ncertificates = [{}]\n\
         [[route]]\npath = \"/\"\nupstream = \"http://{}\"\n",
        pair.toml(),
        backend.address
    ));
    gate.signal("HUP");
    gate.await_log("changed: ");
    let there = |host: &str| format!("https://{host}:{next}/x?y=1");
    assert_eq!(
        sent_to(gate.address, &["home.test", "other.test"]),
        [there("home.test"), there("other.test")]
    );
    assert_eq!(backend.bytes(), b"");
}

// "Inherited sockets (systemd)" stand for tls.listen, whatever that says
#[test]
fn plain_text_is_sent_to_the_socket_that_the_service_manager_opened() {
    let backend = Backend::start();
    let authority = Authority::new();
    let pair = authority.issue("home", &["home.test"]);
    let unused = crate::support::free_port();
    let settings = format!(
        "[tls]\nlisten = [\"127.0.0.1:{unused}\"]\ncertificates = [{}]\n[[route]]\npath = \"/\"\nupstream = \"http://{}\"\n",
        pair.toml(),
        backend.address
    );
    let mut gate = Sidegate::prepare(&settings);
    let [plain, tls] = [(); 2].map(|()| SocketAddr::from(([127, 0, 0, 1], crate::support::free_port())));
    gate.launch_by(&[
        "systemd-socket-activate",
        "--fdname=http:https",
        "-l",
        &plain.to_string(),
        "-l",
        &tls.to_string(),
    ]);
    // The first connection starts the program; it waits in the socket until then.
    let connected = || TcpStream::connect(plain).is_ok();
    eventually(connected, || {
        format!("systemd-socket-activate is needed for this test:\n{}", gate.log())
    });
    gate.await_ready();
    let there = [format!("https://home.test:{}/x?y=1", tls.port())];
    assert_eq!(sent_to(plain, &["home.test"]), there);
    gate.write_config(&format!("{settings}identity_headers = \"grafana\"\n"));
    gate.signal("HUP");
    gate.await_log("changed: ");
    assert_eq!(sent_to(plain, &["home.test"]), there);
}

// "http, https with `ca_file`, `server_name`"
#[test]
fn an_https_backend_is_believed_by_its_own_authority_only() {
    let authority = Authority::new();
    let pair = authority.issue("backend", &["backend.internal"]);
    let backend = https_backend(&pair);
    let route = |more: &str| {
        format!(
            "[[route]]\npath = \"/\"\nupstream = \"https://{}\"\n{more}",
            backend.address
        )
    };
    let ca = format!("ca_file = \"{}\"\n", authority.file().display());
    let named = "server_name = \"backend.internal\"\n";
    let gate = Sidegate::start(&route(&format!("{ca}{named}")));
    gate.cli(&["user", "add", "anna"]).success();
    let header = format!("X-OPENHAB-TOKEN: {}", gate.token("anna", "phone"));
    for number in 0..10 {
        let answer = gate.send("POST", "/x", &[&header], format!("body {number}").as_bytes());
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
        let received = backend.take_one();
        assert_eq!(received.body, format!("body {number}").as_bytes());
        assert_eq!(received.only("remote-user"), Some("anna"));
    }
    let mut socket = WebSocket::open(Client::to(gate.address), "/ws", &[&header])
        .map_err(|a| a.status)
        .expect("101");
    socket.say("over TLS");
    assert_eq!(socket.hear().as_deref(), Some("over TLS"));

    // Another authority, another name, no authority: nothing is sent.
    let stranger = Authority::new();
    let wrong_ca = format!("ca_file = \"{}\"\n{named}", stranger.file().display());
    let wrong_name = format!("{ca}server_name = \"other.internal\"\n");
    backend.take();
    for wrong in [wrong_ca.as_str(), wrong_name.as_str(), named] {
        let gate = Sidegate::start(&route(wrong));
        gate.cli(&["user", "add", "anna"]).success();
        let header = format!("X-OPENHAB-TOKEN: {}", gate.token("anna", "phone"));
        assert_eq!(gate.get("/", &[&header]).status, 502, "{wrong}");
        assert_eq!(backend.bytes(), b"", "{wrong}");
    }
}

/// A backend behind TLS that records and echoes as the plain ones do.
fn https_backend(pair: &crate::support::tls::Pair) -> Backend {
    let accept = accept(pair);
    let reply: Reply = Arc::new(websocket_or_ok);
    Backend::serving(move |stream, recorder: &Recorder| {
        let mut stream = accept(stream);
        // A client that does not believe us ends the handshake.
        while stream.conn.is_handshaking() {
            if stream.conn.complete_io(&mut stream.sock).is_err() {
                return;
            }
        }
        keep_alive(stream, recorder, &reply);
    })
}
