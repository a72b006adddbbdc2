//! The server's side of the control socket. Who may open it is decided by its mode, 0600: the
//! server's own user and root.

use std::fs;
use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::Execute;
use super::failure::{Exit, Failure};
use super::protocol::{Greeting, MAX_ANSWER, MAX_REQUEST, Response, decode_request, encode};
use crate::config::data_files;

/// Commands at work at once; more wait in the socket's backlog.
const CONNECTIONS: usize = 16;

/// How long a client may take for its line, and for taking the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long commands at work may finish when the server ends.
const DRAIN: Duration = Duration::from_secs(5);

/// A bound control socket; its file goes when this is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    listener: StdListener,
    file: SocketFile,
}

/// Removes the socket's file. The owner holds the store's lock until then, so it is ours.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A file that is gone already is as good; any other trouble leaves a socket that refuses
        // connections, which clients take for no server.
        let _ = fs::remove_file(&self.0);
    }
}

/// Binds the control socket with mode 0600, in place of one that a dead server left behind. The
/// caller holds the store's lock, so there is no living one.
///
/// # Errors
/// [`Exit::Config`] when the path is too long for a socket, else what the system said.
pub fn bind(path: &Path) -> Result<ControlSocket, Failure> {
    // Bound under another name and renamed when its mode is right: nobody can connect before.
    let fresh = data_files::new_socket(path);
    match fs::remove_file(&fresh) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(Failure::io(fresh.display(), &error)),
    }
    let listener = StdListener::bind(&fresh).map_err(|error| {
        if error.kind() == io::ErrorKind::InvalidInput {
            Failure::new(
                Exit::Config,
                format!(
                    "{} is too long for a socket (108 bytes); choose a data directory with a shorter path",
                    path.display()
                ),
            )
        } else {
            Failure::io(fresh.display(), &error)
        }
    })?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600))
        .and_then(|()| listener.set_nonblocking(true))
        .and_then(|()| fs::rename(&fresh, path))
        .map_err(|error| {
            let _ = fs::remove_file(&fresh);
            Failure::io(path.display(), &error)
        })?;
    Ok(ControlSocket {
        listener,
        file: SocketFile(path.to_owned()),
    })
}

impl ControlSocket {
    /// Answers commands until `stop` is ready, then lets those at work finish. Runs inside a
    /// `LocalSet`.
    ///
    /// # Errors
    /// The runtime cannot watch the socket.
    pub async fn serve(self, operations: Rc<dyn Execute>, stop: impl Future<Output = ()>) -> io::Result<()> {
        let Self { listener, file } = self;
        let listener = UnixListener::from_std(listener)?;
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        let mut commands = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            // Every branch may be dropped half-way: a permit goes back, accept and join_next are
            // cancel safe.
            let accepted = tokio::select! {
                () = &mut stop => break,
                Some(_) = commands.join_next() => continue,
                accepted = accept(&listener, &room) => accepted,
            };
            let (stream, permit) = accepted;
            let operations = operations.clone();
            commands.spawn_local(async move {
                let _permit = permit;
                // A client that went away cannot be told so.
                let _ = converse(stream, &*operations).await;
            });
        }
        drop(listener);
        drop(file);
        // Commands that are still not done lose their connection; the store commits all or nothing.
        let _ = timeout(DRAIN, async { while commands.join_next().await.is_some() {} }).await;
        Ok(())
    }
}

async fn accept(
    listener: &UnixListener,
    room: &Arc<Semaphore>,
) -> (UnixStream, Option<tokio::sync::OwnedSemaphorePermit>) {
    // The semaphore is never closed, so there is always a permit.
    let permit = room.clone().acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, permit),
            // Out of descriptors, most likely: trying at once would only burn the core.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Greets, reads one line, answers once. A command that was understood is carried out even if
/// its client goes away meanwhile: half a change would be worse.
async fn converse(mut stream: UnixStream, operations: &dyn Execute) -> io::Result<()> {
    let greeting = encode(&Greeting::own(), MAX_ANSWER).map_err(io::Error::other)?;
    timeout(PATIENCE, stream.write_all(&greeting)).await??;
    let response = match timeout(PATIENCE, read_line(&mut stream)).await? {
        Ok(Some(line)) => match decode_request(&line) {
            Ok(request) => {
                drop(line);
                operations.execute(request).await
            }
            Err(failure) => Err(failure).into(),
        },
        Ok(None) => Err(Failure::data("the request is longer than 1 MiB")).into(),
        Err(error) => return Err(error),
    };
    let answer = match encode(&response, MAX_ANSWER) {
        Ok(answer) => answer,
        Err(failure) => encode(&Response::from(Err(failure)), MAX_ANSWER).map_err(io::Error::other)?,
    };
    timeout(PATIENCE, stream.write_all(&answer)).await??;
    stream.shutdown().await
}

