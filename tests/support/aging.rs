//! A store that is older than it was.

use super::Sidegate;

/// Makes the only login older, in the store of a server that is not running.
pub fn age_the_session(gate: &Sidegate, seconds: i64) {
    use sidegate::config::settings::StoreUrl;
    use sidegate::store::{self, Change, Expect};
    let url = StoreUrl::Sqlite(gate.state().join("sidegate.db"));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let store = store::open(&url).expect("a store");
        let found = store.scan("session/", None, 2).await.expect("records");
        assert_eq!(found.len(), 1);
        let mut record: serde_json::Value = serde_json::from_str(&found[0].body).expect("JSON");
        let began = record["began"].as_i64().expect("milliseconds");
        record["began"] = (began - seconds * 1000).into();
        let change = Change {
            key: found[0].key.clone(),
            body: Some(record.to_string()),
            expect: Expect::Any,
        };
        store.commit(&[change]).await.expect("commits");
    });
}
