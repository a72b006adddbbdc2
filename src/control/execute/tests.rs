//! Requests against real accounts in a store in memory.

use super::*;
use crate::accounts::{AccountSettings, Found, NewSession, Purpose, TokenKeys};
use crate::config::settings::StoreUrl;
use crate::control::protocol::Ending;
use crate::control::protocol::TokenCreate;
use crate::control::view::TokenView;
use crate::control::view::{KeyState, Verdict};
use crate::crypto::Secret;
use crate::crypto::password_hash::Cost;
use crate::instance::Instance;
use crate::model::Role;
use std::cell::RefCell;
use std::rc::Rc;

const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// An instance in memory: its keys last as long as it.
struct Owned(Instance);

impl Property for Owned {
    fn backup(&self, to: &Path, _: Timestamp) -> Result<PathBuf, Failure> {
        Ok(to.to_owned())
    }

    fn folder(&self) -> PathBuf {
        self.0.data().to_owned()
    }

    fn keys(&self) -> Arc<KeyRing> {
        self.0.keys()
    }

    fn new_keys(&self, now: Timestamp) -> Result<KeyPair, Failure> {
        Ok(self.0.new_keys(now).expect("the directory can be read"))
    }

    fn replace_keys(&self, next: KeyRing) -> Result<(), Failure> {
        self.0.replace_keys(next).expect("memory takes everything");
        Ok(())
    }
}

struct House {
    operations: Operations,
    accounts: Arc<Accounts>,
    clock: Clock,
    audit: tempfile::TempDir,
}

impl House {
    async fn new(running: Option<Box<dyn Running>>) -> Self {
        let clock = Clock::manual(NOW);
        let settings = AccountSettings {
            token_prefix: "oh".into(),
            password_cost: Cost {
                memory: 8,
                iterations: 1,
                parallelism: 1,
            },
            minimum_length: 8,
        };
        let directory = tempfile::tempdir().expect("a directory");
        let instance = Instance::open_or_create(directory.path(), &StoreUrl::Memory, &clock).expect("opens");
        let keys = TokenKeys::from(&*instance.keys());
        let accounts = Accounts::load(Arc::clone(instance.store()), keys, settings)
            .await
            .expect("loads");
        let accounts = Arc::new(accounts);
        let property = Arc::new(Owned(instance));
        let audit = Audit::open(&directory.path().join("audit.jsonl"), "oh", clock.clone()).expect("opens");
        let audit = Some(Arc::new(audit));
        let operations = match running {
            None => Operations::alone(
                accounts.clone(),
                property,
                audit,
                vec!["192.168.1.10/32".parse().expect("a network")],
                vec!["garden".into()],
                clock.clone(),
            ),
            Some(running) => Operations::serving(accounts.clone(), property, audit, running, clock.clone()),
        };
        Self {
            operations,
            accounts,
            clock,
            audit: directory,
        }
    }

    async fn ask(&self, request: Request) -> Result<Payload, Failure> {
        self.operations.execute(request).await.into_result()
    }

    async fn add(&self, name: &str) {
        let add = Request::UserAdd(UserAdd {
            name: name.into(),
            role: None,
            groups: vec![],
            display_name: String::new(),
            email: String::new(),
            password: None,
        });
        self.ask(add).await.expect("adds");
    }

    fn audited(&self) -> String {
        std::fs::read_to_string(self.audit.path().join("audit.jsonl")).expect("is there")
    }

    fn find(&self, token: &SecretField) -> Found {
        self.accounts.find_token(token.0.expose(), self.clock.now())
    }
}

fn create(name: &str) -> Request {
    Request::TokenCreate(TokenCreate {
        name: name.into(),
        user: "anna".into(),
        expires_seconds: Some(60),
        scope: String::new(),
        networks: vec![],
    })
}

fn token(payload: Result<Payload, Failure>) -> (SecretField, TokenView) {
    match payload {
        Ok(Payload::Minted { token, view }) => (token, view),
        other => panic!("no token: {other:?}"),
    }
}

fn network(text: &str) -> IpNet {
    text.parse().expect("a network")
}

// "the first user is the owner; a first user with another role is refused"
#[tokio::test]
async fn the_first_user_is_the_owner() {
    let house = House::new(None).await;
    house.add("anna").await;
    house.add("ben").await;
    let Ok(Payload::Users(users)) = house.ask(Request::UserList).await else {
        panic!("users");
    };
    let roles: Vec<(&str, Role)> = users.iter().map(|user| (user.name.as_str(), user.role)).collect();
    assert_eq!(roles, [("anna", Role::Owner), ("ben", Role::User)]);
}

