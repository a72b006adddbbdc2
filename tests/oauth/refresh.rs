//! The next tokens.

use std::io::Write;

use crate::support::app::*;
use crate::support::house::{audit, house, logged_in};
use crate::support::{Backend, connect, eventually};

fn is_over(answer: &crate::support::Answer) {
    assert_eq!(error(answer), (400, "invalid_grant".to_owned()));
}

// "rotated at each use with a short grace so that a concurrent or repeated refresh (lost answer) works"
#[test]
fn each_refresh_gives_another_token_and_the_same_question_the_same_answer() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let first = let_in(&gate, &mut logged_in(&gate, "anna"));
    let second = Tokens::of(&refresh(&gate, &first.refresh));
    assert!(second.refresh != first.refresh && second.access != first.access);
    // The answer got lost: once more, and as often as it gets lost.
    for _ in 0..20 {
        assert_eq!(
            Tokens::of(&refresh(&gate, &first.refresh)).refresh,
            second.refresh
        );
    }
    let third = Tokens::of(&refresh(&gate, &second.refresh));
    for tokens in [&third, &Tokens::of(&refresh(&gate, &second.refresh))] {
        assert_eq!(opens(&gate, tokens), 200);
        assert_ne!(tokens.refresh, second.refresh);
    }
    assert_eq!(listed(&gate, "anna").len(), 1);
    // An app that asks and asks does not fill the store.
    let store = gate.cli(&["keys", "list", "--output", "json"]).success().stdout;
    let keys: serde_json::Value = serde_json::from_str(&store).expect("JSON");
    assert!(keys[0]["tokens"].as_u64().expect("a number") <= 9, "{keys}");
}

// "race of two refreshes"
#[test]
fn two_refreshes_at_once_both_work() {
    let backend = Backend::start();
    let gate = house(&backend, "[guard]\nrate = \"off\"\n");
    let mut tokens = let_in(&gate, &mut logged_in(&gate, "anna"));
    for _ in 0..5 {
        let answers: Vec<Tokens> = std::thread::scope(|scope| {
            let asking: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| Tokens::of(&refresh(&gate, &tokens.refresh))))
                .collect();
            asking
                .into_iter()
                .map(|one| one.join().expect("no panic"))
                .collect()
        });
        assert!(answers.iter().all(|one| one.refresh == answers[0].refresh));
        assert!(answers.iter().all(|one| opens(&gate, one) == 200));
        tokens = answers[0].clone();
    }
}

// J-23: "refresh token reuse/rotation race: session killed + alarm"
#[test]
fn a_refresh_token_that_was_used_before_ends_all() {
    let backend = Backend::websocket();
    let mut gate = house(&backend, "");
    let mut anna = logged_in(&gate, "anna");
    let other = let_in(&gate, &mut anna);
    let first = let_in(&gate, &mut anna);
    let second = Tokens::of(&refresh(&gate, &first.refresh));
    let third = Tokens::of(&refresh(&gate, &second.refresh));
    let mut open = socket(&gate, &third);
    // Somebody else had the first one.
    is_over(&refresh(&gate, &first.refresh));
    assert_eq!(open.hear(), None, "what is open is closed");
    is_over(&refresh(&gate, &third.refresh));
    for tokens in [&first, &second, &third] {
        assert_eq!(opens(&gate, tokens), 401);
    }
    assert_eq!(opens(&gate, &other), 200, "nobody else's");
    gate.await_log("an app's access ends, because a refresh token was used twice");
    let written = audit(&gate);
    assert_eq!(written.matches("\"event\":\"app.reuse\"").count(), 1, "{written}");

    // The one before is good for a moment only.
    let next = Tokens::of(&refresh(&gate, &other.refresh));
    rewrite(&mut gate, "grant/", |grant| earlier(grant, "refreshed", 31));
    is_over(&refresh(&gate, &other.refresh));
    is_over(&refresh(&gate, &next.refresh));
    assert_eq!(opens(&gate, &next), 401);
}

