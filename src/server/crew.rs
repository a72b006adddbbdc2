//! Which worker serves a new client.
//!
//! The kernel deals connections out by a hash of their addresses. Many come out even, but the two or four
//! that a gateway keeps open may well all come to one worker, and the other cores would look on. So a
//! worker that has more clients than another hands the next one over.

use std::net::SocketAddr;
use std::os::unix;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::{io, net};

use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{mpsc, watch};

use super::Role;
use super::counters::Place;

/// All workers, as they see each other.
#[derive(Debug)]
pub(super) struct Crew(Vec<Member>);

#[derive(Debug)]
struct Member {
    /// Sockets of clients that are open in this worker, tunnels included, and those on their way to it.
    open: Arc<AtomicUsize>,
    door: mpsc::UnboundedSender<Handed>,
}

/// Where a worker is handed clients.
pub(super) type Door = mpsc::UnboundedReceiver<Handed>;

/// A client on its way from one worker to another. In no runtime meanwhile.
#[derive(Debug)]
pub(super) struct Handed {
    client: Bare,
    pub(super) role: Role,
    pub(super) place: Place,
    /// Of the listener that it came by.
    pub(super) finish: watch::Receiver<bool>,
}

/// A client that was accepted.
pub(super) enum Client {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

#[derive(Debug)]
enum Bare {
    Tcp(net::TcpStream, SocketAddr),
    Unix(unix::net::UnixStream),
}

impl Crew {
    /// So many workers, and the door of each.
    pub(super) fn new(workers: usize) -> (Self, Vec<Door>) {
        let (members, doors) = (0..workers)
            .map(|_| {
                let (door, opened) = mpsc::unbounded_channel();
                let open = Arc::default();
                (Member { open, door }, opened)
            })
            .unzip();
        (Self(members), doors)
    }

    /// The clients of a worker.
    pub(super) fn open(&self, worker: usize) -> &Arc<AtomicUsize> {
        &self.0[worker].open
    }

    /// Who serves the next client of `worker`: itself, unless another has clearly fewer. What is one too
    /// many of two is nothing of a hundred, and handing over costs a little.
    pub(super) fn next_of(&self, worker: usize) -> usize {
        let counts = self.0.iter().map(|member| member.open.load(Relaxed));
        let Some((least, count)) = counts.enumerate().min_by_key(|(_, count)| *count) else {
            return worker;
        };
        let own = self.open(worker).load(Relaxed);
        if own > count + count / 8 { least } else { worker }
    }

    /// Hands a client over.
    ///
    /// # Errors
    /// It comes back from a worker that takes nobody any more.
    pub(super) fn hand(&self, handed: Handed, to: usize) -> Result<(), Handed> {
        self.0[to].door.send(handed).map_err(|unsent| unsent.0)
    }
}

impl Handed {
    pub(super) fn new(
        client: Client,
        role: Role,
        place: Place,
        finish: watch::Receiver<bool>,
    ) -> io::Result<Self> {
        let client = match client {
            Client::Tcp(stream, address) => Bare::Tcp(stream.into_std()?, address),
            Client::Unix(stream) => Bare::Unix(stream.into_std()?),
        };
        Ok(Self {
            client,
            role,
            place,
            finish,
        })
    }

    /// In the runtime of this thread, with all that came with it.
    pub(super) fn unpack(self) -> io::Result<(Client, Role, Place, watch::Receiver<bool>)> {
        let client = match self.client {
            Bare::Tcp(stream, address) => Client::Tcp(TcpStream::from_std(stream)?, address),
            Bare::Unix(stream) => Client::Unix(UnixStream::from_std(stream)?),
        };
        Ok((client, self.role, self.place, self.finish))
    }
}

impl Client {
    pub(super) fn tcp(stream: TcpStream, address: SocketAddr) -> Self {
        // Small answers must not wait for the client's acknowledgements. It fails only when the
        // client is gone already.
        let _ = stream.set_nodelay(true);
        Self::Tcp(stream, address)
    }
}
