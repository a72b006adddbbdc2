//! People: the owner's link, login, sessions, logout, profile - in a browser without scripts, through
//! the real program.

mod support;

use std::io::{Read, Write};

use support::aging::age_the_session;
use support::{Answer, Backend, Browser, Sidegate, ask, connect, eventually};

const PASSWORD: &str = "plain words here";

/// A gate with the owner anna, who has a password.
fn house(backend: &Backend, settings: &str) -> Sidegate {
    let gate = Sidegate::in_front_of(backend, settings);
    add(&gate, "anna");
    gate
}

fn add(gate: &Sidegate, name: &str) {
    let words = ["user", "add", name, "--password-stdin"];
    gate.cli_with_input(&words, &format!("{PASSWORD}\n")).success();
}

fn logged_in(gate: &Sidegate, name: &str) -> Browser {
    let mut browser = Browser::new(gate.address);
    let answer = browser.login(name, PASSWORD);
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert!(browser.session().is_some());
    browser
}

/// The last link that the server printed, or a verb.
fn path_of_link(text: &str) -> String {
    let (_, rest) = text.rsplit_once("/_sidegate/setup?code=").expect("a link");
    let code: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
    assert_eq!(code.len(), 43);
    format!("/_sidegate/setup?code={code}")
}

fn owner_form<'f>(name: &'f str, password: &'f str) -> [(&'f str, &'f str); 4] {
    [
        ("name", name),
        ("display_name", "Anna Ö."),
        ("password", password),
        ("again", password),
    ]
}

fn is_to_login(answer: &Answer) -> bool {
    answer.status == 303
        && answer
            .header("location")
            .is_some_and(|to| to.contains("/_sidegate/login?rd="))
}

fn clears_session(answer: &Answer) -> bool {
    answer
        .all("set-cookie")
        .iter()
        .any(|cookie| cookie.starts_with("sidegate=; ") && cookie.contains("Max-Age=0"))
}

fn audit(gate: &Sidegate) -> String {
    gate.audit()
}

// Section 1: "prints to stderr where it listens, a one-time owner link"; "Until an owner exists every
// request gets 401, except set-up"
#[test]
fn whoever_opens_the_printed_link_becomes_the_owner() {
    let backend = Backend::start();
    let gate = Sidegate::in_front_of(&backend, "");
    assert_eq!(gate.get("/", &[]).status, 401);
    let mut browser = Browser::new(gate.address);
    let waiting = browser.open("/app?x=1");
    assert_eq!(waiting.status, 401);
    assert!(waiting.text().contains("no owner yet"), "{}", waiting.text());
    eventually(|| gate.log().contains("/_sidegate/setup?code="), || gate.log());
    assert!(
        gate.log()
            .contains(&format!("http://{}/_sidegate/setup?code=", gate.address))
    );
    let link = path_of_link(&gate.log());

    // A program that previews links uses nothing up.
    let page = browser.get(&link);
    assert_eq!((page.status, browser.get(&link).status), (200, 200));
    for (fields, sentence) in [
        (owner_form("Not a name", PASSWORD), "That account name cannot be"),
        (owner_form("anna", "short"), "at least 8 characters"),
        (owner_form("anna", "password"), "everybody tries first"),
    ] {
        let again = browser.submit(&page, "/_sidegate/setup", &fields);
        assert_eq!(again.status, 400);
        assert!(again.text().contains(sentence), "{}", again.text());
    }
    let mut differ = owner_form("anna", PASSWORD);
    differ[3].1 = "something else";
    assert_eq!(browser.submit(&page, "/_sidegate/setup", &differ).status, 400);

    let made = browser.submit(&page, "/_sidegate/setup", &owner_form("anna", PASSWORD));
    assert_eq!(
        (made.status, made.header("location")),
        (303, Some("/_sidegate/")),
        "{}",
        made.text()
    );
    assert!(browser.open("/_sidegate/").text().contains("Hello, Anna Ö."));
    assert_eq!(browser.get("/app").status, 200);
    let received = backend.take_one();
    assert_eq!(received.only("remote-user"), Some("anna"));
    assert_eq!(received.only("remote-groups"), Some("owner"));

    // Once.
    let again = browser.submit(&page, "/_sidegate/setup", &owner_form("mallory", PASSWORD));
    assert_eq!(again.status, 403);
    assert_eq!(browser.get(&link).status, 403);
    assert_eq!(browser.get("/_sidegate/setup").status, 403);
    let users = gate.cli(&["user", "list", "--output", "json"]).success().stdout;
    assert_eq!(users.matches("\"name\"").count(), 1, "{users}");
    let refused = gate.cli(&["setup-link"]);
    assert_eq!(refused.code, 77, "{}", refused.stderr);
    assert!(audit(&gate).contains("\"event\":\"setup\""));
}

// M-14: "owner creation race: two first-owner requests: exactly one"
#[test]
fn of_two_who_open_the_link_at_once_one_becomes_the_owner() {
    let backend = Backend::start();
    let gate = Sidegate::in_front_of(&backend, "");
    eventually(|| gate.log().contains("setup?code="), || gate.log());
    let link = path_of_link(&gate.log());
    let looking = ["anna", "mallory"].map(|name| {
        let mut browser = Browser::new(gate.address);
        let page = browser.get(&link);
        assert_eq!(page.status, 200);
        (name, browser, page)
    });
    let threads = looking.map(|(name, mut browser, page)| {
        let mut send = move || browser.submit(&page, "/_sidegate/setup", &owner_form(name, PASSWORD));
        std::thread::spawn(move || send().status)
    });
    let mut statuses = threads.map(|thread| thread.join().expect("no panic"));
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 403]);
    let users = gate.cli(&["user", "list", "--output", "json"]).success().stdout;
    assert_eq!(users.matches("\"owner\"").count(), 1, "{users}");
}

// Section 2: "`setup-link`"; a lost one is printed anew
#[test]
fn a_new_link_takes_the_place_of_a_lost_one() {
    let backend = Backend::start();
    let gate = Sidegate::in_front_of(&backend, "server: public_url = \"https://home.example\"\n");
    eventually(
        || gate.log().contains("https://home.example/_sidegate/setup?code="),
        || gate.log(),
    );
    let lost = path_of_link(&gate.log());
    let printed = gate.cli(&["setup-link"]).success();
    assert!(
        printed
            .stdout
            .starts_with("https://home.example/_sidegate/setup?code=")
    );
    let mut browser = Browser::new(gate.address);
    assert_eq!(browser.get(&lost).status, 403);
    let page = browser.get(&path_of_link(&printed.stdout));
    assert_eq!(page.status, 200);
    // Nobody tells a link from its guess by the answer, and a guess is counted.
    let guess = browser.get(&format!("/_sidegate/setup?code={}", "A".repeat(43)));
    assert_eq!(guess.text(), browser.get(&lost).text());
}