// "a revocation is in force when the verb returns"
#[tokio::test]
async fn a_token_works_until_it_is_revoked() {
    let house = House::new(None).await;
    house.add("anna").await;
    let (secret, view) = token(house.ask(create("phone")).await);
    assert_eq!(view.expires, Some(NOW.plus(Duration::from_secs(60))));
    assert!(matches!(house.find(&secret), Found::Live(..)));

    let by_id = Selector::Id(view.id.clone());
    let revoked = house.ask(Request::TokenRevoke { token: by_id.clone() }).await;
    assert!(matches!(revoked, Ok(Payload::Token(gone)) if gone.id == view.id));
    assert!(matches!(house.find(&secret), Found::Revoked));
    let failure = house
        .ask(Request::TokenRevoke { token: by_id })
        .await
        .expect_err("gone");
    assert_eq!(failure.exit, Exit::Missing);
}

// "Rotation keeps the old one valid for the overlap given."
#[tokio::test]
async fn rotation_keeps_the_old_token_for_the_overlap() {
    let house = House::new(None).await;
    house.add("anna").await;
    let (old, _) = token(house.ask(create("phone")).await);
    let rotate = Request::TokenRotate {
        user: "anna".into(),
        name: "phone".into(),
        overlap_seconds: 10,
    };
    let (new, _) = token(house.ask(rotate).await);
    assert!(matches!(house.find(&old), Found::Live(..)));
    assert!(matches!(house.find(&new), Found::Live(..)));
    house.clock.advance(Duration::from_secs(11));
    assert!(!matches!(house.find(&old), Found::Live(..)));
    assert!(matches!(house.find(&new), Found::Live(..)));
}

fn link(payload: Result<Payload, Failure>) -> String {
    match payload {
        Ok(Payload::Link { link, expires }) => {
            assert_eq!(expires, NOW.plus(Duration::from_secs(86_400)));
            link.0.expose_str().expect("text").to_owned()
        }
        other => panic!("no link: {other:?}"),
    }
}

// "`sidegate user recover NAME` prints a one-time link that gets a locked-out person back in"
#[tokio::test]
async fn recovery_is_a_link_of_which_the_newest_works() {
    let mut house = House::new(None).await;
    house.operations = house
        .operations
        .with_pages(|| "http://192.0.2.1:8480/_sidegate".into());
    house.add("anna").await;
    let recover = || Request::UserRecover { name: "Anna".into() };
    let start = "http://192.0.2.1:8480/_sidegate/setup?code=";
    let first = link(house.ask(recover()).await);
    let second = link(house.ask(recover()).await);
    let find = |link: &str| {
        let code = link.strip_prefix(start).expect("the address of the pages");
        house.accounts.find_link(code.as_bytes(), NOW)
    };
    assert_eq!(find(&first), None, "one at a time");
    assert_eq!(
        find(&second),
        Some(Purpose::Recover {
            user: "anna".into(),
            all_factors: true
        })
    );
    let audited = house.audited();
    assert!(
        audited.contains("link.create") && !audited.contains("code"),
        "{audited}"
    );
    let nobody = Request::UserRecover { name: "carla".into() };
    assert_eq!(house.ask(nobody).await.expect_err("nobody").exit, Exit::Missing);
}

// "Until an owner exists": afterwards there is no link to become one
#[tokio::test]
async fn a_setup_link_is_for_an_instance_without_users() {
    let house = House::new(None).await;
    let code = link(house.ask(Request::SetupLink).await);
    let code = code.strip_prefix("/setup?code=").expect("a path");
    assert_eq!(
        house.accounts.find_link(code.as_bytes(), NOW),
        Some(Purpose::Owner)
    );
    house.add("anna").await;
    let failure = house.ask(Request::SetupLink).await.expect_err("refused");
    assert_eq!(failure.exit, Exit::Permission);
    assert!(failure.message.contains("user recover"), "{}", failure.message);
}

