use super::*;

fn login(user: &str) -> NewSession {
    NewSession {
        user: user.into(),
        life: 30 * DAY,
        idle: Some(7 * DAY),
        agent: "Browser \u{1b}[31m\u{202e}1.0".into(),
        ..NewSession::default()
    }
}

fn after(span: Duration) -> Timestamp {
    NOW.plus(span)
}

impl FoundSession {
    fn live(self) -> Arc<LiveSession> {
        match self {
            FoundSession::Live(session, _) => session,
            other => panic!("{other:?}"),
        }
    }
}

// "records survive restart"; the cookie is in none of them
#[tokio::test]
async fn a_session_is_found_again_after_a_restart_and_its_cookie_is_stored_nowhere() {
    let (store, accounts) = house().await;
    let (cookie, session) = accounts.create_session(login("Anna"), NOW).await.unwrap();
    assert_eq!(session.user(), "anna");
    assert!(accounts.find_session(cookie.expose(), NOW).live().flag().is_up());
    let again = open(&store).await;
    let found = again.find_session(cookie.expose(), NOW).live();
    assert_eq!(found.id(), session.id());
    assert_eq!(found.record.agent, "Browser [31m1.0");
    let text = cookie.expose_str().unwrap();
    for key in store.keys("") {
        assert!(!key.contains(text) && !store.body(&key).contains(text), "{key}");
    }
}

// K-01: "cookie flipped bit / truncated / other key"
#[tokio::test]
async fn a_damaged_cookie_is_nobody_s() {
    let (_, accounts) = house().await;
    let (cookie, _) = accounts.create_session(login("anna"), NOW).await.unwrap();
    let whole = cookie.expose();
    let mut flipped = whole.to_vec();
    flipped[0] = if flipped[0] == b'a' { b'b' } else { b'a' };
    for damaged in [
        &flipped[..],
        &whole[1..],
        &[whole, b"x"].concat(),
        b"",
        b"\xff",
        &[b'a'; 43],
    ] {
        let found = accounts.find_session(damaged, NOW);
        assert!(matches!(found, FoundSession::Unknown), "{found:?}");
    }
}

// "idle (default 7d), absolute (30d)"
#[tokio::test]
async fn a_session_ends_unused_or_old() {
    let (store, accounts) = house().await;
    let (cookie, session) = accounts.create_session(login("anna"), NOW).await.unwrap();
    let expired = |moment| {
        matches!(
            accounts.find_session(cookie.expose(), moment),
            FoundSession::Expired
        )
    };
    assert!(!expired(after(7 * DAY - HOUR)) && expired(after(7 * DAY)));
    for day in 1..30 {
        accounts.note_session_used(&session, after(day * DAY), None);
    }
    assert!(!expired(after(30 * DAY - HOUR)), "used every day");
    assert!(expired(after(30 * DAY)), "however much it is used");
    // Written down, so that a restart does not forget it.
    assert_eq!(accounts.flush_used().await.unwrap(), 1);
    let again = open(&store)
        .await
        .find_session(cookie.expose(), after(29 * DAY))
        .live();
    assert_eq!(again.used().last, after(29 * DAY));
    assert_eq!(accounts.sweep_sessions(after(29 * DAY)).await.unwrap(), 0);
    assert_eq!(accounts.sweep_sessions(after(30 * DAY)).await.unwrap(), 1);
    assert!(!session.flag().is_up());
    assert!(store.keys("session/").is_empty() && store.keys("seen/").is_empty());
}

#[tokio::test]
async fn a_remembered_session_may_lie_still() {
    let (_, accounts) = house().await;
    let remembered = NewSession {
        idle: None,
        ..login("anna")
    };
    let (cookie, _) = accounts.create_session(remembered, NOW).await.unwrap();
    accounts.find_session(cookie.expose(), after(29 * DAY)).live();
}

