//! The REST interface through the real program: who may do what, what is answered, and that the
//! document says neither more nor less than what is there.

mod support;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use support::{Answer, Backend, Browser, Sidegate};

const API: &str = "/_sidegate/api/v1";
const PASSWORD: &str = "plain words here";

/// A gate with anna the owner, adam the admin, bob the user.
fn house(backend: &Backend) -> Sidegate {
    house_with(backend, "")
}

fn house_with(backend: &Backend, settings: &str) -> Sidegate {
    let gate = Sidegate::in_front_of(backend, settings);
    for words in [
        &["anna"][..],
        &["adam", "--role", "admin"],
        &["bob", "--group", "family"],
    ] {
        let words = [&["user", "add", "--password-stdin"], words].concat();
        gate.cli_with_input(&words, &format!("{PASSWORD}\n")).success();
    }
    gate
}

fn token(gate: &Sidegate, user: &str, name: &str, scope: &str) -> String {
    let mut words = vec!["token", "create", name, "--user", user];
    if !scope.is_empty() {
        words.extend(["--scope", scope]);
    }
    gate.cli(&words).success().stdout.trim_end().to_owned()
}

fn call(gate: &Sidegate, token: &str, method: &str, path: &str, body: &Value) -> Answer {
    let authorization = format!("Authorization: Bearer {token}");
    let mut headers = vec![authorization.as_str()];
    let body = match body {
        Value::Null => Vec::new(),
        body => {
            headers.push("Content-Type: application/json");
            body.to_string().into_bytes()
        }
    };
    gate.send(method, &format!("{API}{path}"), &headers, &body)
}

fn get(gate: &Sidegate, token: &str, path: &str) -> Answer {
    call(gate, token, "GET", path, &Value::Null)
}

#[track_caller]
fn is(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    if status == 204 {
        assert!(answer.body.is_empty());
        return Value::Null;
    }
    let expected = if status < 400 {
        "application/json"
    } else {
        "application/problem+json"
    };
    assert_eq!(answer.header("content-type"), Some(expected), "{}", answer.text());
    let value: Value = serde_json::from_slice(&answer.body).expect("JSON");
    if status >= 400 {
        assert_eq!(value["status"], status);
        assert_eq!(
            value["request_id"].as_str(),
            answer.header("x-request-id"),
            "{value}"
        );
    }
    value
}