// The same when whoever shows it does not wait: nobody ends anything unseen
#[test]
fn a_thief_that_hangs_up_is_noticed_all_the_same() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let mut anna = logged_in(&gate, "anna");
    let first = let_in(&gate, &mut anna);
    let second = Tokens::of(&refresh(&gate, &first.refresh));
    let third = Tokens::of(&refresh(&gate, &second.refresh));
    let code = allow(&mut anna, &asked());
    let other = Tokens::of(&exchange(&gate, &code));
    let stolen = [
        ("grant_type", "refresh_token"),
        ("refresh_token", first.refresh.as_str()),
        ("client_id", CLIENT),
    ];
    for body in [form(stolen.into_iter()), form(exchange_fields(&code).into_iter())] {
        let request = format!(
            "POST {TOKEN} HTTP/1.1\r\nHost: gate.test\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        connect(gate.address)
            .write_all(request.as_bytes())
            .expect("the server reads");
    }
    let ended = || audit(&gate).matches("\"event\":\"app.reuse\"").count();
    eventually(|| listed(&gate, "anna").is_empty(), || "they go on".into());
    assert_eq!(ended(), 2);
    assert_eq!((opens(&gate, &third), opens(&gate, &other)), (401, 401));
}

// "Refresh tokens that were unused for 90 days end"; "swept after expiry so that the store does not grow"
#[test]
fn what_is_old_ends_and_is_swept_away() {
    const DAY: i64 = 24 * 3600;
    let backend = Backend::start();
    let mut gate = house(&backend, "");
    let mut anna = logged_in(&gate, "anna");
    let tokens = let_in(&gate, &mut anna);
    let kept = Tokens::of(&refresh(&gate, &tokens.refresh));
    let stored = |gate: &crate::support::Sidegate| {
        let keys = gate.cli(&["keys", "list", "--output", "json"]).success().stdout;
        let keys: serde_json::Value = serde_json::from_str(&keys).expect("JSON");
        keys[0]["tokens"].as_u64().expect("a number")
    };
    assert_eq!(stored(&gate), 2);
    // Half an hour later nothing of it opens anything, and the app gets the next.
    rewrite(&mut gate, "token/", |token| earlier(token, "expires", 3600));
    assert_eq!((opens(&gate, &tokens), opens(&gate, &kept)), (401, 401));
    let kept = Tokens::of(&refresh(&gate, &kept.refresh));
    assert_eq!(opens(&gate, &kept), 200);
    assert_eq!(stored(&gate), 3);
    // Days later only the newest is known.
    rewrite(&mut gate, "token/", |token| earlier(token, "expires", 2 * DAY));
    eventually(|| stored(&gate) == 1, || "they are not swept".into());
    assert_eq!(opens(&gate, &kept), 401);
    rewrite(&mut gate, "grant/", |grant| earlier(grant, "refreshed", 89 * DAY));
    let last = Tokens::of(&refresh(&gate, &kept.refresh));
    assert_eq!(opens(&gate, &last), 200);
    rewrite(&mut gate, "grant/", |grant| earlier(grant, "refreshed", 91 * DAY));
    is_over(&refresh(&gate, &last.refresh));
    assert_eq!(listed(&gate, "anna").len(), 0);
    eventually(|| opens(&gate, &last) == 401, || "it opens things still".into());
}

// "If a `scope` is sent it is what was allowed"
#[test]
fn a_refresh_token_is_for_its_app_and_its_scope() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let tokens = let_in(&gate, &mut logged_in(&gate, "anna"));
    let ask = |client: &str, scope: &str| {
        let mut fields = vec![
            ("grant_type", "refresh_token"),
            ("refresh_token", tokens.refresh.as_str()),
        ];
        if !client.is_empty() {
            fields.push(("client_id", client));
        }
        if !scope.is_empty() {
            fields.push(("scope", scope));
        }
        post(&gate, TOKEN, &fields)
    };
    assert_eq!(error(&ask("", "")), (400, "invalid_request".into()));
    assert_eq!(
        error(&ask("https://evil.example/", "")),
        (400, "invalid_grant".into())
    );
    assert_eq!(error(&ask(CLIENT, "owner")), (400, "invalid_scope".into()));
    // "Apps hear one sentence for all causes": whoever has an old one learns nothing by a scope, and is noticed.
    assert_eq!(
        error(&ask("https://evil.example/", "owner")),
        (400, "invalid_grant".into())
    );
    let next = Tokens::of(&ask(CLIENT, ""));
    let last = Tokens::of(&refresh(&gate, &next.refresh));
    assert_eq!(opens(&gate, &last), 200, "the first one was as good as before");
    assert_eq!(error(&ask(CLIENT, "owner")), (400, "invalid_grant".into()));
    assert_eq!(opens(&gate, &last), 401);
    gate.await_log("because a refresh token was used twice");
}
