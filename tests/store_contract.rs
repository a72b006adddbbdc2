//! What every store must do: the same checks over every entry of `STORES`.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::sync::Arc;

use sidegate::config::settings::StoreUrl;
use sidegate::store::{Change, Event, Expect, Revision, STORES, Store, StoreError};

/// Where a test keeps a store of that scheme. A new entry of `STORES` needs one line here.
fn url(scheme: &str, dir: &Path) -> StoreUrl {
    match scheme {
        "memory" => StoreUrl::Memory,
        "sqlite" => StoreUrl::Sqlite(dir.join("sidegate.db")),
        other => panic!("the contract is not checked for {other}: add its address here"),
    }
}

/// Runs a check over a fresh store of every kind.
async fn every_store(check: impl AsyncFn(Arc<dyn Store>, &str)) {
    for (scheme, open) in STORES {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&url(scheme, dir.path())).unwrap();
        check(store, scheme).await;
    }
}

fn put(key: &str, body: &str) -> Change {
    Change {
        key: key.into(),
        body: Some(body.into()),
        expect: Expect::Any,
    }
}

fn remove(key: &str) -> Change {
    Change {
        key: key.into(),
        body: None,
        expect: Expect::Any,
    }
}

fn expecting(expect: Expect, change: Change) -> Change {
    Change { expect, ..change }
}

async fn keys(store: &dyn Store, prefix: &str) -> Vec<String> {
    let page = store.scan(prefix, None, usize::MAX).await.unwrap();
    page.into_iter().map(|record| record.key).collect()
}

async fn body(store: &dyn Store, key: &str) -> Option<String> {
    store.get(key).await.unwrap().map(|record| record.body)
}

fn conflict(key: &str) -> Result<Revision, StoreError> {
    Err(StoreError::Conflict { key: key.into() })
}

#[tokio::test]
async fn a_new_store_has_nothing() {
    every_store(async |store, scheme| {
        assert_eq!(store.get("user/anna").await.unwrap(), None, "{scheme}");
        assert!(keys(&*store, "").await.is_empty(), "{scheme}");
        assert!(store.changes(Revision(0)).await.unwrap().is_empty(), "{scheme}");
    })
    .await;
}

