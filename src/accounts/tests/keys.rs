//! Older and newer keys: what rests on which, and that nobody notices.

use super::*;

/// The keys of the tests with newer pairs before them, up to this id.
fn ring(newest: u32) -> TokenKeys {
    let newer = (2..=newest).rev().map(|id| TokenKey {
        id,
        lookup: Mac::new(format!("lookup {id}").as_bytes()),
        verifier: Mac::new(format!("verifier {id}").as_bytes()),
    });
    TokenKeys(newer.chain(keys().0).collect())
}

async fn put(accounts: &Accounts, ring: TokenKeys) {
    let put = accounts.change_keys(NOW, |_| Ok::<_, AccountsError>(ring));
    put.await.unwrap();
}

async fn rotate(accounts: &Accounts, newest: u32) {
    put(accounts, ring(newest)).await;
}

/// How many tokens rest on each pair, the newest first.
fn resting(accounts: &Accounts) -> Vec<(u32, usize)> {
    let uses = accounts.key_use(NOW);
    uses.iter().map(|used| (used.id, used.tokens)).collect()
}

// A token "that verifies under an older ring is re-hashed under the newest at that first use".
#[tokio::test]
async fn a_token_moves_to_the_newest_keys_when_it_is_used_and_stays_the_same_token() {
    let (store, accounts) = house().await;
    let (used, before) = accounts.create_token(token("anna", "phone"), NOW).await.unwrap();
    let (unused, _) = accounts.create_token(token("anna", "desk"), NOW).await.unwrap();
    let (live, _) = accounts.find_token(used.expose(), NOW).live();
    accounts.note_used(&live, NOW, None);

    rotate(&accounts, 2).await;
    assert_eq!(resting(&accounts), [(2, 0), (1, 2)]);
    accounts.find_token(used.expose(), NOW).live();
    accounts.find_token(used.expose(), NOW).live();
    accounts.tokens_to_move().await;
    assert_eq!(accounts.move_tokens().await.unwrap(), 1);
    assert_eq!(resting(&accounts), [(2, 1), (1, 1)]);

    let (moved, _) = accounts.find_token(used.expose(), NOW).live();
    assert!(live.flag().is_up(), "whoever holds it is not cut off");
    assert_eq!(moved.used().unwrap().last, NOW);
    let after = moved.record();
    assert_ne!(
        (before.lookup, before.salt, before.verifier),
        (after.lookup, after.salt, after.verifier)
    );
    assert_eq!(
        crate::model::TokenRecord {
            keys: 1,
            lookup: before.lookup,
            salt: before.salt,
            verifier: before.verifier,
            ..after
        },
        before,
        "nothing else has changed"
    );
    assert_eq!(accounts.move_tokens().await.unwrap(), 0, "once is enough");

    // The flag it shares is the one that a revocation takes down.
    accounts
        .revoke_token(&called("anna", "phone"), NOW)
        .await
        .unwrap();
    assert!(!live.flag().is_up() && !moved.flag().is_up());
    assert!(matches!(accounts.find_token(used.expose(), NOW), Found::Revoked));

    let reopened: Arc<dyn Store> = Arc::<TestStore>::clone(&store);
    let reopened = Accounts::load(reopened, ring(2), settings()).await.unwrap();
    assert!(matches!(reopened.find_token(used.expose(), NOW), Found::Revoked));
    reopened.find_token(unused.expose(), NOW).live();
}

#[tokio::test]
async fn new_tokens_rest_on_the_newest_keys() {
    let (_, accounts) = house().await;
    rotate(&accounts, 2).await;
    let (secret, record) = accounts.create_token(token("anna", "phone"), NOW).await.unwrap();
    assert_eq!(record.keys, 2);
    accounts.find_token(secret.expose(), NOW).live();
    let (rotated, record) = accounts.rotate_token("anna", "phone", HOUR, NOW).await.unwrap();
    assert_eq!(record.keys, 2);
    accounts.find_token(rotated.expose(), NOW).live();
    accounts.find_token(secret.expose(), NOW).live();
    assert_eq!(resting(&accounts), [(2, 2), (1, 0)]);
}

