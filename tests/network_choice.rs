//! Trusted networks whose people say who they are, without a password - through the real program.

mod support;

use support::house::{PASSWORD, add, audit, enrol, house, logged_in, type_code};
use support::{Answer, Backend, Browser, Sidegate, eventually};

const SETTINGS: &str = "server: trusted_proxies = [\"127.0.0.1/32\"]\n[guard]\nexempt = []\n[networks]\ntrusted = [\
    { cidr = \"203.0.113.0/24\", users = [\"anna\", \"bert\", \"dora\", \"nobody\"] },\
    { cidr = \"198.51.100.0/24\", user = \"guest\" },\
    { cidr = \"198.51.100.8/32\", users = [\"anna\"], second_factor = \"skip\" }]\n";
const CHOOSE: &str = "/_sidegate/login/choose";

fn home(backend: &Backend) -> Sidegate {
    let route = format!(
        "{SETTINGS}[[route]]\npath = \"/two\"\nupstream = \"http://{0}\"\naccess = {{ factors = 1 }}\n\
         [[route]]\npath = \"/new\"\nupstream = \"http://{0}\"\naccess = {{ max_age = \"1h\" }}\n\
         [[route]]\npath = \"/free\"\nupstream = \"http://{0}\"\naccess = \"public\"\n\
         [audit]\nallowed = \"all\"\n",
        backend.address
    );
    let gate = house(backend, &route);
    for name in ["bert", "dora", "guest"] {
        add(&gate, name);
    }
    gate.cli(&["user", "disable", "dora"]).success();
    gate
}

/// Opens an address, and says who is there.
fn choose(browser: &mut Browser, path: &str, name: &str) -> Answer {
    let page = browser.open(path);
    assert_eq!(page.status, 200, "{page:?}");
    browser.submit(&page, CHOOSE, &[("choose", name)])
}

// Issue 5, 2: "Trusted network: … offers a choice of its users, without a password"
#[test]
fn people_in_a_trusted_network_say_who_they_are() {
    let backend = Backend::start();
    let gate = home(&backend);
    let mut browser = Browser::new(gate.address).at("203.0.113.7");
    assert_eq!(browser.get("/app").status, 303, "nobody is taken for anybody");
    let page = browser.open("/app");
    for (name, there) in [
        ("anna", true),
        ("bert", true),
        ("dora", false),
        ("nobody", false),
        ("guest", false),
    ] {
        let offered = page.text().contains(&format!("name=\"choose\" value=\"{name}\""));
        assert_eq!(offered, there, "{name}");
    }
    let chosen = choose(&mut browser, "/app", "bert");
    assert_eq!((chosen.status, chosen.header("location")), (303, Some("/app")));
    backend.take();
    assert_eq!(browser.get("/app").status, 200);
    assert_eq!(backend.take_one().only("remote-user"), Some("bert"));
    eventually(
        || audit(&gate).contains("\"event\":\"login\",\"decision\":\"allow\""),
        || audit(&gate),
    );
    // A network with one user opens as that one, without asking.
    let mut guest = Browser::new(gate.address).at("198.51.100.7");
    assert_eq!(guest.get("/app").status, 200);
    assert_eq!(backend.take_one().only("remote-user"), Some("guest"));
    assert!(!guest.get("/_sidegate/login").text().contains("name=\"choose\""));
}

