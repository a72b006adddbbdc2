use super::*;

async fn login(accounts: &Accounts) -> String {
    let new = NewSession {
        user: "anna".into(),
        life: DAY,
        ..NewSession::default()
    };
    let (_, session) = accounts.create_session(new, NOW).await.unwrap();
    session.id().to_owned()
}

async fn app(accounts: &Accounts, number: usize) -> NewGrant {
    NewGrant {
        user: "Anna".into(),
        session: login(accounts).await,
        client: format!("https://app{number}.example/"),
        scope: String::new(),
        address: None,
    }
}

fn after(span: Duration) -> Timestamp {
    NOW.plus(span)
}

async fn refreshed(accounts: &Accounts, token: &Secret, now: Timestamp) -> Refreshed {
    let client = "https://app0.example/";
    accounts
        .refresh_grant(token, client, None, now, |_| {})
        .await
        .unwrap()
}

async fn next(accounts: &Accounts, token: &Secret, now: Timestamp) -> Granted {
    match refreshed(accounts, token, now).await {
        Refreshed::Granted(granted, _) => granted,
        other => panic!("{other:?}"),
    }
}

// "rotated at each use with a short grace"; "reuse after it ends the whole grant"
#[tokio::test]
async fn the_refresh_token_before_has_the_same_answer_for_half_a_minute() {
    let (store, accounts) = house().await;
    let first = accounts.create_grant(app(&accounts, 0).await, NOW).await.unwrap();
    let second = next(&accounts, &first.refresh, after(HOUR)).await;
    let again = next(
        &accounts,
        &first.refresh,
        after(HOUR + Duration::from_millis(29_999)),
    )
    .await;
    assert!(again.refresh == second.refresh && again.access != second.access);
    // Another process gives it too, and after that nobody.
    let accounts = open(&store).await;
    assert!(next(&accounts, &first.refresh, after(HOUR)).await.refresh == second.refresh);
    let late = refreshed(&accounts, &first.refresh, after(HOUR + Duration::from_secs(30))).await;
    assert!(matches!(late, Refreshed::Reused), "{late:?}");
    for token in [&first.refresh, &second.refresh] {
        let dead = refreshed(&accounts, token, after(HOUR)).await;
        assert!(matches!(dead, Refreshed::Dead), "{dead:?}");
    }
    for granted in [&first, &second, &again] {
        let found = accounts.find_token(granted.access.expose(), after(HOUR));
        assert!(matches!(found, Found::Revoked), "{found:?}");
    }
}

// A commit that did not happen uses no refresh token up; one whose answer got lost neither
#[tokio::test]
async fn a_refresh_that_could_not_be_written_down_can_be_asked_for_again() {
    let (store, accounts) = house().await;
    let first = accounts.create_grant(app(&accounts, 0).await, NOW).await.unwrap();
    for fails in [Fails::Before, Fails::After] {
        store.fail(fails);
        let asked =
            accounts.refresh_grant(&first.refresh, "https://app0.example/", None, after(HOUR), |_| {});
        assert!(asked.await.is_err());
        store.fail(Fails::Never);
    }
    let second = next(&accounts, &first.refresh, after(HOUR)).await;
    next(&accounts, &second.refresh, after(2 * HOUR)).await;
}

// "first on this day"
#[tokio::test]
async fn the_first_refresh_of_a_day_is_told() {
    let (_, accounts) = house().await;
    let mut token = accounts
        .create_grant(app(&accounts, 0).await, NOW)
        .await
        .unwrap()
        .refresh;
    for (hours, expected) in [(1, false), (2, false), (25, true), (26, false), (49, true)] {
        match refreshed(&accounts, &token, after(hours * HOUR)).await {
            Refreshed::Granted(granted, first) => {
                assert_eq!(first, expected, "after {hours} hours");
                token = granted.refresh;
            }
            other => panic!("{other:?}"),
        }
    }
}

