//! Somebody's browser at several hosts: each host's cookies are its own, redirects lead anywhere.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::{Answer, Browser};

/// One browser, and what its address bar was led to.
#[derive(Clone)]
pub struct Person {
    address: SocketAddr,
    hosts: BTreeMap<&'static str, Browser>,
    /// Every address, in order.
    pub seen: Vec<String>,
}

impl Person {
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            hosts: BTreeMap::new(),
            seen: Vec::new(),
        }
    }

    /// What the browser has for that host.
    pub fn at(&mut self, host: &'static str) -> &mut Browser {
        let address = self.address;
        self.hosts.entry(host).or_insert_with(|| {
            let mut browser = Browser::new(address);
            browser.host = host;
            browser
        })
    }

    /// Opens a whole address; its answer, whatever it is.
    pub fn get(&mut self, url: &str) -> Answer {
        self.seen.push(url.to_owned());
        let (host, path) = split(url);
        self.at(host).get(path)
    }

    /// Opens it, and goes where it leads, as long as `may_go` says so.
    pub fn follow_while(&mut self, url: &str, may_go: impl Fn(&str) -> bool) -> (String, Answer) {
        let mut url = url.to_owned();
        for _ in 0..20 {
            let answer = self.get(&url);
            let Some(to) = answer.header("location") else {
                return (url, answer);
            };
            let next = absolute(&url, to);
            if !may_go(&next) {
                return (next, answer);
            }
            url = next;
        }
        panic!("it goes round in circles: {:#?}", self.seen);
    }

    /// Opens it, and goes where it leads.
    pub fn open(&mut self, url: &str) -> (String, Answer) {
        self.follow_while(url, |_| true)
    }

    /// Fills in the login form at the end of that way; where it leads in the end.
    pub fn log_in(&mut self, url: &str, name: &str, password: &str) -> (String, Answer) {
        let (at, page) = self.open(url);
        let (host, path) = split(&at);
        assert!(path.starts_with("/_sidegate/login"), "{at}: {page:?}");
        let fields = [("name", name), ("password", password)];
        let answer = self.at(host).submit(&page, "/_sidegate/login", &fields);
        assert_eq!(answer.status, 303, "{}", answer.text());
        let to = absolute(&at, answer.header("location").expect("a place to go"));
        self.open(&to)
    }
}

/// A whole address, whatever the redirect says.
pub fn absolute(from: &str, to: &str) -> String {
    if to.starts_with("http://") {
        return to.to_owned();
    }
    assert!(to.starts_with('/') && !to.starts_with("//"), "{to}");
    format!("http://{}{to}", split(from).0)
}

fn split(url: &str) -> (&'static str, &str) {
    let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("{url}"));
    let at = rest.find('/').unwrap_or_else(|| panic!("{url} has no path"));
    let hosts = ["gate.test", "media.test", "tools.test:81"];
    let host = hosts.into_iter().find(|host| *host == &rest[..at]);
    (
        host.unwrap_or_else(|| panic!("{url} is none of ours")),
        &rest[at..],
    )
}
