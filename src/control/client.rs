//! The command's side of the control socket: plain blocking reads and writes.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use zeroize::Zeroizing;

use super::failure::{Exit, Failure};
use super::protocol::{
    Asked, Greeting, MAX_ANSWER, MAX_REQUEST, Payload, Request, Response, VERSION, decode, encode,
};

/// How long a server may take to greet. It does nothing before that, so a longer silence means
/// that it hangs.
const GREETING: Duration = Duration::from_secs(5);

/// What a connection attempt found.
#[derive(Debug)]
pub enum Connect {
    /// A server that speaks our version.
    Server(Connection),
    /// Nobody listens: there is no socket, or one that a dead server left behind.
    NoServer,
}

/// One connection, good for one request.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
}

/// Connects to the control socket at `path` and reads the greeting.
///
/// # Errors
/// [`Exit::Permission`] when the socket is someone else's, [`Exit::Unavailable`] when whoever
/// listens does not greet, or greets with another version.
pub fn connect(path: &Path) -> Result<Connect, Failure> {
    let stream = match UnixStream::connect(path) {
        Ok(stream) => stream,
        Err(error) => {
            return match error.kind() {
                // InvalidInput: a path too long for a socket, on which no server can listen either.
                ErrorKind::NotFound
                | ErrorKind::NotADirectory
                | ErrorKind::ConnectionRefused
                | ErrorKind::InvalidInput => Ok(Connect::NoServer),
                ErrorKind::PermissionDenied => Err(Failure::new(
                    Exit::Permission,
                    format!(
                        "{} belongs to another user; run the command as the user that runs the server",
                        path.display()
                    ),
                )),
                _ => Err(Failure::unavailable(format!("{}: {error}", path.display()))),
            };
        }
    };
    let mut connection = Connection { stream };
    let line = connection.read(GREETING, 4096)?;
    let greeting: Greeting = decode(&line).map_err(|_| {
        Failure::unavailable(format!(
            "what listens on {} is not a sidegate server",
            path.display()
        ))
    })?;
    greeting.check()?;
    Ok(Connect::Server(connection))
}

impl Connection {
    /// Sends the request and waits for its answer; the change is in force when this returns.
    ///
    /// # Errors
    /// What the server answered, or [`Exit::Unavailable`] when it went away or did not answer: then
    /// the change may have been made or not.
    pub fn ask(mut self, request: Request) -> Result<Payload, Failure> {
        let patience = request.patience();
        let line = encode(
            &Asked {
                protocol: VERSION,
                request,
            },
            MAX_REQUEST,
        )?;
        self.stream
            .set_write_timeout(Some(patience))
            .and_then(|()| self.stream.write_all(&line))
            .map_err(|error| gone(&error))?;
        let line = self.read(patience, MAX_ANSWER)?;
        decode::<Response>(&line)?.into_result()
    }

    /// Reads up to the end of a line.
    fn read(&mut self, patience: Duration, limit: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
        self.stream
            .set_read_timeout(Some(patience))
            .map_err(|error| gone(&error))?;
        // Room for any answer with a secret in it, so that growing leaves no copy of one behind.
        let mut line = Zeroizing::new(Vec::with_capacity(16 * 1024));
        let mut piece = Zeroizing::new([0; 8192]);
        loop {
            match self.stream.read(&mut *piece) {
                Ok(0) => {
                    return Err(Failure::unavailable(
                        "the server closed the control connection before it answered; look at its log",
                    ));
                }
                Ok(length) => line.extend_from_slice(&piece[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(gone(&error)),
            }
            if line.last() == Some(&b'\n') {
                return Ok(line);
            }
            if line.len() > limit {
                return Err(Failure::unavailable("the server's answer is too long to be one"));
            }
        }
    }
}

fn gone(error: &std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Failure::unavailable(
            "the server does not answer on its control socket; look at its log before trying again",
        ),
        _ => Failure::unavailable(format!("the control connection broke: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixListener;
    use std::thread;

    /// A server that says `greeting`, reads one line, says `answer` and hangs up.
    fn served(greeting: &'static str, answer: &'static str) -> Result<Payload, Failure> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("control.sock");
        let listener = UnixListener::bind(&path).expect("binds");
        thread::scope(|scope| {
            scope.spawn(move || {
                let (mut stream, _) = listener.accept().expect("a client");
                let _ = stream.write_all(greeting.as_bytes());
                let mut line = String::new();
                let _ = BufReader::new(&stream).read_line(&mut line);
                let _ = stream.write_all(answer.as_bytes());
            });
            match connect(&path)? {
                Connect::Server(connection) => connection.ask(Request::Ping),
                Connect::NoServer => panic!("someone listens"),
            }
        })
    }

    #[test]
    fn one_request_one_answer() {
        let greeting = "{\"protocol\":3,\"version\":\"0.1.0\"}\n";
        assert_eq!(served(greeting, "{\"ok\":\"done\"}\n"), Ok(Payload::Done));
        assert_eq!(
            served(
                greeting,
                "{\"err\":{\"exit\":66,\"message\":\"there is no user anna\"}}\n"
            ),
            Err(Failure::missing("there is no user anna"))
        );
    }

    #[test]
    fn another_version_gets_no_request() {
        let failure = served("{\"protocol\":7,\"version\":\"7.0.0\"}\n", "").expect_err("another version");
        assert_eq!(failure.exit, Exit::Unavailable);
        assert!(failure.message.contains("sidegate 7.0.0"), "{failure}");
    }

    #[test]
    fn a_stranger_and_a_server_that_dies_are_unavailable_and_not_absent() {
        let failure = served("220 mail.example ESMTP\n", "").expect_err("a stranger");
        assert_eq!(failure.exit, Exit::Unavailable);
        let failure =
            served("{\"protocol\":3,\"version\":\"0.1.0\"}\n", "{\"ok\"").expect_err("half an answer");
        assert_eq!(failure.exit, Exit::Unavailable);
    }

    // "Without a server the verb takes the lock and writes itself."
    #[test]
    fn no_socket_and_a_dead_servers_socket_mean_no_server() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("control.sock");
        assert!(matches!(connect(&path), Ok(Connect::NoServer)));
        drop(UnixListener::bind(&path).expect("binds"));
        assert!(path.exists(), "the dead server left its socket");
        assert!(matches!(connect(&path), Ok(Connect::NoServer)));
        let long = directory.path().join("x".repeat(200)).join("control.sock");
        assert!(matches!(connect(&long), Ok(Connect::NoServer)));
    }
}
