//! A gate with people in it.

use super::{Backend, Browser, Sidegate};

/// Everyone's.
pub const PASSWORD: &str = "plain words here";

/// A gate with the owner anna, who has a password.
pub fn house(backend: &Backend, settings: &str) -> Sidegate {
    let gate = Sidegate::in_front_of(backend, settings);
    add(&gate, "anna");
    gate
}

/// Somebody else with that password.
pub fn add(gate: &Sidegate, name: &str) {
    let words = ["user", "add", name, "--password-stdin"];
    gate.cli_with_input(&words, &format!("{PASSWORD}\n")).success();
}

/// A browser with a login.
pub fn logged_in(gate: &Sidegate, name: &str) -> Browser {
    let mut browser = Browser::new(gate.address);
    let answer = browser.login(name, PASSWORD);
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert!(browser.session().is_some());
    browser
}

/// All that was written down.
pub fn audit(gate: &Sidegate) -> String {
    gate.audit()
}

/// An authenticator app.
pub struct App {
    secret: String,
}

impl App {
    /// Takes the key as it stands on the page.
    pub fn scan(page: &str) -> Self {
        let (_, rest) = page.split_once("secret=").expect("the address for apps");
        let secret: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
        assert_eq!(secret.len(), 32, "160 bits");
        Self { secret }
    }

    /// As it was typed, for whoever looks whether it is anywhere.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// The code of the step that is so many after the present one.
    ///
    /// That of the step before is good until the present one ends; with too little left of it to be typed, as a
    /// person does, this waits for the next.
    pub fn code(&self, steps: i64) -> String {
        let now = || {
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .expect("after 1970")
                .as_secs()
        };
        while steps < 0 && now() % 30 >= 25 {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        let moment = i64::try_from(now()).expect("not yet") + 30 * steps;
        self.at(u64::try_from(moment).expect("after 1970"))
    }

    fn at(&self, moment: u64) -> String {
        let secret = totp_rs::Secret::try_from_base32(&self.secret).expect("base 32");
        let totp = totp_rs::Builder::new()
            .with_secret(secret)
            .build()
            .expect("a secret of 160 bits");
        totp.generate(moment).to_string()
    }
}

/// Gives somebody with a new login an app; the code of the step before the present one is used up.
/// With the backup codes.
pub fn enrol(browser: &mut Browser) -> (App, Vec<String>) {
    let page = browser.get("/_sidegate/profile/app");
    assert_eq!(page.status, 200, "{page:?}");
    let app = App::scan(&page.text());
    let code = app.code(-1);
    let done = browser.submit(&page, "/_sidegate/profile/app", &[("code", &code)]);
    assert_eq!(done.status, 200, "{}", done.text());
    (app, backup_codes(&done.text()))
}

/// Those that a page shows.
pub fn backup_codes(page: &str) -> Vec<String> {
    let (_, rest) = page.split_once("<pre class=\"codes\"").expect("a list of codes");
    let (_, rest) = rest.split_once('>').expect("a tag ends");
    let (list, _) = rest.split_once("</pre>").expect("a list ends");
    let codes: Vec<String> = list.split_whitespace().map(str::to_owned).collect();
    assert_eq!(codes.len(), 10, "{list}");
    codes
}

/// Types a code where one is asked for after the password.
pub fn type_code(browser: &mut Browser, code: &str) -> super::Answer {
    let page = browser.get("/_sidegate/second-factor");
    assert_eq!(page.status, 200, "{page:?}");
    browser.submit(&page, "/_sidegate/second-factor", &[("code", code)])
}

/// Makes all logins older, while the server is down.
pub fn age_logins(gate: &mut Sidegate, by: std::time::Duration) {
    use sidegate::store::sqlite::SqliteStore;
    use sidegate::store::{Change, Expect};
    use sidegate::time::Clock;

    gate.kill();
    let path = gate.state().join("sidegate.db");
    let store = SqliteStore::open(&path, Clock::system()).expect("nobody else has it open");
    let logins = store.scan_blocking("session/", None, 1000).expect("readable");
    assert!(!logins.is_empty());
    let older = logins.into_iter().map(|login| {
        let mut record: serde_json::Value = serde_json::from_str(&login.body).expect("JSON");
        let began = record["began"].as_i64().expect("a moment");
        record["began"] = (began - i64::try_from(by.as_millis()).expect("not that old")).into();
        Change {
            key: login.key,
            body: Some(record.to_string()),
            expect: Expect::Any,
        }
    });
    let older: Vec<Change> = older.collect();
    store.commit_blocking(&older).expect("written");
    drop(store);
    gate.restart();
}
