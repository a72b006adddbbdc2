use super::*;

// "`oh.<name>.<random>`: the openHAB shape", "unique per user", "Shown once."
#[tokio::test]
async fn a_token_is_made_found_and_nowhere_stored() {
    let (store, accounts) = house().await;
    let (secret, record) = accounts.create_token(token("Anna", "phone"), NOW).await.unwrap();
    let text = secret.expose_str().unwrap();
    assert!(text.starts_with("oh.phone."), "{}", record.id);
    let (live, anna) = accounts.find_token(secret.expose(), NOW).live();
    assert_eq!(
        (live.user(), live.name(), live.id()),
        ("anna", "phone", record.id.as_str())
    );
    assert_eq!(anna.user.name, "anna");
    assert_eq!(live.record(), record);

    let random = text.rsplit('.').next().unwrap();
    for key in store.keys("") {
        assert!(
            !store.body(&key).contains(random) && !key.contains(random),
            "{key}"
        );
    }
    let again = accounts
        .create_token(token("anna", "phone"), NOW)
        .await
        .unwrap_err();
    assert!(
        matches!(again, AccountsError::Exists { kind: "token", .. }),
        "{again}"
    );
    accounts.create_token(token("olga", "phone"), NOW).await.unwrap();
}

// "a stolen store without its key file is worth nothing"
#[tokio::test]
async fn without_its_keys_a_store_recognises_no_token() {
    let (store, accounts) = house().await;
    let (secret, _) = accounts.create_token(token("anna", "phone"), NOW).await.unwrap();
    for swap in 0..2 {
        let (lookup, verifier) = (keys().newest().lookup.clone(), keys().newest().verifier.clone());
        let mut keys = [lookup, verifier];
        keys[swap] = Mac::new(b"a guess");
        let [lookup, verifier] = keys;
        let keys = TokenKeys::single(lookup, verifier);
        let store: Arc<dyn Store> = Arc::<TestStore>::clone(&store);
        let thief = Accounts::load(store, keys, settings()).await.unwrap();
        assert!(
            matches!(thief.find_token(secret.expose(), NOW), Found::Unknown),
            "{swap}"
        );
    }
}

// "finding a token costs the same however many there are"
#[tokio::test]
async fn of_several_thousand_tokens_with_one_name_one_costs_one_hash() {
    let (_store, accounts) = house().await;
    let mut secrets = Vec::new();
    for number in 0..3000 {
        let user = format!("u{number}");
        accounts.add_user(named(&user), NOW).await.unwrap();
        secrets.push((
            accounts.create_token(token(&user, "phone"), NOW).await.unwrap().0,
            user,
        ));
    }
    for (secret, user) in secrets.iter().step_by(500) {
        let before = accounts.hash_counts();
        let (live, account) = accounts.find_token(secret.expose(), NOW).live();
        assert_eq!((live.user(), &account.user.name), (user.as_str(), user));
        assert_eq!(accounts.hash_counts().tokens, before.tokens + 1);
        assert_eq!(accounts.hash_counts().passwords, before.passwords);
    }
    let stranger = crate::crypto::token_hash::mint("oh", "phone");
    let before = accounts.hash_counts();
    assert!(matches!(
        accounts.find_token(stranger.expose(), NOW),
        Found::Unknown
    ));
    assert_eq!(accounts.hash_counts(), before);
}