// "One record." and "The commit that wrote it."
#[tokio::test]
async fn get_returns_what_was_put_with_its_revision() {
    every_store(async |store, scheme| {
        let revision = store.commit(&[put("user/anna", r#"{"a":1}"#)]).await.unwrap();
        let found = store.get("user/anna").await.unwrap().unwrap();
        assert_eq!(found.key, "user/anna", "{scheme}");
        assert_eq!(found.body, r#"{"a":1}"#, "{scheme}");
        assert_eq!(found.revision, revision, "{scheme}");
    })
    .await;
}

#[tokio::test]
async fn get_takes_whole_keys_only() {
    every_store(async |store, scheme| {
        store.commit(&[put("user/anna", "1")]).await.unwrap();
        for other in [
            "user/ann",
            "user/annaa",
            "USER/ANNA",
            "user/",
            "",
            "user/ann_",
            "user/%",
        ] {
            assert_eq!(store.get(other).await.unwrap(), None, "{scheme}: {other}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_second_put_replaces_the_first() {
    every_store(async |store, scheme| {
        store.commit(&[put("a", "old")]).await.unwrap();
        let revision = store.commit(&[put("a", "new")]).await.unwrap();
        let found = store.get("a").await.unwrap().unwrap();
        assert_eq!(
            (found.body.as_str(), found.revision),
            ("new", revision),
            "{scheme}"
        );
        assert_eq!(keys(&*store, "").await, ["a"], "{scheme}");
    })
    .await;
}

// "The new body; none removes the record."
#[tokio::test]
async fn a_removed_record_is_gone() {
    every_store(async |store, scheme| {
        store.commit(&[put("a", "1"), put("b", "2")]).await.unwrap();
        store.commit(&[remove("a")]).await.unwrap();
        assert_eq!(store.get("a").await.unwrap(), None, "{scheme}");
        assert_eq!(keys(&*store, "").await, ["b"], "{scheme}");
    })
    .await;
}

#[tokio::test]
async fn removing_what_is_not_there_is_a_commit_like_any_other() {
    every_store(async |store, scheme| {
        let first = store.commit(&[put("a", "1")]).await.unwrap();
        let second = store.commit(&[remove("b")]).await.unwrap();
        assert_eq!(second, Revision(first.0 + 1), "{scheme}");
        assert_eq!(keys(&*store, "").await, ["a"], "{scheme}");
    })
    .await;
}

// "records whose key starts with `prefix`"
#[tokio::test]
async fn a_scan_ends_where_its_prefix_ends() {
    every_store(async |store, scheme| {
        let all = [
            "token",
            "token.",
            "token/",
            "token/anna/a",
            "token/b",
            "token0",
            "tokens/x",
            "user/a",
        ];
        let changes: Vec<_> = all.iter().map(|key| put(key, "{}")).collect();
        store.commit(&changes).await.unwrap();
        assert_eq!(
            keys(&*store, "token/").await,
            ["token/", "token/anna/a", "token/b"],
            "{scheme}"
        );
        assert_eq!(keys(&*store, "token/anna/a").await, ["token/anna/a"], "{scheme}");
        assert_eq!(keys(&*store, "token/c").await, [""; 0], "{scheme}");
        assert_eq!(keys(&*store, "").await, all, "{scheme}");
    })
    .await;
}

// LIKE and GLOB have characters of their own; a prefix has none.
#[tokio::test]
async fn a_prefix_is_not_a_pattern() {
    every_store(async |store, scheme| {
        let changes = [
            put("a%b", "1"),
            put("axb", "2"),
            put("a_b", "3"),
            put("a*b", "4"),
            put("A%b", "5"),
        ];
        store.commit(&changes).await.unwrap();
        assert_eq!(keys(&*store, "a%").await, ["a%b"], "{scheme}");
        assert_eq!(keys(&*store, "a_").await, ["a_b"], "{scheme}");
        assert_eq!(keys(&*store, "a*").await, ["a*b"], "{scheme}");
    })
    .await;
}

// "in key order (bytes)"
#[tokio::test]
async fn keys_come_in_the_order_of_their_bytes() {
    every_store(async |store, scheme| {
        let mut all = [
            "a",
            "B",
            "b",
            "Z",
            "z",
            "ä",
            "é",
            "中",
            "\u{ffff}",
            "\u{10000}",
            "\u{10ffff}",
            "0",
            "10",
            "9",
            "~",
            " ",
            "a ",
            "a\u{0}",
            "aa",
        ];
        let changes: Vec<_> = all.iter().map(|key| put(key, "{}")).collect();
        store.commit(&changes).await.unwrap();
        all.sort_unstable_by_key(|key| key.as_bytes());
        assert_eq!(keys(&*store, "").await, all, "{scheme}");
    })
    .await;
}

// The last characters of Unicode and of its lower half have no simple successor.
#[tokio::test]
async fn prefixes_may_end_with_the_last_character_there_is() {
    every_store(async |store, scheme| {
        let all = [
            "a\u{d7ff}x",
            "a\u{e000}",
            "a\u{10ffff}",
            "a\u{10ffff}\u{10ffff}",
            "b",
            "\u{10ffff}",
            "\u{10ffff}z",
        ];
        let changes: Vec<_> = all.iter().map(|key| put(key, "{}")).collect();
        store.commit(&changes).await.unwrap();
        assert_eq!(keys(&*store, "a\u{d7ff}").await, ["a\u{d7ff}x"], "{scheme}");
        assert_eq!(
            keys(&*store, "a\u{10ffff}").await,
            ["a\u{10ffff}", "a\u{10ffff}\u{10ffff}"],
            "{scheme}"
        );
        assert_eq!(
            keys(&*store, "\u{10ffff}").await,
            ["\u{10ffff}", "\u{10ffff}z"],
            "{scheme}"
        );
    })
    .await;
}

// "The next page starts after the last key of this one."
#[tokio::test]
async fn pages_give_every_record_once() {
    every_store(async |store, scheme| {
        let all: Vec<String> = (0..1000)
            .map(|n| format!("token/u{:02}/n{n:04}", n % 37))
            .collect();
        let mut changes: Vec<_> = all.iter().map(|key| put(key, key)).collect();
        changes.extend([put("tokem", ""), put("token", ""), put("token0", "")]);
        store.commit(&changes).await.unwrap();
        let mut sorted = all.clone();
        sorted.sort();
        for limit in [1, 7, 333, 1000, 1001] {
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let page = store.scan("token/", after.as_deref(), limit).await.unwrap();
                assert!(page.len() <= limit, "{scheme}");
                let Some(last) = page.last() else { break };
                after = Some(last.key.clone());
                seen.extend(
                    page.into_iter()
                        .inspect(|r| assert_eq!(r.key, r.body))
                        .map(|r| r.key),
                );
            }
            assert_eq!(seen, sorted, "{scheme} by {limit}");
        }
    })
    .await;
}

// "greater than `after`"
#[tokio::test]
async fn a_page_may_start_after_a_key_that_is_not_there() {
    every_store(async |store, scheme| {
        store
            .commit(&[put("p/a", ""), put("p/c", ""), put("q", "")])
            .await
            .unwrap();
        let from = async |after: &str| -> Vec<String> {
            let page = store.scan("p/", Some(after), 10).await.unwrap();
            page.into_iter().map(|record| record.key).collect()
        };
        assert_eq!(from("p/b").await, ["p/c"], "{scheme}");
        assert_eq!(from("p/a").await, ["p/c"], "{scheme}");
        assert_eq!(from("p/c").await, [""; 0], "{scheme}");
        assert_eq!(from("a").await, ["p/a", "p/c"], "{scheme}: before the prefix");
        assert_eq!(from("z").await, [""; 0], "{scheme}: after the prefix");
    })
    .await;
}

// "At most `limit` records"
#[tokio::test]
async fn a_page_of_none_is_empty() {
    every_store(async |store, scheme| {
        store.commit(&[put("a", "")]).await.unwrap();
        assert!(store.scan("", None, 0).await.unwrap().is_empty(), "{scheme}");
    })
    .await;
}

// "A counter that every commit raises by one."
#[tokio::test]
async fn revisions_start_at_one_and_rise_by_one() {
    every_store(async |store, scheme| {
        for expected in 1..=20 {
            let changes = [put("a", "x"), put(&format!("b{expected}"), "x")];
            assert_eq!(
                store.commit(&changes).await.unwrap(),
                Revision(expected),
                "{scheme}"
            );
        }
    })
    .await;
}

// "A commit of no changes returns the present revision and raises nothing."
#[tokio::test]
async fn a_commit_of_nothing_raises_nothing() {
    every_store(async |store, scheme| {
        assert_eq!(store.commit(&[]).await.unwrap(), Revision(0), "{scheme}");
        store.commit(&[put("a", "")]).await.unwrap();
        assert_eq!(store.commit(&[]).await.unwrap(), Revision(1), "{scheme}");
        assert_eq!(
            store.commit(&[put("a", "")]).await.unwrap(),
            Revision(2),
            "{scheme}"
        );
    })
    .await;
}

// "No record of that key."
#[tokio::test]
async fn absent_holds_until_there_is_a_record() {
    every_store(async |store, scheme| {
        let first = [expecting(Expect::Absent, put("a", "first"))];
        store.commit(&first).await.unwrap();
        let second = [expecting(Expect::Absent, put("a", "second"))];
        assert_eq!(store.commit(&second).await, conflict("a"), "{scheme}");
        assert_eq!(body(&*store, "a").await.as_deref(), Some("first"), "{scheme}");
        store.commit(&[remove("a")]).await.unwrap();
        store.commit(&second).await.unwrap();
        assert_eq!(body(&*store, "a").await.as_deref(), Some("second"), "{scheme}");
    })
    .await;
}

// "The record as it was read."
#[tokio::test]
async fn a_revision_holds_until_the_record_is_written_again() {
    every_store(async |store, scheme| {
        let read = store.commit(&[put("a", "1")]).await.unwrap();
        store
            .commit(&[put("b", "other records do not matter")])
            .await
            .unwrap();
        store
            .commit(&[expecting(Expect::Revision(read), put("a", "2"))])
            .await
            .unwrap();
        let stale = [expecting(Expect::Revision(read), put("a", "3"))];
        assert_eq!(store.commit(&stale).await, conflict("a"), "{scheme}");
        assert_eq!(body(&*store, "a").await.as_deref(), Some("2"), "{scheme}");
    })
    .await;
}

#[tokio::test]
async fn a_revision_does_not_hold_for_a_removed_record_nor_for_its_successor() {
    every_store(async |store, scheme| {
        let read = store.commit(&[put("a", "1")]).await.unwrap();
        let stale = [expecting(Expect::Revision(read), remove("a"))];
        store.commit(&[remove("a")]).await.unwrap();
        assert_eq!(store.commit(&stale).await, conflict("a"), "{scheme}");
        store.commit(&[put("a", "1")]).await.unwrap();
        assert_eq!(store.commit(&stale).await, conflict("a"), "{scheme}");
        assert_eq!(body(&*store, "a").await.as_deref(), Some("1"), "{scheme}");
    })
    .await;
}

// "All or nothing"
#[tokio::test]
async fn a_conflict_leaves_nothing() {
    every_store(async |store, scheme| {
        store
            .commit(&[put("there", "1"), put("gone", "1")])
            .await
            .unwrap();
        let changes = [
            put("new", "x"),
            put("there", "x"),
            remove("gone"),
            expecting(Expect::Absent, put("there", "y")),
            put("last", "x"),
        ];
        assert_eq!(store.commit(&changes).await, conflict("there"), "{scheme}");
        assert_eq!(keys(&*store, "").await, ["gone", "there"], "{scheme}");
        assert_eq!(body(&*store, "there").await.as_deref(), Some("1"), "{scheme}");
        assert!(store.changes(Revision(1)).await.unwrap().is_empty(), "{scheme}");
        assert_eq!(
            store.commit(&[put("a", "")]).await.unwrap(),
            Revision(2),
            "{scheme}"
        );
    })
    .await;
}

// "Expectations are about the state before the commit; of two changes to one key the later wins."
#[tokio::test]
async fn expectations_are_about_the_state_before_the_commit() {
    every_store(async |store, scheme| {
        let changes = [
            expecting(Expect::Absent, put("a", "1")),
            expecting(Expect::Absent, put("a", "2")),
        ];
        store.commit(&changes).await.unwrap();
        assert_eq!(body(&*store, "a").await.as_deref(), Some("2"), "{scheme}");
        store.commit(&[remove("a"), put("a", "3")]).await.unwrap();
        assert_eq!(body(&*store, "a").await.as_deref(), Some("3"), "{scheme}");
        store.commit(&[put("a", "4"), remove("a")]).await.unwrap();
        assert_eq!(body(&*store, "a").await, None, "{scheme}");
    })
    .await;
}

// "What happened after `revision`, oldest first." "`body: None`: removed."
#[tokio::test]
async fn the_feed_tells_every_change_in_order() {
    every_store(async |store, scheme| {
        store.commit(&[put("z", "1"), put("a", "1")]).await.unwrap();
        store.commit(&[remove("z")]).await.unwrap();
        store.commit(&[put("a", "2")]).await.unwrap();
        let event = |revision, key: &str, body: Option<&str>| Event {
            revision: Revision(revision),
            key: key.into(),
            body: body.map(str::to_owned),
        };
        let all = [
            event(1, "z", Some("1")),
            event(1, "a", Some("1")),
            event(2, "z", None),
            event(3, "a", Some("2")),
        ];
        assert_eq!(store.changes(Revision(0)).await.unwrap(), all, "{scheme}");
        assert_eq!(store.changes(Revision(1)).await.unwrap(), all[2..], "{scheme}");
        assert_eq!(store.changes(Revision(3)).await.unwrap(), [], "{scheme}");
        assert_eq!(store.changes(Revision(u64::MAX)).await.unwrap(), [], "{scheme}");
    })
    .await;
}

#[tokio::test]
async fn of_many_commits_with_one_expectation_one_happens() {
    every_store(async |store, scheme| {
        let tasks: Vec<_> = (0..50)
            .map(|n| {
                let store = store.clone();
                tokio::spawn(async move {
                    let first_owner = [expecting(Expect::Absent, put("owner", &n.to_string()))];
                    store.commit(&first_owner).await
                })
            })
            .collect();
        let mut happened = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(_) => happened += 1,
                other => assert_eq!(other, conflict("owner"), "{scheme}"),
            }
        }
        assert_eq!(happened, 1, "{scheme}");
        assert_eq!(store.changes(Revision(0)).await.unwrap().len(), 1, "{scheme}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_increment_is_lost_between_concurrent_writers() {
    every_store(async |store, scheme| {
        store.commit(&[put("count", "0")]).await.unwrap();
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move {
                    let mut done = 0;
                    while done < 10 {
                        let read = store.get("count").await.unwrap().unwrap();
                        let next = read.body.parse::<u32>().unwrap() + 1;
                        let change = put("count", &next.to_string());
                        match store
                            .commit(&[expecting(Expect::Revision(read.revision), change)])
                            .await
                        {
                            Ok(_) => done += 1,
                            Err(StoreError::Conflict { .. }) => {}
                            Err(other) => panic!("{other}"),
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(body(&*store, "count").await.as_deref(), Some("80"), "{scheme}");
        let revisions: Vec<_> = store
            .changes(Revision(0))
            .await
            .unwrap()
            .iter()
            .map(|e| e.revision.0)
            .collect();
        assert_eq!(revisions, (1..=81).collect::<Vec<_>>(), "{scheme}");
    })
    .await;
}

// "durable when it returns": and what one has written, everyone can read.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_commit_wrote_is_read_after_it() {
    every_store(async |store, scheme| {
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let store = store.clone();
                tokio::spawn(async move {
                    for n in 0..20 {
                        let key = format!("k/{task}/{n}");
                        let revision = store.commit(&[put(&key, "x")]).await.unwrap();
                        assert_eq!(store.get(&key).await.unwrap().unwrap().revision, revision);
                        let events = store.changes(Revision(revision.0 - 1)).await.unwrap();
                        assert_eq!(events[0].key, key);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(keys(&*store, "k/").await.len(), 160, "{scheme}");
    })
    .await;
}

#[tokio::test]
async fn bodies_may_be_large_empty_or_odd() {
    every_store(async |store, scheme| {
        let large = "0123456789abcdef".repeat(1 << 18);
        let bodies = [
            "",
            "not JSON",
            "\u{0}",
            "a\u{0}b",
            "'; DROP TABLE record; --",
            "\u{feff}é中\u{10ffff}",
            &large,
        ];
        let changes: Vec<_> = (0..)
            .zip(bodies)
            .map(|(n, text)| put(&format!("b/{n}"), text))
            .collect();
        store.commit(&changes).await.unwrap();
        let page = store.scan("b/", None, 100).await.unwrap();
        assert!(
            page.iter().map(|record| record.body.as_str()).eq(bodies),
            "{scheme}"
        );
    })
    .await;
}

#[tokio::test]
async fn keys_may_be_odd() {
    every_store(async |store, scheme| {
        let long = "k".repeat(10_000);
        let odd = [
            "", "\u{0}", "a\u{0}", "a\u{0}b", "a", " ", "'", "\"", "a\nb", "123", "1e3", "NULL", "é",
            "e\u{301}", &long,
        ];
        for key in odd {
            store
                .commit(&[expecting(Expect::Absent, put(key, key))])
                .await
                .unwrap();
        }
        for key in odd {
            assert_eq!(body(&*store, key).await.as_deref(), Some(key), "{scheme}");
        }
        store.commit(&odd.map(remove)).await.unwrap();
        assert!(keys(&*store, "").await.is_empty(), "{scheme}");
    })
    .await;
}

#[tokio::test]
async fn a_commit_that_nobody_waits_for_leaves_the_store_whole() {
    every_store(async |store, scheme| {
        for n in 0..50 {
            let changes = [put("left", &n.to_string()), put("right", &n.to_string())];
            let mut commit = store.commit(&changes);
            // Asked for once and dropped half-way, as `select!` does it.
            let once = std::future::poll_fn(|cx| std::task::Poll::Ready(commit.as_mut().poll(cx).is_ready()));
            once.await;
        }
        store.commit(&[put("last", "")]).await.unwrap();
        assert_eq!(
            body(&*store, "left").await,
            body(&*store, "right").await,
            "{scheme}"
        );
        assert_eq!(store.changes(Revision(0)).await.unwrap().len(), 101, "{scheme}");
    })
    .await;
}

#[tokio::test]
async fn reopening_keeps_everything() {
    for (scheme, open) in STORES {
        if *scheme == "memory" {
            continue; // "gone with the process"
        }
        let dir = tempfile::tempdir().unwrap();
        let url = url(scheme, dir.path());
        let store = open(&url).unwrap();
        store.commit(&[put("a", "1"), put("b", "2")]).await.unwrap();
        store.commit(&[remove("b")]).await.unwrap();
        let (before, events) = (
            store.scan("", None, 10).await.unwrap(),
            store.changes(Revision(0)).await.unwrap(),
        );
        drop(store);
        let store = open(&url).unwrap();
        assert_eq!(store.scan("", None, 10).await.unwrap(), before, "{scheme}");
        assert_eq!(store.changes(Revision(0)).await.unwrap(), events, "{scheme}");
        assert_eq!(
            store.commit(&[put("c", "3")]).await.unwrap(),
            Revision(3),
            "{scheme}"
        );
    }
}

#[tokio::test]
async fn two_stores_in_memory_are_two() {
    let open = || sidegate::store::open(&StoreUrl::Memory).unwrap();
    let (one, other) = (open(), open());
    one.commit(&[put("a", "1")]).await.unwrap();
    assert_eq!(other.get("a").await.unwrap(), None);
}
