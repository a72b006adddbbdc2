//! The pages of administrators, languages and preferences, in a browser without scripts, through the
//! real program.

mod support;

use support::aging::age_the_session;
use support::{Answer, Backend, Browser, Sidegate, eventually};

const PASSWORD: &str = "plain words here";
const ADMIN: &str = "/_sidegate/admin";

/// A gate with anna the owner, adam the admin, bob the user.
fn house(backend: &Backend, settings: &str) -> Sidegate {
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

fn logged_in(gate: &Sidegate, name: &str) -> Browser {
    let mut browser = Browser::new(gate.address);
    let answer = browser.login(name, PASSWORD);
    assert_eq!(answer.status, 303, "{}", answer.text());
    browser
}

fn audit(gate: &Sidegate) -> String {
    gate.audit()
}

/// Sends a form of the page, and follows to the page that says that it is done.
#[track_caller]
fn submit(browser: &mut Browser, page: &Answer, what: &str, fields: &[(&str, &str)]) -> Answer {
    let answer = browser.submit(page, &format!("{ADMIN}{what}"), fields);
    assert_eq!(answer.status, 303, "{}", answer.text());
    browser.open(answer.header("location").expect("a redirect"))
}

#[track_caller]
fn says(page: &Answer, text: &str) {
    assert!(page.text().contains(text), "no {text:?} in {}", page.text());
}

const PAGES: [&str; 6] = ["", "/people", "/people/bob", "/bans", "/decisions", "/settings"];

// Issue 5, 6: "Administration (owner and admins)"; "non-admins get 404/403"
#[test]
fn the_administration_is_for_owners_and_administrators() {
    let backend = Backend::start();
    let gate = house(
        &backend,
        "[networks]\ntrusted = [{ cidr = \"127.0.0.9/32\", user = \"anna\" }]\n",
    );
    let (mut stranger, mut bob) = (Browser::new(gate.address), logged_in(&gate, "bob"));
    let (mut adam, mut anna) = (logged_in(&gate, "adam"), logged_in(&gate, "anna"));
    for page in PAGES {
        let address = format!("{ADMIN}{page}");
        let asked = stranger.get(&address);
        assert_eq!(asked.status, 303);
        assert!(
            asked
                .header("location")
                .is_some_and(|to| to.contains("/login?rd="))
        );
        let refused = bob.get(&address);
        assert_eq!(refused.status, 403);
        says(&refused, "You are bob");
        for browser in [&mut adam, &mut anna] {
            let shown = browser.get(&address);
            assert_eq!(shown.status, 200, "{page}: {}", shown.text());
            let policy = shown.header("content-security-policy").expect("a policy");
            assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"));
            assert_eq!(shown.header("cache-control"), Some("no-store"));
            assert!(shown.body.len() < 30 * 1024, "{page}: {}", shown.body.len());
            assert!(!shown.text().contains("<script"));
        }
    }
    // A token is no key to pages, and a network is no login.
    let token = gate.token("anna", "script");
    let answer = gate.get(ADMIN, &[&format!("Authorization: Bearer {token}")]);
    assert_eq!(answer.status, 401);
    let mut near = support::Client::from("127.0.0.9", gate.address);
    let answer = near.get(ADMIN, &["Host: gate.test", "Accept: text/html"]);
    assert_eq!(answer.status, 303);

    let form = bob.get("/_sidegate/profile");
    let stolen = bob.submit(&form, "/_sidegate/profile/name", &[("display_name", "Bob")]);
    assert_eq!(stolen.status, 303);
    for (what, fields) in [
        ("/people/add", &[("name", "mallory")][..]),
        ("/people/anna/remove", &[]),
        ("/people/bob/role", &[("role", "admin")]),
        ("/bans/add", &[("network", "203.0.113.7")]),
    ] {
        let answer = bob.post(&format!("{ADMIN}{what}"), fields);
        assert_eq!(answer.status, 403, "{what}");
    }
    // Only those to whom it belongs have a link to it.
    assert!(!bob.get("/_sidegate/").text().contains(ADMIN));
    says(&adam.get("/_sidegate/"), "href=\"/_sidegate/admin\"");
    assert_eq!(adam.get(&format!("{ADMIN}/nothing")).status, 404);
    assert_eq!(adam.get(&format!("{ADMIN}/people/nobody")).status, 404);
    assert_eq!(adam.get("/_sidegate/administrator").status, 404);
    assert_eq!(adam.request("PUT", ADMIN, &[], b"").status, 405);
}

// "users and groups (add, role, groups, disable/enable, remove, reset link), tokens and sessions of a
// user (revoke)"
#[test]
fn an_administrator_looks_after_a_person() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let mut adam = logged_in(&gate, "adam");
    let people = adam.get(&format!("{ADMIN}/people"));
    for name in ["adam", "anna", "bob"] {
        says(&people, &format!("/_sidegate/admin/people/{name}\""));
    }
    let fields = [
        ("name", "carla"),
        ("display_name", "Carla Ö."),
        ("email", "carla@home.example"),
        ("groups", "family, kitchen"),
        ("role", "user"),
    ];
    let page = submit(&mut adam, &people, "/people/add", &fields);
    says(&page, "The account is there");
    says(&page, "Carla Ö.");
    says(&page, "family, kitchen");
    says(&page, "no password");
    let again = adam.submit(&people, &format!("{ADMIN}/people/add"), &fields);
    assert_eq!(again.status, 400);
    says(&again, "Nothing was done.");
    says(&again, "value=\"carla@home.example\"");

    // A link, with which she sets a password.
    let link = adam.submit(&page, &format!("{ADMIN}/people/carla/link"), &[]);
    assert_eq!(link.status, 200);
    says(&link, "A link for carla");
    let text = link.text();
    let (_, code) = text.split_once("/_sidegate/setup?code=").expect("a link");
    let code: String = code.chars().take_while(char::is_ascii_alphanumeric).collect();
    let mut carla = Browser::new(gate.address);
    let setup = carla.get(&format!("/_sidegate/setup?code={code}"));
    let set = carla.submit(
        &setup,
        "/_sidegate/setup",
        &[("password", PASSWORD), ("again", PASSWORD)],
    );
    assert_eq!(set.status, 303, "{}", set.text());
    assert!(!audit(&gate).contains(&code) && !gate.log().contains(&code));

    let token = gate.token("carla", "tv");
    let bearer = format!("Authorization: Bearer {token}");
    let mut elsewhere = logged_in(&gate, "carla");
    let page = adam.get(&format!("{ADMIN}/people/carla"));
    says(&page, "<h3>tv ");
    says(&page, "Test/1.0");
    let one = submit(&mut adam, &page, "/people/carla/session", &[]);
    assert_eq!(one.text().matches("Test/1.0").count(), 1);
    let page = submit(&mut adam, &one, "/people/carla/token", &[]);
    says(&page, "Done, and in force.");
    assert_eq!(gate.get("/", &[&bearer]).status, 401);
    let _ = (elsewhere.get("/"), carla.get("/"));

    let page = submit(
        &mut adam,
        &page,
        "/people/carla/names",
        &[("display_name", "Carla"), ("email", "")],
    );
    assert!(!page.text().contains("carla@home.example"));
    let page = submit(&mut adam, &page, "/people/carla/groups", &[("groups", "garden")]);
    says(&page, "<dd>garden</dd>");
    let page = submit(&mut adam, &page, "/people/carla/role", &[("role", "read-only")]);
    says(&page, "may only read");
    let token = gate.token("carla", "radio");
    let bearer = format!("Authorization: Bearer {token}");
    assert_eq!(gate.get("/", &[&bearer]).status, 200);
    let page = submit(&mut adam, &page, "/people/carla/disable", &[]);
    says(&page, ">disabled</span>");
    assert_eq!(gate.get("/", &[&bearer]).status, 401);
    let page = submit(&mut adam, &page, "/people/carla/enable", &[]);
    assert_eq!(gate.get("/", &[&bearer]).status, 200);
    let people = submit(&mut adam, &page, "/people/carla/remove", &[]);
    assert!(!people.text().contains("people/carla"));
    assert_eq!(gate.get("/", &[&bearer]).status, 401);

    let people = submit(&mut adam, &people, "/groups/add", &[("name", "cellar")]);
    says(&people, "<h3>cellar ");
    let people = adam.get(&format!("{ADMIN}/people"));
    assert!(people.text().contains("<h3>family "));
    let removed = submit(&mut adam, &people, "/groups/remove", &[("name", "family")]);
    assert!(!removed.text().contains("<h3>family "));

    let lines = audit(&gate);
    for (event, reason) in [
        ("user.add", ""),
        ("link.create", "recover"),
        ("user.change", "groups=garden"),
        ("user.change", "role=read-only"),
        ("user.change", "disabled"),
        ("user.remove", ""),
    ] {
        let line = lines.lines().find(|line| {
            line.contains(&format!("\"event\":\"{event}\""))
                && line.contains("\"user\":\"carla\"")
                && (reason.is_empty() || line.contains(&format!("\"reason\":\"{reason}\"")))
                && line.contains("\"actor\":\"adam\"")
        });
        let line = line.unwrap_or_else(|| panic!("no {event} {reason} in {lines}"));
        assert!(
            line.contains("\"road\":\"pages\"") && line.contains("\"client\":\"127.0.0.1\""),
            "{line}"
        );
    }
}

