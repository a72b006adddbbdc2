//! Who may what over REST: every operation of the document, by every role, on somebody, on oneself and on
//! an owner. What is seen is compared with `roles.txt`.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::house::{PASSWORD, add, audit, enrol, house, logged_in};
use crate::support::{Answer, Backend, Browser, Sidegate, app, eventually};

const API: &str = "/_sidegate/api/v1";

/// Account, role, group and the scope of the token.
const WHO: [(&str, &str, &str, &str); 6] = [
    ("anna", "owner", "", "owner"),
    ("adam", "admin", "", "admin"),
    ("eve", "user", "", ""),
    ("ruth", "read-only", "", ""),
    // A free group that has the name of something is nothing more.
    ("greg", "user", "admins", ""),
    // What an owner gave to a script that reads thermometers.
    ("otto", "owner", "", ""),
];

/// Somebody with no rights, oneself, and another owner.
const WHOM: [&str; 3] = ["ben", "me", "olga"];

struct House {
    gate: Sidegate,
    tokens: Vec<String>,
    /// The id of a request that is in the audit file.
    refused: String,
}

impl House {
    fn new(backend: &Backend) -> Self {
        let settings = "[guard]\nrate = \"off\"\n[password]\nmemory = \"8MiB\"\n[session]\nabsolute = \"1h\"\nidle = \"1h\"\n";
        let gate = Sidegate::in_front_of(backend, settings);
        let tokens = WHO.map(|(name, role, group, scope)| {
            let mut words = vec!["user", "add", name, "--role", role, "--password-stdin"];
            if !group.is_empty() {
                words.extend(["--group", group]);
            }
            gate.cli_with_input(&words, PASSWORD).success();
            let mut words = vec!["token", "create", "script", "--user", name];
            if !scope.is_empty() {
                words.extend(["--scope", scope]);
            }
            gate.cli(&words).success().stdout.trim().to_owned()
        });
        let answer = gate.get("/app", &["X-OPENHAB-TOKEN: oh.no.such"]);
        eventually(|| gate.audit_of(&answer).is_some(), || "it is not audited".into());
        let refused = answer.header("x-request-id").expect("an id").to_owned();
        let house = Self {
            tokens: tokens.to_vec(),
            gate,
            refused,
        };
        house.add("ben", "user");
        house.add("olga", "owner");
        house.restore("removeGroup", "");
        house.restore("removeBan", "");
        house
    }

    fn call(&self, token: &str, method: &str, path: &str, body: &Value) -> Answer {
        let bearer = format!("Authorization: Bearer {token}");
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let headers = [bearer.as_str(), "Content-Type: application/json"];
        self.gate
            .send(method, &format!("{API}{path}"), &headers, body.as_bytes())
    }

    fn owner(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.call(&self.tokens[0], method, path, body);
        serde_json::from_slice(&answer.body).unwrap_or(Value::Null)
    }

    /// Puts back what that operation changed.
    fn restore(&self, operation: &str, user: &str) {
        let role = match (user, WHO.iter().find(|who| who.0 == user)) {
            (_, Some(who)) => who.1,
            ("olga", None) => "owner",
            _ => "user",
        };
        let at = |what: &str| format!("/users/{user}{what}");
        let put = |what: &str, body: Value| self.owner("PUT", &at(what), &body);
        match operation {
            "removeUser" => self.add(user, role),
            "setEnabled" => drop(put("/enabled", json!({ "enabled": true }))),
            "setRole" => drop(put("/role", json!({ "role": role }))),
            "setPassword" => drop(put("/password", json!({ "password": PASSWORD }))),
            "setGroups" => drop(put("/groups", json!({ "groups": [] }))),
            "addUser" => drop(self.owner("DELETE", "/users/new", &Value::Null)),
            "addGroup" => drop(self.owner("DELETE", "/groups/new", &Value::Null)),
            "removeGroup" => drop(self.owner("POST", "/groups", &json!({ "name": "old" }))),
            "addBan" => drop(self.owner("DELETE", "/bans?network=192.0.2.1", &Value::Null)),
            "removeBan" => drop(self.owner("POST", "/bans", &json!({ "network": "192.0.2.2" }))),
            _ => {}
        }
    }

    fn add(&self, user: &str, role: &str) {
        let new = json!({ "name": user, "role": role, "password": PASSWORD });
        let added = self.owner("POST", "/users", &new);
        assert_eq!(added["user"]["name"], user, "{added}");
    }

