use super::*;

fn owner(name: &str) -> NewUser {
    NewUser {
        password: Some(Secret::new("plain words here")),
        display_name: "Olga".into(),
        ..named(name)
    }
}

fn recovery(user: &str) -> Purpose {
    Purpose::Recover {
        user: user.into(),
        all_factors: false,
    }
}

async fn empty() -> (Arc<TestStore>, Accounts) {
    let store = TestStore::new();
    let accounts = open(&store).await;
    (store, accounts)
}

// M-14: "owner creation race: two first-owner requests; second owner after setup: exactly one"
#[tokio::test]
async fn of_two_who_open_the_owner_s_link_one_becomes_the_owner() {
    let (store, accounts) = empty().await;
    let (code, _) = accounts.create_link(&Purpose::Owner, NOW).await.unwrap();
    let code = code.expose();
    assert_eq!(accounts.find_link(code, NOW), Some(Purpose::Owner));
    let (one, other) = tokio::join!(
        accounts.claim_owner(code, owner("olga"), NOW),
        accounts.claim_owner(code, owner("mallory"), NOW),
    );
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    assert_eq!(accounts.users().len(), 1);
    assert_eq!(accounts.users()[0].user.role, Role::Owner);
    assert_eq!(accounts.find_link(code, NOW), None);
    assert!(accounts.claim_owner(code, owner("third"), NOW).await.is_err());
    assert!(accounts.create_link(&Purpose::Owner, NOW).await.is_err());
    assert!(store.keys("link/").is_empty());
}

// "owner, credential and marker are written in one transaction"; S-03: "auth never becomes
// empty=first-owner-setup"
#[tokio::test]
async fn owner_password_and_the_word_that_there_was_one_are_there_together_or_not_at_all() {
    let (store, accounts) = empty().await;
    let (code, _) = accounts.create_link(&Purpose::Owner, NOW).await.unwrap();
    let claim = || accounts.claim_owner(code.expose(), owner("olga"), NOW);
    store.fail(Fails::Before);
    claim().await.unwrap_err();
    assert_eq!(store.keys(""), ["link/owner"]);
    store.fail(Fails::Never);
    assert!(
        claim().await.unwrap().user.password.is_some(),
        "the link still works"
    );
    assert_eq!(store.keys(""), ["setup/done", "user/olga"]);

    // A store from before the word was written gets it, once.
    store.write("setup/done", None);
    let again = open(&store).await;
    for _ in 0..2 {
        again.note_set_up().await.unwrap();
        assert_eq!(store.keys(""), ["setup/done", "user/olga"]);
    }

    // Whichever way the first user came: a store that lost them is damaged, and not new.
    let (other, accounts) = empty().await;
    accounts.add_user(named("olga"), NOW).await.unwrap();
    for store in [store, other] {
        store.write("user/olga", None);
        let lost: Arc<dyn Store> = Arc::<TestStore>::clone(&store);
        let error = Accounts::load(lost, keys(), settings()).await.unwrap_err();
        assert!(matches!(error, AccountsError::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains("restore a backup"), "{error}");
    }
}

// A commit that happened and whose answer got lost is one that happened.
#[tokio::test]
async fn an_owner_whose_answer_got_lost_is_the_owner() {
    let (store, accounts) = empty().await;
    let (code, _) = accounts.create_link(&Purpose::Owner, NOW).await.unwrap();
    store.fail(Fails::After);
    let lost = accounts.claim_owner(code.expose(), owner("olga"), NOW).await;
    assert!(lost.is_err());
    store.fail(Fails::Never);
    assert_eq!(accounts.users().len(), 1);
    assert_eq!(accounts.find_link(code.expose(), NOW), None);
    let second = accounts.claim_owner(code.expose(), owner("mallory"), NOW).await;
    assert!(second.is_err());
    assert_eq!(open(&store).await.users().len(), 1);
}

// "`setup-link`: prints a lost one anew"
#[tokio::test]
async fn a_new_link_takes_the_place_of_the_lost_one_and_is_stored_nowhere() {
    let (store, accounts) = empty().await;
    let (lost, _) = accounts.create_link(&Purpose::Owner, NOW).await.unwrap();
    let (code, expires) = accounts.create_link(&Purpose::Owner, NOW).await.unwrap();
    assert_eq!(accounts.find_link(lost.expose(), NOW), None);
    let text = code.expose_str().unwrap();
    assert!(store.keys("").iter().all(|key| !store.body(key).contains(text)));
    let again = open(&store).await;
    assert_eq!(again.find_link(code.expose(), NOW), Some(Purpose::Owner));
    assert_eq!(again.find_link(code.expose(), expires), None);
    assert!(
        again
            .claim_owner(code.expose(), owner("olga"), expires)
            .await
            .is_err()
    );
    again.sweep_sessions(expires).await.unwrap();
    assert!(store.keys("link/").is_empty());
}

// An initialised store is no first start: who came by another way is there to stay.
#[tokio::test]
async fn an_owner_s_link_is_dead_once_anybody_is_there() {
    let (_, accounts) = empty().await;
    let (code, _) = accounts.create_link(&Purpose::Owner, NOW).await.unwrap();
    accounts.add_user(named("anna"), NOW).await.unwrap();
    assert_eq!(accounts.find_link(code.expose(), NOW), None);
    assert!(
        accounts
            .claim_owner(code.expose(), owner("olga"), NOW)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_name_or_password_that_cannot_be_leaves_the_link_as_it_was() {
    let (_, accounts) = empty().await;
    let (code, _) = accounts.create_link(&Purpose::Owner, NOW).await.unwrap();
    for wrong in [
        owner("not a name"),
        NewUser {
            password: Some(Secret::new("short")),
            ..owner("olga")
        },
        NewUser {
            password: None,
            ..owner("olga")
        },
    ] {
        assert!(accounts.claim_owner(code.expose(), wrong, NOW).await.is_err());
    }
    accounts
        .claim_owner(code.expose(), owner("Olga"), NOW)
        .await
        .unwrap();
    assert!(accounts.user("olga").is_some());
}

// "`sidegate user recover NAME` prints a one-time link that gets a locked-out person back in"
#[tokio::test]
async fn a_recovery_link_sets_a_password_once() {
    let (store, accounts) = house().await;
    accounts.set_enabled("anna", false).await.unwrap();
    let purpose = recovery("Anna");
    let (code, _) = accounts.create_link(&purpose, NOW).await.unwrap();
    let code = code.expose();
    assert_eq!(accounts.find_link(code, NOW), Some(recovery("anna")));
    assert!(accounts.claim_owner(code, owner("mallory"), NOW).await.is_err());
    let password = || Secret::new("plain words here");
    let account = accounts.claim_recovery(code, password(), NOW).await.unwrap();
    assert!(account.user.password.is_some() && !account.user.disabled);
    assert!(accounts.claim_recovery(code, password(), NOW).await.is_err());
    assert!(store.keys("link/").is_empty());

    let (code, _) = accounts.create_link(&purpose, NOW).await.unwrap();
    accounts.remove_user("anna", NOW).await.unwrap();
    assert_eq!(accounts.find_link(code.expose(), NOW), None);
    assert!(accounts.create_link(&purpose, NOW).await.is_err());
}