// "Changing a password ends that user's sessions, not the tokens"; K-11: "session of
// deleted/disabled user"
#[tokio::test]
async fn a_changed_password_a_disabled_and_a_removed_user_end_their_sessions() {
    let (store, accounts) = house().await;
    let (secret, _) = accounts.create_token(token("anna", "phone"), NOW).await.unwrap();
    let (kept, of_olga) = accounts.create_session(login("olga"), NOW).await.unwrap();
    let begin = async || accounts.create_session(login("anna"), NOW).await.unwrap();

    let (cookie, session) = begin().await;
    let password = Some(Secret::new("plain words here"));
    accounts.set_password("anna", password).await.unwrap();
    assert!(!session.flag().is_up());
    assert!(matches!(
        accounts.find_session(cookie.expose(), NOW),
        FoundSession::Unknown
    ));
    accounts.find_token(secret.expose(), NOW).live();

    let (cookie, session) = begin().await;
    accounts.set_enabled("anna", false).await.unwrap();
    assert!(!session.flag().is_up());
    assert!(accounts.create_session(login("anna"), NOW).await.is_err());
    accounts.set_enabled("anna", true).await.unwrap();
    assert!(matches!(
        accounts.find_session(cookie.expose(), NOW),
        FoundSession::Unknown
    ));

    let (_, session) = begin().await;
    accounts
        .set_groups("anna", &["family".into()], NOW)
        .await
        .unwrap();
    assert!(session.flag().is_up(), "a group more is no reason");
    accounts.remove_user("anna", NOW).await.unwrap();
    assert!(!session.flag().is_up());

    assert!(of_olga.flag().is_up());
    accounts.find_session(kept.expose(), NOW).live();
    assert_eq!(store.keys("session/").len(), 1);
}

// K-08: "after login id changed, old invalid"
#[tokio::test]
async fn a_session_takes_the_place_of_the_one_before() {
    let (_, accounts) = house().await;
    let (old, before) = accounts.create_session(login("anna"), NOW).await.unwrap();
    let next = NewSession {
        instead_of: Some(before.id().to_owned()),
        ..login("olga")
    };
    let (new, _) = accounts.create_session(next, NOW).await.unwrap();
    assert_ne!(old.expose(), new.expose());
    assert!(!before.flag().is_up());
    assert!(matches!(
        accounts.find_session(old.expose(), NOW),
        FoundSession::Unknown
    ));
}

#[tokio::test]
async fn sessions_end_one_by_one_or_all_but_one() {
    let (_, accounts) = house().await;
    let mut ids = Vec::new();
    for second in 0..3 {
        let now = after(Duration::from_secs(second));
        let (_, session) = accounts.create_session(login("anna"), now).await.unwrap();
        ids.push(session.id().to_owned());
    }
    let now = after(HOUR);
    let listed = |user| -> Vec<String> {
        let sessions = accounts.sessions(user, now);
        sessions.iter().map(|session| session.id().to_owned()).collect()
    };
    assert_eq!(
        listed(Some("anna")),
        [ids[2].clone(), ids[1].clone(), ids[0].clone()]
    );
    accounts.end_session(&ids[1]).await.unwrap();
    assert!(accounts.end_session(&ids[1]).await.is_err());
    assert_eq!(accounts.end_sessions("anna", Some(&ids[0])).await.unwrap(), 1);
    assert_eq!(listed(None), [ids[0].clone()]);
    assert_eq!(accounts.end_sessions("anna", None).await.unwrap(), 1);
    assert!(accounts.end_sessions("nobody", None).await.is_err());
}

#[tokio::test]
async fn a_script_that_logs_in_for_ever_does_not_fill_the_store() {
    let (store, accounts) = house().await;
    let (_, first) = accounts.create_session(login("anna"), NOW).await.unwrap();
    for second in 1..=100 {
        let now = after(Duration::from_secs(second));
        accounts.create_session(login("anna"), now).await.unwrap();
    }
    assert_eq!(store.keys("session/").len(), 100);
    assert!(!first.flag().is_up());
}
