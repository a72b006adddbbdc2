use super::*;

// Section 2: "the first user is the owner; a first user with another role is refused"
#[tokio::test]
async fn the_first_user_is_the_owner() {
    let accounts = open(&TestStore::new()).await;
    assert!(accounts.owner().is_none());
    let as_admin = NewUser {
        role: Some(Role::Admin),
        ..named("olga")
    };
    let refused = accounts.add_user(as_admin.clone(), NOW).await.unwrap_err();
    assert_eq!(refused.exit_code(), 77, "{refused}");
    assert!(accounts.users().is_empty());

    let olga = accounts.add_user(named("Olga"), NOW).await.unwrap();
    assert_eq!((olga.user.name.as_str(), olga.user.role), ("olga", Role::Owner));
    let anna = accounts.add_user(named("anna"), NOW).await.unwrap();
    assert_eq!(anna.user.role, Role::User);
    let twice = accounts.add_user(as_admin, NOW).await.unwrap_err();
    assert!(matches!(twice, AccountsError::Exists { kind: "user", .. }));
    assert_eq!(accounts.owner().unwrap().user.name, "olga");
}

// M-14: "two first-owner requests ... exactly one"
#[tokio::test]
async fn of_two_first_users_at_once_one_is_the_owner() {
    let accounts = open(&TestStore::new()).await;
    let owner = |name| {
        let first = NewUser {
            password: Some(Secret::new("plain words here")),
            ..named(name)
        };
        accounts.add_user(first, NOW)
    };
    let (one, two) = tokio::join!(owner("olga"), owner("oleg"));
    let owners = [one.unwrap(), two.unwrap()].map(|account| account.user.role == Role::Owner);
    assert_eq!(owners.iter().filter(|owner| **owner).count(), 1);
}

// model: the owner "Cannot be disabled or removed."
#[tokio::test]
async fn the_only_owner_stays() {
    let (_store, accounts) = house().await;
    for refused in [
        accounts.set_enabled("olga", false).await.map(drop),
        accounts.set_role("olga", Role::Admin).await.map(drop),
        accounts.remove_user("olga", NOW).await,
    ] {
        let refused = refused.unwrap_err();
        assert!(matches!(refused, AccountsError::Forbidden { .. }), "{refused}");
    }
    assert!(accounts.owner().unwrap().flag.is_up());

    accounts.set_role("anna", Role::Owner).await.unwrap();
    accounts.set_enabled("anna", false).await.unwrap();
    let refused = accounts.remove_user("olga", NOW).await;
    assert!(refused.is_err(), "a disabled owner is no way back in");
    accounts.set_enabled("anna", true).await.unwrap();
    accounts.remove_user("olga", NOW).await.unwrap();
    assert_eq!(accounts.owner().unwrap().user.name, "anna");
}

// Section 1: "An initialised store without an owner ... is mended by `user role NAME owner`."
#[tokio::test]
async fn a_store_without_an_owner_is_mended_by_a_role() {
    let (store, accounts) = house().await;
    drop(accounts);
    store.write("user/olga", None);
    let accounts = open(&store).await;
    assert!(accounts.owner().is_none());
    let bert = accounts.add_user(named("bert"), NOW).await.unwrap();
    assert_eq!(bert.user.role, Role::User, "no longer the first");
    accounts.set_role("anna", Role::Owner).await.unwrap();
    assert_eq!(accounts.owner().unwrap().user.name, "anna");
}

