//! People with browsers: they log in at our pages, and come back to the application by the gateway.

use super::support::browser::Browser;
use super::*;

const PASSWORD: &str = "correct horse battery staple";

impl Tested {
    // Section 6.3: "for a browser navigation a redirect to the login page"; section 5: "Credentials of ours are removed
    // before the backend"
    pub(super) fn a_person_logs_in_and_comes_back(&self) {
        let words = ["user", "add", "carol", "--role", "user", "--password-stdin"];
        self.gate
            .cli_with_input(&words, &format!("{PASSWORD}\n"))
            .success();
        let mut browser = Browser::new(self.address);
        browser.host = Box::leak(self.host().into_boxed_str());
        browser.cookies.insert("theme".into(), "dark".into());
        let asked = browser.get("/app/list?a=1&b=%2f");
        assert_eq!(asked.status, 302, "{asked:?}");
        let page = browser.open("/app/list?a=1&b=%2f");
        assert_eq!(page.status, 200, "{page:?}");
        assert!(self.backend.take().is_empty());
        let fields = [("name", "carol"), ("password", PASSWORD)];
        let answer = browser.submit(&page, "/_sidegate/login", &fields);
        assert_eq!(
            (answer.status, answer.header("location")),
            (303, Some("/app/list?a=1&b=%2f")),
            "{}",
            answer.text()
        );
        let session = browser.session().unwrap().to_owned();
        assert_eq!(browser.get("/app/list?a=1&b=%2f").text(), "ok");
        let received = self.backend.take_one();
        assert_eq!(received.only("remote-user"), Some("carol"));
        assert_eq!(received.only("cookie"), Some("theme=dark"));
        assert!(!received.head().contains(&session), "{received:?}");

        self.a_page_of_another_site_cannot_use_the_login(&mut browser);
        self.a_dead_cookie_is_taken_away(&browser);

        let page = browser.get("/_sidegate/logout");
        browser.submit(&page, "/_sidegate/logout", &[]);
        browser.cookies.insert("sidegate".into(), session);
        assert_eq!(browser.get("/").status, 302);
        assert!(self.backend.take().is_empty());
    }

    fn a_page_of_another_site_cannot_use_the_login(&self, browser: &mut Browser) {
        let own = format!("Origin: http://{}", self.host());
        for (lines, status) in [
            (&[&*own][..], 200),
            (&["Origin: http://elsewhere.test"], 403),
            (&["Origin: null"], 403),
            (&["Sec-Fetch-Site: cross-site", &*own], 403),
            (&[], 403),
        ] {
            let answer = browser.post_as("/app", &[("a", "b")], lines);
            assert_eq!(answer.status, status, "{lines:?}: {answer:?}");
            assert_eq!(self.backend.take().len(), usize::from(status == 200));
        }
        let socket = [
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ];
        let cookie = format!("Cookie: sidegate={}", browser.session().unwrap());
        let open = |origin: &str| {
            let lines = [&socket[..], &[&*cookie, origin]].concat();
            self.send("GET", "/ws", &lines).status
        };
        assert_eq!(open("Origin: http://elsewhere.test"), 403);
        assert!(self.backend.take().is_empty());
        assert_eq!(open(&own), 101);
        assert_eq!(self.backend.take_one().only("cookie").unwrap_or(""), "");
    }

    // Section 6.2: "it counts as absent and is cleared"
    fn a_dead_cookie_is_taken_away(&self, browser: &Browser) {
        let mut dead = browser.clone();
        dead.cookies.insert("sidegate".into(), "A".repeat(43));
        let answer = dead.get("/");
        assert_eq!(answer.status, 302, "{answer:?}");
        let cleared = |answer: &Answer| {
            let cookies = answer.all("set-cookie");
            matches!(cookies[..], [cookie] if cookie.starts_with("sidegate=; ") && cookie.contains("Max-Age=0"))
        };
        assert!(cleared(&answer), "{answer:?}");
        assert_eq!(dead.session(), None);
        let cookie = format!("Cookie: a=1; sidegate={}", "A".repeat(43));
        let answer = self.send("GET", "/", &[&cookie]);
        assert_eq!(answer.status, 401, "{answer:?}");
        assert!(cleared(&answer), "{answer:?}");
        // A public route does not mind.
        let answer = self.send("GET", "/public", &[&cookie]);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(self.backend.take_one().only("cookie"), Some("a=1"));
    }
}