// Neither people nor apps fill the store
#[tokio::test]
async fn of_too_many_grants_the_one_that_lay_still_ends() {
    let (store, accounts) = house().await;
    for number in 0..101 {
        let now = after(Duration::from_secs(number));
        let number = usize::try_from(number).unwrap();
        accounts
            .create_grant(app(&accounts, number).await, now)
            .await
            .unwrap();
    }
    let grants = accounts.grants(Some("anna"), after(HOUR));
    assert_eq!(grants.len(), 100);
    assert!(
        grants
            .iter()
            .all(|grant| grant.record.client != "https://app0.example/")
    );
    assert_eq!(accounts.token_count(), 0);
    assert_eq!(store.keys("token/").len(), 100);
    // What is over is forgotten, a year after its last use.
    accounts.sweep(after(91 * DAY)).await.unwrap();
    assert_eq!((accounts.grant_count(), store.keys("grant/").len()), (0, 101));
    assert_eq!(store.keys("token/").len(), 0);
    accounts.sweep(after(2 * YEAR)).await.unwrap();
    assert_eq!((store.keys("grant/").len(), store.keys("revoked/").len()), (0, 0));
}

// "Neither people nor apps fill the store": nor by what is over
#[tokio::test]
async fn of_too_many_grants_that_ended_the_oldest_are_forgotten() {
    let (store, accounts) = house().await;
    let new = app(&accounts, 0).await;
    let mut tokens = Vec::new();
    for number in 0..205 {
        let granted = accounts
            .create_grant(new.clone(), after(Duration::from_secs(number)))
            .await
            .unwrap();
        accounts.end_grant(&granted.grant.id).await.unwrap();
        tokens.push(granted.refresh);
    }
    assert_eq!(store.keys("grant/").len(), 200);
    let of = async |token| refreshed(&accounts, token, after(HOUR)).await;
    assert!(matches!(of(&tokens[4]).await, Refreshed::Unknown));
    assert!(matches!(of(&tokens[5]).await, Refreshed::Dead));
}

// "a bounded memory table with a limit per client"; "one minute, single use"
#[tokio::test]
async fn a_person_has_few_codes_at_once_and_each_holds_for_a_minute() {
    let (_, accounts) = house().await;
    let session = login(&accounts).await;
    let consent = || Consent {
        user: "anna".into(),
        session: session.clone(),
        client: "https://app.example/".into(),
        redirect_uri: "https://app.example/".into(),
        challenge: String::new(),
        scope: String::new(),
    };
    let codes: Vec<Secret> = (0..33)
        .map(|second| {
            accounts
                .begin_code(consent(), after(Duration::from_secs(second)))
                .unwrap()
        })
        .collect();
    let now = after(Duration::from_secs(61));
    assert!(
        matches!(accounts.use_code(&codes[0], now), CodeFound::Unknown),
        "pushed out"
    );
    assert!(
        matches!(accounts.use_code(&codes[1], now), CodeFound::Dead),
        "a minute old"
    );
    assert!(matches!(accounts.use_code(&codes[2], now), CodeFound::Good(_)));
    assert!(matches!(accounts.use_code(&codes[2], now), CodeFound::Used(None)));
    assert!(
        !accounts.code_became(&codes[2], "abcdefghijkl"),
        "somebody showed it twice"
    );
    assert!(matches!(accounts.use_code(&codes[3], now), CodeFound::Good(_)));
    assert!(accounts.code_became(&codes[3], "abcdefghijkl"));
    let used = accounts.use_code(&codes[3], now);
    assert!(
        matches!(used, CodeFound::Used(Some(ref grant)) if grant == "abcdefghijkl"),
        "{used:?}"
    );
    accounts.end_session(&session).await.unwrap();
    assert!(
        matches!(accounts.use_code(&codes[4], now), CodeFound::Dead),
        "the login is over"
    );
}

// "An app counts as a login, and ends as your logins do": also one whose code was shown a moment before they ended
#[tokio::test]
async fn nothing_is_granted_by_a_login_that_ended_meanwhile() {
    let (store, accounts) = house().await;
    let other = app(&accounts, 0).await;
    let new = app(&accounts, 1).await;
    accounts.log_out_everywhere("anna").await.unwrap();
    let late = accounts.create_grant(new, NOW).await;
    assert!(
        matches!(late, Err(AccountsError::NotFound { kind: "session", .. })),
        "{late:?}"
    );
    // Nor by somebody else's.
    let foreign = NewGrant {
        user: "olga".into(),
        session: login(&accounts).await,
        ..other
    };
    assert!(accounts.create_grant(foreign, NOW).await.is_err());
    assert_eq!((accounts.grant_count(), store.keys("grant/").len()), (0, 0));
}