// home-assistant.md, traps: "Rejected if IP not in networks, or IP is a trusted proxy"; a forged
// X-Forwarded-For; disabled users; users that are not on the list
#[test]
fn nobody_is_chosen_from_elsewhere_or_who_is_not_offered() {
    let backend = Backend::start();
    let gate = home(&backend);
    let mut inside = Browser::new(gate.address).at("203.0.113.7");
    let page = inside.get("/_sidegate/login");
    for name in ["dora", "nobody", "guest", "", "ANNA"] {
        let refused = inside.submit(&page, CHOOSE, &[("choose", name)]);
        assert_eq!(refused.status, 403, "{name}");
        assert!(refused.text().contains("does not let you in as that account"));
        assert!(inside.session().is_none());
    }
    // The right-most hop that is not trusted counts, whatever a client wrote before it.
    for from in ["192.0.2.9", "203.0.113.7, 192.0.2.9", "198.51.100.7"] {
        let mut outside = Browser::new(gate.address).at(from);
        let page = outside.get("/_sidegate/login");
        assert!(!page.text().contains("name=\"choose\""), "{from}");
        let token = page
            .text()
            .split("name=\"form\" value=\"")
            .nth(1)
            .expect("a form")[..64]
            .to_owned();
        let fields = [("form", token.as_str()), ("rd", ""), ("choose", "anna")];
        assert_eq!(outside.post(CHOOSE, &fields).status, 403, "{from}");
        assert!(outside.session().is_none(), "{from}");
    }
    // A proxy that names nobody is somebody else's client as well.
    let alone = SETTINGS.replace("203.0.113.0/24", "127.0.0.0/8");
    let silent = house(&backend, &alone);
    let page = Browser::new(silent.address).get("/_sidegate/login");
    assert!(!page.text().contains("name=\"choose\""), "{}", page.text());
    let untrusted = house(&backend, &SETTINGS.replace("[\"127.0.0.1/32\"]", "[]"));
    let page = Browser::new(untrusted.address)
        .at("203.0.113.7")
        .get("/_sidegate/login");
    assert!(
        !page.text().contains("name=\"choose\""),
        "an untrusted peer's header"
    );
    // From a foreign page, and without the cookie of the form.
    let page = inside.get("/_sidegate/login");
    let token = page
        .text()
        .split("name=\"form\" value=\"")
        .nth(1)
        .expect("a form")[..64]
        .to_owned();
    let fields = [("form", token.as_str()), ("choose", "bert")];
    assert_eq!(
        inside
            .post_as(CHOOSE, &fields, &["Origin: http://evil.test"])
            .status,
        403
    );
    inside.cookies.clear();
    assert_eq!(inside.post(CHOOSE, &fields).status, 403);
    assert_eq!(inside.get(CHOOSE).status, 405);
}

