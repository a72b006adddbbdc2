use super::*;

#[tokio::test]
async fn everything_is_the_same_after_a_restart() {
    let (store, accounts) = house().await;
    let new = NewUser {
        role: Some(Role::Admin),
        groups: vec!["family".into()],
        display_name: "Bert \u{c4}hre".into(),
        email: "bert@home.example".into(),
        password: Some(Secret::new("plain words here")),
        ..named("bert")
    };
    accounts.add_user(new, NOW).await.unwrap();
    accounts.create_token(token("bert", "phone"), NOW).await.unwrap();
    let records = |accounts: &Accounts| {
        let users: Vec<_> = accounts
            .users()
            .iter()
            .map(|account| account.user.clone())
            .collect();
        (users, accounts.groups(), accounts.tokens(None, NOW))
    };
    assert_eq!(records(&open(&store).await), records(&accounts));
    assert_eq!(accounts.users().len(), 3);
}

#[tokio::test]
async fn more_than_a_page_of_records_is_read_whole() {
    let (store, accounts) = house().await;
    let body = store.body("user/anna");
    for number in 0..2 * PAGE {
        let name = format!("u{number}");
        store.write(&format!("user/{name}"), Some(&body.replace("anna", &name)));
    }
    drop(accounts);
    assert_eq!(open(&store).await.users().len(), 2 * PAGE + 2);
}

// Section 1: "An empty or damaged store beside a marker is an error"
#[tokio::test]
async fn a_damaged_record_stops_the_start_and_is_named() {
    let (store, accounts) = house().await;
    let (_, record) = accounts.create_token(token("anna", "phone"), NOW).await.unwrap();
    let body = store.body("token/anna/phone");
    for (key, body) in [
        ("user/bert", "{}"),
        ("user/bert", &store.body("user/anna")),
        ("group/x", "not json"),
        ("token/anna/other", "{}"),
        ("token/anna/other", &body),
        ("token/anna/copy", &body.replace("\"phone\"", "\"copy\"")),
        (
            "token/anna/copy",
            &body
                .replace("\"phone\"", "\"copy\"")
                .replace(&record.id, "abcdefghij01"),
        ),
        ("token/anna/phone/abcdefghij01", &body),
        ("used/short", "{\"last\":1}"),
        ("revoked/zz", "{}"),
    ] {
        store.write(key, Some(body));
        let opened: Arc<dyn Store> = Arc::<TestStore>::clone(&store);
        let error = Accounts::load(opened, keys(), settings()).await.unwrap_err();
        assert!(
            matches!(&error, AccountsError::Corrupt { key: named, .. } if named == key || named.ends_with("phone")),
            "{key}: {error}"
        );
        assert_eq!(error.exit_code(), 65);
        store.write(key, None);
    }
    open(&store).await;
}

