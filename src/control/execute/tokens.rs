//! Tokens: made, listed, revoked, by a server that runs or in the store of one that does not.

use std::time::Duration;

use super::Operations;
use crate::accounts::{self, NewToken, TokenSelector};
use crate::control::failure::Failure;
use crate::control::protocol::{Payload, SecretField, Selector, TokenCreate};
use crate::control::view::TokenView;
use crate::crypto::Secret;
use crate::model::{Role, TokenRecord};
use crate::observe::audit::{Event, Line};
use crate::time::Timestamp;

impl Operations {
    pub(super) async fn create_token(&self, create: TokenCreate, now: Timestamp) -> Result<Payload, Failure> {
        self.check_scope(&create.scope)?;
        let user = &self.user(&create.user)?.user.name;
        let name = create.name.clone();
        let line = Line {
            credential_name: &name,
            ..self.line(Event::TokenCreate, user, "", now)
        };
        let new = NewToken {
            name: create.name,
            user: user.clone(),
            expires: create
                .expires_seconds
                .map(|seconds| now.plus(Duration::from_secs(seconds))),
            scope: create.scope,
            networks: create.networks,
        };
        let minted = self.change(&line, self.accounts.create_token(new, now)).await?;
        Ok(self.minted(minted, now))
    }

    /// A word that means nothing narrows nothing: with a slip of the finger the token would have all of
    /// its user's rights.
    pub(super) fn check_scope(&self, scope: &str) -> Result<(), Failure> {
        let scopes = match &self.running {
            Some(running) => running.scopes(),
            None => self.scopes.clone(),
        };
        let known = |word: &str| word.parse::<Role>().is_ok() || scopes.iter().any(|name| name == word);
        match scope.split_ascii_whitespace().find(|word| !known(word)) {
            None => Ok(()),
            Some(word) => {
                let mut names: Vec<&str> = Role::ALL.iter().map(|role| role.as_str()).collect();
                names.extend(scopes.iter().map(String::as_str));
                Err(Failure::data(format!(
                    "there is no scope {word:?}; write one of {}, or define [scope.{word:?}] in the configuration",
                    names.join(", ")
                )))
            }
        }
    }

    pub(super) fn list_tokens(&self, user: Option<&str>, now: Timestamp) -> Result<Payload, Failure> {
        if let Some(name) = user {
            self.user(name)?;
        }
        let tokens = self.accounts.tokens(user, now);
        Ok(Payload::Tokens(tokens.iter().map(token_view).collect()))
    }

    pub(super) async fn revoke_token(&self, token: &Selector, now: Timestamp) -> Result<Payload, Failure> {
        let found = self.token(token, now)?;
        let line = Line {
            credential: &found.record.id,
            credential_name: &found.record.name,
            ..self.line(Event::TokenRevoke, &found.record.user, "", now)
        };
        let selector = selector(token);
        self.change(&line, self.accounts.revoke_token(&selector, now))
            .await?;
        Ok(Payload::Token(token_view(&found)))
    }

    pub(super) fn token(&self, token: &Selector, now: Timestamp) -> Result<accounts::TokenView, Failure> {
        self.accounts.token(&selector(token), now).ok_or_else(|| {
            Failure::missing(match token {
                Selector::Id(id) => {
                    format!("there is no token with the id {id:?}; a name needs its user: --user U")
                }
                Selector::Name { user, name } => format!("{user:?} has no token {name:?}"),
            })
        })
    }

    pub(super) fn minted(&self, (secret, record): (Secret, TokenRecord), now: Timestamp) -> Payload {
        let view = self
            .accounts
            .token(&TokenSelector::Id(record.id.clone()), now)
            .map_or_else(
                || TokenView::new(&record, None, "active"),
                |view| token_view(&view),
            );
        Payload::Minted {
            token: SecretField(secret),
            view,
        }
    }
}

pub(super) fn token_view(token: &accounts::TokenView) -> TokenView {
    TokenView::new(&token.record, token.used.as_ref(), token.state.as_str())
}

pub(super) fn selector(token: &Selector) -> TokenSelector {
    match token {
        Selector::Id(id) => TokenSelector::Id(id.clone()),
        Selector::Name { user, name } => TokenSelector::Name {
            user: user.clone(),
            name: name.clone(),
        },
    }
}
