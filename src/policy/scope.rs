//! A token's scope narrows what its user's role would allow.

use crate::authn::Identity;
use crate::config::settings::{ForeignScopes, ScopeRule, Tokens};
use crate::model::Role;
use crate::request::Facts;
use crate::request::safe_path::covers;

/// The scopes of the settings.
#[derive(Debug)]
pub struct Scopes {
    rules: Vec<ScopeRule>,
    foreign: ForeignScopes,
}

impl Default for Scopes {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            foreign: ForeignScopes::Ignore,
        }
    }
}

impl Scopes {
    /// From `[scope.NAME]` and `tokens.foreign_scopes`.
    pub fn new(rules: &[ScopeRule], tokens: &Tokens) -> Self {
        Self {
            rules: rules.to_vec(),
            foreign: tokens.foreign_scopes,
        }
    }

    /// The first word that means nothing here: a token with such words only could do nothing, so none is
    /// made with one.
    pub fn unknown_word<'s>(&self, scope: &'s str) -> Option<&'s str> {
        let known =
            |word: &str| word.parse::<Role>().is_ok() || self.rules.iter().any(|rule| rule.name == word);
        scope.split_ascii_whitespace().find(|word| !known(word))
    }

    /// As what role this identity may act in this request; none: the scope allows nothing here.
    ///
    /// The union of the words counts, within the user's rights; an empty scope means all of them.
    /// A role word allows what that role may do, a `[scope.NAME]` what it lists. A word that is
    /// neither grants nothing: a token keeps its scope when its `[scope.NAME]` is taken out of
    /// the configuration, and must not grow by that.
    #[inline]
    pub fn role(&self, who: &Identity, facts: &Facts<'_>) -> Option<Role> {
        let (own, scope) = (who.account.user.role, who.scope());
        // Nearly every token has none.
        if scope.is_empty() {
            return Some(own);
        }
        self.narrowed(own, scope, facts)
    }

    fn narrowed(&self, own: Role, scope: &str, facts: &Facts<'_>) -> Option<Role> {
        let mut words = scope.split_ascii_whitespace().peekable();
        if words.peek().is_none() {
            return Some(own);
        }
        let mut best = None;
        for word in words {
            if let Ok(role) = word.parse::<Role>() {
                best = best.max(Some(role.min(own)));
            } else if let Some(rule) = self.rules.iter().find(|rule| rule.name == word) {
                if applies(rule, facts) {
                    best = best.max(Some(own));
                }
            } else if self.foreign == ForeignScopes::Deny {
                return None;
            }
        }
        best
    }
}

fn applies(rule: &ScopeRule, facts: &Facts<'_>) -> bool {
    (rule.methods.is_empty() || rule.methods.contains(facts.method))
        && (rule.hosts.is_empty() || rule.hosts.iter().any(|host| host == facts.host))
        && (rule.paths.is_empty() || rule.paths.iter().any(|path| covers(path, facts.path.decoded())))
}