// Section 6.3: "for a browser navigation a redirect to the login page"; 4: "return parameter `rd`"
#[test]
fn a_login_leads_back_to_where_one_wanted_to_go() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let mut browser = Browser::new(gate.address);
    browser.cookies.insert("theme".into(), "dark".into());
    let asked = browser.get("/app/list?a=1&b=%2f");
    assert!(is_to_login(&asked), "{asked:?}");
    let page = browser.open("/app/list?a=1&b=%2f");
    assert_eq!(page.status, 200);
    let fields = [("name", "Anna"), ("password", PASSWORD)];
    let answer = browser.submit(&page, "/_sidegate/login", &fields);
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, Some("/app/list?a=1&b=%2f"))
    );
    let cookie = answer
        .all("set-cookie")
        .into_iter()
        .find(|cookie| cookie.starts_with("sidegate="))
        .expect("set");
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{cookie}");
    assert_eq!(browser.session().map(str::len), Some(43));
    assert!(!browser.cookies.contains_key("sidegate-form"));

    backend.take();
    assert_eq!(browser.get("/app/list?a=1&b=%2f").text(), "ok");
    let received = backend.take_one();
    assert_eq!(received.only("remote-user"), Some("anna"));
    assert_eq!(received.only("cookie"), Some("theme=dark"), "ours never arrives");
    let list = gate
        .cli(&["session", "list", "--output", "json"])
        .success()
        .stdout;
    assert!(
        list.contains("\"agent\": \"Test/1.0\"") && list.contains("\"user\": \"anna\""),
        "{list}"
    );
    assert!(!list.contains(browser.session().expect("logged in")));
    let audit = audit(&gate);
    assert!(
        audit.contains("\"event\":\"login\",\"decision\":\"allow\""),
        "{audit}"
    );
    assert!(audit.contains("\"auth\":\"session\"") && audit.contains("\"carrier\":\"session-cookie\""));
    for secret in [browser.session().expect("logged in"), PASSWORD] {
        assert!(
            !audit.contains(secret) && !gate.log().contains(secret),
            "{secret}"
        );
    }
}

// V-01, V-02: "own path or default page"
#[test]
fn a_login_leads_to_no_other_host() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let mut browser = Browser::new(gate.address);
    for rd in [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "http://gate.test@evil.example/",
        "http://gate.test:81/",
        "https://gate.test/",
        "javascript:alert(1)",
        "/a\r\nX: y",
    ] {
        let page = browser.get("/_sidegate/login");
        let fields = [("name", "anna"), ("password", PASSWORD), ("rd", rd)];
        let answer = browser.submit(&page, "/_sidegate/login", &fields);
        assert_eq!(
            (answer.status, answer.header("location")),
            (303, Some("/_sidegate/")),
            "{rd:?}"
        );
        assert_eq!(answer.header("x"), None);
    }
    let page = browser.get("/_sidegate/login?rd=%22%3E%3Cscript%3E&rd=/a");
    assert!(!page.text().contains("<script"));
}

// M-10: "unknown user / wrong password / disabled / no password set: indistinguishable"
#[test]
fn every_failed_login_looks_the_same() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    add(&gate, "dora");
    gate.cli(&["user", "disable", "dora"]).success();
    gate.cli(&["user", "add", "tom"]).success();
    let seen = |name: &str, password: &str| {
        let mut browser = Browser::new(gate.address);
        let page = browser.get("/_sidegate/login");
        let form = browser.cookies["sidegate-form"].clone();
        let answer = browser.submit(
            &page,
            "/_sidegate/login",
            &[("name", name), ("password", password)],
        );
        assert!(browser.session().is_none());
        let token = page
            .text()
            .split("name=\"form\" value=\"")
            .nth(1)
            .expect("a form")[..64]
            .to_owned();
        let text = answer
            .text()
            .replace(&token, "")
            .replace(&format!("value=\"{name}\""), "value=\"NAME\"");
        let mut headers = answer.headers.clone();
        headers.retain(|(name, _)| !["date", "x-request-id", "content-length"].contains(&name.as_str()));
        for (_, value) in &mut headers {
            *value = value.replace(&form, "");
        }
        (answer.status, headers, text)
    };
    let wrong = seen("anna", "not her password");
    assert_eq!(wrong.0, 401);
    assert!(wrong.2.contains("The name or the password is wrong."));
    for (name, password) in [
        ("nobody", "not her password"),
        ("dora", PASSWORD),
        ("dora", "x"),
        ("tom", "not his password"),
    ] {
        assert_eq!(seen(name, password), wrong, "{name}");
    }
    let lines = audit(&gate);
    assert!(
        lines.contains("\"reason\":\"user-disabled\"") && lines.contains("\"reason\":\"password-wrong\"")
    );
    assert!(!lines.contains("nobody"), "what was typed may be a password");
}

// "throttling shared with Basic through guard and the password pool"
#[test]
fn wrong_passwords_ban_wherever_they_are_typed() {
    let backend = Backend::start();
    let settings = "[credentials]\nbasic_passwords = true\n[guard]\nexempt = []\nfailures = \"4 in 5m\"\n";
    let gate = house(&backend, settings);
    add(&gate, "dora");
    gate.cli(&["user", "disable", "dora"]).success();
    let mut known = logged_in(&gate, "anna");
    let mut browser = Browser::new(gate.address);
    for _ in 0..4 {
        // The same again counts once, and a disabled user's not at all.
        assert_eq!(browser.login("anna", "wrong 1").status, 401);
        assert_eq!(browser.login("dora", PASSWORD).status, 401);
    }
    let basic = format!("Authorization: Basic {}", support::base64("anna:wrong 1"));
    assert_eq!(gate.get("/", &[&basic]).status, 401);
    for password in ["wrong 2", "wrong 3", "wrong 4"] {
        assert_eq!(browser.login("anna", password).status, 401);
    }
    let banned = browser.get("/_sidegate/login");
    assert_eq!(banned.status, 429);
    assert!(banned.header("retry-after").is_some());
    eventually(
        || gate.written_audit().contains("\"event\":\"ban.add\""),
        || gate.written_audit(),
    );
    // "except requests whose credential is in the cache of verified ones"
    assert_eq!(known.get("/").status, 429, "never seen on any core");
    gate.cli(&["ban", "remove", "127.0.0.1"]).success();
    assert_eq!(known.get("/").status, 200);
}