// I5: "Error / unknown / missing treated as allow"
#[tokio::test]
async fn a_change_that_the_store_refuses_did_not_happen() {
    let (store, accounts) = house().await;
    let (secret, _) = accounts.create_token(token("anna", "phone"), NOW).await.unwrap();
    let (live, anna) = accounts.find_token(secret.expose(), NOW).live();
    store.fail(Fails::Before);
    let failed = accounts
        .revoke_token(&called("anna", "phone"), NOW)
        .await
        .unwrap_err();
    assert_eq!(failed.exit_code(), 74, "{failed}");
    assert!(accounts.set_enabled("anna", false).await.is_err());
    assert!(accounts.add_user(named("bert"), NOW).await.is_err());
    assert!(accounts.create_token(token("anna", "other"), NOW).await.is_err());
    store.fail(Fails::Never);
    assert!(matches!(
        accounts.find_token(secret.expose(), NOW),
        Found::Live(..)
    ));
    assert!(!accounts.user("anna").unwrap().user.disabled);
    assert!(accounts.user("bert").is_none());
    assert_eq!(accounts.tokens(None, NOW).len(), 1);
    assert!(live.flag().is_up() && anna.flag.is_up(), "and nobody was cut off");
    // And what failed can be done again.
    accounts.add_user(named("bert"), NOW).await.unwrap();
    accounts
        .revoke_token(&called("anna", "phone"), NOW)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_change_whose_answer_got_lost_is_in_force() {
    let (store, accounts) = house().await;
    let (secret, _) = accounts.create_token(token("anna", "phone"), NOW).await.unwrap();
    let (live, anna) = accounts.find_token(secret.expose(), NOW).live();
    store.fail(Fails::After);
    assert!(accounts.set_enabled("anna", false).await.is_err());
    assert!(!anna.flag.is_up());
    assert!(accounts.user("anna").unwrap().user.disabled);
    assert!(accounts.rotate_token("anna", "phone", HOUR, NOW).await.is_err());
    assert_eq!(accounts.tokens(Some("anna"), NOW).len(), 2);
    assert!(
        accounts
            .revoke_token(&called("anna", "phone"), NOW)
            .await
            .is_err()
    );
    assert!(!live.flag().is_up());
    assert!(matches!(
        accounts.find_token(secret.expose(), NOW),
        Found::Revoked
    ));
    store.fail(Fails::Never);
    accounts.set_enabled("anna", true).await.unwrap();
}

#[tokio::test]
async fn a_record_that_someone_else_wrote_is_a_conflict_and_then_known() {
    let (store, accounts) = house().await;
    let body = store
        .body("user/anna")
        .replace("\"role\":\"user\"", "\"role\":\"admin\"");
    store.write("user/anna", Some(&body));
    store.write("user/bert", Some(&body.replace("anna", "bert")));
    let anna = accounts.user("anna").unwrap();
    assert_eq!(
        accounts.set_enabled("anna", false).await.unwrap_err(),
        AccountsError::Conflict
    );
    assert!(!anna.flag.is_up());
    let disabled = accounts.set_enabled("anna", false).await.unwrap();
    assert_eq!(disabled.user.role, Role::Admin);
    assert_eq!(
        accounts.add_user(named("bert"), NOW).await.unwrap_err(),
        AccountsError::Conflict
    );
    assert!(matches!(
        accounts.add_user(named("bert"), NOW).await,
        Err(AccountsError::Exists { .. })
    ));
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_no_half_revocation() {
    let (store, accounts) = house().await;
    let (secret, _) = accounts.create_token(token("anna", "phone"), NOW).await.unwrap();
    store.slow.store(true, Ordering::SeqCst);
    let selector = called("anna", "phone");
    tokio::select! {
        biased;
        _ = accounts.revoke_token(&selector, NOW) => panic!("the store is slow"),
        () = async { for _ in 0..10 { tokio::task::yield_now().await } } => {}
    }
    assert!(
        matches!(accounts.find_token(secret.expose(), NOW), Found::Live(..)),
        "nothing is committed yet"
    );
    store.slow.store(false, Ordering::SeqCst);
    store.go.notify_one();
    // The next change waits for the one that nobody waits for.
    accounts.add_group("family", NOW).await.unwrap();
    assert!(matches!(
        accounts.find_token(secret.expose(), NOW),
        Found::Revoked
    ));
}

#[tokio::test]
async fn readers_do_not_wait_for_a_change() {
    let (store, accounts) = house().await;
    let (secret, _) = accounts.create_token(token("anna", "phone"), NOW).await.unwrap();
    store.slow.store(true, Ordering::SeqCst);
    let (removed, ()) = tokio::join!(accounts.remove_user("anna", NOW), async {
        tokio::task::yield_now().await;
        assert!(matches!(
            accounts.find_token(secret.expose(), NOW),
            Found::Live(..)
        ));
        assert!(accounts.user("anna").is_some());
        store.go.notify_one();
    });
    removed.unwrap();
    assert!(matches!(
        accounts.find_token(secret.expose(), NOW),
        Found::Revoked
    ));
}

#[tokio::test]
async fn of_two_tokens_of_one_name_at_once_one_is_made() {
    let (_store, accounts) = house().await;
    let make = || accounts.create_token(token("anna", "phone"), NOW);
    let (one, two) = tokio::join!(make(), make());
    assert_eq!([one.is_ok(), two.is_ok()].iter().filter(|made| **made).count(), 1);
}

// "It moves after their flags are down, so who sees it move and looks at a flag sees the truth."
#[tokio::test]
async fn the_revocation_count_moves_after_the_flags() {
    let (_store, accounts) = house().await;
    let (secret, _) = accounts.create_token(token("anna", "phone"), NOW).await.unwrap();
    let (live, _) = accounts.find_token(secret.expose(), NOW).live();
    let mut revocations = accounts.revocations();
    revocations.mark_unchanged();
    let watcher = tokio::spawn(async move {
        revocations.changed().await.unwrap();
        live.flag().is_up()
    });
    accounts
        .revoke_token(&called("anna", "phone"), NOW)
        .await
        .unwrap();
    assert!(!watcher.await.unwrap());
}

// Section 6.4: "Bans survive a restart with their remaining time."
#[tokio::test]
async fn bans_are_kept_until_they_are_removed() {
    let store = TestStore::new();
    let accounts = open(&store).await;
    let ban = |network: &str, until| crate::model::BanRecord {
        network: network.parse().unwrap(),
        since: NOW,
        until,
        times: 1,
        why: "failures".into(),
    };
    let (one, two) = (
        ban("192.0.2.1/32", Some(NOW.plus(HOUR))),
        ban("2001:db8::/64", None),
    );
    accounts.save_ban(&one).await.unwrap();
    accounts.save_ban(&two).await.unwrap();
    assert_eq!(
        open(&store).await.load_bans().await.unwrap(),
        [one.clone(), two.clone()]
    );
    assert!(accounts.remove_ban(&one.network).await.unwrap());
    assert!(!accounts.remove_ban(&one.network).await.unwrap());
    assert_eq!(accounts.load_bans().await.unwrap(), [two]);
    store.write("ban/10.0.0.0/8", Some("{}"));
    assert!(
        matches!(accounts.load_bans().await, Err(AccountsError::Corrupt { key, .. }) if key == "ban/10.0.0.0/8")
    );
}

#[test]
fn accounts_are_shared_by_workers() {
    fn shared<T: Send + Sync>() {}
    fn moved<T: Send>(_: T) {}
    shared::<Accounts>();
    let changes = async |accounts: &Accounts| accounts.set_enabled("anna", false).await;
    let _ = changes;
    fn futures(accounts: &Accounts) {
        moved(accounts.add_user(named("a"), NOW));
        moved(accounts.set_groups("a", &[], NOW));
        moved(accounts.verify_password(
            "a",
            &SECRET_FOR_TYPES,
            [0; 32],
            crate::crypto::password_pool::Lane::Known,
        ));
        moved(accounts.sweep(NOW));
        moved(accounts.flush_used());
    }
    static SECRET_FOR_TYPES: std::sync::LazyLock<Secret> = std::sync::LazyLock::new(|| Secret::new(""));
    let _: fn(&Accounts) = futures;
}
