//! What the troubleshooting page quotes is what the program writes: each line of its `text` blocks appears
//! when the symptom is brought about.

use crate::pages;

mod brought_about {
    pub(super) fn everything() -> String {
        String::new()
    }
}
#[test]
fn todo() {
    let _ = (
        pages::page("docs/troubleshooting.md"),
        brought_about::everything(),
    );
}