// V-04: "login CSRF (attacker logs victim in): pre-session binding"
#[test]
fn a_login_form_belongs_to_the_browser_that_it_was_given_to() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let fields = [("name", "anna"), ("password", PASSWORD)];
    let action = "/_sidegate/login";
    let mut attacker = Browser::new(gate.address);
    let page = attacker.get(action);
    let token = page
        .text()
        .split("name=\"form\" value=\"")
        .nth(1)
        .expect("a form")[..64]
        .to_owned();

    let mut victim = Browser::new(gate.address);
    let answer = victim.submit(&page, action, &fields);
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("did not send back the cookie"));
    // Another browser's cookie does not fit either.
    let answer = victim.submit(&page, action, &fields);
    assert_eq!(answer.status, 403);
    let filled = [("form", token.as_str()), fields[0], fields[1]];
    for origin in [
        &["Origin: http://evil.test"][..],
        &["Origin: null"],
        &[],
        &["Sec-Fetch-Site: same-site"],
    ] {
        let answer = attacker.post_as(action, &filled, origin);
        assert_eq!(answer.status, 403, "{origin:?}");
    }
    assert!(attacker.session().is_none() && victim.session().is_none());
    assert_eq!(
        attacker
            .post_as(action, &filled, &["Sec-Fetch-Site: same-origin", "Origin: null"])
            .status,
        303
    );
}

// Section 6.2: "unknown, expired, ended, damaged or sent twice, it counts as absent and is cleared; the
// browser is sent to login, public routes and trusted networks work, nothing is counted"
#[test]
fn a_dead_cookie_is_no_cookie() {
    let backend = Backend::start();
    let public = format!(
        "[[route]]\npath = \"/public\"\nupstream = \"http://{}\"\naccess = \"public\"\n",
        backend.address
    );
    let guard = "[guard]\nexempt = []\nfailures = \"2 in 5m\"\n";
    let gate = house(&backend, &format!("{public}{guard}"));
    let browser = logged_in(&gate, "anna");
    let live = browser.session().expect("logged in").to_owned();
    let ended = logged_in(&gate, "anna").session().expect("logged in").to_owned();
    let list = gate
        .cli(&["session", "list", "--output", "json"])
        .success()
        .stdout;
    let newest = list.split("\"id\": \"").nth(1).expect("a session")[..12].to_owned();
    gate.cli(&["session", "revoke", &newest]).success();
    let unknown = "A".repeat(43);
    let mut flipped = live.clone().into_bytes();
    flipped[7] ^= 1;
    let flipped = String::from_utf8(flipped).expect("ASCII");
    let accept = "Accept: text/html";
    for (what, cookie) in [
        ("unknown", format!("sidegate={unknown}")),
        ("ended", format!("sidegate={ended}")),
        ("flipped", format!("sidegate={flipped}")),
        ("cut", format!("sidegate={}", &live[..20])),
        ("empty", "sidegate=".to_owned()),
        ("twice", format!("sidegate={live}; sidegate={live}")),
        ("two", format!("sidegate={live};sidegate={unknown}")),
    ] {
        let header = format!("Cookie: keep=1; {cookie}");
        for _ in 0..2 {
            let answer = gate.get("/app", &[&header, accept]);
            assert!(
                is_to_login(&answer) && clears_session(&answer),
                "{what}: {answer:?}"
            );
        }
        let program = gate.get("/app", &[&header]);
        assert_eq!(program.status, 401, "{what}");
        assert!(clears_session(&program), "{what}");
        let page = gate.get("/_sidegate/login", &[&header, accept]);
        assert!(page.status == 200 && clears_session(&page), "{what}");
        backend.take();
        let open = gate.get("/public/x", &[&header]);
        assert_eq!(open.status, 200, "{what}");
        let received = backend.take_one();
        assert_eq!(
            (received.only("remote-user"), received.only("cookie")),
            (Some(""), Some("keep=1")),
            "{what}"
        );
    }
    // Other spellings of the name are somebody else's, and nothing was counted.
    let live = format!("sidegate={live}");
    for header in [
        format!("Cookie: {}", live.to_uppercase()),
        format!("Cookie: __Host-{live}"),
        format!("Cookie: {}[]", live),
    ] {
        let answer = gate.get("/app", &[&header, accept]);
        assert!(is_to_login(&answer), "{header}");
    }
    assert_eq!(
        gate.get(&format!("/app?{live}"), &[accept]).status,
        303,
        "K-14: session id in URL"
    );
    assert_eq!(gate.get("/app", &[&format!("Cookie: {live}")]).status, 200);
    assert!(
        gate.cli(&["ban", "list"])
            .success()
            .stderr
            .contains("nobody is banned")
    );
}

// "A wrong credential is never rescued by a weaker one"; "Order: … session cookie" last
#[test]
fn a_stronger_credential_decides_before_the_cookie() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    add(&gate, "ben");
    let browser = logged_in(&gate, "anna");
    let cookie = format!("Cookie: sidegate={}", browser.session().expect("logged in"));
    let bearer = format!("Authorization: Bearer {}", gate.token("ben", "phone"));
    assert_eq!(gate.get("/", &[&cookie, &bearer]).status, 200);
    assert_eq!(backend.take_one().only("remote-user"), Some("ben"));
    let wrong = gate.get(
        "/",
        &[
            &cookie,
            "Authorization: Bearer oh.phone.wrong",
            "Accept: text/html",
        ],
    );
    assert_eq!(wrong.status, 401);
    assert!(!clears_session(&wrong), "nobody looked at it");
    for header in [bearer.as_str(), "X-OPENHAB-TOKEN: x"] {
        let page = gate.get("/_sidegate/login", &[&cookie, header, "Accept: text/html"]);
        assert!(page.status == 200 && !clears_session(&page), "{header}");
    }
}

