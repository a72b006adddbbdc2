//! Codes and requests that are wrong, and what they cost.

use crate::support::app::*;
use crate::support::house::{house, logged_in};
use crate::support::{Answer, Backend, Client, Sidegate};

// "bound to client_id, redirect_uri, PKCE challenge … A wrong verifier or other client uses it up."
#[test]
fn a_code_is_for_one_app_that_knows_its_word_and_works_once() {
    let backend = Backend::start();
    let gate = house(&backend, "[guard]\nrate = \"off\"\n");
    let mut anna = logged_in(&gate, "anna");
    let padded = format!("{VERIFIER}=");
    for (name, value) in [
        ("code_verifier", "ABjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
        ("code_verifier", "short"),
        ("code_verifier", CHALLENGE),
        ("code_verifier", &padded),
        ("client_id", "https://evil.example/"),
        ("client_id", "https://app.example"),
        ("redirect_uri", "https://app.example/back"),
    ] {
        let code = allow(&mut anna, &asked());
        let mut fields = exchange_fields(&code).to_vec();
        fields.retain(|(known, _)| *known != name);
        fields.push((name, value));
        let refused = post(&gate, TOKEN, &fields);
        assert_eq!(error(&refused), (400, "invalid_grant".into()), "{name} {value}");
        assert_eq!(
            error(&exchange(&gate, &code)),
            (400, "invalid_grant".into()),
            "used up"
        );
    }
    assert_eq!(listed(&gate, "anna").len(), 0);
}

// RFC 6749 §4.1.2: "a second use of a used code revokes the grant"
#[test]
fn a_code_that_is_shown_twice_ends_what_came_of_it() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let mut anna = logged_in(&gate, "anna");
    let code = allow(&mut anna, &asked());
    let tokens = Tokens::of(&exchange(&gate, &code));
    assert_eq!(opens(&gate, &tokens), 200);
    assert_eq!(error(&exchange(&gate, &code)), (400, "invalid_grant".into()));
    assert_eq!(opens(&gate, &tokens), 401);
    assert_eq!(
        error(&refresh(&gate, &tokens.refresh)),
        (400, "invalid_grant".into())
    );
    gate.await_log("because its code was used twice");
    // Of many that show it at once one has the tokens, for no longer than until the next shows it.
    let code = allow(&mut anna, &asked());
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| exchange(&gate, &code).status))
            .collect();
        asking
            .into_iter()
            .map(|one| one.join().expect("no panic"))
            .collect()
    });
    assert!(
        answers.iter().filter(|status| **status == 200).count() <= 1,
        "{answers:?}"
    );
    crate::support::eventually(|| listed(&gate, "anna").is_empty(), || "it goes on".into());
    // Nor does a code outlive the login that it came from.
    let code = allow(&mut anna, &asked());
    let page = anna.get("/_sidegate/logout");
    assert_eq!(anna.submit(&page, "/_sidegate/logout", &[]).status, 303);
    assert_eq!(error(&exchange(&gate, &code)), (400, "invalid_grant".into()));
}

// RFC 6749 §5.2, strictly: "Doubled parameters"; there is no password grant (OAuth 2.1)
#[test]
fn what_is_no_request_is_told_so_in_json() {
    let backend = Backend::start();
    let gate = house(&backend, "[guard]\nrate = \"off\"\n");
    let code = allow(&mut logged_in(&gate, "anna"), &asked());
    let good = exchange_fields(&code).to_vec();
    for missing in ["grant_type", "code", "client_id", "redirect_uri", "code_verifier"] {
        let mut fields = good.clone();
        fields.retain(|(name, _)| *name != missing);
        assert_eq!(
            error(&post(&gate, TOKEN, &fields)),
            (400, "invalid_request".into()),
            "{missing}"
        );
        let mut fields = good.clone();
        fields.push(*good.iter().find(|(name, _)| *name == missing).expect("there"));
        assert_eq!(
            error(&post(&gate, TOKEN, &fields)),
            (400, "invalid_request".into()),
            "{missing} twice"
        );
    }
    for grant in ["password", "client_credentials", "implicit", "Authorization_Code"] {
        let fields = [
            ("grant_type", grant),
            ("username", "anna"),
            ("password", "plain words here"),
        ];
        assert_eq!(
            error(&post(&gate, TOKEN, &fields)),
            (400, "unsupported_grant_type".into())
        );
    }
    let json = gate.send(
        "POST",
        TOKEN,
        &["Content-Type: application/json"],
        b"{\"grant_type\":\"x\"}",
    );
    assert_eq!(error(&json), (415, "invalid_request".into()));
    let large = "x".repeat(20_000);
    assert_eq!(
        error(&post(&gate, TOKEN, &[("code", &large)])),
        (413, "invalid_request".into())
    );
    for path in [TOKEN, REVOKE] {
        assert_eq!(gate.get(&format!("{path}?grant_type=x"), &[]).status, 405);
        assert_eq!(gate.send("PUT", path, &[], b"").status, 405);
    }
    // None of it used the code up.
    assert_eq!(post(&gate, TOKEN, &good).status, 200);
}