// "owner cannot be disabled or removed"
#[test]
fn nobody_touches_the_owner() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let mut adam = logged_in(&gate, "adam");
    let page = adam.get(&format!("{ADMIN}/people/anna"));
    says(&page, "more rights than you");
    assert!(!page.text().contains("<form"), "{}", page.text());
    // With the secret of a form of theirs, sent all the same.
    let own = adam.get(&format!("{ADMIN}/people/bob"));
    let secret = own.text();
    let (_, secret) = secret.split_once("name=\"form\" value=\"").expect("a form");
    let secret = secret.split('"').next().expect("a value").to_owned();
    for (what, field) in [
        ("disable", ("x", "x")),
        ("remove", ("x", "x")),
        ("link", ("x", "x")),
        ("role", ("role", "user")),
        ("groups", ("groups", "")),
        ("names", ("display_name", "Not Anna")),
        ("sessions", ("x", "x")),
    ] {
        let fields = [("form", secret.as_str()), field];
        let refused = adam.post(&format!("{ADMIN}/people/anna/{what}"), &fields);
        assert_eq!(refused.status, 403, "{what}: {}", refused.text());
        says(&refused, "That is not yours to change.");
    }
    for (what, field) in [
        ("people/adam/disable", ("x", "x")),
        ("people/adam/remove", ("x", "x")),
        ("people/adam/role", ("role", "user")),
        ("people/bob/role", ("role", "owner")),
    ] {
        let fields = [("form", secret.as_str()), field];
        assert_eq!(
            adam.post(&format!("{ADMIN}/{what}"), &fields).status,
            403,
            "{what}"
        );
    }
    let mallory = [("form", secret.as_str()), ("name", "mallory"), ("role", "owner")];
    assert_eq!(adam.post(&format!("{ADMIN}/people/add"), &mallory).status, 403);
    // The owner neither.
    let mut anna = logged_in(&gate, "anna");
    let page = anna.get(&format!("{ADMIN}/people/anna"));
    for what in ["disable", "remove", "role"] {
        assert!(!page.text().contains(&format!("people/anna/{what}")), "{what}");
    }
    let people = gate.cli(&["user", "list", "--output", "json"]).success().stdout;
    assert!(
        !people.contains("mallory") && people.contains("\"role\": \"owner\""),
        "{people}"
    );
}