// M-10 and the threat model: every guess counts, whoever waits for its answer
#[test]
fn whoever_hangs_up_before_the_answer_has_guessed_all_the_same() {
    let backend = Backend::start();
    let gate = house(&backend, "[guard]\nexempt = []\nfailures = \"3 in 5m\"\n");
    let mut browser = Browser::new(gate.address);
    let page = browser.get("/_sidegate/login");
    for password in ["wrong 1", "wrong 2", "wrong 3"] {
        let fields = [("name", "anna"), ("password", password)];
        browser.submit_and_hang_up(&page, "/_sidegate/login", &fields);
    }
    let bans = || gate.cli(&["ban", "list"]).success().stdout;
    eventually(|| bans().contains("127.0.0.1"), bans);
}

// "trusted network opens as its user"
#[test]
fn a_trusted_network_opens_pages_as_its_user() {
    let backend = Backend::start();
    let network = "[networks]\ntrusted = [{ cidr = \"127.0.0.0/8\", user = \"guest\" }]\n";
    let gate = house(&backend, network);
    gate.cli(&["user", "add", "guest", "--role", "read-only"])
        .success();
    let mut browser = Browser::new(gate.address);
    assert_eq!(browser.get("/").status, 200);
    assert_eq!(backend.take_one().only("remote-user"), Some("guest"));
    let start = browser.get("/_sidegate/");
    assert!(start.status == 200 && start.text().contains("Your network lets you in as guest."));
    let page = browser.get("/_sidegate/login?rd=/a");
    assert!(
        page.text().contains("Your network lets you in as guest.") && page.text().contains("href=\"/a\"")
    );
    // A profile is for people who showed who they are.
    assert!(is_to_login(&browser.get("/_sidegate/profile")));
    assert_eq!(browser.login("anna", PASSWORD).status, 303);
    assert_eq!(browser.get("/").status, 200);
    assert_eq!(
        backend.take_one().only("remote-user"),
        Some("anna"),
        "a cookie says more than a network"
    );
    // A dead cookie leaves the network its word.
    browser.cookies.insert("sidegate".into(), "A".repeat(43));
    assert_eq!(browser.get("/").status, 200);
    assert_eq!(backend.take_one().only("remote-user"), Some("guest"));
}

// "records survive restart and kill -9"
#[test]
fn a_login_survives_a_crash() {
    let backend = Backend::start();
    let mut gate = house(&backend, "");
    let mut browser = logged_in(&gate, "anna");
    gate.signal("KILL");
    gate.wait();
    let gate = gate.run();
    assert_eq!(browser.get("/").status, 200);
    assert_eq!(backend.take_one().only("remote-user"), Some("anna"));
    // So does the form that was open.
    let page = browser.get("/_sidegate/logout");
    assert_eq!(browser.submit(&page, "/_sidegate/logout", &[]).status, 303);
    assert!(is_to_login(&browser.get("/")));
    drop(gate);
}

// "[session] absolute": over, however much it is used
#[test]
fn a_login_ends_by_itself() {
    let backend = Backend::start();
    let gate = house(&backend, "[session]\nabsolute = \"2s\"\nremember = \"off\"\n");
    let mut browser = logged_in(&gate, "anna");
    assert!(
        !browser
            .get("/_sidegate/login")
            .text()
            .contains("name=\"remember\"")
    );
    let cookie = format!("Cookie: sidegate={}", browser.session().expect("logged in"));
    let ask = || gate.get("/", &[&cookie, "Accept: text/html"]);
    eventually(|| ask().status == 303, || "it goes on".into());
    assert!(clears_session(&ask()));
}

// "remember-me off/on times": a cookie that outlives the browser's window, or not
#[test]
fn a_browser_is_remembered_if_it_was_told_to() {
    let backend = Backend::start();
    let gate = house(&backend, "[session]\nremember = \"20d\"\n");
    let mut browser = Browser::new(gate.address);
    let page = browser.get("/_sidegate/login");
    let fields = [("name", "anna"), ("password", PASSWORD), ("remember", "1")];
    let answer = browser.submit(&page, "/_sidegate/login", &fields);
    let cookie = answer
        .all("set-cookie")
        .into_iter()
        .find(|cookie| cookie.starts_with("sidegate="))
        .expect("set");
    assert!(cookie.ends_with("; Max-Age=1728000"), "{cookie}");
}

// Section 4: "Cookie `__Host-sidegate`, on plain http `sidegate`"; K-13: "cookie over http when TLS
// expected: not accepted"
#[test]
fn over_https_the_cookie_is_bound_to_the_host() {
    let backend = Backend::start();
    let gate = house(&backend, "server: trusted_proxies = [\"127.0.0.1/32\"]\n");
    let mut browser = Browser::new(gate.address);
    let via = ["X-Forwarded-Proto: https", "X-Forwarded-For: 192.0.2.9"];
    let page = browser.request("GET", "/_sidegate/login", &via, b"");
    assert!(browser.cookies.contains_key("__Host-sidegate-form"));
    let token = page
        .text()
        .split("name=\"form\" value=\"")
        .nth(1)
        .expect("a form")[..64]
        .to_owned();
    let fields = [("form", token.as_str()), ("name", "anna"), ("password", PASSWORD)];
    let answer = browser.post_as(
        "/_sidegate/login",
        &fields,
        &[&via[..], &["Origin: https://gate.test"]].concat(),
    );
    assert_eq!(answer.status, 303, "{}", answer.text());
    let cookie = answer
        .all("set-cookie")
        .into_iter()
        .find(|cookie| cookie.starts_with("__Host-sidegate="))
        .expect("set");
    assert!(cookie.contains("; Secure") && cookie.contains("; Path=/;") && !cookie.contains("Domain"));
    assert_eq!(browser.request("GET", "/", &via, b"").status, 200);
    let value = browser.cookies.remove("__Host-sidegate").expect("logged in");
    browser.cookies.insert("sidegate".into(), value);
    assert!(is_to_login(&browser.request("GET", "/", &via, b"")));
    assert!(
        !is_to_login(&browser.get("/")),
        "a proxy that says nothing of https speaks plain http"
    );
}