fn audit(gate: &Sidegate) -> Vec<Value> {
    let text = gate.written_audit();
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

fn names(list: &Value) -> Vec<&str> {
    let list = list.as_array().expect("a list");
    list.iter()
        .map(|one| one["name"].as_str().expect("a name"))
        .collect()
}

// Section 4: "An ordinary token may list and revoke its user's tokens; creating tokens and changing
// passwords or factors needs a recent login, the command line, or scope `admin`"
#[test]
fn an_ordinary_token_lists_and_revokes_its_users_tokens_and_nothing_else() {
    let backend = Backend::start();
    let gate = house(&backend);
    let phone = token(&gate, "bob", "phone", "");
    let old = token(&gate, "bob", "old", "");
    let annas = token(&gate, "anna", "script", "");

    let mine = is(&get(&gate, &phone, "/tokens"), 200);
    assert_eq!(names(&mine["tokens"]), ["old", "phone"]);
    let id = mine["tokens"][0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(is(&get(&gate, &phone, "/tokens?user=bob"), 200), mine);
    assert_eq!(is(&get(&gate, &phone, "/me"), 200)["user"]["role"], "user");
    assert_eq!(
        is(&get(&gate, &phone, &format!("/tokens/{id}")), 200)["token"]["name"],
        "old"
    );
    let revoked = is(
        &call(&gate, &phone, "DELETE", &format!("/tokens/{id}"), &Value::Null),
        200,
    );
    assert_eq!(revoked["token"]["name"], "old");
    assert_eq!(
        get(&gate, &old, "/me").status,
        401,
        "in force when it is answered"
    );

    // Another's: they may not even learn that it is there.
    let all = gate
        .cli(&["token", "list", "--user", "anna", "--output", "json"])
        .success();
    let all: Value = serde_json::from_str(&all.stdout).expect("JSON");
    let theirs = all[0]["id"].as_str().expect("an id");
    for method in ["GET", "DELETE"] {
        let answer = call(&gate, &phone, method, &format!("/tokens/{theirs}"), &Value::Null);
        let unknown = call(&gate, &phone, method, "/tokens/aaaaaaaaaaaa", &Value::Null);
        assert_eq!(is(&answer, 404)["detail"], is(&unknown, 404)["detail"]);
    }
    assert_eq!(get(&gate, &annas, "/me").status, 200);

    for (method, path, body) in [
        ("GET", "/tokens?user=anna", Value::Null),
        ("GET", "/tokens?user=*", Value::Null),
        ("POST", "/tokens", json!({ "name": "more" })),
        (
            "POST",
            "/tokens/rotate",
            json!({ "user": "bob", "name": "phone" }),
        ),
        (
            "PUT",
            "/users/bob/password",
            json!({ "password": "another plain sentence" }),
        ),
        ("PUT", "/users/bob/role", json!({ "role": "owner" })),
        ("GET", "/users", Value::Null),
        ("GET", "/users/anna", Value::Null),
        ("GET", "/decisions", Value::Null),
        ("GET", "/settings", Value::Null),
        ("GET", "/health", Value::Null),
        ("GET", "/bans", Value::Null),
    ] {
        let refused = call(&gate, &phone, method, path, &body);
        assert_eq!(is(&refused, 403)["title"], "Forbidden", "{method} {path}");
    }
    // The same of an owner's token that was made for an application: it has not the keys of the house.
    for (method, path, body) in [
        ("POST", "/tokens", json!({ "name": "more" })),
        ("GET", "/users", Value::Null),
        ("POST", "/users", json!({ "name": "mallory" })),
    ] {
        let refused = is(&call(&gate, &annas, method, path, &body), 403);
        assert!(
            refused["detail"]
                .as_str()
                .expect("a sentence")
                .contains("scope admin"),
            "{refused}"
        );
    }
    // With the scope it may make tokens for its user, whoever that is.
    let own = token(&gate, "bob", "own", "admin");
    let made = is(
        &call(
            &gate,
            &own,
            "POST",
            "/tokens",
            &json!({ "name": "more", "expires": "1d", "networks": ["127.0.0.0/8"] }),
        ),
        201,
    );
    let secret = made["minted"]["token"].as_str().expect("shown once");
    assert_eq!(get(&gate, secret, "/me").status, 200);
    assert_eq!(get(&gate, &own, "/users").status, 403);
    // A token that may only read changes nothing.
    let reader = token(&gate, "bob", "reader", "read-only");
    assert_eq!(get(&gate, &reader, "/tokens").status, 200);
    let more = made["minted"]["view"]["id"].as_str().expect("an id");
    assert_eq!(
        call(&gate, &reader, "DELETE", &format!("/tokens/{more}"), &Value::Null).status,
        403
    );
}

// Issue 5, 6: "users and groups, disable, reset links, tokens and sessions of a user, bans, … all also
// by CLI and REST"
#[test]
fn an_administrator_looks_after_people() {
    let backend = Backend::start();
    let gate = house(&backend);
    let admin = token(&gate, "adam", "script", "admin");
    let ask = |method: &str, path: &str, body: Value| call(&gate, &admin, method, path, &body);
    let null = || Value::Null;

    let made = is(
        &ask(
            "POST",
            "/users",
            json!({ "name": "carl", "groups": ["guests"], "email": "c@home.example" }),
        ),
        201,
    );
    assert_eq!(
        (
            &made["user"]["name"],
            &made["user"]["role"],
            &made["user"]["password"]
        ),
        (&json!("carl"), &json!("user"), &json!(false))
    );
    assert_eq!(
        names(&is(&ask("GET", "/users", null()), 200)["users"]),
        ["adam", "anna", "bob", "carl"]
    );
    let groups = is(
        &ask("PUT", "/users/carl/groups", json!({ "groups": ["kitchen"] })),
        200,
    );
    assert_eq!(groups["user"]["groups"], json!(["kitchen"]));
    let named = is(
        &ask("PUT", "/users/carl/names", json!({ "display_name": "Carl C." })),
        200,
    );
    assert_eq!(
        (&named["user"]["display_name"], &named["user"]["email"]),
        (&json!("Carl C."), &json!("c@home.example"))
    );
    assert_eq!(
        is(
            &ask("PUT", "/users/carl/role", json!({ "role": "read-only" })),
            200
        )["user"]["role"],
        "read-only"
    );
    is(
        &ask("PUT", "/users/carl/password", json!({ "password": PASSWORD })),
        204,
    );
    let mut browser = Browser::new(gate.address);
    assert_eq!(browser.login("carl", PASSWORD).status, 303);

    let theirs = is(
        &ask("POST", "/tokens", json!({ "name": "tv", "user": "carl" })),
        201,
    );
    let tv = theirs["minted"]["token"].as_str().expect("a token").to_owned();
    assert_eq!(
        gate.get("/", &[&format!("Authorization: Bearer {tv}")]).status,
        200
    );
    let sessions = is(&ask("GET", "/sessions?user=carl", null()), 200);
    assert_eq!(sessions["sessions"].as_array().map(Vec::len), Some(1));
    let rotated = is(
        &ask(
            "POST",
            "/tokens/rotate",
            json!({ "user": "carl", "name": "tv", "overlap": "0s" }),
        ),
        201,
    );
    assert_ne!(rotated["minted"]["token"], theirs["minted"]["token"]);

    assert_eq!(
        is(
            &ask("PUT", "/users/carl/enabled", json!({ "enabled": false })),
            200
        )["user"]["disabled"],
        true
    );
    assert_eq!(
        gate.get("/", &[&format!("Authorization: Bearer {tv}")]).status,
        401
    );
    let link = is(&ask("POST", "/users/carl/recovery", null()), 201);
    let link = link["link"]["link"].as_str().expect("a link");
    assert!(link.contains("/_sidegate/setup?code="), "{link}");
    is(&ask("DELETE", "/users/carl", null()), 204);
    assert_eq!(is(&ask("GET", "/users/carl", null()), 404)["status"], 404);

    is(&ask("POST", "/groups", json!({ "name": "cellar" })), 204);
    assert_eq!(
        names(&is(&ask("GET", "/groups", null()), 200)["groups"]),
        ["cellar", "family", "guests", "kitchen"]
    );
    is(&ask("DELETE", "/groups/cellar", null()), 204);
    is(&ask("DELETE", "/groups/cellar", null()), 404);

    let ban = is(
        &ask(
            "POST",
            "/bans",
            json!({ "network": "203.0.113.0/24", "for": "1h" }),
        ),
        201,
    );
    assert_eq!(ban["ban"]["why"], "operator");
    assert_eq!(
        is(&ask("GET", "/bans", null()), 200)["bans"][0]["network"],
        "203.0.113.0/24"
    );
    is(&ask("DELETE", "/bans?network=203.0.113.7", null()), 204);
    is(&ask("DELETE", "/bans?network=203.0.113.7", null()), 404);
    // "never ban trusted proxies": nor whoever is exempt
    is(&ask("POST", "/bans", json!({ "network": "127.0.0.1" })), 400);

    // The same lines as by command line, with the name of who did it.
    gate.audit();
    let lines = audit(&gate);
    for (event, user, reason) in [
        ("user.add", "carl", ""),
        ("user.change", "carl", "role=read-only"),
        ("user.change", "carl", "groups=kitchen"),
        ("user.change", "carl", "password"),
        ("token.create", "carl", ""),
        ("user.change", "carl", "disabled"),
        ("link.create", "carl", "recover"),
        ("user.remove", "carl", ""),
        ("ban.add", "", "203.0.113.0/24"),
        ("ban.remove", "", "203.0.113.7/32"),
    ] {
        let line = lines.iter().find(|line| {
            line["event"] == event
                && line["user"].as_str().unwrap_or_default() == user
                && line["reason"].as_str().unwrap_or_default() == reason
        });
        let line = line.unwrap_or_else(|| panic!("no {event} {reason}"));
        assert_eq!(
            (&line["actor"], &line["road"], &line["client"]),
            (&json!("adam"), &json!("api"), &json!("127.0.0.1")),
            "{line}"
        );
        assert!(
            line["request_id"].is_string() && line["path"].is_string(),
            "{line}"
        );
    }
    let all = serde_json::to_string(&lines).expect("JSON");
    for secret in [PASSWORD, tv.as_str(), admin.as_str()] {
        assert!(!all.contains(secret) && !gate.log().contains(secret), "{secret}");
    }
}

// "The owner cannot be disabled or removed": and an administrator cannot become the owner.
#[test]
fn nobody_gets_more_rights_than_they_have() {
    let backend = Backend::start();
    let gate = house(&backend);
    let adam = token(&gate, "adam", "script", "admin");
    // The owner's own token with that scope acts as an administrator.
    let anna = token(&gate, "anna", "script", "admin");
    for (method, path, body) in [
        ("PUT", "/users/anna/enabled", json!({ "enabled": false })),
        ("PUT", "/users/anna/role", json!({ "role": "user" })),
        ("PUT", "/users/anna/groups", json!({ "groups": [] })),
        (
            "PUT",
            "/users/anna/password",
            json!({ "password": "another plain sentence" }),
        ),
        ("PUT", "/users/bob/role", json!({ "role": "owner" })),
        ("POST", "/users/anna/recovery", Value::Null),
        ("POST", "/users", json!({ "name": "mallory", "role": "owner" })),
        ("POST", "/tokens", json!({ "name": "x", "user": "anna" })),
        (
            "POST",
            "/tokens/rotate",
            json!({ "name": "script", "user": "anna" }),
        ),
        ("DELETE", "/users/anna/sessions", Value::Null),
        ("DELETE", "/users/anna", Value::Null),
    ] {
        for token in [&adam, &anna] {
            let answer = call(&gate, token, method, path, &body);
            if path == "/users/anna/sessions" && token == &anna {
                is(&answer, 200);
                continue;
            }
            is(&answer, 403);
        }
    }
    for (method, path, body) in [
        ("DELETE", "/users/adam", Value::Null),
        ("PUT", "/users/adam/enabled", json!({ "enabled": false })),
        ("PUT", "/users/adam/role", json!({ "role": "user" })),
    ] {
        let refused = is(&call(&gate, &adam, method, path, &body), 403);
        assert!(
            refused["detail"]
                .as_str()
                .expect("a sentence")
                .contains("themselves"),
            "{refused}"
        );
    }
    // What nobody may is not even tried: no line says that somebody changed the owner.
    assert!(
        !audit(&gate)
            .iter()
            .any(|line| line["event"] == "user.change" && line["user"] == "anna")
    );
    for scope in ["", "owner", "admin items", "admin owner"] {
        is(
            &call(
                &gate,
                &anna,
                "POST",
                "/tokens",
                &json!({ "name": "x", "scope": scope }),
            ),
            403,
        );
    }
    is(
        &call(
            &gate,
            &anna,
            "POST",
            "/tokens",
            &json!({ "name": "x", "scope": "admin user" }),
        ),
        201,
    );
    let owner = token(&gate, "anna", "keys", "owner");
    is(
        &call(
            &gate,
            &owner,
            "PUT",
            "/users/bob/role",
            &json!({ "role": "owner" }),
        ),
        200,
    );
    is(
        &call(
            &gate,
            &owner,
            "PUT",
            "/users/anna/groups",
            &json!({ "groups": ["parents"] }),
        ),
        200,
    );
    // The last one who can get in stays.
    is(
        &call(
            &gate,
            &owner,
            "PUT",
            "/users/bob/role",
            &json!({ "role": "user" }),
        ),
        200,
    );
    let refused = is(&call(&gate, &owner, "DELETE", "/users/anna", &Value::Null), 403);
    assert!(refused["detail"].is_string());
}

// "creating tokens and changing passwords or factors needs a recent login"; threat model: a cookie is
// of use to pages of this host only
#[test]
fn a_login_may_use_it_from_pages_of_this_host() {
    let backend = Backend::start();
    let gate = house(&backend);
    let mut browser = Browser::new(gate.address);
    assert_eq!(browser.login("adam", PASSWORD).status, 303);
    let json = "Content-Type: application/json";
    let body = json!({ "name": "laptop" }).to_string();
    let mut post =
        |headers: &[&str]| browser.request("POST", &format!("{API}/tokens"), headers, body.as_bytes());
    for headers in [
        &[json][..],
        &[json, "Origin: http://evil.example"],
        &[json, "Sec-Fetch-Site: cross-site", "Origin: http://gate.test"],
        &[json, "Sec-Fetch-Site: same-site"],
        // What a form of a foreign page could send is not even read.
        &[
            "Content-Type: application/x-www-form-urlencoded",
            "Origin: http://evil.example",
        ],
    ] {
        assert_eq!(post(headers).status, 403, "{headers:?}");
    }
    assert_eq!(
        post(&["Content-Type: text/plain", "Origin: http://gate.test"]).status,
        415
    );
    assert_eq!(post(&[json, "Origin: http://gate.test"]).status, 201);
    assert_eq!(browser.get(&format!("{API}/users")).status, 200);
    // No other site may read what is answered.
    let read = browser.request(
        "GET",
        &format!("{API}/users"),
        &["Origin: http://evil.example"],
        b"",
    );
    assert_eq!(read.header("access-control-allow-origin"), None);

    // Nobody: a browser is sent to the login, a program gets its 401.
    let mut stranger = Browser::new(gate.address);
    assert_eq!(stranger.get(&format!("{API}/users")).status, 303);
    let refused = gate.get(&format!("{API}/users"), &[]);
    assert_eq!(refused.status, 401);
    assert!(
        refused
            .header("www-authenticate")
            .is_some_and(|value| value.starts_with("Bearer"))
    );
}

#[test]
fn a_trusted_network_has_no_keys_and_wrong_tokens_count() {
    let backend = Backend::start();
    let settings = "[networks]\ntrusted = [{ cidr = \"127.0.0.0/8\", user = \"anna\" }]\n\
                    [guard]\nfailures = \"3 in 5m\"\nexempt = []\n";
    let gate = house_with(&backend, settings);
    assert_eq!(
        gate.get("/", &[]).status,
        200,
        "the network opens the application"
    );
    for path in ["/me", "/users", "/tokens"] {
        let refused = gate.get(&format!("{API}{path}"), &[]);
        assert_eq!(is(&refused, 403)["status"], 403);
    }
    for guess in ["a", "b", "c", "d"] {
        let answer = get(&gate, &format!("oh.{guess}.AAAA"), "/me");
        assert!(matches!(answer.status, 401 | 429), "{}", answer.status);
    }
    assert_eq!(get(&gate, "oh.e.AAAA", "/me").status, 429);
    assert_eq!(gate.get(&format!("{API}/openapi.json"), &[]).status, 429);
}

// Issue 5, 6: "recent decisions with filters and "why", health, settings in force"
#[test]
fn an_administrator_sees_what_was_decided_and_why() {
    let backend = Backend::start();
    let gate = house_with(
        &backend,
        "[[route]]\npath = \"/admin\"\nupstream = \"http://127.0.0.1:9\"\naccess = \"admin\"\n",
    );
    let admin = token(&gate, "anna", "script", "admin");
    let bob = token(&gate, "bob", "phone", "");
    let bearer = format!("Authorization: Bearer {bob}");
    let refused = gate.get("/admin/x?secret=1", &[&bearer]);
    assert_eq!(refused.status, 403);
    let id = refused.header("x-request-id").expect("an id").to_owned();
    assert_eq!(gate.get("/open", &[]).status, 401);
    support::eventually(
        || audit(&gate).iter().any(|line| line["path"] == "/open"),
        || "the line is not written".into(),
    );

    let all = is(&get(&gate, &admin, "/decisions?limit=500"), 200);
    let all = all["decisions"].as_array().expect("a list");
    assert!(all.len() >= 2);
    let seqs: Vec<u64> = all.iter().filter_map(|line| line["seq"].as_u64()).collect();
    assert!(
        seqs.is_sorted_by(|one, next| one > next),
        "the newest first: {seqs:?}"
    );
    let denied = is(&get(&gate, &admin, "/decisions?decision=deny&user=bob"), 200);
    assert_eq!(denied["decisions"].as_array().map(Vec::len), Some(1), "{denied}");
    let line = &denied["decisions"][0];
    assert_eq!(
        (&line["request_id"], &line["path"], &line["client"]),
        (&json!(id), &json!("/admin/x"), &json!("127.0.0.1"))
    );
    assert!(!line.to_string().contains("secret"));
    for (query, expected) in [
        ("path=/open", 1),
        ("path=gate.test/adm", 1),
        ("client=192.0.2.1", 0),
        ("what=changes&user=bob&limit=1", 1),
        ("user=nobody", 0),
    ] {
        let found = is(&get(&gate, &admin, &format!("/decisions?{query}")), 200);
        assert_eq!(
            found["decisions"].as_array().map(Vec::len),
            Some(expected),
            "{query}: {found}"
        );
    }
    let newest = seqs.first().copied().expect("a line");
    let before = is(
        &get(
            &gate,
            &admin,
            &format!("/decisions?before={newest}&what=all&limit=500"),
        ),
        200,
    );
    let before = before["decisions"].as_array().expect("a list");
    assert!(before.iter().all(|line| line["seq"].as_u64() < Some(newest)));
    for query in ["what=everything", "limit=many", "wat=all", "user=a&user=b"] {
        is(&get(&gate, &admin, &format!("/decisions?{query}")), 400);
    }

    // "the same explanation as `sidegate explain --id`"
    let told = is(&get(&gate, &admin, &format!("/decisions/{id}")), 200);
    let said = gate
        .cli(&["explain", "--id", &id, "--output", "json"])
        .success()
        .stdout;
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(told["explained"], said);
    assert_eq!(said["decision"], "deny");
    is(&get(&gate, &admin, "/decisions/0000000000000000"), 404);
    is(&get(&gate, &admin, "/decisions/x"), 400);
    // A refusal of the interface itself is explained as well.
    let own = get(&gate, &bob, "/users");
    let id = own.header("x-request-id").expect("an id").to_owned();
    support::eventually(
        || {
            let line = |line: &Value| line["request_id"] == id && line["decision"] == "deny";
            audit(&gate).iter().any(line)
        },
        || "the line is not written".into(),
    );
    let told = is(&get(&gate, &admin, &format!("/decisions/{id}")), 200);
    let reason = told["explained"]["reason"].as_str().expect("a sentence");
    assert!(reason.contains("for administrators"), "{told}");

    let health = is(&get(&gate, &admin, "/health"), 200);
    assert_eq!(health["status"]["ready"], true, "{health}");
    assert_eq!(health["status"]["users"], 3);
    assert_eq!(
        health["status"]["upstreams"].as_array().map(Vec::len),
        Some(2),
        "{health}"
    );
    let settings = is(&get(&gate, &admin, "/settings"), 200);
    let printed = gate.cli(&["config", "print"]).success().stdout;
    assert_eq!(settings["settings"].as_str(), Some(printed.as_str()));
}

#[test]
fn settings_in_force_follow_a_reload_and_hold_no_secret() {
    let backend = Backend::start();
    let mut gate = house(&backend);
    let admin = token(&gate, "anna", "script", "admin");
    let secret = gate.data.path().join("secret");
    std::fs::write(&secret, "the gateway's secret\n").expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&secret, mode).expect("it is ours");
    let route = format!(
        "[[route]]\npath = \"/\"\nupstream = \"http://{}\"\n",
        backend.address
    );
    gate.write_config(&format!(
        "server: decision_secret_file = \"{}\"\n{route}[guard]\nban_for = \"17m\"\n",
        secret.display()
    ));
    support::eventually(
        || get(&gate, &admin, "/settings").text().contains("17m"),
        || gate.log(),
    );
    let shown = get(&gate, &admin, "/settings").text();
    assert!(
        shown.contains("decision_secret_file") && !shown.contains("the gateway's secret"),
        "{shown}"
    );
}

#[test]
fn what_cannot_be_understood_says_what_to_write_instead() {
    let backend = Backend::start();
    let gate = house(&backend);
    let admin = token(&gate, "anna", "script", "owner");
    for (path, body, told) in [
        ("/users", "{}", "missing field `name`"),
        (
            "/users",
            "{\"name\":\"x\",\"admin\":true}",
            "unknown field `admin`",
        ),
        ("/users", "not json", "the body"),
        ("/users", "{\"name\":\"No Name\"}", "user name"),
        ("/tokens", "{\"name\":\"x\",\"expires\":\"soon\"}", "or never"),
        ("/tokens", "{\"name\":\"x\",\"scope\":\"nonsense\"}", "nonsense"),
        (
            "/tokens",
            "{\"name\":\"x\",\"networks\":[\"192.168.1.5/24\"]}",
            "192.168.1.0/24",
        ),
        ("/bans", "{\"network\":\"192.0.2.1\",\"for\":\"0s\"}", "no length"),
    ] {
        let headers = [
            &format!("Authorization: Bearer {admin}") as &str,
            "Content-Type: application/json",
        ];
        let answer = gate.send("POST", &format!("{API}{path}"), &headers, body.as_bytes());
        let problem = is(&answer, 400);
        let detail = problem["detail"].as_str().expect("a sentence");
        assert!(detail.contains(told), "{detail}");
    }
    let big = format!("{{\"name\":\"{}\"}}", "x".repeat(70_000));
    let headers = [
        &format!("Authorization: Bearer {admin}") as &str,
        "Content-Type: application/json",
    ];
    assert_eq!(
        gate.send("POST", &format!("{API}/users"), &headers, big.as_bytes())
            .status,
        413
    );
    for path in [
        "",
        "/",
        "/nothing",
        "/users/",
        "/users/anna/nothing",
        "/tokens/a/b",
    ] {
        is(&get(&gate, &admin, path), 404);
    }
    let head = call(&gate, &admin, "HEAD", "/users", &Value::Null);
    assert_eq!((head.status, head.body.len()), (200, 0));
}

// The document is checked against the routes that exist.
#[test]
fn the_document_says_what_is_there() {
    let backend = Backend::start();
    let gate = house(&backend);
    let admin = token(&gate, "anna", "script", "owner");
    let answer = gate.get(&format!("{API}/openapi.json"), &[]);
    let document = is(&answer, 200);
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["servers"][0]["url"], API);
    // What an answer of each looks like, where something can be looked at.
    let bob = token(&gate, "bob", "phone", "");
    assert_eq!(
        gate.get("/", &[&format!("Authorization: Bearer {bob}")]).status,
        200
    );
    let mut browser = Browser::new(gate.address);
    assert_eq!(browser.login("anna", PASSWORD).status, 303);
    support::app::let_in(&gate, &mut browser);
    let refused = gate.get("/", &["Authorization: Bearer oh.x.AAAA"]);
    let id = refused.header("x-request-id").expect("an id");
    support::eventually(
        || audit(&gate).iter().any(|line| line["request_id"] == id),
        || "the line is not written".into(),
    );
    is(
        &call(
            &gate,
            &admin,
            "POST",
            "/bans",
            &json!({ "network": "203.0.113.7" }),
        ),
        201,
    );
    let tokens = is(&get(&gate, &admin, "/tokens?user=bob"), 200);
    let token_id = tokens["tokens"][0]["id"].as_str().expect("an id");

    let (mut names, mut looked_at) = (BTreeSet::new(), 0);
    let paths = document["paths"].as_object().expect("paths");
    assert!(paths.len() > 15);
    for (path, methods) in paths {
        let methods = methods.as_object().expect("methods");
        let there = path
            .replace("/tokens/{id}", &format!("/tokens/{token_id}"))
            .replace("/decisions/{id}", &format!("/decisions/{id}"))
            .replace("{id}", "aaaaaaaaaaaa")
            .replace("{name}", "bob");
        for (method, described) in methods {
            let name = described["operationId"].as_str().expect("a name");
            assert!(names.insert(name.to_owned()), "{name} twice");
            for text in ["summary", "description"] {
                assert!(
                    described[text].as_str().is_some_and(|text| !text.is_empty()),
                    "{name}"
                );
            }
            let answers = described["responses"].as_object().expect("responses");
            let (status, given) = answers
                .iter()
                .find(|(status, _)| status.starts_with('2'))
                .expect("a success");
            if method == "get" {
                let body = is(&get(&gate, &admin, &there), status.parse().expect("a number"));
                let schema = &given["content"]["application/json"]["schema"];
                if !schema.is_null() {
                    fits(&document, schema, &body, name).unwrap_or_else(|why| panic!("{why}"));
                    let value = body.as_object().and_then(|body| body.values().next());
                    let empty = value.is_none_or(|value| value.as_array().is_some_and(Vec::is_empty));
                    assert!(!empty, "{name}: nothing to look at");
                    looked_at += 1;
                }
            }
        }
        // A method that is not in the document is not there; `/tokens/rotate` is also the token of that id.
        let others = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];
        let unknown = |method: &&&str| !methods.contains_key(&method.to_ascii_lowercase());
        for method in others.iter().filter(unknown).filter(|_| path != "/tokens/rotate") {
            let answer = call(&gate, &admin, method, &there, &Value::Null);
            is(&answer, 405);
            let allowed = answer.header("allow").expect("says what is");
            for method in methods.keys() {
                assert!(allowed.contains(&method.to_ascii_uppercase()), "{allowed}");
            }
        }
        // Each needs a credential, but the document.
        if path != "/openapi.json" {
            assert_eq!(gate.get(&format!("{API}{there}"), &[]).status, 401, "{path}");
        }
    }
    assert!(looked_at > 10, "{looked_at}");
}

