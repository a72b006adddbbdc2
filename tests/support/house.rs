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
    std::fs::read_to_string(gate.state().join("audit.jsonl")).expect("the audit file is there")
}