// Section 6: V-05 "cookie-authenticated cross-site POST/PUT/DELETE/PATCH to proxied app: 403; GET
// allowed"; W-01 "Upgrade with cookie auth and foreign Origin: 403"
#[test]
fn another_site_s_page_cannot_use_the_cookie() {
    let backend = Backend::replying(|request| {
        if request.all("upgrade").is_empty() {
            return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec();
        }
        switch(request)
    });
    let open = format!(
        "[[route]]\npath = \"/open\"\nupstream = \"http://{}\"\ncsrf = \"off\"\n",
        backend.address
    );
    let gate = house(&backend, &open);
    let browser = logged_in(&gate, "anna");
    let cookie = format!("Cookie: sidegate={}", browser.session().expect("logged in"));
    let send = |method, path, header: &str| gate.send(method, path, &[&cookie, header], b"x").status;
    let refused = gate.send("POST", "/a", &[&cookie, "Origin: http://evil.test"], b"x");
    let id = refused.header("x-request-id").expect("an id");
    let why = || gate.cli(&["explain", "--id", id]).stdout;
    eventually(|| why().contains("a page of another site asked"), why);
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        for foreign in [
            "Origin: http://evil.test",
            "Sec-Fetch-Site: cross-site",
            "Sec-Fetch-Site: same-site",
            "Origin: null",
            "X: y",
        ] {
            assert_eq!(send(method, "/a", foreign), 403, "{method} {foreign}");
        }
        assert_eq!(send(method, "/a", "Origin: http://gate.test"), 200, "{method}");
        assert_eq!(send(method, "/a", "Sec-Fetch-Site: same-origin"), 200, "{method}");
        assert_eq!(
            send(method, "/open/a", "Origin: http://evil.test"),
            200,
            "{method}"
        );
    }
    assert_eq!(
        gate.get("/a", &[&cookie, "Sec-Fetch-Site: cross-site"]).status,
        200
    );
    // A token is no cookie: nobody's page can send it unasked.
    let bearer = format!("Authorization: Bearer {}", gate.token("anna", "phone"));
    assert_eq!(
        gate.send("POST", "/a", &[&bearer, "Origin: http://evil.test"], b"x")
            .status,
        200
    );
    backend.take();
    for foreign in [
        "Origin: http://evil.test",
        "Origin: null",
        "X: y",
        "Origin: http://gate.test.evil.test",
    ] {
        let (head, _) = upgrade(&gate, &[&cookie, foreign]);
        assert!(head.starts_with("HTTP/1.1 403"), "{foreign}: {head}");
    }
    assert!(backend.take().is_empty(), "the backend saw nothing of it");
    let (head, _) = upgrade(&gate, &[&cookie, "Origin: http://gate.test"]);
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
}

/// The 101 of a backend.
fn switch(request: &support::backend::Received) -> Vec<u8> {
    let key = request.only("sec-websocket-key").expect("a key");
    let accept = sidegate::crypto::websocket_accept(key.as_bytes());
    format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n")
        .into_bytes()
}

/// Asks for a WebSocket; the answer's head, and the open connection.
fn upgrade(gate: &Sidegate, headers: &[&str]) -> (String, std::net::TcpStream) {
    let mut stream = connect(gate.address);
    let mut text = "GET /ws HTTP/1.1\r\nHost: gate.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n".to_owned();
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    stream.write_all(text.as_bytes()).expect("it listens");
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
        head.push(byte[0]);
    }
    (String::from_utf8_lossy(&head).into_owned(), stream)
}

// "ending closes open sockets within a second": by a verb, by logging out, by a new password
#[test]
fn what_is_open_closes_with_its_login() {
    let backend = Backend::replying(switch);
    let gate = house(&backend, "");
    let ways: [fn(&Sidegate, &mut Browser); 3] = [
        |gate, _| {
            gate.cli(&["session", "revoke", "--user", "anna"]).success();
        },
        |_, browser| {
            let page = browser.get("/_sidegate/logout");
            assert_eq!(browser.submit(&page, "/_sidegate/logout", &[]).status, 303);
        },
        |gate, _| {
            let words = ["user", "passwd", "anna", "--password-stdin"];
            gate.cli_with_input(&words, "other plain words\n").success();
        },
    ];
    for end in ways {
        let mut browser = logged_in(&gate, "anna");
        let cookie = format!("Cookie: sidegate={}", browser.session().expect("logged in"));
        let (head, mut stream) = upgrade(&gate, &[&cookie, "Origin: http://gate.test"]);
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        stream.write_all(b"there?").expect("it is open");
        let mut echo = [0; 6];
        stream.read_exact(&mut echo).expect("it is open");
        end(&gate, &mut browser);
        let ended = std::time::Instant::now();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(
            ended.elapsed() < std::time::Duration::from_secs(5),
            "a busy machine gets some patience"
        );
        let old = gate.get("/ws", &[&cookie, "Accept: text/html"]);
        assert!(is_to_login(&old), "{old:?}");
    }
}

// K-10: "logout: server-side deleted; logout CSRF (GET logout): POST+CSRF only"
#[test]
fn nobody_else_can_log_one_out() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let mut browser = logged_in(&gate, "anna");
    let page = browser.get("/_sidegate/logout");
    assert!(page.status == 200 && page.text().contains("You are logged in as anna."));
    assert_eq!(browser.post("/_sidegate/logout", &[]).status, 403);
    assert_eq!(browser.post("/_sidegate/logout", &[("form", "x")]).status, 403);
    let token = page
        .text()
        .split("name=\"form\" value=\"")
        .nth(1)
        .expect("a form")[..64]
        .to_owned();
    let foreign = browser.post_as(
        "/_sidegate/logout",
        &[("form", &token)],
        &["Origin: http://evil.test"],
    );
    assert_eq!(foreign.status, 403);
    assert_eq!(browser.get("/").status, 200, "still there");
    let mut stolen = browser.clone();
    let out = browser.submit(&page, "/_sidegate/logout", &[]);
    assert_eq!(out.status, 303);
    assert!(clears_session(&out) && browser.session().is_none());
    assert!(
        browser
            .open("/_sidegate/login?why=out")
            .text()
            .contains("You are logged out.")
    );
    assert!(is_to_login(&stolen.get("/")), "the cookie is worth nothing");
    assert!(audit(&gate).contains("\"event\":\"session.end\",\"reason\":\"logout\""));
}

// K-08: "after login id changed, old invalid"
#[test]
fn a_login_never_keeps_the_cookie_from_before() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let mut browser = logged_in(&gate, "anna");
    let before = browser.session().expect("logged in").to_owned();
    assert_eq!(browser.login("anna", PASSWORD).status, 303);
    assert_ne!(browser.session(), Some(before.as_str()));
    assert!(is_to_login(&gate.get(
        "/",
        &[&format!("Cookie: sidegate={before}"), "Accept: text/html"]
    )));
    // A cookie that an attacker planted is not taken over.
    let mut planted = Browser::new(gate.address);
    planted.cookies.insert("sidegate".into(), "B".repeat(43));
    let page = planted.get("/_sidegate/login");
    planted.cookies.insert("sidegate".into(), "B".repeat(43));
    planted.submit(
        &page,
        "/_sidegate/login",
        &[("name", "anna"), ("password", PASSWORD)],
    );
    assert_ne!(planted.session(), Some("B".repeat(43).as_str()));
    assert_eq!(planted.get("/").status, 200);
}