// C-14, C-16: "every proper prefix of a valid token, valid+`x`", "token upper/lower-cased"
#[tokio::test]
async fn a_part_or_a_variant_of_a_token_is_wrong_and_reaches_no_table() {
    let (_store, accounts) = house().await;
    let (secret, _) = accounts.create_token(token("anna", "Phone"), NOW).await.unwrap();
    let text = secret.expose_str().unwrap();
    let mut variants: Vec<String> = (0..text.len()).map(|end| text[..end].to_owned()).collect();
    variants.extend((1..text.len()).map(|start| text[start..].to_owned()));
    variants.extend(["x", ".", " ", "\n", "\0"].map(|end| format!("{text}{end}")));
    variants.extend([
        text.to_lowercase(),
        text.to_uppercase(),
        format!(" {text}"),
        text.replace("Phone", "phone"),
    ]);
    variants.extend((0..text.len()).map(|at| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
        String::from_utf8(bytes).unwrap()
    }));
    for variant in variants {
        let found = accounts.find_token(variant.as_bytes(), NOW);
        assert!(
            matches!(found, Found::Malformed),
            "{} characters: {found:?}",
            variant.len()
        );
    }
    assert!(matches!(accounts.find_token(&[0xff; 100], NOW), Found::Malformed));
    assert_eq!(accounts.hash_counts().tokens, 0);
}

// "Deleting or disabling a user, or revoking a token, ends its requests at once"
#[tokio::test]
async fn a_revoked_token_is_down_when_the_verb_returns_and_remembered_for_a_year() {
    let (store, accounts) = house().await;
    let (secret, record) = accounts.create_token(token("anna", "phone"), NOW).await.unwrap();
    let (other, by_id) = accounts.create_token(token("anna", "tablet"), NOW).await.unwrap();
    let (live, anna) = accounts.find_token(secret.expose(), NOW).live();
    let mut revocations = accounts.revocations();
    revocations.mark_unchanged();

    let revoked = accounts
        .revoke_token(&called("ANNA", "phone"), NOW)
        .await
        .unwrap();
    assert_eq!(revoked, record);
    assert!(!live.flag().is_up());
    assert!(anna.flag.is_up(), "the user's other credentials go on");
    assert!(revocations.has_changed().unwrap());
    assert!(matches!(
        accounts.find_token(secret.expose(), NOW),
        Found::Revoked
    ));
    assert!(matches!(
        accounts.find_token(other.expose(), NOW),
        Found::Live(..)
    ));
    accounts
        .revoke_token(&TokenSelector::Id(by_id.id), NOW)
        .await
        .unwrap();
    assert!(matches!(accounts.find_token(other.expose(), NOW), Found::Revoked));
    assert_eq!(store.keys("token/"), [""; 0]);
    assert_eq!(store.keys("revoked/").len(), 2);

    accounts.sweep(NOW.plus(YEAR)).await.unwrap();
    let accounts = open(&store).await;
    assert!(
        matches!(accounts.find_token(secret.expose(), NOW), Found::Revoked),
        "a restart changes nothing"
    );
    assert_eq!(accounts.sweep(NOW.plus(YEAR).plus(HOUR)).await.unwrap(), 2);
    assert!(matches!(
        accounts.find_token(secret.expose(), NOW),
        Found::Unknown
    ));
    assert_eq!(store.keys("revoked/"), [""; 0]);
    // The name is free again.
    accounts.create_token(token("anna", "phone"), NOW).await.unwrap();
}

#[tokio::test]
async fn an_expired_token_is_expired_from_its_moment_on() {
    let (_store, accounts) = house().await;
    let until = NOW.plus(DAY);
    let new = NewToken {
        expires: Some(until),
        ..token("anna", "phone")
    };
    let (secret, _) = accounts.create_token(new.clone(), NOW).await.unwrap();
    let before = Timestamp::from_millis(until.as_millis() - 1);
    assert!(matches!(
        accounts.find_token(secret.expose(), before),
        Found::Live(..)
    ));
    assert!(matches!(
        accounts.find_token(secret.expose(), until),
        Found::Expired
    ));
    let selector = called("anna", "phone");
    assert_eq!(
        accounts.token(&selector, before).unwrap().state,
        TokenState::Active
    );
    assert_eq!(
        accounts.token(&selector, until).unwrap().state,
        TokenState::Expired
    );
    let past = accounts
        .create_token(
            NewToken {
                name: "other".into(),
                ..new
            },
            until,
        )
        .await
        .unwrap_err();
    assert!(matches!(past, AccountsError::Invalid { what: "expiry", .. }));
}