#[tokio::test]
async fn any_change_makes_a_new_account_and_takes_down_what_it_ends() {
    let (_store, accounts) = house().await;
    let mut revocations = accounts.revocations();
    let mut old = accounts.user("anna").unwrap();
    for step in 0..7 {
        revocations.mark_unchanged();
        let password = Some(Secret::new("plain words here"));
        let new = match step {
            0 => accounts.set_password("anna", password).await,
            1 => accounts.set_enabled("anna", false).await,
            2 => accounts.set_enabled("anna", true).await,
            3 => accounts.set_role("anna", Role::Admin).await,
            4 => accounts.set_groups("anna", &["family".into()], NOW).await,
            5 => accounts.join_group("anna", "garden", NOW).await,
            _ => accounts.leave_group("anna", "family").await,
        }
        .unwrap();
        // "Changing a password ends that user's sessions, not the tokens"
        let ended = if step == 0 { &old.password } else { &old.flag };
        assert!(!ended.is_up(), "step {step}");
        assert!(new.flag.is_up() && new.password.is_up(), "step {step}");
        assert!(revocations.has_changed().unwrap(), "step {step}");
        old = new;
    }
    accounts.remove_user("Anna", NOW).await.unwrap();
    assert!(!old.flag.is_up());
    assert!(accounts.user("anna").is_none());
}

#[tokio::test]
async fn a_change_that_changes_nothing_ends_nothing() {
    let (_store, accounts) = house().await;
    let anna = accounts.user("anna").unwrap();
    accounts.set_enabled("anna", true).await.unwrap();
    accounts.set_role("anna", Role::User).await.unwrap();
    assert!(anna.flag.is_up());
}

#[tokio::test]
async fn what_does_not_exist_is_named() {
    let (_store, accounts) = house().await;
    for missing in [
        accounts.set_enabled("bert", false).await.map(drop).unwrap_err(),
        accounts.set_password("bert", None).await.map(drop).unwrap_err(),
        accounts.remove_user("bert", NOW).await.unwrap_err(),
        accounts.remove_group("bert").await.unwrap_err(),
        accounts.leave_group("anna", "bert").await.map(drop).unwrap_err(),
        accounts
            .create_token(token("bert", "t"), NOW)
            .await
            .map(drop)
            .unwrap_err(),
        accounts
            .revoke_token(&called("anna", "bert"), NOW)
            .await
            .map(drop)
            .unwrap_err(),
        accounts
            .revoke_token(&TokenSelector::Id("bert".into()), NOW)
            .await
            .map(drop)
            .unwrap_err(),
    ] {
        assert!(missing.to_string().contains("bert"), "{missing}");
        assert_eq!(missing.exit_code(), 66, "{missing}");
    }
}

#[tokio::test]
async fn groups_come_with_their_first_member_and_go_with_their_record() {
    let (store, accounts) = house().await;
    accounts.add_group("garden", NOW).await.unwrap();
    assert!(matches!(
        accounts.add_group("garden", NOW).await,
        Err(AccountsError::Exists { .. })
    ));
    assert!(accounts.add_group("admin", NOW).await.is_err());
    let wanted = ["house".to_owned(), "garden".to_owned(), "house".to_owned()];
    let anna = accounts.set_groups("anna", &wanted, NOW).await.unwrap();
    assert_eq!(anna.user.groups, ["garden", "house"]);
    let names = |accounts: &Accounts| {
        accounts
            .groups()
            .into_iter()
            .map(|group| group.name)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&accounts), ["garden", "house"]);

    accounts.remove_group("garden").await.unwrap();
    assert!(!anna.flag.is_up());
    assert_eq!(accounts.user("anna").unwrap().user.groups, ["house"]);
    assert_eq!(names(&open(&store).await), ["house"]);
    assert_eq!(open(&store).await.user("anna").unwrap().user.groups, ["house"]);
}

#[tokio::test]
async fn values_that_could_break_a_header_are_refused() {
    let (_store, accounts) = house().await;
    let bad = [
        named("be rt"),
        NewUser {
            groups: vec!["a,b".into()],
            ..named("bert")
        },
        NewUser {
            groups: vec!["owner".into()],
            ..named("bert")
        },
        NewUser {
            display_name: "Bert\r\nRemote-User: olga".into(),
            ..named("bert")
        },
        NewUser {
            email: "bert".into(),
            ..named("bert")
        },
    ];
    for new in bad {
        let refused = accounts.add_user(new.clone(), NOW).await.unwrap_err();
        assert!(matches!(refused, AccountsError::Invalid { .. }), "{new:?}");
        assert_eq!(refused.exit_code(), 65);
    }
    assert!(accounts.user("bert").is_none());
}