    /// The id of a token called `tv` of theirs, made anew, beside no other but the one they use.
    fn tv(&self, user: &str) -> String {
        let tokens = self.owner("GET", &format!("/tokens?user={user}"), &Value::Null);
        for token in tokens["tokens"].as_array().into_iter().flatten() {
            if token["name"] != "script" {
                let id = token["id"].as_str().expect("an id");
                self.owner("DELETE", &format!("/tokens/{id}"), &Value::Null);
            }
        }
        let made = self.owner("POST", "/tokens", &json!({ "name": "tv", "user": user }));
        made["minted"]["view"]["id"].as_str().expect("an id").to_owned()
    }

    /// The id of a login of theirs.
    fn login(&self, user: &str) -> String {
        let list = self.owner("GET", &format!("/sessions?user={user}"), &Value::Null);
        if let Some(id) = list["sessions"][0]["id"].as_str() {
            return id.to_owned();
        }
        let answer = Browser::new(self.gate.address).login(user, PASSWORD);
        assert_eq!(answer.status, 303, "{user}: {}", answer.text());
        let list = self.owner("GET", &format!("/sessions?user={user}"), &Value::Null);
        list["sessions"][0]["id"].as_str().expect("an id").to_owned()
    }

    /// The id of an app that they let in.
    fn app(&self, user: &str) -> String {
        let list = self.owner("GET", &format!("/apps?user={user}"), &Value::Null);
        if let Some(id) = list["apps"][0]["id"].as_str() {
            return id.to_owned();
        }
        app::let_in(&self.gate, &mut logged_in(&self.gate, user));
        let list = self.owner("GET", &format!("/apps?user={user}"), &Value::Null);
        list["apps"][0]["id"].as_str().expect("an id").to_owned()
    }

    /// What the operation of that name gets, done by that one to that one.
    fn gets(&self, operation: &str, method: &str, path: &str, who: usize, whom: &str) -> u16 {
        let user = match whom {
            "me" => WHO[who].0,
            other => other,
        };
        let (mut path, mut body) = (path.replace("{name}", user), Value::Null);
        match operation {
            "listTokens" | "listSessions" | "listApps" => path = format!("{path}?user={user}"),
            "createToken" => {
                self.tv(user);
                body = json!({ "name": "radio", "user": user });
                if whom == "me" && !WHO[who].3.is_empty() {
                    body["scope"] = "user".into();
                }
            }
            "rotateToken" => {
                self.tv(user);
                body = json!({ "name": "tv", "user": user });
            }
            "showToken" | "revokeToken" => path = path.replace("{id}", &self.tv(user)),
            "endApp" => path = path.replace("{id}", &self.app(user)),
            "endSession" => path = path.replace("{id}", &self.login(user)),
            "addUser" => body = json!({ "name": "new" }),
            "setRole" => body = json!({ "role": "read-only" }),
            "setGroups" => body = json!({ "groups": ["old"] }),
            "setEnabled" => body = json!({ "enabled": false }),
            "setNames" => body = json!({ "display_name": "Somebody" }),
            "setPassword" => body = json!({ "password": "other plain words" }),
            "addGroup" => body = json!({ "name": "new" }),
            "removeGroup" => path = path.replace(&format!("/groups/{user}"), "/groups/old"),
            "addBan" => body = json!({ "network": "192.0.2.1", "for": "1h" }),
            "removeBan" => path = format!("{path}?network=192.0.2.2"),
            "explainDecision" => path = path.replace("{id}", &self.refused),
            _ => {}
        }
        assert!(!path.contains('{'), "{operation} needs something: {path}");
        let status = self.call(&self.tokens[who], method, &path, &body).status;
        if method != "GET" && status < 300 {
            self.restore(operation, user);
        }
        status
    }
}

/// Whether it is about somebody.
fn is_about_somebody(operation: &str, path: &str) -> bool {
    (path.contains("{name}") && operation != "removeGroup")
        || path.starts_with("/tokens")
        || path.starts_with("/sessions")
        || path.starts_with("/apps")
}

fn table() -> String {
    let backend = Backend::start();
    let house = House::new(&backend);
    let document = house.gate.get(&format!("{API}/openapi.json"), &[]);
    let document: Value = serde_json::from_slice(&document.body).expect("JSON");
    let mut text = format!("{:<18}{:<8}{:<28}{:<6}", "operation", "method", "address", "whom");
    for (_, role, group, scope) in WHO {
        let what = match (group, scope) {
            ("", "") if role == "owner" => "no-scope".to_owned(),
            ("", _) => role.to_owned(),
            (group, _) => format!("in-{group}"),
        };
        let _ = write!(text, "{what:>11}");
    }
    text.push('\n');
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let path = path.strip_prefix(API).unwrap_or(path);
        for (method, operation) in methods.as_object().expect("methods") {
            let Some(name) = operation["operationId"].as_str() else {
                continue;
            };
            let method = method.to_uppercase();
            let whom: &[&str] = match is_about_somebody(name, path) {
                true => &WHOM,
                false => &["-"],
            };
            for whom in whom {
                let _ = write!(text, "{name:<18}{method:<8}{path:<28}{whom:<6}");
                for who in 0..WHO.len() {
                    let status = house.gets(name, &method, path, who, whom);
                    let _ = write!(text, "{status:>11}");
                }
                text.push('\n');
            }
        }
    }
    text
}

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/logins/roles.txt")
}

