use super::*;
use crate::crypto::password_hash;
use crate::crypto::password_pool::Lane;

const RIGHT: &str = "plain words here";

/// Accounts whose hashes run when the test says so.
async fn stopped(store: &Arc<TestStore>) -> Accounts {
    let store: Arc<dyn Store> = Arc::<TestStore>::clone(store);
    let pool = PasswordPool::stopped();
    Accounts::load_with(store, keys(), settings(), pool)
        .await
        .unwrap()
}

/// The house, with a password for anna.
async fn with_password() -> (Arc<TestStore>, Accounts) {
    let (store, accounts) = house().await;
    let anna = accounts
        .set_password("anna", Some(Secret::new(RIGHT)))
        .await
        .unwrap();
    assert!(anna.user.password.as_deref().unwrap().starts_with("$argon2id$"));
    (store, accounts)
}

async fn judge(accounts: &Accounts, name: &str, secret: &str) -> PasswordOutcome {
    let digest = Mac::new(b"k").digest("t", &[name.as_bytes(), secret.as_bytes()]);
    accounts
        .verify_password(name, &Secret::new(secret), digest, Lane::Stranger(1))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_password_is_right_wrong_disabled_or_nobodys() {
    let (_store, accounts) = with_password().await;
    assert!(
        matches!(judge(&accounts, "Anna", RIGHT).await, PasswordOutcome::Right(anna) if anna.user.name == "anna")
    );
    assert!(matches!(
        judge(&accounts, "anna", "plain words her").await,
        PasswordOutcome::Wrong
    ));
    assert!(matches!(
        judge(&accounts, "anna", "").await,
        PasswordOutcome::Wrong
    ));
    assert!(
        matches!(judge(&accounts, "olga", RIGHT).await, PasswordOutcome::Wrong),
        "olga has none"
    );
    assert!(matches!(
        judge(&accounts, "bert", RIGHT).await,
        PasswordOutcome::UnknownUser
    ));
    accounts.set_enabled("anna", false).await.unwrap();
    assert!(matches!(
        judge(&accounts, "anna", RIGHT).await,
        PasswordOutcome::Disabled
    ));
    assert!(matches!(
        judge(&accounts, "anna", "other").await,
        PasswordOutcome::Wrong
    ));
    accounts.set_enabled("anna", true).await.unwrap();
    accounts.set_password("anna", None).await.unwrap();
    assert!(matches!(
        judge(&accounts, "anna", RIGHT).await,
        PasswordOutcome::Wrong
    ));
}

// "the dummy verifier executed the same"
#[tokio::test]
async fn every_judgement_costs_one_hash_of_the_same_cost() {
    let (_store, accounts) = with_password().await;
    let stored = accounts.user("anna").unwrap().user.password.clone().unwrap();
    let decoy = Arc::clone(&accounts.in_force.load().decoy);
    assert_eq!(stored.split('$').nth(3), decoy.split('$').nth(3));
    for (name, secret) in [
        ("anna", RIGHT),
        ("anna", "wrong"),
        ("olga", RIGHT),
        ("bert", RIGHT),
        ("", RIGHT),
        ("no such/name", RIGHT),
    ] {
        let before = accounts.hash_counts().passwords;
        judge(&accounts, name, secret).await;
        assert_eq!(
            accounts.hash_counts().passwords,
            before + 1,
            "{name:?} {secret:?}"
        );
    }
}

#[tokio::test]
async fn a_password_of_more_than_1024_bytes_is_wrong_for_everyone_without_a_hash() {
    let (_store, accounts) = with_password().await;
    let before = accounts.hash_counts().passwords;
    let long = "x".repeat(1025);
    assert!(matches!(
        judge(&accounts, "anna", &long).await,
        PasswordOutcome::Wrong
    ));
    assert!(matches!(
        judge(&accounts, "bert", &long).await,
        PasswordOutcome::Wrong
    ));
    assert_eq!(accounts.hash_counts().passwords, before);
}

// Section 6.4: "Password queue full: 429 with `Retry-After`, never counted."
#[tokio::test]
async fn a_full_queue_is_told_at_once_and_with_a_time() {
    let (store, _) = with_password().await;
    let accounts = stopped(&store).await;
    let secret = Secret::new("x");
    let mut waiting: Vec<_> = (0..32)
        .map(|n| Box::pin(accounts.verify_password("anna", &secret, [n; 32], Lane::Stranger(1))))
        .collect();
    for future in &mut waiting {
        assert!(now_or_never(future).await.is_none());
    }
    let full = accounts
        .verify_password("anna", &secret, [32; 32], Lane::Stranger(1))
        .await
        .unwrap_err();
    assert!(
        matches!(full, PasswordFault::QueueFull { retry_after } if retry_after >= Duration::from_secs(1))
    );
    // Whoever sets a password has shown who they are, and waits apart from guesses.
    let mut setting = Box::pin(accounts.set_password("olga", Some(Secret::new(RIGHT))));
    assert!(now_or_never(&mut setting).await.is_none());
    drop(setting);
}

#[tokio::test]
async fn a_thousand_first_uses_of_one_password_cost_one_hash() {
    let (store, _) = with_password().await;
    let accounts = stopped(&store).await;
    let secret = Secret::new(RIGHT);
    let mut asked: Vec<_> = (0..1000)
        .map(|_| Box::pin(accounts.verify_password("anna", &secret, [1; 32], Lane::Stranger(1))))
        .collect();
    for future in &mut asked {
        assert!(now_or_never(future).await.is_none());
    }
    accounts.passwords.run_waiting();
    for future in asked {
        assert!(matches!(future.await, Ok(PasswordOutcome::Right(_))));
    }
    assert_eq!(accounts.hash_counts().passwords, 1);
}

#[tokio::test]
async fn a_password_that_was_changed_while_its_hash_ran_is_judged_again() {
    let (store, _) = with_password().await;
    let accounts = stopped(&store).await;
    let secret = Secret::new(RIGHT);
    let mut asked = Box::pin(accounts.verify_password("anna", &secret, [1; 32], Lane::Stranger(1)));
    assert!(now_or_never(&mut asked).await.is_none());
    accounts.set_password("anna", None).await.unwrap();
    accounts.passwords.run_waiting();
    assert!(now_or_never(&mut asked).await.is_none());
    accounts.passwords.run_waiting();
    assert!(matches!(asked.await, Ok(PasswordOutcome::Wrong)));
}

#[tokio::test]
async fn a_user_disabled_while_the_hash_ran_is_disabled() {
    let (store, _) = with_password().await;
    let accounts = stopped(&store).await;
    let secret = Secret::new(RIGHT);
    let mut asked = Box::pin(accounts.verify_password("anna", &secret, [1; 32], Lane::Stranger(1)));
    assert!(now_or_never(&mut asked).await.is_none());
    accounts.set_enabled("anna", false).await.unwrap();
    accounts.passwords.run_waiting();
    assert!(matches!(asked.await, Ok(PasswordOutcome::Disabled)));
}

#[tokio::test]
async fn a_damaged_hash_is_a_fault_and_nobodys_failure() {
    let (store, accounts) = with_password().await;
    let body = store.body("user/anna").replace("$argon2id$", "$scrypt$");
    store.write("user/anna", Some(&body));
    drop(accounts);
    let accounts = open(&store).await;
    let fault = accounts
        .verify_password("anna", &Secret::new(RIGHT), [1; 32], Lane::Stranger(1))
        .await;
    assert!(matches!(fault, Err(PasswordFault::Fault(_))));
}

#[tokio::test]
async fn a_right_password_renews_an_outdated_hash() {
    let (store, accounts) = with_password().await;
    let dearer = Cost {
        iterations: 2,
        ..CHEAP
    };
    let old = accounts.user("anna").unwrap().user.password.clone();
    accounts
        .reload(AccountSettings {
            password_cost: dearer,
            ..settings()
        })
        .unwrap();
    judge(&accounts, "anna", "wrong").await;
    assert_eq!(accounts.user("anna").unwrap().user.password, old);
    let PasswordOutcome::Right(anna) = judge(&accounts, "anna", RIGHT).await else {
        panic!()
    };
    assert!(anna.flag.is_up());
    assert!(!password_hash::needs_rehash(
        anna.user.password.as_deref().unwrap(),
        dearer
    ));
    let stored: crate::model::UserRecord = serde_json::from_str(&store.body("user/anna")).unwrap();
    assert_eq!(stored, anna.user);

    // A store that fails must not keep a right password out.
    accounts.reload(settings()).unwrap();
    store.fail(Fails::Before);
    assert!(matches!(
        judge(&accounts, "anna", RIGHT).await,
        PasswordOutcome::Right(anna) if anna.flag.is_up()
    ));
}

#[tokio::test]
async fn a_user_disabled_while_the_hash_is_renewed_is_not_let_in() {
    let (store, _) = with_password().await;
    let accounts = stopped(&store).await;
    let dearer = Cost {
        iterations: 2,
        ..CHEAP
    };
    accounts
        .reload(AccountSettings {
            password_cost: dearer,
            ..settings()
        })
        .unwrap();
    let secret = Secret::new(RIGHT);
    let mut asked = Box::pin(accounts.verify_password("anna", &secret, [1; 32], Lane::Stranger(1)));
    assert!(now_or_never(&mut asked).await.is_none());
    accounts.passwords.run_waiting();
    assert!(
        now_or_never(&mut asked).await.is_none(),
        "the new hash is waiting"
    );
    accounts.set_enabled("anna", false).await.unwrap();
    accounts.passwords.run_waiting();
    let Ok(PasswordOutcome::Right(anna)) = asked.await else {
        panic!("it was right when it was judged")
    };
    assert!(!anna.flag.is_up());
    assert!(password_hash::needs_rehash(
        accounts.user("anna").unwrap().user.password.as_deref().unwrap(),
        dearer
    ));
}

#[tokio::test]
async fn a_new_password_is_checked_before_it_is_hashed() {
    let (_store, accounts) = house().await;
    let before = accounts.hash_counts().passwords;
    let set = async |password: &str| {
        accounts
            .set_password("anna", Some(Secret::new(password)))
            .await
            .unwrap_err()
    };
    assert_eq!(set("short").await, AccountsError::PasswordTooShort { min: 8 });
    assert!(matches!(
        set("password123").await,
        AccountsError::Invalid { what: "password", .. }
    ));
    assert!(!format!("{:?} {}", set("password123").await, set("password123").await).contains("password123"));
    assert_eq!(accounts.hash_counts().passwords, before);
}

// Section 7: "Changing a password ends that user's sessions, not the tokens."
#[tokio::test]
async fn a_changed_password_does_not_touch_tokens() {
    let (_store, accounts) = with_password().await;
    let (secret, _) = accounts.create_token(token("anna", "phone"), NOW).await.unwrap();
    let (before, _) = accounts.find_token(secret.expose(), NOW).live();
    let old = accounts.user("anna").unwrap();
    accounts
        .set_password("anna", Some(Secret::new("other plain words")))
        .await
        .unwrap();
    let (after, anna) = accounts.find_token(secret.expose(), NOW).live();
    assert!(Arc::ptr_eq(&before, &after) && before.flag().is_up());
    assert!(
        old.flag.is_up() && anna.flag.is_up(),
        "what holds a token goes on"
    );
    assert!(!old.password.is_up(), "what showed the old password ends");
    assert!(anna.password.is_up());
    accounts.set_password("anna", None).await.unwrap();
    assert!(anna.flag.is_up() && !anna.password.is_up());
    let bare = accounts.user("anna").unwrap();
    accounts.set_role("anna", Role::Admin).await.unwrap();
    assert!(!bare.flag.is_up());
}

#[tokio::test]
async fn the_same_password_at_another_cost_ends_nothing() {
    let (_store, accounts) = with_password().await;
    let old = accounts.user("anna").unwrap();
    let dearer = AccountSettings {
        password_cost: Cost {
            iterations: 2,
            ..CHEAP
        },
        ..settings()
    };
    accounts.reload(dearer).unwrap();
    let PasswordOutcome::Right(new) = judge(&accounts, "anna", RIGHT).await else {
        panic!("it is right")
    };
    assert_ne!(new.user.password, old.user.password, "it was hashed anew");
    assert!(old.flag.is_up() && old.password.is_up());
    assert!(new.flag.is(&old.flag) && new.password.is(&old.password));
}

/// One poll.
async fn now_or_never<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}