#[test]
#[ignore = "needs a validator: tests/openapi/install"]
fn the_document_is_openapi_3_1() {
    let backend = Backend::start();
    let gate = house(&backend);
    let document = gate.get(&format!("{API}/openapi.json"), &[]);
    let file = gate.data.path().join("openapi.json");
    std::fs::write(&file, &document.body).expect("written");
    let validator = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/target/openapi/bin/openapi-spec-validator"
    );
    let file = file.to_str().expect("UTF-8");
    let said = support::client::program(validator, &["--schema", "3.1", file]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
}

/// Whether a value is what a schema says, in the words that our schemas use.
fn fits(document: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let schema = document.pointer(reference.trim_start_matches('#'));
        let schema = schema.ok_or_else(|| format!("{at}: {reference} is nowhere"))?;
        return fits(document, schema, value, at);
    }
    if let Some(list) = schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
        let any = list.iter().any(|one| fits(document, one, value, at).is_ok());
        return any
            .then_some(())
            .ok_or_else(|| format!("{at}: {value} is none of {schema}"));
    }
    if !schema["const"].is_null() {
        let same = &schema["const"] == value;
        return same
            .then_some(())
            .ok_or_else(|| format!("{at}: {value} is not {schema}"));
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let kinds: Vec<&str> = match &schema["type"] {
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    if !kinds.contains(&kind) {
        return Err(format!("{at}: {value} is not {schema}"));
    }
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let schema = &schema["properties"][name];
                if schema.is_null() {
                    return Err(format!("{at}.{name} is not in the document"));
                }
                fits(document, schema, value, &format!("{at}.{name}"))?;
            }
            let required = schema["required"].as_array().into_iter().flatten();
            for name in required.filter_map(Value::as_str) {
                if !object.contains_key(name) {
                    return Err(format!("{at}.{name} is missing"));
                }
            }
        }
        Value::Array(list) => {
            for value in list {
                fits(document, &schema["items"], value, &format!("{at}[]"))?;
            }
        }
        _ => {}
    }
    Ok(())
}