/// One line with its end; none when it is longer than [`MAX_REQUEST`].
async fn read_line(stream: &mut UnixStream) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    // Room for any request with a secret in it, so that growing leaves no copy of one behind.
    let mut line = Zeroizing::new(Vec::with_capacity(16 * 1024));
    let mut piece = Zeroizing::new([0; 8192]);
    loop {
        let length = stream.read(&mut *piece).await?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.extend_from_slice(&piece[..length]);
        if line.len() > MAX_REQUEST {
            return Ok(None);
        }
        if line.last() == Some(&b'\n') {
            return Ok(Some(line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::client::{Connect, connect};
    use crate::control::protocol::{Payload, Request};
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream as StdStream;

    /// Answers `user-show` with an error that names the user, all else with `done`.
    struct Echo;

    impl Execute for Echo {
        fn execute(&self, request: Request) -> crate::control::Executing<'_> {
            Box::pin(async move {
                match request {
                    Request::UserShow { name } => {
                        Err(Failure::missing(format!("there is no user {name}"))).into()
                    }
                    _ => Response::Ok(Payload::Done),
                }
            })
        }
    }

    /// Runs `client` on a thread of its own against a served socket.
    fn with_server<T: Send + 'static>(client: impl FnOnce(&Path) -> T + Send + 'static) -> T {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("control.sock");
        let socket = bind(&path).expect("binds");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let (done, stopped) = tokio::sync::oneshot::channel::<()>();
        let asked = path.clone();
        let client = std::thread::spawn(move || {
            let outcome = client(&asked);
            let _ = done.send(());
            outcome
        });
        tokio::task::LocalSet::new().block_on(&runtime, async {
            socket
                .serve(Rc::new(Echo), async {
                    let _ = stopped.await;
                })
                .await
                .expect("serves");
        });
        assert!(!path.exists(), "the socket goes with the server");
        client.join().expect("the client does not panic")
    }

    fn ask(path: &Path, request: Request) -> Result<Payload, Failure> {
        match connect(path)? {
            Connect::Server(connection) => connection.ask(request),
            Connect::NoServer => panic!("the server runs"),
        }
    }

    #[test]
    fn a_client_gets_the_answer_of_the_operations() {
        let (ping, show) = with_server(|path| {
            (
                ask(path, Request::Ping),
                ask(path, Request::UserShow { name: "anna".into() }),
            )
        });
        assert_eq!(ping, Ok(Payload::Done));
        assert_eq!(show, Err(Failure::missing("there is no user anna")));
    }

    #[test]
    fn more_clients_than_there_is_room_for_all_get_their_answer() {
        let answers = with_server(|path| {
            std::thread::scope(|scope| {
                let clients: Vec<_> = (0..3 * CONNECTIONS)
                    .map(|_| scope.spawn(|| ask(path, Request::Ping)))
                    .collect();
                clients
                    .into_iter()
                    .map(|client| client.join().expect("no panic"))
                    .collect::<Vec<_>>()
            })
        });
        assert_eq!(answers.len(), 3 * CONNECTIONS);
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    }

    /// What the server says to raw bytes. It may hang up before it has read them all.
    fn raw(bytes: Vec<u8>) -> String {
        with_server(move |path| {
            let mut stream = StdStream::connect(path).expect("connects");
            let mut sender = stream.try_clone().expect("clones");
            let sending = std::thread::spawn(move || {
                let _ = sender.write_all(&bytes);
            });
            let mut said = Vec::new();
            // What was said before a reset is kept.
            let _ = stream.read_to_end(&mut said);
            let _ = sending.join();
            String::from_utf8(said).expect("JSON is UTF-8")
        })
    }

    // Threat model: "Every buffer, table, count and wait has a number in the config reference and
    // a test that hits it".
    #[test]
    fn a_line_of_more_than_a_mebibyte_is_refused() {
        let mut line = vec![b' '; MAX_REQUEST];
        line.push(b'\n');
        let said = raw(line);
        assert!(said.contains(r#"{"err":{"exit":65"#), "{said}");
        assert!(said.contains("longer than 1 MiB"), "{said}");
    }

    #[test]
    fn what_is_no_request_gets_an_error_and_no_echo_of_itself() {
        let said = raw(b"GET / HTTP/1.1 hunter2\n".to_vec());
        assert!(said.contains(r#"{"err":{"exit":70"#), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }

    // "listens on DATA/control.sock (0600)"
    #[test]
    fn only_the_owner_may_connect_and_a_dead_servers_socket_is_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("control.sock");
        drop(StdListener::bind(&path).expect("binds"));
        let socket = bind(&path).expect("replaces it");
        let mode = fs::metadata(&path).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(socket);
        assert!(!path.exists());

        let long = directory.path().join("x".repeat(200));
        fs::create_dir(&long).expect("creates");
        let failure = bind(&long.join("control.sock")).expect_err("too long");
        assert_eq!(failure.exit, Exit::Config);
    }
}