// "recent login needed for changes; CSRF as on the profile page"
#[test]
fn changes_need_a_recent_login_and_a_page_of_ours() {
    let backend = Backend::start();
    let mut gate = house(&backend, "");
    let mut adam = logged_in(&gate, "adam");
    let page = adam.get(&format!("{ADMIN}/bans"));
    let add = format!("{ADMIN}/bans/add");
    let fields = [("network", "203.0.113.7"), ("for", "day")];
    // From elsewhere, without the form's secret, with another login's.
    let mut other = logged_in(&gate, "adam");
    let theirs = other.get(&format!("{ADMIN}/bans"));
    assert_eq!(adam.post(&add, &fields).status, 403);
    let foreign = adam.submit(&theirs, &add, &fields);
    assert_eq!(foreign.status, 403);
    says(&foreign, "not sent from a page of this gate");
    let answer = adam.post_as(&add, &fields, &["Origin: http://evil.example"]);
    assert_eq!(answer.status, 403);
    assert_eq!(
        adam.get(&format!("{add}?network=203.0.113.7")).status,
        404,
        "nothing is changed by a link"
    );
    let logout = other.get("/_sidegate/logout");
    assert_eq!(other.submit(&logout, "/_sidegate/logout", &[]).status, 303);

    gate.signal("TERM");
    gate.wait();
    age_the_session(&gate, 3600);
    let gate = gate.run();
    let refused = adam.submit(&page, &add, &fields);
    assert_eq!(refused.status, 303);
    let to = refused.header("location").expect("a redirect").to_owned();
    assert!(to.starts_with("/_sidegate/login?why=again&rd="), "{to}");
    assert!(!audit(&gate).contains("ban.add"));
    let seen = adam.get(&format!("{ADMIN}/bans"));
    says(&seen, "Log in again");
    assert!(!seen.text().contains("<form"));
    let again = adam.get(&to);
    let answer = adam.submit(
        &again,
        "/_sidegate/login",
        &[("name", "adam"), ("password", PASSWORD)],
    );
    assert_eq!(answer.header("location"), Some("/_sidegate/admin/bans"));
    let page = adam.get(&format!("{ADMIN}/bans"));
    let listed = submit(&mut adam, &page, "/bans/add", &fields);
    says(&listed, "<h3>203.0.113.7/32</h3>");
    says(&listed, "by hand");
}