const STRICT: &str = "[guard]\nexempt = []\nrate = \"off\"\nfailures = \"6 in 5m\"\nban_for = \"1h\"\n";

fn from(gate: &Sidegate, client: &str, fields: &[(&str, &str)]) -> Answer {
    let body = form(fields.iter().copied());
    let headers = [
        "Content-Type: application/x-www-form-urlencoded",
        "Connection: close",
    ];
    Client::from(client, gate.address).send("POST", TOKEN, &headers, body.as_bytes())
}

fn with_token(gate: &Sidegate, client: &str, token: &str) -> u16 {
    let header = format!("X-OPENHAB-TOKEN: {token}");
    Client::from(client, gate.address).get("/app", &[&header]).status
}

// "every road (form, Basic, token endpoint) shares it"; "the same one again counts once per window"; "429"
#[test]
fn wrong_codes_and_refresh_tokens_count_with_wrong_tokens_of_every_other_road() {
    let backend = Backend::start();
    let gate = house(&backend, STRICT);
    let mut anna = logged_in(&gate, "anna");
    let tokens = let_in(&gate, &mut anna);
    let other = let_in(&gate, &mut anna);
    let client = "127.0.0.2";
    let code = |code: String| from(&gate, client, &exchange_fields(&code));
    let refresh = |token: &str| {
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
            ("client_id", CLIENT),
        ];
        from(&gate, client, &fields)
    };
    for _ in 0..10 {
        assert_eq!(
            error(&code("A".repeat(43))),
            (400, "invalid_grant".into()),
            "the same again"
        );
    }
    assert_eq!(code("B".repeat(43)).status, 400);
    assert_eq!(refresh("oh.refresh.wrong").status, 400);
    assert_eq!(with_token(&gate, client, "oh.phone.wrong1"), 401);
    assert_eq!(with_token(&gate, client, "oh.phone.wrong2"), 401);
    // Not counted: what was right once.
    gate.cli(&["app", "revoke", "--user", "anna"]).success();
    for dead in [&tokens, &other] {
        assert_eq!(refresh(&dead.refresh).status, 400);
        assert_eq!(with_token(&gate, client, &dead.access), 401);
    }
    let kept = let_in(&gate, &mut anna);
    assert_eq!(refresh(&kept.refresh).status, 200, "five wrong ones are not six");
    assert_eq!(refresh("oh.refresh.other").status, 400);
    // The sixth: by every road, and for the right one too.
    let banned = refresh(&kept.refresh);
    assert_eq!(banned.status, 429, "{}", banned.text());
    let wait: u64 = banned
        .header("retry-after")
        .expect("when")
        .parse()
        .expect("seconds");
    assert!((3590..=3600).contains(&wait), "{wait}");
    assert_eq!(code("A".repeat(43)).status, 429);
    assert_eq!(with_token(&gate, client, "oh.phone.wrong1"), 429);
    let bans = gate.cli(&["ban", "list", "--output", "json"]).success().stdout;
    assert!(bans.contains("127.0.0.2/32"), "{bans}");
    assert_eq!(
        from(&gate, "127.0.0.3", &exchange_fields("x")).status,
        400,
        "nobody else"
    );

    // And the other way round: wrong tokens by header close the token endpoint.
    for number in 0..6 {
        assert_eq!(
            with_token(&gate, "127.0.0.4", &format!("oh.phone.wrong{number}")),
            401
        );
    }
    assert_eq!(from(&gate, "127.0.0.4", &exchange_fields("x")).status, 429);
}