// "ending closes open sockets within a second": the flag that they watch is down
#[tokio::test]
async fn sessions_are_listed_and_ended() {
    let house = House::new(None).await;
    house.add("anna").await;
    let begin = async || {
        let new = NewSession {
            user: "anna".into(),
            life: Duration::from_secs(60),
            agent: "Browser".into(),
            ..NewSession::default()
        };
        house.accounts.create_session(new, NOW).await.expect("begins").1
    };
    let (one, other, third) = (begin().await, begin().await, begin().await);
    let ask = async |request| match house.ask(request).await {
        Ok(Payload::Sessions(sessions)) => sessions,
        other => panic!("no sessions: {other:?}"),
    };
    let listed = ask(Request::SessionList { user: None }).await;
    assert_eq!(listed.len(), 3);
    assert_eq!(
        (listed[0].user.as_str(), listed[0].agent.as_str()),
        ("anna", "Browser")
    );
    let ending = Ending::One(other.id().to_owned());
    assert_eq!(ask(Request::SessionRevoke { ending }).await[0].id, other.id());
    assert!(!other.flag().is_up() && one.flag().is_up());
    let ending = Ending::AllOf("anna".into());
    assert_eq!(ask(Request::SessionRevoke { ending }).await.len(), 2);
    assert!(!one.flag().is_up() && !third.flag().is_up());
    assert_eq!(house.audited().matches("session.end").count(), 3);
    let ending = Ending::One("abcdefghijkl".into());
    let failure = house
        .ask(Request::SessionRevoke { ending })
        .await
        .expect_err("none");
    assert_eq!(failure.exit, Exit::Missing);
}

// "for every login and change": one line each, with who made it, and no secret in it
#[tokio::test]
async fn changes_are_audited_before_they_are_made() {
    let house = House::new(None).await;
    house.add("anna").await;
    let (secret, view) = token(house.ask(create("phone")).await);
    house
        .ask(Request::UserPassword {
            name: "anna".into(),
            password: Some(SecretField(Secret::new("correct horse battery"))),
        })
        .await
        .expect("sets");
    house
        .ask(Request::UserEnable {
            name: "anna".into(),
            enabled: false,
        })
        .await
        .expect_err("the only owner cannot be disabled");
    let audited = house.audited();
    for part in [
        r#""actor":"cli""#,
        r#""user":"anna""#,
        r#""credential_name":"phone""#,
        r#""reason":"password""#,
        r#""reason":"not done: disabled""#,
    ] {
        assert!(audited.contains(part), "{part} is missing in {audited}");
    }
    let secret = String::from_utf8(secret.0.expose().to_vec()).expect("text");
    assert!(
        !audited.contains(&secret) && !audited.contains("battery"),
        "{audited}"
    );
    let lines = audited.lines().count();
    house.ask(Request::UserList).await.expect("lists");
    let show = Request::TokenShow {
        token: Selector::Id(view.id),
    };
    house.ask(show).await.expect("shows");
    assert_eq!(house.audited().lines().count(), lines, "reading is no change");
}

#[tokio::test]
async fn without_a_server_bans_go_to_the_store_and_end_by_themselves() {
    let house = House::new(None).await;
    let ban = |text: &str, for_seconds| Request::BanAdd {
        network: network(text),
        for_seconds,
    };
    house.ask(ban("203.0.113.7/32", Some(60))).await.expect("bans");
    house.ask(ban("198.51.100.0/24", None)).await.expect("bans");
    let listed = |payload| match payload {
        Ok(Payload::Bans(bans)) => bans
            .iter()
            .map(|ban: &BanView| ban.network.to_string())
            .collect::<Vec<_>>(),
        other => panic!("no bans: {other:?}"),
    };
    assert_eq!(
        listed(house.ask(Request::BanList).await),
        ["198.51.100.0/24", "203.0.113.7/32"]
    );
    house.clock.advance(Duration::from_secs(60));
    assert_eq!(listed(house.ask(Request::BanList).await), ["198.51.100.0/24"]);

    let remove = |text: &str| Request::BanRemove {
        network: network(text),
    };
    house.ask(remove("198.51.100.9/32")).await.expect("it is covered");
    assert!(listed(house.ask(Request::BanList).await).is_empty());
    let failure = house
        .ask(remove("198.51.100.9/32"))
        .await
        .expect_err("not banned");
    assert_eq!(failure.exit, Exit::Missing);
    // Threat: banning the gateway bans everyone behind it.
    let failure = house.ask(ban("192.168.1.0/24", None)).await.expect_err("a proxy");
    assert_eq!(failure.exit, Exit::Data);
}

/// Remembers what it was told.
struct Server(Rc<RefCell<Vec<String>>>, Sightings);

impl Running for Server {
    fn ban(&self, network: IpNet, length: Option<Duration>, now: Timestamp) -> Result<BanRecord, Failure> {
        self.0.borrow_mut().push(format!("ban {network}"));
        Ok(BanRecord {
            network,
            since: now,
            until: length.map(|length| now.plus(length)),
            times: 1,
            why: "operator".into(),
        })
    }

