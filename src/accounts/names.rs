//! What names and texts in records may look like. Everything here ends up in headers, logs, store
//! keys or all three.

use std::borrow::Cow;

use super::AccountsError;
use crate::crypto::token_hash;
use crate::model::Role;

/// The longest name of a user or a group, in bytes.
const MAX_NAME: usize = 64;
/// The longest display name, in characters.
const MAX_DISPLAY_NAME: usize = 128;
/// RFC 5321 §4.5.3.1.3 leaves 254 for an address.
const MAX_EMAIL: usize = 254;
/// The longest scope, in bytes.
const MAX_SCOPE: usize = 1024;

/// A user name as it is kept and looked for: ASCII letters in lower case.
pub fn fold(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// The folded name of a new user.
pub(super) fn user(name: &str) -> Result<String, AccountsError> {
    let folded = fold(name).into_owned();
    if !is_user(&folded) {
        return Err(AccountsError::invalid(
            "user name",
            format!(
                "{} is not 1 to {MAX_NAME} of a-z, 0-9 and ._@+- that start with a letter or a digit; \
                 other letters can stand in the display name",
                quoted(name)
            ),
        ));
    }
    Ok(folded)
}

/// Whether it is a user name in its folded form.
pub(super) fn is_user(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._@+-".contains(&byte);
    (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(allowed)
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
}

/// Groups: each checked, sorted, without duplicates.
pub(super) fn groups(names: &[String]) -> Result<Vec<String>, AccountsError> {
    let mut groups = names.to_vec();
    for name in &groups {
        group(name)?;
    }
    groups.sort_unstable();
    groups.dedup();
    Ok(groups)
}

/// A group name: `[A-Za-z0-9._-]{1,64}`, and no role.
pub(super) fn group(name: &str) -> Result<(), AccountsError> {
    if name.to_ascii_lowercase().parse::<Role>().is_ok() {
        return Err(AccountsError::invalid(
            "group name",
            format!(
                "{} is a role, and every role is a group of its own already",
                quoted(name)
            ),
        ));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if !(1..=MAX_NAME).contains(&name.len()) || !name.bytes().all(allowed) {
        return Err(AccountsError::invalid(
            "group name",
            format!("{} is not 1 to {MAX_NAME} of A-Z, a-z, 0-9 and ._-", quoted(name)),
        ));
    }
    Ok(())
}

/// A token name: `[A-Za-z0-9]{1,64}`.
pub(super) fn token(name: &str) -> Result<(), AccountsError> {
    if token_hash::is_name(name) {
        return Ok(());
    }
    Err(AccountsError::invalid(
        "token name",
        format!(
            "{} is not 1 to {} of A-Z, a-z and 0-9; the name is a part of the token",
            quoted(name),
            token_hash::MAX_NAME
        ),
    ))
}

/// A name for people.
pub(super) fn display_name(text: &str) -> Result<String, AccountsError> {
    let text = text.trim();
    if text.chars().count() > MAX_DISPLAY_NAME {
        return Err(AccountsError::invalid(
            "display name",
            format!("it has more than {MAX_DISPLAY_NAME} characters"),
        ));
    }
    printable("display name", text)
}

/// An e-mail address, as far as a backend and a log need it; only a mail server knows more. Empty:
/// none.
pub(super) fn email(text: &str) -> Result<String, AccountsError> {
    let text = text.trim();
    let shaped = || {
        let (local, domain) = text.rsplit_once('@')?;
        let plain = |c: char| !c.is_whitespace() && !matches!(c, ',' | ';' | '<' | '>' | '"');
        (!local.is_empty() && !domain.is_empty() && text.chars().all(plain)).then_some(())
    };
    if !text.is_empty() && (text.len() > MAX_EMAIL || shaped().is_none()) {
        return Err(AccountsError::invalid(
            "e-mail address",
            format!(
                "{} is not one address like anna@home.example of at most {MAX_EMAIL} bytes",
                quoted(text)
            ),
        ));
    }
    printable("e-mail address", text)
}

/// A scope: words of RFC 6749 §3.3, joined by single spaces.
pub fn scope(text: &str) -> Result<String, AccountsError> {
    let allowed = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    if let Some(word) = words.iter().find(|word| !word.bytes().all(allowed)) {
        return Err(AccountsError::invalid(
            "scope",
            format!(
                "{} has characters other than printable ASCII without \" and \\",
                quoted(word)
            ),
        ));
    }
    let scope = words.join(" ");
    if scope.len() > MAX_SCOPE {
        return Err(AccountsError::invalid(
            "scope",
            format!("it is longer than {MAX_SCOPE} bytes"),
        ));
    }
    Ok(scope)
}

/// Control characters end header lines; the others reorder or hide what a log shows.
fn printable(what: &'static str, text: &str) -> Result<String, AccountsError> {
    let deceives = |c: char| {
        c.is_control()
            || matches!(c, '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
    };
    match text.chars().find(|&c| deceives(c)) {
        None => Ok(text.to_owned()),
        Some(c) => Err(AccountsError::invalid(
            what,
            format!("it contains U+{:04X}, which cannot be seen", u32::from(c)),
        )),
    }
}

/// As it was typed, or as much of it as a person wants to see.
fn quoted(text: &str) -> String {
    let shown: String = text.chars().take(MAX_NAME).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    format!("{shown:?}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_are_folded_ascii() {
        for (written, kept) in [
            ("anna", "anna"),
            ("Anna", "anna"),
            ("a.b_c@d+e-f", "a.b_c@d+e-f"),
            ("7", "7"),
        ] {
            assert_eq!(user(written).as_deref(), Ok(kept));
        }
        let long = "a".repeat(65);
        for refused in [
            "", ".", "..", "-x", "@x", "a b", "a/b", "a,b", "a:b", "\u{e9}ve", "a\n", "a\0", &long,
        ] {
            assert!(user(refused).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn a_group_is_no_role_and_has_no_comma() {
        assert_eq!(group("Family.1_x-y"), Ok(()));
        for refused in [
            "",
            "owner",
            "admin",
            "Admin",
            "user",
            "read-only",
            "a,b",
            "a b",
            "a|b",
            "\u{e9}",
        ] {
            assert!(group(refused).is_err(), "{refused:?}");
        }
        let given = ["b".to_owned(), "a".to_owned(), "b".to_owned()];
        assert_eq!(groups(&given).unwrap(), ["a", "b"]);
    }

    #[test]
    fn texts_for_people_have_no_hidden_characters() {
        assert_eq!(
            display_name(" \u{c9}ve Martin ").as_deref(),
            Ok("\u{c9}ve Martin")
        );
        for refused in [
            "a\r\nb",
            "a\0",
            "a\u{202E}b",
            "a\u{200B}b",
            "a\u{2028}b",
            "a\u{85}b",
        ] {
            assert!(display_name(refused).is_err(), "{refused:?}");
        }
        assert!(display_name(&"x".repeat(129)).is_err());
    }

    #[test]
    fn an_email_is_one_address_or_nothing() {
        for kept in ["", "anna@home.example", "\u{e9}ve@home.example", "a@b"] {
            assert_eq!(email(kept).as_deref(), Ok(kept));
        }
        for refused in [
            "anna",
            "@home",
            "anna@",
            "a b@c",
            "a@b,c@d",
            "Anna <a@b>",
            "a@b\r\nX: y",
            "a\u{7}@b",
        ] {
            assert!(email(refused).is_err(), "{refused:?}");
        }
        assert!(email(&format!("a@{}", "b".repeat(253))).is_err());
    }

    #[test]
    fn a_scope_is_words_and_spaces() {
        assert_eq!(
            scope("  read-only   admin.items ").as_deref(),
            Ok("read-only admin.items")
        );
        assert_eq!(scope("").as_deref(), Ok(""));
        for refused in ["a\"b", "a\\b", "a\0b", "\u{e9}"] {
            assert!(scope(refused).is_err(), "{refused:?}");
        }
        assert!(scope(&"x".repeat(1025)).is_err());
    }
}
