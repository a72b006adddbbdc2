//! `sidegate bench`: a whole server on loopback, asked as fast as this machine can.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::folder::Folder;
use super::open::{install_log, loopback};
use super::parts::accounts_failure;
use super::serve::Running;
use super::stop::Stop;
use super::{block_on, wrong_config};
use crate::accounts::{NewToken, NewUser};
use crate::config::{self, Overrides, Sources};
use crate::control::view::Speed;
use crate::control::{Exit, Failure, Measured};
use crate::crypto::password_hash::{self, Cost};
use crate::crypto::{Secret, bcrypt_hash};
use crate::dialect::{DIALECTS, Family};
use crate::time::Clock;

/// Before a row is measured, at most.
const WARM_UP: Duration = Duration::from_millis(300);
/// What the backend of `direct` answers.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";
/// What `htpasswd -B` takes, and what most others do.
const BCRYPT_COSTS: [u32; 2] = [5, 10];

/// Measures every dialect, and password hashes, so long each and over so many connections.
///
/// # Errors
/// The server could not start, or answered anything but 200.
pub fn bench(span: Duration, connections: usize) -> Result<Measured, Failure> {
    let folder = Folder::create("bench")?;
    let clock = Clock::system();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    block_on(async move {
        let io = |error| Failure::io("a loopback address", &error);
        let (listener, backend) = loopback().await.map_err(io)?;
        // Free a moment ago, which is all that can be known.
        let (free, listen) = loopback().await.map_err(io)?;
        drop(free);
        let sources = Sources {
            environment: vec![
                ("SIDEGATE_OPERATIONS__LISTEN".into(), "127.0.0.1:0".into()),
                ("SIDEGATE_LOG__LEVEL".into(), "warn".into()),
            ],
            overrides: Overrides {
                upstream: vec![format!("http://{backend}")],
                listen: vec![listen.to_string()],
                // Or nobody could ask in a gateway's name.
                trust: vec!["127.0.0.1".into()],
                data: Some(folder.path().to_owned()),
            },
            default_data: folder.path().to_owned(),
            ..Sources::default()
        };
        let read = clock.now();
        let loaded = config::load(&sources).map_err(|errors| wrong_config(&errors))?;
        let log = install_log(&loaded.settings, clock.clone())?;
        let mut stop = Stop::new()?;
        let running = Running::start(sources, loaded, read, clock.clone(), log).await?;
        let token = token(&running, &clock).await?;
        tokio::task::spawn_local(answer(listener));
        // Both may be dropped half-way: what asks ends with its threads, soon after.
        let rows = tokio::select! {
            rows = measure(listen, &token, span, connections, processors) => rows,
            () = stop.asked() => Err(Failure::unavailable("told to stop before all was measured")),
        };
        running.stop(stop).await?;
        drop(folder);
        Ok(Measured {
            processors,
            connections,
            rows: rows?,
        })
    })
}

/// A user's token.
async fn token(running: &Running, clock: &Clock) -> Result<Secret, Failure> {
    let accounts = running.accounts();
    let anna = NewUser {
        name: "anna".into(),
        ..NewUser::default()
    };
    accounts
        .add_user(anna, clock.now())
        .await
        .map_err(accounts_failure)?;
    let token = NewToken {
        name: "bench".into(),
        user: "anna".into(),
        ..NewToken::default()
    };
    let (token, _) = accounts
        .create_token(token, clock.now())
        .await
        .map_err(accounts_failure)?;
    Ok(token)
}