// "A token's roles are those of its user now."
#[tokio::test]
async fn a_token_has_its_users_rights_of_now() {
    let (_store, accounts) = house().await;
    let (secret, _) = accounts.create_token(token("anna", "phone"), NOW).await.unwrap();
    let (live, before) = accounts.find_token(secret.expose(), NOW).live();
    accounts.set_role("anna", Role::ReadOnly).await.unwrap();
    assert!(!before.flag.is_up());
    let (_, now) = accounts.find_token(secret.expose(), NOW).live();
    assert_eq!(now.user.role, Role::ReadOnly);

    accounts.set_enabled("anna", false).await.unwrap();
    assert!(!now.flag.is_up());
    assert!(matches!(
        accounts.find_token(secret.expose(), NOW),
        Found::UserDisabled
    ));
    assert_eq!(accounts.tokens(None, NOW)[0].state, TokenState::UserDisabled);
    accounts.set_enabled("anna", true).await.unwrap();
    assert!(matches!(
        accounts.find_token(secret.expose(), NOW),
        Found::Live(..)
    ));
    assert!(live.flag().is_up());
}

#[tokio::test]
async fn the_tokens_of_a_removed_user_are_revoked_and_no_namesake_gets_them() {
    let (store, accounts) = house().await;
    let (secret, _) = accounts.create_token(token("anna", "phone"), NOW).await.unwrap();
    let (live, anna) = accounts.find_token(secret.expose(), NOW).live();
    accounts.note_used(&live, NOW, None);
    accounts.flush_used().await.unwrap();
    accounts.remove_user("anna", NOW).await.unwrap();
    assert!(!live.flag().is_up() && !anna.flag.is_up());
    assert!(matches!(
        accounts.find_token(secret.expose(), NOW),
        Found::Revoked
    ));
    assert_eq!((store.keys("token/"), store.keys("used/")), (vec![], vec![]));
    accounts.add_user(named("anna"), NOW).await.unwrap();
    assert!(matches!(
        accounts.find_token(secret.expose(), NOW),
        Found::Revoked
    ));
    assert!(matches!(
        open(&store).await.find_token(secret.expose(), NOW),
        Found::Revoked
    ));
}

#[tokio::test]
async fn a_token_without_a_user_is_nobodys() {
    let (store, accounts) = house().await;
    let (secret, _) = accounts.create_token(token("anna", "phone"), NOW).await.unwrap();
    store.write("user/anna", None);
    let accounts = open(&store).await;
    assert!(matches!(
        accounts.find_token(secret.expose(), NOW),
        Found::UserGone
    ));
    assert_eq!(accounts.tokens(Some("anna"), NOW)[0].state, TokenState::UserGone);
    accounts.add_user(named("anna"), NOW).await.unwrap();
    assert!(matches!(
        accounts.find_token(secret.expose(), NOW),
        Found::Revoked
    ));
}

