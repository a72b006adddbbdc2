//! `keys list` and `keys rotate`: the keys of tokens.

use std::sync::Arc;

use super::{Operations, Property, refused};
use crate::accounts::{KeyUse, Stale, TokenKeys};
use crate::control::failure::{Exit, Failure};
use crate::control::protocol::Payload;
use crate::control::view::{KeyFileView, KeyState, KeyView};
use crate::crypto::mac::sha256;
use crate::instance::{KeyPair, KeyRing, MOST_PAIRS};
use crate::observe::audit::{Event, Line};
use crate::time::Timestamp;
use crate::wire::hex;

/// So many tokens are named when they stand in the way.
const NAMED: usize = 5;

impl Operations {
    pub(super) fn list_keys(&self, now: Timestamp) -> Payload {
        let ring = self.property.keys();
        let uses = self.accounts.key_use(now);
        let folder = self.property.folder();
        let views = ring.pairs().iter().map(|pair| {
            let used = used(&uses, pair.id);
            let state = match () {
                () if pair.id == ring.newest().id => KeyState::Current,
                () if pair.token.is_some() => KeyState::Older,
                () => KeyState::RevokedOnly,
            };
            let files = pair.files().map(|(kind, file, key)| KeyFileView {
                name: kind.as_str().to_owned(),
                // The key is random and of full length, so its digest tells nothing of it.
                fingerprint: hex::encode(&sha256(key.expose())[..8]),
                file: folder.join(file),
            });
            KeyView {
                id: pair.id,
                state,
                created: pair.created,
                tokens: used.tokens,
                expired: used.expired,
                revoked: used.revoked,
                files: files.collect(),
            }
        });
        Payload::Keys(views.collect())
    }

    /// Makes new keys; tokens move over when they are used.
    pub(super) async fn rotate_keys(&self, now: Timestamp) -> Result<Payload, Failure> {
        let property = Arc::clone(&self.property);
        let line = self.line(Event::KeysRotate, "", "", now);
        let change = self
            .accounts
            .change_keys(now, move |uses| rotate(&*property, uses, now));
        self.noted(&line, change).await?;
        // What is sealed needs nobody to show it again.
        self.accounts.reseal_factors().await.map_err(refused)?;
        Ok(self.list_keys(now))
    }

    /// Drops the older keys. Without `revoke` it refuses while tokens that could still be used rest on
    /// them.
    pub(super) async fn drop_keys(&self, revoke: bool, now: Timestamp) -> Result<Payload, Failure> {
        let ring = self.property.keys();
        if ring.pairs().len() == 1 {
            return Ok(self.list_keys(now));
        }
        if !revoke {
            self.refuse_stale(now)?;
        }
        let stale = if revoke { Stale::All } else { Stale::Expired };
        let tokens = self.accounts.stale_tokens(stale, now);
        let lines = tokens.iter().map(|token| Line {
            credential: &token.record.id,
            credential_name: &token.record.name,
            ..self.line(
                Event::TokenRevoke,
                &token.record.user,
                "its keys are dropped",
                now,
            )
        });
        self.all_audited(lines).await?;
        self.accounts.revoke_stale(stale, now).await.map_err(refused)?;
        self.accounts.reseal_factors().await.map_err(refused)?;
        let ids: Vec<String> = ring.pairs()[1..].iter().map(|pair| pair.id.to_string()).collect();
        let what = format!("keys={}", ids.join(","));
        let line = self.line(Event::KeysDrop, "", &what, now);
        let property = Arc::clone(&self.property);
        let change = self
            .accounts
            .change_keys(now, move |uses| drop_older(&*property, uses));
        self.noted(&line, change).await?;
        Ok(self.list_keys(now))
    }

    fn refuse_stale(&self, now: Timestamp) -> Result<(), Failure> {
        let mut stale = self.accounts.stale_tokens(Stale::All, now);
        stale.retain(|token| token.record.expires.is_none_or(|expires| now < expires));
        if stale.is_empty() {
            return Ok(());
        }
        let names = stale.iter().take(NAMED);
        let names: Vec<String> = names
            .map(|token| format!("{}/{}", token.record.user, token.record.name))
            .collect();
        let more = if stale.len() > NAMED { ", …" } else { "" };
        Err(Failure::new(
            Exit::Permission,
            format!(
                "{} still rest{} on older keys: {}{more}; each moves over at its next use, so wait, or revoke \
                 all of them with: sidegate keys rotate --drop-old --revoke-stale",
                counted(stale.len(), "token"),
                if stale.len() == 1 { "s" } else { "" },
                names.join(", "),
            ),
        ))
    }
}

/// Makes room if there is none, and puts a new pair before the others.
fn rotate(property: &dyn Property, uses: &[KeyUse], now: Timestamp) -> Result<TokenKeys, Failure> {
    let ring = property.keys();
    let mut forgotten: Vec<u32> = ring.pairs()[1..]
        .iter()
        .filter(|pair| {
            used(uses, pair.id)
                == KeyUse {
                    id: pair.id,
                    ..KeyUse::default()
                }
        })
        .map(|pair| pair.id)
        .collect();
    if ring.pairs().len() - forgotten.len() >= MOST_PAIRS {
        // A year of telling revoked tokens from unknown ones is a courtesy; keys are not.
        let unused = |pair: &&KeyPair| {
            let used = used(uses, pair.id);
            used.tokens == 0 && used.factors == 0
        };
        match ring.pairs()[1..].iter().rev().find(unused) {
            Some(pair) => forgotten.push(pair.id),
            None => {
                return Err(Failure::new(
                    Exit::Permission,
                    format!(
                        "tokens rest on {MOST_PAIRS} pairs of keys, and there can be no more; look at them with \
                         \"sidegate keys list\", and revoke what was not used since with: sidegate keys rotate \
                         --drop-old --revoke-stale"
                    ),
                ));
            }
        }
    }
    let pair = property.new_keys(now)?;
    replace(property, ring.with_new(pair, &forgotten))
}

/// Of older pairs the key that verifies goes; the other one stays while it is needed to know revoked
/// tokens.
fn drop_older(property: &dyn Property, uses: &[KeyUse]) -> Result<TokenKeys, Failure> {
    let next = property.keys().map_older(|pair| {
        let used = used(uses, pair.id);
        if used.tokens > 0 || used.factors > 0 {
            // Nobody makes tokens under older keys, so there is none.
            return Some(pair.clone());
        }
        (used.revoked > 0).then(|| KeyPair {
            token: None,
            ..pair.clone()
        })
    });
    replace(property, next)
}

fn replace(property: &dyn Property, next: KeyRing) -> Result<TokenKeys, Failure> {
    let keys = TokenKeys::from(&next);
    property.replace_keys(next)?;
    Ok(keys)
}

fn used(uses: &[KeyUse], id: u32) -> KeyUse {
    let found = uses.iter().find(|used| used.id == id);
    found.copied().unwrap_or(KeyUse {
        id,
        ..KeyUse::default()
    })
}

/// `1 token`, `2 tokens`.
fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
