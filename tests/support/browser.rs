//! A browser without scripts: keeps cookies, fills in forms, follows redirects when told to.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;

use super::{Answer, connect};

/// One person's browser, at `http://gate.test`.
#[derive(Clone, Debug)]
pub struct Browser {
    address: SocketAddr,
    pub cookies: BTreeMap<String, String>,
    pub language: &'static str,
    pub host: &'static str,
    /// From where, as a trusted proxy tells it.
    pub from: Option<String>,
    /// Whether it marks its requests with `Sec-Fetch-*`, as browsers do over https.
    pub secure: bool,
}

impl Browser {
    /// Without cookies.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            cookies: BTreeMap::new(),
            language: "en",
            host: "gate.test",
            from: None,
            secure: false,
        }
    }

    /// Somewhere else, behind a trusted proxy.
    pub fn at(self, from: &str) -> Self {
        Self {
            from: Some(from.to_owned()),
            ..self
        }
    }

    /// Types an address, or follows a link.
    pub fn get(&mut self, path: &str) -> Answer {
        self.request("GET", path, &[], b"")
    }

    /// Follows redirects on this host to the page at the end.
    pub fn open(&mut self, path: &str) -> Answer {
        let mut answer = self.get(path);
        for _ in 0..5 {
            let Some(to) = answer.header("location").map(str::to_owned) else {
                return answer;
            };
            let here = format!("http://{}", self.host);
            answer = self.get(to.strip_prefix(&here).unwrap_or(&to));
        }
        panic!("it goes round in circles: {answer:?}");
    }

    /// Sends the form of a page with that action, with these fields filled in.
    pub fn submit(&mut self, page: &Answer, action: &str, fields: &[(&str, &str)]) -> Answer {
        let all = filled_in(page, action, fields);
        let fields: Vec<(&str, &str)> = all
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        self.post(action, &fields)
    }

    /// Sends what the form of a page with that action holds to another address, as a script does.
    pub fn fetch(&mut self, page: &Answer, action: &str, to: &str) -> Answer {
        let all = filled_in(page, action, &[]);
        let fields: Vec<(&str, &str)> = all
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        self.post(to, &fields)
    }

    /// The same, and goes away before the answer.
    pub fn submit_and_hang_up(&self, page: &Answer, action: &str, fields: &[(&str, &str)]) {
        let all = filled_in(page, action, fields);
        let fields = all.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let origin = format!("Origin: http://{}", self.host);
        let request = self.composed("POST", action, &[FORM, &origin], form(fields).as_bytes());
        connect(self.address)
            .write_all(&request)
            .expect("the server reads");
    }

    /// Sends a form from a page of this host.
    pub fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let origin = format!("Origin: http://{}", self.host);
        self.post_as(path, fields, &[&origin])
    }

    /// Sends a form with these header lines.
    pub fn post_as(&mut self, path: &str, fields: &[(&str, &str)], headers: &[&str]) -> Answer {
        let headers = [&[FORM], headers].concat();
        self.request("POST", path, &headers, form(fields.iter().copied()).as_bytes())
    }

    /// Logs in; the answer to the form.
    pub fn login(&mut self, name: &str, password: &str) -> Answer {
        let page = self.get("/_sidegate/login");
        self.submit(
            &page,
            "/_sidegate/login",
            &[("name", name), ("password", password)],
        )
    }

    /// Sends a request as a navigation, with its cookies, and keeps the cookies of the answer.
    pub fn request(&mut self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        let request = self.composed(method, path, headers, body);
        let mut stream = connect(self.address);
        // A server that answers early may close while we still write.
        let _ = stream.write_all(&request);
        let answer = Answer::read(&mut stream);
        self.keep_cookies(&answer);
        answer
    }

    fn composed(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
        let mut text = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAccept: text/html\r\nAccept-Language: {}\r\nUser-Agent: Test/1.0\r\n",
            self.host, self.language
        );
        if let Some(from) = &self.from {
            text.push_str(&format!("X-Forwarded-For: {from}\r\n"));
        }
        if !self.cookies.is_empty() {
            let pairs: Vec<String> = self
                .cookies
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            text.push_str(&format!("Cookie: {}\r\n", pairs.join("; ")));
        }
        for header in headers {
            text.push_str(header);
            text.push_str("\r\n");
        }
        if !body.is_empty() || method == "POST" {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        [text.as_bytes(), body].concat()
    }

    /// What is in the session cookie.
    pub fn session(&self) -> Option<&str> {
        self.cookies.get("sidegate").map(String::as_str)
    }

    fn keep_cookies(&mut self, answer: &Answer) {
        for line in answer.all("set-cookie") {
            let (pair, rest) = line.split_once(';').unwrap_or((line, ""));
            let (name, value) = pair.split_once('=').expect("a cookie has a name");
            if rest.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded";

fn form<'f>(fields: impl Iterator<Item = (&'f str, &'f str)>) -> String {
    let fields: Vec<String> = fields
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    fields.join("&")
}

fn filled_in(page: &Answer, action: &str, fields: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut all = hidden_fields(&page.text(), action);
    for (name, value) in fields {
        all.retain(|(known, _)| known != name);
        all.push(((*name).to_owned(), (*value).to_owned()));
    }
    all
}

/// The hidden fields of the first form with that action.
fn hidden_fields(page: &str, action: &str) -> Vec<(String, String)> {
    let start = format!("action=\"{action}\">");
    let (_, form) = page
        .split_once(&start)
        .unwrap_or_else(|| panic!("no form for {action} in {page}"));
    let (form, _) = form.split_once("</form>").expect("a form ends");
    form.split("<input type=\"hidden\" ")
        .skip(1)
        .map(|input| (attribute(input, "name"), attribute(input, "value")))
        .collect()
}

fn attribute(tag: &str, name: &str) -> String {
    let start = format!("{name}=\"");
    let (_, rest) = tag
        .split_once(&start)
        .unwrap_or_else(|| panic!("no {name} in {tag}"));
    let value = rest.split('"').next().expect("a first piece");
    value.replace("&#38;", "&").replace("&amp;", "&")
}

fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