// "profile (display name, password change, sessions list/end, API tokens …)"
#[test]
fn a_person_changes_name_and_password() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let token = gate.token("anna", "phone");
    let mut browser = logged_in(&gate, "anna");
    let mut elsewhere = logged_in(&gate, "anna");
    let page = browser.get("/_sidegate/profile");
    assert_eq!(page.status, 200);
    let action = "/_sidegate/profile/name";
    let saved = browser.submit(&page, action, &[("display_name", "Anna Ähre")]);
    assert_eq!(saved.status, 303);
    assert!(
        browser
            .open(saved.header("location").expect("a redirect"))
            .text()
            .contains("Your name and address are saved.")
    );
    assert_eq!(browser.get("/").status, 200);
    assert_eq!(backend.take_one().only("remote-name"), Some("Anna %C3%84hre"));

    let action = "/_sidegate/profile/password";
    let page = browser.get("/_sidegate/profile");
    let new = "entirely other words";
    let change = |current, again| [("current", current), ("password", new), ("again", again)];
    assert_eq!(browser.submit(&page, action, &change("wrong", new)).status, 403);
    assert_eq!(
        browser.submit(&page, action, &change(PASSWORD, "typo")).status,
        400
    );
    let before = browser.session().expect("logged in").to_owned();
    let changed = browser.submit(&page, action, &change(PASSWORD, new));
    assert_eq!(changed.status, 303, "{}", changed.text());
    assert_ne!(browser.session(), Some(before.as_str()), "a new id");
    assert_eq!(browser.get("/").status, 200);
    assert!(
        is_to_login(&elsewhere.get("/")),
        "every other browser is logged out"
    );
    assert_eq!(
        gate.get("/", &[&format!("Authorization: Bearer {token}")]).status,
        200,
        "tokens survive"
    );
    assert_eq!(elsewhere.login("anna", PASSWORD).status, 401);
    assert_eq!(elsewhere.login("anna", new).status, 303);

    // "sessions list/end"
    let page = browser.get("/_sidegate/profile");
    assert!(page.text().contains("This browser") && page.text().contains("Test/1.0"));
    let ended = browser.submit(&page, "/_sidegate/profile/sessions/end", &[]);
    assert_eq!(ended.status, 303);
    assert!(is_to_login(&elsewhere.get("/")));
    assert_eq!(browser.get("/").status, 200);
    let lines = audit(&gate);
    assert!(
        lines.contains("\"actor\":\"anna\"") && lines.contains("\"reason\":\"password\""),
        "{lines}"
    );
}

// "API tokens list/create once with copy-ready curl lines/rotate/revoke"
#[test]
fn a_person_makes_replaces_and_revokes_a_token() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    add(&gate, "ben");
    let mut browser = logged_in(&gate, "ben");
    let page = browser.get("/_sidegate/profile");
    let create = "/_sidegate/profile/tokens/create";
    let minted = |answer: &Answer| {
        assert_eq!(answer.status, 200, "{}", answer.text());
        let text = answer.text();
        let token = text
            .split("<pre class=\"token\" tabindex=\"0\">")
            .nth(1)
            .expect("shown");
        token.split('<').next().expect("a first piece").to_owned()
    };
    let made = browser.submit(
        &page,
        create,
        &[("name", "phone"), ("expires", "90"), ("scope", "read-only")],
    );
    let token = minted(&made);
    assert!(token.starts_with("oh.phone."));
    for line in [
        "curl -H \"Authorization: Bearer $T\" http://gate.test/",
        "curl -H \"X-OPENHAB-TOKEN: $T\" http://gate.test/",
        "curl -u \"$T:\" http://gate.test/",
        "curl http://$T@gate.test/",
    ] {
        assert!(made.text().contains(line), "{}", made.text());
    }
    // "a QR for phones": the token and nothing else
    let picture = sidegate::wire::qr::svg(&token).expect("short enough");
    assert!(made.text().contains(&picture), "{}", made.text());
    assert!(made.body.len() < 30 * 1024, "{}", made.body.len());
    let works = |token: &str, method| {
        gate.send(method, "/", &[&format!("Authorization: Bearer {token}")], b"")
            .status
    };
    assert_eq!((works(&token, "GET"), works(&token, "DELETE")), (200, 403));
    let list = browser.get("/_sidegate/profile");
    assert!(
        list.text().contains("read-only") && !list.text().contains(&token),
        "shown once"
    );

    for (fields, sentence) in [
        (
            [("name", "phone"), ("networks", "")],
            "You have a token of that name already",
        ),
        (
            [("name", "my phone"), ("networks", "")],
            "1 to 64 letters and digits",
        ),
        (
            [("name", "other"), ("networks", "192.168.1")],
            "Those networks cannot be read",
        ),
        // It would mean nothing, so that the token could do nothing.
        (
            [("name", "other"), ("scope", "readonly")],
            "There is no right “readonly” here",
        ),
    ] {
        let refused = browser.submit(&page, create, &fields);
        assert_eq!(refused.status, 400);
        assert!(refused.text().contains(sentence), "{}", refused.text());
    }
    let narrow = browser.submit(
        &page,
        create,
        &[
            ("name", "far"),
            ("networks", "192.0.2.0/24, 2001:db8::1"),
            ("expires", "never"),
        ],
    );
    assert_eq!(works(&minted(&narrow), "GET"), 401, "from elsewhere");

    let replaced = minted(&browser.submit(&list, "/_sidegate/profile/tokens/rotate", &[("overlap", "0")]));
    assert!(replaced.starts_with("oh.phone."));
    assert_eq!((works(&replaced, "GET"), works(&token, "GET")), (200, 401));
    let revoked = browser.submit(
        &browser.clone().get("/_sidegate/profile"),
        "/_sidegate/profile/tokens/revoke",
        &[("id", &id_of(&gate, "ben", "phone"))],
    );
    assert_eq!(revoked.status, 303);
    assert_eq!(works(&replaced, "GET"), 401);

    // Nobody else's token can be named.
    gate.token("anna", "hers");
    let id = id_of(&gate, "anna", "hers");
    let page = browser.get("/_sidegate/profile");
    for action in [
        "/_sidegate/profile/tokens/revoke",
        "/_sidegate/profile/tokens/rotate",
    ] {
        assert_eq!(browser.submit(&page, action, &[("id", &id)]).status, 404);
    }
    assert_eq!(
        browser
            .post("/_sidegate/profile/tokens/create", &[("name", "x")])
            .status,
        403,
        "without its form"
    );
    let lines = audit(&gate);
    for event in ["token.create", "token.rotate", "token.revoke"] {
        assert!(lines.contains(&format!("\"event\":\"{event}\"")), "{event}");
    }
    assert!(!lines.contains(&replaced) && !gate.log().contains(&replaced));
}