// "Non-owners can be restricted: roles `owner`, `admin`, `user`, `read-only`, free groups"
#[test]
fn every_role_may_what_the_table_says_and_nothing_else() {
    let expected = std::fs::read_to_string(file()).expect("the table");
    let seen = table();
    for (expected, seen) in expected.lines().zip(seen.lines()) {
        assert_eq!(seen, expected);
    }
    assert_eq!(seen.lines().count(), expected.lines().count());
    for line in seen.lines().skip(1) {
        // Whatever an address is, no role below administrators changes anybody else.
        let cells: Vec<&str> = line.split_ascii_whitespace().collect();
        if matches!(cells[3], "ben" | "olga" | "-") {
            let below = [cells[6], cells[7], cells[8]];
            let reads_own = matches!(cells[0], "showMe" | "showDocument");
            assert!(
                reads_own || below.iter().all(|status| matches!(*status, "403" | "404")),
                "{line}"
            );
        }
    }
}

// "recent decisions with filters and why, … all also by CLI and REST"
#[test]
fn the_command_line_filters_the_audit_file_as_pages_and_programs_do() {
    let backend = Backend::start();
    let gate = Sidegate::in_front_of(&backend, "");
    gate.cli(&["user", "add", "anna"]).success();
    gate.cli(&["user", "add", "ben", "--role", "read-only"]).success();
    let words = ["token", "create", "desk", "--user", "anna", "--scope", "owner"];
    let owner = gate.cli(&words).success().stdout.trim().to_owned();
    let ben = gate.token("ben", "phone");
    let denied = gate.send("POST", "/door/open", &[&format!("X-OPENHAB-TOKEN: {ben}")], b"x");
    assert_eq!(denied.status, 403);
    assert_eq!(gate.get("/window", &[]).status, 401);
    assert_eq!(
        gate.get("/door", &[&format!("X-OPENHAB-TOKEN: {ben}")]).status,
        200
    );
    let ids = |text: &str| -> Vec<String> {
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        lines.map(|line| line["seq"].to_string()).collect()
    };
    for (words, query, count) in [
        (&["--decision", "deny"][..], "what=all&decision=deny", 1),
        (&["--user", "ben", "--what", "decisions"], "user=ben", 2),
        (
            &["--path", "/door", "--decision", "allow"],
            "what=all&path=/door&decision=allow",
            1,
        ),
        (
            &["--user", "ben", "--what", "changes"],
            "what=changes&user=ben",
            2,
        ),
        (&["--client", "192.0.2.1"], "what=all&client=192.0.2.1", 0),
    ] {
        let shown = || ids(&gate.cli(&[&["audit", "tail"], words].concat()).success().stdout);
        eventually(|| shown().len() == count, || format!("{words:?}: {:?}", shown()));
        let path = format!("{API}/decisions?{query}");
        let answer = gate.get(&path, &[&format!("X-OPENHAB-TOKEN: {owner}")]);
        let answer: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let listed = answer["decisions"].as_array().expect("a list").iter().rev();
        let listed: Vec<String> = listed.map(|line| line["seq"].to_string()).collect();
        assert_eq!(shown(), listed, "{words:?}");
    }
    let id = denied.header("x-request-id").expect("an id");
    let why = gate.cli(&["explain", "--id", id]).success().stdout;
    assert!(why.contains("deny"), "{why}");
    assert_eq!(gate.cli(&["audit", "tail", "-f", "--user", "ben"]).code, 64);
}

// A lost phone, for whoever is looked after: by page as by command and REST
#[test]
fn an_administrator_takes_a_lost_second_factor_away() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    add(&gate, "ben");
    enrol(&mut logged_in(&gate, "ben"));
    let mut anna = logged_in(&gate, "anna");
    let page = anna.get("/_sidegate/admin/people/ben");
    let action = "/_sidegate/admin/people/ben/factors";
    let done = anna.submit(&page, action, &[]);
    assert_eq!(
        done.header("location"),
        Some("/_sidegate/admin/people/ben?done=factors"),
        "{}",
        done.text()
    );
    logged_in(&gate, "ben");
    let page = anna.get("/_sidegate/admin/people/ben");
    assert!(!page.text().contains(action), "there is none any more");
    assert!(audit(&gate).contains("\"reason\":\"second factor: none\""));
}

#[test]
#[ignore = "writes roles.txt"]
fn write_the_roles() {
    std::fs::write(file(), table()).expect("is written");
}