// "the access token itself works from anywhere" is the trap: here it does not
#[test]
fn a_choice_is_worth_nothing_outside_its_network() {
    let backend = Backend::start();
    let mut gate = home(&backend);
    let mut browser = Browser::new(gate.address).at("203.0.113.7");
    choose(&mut browser, "/app", "bert");
    assert_eq!(browser.get("/app").status, 200);
    browser.from = Some("192.0.2.9".into());
    let away = browser.clone();
    let mut away_too = away.clone();
    assert_eq!(away_too.get("/app").status, 303);
    backend.take();
    assert_eq!(away_too.get("/free").status, 200);
    assert_eq!(
        backend.take_one().only("remote-user"),
        Some(""),
        "and nobody is named"
    );
    let line = || {
        let audit = audit(&gate);
        let lines = audit.lines().filter(|line| line.contains("\"path\":\"/free\""));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    eventually(|| !line().is_empty(), || gate.log());
    assert!(line().iter().all(|line| !line.contains("bert")), "{:?}", line());
    assert_eq!(away.clone().get("/_sidegate/profile").status, 303);
    // Once the file names them no more, it is over inside as well.
    browser = away;
    browser.from = Some("203.0.113.8".into());
    assert_eq!(browser.clone().get("/app").status, 200);
    let route = format!(
        "[[route]]\npath = \"/\"\nupstream = \"http://{}\"\n",
        backend.address
    );
    let fewer = SETTINGS.replace("\"bert\", ", "");
    gate.write_config(&format!("{route}{fewer}"));
    gate.signal("HUP");
    eventually(|| browser.clone().get("/app").status == 303, || gate.log());
}

// "counts as no factor": a visitor leaves the account as it was, and administers nothing
#[test]
fn a_visitor_who_was_chosen_changes_nothing() {
    let backend = Backend::start();
    let gate = home(&backend);
    let mut real = logged_in(&gate, "anna");
    gate.cli(&["token", "create", "phone", "--user", "anna"])
        .success();
    let mut visitor = Browser::new(gate.address).at("203.0.113.7");
    choose(&mut visitor, "/app", "anna");
    let profile = "/_sidegate/profile";
    let again = |answer: &Answer, what: &str| {
        let to = answer.header("location").unwrap_or_default();
        assert_eq!(answer.status, 303, "{what}: {answer:?}");
        assert!(to.contains("/_sidegate/login?why=again"), "{what}: {to}");
    };
    for (action, fields) in [
        ("name", vec![("email", "thief@evil.test")]),
        ("preferences", vec![("theme", "dark")]),
        ("sessions/end", vec![("id", "")]),
        ("tokens/revoke", vec![]),
    ] {
        let action = format!("{profile}/{action}");
        let page = visitor.get(profile);
        again(&visitor.submit(&page, &action, &fields), &action);
    }
    let page = visitor.get("/_sidegate/logout");
    let everywhere = visitor.submit(&page, "/_sidegate/logout", &[("everywhere", "on")]);
    again(&everywhere, "everywhere");
    again(&visitor.get("/_sidegate/admin/people"), "the administration");
    for (method, path, status) in [
        ("GET", "/_sidegate/api/v1/users", 403),
        ("GET", "/_sidegate/api/v1/users/anna", 200),
        ("DELETE", "/_sidegate/api/v1/users/anna/sessions", 403),
    ] {
        let answer = visitor.request(method, path, &["Sec-Fetch-Site: same-origin"], b"");
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
    }
    let shown = gate.cli(&["user", "show", "anna"]).success().stdout;
    assert!(!shown.contains("thief"), "{shown}");
    assert!(gate.cli(&["token", "list"]).success().stdout.contains("phone"));
    // However many come and go.
    for _ in 0..101 {
        let mut next = Browser::new(gate.address).at("203.0.113.8");
        assert_eq!(choose(&mut next, "/app", "anna").status, 303);
    }
    assert_eq!(real.get("/app").status, 200);
    // By a click the visit itself ends.
    let page = visitor.get("/_sidegate/logout");
    assert_eq!(page.status, 303, "a hundred others came since");
    let mut last = Browser::new(gate.address).at("203.0.113.9");
    choose(&mut last, "/app", "anna");
    let page = last.get("/_sidegate/logout");
    assert_eq!(last.submit(&page, "/_sidegate/logout", &[]).status, 303);
    assert!(last.session().is_none());
    // Who is an administrator there is said at the start.
    let mut gate = gate;
    gate.kill();
    gate.restart();
    eventually(
        || gate.log().contains("lets everybody in it be an administrator"),
        || gate.log(),
    );
}

// "and, where configured, without a second factor"; it "counts as no factor"
#[test]
fn a_choice_is_no_password() {
    let backend = Backend::start();
    let gate = home(&backend);
    let mut bert = Browser::new(gate.address).at("203.0.113.7");
    choose(&mut bert, "/app", "bert");
    for path in ["/two", "/new"] {
        let page = bert.open(path);
        assert!(
            page.text().contains("Type your password again"),
            "{path}: {}",
            page.text()
        );
        assert!(!page.text().contains("name=\"choose\""), "{path}");
    }
    let asked = bert.get("/_sidegate/profile/app");
    let to = asked.header("location").unwrap_or_default();
    assert!(to.contains("why=again"), "{asked:?}");
    let page = bert.get("/_sidegate/profile");
    assert!(
        !page
            .text()
            .contains("action=\"/_sidegate/profile/tokens/create\""),
        "no token is made"
    );
    let page = bert.open("/two");
    let fields = [("name", "bert"), ("password", PASSWORD)];
    assert_eq!(bert.submit(&page, "/_sidegate/login", &fields).status, 303);
    assert_eq!(bert.get("/two").status, 200);

    let mut anna = logged_in(&gate, "anna");
    let (app, codes) = enrol(&mut anna);
    let mut home = Browser::new(gate.address).at("203.0.113.7");
    let asked = choose(&mut home, "/app", "anna");
    assert_eq!(
        asked.header("location"),
        Some("/_sidegate/second-factor?rd=%2Fapp")
    );
    assert!(home.session().is_none());
    assert_eq!(type_code(&mut home, &app.code(0)).status, 303);
    assert_eq!(home.get("/app").status, 200);
    assert_eq!(home.get("/new").status, 303, "a code alone is no new login");
    let mut spared = Browser::new(gate.address).at("198.51.100.8");
    let chosen = choose(&mut spared, "/app", "anna");
    assert_eq!(chosen.header("location"), Some("/app"));
    assert_eq!(spared.get("/app").status, 200);
    let page = spared.open("/two");
    assert!(
        page.text().contains("Type your password again"),
        "{}",
        page.text()
    );
    let fields = [("name", "anna"), ("password", PASSWORD)];
    let asked = spared.submit(&page, "/_sidegate/login", &fields);
    assert_eq!(
        asked.header("location"),
        Some("/_sidegate/second-factor?rd=%2Ftwo")
    );
    assert_eq!(type_code(&mut spared, &codes[0]).status, 303);
    assert_eq!(spared.get("/two").status, 200);
}
