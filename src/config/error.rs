//! What is wrong with a configuration, for the person who can mend it.

use std::fmt;
use std::path::PathBuf;

/// One problem: where it is, what was written, what is wrong with it and what to write instead.
///
/// Prints as `/etc/sidegate/sidegate.toml:12: guard.ban_for = "15 minutes" is not a duration;
/// write for example "15m"`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigError {
    /// The file it stands in; none: an environment variable, a flag, or no place at all.
    pub file: Option<PathBuf>,
    /// The line in the file, from 1.
    pub line: Option<usize>,
    /// `guard.ban_for`, `route[2].path` (the second route, counted over all files),
    /// `SIDEGATE_GUARD__BAN_FOR` or `--trust`; empty when a whole file is meant.
    pub key: String,
    /// What was written, as TOML, shortened; none when something is missing, or is a secret.
    pub value: Option<String>,
    /// What is wrong, as the end of a sentence that starts with key and value.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}", file.display())?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
            }
            f.write_str(": ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{} ", self.key)?;
        }
        if let Some(value) = &self.value {
            write!(f, "= {value} ")?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Every problem, one a line; several with a line before them that says how many.
pub fn all_of(errors: &[ConfigError]) -> String {
    let lines: Vec<String> = errors.iter().map(ConfigError::to_string).collect();
    match lines.len() {
        0 | 1 => lines.concat(),
        several => format!("the configuration has {several} problems:\n{}", lines.join("\n")),
    }
}

/// What is wrong with a value, said by a reader that does not know where the value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The end of a sentence that starts with the value.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl Wrong {
    /// Says what is wrong.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
        }
    }

    /// Says what to write instead.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hint {
            Some(hint) => write!(f, "{}; {hint}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Wrong {}

/// The known name that was most likely meant, if one is near: at most two edits away, or a
/// third of its length.
pub(super) fn nearest<'n>(written: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    // A name of this length is no typing mistake, and the distance costs its square.
    if written.len() > 64 {
        return None;
    }
    known
        .into_iter()
        .map(|name| (distance(written, name), name))
        .filter(|(edits, name)| *edits <= 2.max(name.len() / 3) && *edits < name.len())
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein's distance, in bytes, without regard to letter case.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(!x.eq_ignore_ascii_case(&y));
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_place_key_value_and_remedy() {
        let error = ConfigError {
            file: Some("/etc/sidegate/sidegate.toml".into()),
            line: Some(12),
            key: "guard.ban_for".into(),
            value: Some("\"15 minutes\"".into()),
            message: "is not a duration".into(),
            hint: Some("write for example \"15m\"".into()),
        };
        assert_eq!(
            error.to_string(),
            "/etc/sidegate/sidegate.toml:12: guard.ban_for = \"15 minutes\" is not a duration; write for example \"15m\""
        );
    }

    #[test]
    fn the_nearest_name_is_suggested_and_a_far_one_is_not() {
        let known = ["listen", "trusted_proxies", "prefix", "public_url"];
        assert_eq!(nearest("trused_proxies", known), Some("trusted_proxies"));
        assert_eq!(nearest("publicurl", known), Some("public_url"));
        assert_eq!(nearest("Listen", known), Some("listen"));
        assert_eq!(nearest("banana", known), None);
        assert_eq!(nearest("", known), None);
    }
}