#[test]
fn an_administrator_bans_and_lifts() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let mut adam = logged_in(&gate, "adam");
    let page = adam.get(&format!("{ADMIN}/bans"));
    says(&page, "Nobody is banned.");
    for (network, status, told) in [
        ("nonsense", 400, "neither an address nor a network"),
        ("192.168.1.5/24", 400, "neither an address nor a network"),
        ("127.0.0.1", 400, "guard.exempt"),
    ] {
        let fields = [("network", network), ("for", "hour")];
        let refused = adam.submit(&page, &format!("{ADMIN}/bans/add"), &fields);
        assert_eq!(refused.status, status);
        says(&refused, told);
        says(&refused, &format!("value=\"{network}\""));
    }
    let listed = submit(
        &mut adam,
        &page,
        "/bans/add",
        &[("network", "2001:db8::/64"), ("for", "forever")],
    );
    says(&listed, "<h3>2001:db8::/64</h3>");
    says(&listed, "until somebody lifts it");
    let lifted = submit(&mut adam, &listed, "/bans/remove", &[]);
    says(&lifted, "Nobody is banned.");
    let gone = adam.submit(&listed, &format!("{ADMIN}/bans/remove"), &[]);
    assert_eq!(gone.status, 404);
}

// "recent decisions with filters and "why" (from the audit file, with the same explanation as
// `sidegate explain --id`), health, settings in force (no secrets)"
#[test]
fn an_administrator_sees_what_was_decided_and_why() {
    let backend = Backend::start();
    let gate = house(
        &backend,
        "[[route]]\npath = \"/admin\"\nupstream = \"http://127.0.0.1:9\"\naccess = \"admin\"\n",
    );
    let token = gate.token("bob", "phone");
    let bearer = format!("Authorization: Bearer {token}");
    let refused = gate.get(
        "/admin/x?secret=1",
        &[&bearer, "User-Agent: <script>alert(1)</script>"],
    );
    let id = refused.header("x-request-id").expect("an id").to_owned();
    for number in 0..60 {
        assert_eq!(gate.get(&format!("/open/{number}"), &[]).status, 401);
    }
    eventually(
        || gate.written_audit().contains("/open/"),
        || gate.written_audit(),
    );
    let mut adam = logged_in(&gate, "adam");
    let all = adam.get(&format!("{ADMIN}/decisions"));
    assert!(all.body.len() < 30 * 1024, "{}", all.body.len());
    says(&all, "/open/");
    let denied = adam.get(&format!(
        "{ADMIN}/decisions?decision=deny&user=bob&path=&client=&what=decisions"
    ));
    says(&denied, "GET gate.test/admin/x");
    says(&denied, "bob (phone)");
    says(&denied, "<code>role</code>");
    says(&denied, "<option value=\"deny\" selected>");
    assert_eq!(denied.text().matches("<article>").count(), 1);
    assert!(!denied.text().contains("secret=1") && !denied.text().contains("<script"));
    says(
        &adam.get(&format!("{ADMIN}/decisions?user=nobody")),
        "Nothing was found.",
    );
    let changes = adam.get(&format!("{ADMIN}/decisions?what=changes"));
    says(&changes, "user.add");
    says(&changes, "token.create");

    let why = adam.get(&format!("{ADMIN}/decisions/{id}"));
    assert_eq!(why.status, 200, "{}", why.text());
    let said = gate
        .cli(&["explain", "--id", &id, "--output", "json"])
        .success()
        .stdout;
    let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    for field in ["reason", "identity", "credential"] {
        says(&why, said[field].as_str().expect("text"));
    }
    says(&why, "not allowed · 403");
    assert_eq!(
        adam.get(&format!("{ADMIN}/decisions/0000000000000000")).status,
        404
    );
    assert_eq!(adam.get(&format!("{ADMIN}/decisions/x")).status, 400);

    let health = adam.get(ADMIN);
    says(&health, "Everything is in order.");
    says(&health, &backend.address.to_string());
    let settings = adam.get(&format!("{ADMIN}/settings"));
    says(&settings, "[guard]");
    says(&settings, "# default");
}