    fn unban(&self, network: IpNet) -> Vec<BanRecord> {
        self.0.borrow_mut().push(format!("unban {network}"));
        Vec::new()
    }

    fn bans(&self, now: Timestamp) -> Vec<BanRecord> {
        vec![BanRecord {
            network: network("203.0.113.7/32"),
            since: now,
            until: None,
            times: 1,
            why: "failures".into(),
        }]
    }

    fn settings(&self) -> String {
        String::new()
    }

    fn audit_file(&self) -> PathBuf {
        PathBuf::new()
    }

    fn scopes(&self) -> Vec<String> {
        Vec::new()
    }

    fn sightings(&self) -> &Sightings {
        &self.1
    }

    fn explain(&self, question: Question) -> Answer<'_, Explanation> {
        Box::pin(async move {
            Ok(Explanation {
                decision: Verdict::Challenge,
                status: Some(401),
                answers: Vec::new(),
                identity: None,
                advice: Vec::new(),
                reason: question.method,
                rule: None,
                credential: None,
                network: None,
                route: None,
                nearly: None,
            })
        })
    }

    fn status(&self) -> Status {
        Status {
            version: "0.1.0".into(),
            started: NOW,
            listen: vec![],
            ready: true,
            trouble: vec![],
            upstreams: vec![],
            tunnels: 0,
            users: 0,
            tokens: 0,
            sessions: 0,
            apps: 0,
            bans: 0,
        }
    }

    fn reload(&self) -> Answer<'_, ()> {
        self.0.borrow_mut().push("reload".into());
        Box::pin(async { Ok(()) })
    }
}