// "Rotation keeps the old one valid for the overlap given."
#[tokio::test]
async fn a_rotated_token_works_until_its_overlap_is_over() {
    let (store, accounts) = house().await;
    let new = NewToken {
        expires: Some(NOW.plus(YEAR)),
        scope: "read-only".into(),
        networks: vec!["10.1.2.3/8".parse().unwrap()],
        ..token("anna", "phone")
    };
    let (old, old_record) = accounts.create_token(new, NOW).await.unwrap();
    let (live, _) = accounts.find_token(old.expose(), NOW).live();
    accounts.note_used(&live, NOW, None);
    accounts.flush_used().await.unwrap();
    let later = NOW.plus(DAY);
    let (fresh, record) = accounts.rotate_token("anna", "phone", HOUR, later).await.unwrap();
    assert_eq!(
        (record.name.as_str(), record.scope.as_str()),
        ("phone", "read-only")
    );
    assert_eq!(record.networks, ["10.0.0.0/8".parse().unwrap()]);
    assert_eq!(record.expires, Some(later.plus(YEAR)), "the same lifetime");
    assert_ne!(record.id, old_record.id);
    assert!(live.is_replaced(), "a cache must not believe the old record");
    let still = later.plus(HOUR - Duration::from_millis(1));
    let flag = live.flag();
    assert!(
        flag.holds(still) && !flag.holds(later.plus(HOUR)),
        "the overlap and no longer"
    );

    for accounts in [&accounts, &open(&store).await] {
        let still = later.plus(HOUR - Duration::from_millis(1));
        assert_eq!(
            accounts.find_token(fresh.expose(), still).live().0.id(),
            record.id
        );
        let (overlapping, _) = accounts.find_token(old.expose(), still).live();
        assert_eq!(
            (overlapping.id(), overlapping.expires()),
            (old_record.id.as_str(), Some(later.plus(HOUR)))
        );
        assert_eq!(overlapping.used().unwrap().last, NOW);
        assert!(matches!(
            accounts.find_token(old.expose(), later.plus(HOUR)),
            Found::Expired
        ));
        let states: Vec<_> = accounts
            .tokens(Some("anna"), still)
            .iter()
            .map(|view| view.state)
            .collect();
        assert_eq!(states, [TokenState::Active, TokenState::Overlap]);
    }
    assert_eq!(accounts.sweep(later).await.unwrap(), 0);
    assert_eq!(accounts.sweep(later.plus(HOUR)).await.unwrap(), 1);
    assert!(matches!(
        accounts.find_token(old.expose(), later.plus(HOUR)),
        Found::Revoked
    ));
    assert!(matches!(
        accounts.find_token(fresh.expose(), later.plus(HOUR)),
        Found::Live(..)
    ));
    assert_eq!(store.keys("token/"), ["token/anna/phone"]);
    assert_eq!(store.keys("used/"), [""; 0]);
}

#[tokio::test]
async fn rotation_never_prolongs_and_without_overlap_revokes() {
    let (_store, accounts) = house().await;
    let soon = NOW.plus(Duration::from_secs(60));
    let new = NewToken {
        expires: Some(soon),
        ..token("anna", "phone")
    };
    let (first, _) = accounts.create_token(new, NOW).await.unwrap();
    let (second, _) = accounts.rotate_token("anna", "phone", HOUR, NOW).await.unwrap();
    assert!(matches!(
        accounts.find_token(first.expose(), soon),
        Found::Expired
    ));
    let (third, _) = accounts
        .rotate_token("anna", "phone", Duration::ZERO, NOW)
        .await
        .unwrap();
    assert!(matches!(
        accounts.find_token(second.expose(), NOW),
        Found::Revoked
    ));
    assert!(matches!(
        accounts.find_token(third.expose(), NOW),
        Found::Live(..)
    ));
    // Whoever revokes a name means all that still works under it.
    accounts
        .revoke_token(&called("anna", "phone"), NOW)
        .await
        .unwrap();
    for secret in [&first, &second, &third] {
        assert!(matches!(
            accounts.find_token(secret.expose(), NOW),
            Found::Revoked
        ));
    }
}