#[test]
fn older_decisions_are_a_page_away() {
    let backend = Backend::start();
    let gate = house(&backend, "[audit]\nallowed = \"all\"\n");
    let mut adam = logged_in(&gate, "adam");
    for number in 0..40 {
        assert_eq!(adam.get(&format!("/app/{number}")).status, 200);
    }
    eventually(
        || gate.written_audit().contains("/app/39"),
        || gate.written_audit(),
    );
    let newest = adam.get(&format!("{ADMIN}/decisions?path=/app/"));
    says(&newest, "/app/39<");
    assert_eq!(newest.text().matches("<article>").count(), 25);
    let text = newest.text();
    let (before, _) = text.split_once("\">Older ones</a>").expect("a link");
    let older = before
        .rsplit_once("href=\"")
        .expect("an address")
        .1
        .replace("&#38;", "&");
    let older = adam.get(&older.replace("&amp;", "&"));
    assert_eq!(older.text().matches("<article>").count(), 15, "{}", older.text());
    says(&older, "/app/0<");
    assert!(!older.text().contains("Older ones") && older.text().contains("The newest"));
}

// Issue 5, 7: "at least English, German, French, Spanish, Dutch (Accept-Language, then the profile)"
#[test]
fn people_are_spoken_to_in_their_language() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let mut browser = Browser::new(gate.address);
    for (language, code, word) in [
        ("fr-CH, de;q=0.5", "fr", "Mot de passe"),
        ("es", "es", "Contraseña"),
        ("nl-BE,nl;q=0.9", "nl", "Wachtwoord"),
        ("de", "de", "Passwort"),
        ("pl, en;q=0.1", "en", "Password"),
    ] {
        browser.language = language;
        let page = browser.get("/_sidegate/login");
        says(&page, &format!("<html lang=\"{code}\""));
        says(&page, word);
    }
    // The profile's choice comes before the browser's.
    let mut bob = logged_in(&gate, "bob");
    bob.language = "de";
    let mut tunnel = gate.token("bob", "phone");
    tunnel.insert_str(0, "Authorization: Bearer ");
    let page = bob.get("/_sidegate/profile");
    says(&page, "<html lang=\"de\" data-theme=\"system\">");
    let action = "/_sidegate/profile/preferences";
    let saved = bob.submit(&page, action, &[("language", "nl"), ("theme", "dark")]);
    assert_eq!(saved.status, 303);
    let page = bob.open(saved.header("location").expect("a redirect"));
    says(&page, "<html lang=\"nl\" data-theme=\"dark\">");
    says(&page, "<meta name=\"color-scheme\" content=\"dark\">");
    says(&page, "Taal en uiterlijk zijn opgeslagen.");
    says(&page, "<option value=\"nl\" selected>Nederlands</option>");
    assert!(
        bob.session().is_some() && bob.get("/").status == 200,
        "nothing ends by it"
    );
    // What nobody could have chosen is what the browser asks for.
    let page = bob.get("/_sidegate/profile");
    assert_eq!(
        bob.submit(&page, action, &[("language", "xx"), ("theme", "pink")])
            .status,
        303
    );
    says(
        &bob.get("/_sidegate/profile"),
        "<html lang=\"de\" data-theme=\"system\">",
    );
    assert!(audit(&gate).contains("\"reason\":\"preferences\""));
}

