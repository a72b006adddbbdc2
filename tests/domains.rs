//! One login for several domains: at `public_url`, and by a hop at the others - through the real program.

mod support;

use std::time::{Duration, Instant};

use support::house::{PASSWORD, add, audit, enrol, house};
use support::{Answer, Backend, Client, Person, Sidegate, WebSocket, eventually};

const SETTINGS: &str = "server: public_url = \"http://gate.test\"\nserver: domains = [\"http://media.test\", \"http://tools.test:81\"]\nserver: trusted_proxies = [\"127.0.0.1/32\"]\n[guard]\nexempt = []\n";

fn logged_in_at_all(gate: &Sidegate) -> Person {
    let mut anna = Person::new(gate.address);
    let (at, answer) = anna.log_in("http://media.test/films?a=1", "anna", PASSWORD);
    assert_eq!((at.as_str(), answer.status), ("http://media.test/films?a=1", 200));
    let (at, answer) = anna.open("http://tools.test:81/x");
    assert_eq!((at.as_str(), answer.status), ("http://tools.test:81/x", 200));
    anna
}

fn sessions(gate: &Sidegate) -> usize {
    let list = gate.cli(&["session", "list", "--output", "json"]).success();
    list.stdout.matches("\"id\"").count()
}

/// A page without a login, at that host.
fn is_out(anna: &mut Person, url: &str) -> bool {
    let answer = anna.get(url);
    answer.status == 303
        && answer
            .header("location")
            .is_some_and(|to| to.contains("/_sidegate/login?rd="))
}