// "last used (time, address; coarse and asynchronous)"
#[tokio::test]
async fn the_last_use_is_written_down_once_an_hour() {
    let (store, accounts) = house().await;
    let (secret, record) = accounts.create_token(token("anna", "phone"), NOW).await.unwrap();
    let (live, _) = accounts.find_token(secret.expose(), NOW).live();
    let (here, there) = ("192.0.2.1".parse().ok(), "192.0.2.2".parse().ok());
    assert!(live.used().is_none());
    accounts.note_used(&live, NOW, here);
    accounts.note_used_by_id(&record.id, NOW.plus(HOUR / 2), there);
    assert_eq!(accounts.flush_used().await.unwrap(), 1);
    assert_eq!(accounts.flush_used().await.unwrap(), 0);
    let seen = |accounts: &Accounts| {
        accounts
            .token(&called("anna", "phone"), NOW)
            .unwrap()
            .used
            .unwrap()
    };
    assert_eq!((seen(&accounts).last, seen(&accounts).address), (NOW, here));

    accounts.note_used_by_id(&record.id, NOW.plus(HOUR), there);
    accounts.note_used_by_id("unknown", NOW, there);
    store.fail(Fails::Before);
    assert!(accounts.flush_used().await.is_err());
    store.fail(Fails::Never);
    assert_eq!(accounts.flush_used().await.unwrap(), 1, "nothing is lost");
    let reopened = open(&store).await;
    assert_eq!(
        (seen(&reopened).last, seen(&reopened).address),
        (NOW.plus(HOUR), there)
    );
    assert!(live.flag().is_up(), "being used ends nothing");

    accounts.note_used(&live, NOW.plus(DAY), here);
    accounts
        .revoke_token(&called("anna", "phone"), NOW)
        .await
        .unwrap();
    assert_eq!(accounts.flush_used().await.unwrap(), 0);
    assert_eq!(store.keys("used/"), [""; 0]);
}

#[tokio::test]
async fn values_that_no_token_can_have_are_refused() {
    let (_store, accounts) = house().await;
    for new in [
        token("anna", ""),
        token("anna", "my phone"),
        token("anna", "my-phone"),
        token("anna", &"x".repeat(65)),
        NewToken {
            scope: "a\"b".into(),
            ..token("anna", "t")
        },
        NewToken {
            networks: vec!["10.0.0.0/8".parse().unwrap(); 65],
            ..token("anna", "t")
        },
    ] {
        let refused = accounts.create_token(new, NOW).await.unwrap_err();
        assert!(matches!(refused, AccountsError::Invalid { .. }), "{refused}");
    }
}

#[tokio::test]
async fn the_prefix_is_that_of_the_settings() {
    let (_store, accounts) = house().await;
    accounts
        .reload(AccountSettings {
            token_prefix: "sg".into(),
            ..settings()
        })
        .unwrap();
    let (secret, _) = accounts.create_token(token("anna", "phone"), NOW).await.unwrap();
    assert!(secret.expose().starts_with(b"sg.phone."));
    assert!(matches!(
        accounts.find_token(secret.expose(), NOW),
        Found::Live(..)
    ));
}

#[tokio::test]
async fn a_hundred_thousand_tokens_are_loaded_and_each_is_found() {
    let store = TestStore::new();
    let accounts = open(&store).await;
    accounts.add_user(named("olga"), NOW).await.unwrap();
    let mut secrets = Vec::new();
    let mut changes = Vec::new();
    for number in 0..100_000 {
        let (secret, record) = accounts.mint(crate::model::TokenRecord {
            id: String::new(),
            name: format!("n{number}"),
            user: "olga".into(),
            lookup: [0; 16],
            salt: [0; 16],
            verifier: [0; 32],
            keys: 0,
            scope: String::new(),
            networks: vec![],
            created: NOW,
            expires: None,
            grant: None,
        });
        changes.push(
            Edit::put(Record::Token(record, false), Expect::Absent)
                .change()
                .unwrap(),
        );
        if number % 10_000 == 0 {
            secrets.push(secret);
        }
    }
    store.apply(&changes).unwrap();
    let accounts = open(&store).await;
    assert_eq!(accounts.tokens(Some("olga"), NOW).len(), 100_000);
    for secret in &secrets {
        assert!(matches!(
            accounts.find_token(secret.expose(), NOW),
            Found::Live(..)
        ));
    }
    let (one, two) = (
        accounts.find_token(secrets[0].expose(), NOW),
        accounts.find_token(secrets[1].expose(), NOW),
    );
    assert!(
        Arc::ptr_eq(&one.live().0.user, &two.live().0.user),
        "one copy of the user's name"
    );
}