fn id_of(gate: &Sidegate, user: &str, token: &str) -> String {
    let list = gate.cli(&["token", "list", "--user", user]).success().stdout;
    let line = list
        .lines()
        .find(|line| line.contains(&format!(" {token} ")))
        .expect("listed");
    line[..12].to_owned()
}

// "creating tokens … needs a recent login"
#[test]
fn making_tokens_needs_a_recent_login() {
    let backend = Backend::start();
    let mut gate = house(&backend, "");
    let mut browser = logged_in(&gate, "anna");
    let page = browser.get("/_sidegate/profile");
    gate.signal("TERM");
    gate.wait();
    // As if an hour had passed.
    age_the_session(&gate, 3600);
    let gate = gate.run();
    assert_eq!(browser.get("/").status, 200, "still logged in");
    let create = "/_sidegate/profile/tokens/create";
    let refused = browser.submit(&page, create, &[("name", "phone")]);
    assert_eq!(refused.status, 303);
    let to = refused.header("location").expect("a redirect").to_owned();
    assert!(to.starts_with("/_sidegate/login?why=again&rd="), "{to}");
    assert!(
        gate.cli(&["token", "list"])
            .success()
            .stderr
            .contains("there are no tokens")
    );
    let profile = browser.get("/_sidegate/profile").text();
    assert!(profile.contains("Log in again") && !profile.contains("tokens/create"));
    let again = browser.get(&to);
    assert!(again.text().contains("value=\"anna\"") && again.text().contains("Type your password again"));
    let answer = browser.submit(&again, "/_sidegate/login", &[("password", PASSWORD)]);
    assert_eq!(
        answer.status, 401,
        "the name is typed by the browser's user, not taken from the page"
    );
    let answer = browser.submit(
        &again,
        "/_sidegate/login",
        &[("name", "anna"), ("password", PASSWORD)],
    );
    assert_eq!(answer.header("location"), Some("/_sidegate/profile"));
    let page = browser.get("/_sidegate/profile");
    assert_eq!(browser.submit(&page, create, &[("name", "phone")]).status, 200);
}

// "`sidegate user recover NAME` prints a one-time link that gets a locked-out person back in"
#[test]
fn a_locked_out_person_gets_back_in() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    add(&gate, "ben");
    let mut open = logged_in(&gate, "ben");
    let token = gate.token("ben", "phone");
    let printed = gate.cli(&["user", "recover", "ben"]).success();
    assert!(
        printed
            .stdout
            .starts_with(&format!("http://{}/_sidegate/setup?code=", gate.address))
    );
    assert_eq!(printed.stdout.lines().count(), 1);
    assert!(!printed.stderr.contains("code="));
    let link = path_of_link(&printed.stdout);
    gate.cli(&["user", "disable", "ben"]).success();
    let mut browser = Browser::new(gate.address);
    let page = browser.get(&link);
    assert!(page.text().contains("For the account ben."));
    let new = "entirely other words";
    let done = browser.submit(&page, "/_sidegate/setup", &[("password", new), ("again", new)]);
    assert_eq!(done.status, 303, "{}", done.text());
    assert_eq!(browser.get("/").status, 200);
    assert_eq!(backend.take_one().only("remote-user"), Some("ben"));
    assert!(is_to_login(&open.get("/")));
    assert_eq!(
        gate.get("/", &[&format!("Authorization: Bearer {token}")]).status,
        200
    );
    assert_eq!(browser.get(&link).status, 403);
    assert_eq!(Browser::new(gate.address).login("ben", new).status, 303);
}

// "start page with the routes one may reach"; "denied page saying who you are"
#[test]
fn one_sees_where_one_may_go_and_who_one_is() {
    let backend = Backend::start();
    let route = |host: &str, path: &str, access: &str| {
        format!(
            "[[route]]\n{host}path = \"{path}\"\nupstream = \"http://{}\"\naccess = {access}\n",
            backend.address
        )
    };
    let routes = [
        route("", "/admin", "\"admin\""),
        route("", "/family", "{ groups = [\"family\"] }"),
        route("host = \"music.test\"\n", "/", "\"user\""),
    ];
    let gate = house(&backend, &routes.concat());
    let words = ["user", "add", "ben", "--group", "family", "--password-stdin"];
    gate.cli_with_input(&words, PASSWORD).success();
    let mut browser = logged_in(&gate, "ben");
    let text = browser.get("/_sidegate/").text();
    for link in ["href=\"/\"", "href=\"/family\"", "href=\"http://music.test/\""] {
        assert!(text.contains(link), "{link}: {text}");
    }
    assert!(!text.contains("href=\"/admin\""));
    let denied = browser.get("/admin?x=<script>");
    assert_eq!(denied.status, 400, "not even a URL");
    let denied = browser.get("/admin?x=1");
    assert_eq!(denied.status, 403);
    let id = denied.header("x-request-id").expect("an id").to_owned();
    assert!(denied.text().contains("You are ben, who may not open this.") && denied.text().contains(&id));
    assert!(denied.text().contains("/_sidegate/login?rd=%2Fadmin%3Fx%3D1"));
    let anna = logged_in(&gate, "anna").get("/_sidegate/").text();
    assert!(anna.contains("href=\"/admin\"") && !anna.contains("href=\"/family\""));
}