// Issue 5, 3: "Several protected domains: central login, one-time hop to the other domain"
#[test]
fn who_logged_in_once_is_logged_in_at_every_domain() {
    let backend = Backend::start();
    let gate = house(&backend, SETTINGS);
    let mut anna = logged_in_at_all(&gate);
    for received in backend.take() {
        assert_eq!(received.only("remote-user"), Some("anna"));
        assert_eq!(received.only("cookie"), None, "no cookie of ours arrives");
    }
    // The way there: one login form, at the one address.
    let forms: Vec<_> = anna
        .seen
        .iter()
        .filter(|url| url.contains("/_sidegate/login"))
        .collect();
    assert!(
        forms.iter().all(|url| url.starts_with("http://gate.test/")),
        "{forms:?}"
    );
    let cookies = ["gate.test", "media.test", "tools.test:81"].map(|host| {
        let session = anna.at(host).session();
        session.expect("a cookie of its own").to_owned()
    });
    assert!(cookies[0] != cookies[1] && cookies[1] != cookies[2]);
    // One login in one browser is one, whatever it is good for.
    assert_eq!(sessions(&gate), 1);
    let mut other = Person::new(gate.address);
    other
        .at("media.test")
        .cookies
        .insert("sidegate".into(), cookies[1].clone());
    assert_eq!(other.get("http://media.test/").status, 200);

    // Nothing of the way is anywhere in logs, and nobody learns it from a Referer.
    let code = anna
        .seen
        .iter()
        .find_map(|url| url.split_once("code="))
        .expect("a code")
        .1;
    assert!(!audit(&gate).contains(code) && !gate.log().contains(code));
    let begun = anna.get("http://media.test/_sidegate/hop?rd=/a");
    assert_eq!(begun.header("referrer-policy"), Some("no-referrer"));
    let given = anna.get(begun.header("location").expect("on"));
    assert_eq!(given.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(given.header("cache-control"), Some("no-store"));
    let to = given.header("location").expect("on").to_owned();
    let arrived = anna.get(&to);
    assert_eq!((arrived.status, arrived.header("location")), (303, Some("/a")));
    assert_eq!(arrived.header("referrer-policy"), Some("no-referrer"));
    eventually(
        || audit(&gate).matches("\"event\":\"login\"").count() >= 3,
        || audit(&gate),
    );
}

// "ending either ends all within a second (single logout), open sockets too"
#[test]
fn a_logout_at_one_domain_is_one_at_all() {
    let backend = Backend::websocket();
    let gate = house(&backend, SETTINGS);
    for out_at in ["gate.test", "media.test", "tools.test:81"] {
        let mut anna = logged_in_at_all(&gate);
        let mut sockets = ["media.test", "tools.test:81"].map(|host| {
            let cookie = format!("Cookie: sidegate={}", anna.at(host).session().expect("logged in"));
            let lines = [format!("Host: {host}"), format!("Origin: http://{host}"), cookie];
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let mut socket = WebSocket::open(Client::to(gate.address), "/ws", &lines).expect("open");
            socket.say("there?");
            assert_eq!(socket.hear().as_deref(), Some("there?"));
            socket
        });
        let page = anna.at(out_at).get("/_sidegate/logout");
        assert_eq!(page.status, 200, "{page:?}");
        let out = anna.at(out_at).submit(&page, "/_sidegate/logout", &[]);
        assert_eq!(out.status, 303);
        let since = Instant::now();
        for socket in &mut sockets {
            assert_eq!(socket.hear(), None, "{out_at}");
        }
        assert!(
            since.elapsed() < Duration::from_secs(10),
            "a busy machine gets some patience"
        );
        for url in [
            "http://gate.test/a",
            "http://media.test/a",
            "http://tools.test:81/a",
        ] {
            assert!(is_out(&mut anna, url), "{url} after a logout at {out_at}");
        }
        let to = support::person::absolute(&format!("http://{out_at}/"), out.header("location").expect("on"));
        let (at, page) = anna.open(&to);
        assert!(at.starts_with("http://gate.test/_sidegate/login?why=out"), "{at}");
        assert!(page.text().contains("You are logged out."));
        // The form of the logout may lead there: browsers hold redirects against the policy of the page.
        assert_eq!(sessions(&gate), 0);
    }
}

// "Each domain's session is a child of the central one … Password change etc. ends all."
#[test]
fn whatever_ends_the_login_ends_it_everywhere() {
    let backend = Backend::start();
    let mut gate = house(&backend, SETTINGS);
    let ways: [fn(&Sidegate, &mut Person); 4] = [
        |gate, _| {
            let words = ["user", "passwd", "anna", "--password-stdin"];
            gate.cli_with_input(&words, &format!("{PASSWORD}\n")).success();
        },
        |gate, _| {
            gate.cli(&["session", "revoke", "--user", "anna"]).success();
        },
        // Another login in the same browser takes the place of the one before, with all its parts.
        |_, anna| {
            let page = anna.at("gate.test").get("/_sidegate/login");
            let fields = [("name", "bert"), ("password", PASSWORD)];
            let answer = anna.at("gate.test").submit(&page, "/_sidegate/login", &fields);
            assert_eq!(answer.status, 303);
            anna.at("gate.test").cookies.clear();
        },
        |_, anna| {
            let page = anna.at("gate.test").get("/_sidegate/profile");
            let other = "other plain words";
            let fields = [("current", PASSWORD), ("password", other), ("again", other)];
            let answer = anna
                .at("gate.test")
                .submit(&page, "/_sidegate/profile/password", &fields);
            assert_eq!(answer.status, 303, "{}", answer.text());
            // This browser goes on at the address of the profile; the others come by it again.
            let before = anna.at("media.test").session().map(str::to_owned);
            let (at, answer) = anna.open("http://media.test/a");
            assert_eq!((at.as_str(), answer.status), ("http://media.test/a", 200));
            assert_ne!(anna.at("media.test").session().map(str::to_owned), before);
            anna.at("media.test").cookies.clear();
            anna.at("gate.test").cookies.clear();
        },
    ];
    add(&gate, "bert");
    for (number, end) in ways.into_iter().enumerate() {
        let mut anna = logged_in_at_all(&gate);
        end(&gate, &mut anna);
        for url in [
            "http://gate.test/a",
            "http://media.test/a",
            "http://tools.test:81/a",
        ] {
            assert!(is_out(&mut anna, url), "{url}, way {number}");
        }
    }
    // And what goes on goes on after a kill.
    let words = ["user", "passwd", "anna", "--password-stdin"];
    gate.cli_with_input(&words, &format!("{PASSWORD}\n")).success();
    let mut anna = logged_in_at_all(&gate);
    gate.kill();
    gate.restart();
    assert_eq!(anna.get("http://media.test/a").status, 200);
    gate.cli(&["session", "revoke", "--user", "anna"]).success();
    assert!(is_out(&mut anna, "http://media.test/a"));
}

// V-04: "login CSRF (attacker logs victim in)"; "one-time … bound to the target host and to the browser
// that began"
#[test]
fn a_code_is_for_one_domain_one_browser_and_one_time() {
    let backend = Backend::start();
    let gate = house(&backend, SETTINGS);
    add(&gate, "mallory");
    let mut mallory = Person::new(gate.address);
    mallory.log_in("http://gate.test/", "mallory", PASSWORD);
    let code = |mallory: &mut Person| {
        mallory.at("media.test").cookies.remove("sidegate-turns");
        let (url, _) =
            mallory.follow_while("http://media.test/_sidegate/hop?rd=/", |to| !to.contains("code="));
        assert!(url.starts_with("http://media.test/_sidegate/hop?code="), "{url}");
        url
    };
    let refuses = |anna: &mut Person, url: &str| {
        let host_before = anna.at("media.test").session().map(str::to_owned);
        let answer = anna.get(url);
        assert_eq!(answer.status, 400, "{answer:?}");
        assert_eq!(anna.at("media.test").session().map(str::to_owned), host_before);
        answer
    };
    // Somebody who never asked has no cookie; somebody who did has another one.
    let url = code(&mut mallory);
    refuses(&mut Person::new(gate.address), &url);
    assert_eq!(mallory.get(&url).status, 400, "it was used up by that");
    let mut anna = Person::new(gate.address);
    anna.get("http://media.test/_sidegate/hop?rd=/");
    let url = code(&mut mallory);
    let refused = refuses(&mut anna, &url);
    assert!(refused.text().contains("works once"), "{}", refused.text());
    // At another domain it is nothing.
    let url = code(&mut mallory);
    mallory.get("http://tools.test:81/_sidegate/hop?rd=/");
    let elsewhere = url.replace("media.test", "tools.test:81");
    assert_eq!(mallory.get(&elsewhere).status, 400);
    assert_eq!(mallory.get(&url).status, 400, "and it was used up");
    // Once.
    let url = code(&mut mallory);
    assert_eq!(mallory.get(&url).status, 303);
    assert_eq!(mallory.get(&url).status, 400);
    // Its login ended meanwhile.
    let url = code(&mut mallory);
    gate.cli(&["session", "revoke", "--user", "mallory"]).success();
    assert_eq!(mallory.get(&url).status, 400);
    for made_up in ["", "x", &"A".repeat(43), &"%00".repeat(14)] {
        let answer = mallory.get(&format!("http://media.test/_sidegate/hop?code={made_up}"));
        assert_ne!(answer.status, 200, "{made_up}");
        assert!(
            mallory
                .at("media.test")
                .session()
                .is_none_or(|session| session != made_up)
        );
    }
}

// "only hosts named in the configuration"; R-073, V-02
#[test]
fn a_code_goes_to_no_address_that_is_not_in_the_settings() {
    let backend = Backend::start();
    let gate = house(&backend, SETTINGS);
    let mut anna = Person::new(gate.address);
    anna.log_in("http://gate.test/", "anna", PASSWORD);
    let word = "a".repeat(64);
    for to in [
        "http://evil.test",
        "https://media.test",
        "http://media.test:8080",
        "http://tools.test",
        "http://media.test.evil.test",
        "http://evilmedia.test",
        "http://media.test@evil.test",
        "http://media.test/",
        "HTTP://MEDIA.TEST",
        "//media.test",
        "media.test",
        "http://gate.test",
        "",
    ] {
        let to = to.replace(':', "%3A").replace('/', "%2F").replace('@', "%40");
        let answer = anna.get(&format!(
            "http://gate.test/_sidegate/hop?to={to}&state={word}&rd=/"
        ));
        assert_eq!((answer.status, answer.header("location")), (400, None), "{to}");
    }
    let to = "http%3A%2F%2Fmedia.test";
    for rd in [
        "//evil.test",
        "/%5Cevil.test",
        "http://evil.test/",
        "",
        "/a%0D%0Ab",
    ] {
        let answer = anna.get(&format!(
            "http://gate.test/_sidegate/hop?to={to}&state={word}&rd={rd}"
        ));
        assert_eq!(answer.status, 400, "{rd}");
        // At the domain, such a wish is the first page. Again and again for one would be a loop.
        anna.at("media.test").cookies.remove("sidegate-turns");
        let begun = anna.get(&format!("http://media.test/_sidegate/hop?rd={rd}"));
        let on = begun.header("location").unwrap_or_default().to_owned();
        assert!(
            on.starts_with("http://gate.test/_sidegate/hop?") && on.ends_with("&rd=%2F"),
            "{rd}: {on}"
        );
    }
    for state in ["", "a", &"g".repeat(64), &"a".repeat(65)] {
        let answer = anna.get(&format!(
            "http://gate.test/_sidegate/hop?to={to}&state={state}&rd=/"
        ));
        assert_eq!(answer.status, 400, "{state}");
    }
    // What is no navigation gets no code.
    let fetched = anna.at("gate.test").request(
        "GET",
        &format!("/_sidegate/hop?to={to}&state={word}&rd=/"),
        &["Sec-Fetch-Mode: cors", "Sec-Fetch-Site: cross-site"],
        b"",
    );
    assert_eq!((fetched.status, fetched.header("location")), (405, None));
    // And a host that is neither has no such page.
    let stray =
        Client::to(gate.address).get("/_sidegate/hop?rd=/", &["Host: stray.test", "Accept: text/html"]);
    assert_eq!(stray.status, 404);
}

// "Each domain's session is a child of the central one": and opens that domain alone
#[test]
fn the_cookie_of_a_domain_opens_nothing_else() {
    let backend = Backend::start();
    let gate = house(&backend, SETTINGS);
    let mut anna = logged_in_at_all(&gate);
    let part = anna.at("media.test").session().expect("logged in").to_owned();
    for (host, path, status) in [
        ("media.test", "/a", 200),
        ("gate.test", "/a", 303),
        ("gate.test", "/_sidegate/profile", 303),
        ("gate.test", "/_sidegate/admin/people", 303),
        ("tools.test:81", "/a", 303),
    ] {
        let mut thief = Person::new(gate.address);
        thief.at(host).cookies.insert("sidegate".into(), part.clone());
        let answer = thief.at(host).get(path);
        assert_eq!(answer.status, status, "{host}{path}: {answer:?}");
    }
    let ask = |host: &str, path: &str, cookie: &str| {
        let headers = [format!("Host: {host}"), format!("Cookie: sidegate={cookie}")];
        Client::to(gate.address)
            .get(path, &[&headers[0], &headers[1]])
            .status
    };
    let head = anna.at("gate.test").session().expect("logged in").to_owned();
    assert_eq!(ask("gate.test", "/_sidegate/api/v1/users", &head), 200);
    assert_eq!(ask("gate.test", "/_sidegate/api/v1/users", &part), 401);
    assert_eq!(ask("media.test:80", "/a", &part), 200);
    assert_eq!(
        ask("media.test:81", "/a", &part),
        401,
        "another port is another site"
    );
    eventually(
        || audit(&gate).contains("\"reason\":\"other-domain\""),
        || audit(&gate),
    );
    let received = backend.take();
    assert!(
        received
            .iter()
            .all(|request| request.only("remote-user") == Some("anna"))
    );
}

// "ending either ends all within a second (single logout)": whatever a browser sends along
#[test]
fn no_cookie_makes_a_login_that_nothing_ends() {
    let backend = Backend::start();
    let gate = house(&backend, SETTINGS);
    let arrive = |browser: &mut Person| {
        browser.at("media.test").cookies.remove("sidegate-turns");
        let to = "http://media.test/_sidegate/hop?rd=/";
        browser.follow_while(to, |to| !to.contains("code=")).0
    };
    // The login itself, shown at the domain as it arrives, stays the login of its new part.
    let mut anna = logged_in_at_all(&gate);
    let head = anna.at("gate.test").session().expect("logged in").to_owned();
    let code = arrive(&mut anna);
    anna.at("media.test")
        .cookies
        .insert("sidegate".into(), head.clone());
    assert_eq!(anna.get(&code).status, 303);
    let part = anna.at("media.test").session().expect("logged in").to_owned();
    assert_ne!(part, head);
    for url in [
        "http://gate.test/a",
        "http://media.test/a",
        "http://tools.test:81/a",
    ] {
        assert_eq!(anna.get(url).status, 200, "{url}");
    }
    assert_eq!(sessions(&gate), 1);
    gate.cli(&["session", "revoke", "--user", "anna"]).success();
    for url in [
        "http://gate.test/a",
        "http://media.test/a",
        "http://tools.test:81/a",
    ] {
        assert!(is_out(&mut anna, url), "{url}");
    }
    // A part shown in the place of the login gets no code for a part of its own.
    let mut anna = logged_in_at_all(&gate);
    let part = anna.at("media.test").session().expect("logged in").to_owned();
    anna.at("gate.test").cookies.clear();
    anna.at("gate.test").cookies.insert("sidegate".into(), part);
    let (at, page) = anna.open("http://media.test/_sidegate/hop?rd=/b");
    assert!(
        at.starts_with("http://gate.test/_sidegate/login"),
        "{at}: {page:?}"
    );
    assert_eq!(sessions(&gate), 1);
}

// "Several protected domains": whoever is logged in takes no code away but their own
#[test]
fn one_login_does_not_use_up_the_codes_of_others() {
    let backend = Backend::start();
    let gate = house(&backend, SETTINGS);
    add(&gate, "bert");
    let code = |browser: &mut Person| {
        browser.at("media.test").cookies.remove("sidegate-turns");
        let to = "http://media.test/_sidegate/hop?rd=/";
        browser.follow_while(to, |to| !to.contains("code=")).0
    };
    let [mut anna, mut bert] = ["anna", "bert"].map(|name| {
        let mut person = Person::new(gate.address);
        person.log_in("http://gate.test/", name, PASSWORD);
        person
    });
    let other = code(&mut bert);
    let first = code(&mut anna);
    // More than a login's share: those of one millisecond are of one age.
    for _ in 0..40 {
        code(&mut anna);
    }
    let last = code(&mut anna);
    assert_eq!(anna.get(&first).status, 400, "pushed out by her own");
    assert_eq!(anna.get(&last).status, 303);
    assert_eq!(bert.get(&other).status, 303);
}

// "only hosts named in the configuration": and what is named there can be checked
#[test]
fn settings_without_an_address_to_log_in_at_are_refused() {
    for (settings, said) in [
        ("server: domains = [\"http://a.test\"]", "needs server.public_url"),
        (
            "server: public_url = \"http://a.test\"\nserver: domains = [\"http://A.test:80/\"]",
            "is server.public_url itself",
        ),
        (
            "server: public_url = \"https://a.test\"\nserver: domains = [\"*.b.test\"]",
            "server.domains[1]",
        ),
        (
            "server: public_url = \"https://a.test\"\nserver: domains = [\"https://b.test/x\"]",
            "server.domains[1]",
        ),
        (
            "server: public_url = \"https://a.test\"\nserver: domains = [\"https://b.test\", \"https://B.test:443\"]",
            "twice",
        ),
        // Cookies know no ports (RFC 6265, section 8.5): each login would take the other's cookie away.
        (
            "server: public_url = \"http://a.test\"\nserver: domains = [\"http://a.test:81\"]",
            "has the host of http://a.test: browsers keep one cookie for both",
        ),
        (
            "server: public_url = \"http://[::1]:80\"\nserver: domains = [\"http://[::1]:81\"]",
            "give each domain a host of its own",
        ),
        (
            "server: public_url = \"https://a.test\"\nserver: domains = [\"https://b.test\", \"https://b.test:444\"]",
            "has the host of https://b.test:",
        ),
    ] {
        let gate = Sidegate::prepare(settings);
        let checked = gate.cli(&["check"]);
        assert_eq!(checked.code, 78, "{settings}");
        assert!(checked.stderr.contains(said), "{settings}: {}", checked.stderr);
    }
}

// Pages that look after people are at one address; a form there may lead to a domain.
#[test]
fn people_are_looked_after_at_one_address() {
    let backend = Backend::start();
    let gate = house(&backend, SETTINGS);
    let mut anna = logged_in_at_all(&gate);
    for path in [
        "/_sidegate/profile",
        "/_sidegate/",
        "/_sidegate/admin",
        "/_sidegate/setup?code=x",
    ] {
        let answer = anna.at("media.test").get(path);
        let to = format!("http://gate.test{path}");
        assert_eq!(
            (answer.status, answer.header("location")),
            (303, Some(to.as_str()))
        );
    }
    let login = anna.at("tools.test:81").get("/_sidegate/login?rd=/x&why=again");
    let to = "http://gate.test/_sidegate/login?why=again&rd=http%3A%2F%2Ftools.test%3A81%2Fx";
    assert_eq!(login.header("location"), Some(to));
    let foreign = anna.at("media.test").get("/_sidegate/login?rd=http://evil.test/");
    let to = "http://gate.test/_sidegate/login?rd=http%3A%2F%2Fmedia.test%2F";
    assert_eq!(foreign.header("location"), Some(to));
    let posted = anna
        .at("media.test")
        .post("/_sidegate/login", &[("name", "anna"), ("password", PASSWORD)]);
    assert_eq!(posted.status, 303, "nobody logs in there");
    assert!(posted.all("set-cookie").is_empty());
    for (host, path) in [
        ("gate.test", "/_sidegate/login"),
        ("media.test", "/_sidegate/logout"),
    ] {
        let page = anna.at(host).get(path);
        let policy = page
            .header("content-security-policy")
            .expect("a policy")
            .to_owned();
        let own = "form-action 'self' http://gate.test http://media.test http://tools.test:81;";
        assert!(policy.contains(own), "{policy}");
    }
    // A domain is another site: a page of `public_url` changes nothing there.
    let headers = ["Origin: http://gate.test"];
    assert_eq!(
        anna.at("media.test")
            .post_as("/a", &[("a", "b")], &headers)
            .status,
        403
    );
    assert_eq!(anna.at("media.test").post("/a", &[("a", "b")]).status, 200);
}

// A route that asks for more at a domain gets it at the login, and brings it along.
#[test]
fn a_second_factor_is_shown_once_for_all_domains() {
    let backend = Backend::start();
    let route = format!(
        "{SETTINGS}[[route]]\npath = \"/two\"\nupstream = \"http://{}\"\naccess = {{ factors = 2 }}\n",
        backend.address
    );
    let gate = house(&backend, &route);
    let mut anna = logged_in_at_all(&gate);
    let (app, codes) = enrol(anna.at("gate.test"));
    assert_eq!(codes.len(), 10);
    let (at, page) = anna.open("http://media.test/two");
    if page.status != 200 || at != "http://media.test/two" {
        assert!(at.starts_with("http://gate.test/_sidegate/"), "{at}");
        let (field, action) = ("code", "/_sidegate/second-factor");
        let done = anna
            .at("gate.test")
            .submit(&page, action, &[(field, &app.code(0))]);
        let to = support::person::absolute(&at, done.header("location").expect("on it goes"));
        let (at, answer) = anna.open(&to);
        assert_eq!((at.as_str(), answer.status), ("http://media.test/two", 200));
    }
    assert_eq!(
        anna.open("http://tools.test:81/two").0,
        "http://tools.test:81/two"
    );
    assert_eq!(sessions(&gate), 1);
}

// "proxy mode and behind all gateways"
#[test]
fn a_login_at_a_domain_counts_behind_every_gateway() {
    let backend = Backend::start();
    let gate = house(&backend, SETTINGS);
    let mut anna = logged_in_at_all(&gate);
    let ask = |endpoint: &str, cookie: &str| -> Answer {
        let original = "X-Original-URL: http://media.test/films?a=1";
        let forwarded = [
            "X-Forwarded-Method: GET",
            "X-Forwarded-Proto: http",
            "X-Forwarded-Host: media.test",
            "X-Forwarded-Uri: /films?a=1",
        ];
        let (path, headers): (String, Vec<&str>) = match endpoint {
            "nginx" | "haproxy" => (
                format!("/_sidegate/auth/{endpoint}"),
                vec![original, "X-Original-Method: GET"],
            ),
            "envoy" => (
                "/_sidegate/auth/envoy/films?a=1".into(),
                vec!["Host: media.test", "X-Forwarded-Proto: http"],
            ),
            _ => (format!("/_sidegate/auth/{endpoint}"), forwarded.to_vec()),
        };
        let more = ["X-Forwarded-For: 198.51.100.7", "Accept: text/html", cookie];
        Client::to(gate.address).get(&path, &[headers, more.to_vec()].concat())
    };
    for (endpoint, challenge) in [
        ("nginx", 401),
        ("traefik", 302),
        ("caddy", 302),
        ("envoy", 302),
        ("haproxy", 401),
    ] {
        // The one before was replaced on the way.
        let session = anna.at("media.test").session().expect("logged in");
        let cookie = format!("Cookie: sidegate={session}");
        // Five gateways at once are not one that sends people round in circles.
        anna.at("media.test").cookies.remove("sidegate-turns");
        let allowed = ask(endpoint, &cookie);
        assert_eq!(allowed.status, 200, "{endpoint}: {allowed:?}");
        assert_eq!(allowed.header("remote-user"), Some("anna"), "{endpoint}");
        let asked = ask(endpoint, "X: y");
        assert_eq!(asked.status, challenge, "{endpoint}");
        let login = asked.header("location").expect("where to log in").to_owned();
        assert_eq!(
            login,
            "http://gate.test/_sidegate/login?rd=http%3A%2F%2Fmedia.test%2Ffilms%3Fa%3D1"
        );
        // Whoever is logged in there already is sent on by the pages that the gateway relays.
        let (at, _) = anna.follow_while(&login, |to| !to.starts_with("http://media.test/films"));
        assert_eq!(at, "http://media.test/films?a=1", "{endpoint}");
    }
}

// "a form sent with an expired session can be confirmed and replayed after login", wherever that is
#[test]
fn a_form_at_a_domain_survives_the_way_to_the_login_and_back() {
    let backend = Backend::start();
    let gate = house(&backend, SETTINGS);
    let mut anna = logged_in_at_all(&gate);
    gate.cli(&["session", "revoke", "--user", "anna"]).success();
    backend.take();
    let late = anna
        .at("media.test")
        .post("/films/add?to=list", &[("title", "a b")]);
    assert_eq!(late.status, 401);
    let text = late.text();
    let (_, rest) = text.split_once("<p><a class=\"button\" href=\"").expect("a link");
    let link = rest.split('"').next().expect("it ends").replace("&#38;", "&");
    assert!(
        link.starts_with("http://gate.test/_sidegate/login?rd=http%3A%2F%2Fmedia.test"),
        "{link}"
    );
    let (at, page) = anna.log_in(&link, "anna", PASSWORD);
    assert!(at.starts_with("http://media.test/_sidegate/resend?id="), "{at}");
    assert!(backend.take().is_empty());
    let text = page.text();
    let value = |name: &str| {
        let (_, rest) = text
            .split_once(&format!("name=\"{name}\" value=\""))
            .expect("a field");
        rest.split('"').next().expect("it ends").to_owned()
    };
    let body = format!(
        "sidegate-resend={}&form={}",
        value("sidegate-resend"),
        value("form")
    );
    let headers = [
        "Content-Type: application/x-www-form-urlencoded",
        "Origin: http://media.test",
    ];
    let sent = anna
        .at("media.test")
        .request("POST", "/films/add?to=list", &headers, body.as_bytes());
    assert_eq!(sent.status, 200, "{}", sent.text());
    let received = backend.take_one();
    assert_eq!(String::from_utf8_lossy(&received.body), "title=a%20b");
    assert_eq!(received.only("remote-user"), Some("anna"));
}