/// The backend: answers every request head alike.
async fn answer(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::task::spawn_local(async move {
            let mut head = Vec::with_capacity(4096);
            while let Ok(1..) = stream.read_buf(&mut head).await {
                if head.ends_with(b"\r\n\r\n") {
                    head.clear();
                    if stream.write_all(ANSWER).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
}

async fn measure(
    address: SocketAddr,
    token: &Secret,
    span: Duration,
    connections: usize,
    processors: usize,
) -> Result<Vec<Speed>, Failure> {
    let mut rows = Vec::new();
    for (name, build) in DIALECTS {
        let endpoint = build().endpoint();
        let what = match endpoint {
            None => format!("{name}, forwarded"),
            Some(_) => (*name).to_owned(),
        };
        let (path, metadata) = match endpoint {
            None => ("/rest/items".to_owned(), ""),
            Some(endpoint) => {
                let rest = if endpoint.takes_path { "/rest/items" } else { "" };
                (format!("/_sidegate/auth/{name}{rest}"), metadata(endpoint.family))
            }
        };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: home.example\r\nX-Forwarded-For: 192.168.1.7\r\n{metadata}\
             Authorization: Bearer {}\r\n\r\n",
            token.expose_str().unwrap_or_default()
        );
        let request: Arc<[u8]> = request.into_bytes().into();
        ask(address, &request, WARM_UP.min(span), connections, processors).await?;
        let began = Instant::now();
        let taken = ask(address, &request, span, connections, processors).await?;
        rows.push(speed(what, taken, began.elapsed()));
    }
    let cost = Cost::default();
    let argon2id = format!(
        "Argon2id, {} MiB, {} passes, {} lane",
        cost.memory / 1024,
        cost.iterations,
        cost.parallelism
    );
    rows.push(
        hashing(argon2id, span, move |secret| {
            password_hash::hash(secret, cost).is_ok()
        })
        .await?,
    );
    for cost in BCRYPT_COSTS {
        let what = format!("bcrypt, cost {cost}");
        rows.push(hashing(what, span, move |secret| bcrypt_hash::hash(secret, cost).is_ok()).await?);
    }
    Ok(rows)
}

/// What a gateway of that family says of the request.
const fn metadata(family: Family) -> &'static str {
    match family {
        Family::Original => "X-Original-URL: http://home.example/rest/items\r\nX-Original-Method: GET\r\n",
        Family::Forwarded => {
            "X-Forwarded-Method: GET\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: home.example\r\n\
             X-Forwarded-Uri: /rest/items\r\n"
        }
        Family::RequestLine => "X-Forwarded-Proto: http\r\n",
    }
}

/// How long each answer took, asked from as many threads as the server has.
async fn ask(
    address: SocketAddr,
    request: &Arc<[u8]>,
    span: Duration,
    connections: usize,
    processors: usize,
) -> Result<Vec<Duration>, Failure> {
    let threads = processors.min(connections);
    let mut asking = JoinSet::new();
    for thread in 0..threads {
        let share = connections / threads + usize::from(thread < connections % threads);
        let request = Arc::clone(request);
        asking.spawn_blocking(move || {
            block_on(async move {
                let mut clients = JoinSet::new();
                for _ in 0..share {
                    clients.spawn_local(client(address, Arc::clone(&request), span));
                }
                let mut taken = Vec::new();
                while let Some(client) = clients.join_next().await {
                    taken.extend(client.map_err(broken)??);
                }
                Ok(taken)
            })
        });
    }
    let mut taken = Vec::new();
    while let Some(thread) = asking.join_next().await {
        taken.extend(thread.map_err(broken)??);
    }
    Ok(taken)
}

/// One connection, one request after the other.
async fn client(address: SocketAddr, request: Arc<[u8]>, span: Duration) -> Result<Vec<Duration>, Failure> {
    let lost = |error| Failure::io("the server that is measured", &error);
    let mut stream = TcpStream::connect(address).await.map_err(lost)?;
    stream.set_nodelay(true).map_err(lost)?;
    let (mut taken, mut answer) = (Vec::new(), Vec::with_capacity(4096));
    let began = Instant::now();
    while began.elapsed() < span {
        let asked = Instant::now();
        stream.write_all(&request).await.map_err(lost)?;
        answer.clear();
        while !is_whole(&answer) {
            if stream.read_buf(&mut answer).await.map_err(lost)? == 0 {
                return Err(lost(std::io::ErrorKind::UnexpectedEof.into()));
            }
        }
        taken.push(asked.elapsed());
        if !answer.starts_with(b"HTTP/1.1 200") {
            let line = String::from_utf8_lossy(&answer);
            let line = line.lines().next().unwrap_or_default();
            return Err(Failure::new(
                Exit::Internal,
                format!("the server that is measured answered {line:?}"),
            ));
        }
    }
    Ok(taken)
}

/// Whether the head is there, and as much as it says of a body.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return false;
    };
    let (head, body) = answer.split_at(end + 4);
    let length = head.split(|byte| *byte == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked("content-length:".len())?;
        let value = name.eq_ignore_ascii_case(b"content-length:").then_some(value)?;
        std::str::from_utf8(value).ok()?.trim().parse().ok()
    });
    body.len() >= length.unwrap_or(0)
}

/// How fast one processor hashes.
async fn hashing(
    what: String,
    span: Duration,
    hash: impl Fn(&Secret) -> bool + Send + 'static,
) -> Result<Speed, Failure> {
    let hashed = tokio::task::spawn_blocking(move || {
        let (secret, began) = (Secret::new("correct horse battery staple"), Instant::now());
        let mut taken = Vec::new();
        while taken.is_empty() || began.elapsed() < span {
            let start = Instant::now();
            if !hash(&secret) {
                return Err(Failure::new(
                    Exit::Internal,
                    "this machine has no room for a password hash",
                ));
            }
            taken.push(start.elapsed());
        }
        Ok((taken, began.elapsed()))
    });
    let (taken, took) = hashed.await.map_err(broken)??;
    Ok(speed(what, taken, took))
}

fn speed(what: String, mut taken: Vec<Duration>, took: Duration) -> Speed {
    taken.sort_unstable();
    let at = |part: f64| {
        let index = (taken.len() as f64 * part) as usize;
        let value = taken.get(index.min(taken.len().saturating_sub(1)));
        value.map_or(0, |value| u64::try_from(value.as_micros()).unwrap_or(u64::MAX))
    };
    Speed {
        what,
        per_second: taken.len() as f64 / took.as_secs_f64(),
        p50_us: at(0.5),
        p99_us: at(0.99),
    }
}

fn broken(error: tokio::task::JoinError) -> Failure {
    Failure::new(Exit::Internal, format!("a thread that asked ended: {error}"))
}