// "CSP without scripts, < 30 KiB, no outside requests, … labels; English and German"; V-07: "XSS
// probes in all reflected params: escaped"
#[test]
fn pages_are_small_and_speak_to_everyone() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let mut browser = logged_in(&gate, "anna");
    let profile = browser.get("/_sidegate/profile");
    for number in 0..3 {
        let name = format!("token{number}");
        browser.submit(&profile, "/_sidegate/profile/tokens/create", &[("name", &name)]);
    }
    let probe = "\"><script>alert(1)</script><img onerror=alert(1)>'{{7*7}}";
    let saved = browser.submit(&profile, "/_sidegate/profile/name", &[("display_name", probe)]);
    assert_eq!(saved.status, 303);
    let mut stranger = Browser::new(gate.address);
    let login = stranger.get("/_sidegate/login");
    let encoded = "%22%3E%3Cscript%3Ealert(1)%3C/script%3E";
    let recover = path_of_link(&gate.cli(&["user", "recover", "anna"]).success().stdout);
    let pages = [
        (
            "login",
            stranger.submit(
                &login,
                "/_sidegate/login",
                &[("name", probe), ("password", "x"), ("rd", probe)],
            ),
        ),
        (
            "rd",
            stranger.get(&format!("/_sidegate/login?rd=/{encoded}&why={encoded}")),
        ),
        ("recover", stranger.get(&recover)),
        (
            "dead link",
            stranger.get(&format!("/_sidegate/setup?code={encoded}")),
        ),
        ("start", browser.get("/_sidegate/")),
        (
            "profile",
            browser.get(&format!("/_sidegate/profile?done={encoded}")),
        ),
        (
            "bad token",
            browser.submit(
                &profile,
                "/_sidegate/profile/tokens/create",
                &[("name", probe), ("scope", probe), ("networks", probe)],
            ),
        ),
        ("logout", browser.get("/_sidegate/logout")),
    ];
    for (name, page) in &pages {
        let text = page.text();
        assert!(text.len() < 30 * 1024, "{name}: {} bytes", text.len());
        for forbidden in [
            "<script",
            "<img",
            " src=",
            " style=",
            "@import",
            "url(",
            "javascript:",
            "onerror=alert(1)>'",
        ] {
            assert!(!text.contains(forbidden), "{name}: {forbidden} in {text}");
        }
        let policy = page.header("content-security-policy").expect("a policy");
        assert!(
            policy.starts_with("default-src 'none'; style-src 'sha256-"),
            "{policy}"
        );
        assert!(policy.contains("form-action 'self'; frame-ancestors 'none'; base-uri 'none'"));
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(page.header("access-control-allow-origin"), None);
        let style = text
            .split("<style>")
            .nth(1)
            .and_then(|rest| rest.split("</style>").next())
            .expect("a style");
        assert!(
            policy.contains(&format!("'sha256-{}'", sha256_base64(style))),
            "{name}"
        );
        for input in text
            .split("<input ")
            .skip(1)
            .chain(text.split("<select ").skip(1))
        {
            let input = input.split('>').next().expect("a tag");
            if input.contains("type=\"hidden\"") || input.contains("type=\"checkbox\"") {
                continue;
            }
            let id = input
                .split("id=\"")
                .nth(1)
                .and_then(|rest| rest.split('"').next())
                .expect("an id");
            assert!(
                text.contains(&format!("<label for=\"{id}\"")),
                "{name}: {id} has no label"
            );
        }
    }
    assert!(
        pages[4].1.text().contains("Hello, &#34;&#62;&#60;script&#62;"),
        "{}",
        pages[4].1.text()
    );
    stranger.language = "de-AT, de;q=0.9, en;q=0.5";
    let german = stranger.get("/_sidegate/login").text();
    assert!(
        german.contains("<html lang=\"de\" ") && german.contains("Passwort"),
        "{german}"
    );
}

fn sha256_base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(sidegate::crypto::mac::sha256(text.as_bytes()))
}

#[test]
fn what_is_no_form_of_ours_is_refused() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let mut browser = Browser::new(gate.address);
    let origin = "Origin: http://gate.test";
    let login = "/_sidegate/login";
    let json = browser.request("POST", login, &[origin, "Content-Type: application/json"], b"{}");
    assert_eq!(json.status, 415);
    let kind = "Content-Type: application/x-www-form-urlencoded; charset=utf-8";
    let big = vec![b'a'; 100 * 1024];
    assert_eq!(browser.request("POST", login, &[origin, kind], &big).status, 413);
    assert_eq!(
        browser.request("POST", login, &[origin, kind], b"\xff").status,
        400
    );
    let doubled = b"name=anna&name=ben&password=x";
    assert_eq!(
        browser.request("POST", login, &[origin, kind], doubled).status,
        403
    );
    assert_eq!(browser.request("PUT", login, &[], b"x").status, 405);
    assert_eq!(browser.request("DELETE", "/_sidegate/", &[], b"").status, 405);
    assert_eq!(browser.get("/_sidegate/profile/password").status, 405);
    assert_eq!(browser.get("/_sidegate/nothing").status, 404);
    assert_eq!(gate.get("/_sidegate/", &[]).status, 401, "for a program");
    assert_eq!(
        gate.get("/_sidegate/profile", &[]).header("www-authenticate"),
        Some("Bearer realm=\"sidegate\"")
    );
    let head = browser.request("HEAD", login, &[], b"");
    assert!(head.status == 200 && head.body.is_empty());
    // A token is no key to pages.
    let bearer = format!("Authorization: Bearer {}", gate.token("anna", "phone"));
    assert_eq!(gate.get("/_sidegate/", &[&bearer]).status, 401);
    assert!(backend.take().is_empty(), "the prefix is never proxied");
}

// "audit events; metrics; explain knows sessions"
#[test]
fn logins_are_counted_and_explained() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let mut browser = logged_in(&gate, "anna");
    Browser::new(gate.address).login("anna", "wrong");
    assert_eq!(browser.get("/").status, 200);
    let request = b"GET /metrics HTTP/1.1\r\nHost: o\r\nConnection: close\r\n\r\n";
    let metrics = ask(gate.operations, request).expect("operations answer");
    for line in [
        "sidegate_sessions 1",
        "sidegate_requests_total{decision=\"allow\",credential=\"session\"} 1",
        "factor=\"password\",outcome=\"success\"} 1",
        "factor=\"password\",outcome=\"failure\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    let revoked = gate.cli(&["session", "revoke", "--user", "anna"]).success();
    assert!(revoked.stderr.contains("ended session"), "{}", revoked.stderr);
    assert!(is_to_login(&browser.get("/")));
    assert_eq!(gate.cli(&["session", "revoke", "abcdefghijkl"]).code, 66);
    assert!(
        gate.cli(&["session", "list"])
            .success()
            .stderr
            .contains("nobody is logged in")
    );
}