// "the server commits, makes it known to every core, then answers"
#[tokio::test]
async fn a_running_server_is_told_and_the_store_keeps_it() {
    let told = Rc::new(RefCell::new(Vec::new()));
    let house = House::new(Some(Box::new(Server(told.clone(), Sightings::default())))).await;
    let add = Request::BanAdd {
        network: network("203.0.113.7/32"),
        for_seconds: None,
    };
    house.ask(add).await.expect("bans");
    assert_eq!(house.accounts.load_bans().await.expect("loads").len(), 1);
    let remove = Request::BanRemove {
        network: network("203.0.113.7/32"),
    };
    house.ask(remove).await.expect("lifts");
    assert!(house.accounts.load_bans().await.expect("loads").is_empty());
    house.ask(Request::Reload).await.expect("reloads");
    assert_eq!(
        *told.borrow(),
        ["ban 203.0.113.7/32", "unban 203.0.113.7/32", "reload"]
    );
    assert!(house.audited().contains(r#""actor":"control""#));
}

#[tokio::test]
async fn what_only_a_server_can_do_says_so() {
    let house = House::new(None).await;
    for request in [Request::Status, Request::Reload] {
        let failure = house.ask(request).await.expect_err("no server");
        assert_eq!(failure.exit, Exit::Unavailable);
    }
    assert_eq!(house.ask(Request::Ping).await, Ok(Payload::Done));
    let unknown = Request::TokenList {
        user: Some("nobody".into()),
    };
    assert_eq!(house.ask(unknown).await.expect_err("nobody").exit, Exit::Missing);
}

fn keys(payload: Result<Payload, Failure>) -> Vec<(u32, KeyState, usize, usize)> {
    match payload {
        Ok(Payload::Keys(keys)) => keys
            .iter()
            .map(|pair| (pair.id, pair.state, pair.tokens, pair.revoked))
            .collect(),
        other => panic!("no keys: {other:?}"),
    }
}

// "a token that verifies under an older ring is re-hashed under the newest": then the older can go.
#[tokio::test]
async fn older_keys_go_when_no_token_rests_on_them() {
    use KeyState::{Current, Older, RevokedOnly};
    let house = House::new(None).await;
    house.add("anna").await;
    let (phone, _) = token(house.ask(create("phone")).await);
    let (desk, _) = token(house.ask(create("desk")).await);
    assert_eq!(keys(house.ask(Request::KeysList).await), [(1, Current, 2, 0)]);
    let alone = house.ask(Request::KeysDrop { revoke_stale: true }).await;
    assert_eq!(keys(alone), [(1, Current, 2, 0)], "there is nothing to drop");

    let rotated = keys(house.ask(Request::KeysRotate).await);
    assert_eq!(rotated, [(2, Current, 0, 0), (1, Older, 2, 0)]);
    assert!(matches!(house.find(&phone), Found::Live(..)));
    house.accounts.move_tokens().await.expect("moves");

    let drop_old = |revoke_stale| Request::KeysDrop { revoke_stale };
    let failure = house.ask(drop_old(false)).await.expect_err("one is left");
    assert_eq!(failure.exit, Exit::Permission);
    assert!(failure.message.contains("1 token still rests"), "{failure}");
    assert!(failure.message.contains("anna/desk"), "{failure}");
    assert!(!failure.message.contains("anna/phone"), "{failure}");
    assert_eq!(
        keys(house.ask(Request::KeysList).await),
        [(2, Current, 1, 0), (1, Older, 1, 0)]
    );

    let dropped = keys(house.ask(drop_old(true)).await);
    assert_eq!(dropped, [(2, Current, 1, 0), (1, RevokedOnly, 0, 1)]);
    assert!(matches!(house.find(&phone), Found::Live(..)));
    assert!(matches!(house.find(&desk), Found::Revoked), "and not unknown");
    let audited = house.audited();
    for part in [
        r#""event":"keys.rotate""#,
        r#""event":"keys.drop","reason":"keys=1""#,
        r#""event":"token.revoke","reason":"its keys are dropped","user":"anna""#,
        r#""credential_name":"desk""#,
    ] {
        assert!(audited.contains(part), "{part} is missing in {audited}");
    }
}

// An expired token is never used again, so it never moves.
#[tokio::test]
async fn expired_tokens_do_not_keep_older_keys() {
    let house = House::new(None).await;
    house.add("anna").await;
    let (phone, _) = token(house.ask(create("phone")).await);
    house.ask(Request::KeysRotate).await.expect("rotates");
    house.clock.advance(Duration::from_secs(61));
    let drop_old = Request::KeysDrop { revoke_stale: false };
    let dropped = keys(house.ask(drop_old).await);
    assert_eq!(dropped[1], (1, KeyState::RevokedOnly, 0, 1));
    assert!(matches!(house.find(&phone), Found::Revoked));
}

// "bounded: at most 4"
#[tokio::test]
async fn there_are_at_most_four_pairs_of_keys() {
    let house = House::new(None).await;
    house.add("anna").await;
    let ids = |payload| -> Vec<u32> { keys(payload).iter().map(|pair| pair.0).collect() };
    // Pairs that nothing rests on make room by themselves.
    for _ in 0..6 {
        house.ask(Request::KeysRotate).await.expect("rotates");
    }
    assert_eq!(ids(house.ask(Request::KeysList).await), [7, 6]);
    let mut secrets = Vec::new();
    for name in ["a", "b", "c", "d"] {
        secrets.push(token(house.ask(create(name)).await).0);
        if name != "d" {
            house.ask(Request::KeysRotate).await.expect("rotates");
        }
    }
    assert_eq!(ids(house.ask(Request::KeysList).await), [10, 9, 8, 7]);
    let failure = house.ask(Request::KeysRotate).await.expect_err("all are needed");
    assert_eq!(failure.exit, Exit::Permission);
    assert!(failure.message.contains("--revoke-stale"), "{failure}");
    for secret in &secrets {
        assert!(matches!(house.find(secret), Found::Live(..)));
    }
    // A pair that only knows revoked tokens gives way.
    let revoke = Request::TokenRevoke {
        token: Selector::Name {
            user: "anna".into(),
            name: "b".into(),
        },
    };
    house.ask(revoke).await.expect("revokes");
    house.ask(Request::KeysRotate).await.expect("rotates");
    assert_eq!(ids(house.ask(Request::KeysList).await), [11, 10, 9, 7]);
    assert!(matches!(house.find(&secrets[0]), Found::Live(..)));
}

// "a space-separated list of roles and of names defined as `[scope.NAME]`"
#[tokio::test]
async fn a_scope_that_means_nothing_is_refused() {
    let house = House::new(None).await;
    house.add("anna").await;
    let with = |name: &str, scope: &str| match create(name) {
        Request::TokenCreate(create) => Request::TokenCreate(TokenCreate {
            scope: scope.into(),
            ..create
        }),
        other => panic!("{other:?}"),
    };
    token(house.ask(with("a", "read-only garden")).await);
    let failure = house.ask(with("b", "read-onyl")).await.expect_err("a slip");
    assert_eq!(failure.exit, Exit::Data);
    assert!(failure.message.contains("read-only, garden"), "{failure}");
    assert!(!house.audited().contains(r#""credential_name":"b""#));
}