// "finding a token costs the same however many there are"
#[tokio::test]
async fn of_several_thousand_tokens_under_four_pairs_one_costs_one_verifier() {
    let (_, accounts) = house().await;
    let mut secrets = Vec::new();
    for newest in 1..=4 {
        rotate(&accounts, newest).await;
        for number in 0..500 {
            let new = token("anna", &format!("t{newest}x{number}"));
            secrets.push(accounts.create_token(new, NOW).await.unwrap().0);
        }
    }
    for secret in secrets.iter().step_by(499) {
        let before = accounts.hash_counts().tokens;
        accounts.find_token(secret.expose(), NOW).live();
        assert_eq!(accounts.hash_counts().tokens, before + 1);
    }
    let before = accounts.hash_counts().tokens;
    let unknown = crate::crypto::token_hash::mint("oh", "t1x1");
    assert!(matches!(
        accounts.find_token(unknown.expose(), NOW),
        Found::Unknown
    ));
    assert_eq!(accounts.hash_counts().tokens, before);
}

// "revoked (remembered for a year as a look-up value)"
#[tokio::test]
async fn a_revoked_token_is_known_as_one_under_whatever_keys_it_was_made() {
    let (_, accounts) = house().await;
    let (early, _) = accounts.create_token(token("anna", "early"), NOW).await.unwrap();
    let (late, _) = accounts.create_token(token("anna", "late"), NOW).await.unwrap();
    accounts
        .revoke_token(&called("anna", "early"), NOW)
        .await
        .unwrap();
    rotate(&accounts, 2).await;
    accounts.revoke_token(&called("anna", "late"), NOW).await.unwrap();
    for secret in [&early, &late] {
        assert!(matches!(
            accounts.find_token(secret.expose(), NOW),
            Found::Revoked
        ));
    }
    let uses = accounts.key_use(NOW);
    assert_eq!((uses[1].id, uses[1].tokens, uses[1].revoked), (1, 0, 2));
    // The key that verifies is gone, the other one still knows them.
    let mut retired = ring(3);
    retired.0[2].verifier = Mac::ephemeral();
    put(&accounts, retired).await;
    for secret in [&early, &late] {
        assert!(matches!(
            accounts.find_token(secret.expose(), NOW),
            Found::Revoked
        ));
    }
}

#[tokio::test]
async fn nothing_verifies_under_a_dropped_key() {
    let (_, accounts) = house().await;
    let (secret, _) = accounts.create_token(token("anna", "phone"), NOW).await.unwrap();
    let mut retired = ring(2);
    retired.0[1].verifier = Mac::ephemeral();
    put(&accounts, retired).await;
    assert!(matches!(
        accounts.find_token(secret.expose(), NOW),
        Found::Unknown
    ));
    rotate(&accounts, 2).await;
    accounts.find_token(secret.expose(), NOW).live();
    put(&accounts, TokenKeys(ring(2).0[..1].to_vec())).await;
    assert!(matches!(
        accounts.find_token(secret.expose(), NOW),
        Found::Unknown
    ));
}

// A token that was revoked, or rotated, between its use and its move.
#[tokio::test]
async fn what_was_revoked_meanwhile_does_not_come_back() {
    let (store, accounts) = house().await;
    let (phone, _) = accounts.create_token(token("anna", "phone"), NOW).await.unwrap();
    let (desk, _) = accounts.create_token(token("anna", "desk"), NOW).await.unwrap();
    rotate(&accounts, 2).await;
    for secret in [&phone, &desk] {
        accounts.find_token(secret.expose(), NOW).live();
    }
    accounts
        .revoke_token(&called("anna", "phone"), NOW)
        .await
        .unwrap();
    accounts.rotate_token("anna", "desk", HOUR, NOW).await.unwrap();
    assert_eq!(accounts.move_tokens().await.unwrap(), 0);
    assert!(matches!(accounts.find_token(phone.expose(), NOW), Found::Revoked));
    assert_eq!(store.keys("token/anna/phone").len(), 0);
    // The rotated one is used under its overlap, and moves as what it is.
    accounts.find_token(desk.expose(), NOW).live();
    assert_eq!(accounts.move_tokens().await.unwrap(), 1);
    accounts.find_token(desk.expose(), NOW).live();
    assert_eq!(store.keys("token/anna/desk").len(), 2);
    // And keys that came meanwhile win.
    let (door, _) = accounts.create_token(token("anna", "door"), NOW).await.unwrap();
    rotate(&accounts, 3).await;
    accounts.find_token(door.expose(), NOW).live();
    rotate(&accounts, 4).await;
    assert_eq!(accounts.move_tokens().await.unwrap(), 0);
    accounts.find_token(door.expose(), NOW).live();
    assert_eq!(accounts.move_tokens().await.unwrap(), 1);
    assert_eq!(accounts.key_use(NOW)[0].tokens, 1);
}