// "nor one that a browser sends for the page of another site, which could have its visitors banned"
#[test]
fn a_page_of_another_site_cannot_have_its_visitor_banned() {
    let backend = Backend::start();
    let gate = house(&backend, STRICT);
    let send = |client: &str, method: &str, path: &str, origin: &str, body: &str| {
        let origin = format!("Origin: {origin}");
        let headers = [
            "Content-Type: application/x-www-form-urlencoded",
            "Connection: close",
            origin.as_str(),
        ];
        let answer = Client::from(client, gate.address).send(method, path, &headers, body.as_bytes());
        answer.status
    };
    let code = |number: usize| {
        let code = format!("wrong{number}");
        form(exchange_fields(&code).into_iter())
    };
    for number in 0..20 {
        let answer = send("127.0.0.2", "POST", TOKEN, "https://evil.example", &code(number));
        assert_eq!(answer, 400);
        let link = format!("/_sidegate/setup?code=wrong{number}");
        assert_ne!(send("127.0.0.2", "GET", &link, "https://evil.example", ""), 429);
    }
    assert_eq!(
        with_token(&gate, "127.0.0.2", "oh.phone.wrong"),
        401,
        "not banned"
    );
    // A page of the gate's own host is nobody else's, and neither is a program.
    let own = "http://gate.test";
    for number in 0..6 {
        assert_eq!(send("127.0.0.3", "POST", TOKEN, own, &code(number)), 400);
    }
    assert_eq!(send("127.0.0.3", "POST", TOKEN, own, &code(7)), 429);
}

// "answer `Access-Control-Allow-Origin` of the client's origin there only, no credentials; preflight answered"
#[test]
fn a_page_of_the_app_reads_the_answer_and_no_other() {
    let backend = Backend::start();
    let gate = house(&backend, "[guard]\nrate = \"off\"\n");
    let mut anna = logged_in(&gate, "anna");
    let tokens = let_in(&gate, &mut anna);
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", tokens.refresh.as_str()),
        ("client_id", CLIENT),
    ];
    let allowed = |answer: &Answer| answer.header("access-control-allow-origin").map(str::to_owned);
    let own = post_with(&gate, TOKEN, &fields, &["Origin: https://app.example"]);
    assert_eq!(own.status, 200, "{}", own.text());
    assert_eq!(allowed(&own).as_deref(), Some("https://app.example"));
    assert_eq!(own.header("vary"), Some("Origin"));
    assert_eq!(own.header("access-control-allow-credentials"), None);
    for origin in [
        "https://evil.example",
        "https://app.example.evil.example",
        "null",
        "http://app.example",
    ] {
        let line = format!("Origin: {origin}");
        let answer = post_with(&gate, TOKEN, &fields, &[&line]);
        assert_eq!(allowed(&answer), None, "{origin}");
        let revoke = [("token", "nothing"), ("client_id", CLIENT)];
        assert_eq!(
            allowed(&post_with(&gate, REVOKE, &revoke, &[&line])),
            None,
            "{origin}"
        );
    }
    let revoked = post_with(&gate, REVOKE, &fields[1..], &["Origin: https://app.example"]);
    assert_eq!(error_or_status(&revoked), 400, "token must be there");
    assert_eq!(allowed(&revoked).as_deref(), Some("https://app.example"));
    for path in [TOKEN, REVOKE] {
        let lines = [
            "Origin: https://app.example",
            "Access-Control-Request-Method: POST",
            "Access-Control-Request-Headers: content-type",
        ];
        let preflight = gate.send("OPTIONS", path, &lines, b"");
        assert_eq!(preflight.status, 204);
        assert_eq!(allowed(&preflight).as_deref(), Some("https://app.example"));
        assert_eq!(preflight.header("access-control-allow-methods"), Some("POST"));
        assert_eq!(preflight.header("access-control-allow-credentials"), None);
    }
    // Nowhere else.
    let lines = [
        "Origin: https://app.example",
        "Access-Control-Request-Method: POST",
    ];
    for path in [
        "/_sidegate/oauth/authorize",
        "/_sidegate/api/v1/apps",
        "/_sidegate/login",
    ] {
        assert_eq!(allowed(&gate.send("OPTIONS", path, &lines, b"")), None, "{path}");
    }
}

fn error_or_status(answer: &Answer) -> u16 {
    answer.status
}

// One login for several domains: programs are not sent elsewhere
#[test]
fn apps_get_their_tokens_at_every_domain() {
    let backend = Backend::start();
    let settings = "server: public_url = \"http://gate.test\"\nserver: domains = [\"http://media.test\"]\n";
    let gate = house(&backend, settings);
    let mut anna = logged_in(&gate, "anna");
    let code = allow(&mut anna, &asked());
    let body = form(exchange_fields(&code).into_iter());
    let headers = [
        "Host: media.test",
        "Content-Type: application/x-www-form-urlencoded",
        "Connection: close",
    ];
    let answer = Client::to(gate.address).send("POST", TOKEN, &headers, body.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    // Where people are asked is one place.
    let mut elsewhere = crate::support::Browser::new(gate.address);
    elsewhere.host = "media.test";
    let sent = elsewhere.get(&address(&asked()));
    let to = sent.header("location").expect("elsewhere");
    assert!(
        to.starts_with("http://gate.test/_sidegate/oauth/authorize?"),
        "{to}"
    );
}
