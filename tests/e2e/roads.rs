//! By every road a client can manage, and nothing of ours goes on.

use crate::support::client::{curl, wget};
use crate::support::{Backend, Received, Sidegate, base64};

/// The header lines of each road.
fn roads(token: &str) -> [(&'static str, String); 3] {
    [
        ("Bearer", format!("Authorization: Bearer {token}")),
        ("header", format!("X-OPENHAB-TOKEN: {token}")),
        (
            "Basic",
            format!("Authorization: Basic {}", base64(&format!("{token}:"))),
        ),
    ]
}

fn bare(received: &Received) {
    for gone in ["authorization", "x-openhab-token", "cookie"] {
        assert_eq!(received.all(gone), [""; 0], "{received:?}");
    }
}

// README, "First minutes": "It opens the door by every road a client can manage"
#[test]
fn the_curl_lines_of_the_readme_open_the_door() {
    let backend = Backend::start();
    let gate = Sidegate::with_anna(&backend, "");
    let token = gate.token("anna", "phone");
    let readme = include_str!("../../README.md");
    let lines: Vec<&str> = readme
        .lines()
        .filter(|line| line.starts_with("curl ") && line.contains("$T") && !line.contains("-o /dev/null"))
        .collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    for line in lines {
        let here = line.replace("127.0.0.1:8480", &gate.address.to_string());
        assert_ne!(here, line);
        let run = |token: &str| {
            let line = here.replacen("curl", "curl -sS --max-time 30 -w '%{http_code}'", 1);
            crate::support::client::program("sh", &["-c", &format!("T={token}; {line}")])
        };
        let ran = run(&token).success();
        assert_eq!(ran.stdout, "ok200", "{line}");
        let received = backend.take_one();
        assert_eq!(received.line, "GET /api/states HTTP/1.1", "{line}");
        assert_eq!(received.only("remote-user"), Some("anna"), "{line}");
        bare(&received);
        // "right or wrong"
        let (token, last) = token.split_at(token.len() - 1);
        let other = if last == "A" { "B" } else { "A" };
        let ran = run(&format!("{token}{other}")).success();
        assert!(ran.stdout.ends_with("401"), "{line}: {}", ran.stdout);
        assert_eq!(backend.bytes(), b"", "{line}");
    }
}

// README: "wget -qO- http://$T:@127.0.0.1:8480/api/states"
#[test]
fn the_wget_line_of_the_readme_opens_the_door() {
    assert!(include_str!("../../README.md").contains("wget -qO- http://$T:@127.0.0.1:8480/api/states"));
    let backend = Backend::start();
    let gate = Sidegate::with_anna(&backend, "");
    let token = gate.token("anna", "phone");
    let address = gate.address;
    assert_eq!(
        wget(&[&format!("http://{token}:@{address}/")]).success().stdout,
        "ok"
    );
    let received = backend.take_one();
    assert_eq!(received.line, "GET / HTTP/1.1");
    assert_eq!(received.only("remote-user"), Some("anna"));
    bare(&received);
    // wget ends with 6 when it was refused.
    assert_eq!(wget(&[&format!("http://oh.phone.wrong:@{address}/")]).code, 6);
    assert_eq!(backend.bytes(), b"");
}

// "scripts and phones (API tokens by every road a client can manage)"; "forwarded as received"
#[test]
fn what_a_phone_posts_arrives_byte_for_byte_by_every_road() {
    let backend = Backend::start();
    let gate = Sidegate::with_anna(&backend, "");
    let token = gate.token("anna", "phone");
    let every_byte: Vec<u8> = (0..=255).collect();
    let file = [
        b"--XyZ\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"a b.jpg\"\r\n\
          Content-Type: image/jpeg\r\n\r\n"
            .as_slice(),
        &every_byte,
        b"\r\n--XyZ\r\nContent-Disposition: form-data; name=\"caption\"\r\n\r\nK\xc3\xbcche\r\n--XyZ--\r\n",
    ]
    .concat();
    let bodies: [(&str, &[u8]); 3] = [
        (
            "application/json; charset=utf-8",
            "{\"state\":\"ON\",\"room\":\"Küche\",\"n\":[1,2]}\n".as_bytes(),
        ),
        (
            "application/x-www-form-urlencoded",
            b"state=ON&note=a+b%26c%3D%C3%BC&empty=",
        ),
        ("multipart/form-data; boundary=XyZ", &file),
    ];
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("body");
    let data = format!("@{}", path.display());
    for (kind, body) in bodies {
        std::fs::write(&path, body).expect("a file can be written");
        let content_type = format!("Content-Type: {kind}");
        let mut calls: Vec<Vec<String>> = roads(&token)
            .into_iter()
            .map(|(_, header)| {
                vec![
                    "-H".into(),
                    header,
                    format!("http://{}/items?q=%C3%BC&r", gate.address),
                ]
            })
            .collect();
        calls.push(vec![format!("http://{token}@{}/items?q=%C3%BC&r", gate.address)]);
        for chunked in [false, true] {
            for call in &calls {
                let mut words = vec!["--data-binary", &data, "-H", &content_type];
                if chunked {
                    words.extend(["-H", "Transfer-Encoding: chunked"]);
                }
                words.extend(call.iter().map(String::as_str));
                assert_eq!(curl(&words).success().stdout, "ok", "{words:?}");
                let received = backend.take_one();
                assert_eq!(received.line, "POST /items?q=%C3%BC&r HTTP/1.1");
                assert_eq!(received.body, body, "{words:?}");
                assert_eq!(received.only("content-type"), Some(kind));
                assert_eq!(received.only("remote-user"), Some("anna"));
                assert_eq!(received.only("content-length").is_none(), chunked);
                bare(&received);
            }
        }
    }
}

// "Order: token headers (X-OPENHAB-TOKEN first), …, Bearer, Basic"; "A wrong credential is never
// rescued by a weaker one"
#[test]
fn the_token_header_decides_before_authorization() {
    let backend = Backend::start();
    let settings = "[credentials]\ntoken_headers = [\"X-OPENHAB-TOKEN\", \"X-Api-Key\"]\n";
    let gate = Sidegate::with_anna(&backend, settings);
    gate.cli(&["user", "add", "ben"]).success();
    let (anna, ben) = (gate.token("anna", "phone"), gate.token("ben", "phone"));
    let header = |token: &str| format!("X-OPENHAB-TOKEN: {token}");
    let second = |token: &str| format!("X-Api-Key: {token}");
    let bearer = |token: &str| format!("Authorization: Bearer {token}");
    let who = |headers: &[&str]| {
        let status = gate.get("/", headers).status;
        match backend.take().as_slice() {
            [] => status.to_string(),
            [received] => {
                bare(received);
                assert_eq!(received.all("x-api-key"), [""; 0]);
                received.only("remote-user").expect("it is always set").to_owned()
            }
            more => panic!("{more:?}"),
        }
    };
    assert_eq!(who(&[&bearer(&ben), &header(&anna)]), "anna");
    assert_eq!(who(&[&bearer(&anna), &header(&ben)]), "ben");
    assert_eq!(who(&[&second(&ben), &header(&anna)]), "anna");
    assert_eq!(who(&[&bearer(&anna), &second(&ben)]), "ben");
    assert_eq!(who(&[&bearer("oh.phone.wrong"), &header(&anna)]), "anna");
    for wrong in ["oh.phone.wrong", "anything", ""] {
        assert_eq!(who(&[&bearer(&anna), &header(wrong)]), "401", "{wrong:?}");
    }
}

// "Any other `Authorization` is the backend's: not judged, not stripped, and by itself no credential."
#[test]
fn the_backends_own_authorization_goes_through_untouched() {
    let backend = Backend::start();
    let public = format!(
        "[[route]]\npath = \"/public\"\nupstream = \"http://{}\"\naccess = \"public\"\n",
        backend.address
    );
    let gate = Sidegate::with_anna(&backend, &public);
    let token = gate.token("anna", "phone");
    let ours = format!("X-OPENHAB-TOKEN: {token}");
    let own = [
        "Bearer eyJhbGciOiJub25lIn0.e30.",
        "Bearer other",
        "Basic dXNlcjpwYXNz",
        "Digest username=\"Mufasa\", realm=\"x\"",
        "Token abc=/+",
    ];
    for value in own {
        let line = format!("Authorization: {value}");
        assert_eq!(gate.get("/", &[&line]).status, 401, "{value}");
        assert_eq!(backend.bytes(), b"", "{value}");
        assert_eq!(gate.get("/", &[&line, &ours]).status, 200, "{value}");
        let received = backend.take_one();
        assert_eq!(received.only("authorization"), Some(value));
        assert_eq!(received.all("x-openhab-token"), [""; 0]);
        assert_eq!(gate.get("/public", &[&line]).status, 200, "{value}");
        let received = backend.take_one();
        assert_eq!(received.only("authorization"), Some(value));
        assert_eq!(received.only("remote-user"), Some(""));
    }
}

// "Credentials of ours are removed before the backend unless the route says `pass_credentials = true`."
#[test]
fn a_route_may_pass_credentials_on() {
    let backend = Backend::start();
    let gate = Sidegate::with_anna(&backend, "pass_credentials = true\nquery_token = true\n");
    let token = gate.token("anna", "phone");
    for (road, header) in roads(&token) {
        assert_eq!(gate.get("/", &[&header]).status, 200, "{road}");
        let received = backend.take_one();
        let (name, value) = header.split_once(": ").expect("a header");
        assert_eq!(received.only(name), Some(value), "{road}");
        assert_eq!(received.only("remote-user"), Some("anna"), "{road}");
    }
    let path = format!("/?a=1&accessToken={token}");
    assert_eq!(gate.get(&path, &[]).status, 200);
    assert_eq!(backend.take_one().line, format!("GET {path} HTTP/1.1"));
}

// "query_token = false # ?accessToken= / ?access_token=, per route too; stripped before the backend"
#[test]
fn a_token_in_the_query_works_where_the_route_says_so_and_is_taken_out() {
    let backend = Backend::start();
    let open = format!(
        "[[route]]\npath = \"/open\"\nupstream = \"http://{}\"\nquery_token = true\n",
        backend.address
    );
    let gate = Sidegate::with_anna(&backend, &open);
    let token = gate.token("anna", "phone");
    let targets = [
        (format!("/open/x?accessToken={token}"), "/open/x"),
        (format!("/open/x?access_token={token}"), "/open/x"),
        (
            format!("/open/x?a=1&accessToken={token}&b=%20&c"),
            "/open/x?a=1&b=%20&c",
        ),
        (format!("/open/x?access_token={token}&a"), "/open/x?a"),
    ];
    for (sent, forwarded) in &targets {
        assert_eq!(gate.get(sent, &[]).status, 200, "{sent}");
        let received = backend.take_one();
        assert_eq!(received.line, format!("GET {forwarded} HTTP/1.1"));
        assert_eq!(received.only("remote-user"), Some("anna"));
    }
    assert_eq!(gate.get("/open/x?accessToken=oh.phone.wrong", &[]).status, 401);
    assert_eq!(gate.get(&format!("/x?accessToken={token}"), &[]).status, 401);
    assert_eq!(backend.bytes(), b"");
}
