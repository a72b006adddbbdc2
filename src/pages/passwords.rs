//! What is wrong with what somebody typed, in the words of the pages.

use http::StatusCode;

use super::Visit;
use super::form::Form;
use super::journal::Undone;
use super::language::fill;
use crate::accounts::AccountsError;
use crate::crypto::Secret;
use crate::crypto::password_hash::HashError;

/// The new password, typed twice.
pub(super) fn typed_twice(visit: &Visit<'_>, form: &Form) -> Result<Secret, String> {
    let password = form.secret("password");
    if password == form.secret("again") {
        Ok(password)
    } else {
        Err(visit.words.passwords_differ.to_owned())
    }
}

/// Why a change was not made, for the person and as a status.
pub(super) fn why(visit: &Visit<'_>, undone: &Undone) -> (String, StatusCode) {
    let words = visit.words;
    let Undone::Refused(error) = undone else {
        return (visit.fault(), StatusCode::SERVICE_UNAVAILABLE);
    };
    let bad = |text: &str| (text.to_owned(), StatusCode::BAD_REQUEST);
    match error {
        AccountsError::PasswordTooShort { min } => bad(&fill(words.password_short, &min.to_string())),
        AccountsError::Hash(HashError::TooLong) => bad(words.password_long),
        AccountsError::Invalid { what, .. } => bad(match *what {
            "password" => words.password_bad,
            "user name" => words.name_bad,
            "display name" => words.display_name_bad,
            "e-mail address" => words.email_bad,
            "token name" => words.token_name_bad,
            "scope" => words.scope_bad,
            "passkey" => words.passkey_enough,
            "name of a passkey" => words.passkey_name_bad,
            _ => words.networks_bad,
        }),
        AccountsError::Exists { .. } => bad(words.token_exists),
        AccountsError::NotFound { .. } => (words.gone.to_owned(), StatusCode::NOT_FOUND),
        AccountsError::Forbidden { .. } => (words.link_dead.to_owned(), StatusCode::FORBIDDEN),
        AccountsError::QueueFull => (words.login_busy.to_owned(), StatusCode::TOO_MANY_REQUESTS),
        AccountsError::Conflict
        | AccountsError::Corrupt { .. }
        | AccountsError::Store(_)
        | AccountsError::Hash(_) => {
            tracing::error!(request.id = %visit.facts.id, %error, "a change could not be made");
            (visit.fault(), StatusCode::SERVICE_UNAVAILABLE)
        }
    }
}