#[tokio::test]
async fn a_store_that_fails_leaves_the_token_where_it_is() {
    let (store, accounts) = house().await;
    let (secret, _) = accounts.create_token(token("anna", "phone"), NOW).await.unwrap();
    rotate(&accounts, 2).await;
    for fails in [Fails::Before, Fails::After] {
        accounts.find_token(secret.expose(), NOW).live();
        store.fail(fails);
        assert!(accounts.move_tokens().await.is_err());
        store.fail(Fails::Never);
        let (live, _) = accounts.find_token(secret.expose(), NOW).live();
        assert!(live.flag().is_up(), "{fails:?}");
    }
    accounts.move_tokens().await.unwrap();
    assert_eq!(resting(&accounts), [(2, 1), (1, 0)]);
    accounts.find_token(secret.expose(), NOW).live();
}

// Keys are changed before anything is told of them, and not at all when they cannot be kept.
#[tokio::test]
async fn keys_that_could_not_be_kept_are_not_in_force() {
    let (_, accounts) = house().await;
    let change = accounts.change_keys(NOW, |_| Err(AccountsError::Conflict));
    assert_eq!(change.await.unwrap_err(), AccountsError::Conflict);
    let (_, record) = accounts.create_token(token("anna", "phone"), NOW).await.unwrap();
    assert_eq!(record.keys, 1);
}

#[tokio::test]
async fn tokens_on_older_keys_can_be_revoked_all_at_once() {
    let (_, accounts) = house().await;
    let mut stale = Vec::new();
    for number in 0..2100 {
        let mut new = token("anna", &format!("t{number}"));
        new.expires = (number % 2 == 0).then(|| NOW.plus(HOUR));
        stale.push(accounts.create_token(new, NOW).await.unwrap().0);
    }
    rotate(&accounts, 2).await;
    let (fresh, _) = accounts.create_token(token("anna", "fresh"), NOW).await.unwrap();
    let later = NOW.plus(DAY);
    assert_eq!(accounts.stale_tokens(Stale::Expired, NOW).len(), 0);
    assert_eq!(accounts.stale_tokens(Stale::Expired, later).len(), 1050);
    assert_eq!(accounts.revoke_stale(Stale::Expired, later).await.unwrap(), 1050);
    assert_eq!(accounts.stale_tokens(Stale::All, later).len(), 1050);
    assert_eq!(accounts.revoke_stale(Stale::All, later).await.unwrap(), 1050);
    for secret in stale.iter().step_by(333) {
        assert!(matches!(
            accounts.find_token(secret.expose(), later),
            Found::Revoked
        ));
    }
    accounts.find_token(fresh.expose(), later).live();
}

// A record of the form before says nothing of its keys.
#[tokio::test]
async fn a_token_that_names_no_keys_rests_on_the_first() {
    let (store, accounts) = house().await;
    let (secret, _) = accounts.create_token(token("anna", "phone"), NOW).await.unwrap();
    let body = store.body("token/anna/phone");
    let earlier = body.replace("\"keys\":1,", "");
    assert_ne!(earlier, body);
    store.write("token/anna/phone", Some(&earlier));
    let reopened: Arc<dyn Store> = Arc::<TestStore>::clone(&store);
    let reopened = Accounts::load(reopened, ring(2), settings()).await.unwrap();
    reopened.find_token(secret.expose(), NOW).live();
    assert_eq!(reopened.move_tokens().await.unwrap(), 1);
    assert_eq!(resting(&reopened), [(2, 1), (1, 0)]);
}

// "Readers see the one or the other and never neither."
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_found_at_every_moment_of_its_moves() {
    let (_, accounts) = house().await;
    let accounts = Arc::new(accounts);
    let mut secrets = Vec::new();
    for number in 0..20 {
        let new = token("anna", &format!("t{number}"));
        secrets.push(accounts.create_token(new, NOW).await.unwrap().0);
    }
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (accounts, done, secrets) = (accounts.clone(), done.clone(), secrets.clone());
            std::thread::spawn(move || {
                let mut rounds = 0u32;
                while !done.load(Ordering::SeqCst) || rounds == 0 {
                    for secret in &secrets {
                        let found = accounts.find_token(secret.expose(), NOW);
                        assert!(matches!(found, Found::Live(..)), "round {rounds}: {found:?}");
                    }
                    rounds += 1;
                }
                rounds
            })
        })
        .collect();
    let mut moved = 0;
    for newest in 2..=4 {
        rotate(&accounts, newest).await;
        while resting(&accounts)[0].1 < secrets.len() {
            accounts.tokens_to_move().await;
            moved += accounts.move_tokens().await.unwrap();
        }
    }
    done.store(true, Ordering::SeqCst);
    for reader in readers {
        assert!(reader.join().unwrap() > 0);
    }
    assert_eq!(moved, 3 * secrets.len());
}