// "no page shows a key"
#[test]
fn every_page_is_whole_in_every_language() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let mut anna = logged_in(&gate, "anna");
    let mut stranger = Browser::new(gate.address);
    let mut bob = logged_in(&gate, "bob");
    let source = include_str!("../languages/en.ftl");
    let keys: Vec<&str> = source
        .lines()
        .filter_map(|line| line.split_once(" = ").map(|(key, _)| key))
        .filter(|key| key.contains('_'))
        .collect();
    assert!(keys.len() > 100);
    let mut sizes = Vec::new();
    for language in ["en", "de", "fr", "es", "nl"] {
        (anna.language, stranger.language, bob.language) = (language, language, language);
        let mut pages = vec![
            stranger.get("/_sidegate/login?why=out"),
            stranger.get("/_sidegate/setup?code=x"),
            bob.get(ADMIN),
            anna.get("/_sidegate/"),
            anna.get("/_sidegate/profile"),
            anna.get("/_sidegate/logout"),
        ];
        pages.extend(PAGES.map(|page| anna.get(&format!("{ADMIN}{page}"))));
        for page in pages {
            let text = page.text();
            says(&page, &format!("<html lang=\"{language}\""));
            let (_, body) = text.split_once("</head>").expect("a body");
            let shown = without_tags(body);
            for key in &keys {
                let is_shown = shown
                    .split(|c: char| !(c.is_alphanumeric() || c == '_'))
                    .any(|word| word == *key);
                // The settings are full of such names.
                assert!(
                    !is_shown || text.contains("[guard]"),
                    "{language}: {key} in {shown}"
                );
            }
            assert!(!shown.contains("{}") && !shown.contains("$value"), "{shown}");
            sizes.push(text.len());
        }
    }
    assert!(sizes.iter().all(|size| *size < 30 * 1024), "{sizes:?}");
}

fn without_tags(html: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in html.chars() {
        match c {
            '<' => inside = true,
            '>' => {
                inside = false;
                out.push(' ');
            }
            c if !inside => out.push(c),
            _ => {}
        }
    }
    out
}

// "profile: language, theme (light, dark, system), e-mail"
#[test]
fn a_person_has_an_address_that_is_nobody_elses() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let mut bob = logged_in(&gate, "bob");
    let page = bob.get("/_sidegate/profile");
    let action = "/_sidegate/profile/name";
    let saved = bob.submit(
        &page,
        action,
        &[("display_name", "Bob"), ("email", "bob@home.example")],
    );
    assert_eq!(saved.status, 303);
    assert_eq!(bob.get("/").status, 200);
    assert_eq!(backend.take_one().only("remote-email"), Some("bob@home.example"));
    let mut adam = logged_in(&gate, "adam");
    let page = adam.get("/_sidegate/profile");
    for (email, told) in [
        ("BOB@home.example", "has that address already"),
        ("nobody", "That address cannot be"),
    ] {
        let refused = adam.submit(&page, action, &[("display_name", ""), ("email", email)]);
        assert_eq!(refused.status, 400);
        says(&refused, told);
    }
}
