//! A server that looks at nothing: what is left of the cost of an answer when all of the work is taken out of it. No
//! program that asks the kernel in the same way can go below it.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::load::{Process, free_address};

/// The word by which this program becomes such a server.
pub(crate) const WORD: &str = "--bare";

/// As long as an answer of Sidegate.
const ANSWER: &str = "HTTP/1.1 200 OK\r\n\
    remote-user: anna\r\n\
    remote-groups: \r\n\
    remote-name: \r\n\
    remote-email: \r\n\
    cache-control: no-store\r\n\
    x-request-id: 0123456789abcdef0123456789abcdef\r\n\
    content-length: 0\r\n\
    date: Sun, 22 Nov 2026 12:00:00 GMT\r\n\
    \r\n";

/// A running one; ends with this value.
pub(crate) struct Bare {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Bare {
    /// Answers everything with the same; with a backend, it sends on what comes and back what that answers.
    pub(crate) fn start(backend: Option<SocketAddr>, core: usize) -> Self {
        let address = free_address();
        let own = std::env::current_exe().expect("this program is a file");
        let child = Command::new(own)
            .arg(WORD)
            .arg(address.to_string())
            .args(backend.map(|backend| backend.to_string()))
            .stdin(Stdio::null())
            .spawn()
            .expect("this program can be started");
        let began = Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            assert!(began.elapsed() < Duration::from_secs(10), "it does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        let bare = Self { child, address };
        bare.process().pin(&core.to_string());
        bare
    }

    pub(crate) fn process(&self) -> Process {
        Process(self.child.id())
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Is such a server, until it is killed.
pub(crate) fn serve(words: &[String]) {
    let address = |at: usize| -> Option<SocketAddr> { words.get(at)?.parse().ok() };
    let (listen, backend) = (address(0).expect("an address"), address(1));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    tokio::task::LocalSet::new().block_on(&runtime.expect("a runtime"), async {
        let listener = TcpListener::bind(listen).await.expect("it is free");
        while let Ok((client, _)) = listener.accept().await {
            tokio::task::spawn_local(async move {
                let _ = client.set_nodelay(true);
                match backend {
                    Some(backend) => forward(client, backend).await,
                    None => answer(client).await,
                }
            });
        }
    });
}

async fn answer(mut client: TcpStream) {
    let mut room = [0; 4096];
    while matches!(client.read(&mut room).await, Ok(1..)) {
        if client.write_all(ANSWER.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn forward(mut client: TcpStream, backend: SocketAddr) {
    let Ok(mut upstream) = TcpStream::connect(backend).await else {
        return;
    };
    let _ = upstream.set_nodelay(true);
    let mut room = [0; 4096];
    loop {
        for (from, to) in [(0, 1), (1, 0)] {
            let sides = [&mut client, &mut upstream];
            let Ok(count @ 1..) = sides[from].read(&mut room).await else {
                return;
            };
            if sides[to].write_all(&room[..count]).await.is_err() {
                return;
            }
        }
    }
}
