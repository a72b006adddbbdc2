//! Bytes into and out of a socket by the shortest way there is: one system call, not by the C library, which looks
//! around each of them whether the thread was cancelled. That was 2 % of a decision.

use std::io;
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

use super::Splice;

/// A stream of bytes that reads into, and writes from, plain memory.
pub trait Transfer: Splice {
    /// Reads what there is; 0 at the end.
    fn poll_receive(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes as much as the other side takes.
    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;
}

/// Does `call` when the socket is ready. A call that did less than it could is the last before the next event, as
/// tokio's own reads and writes have it (`epoll(7)`, question 9): the one that would only say so is saved.
macro_rules! once_ready {
    ($socket:expr, $ready:expr, $interest:expr, $whole:expr, $call:expr) => {
        loop {
            ready!($ready)?;
            let mut part = 0;
            let done = $socket.try_io($interest, || match $call {
                Ok(count) if 0 < count && count < $whole => {
                    part = count;
                    Err(io::ErrorKind::WouldBlock.into())
                }
                done => done,
            });
            match done {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if part > 0 {
                        return Poll::Ready(Ok(part));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return Poll::Ready(done),
            }
        }
    };
}

macro_rules! sockets {
    ($($socket:ty)*) => {$(
        impl Transfer for $socket {
            fn poll_receive(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
                let whole = room.len();
                once_ready!(self, self.poll_read_ready(cx), Interest::READABLE, whole, calls::receive(&*self, room))
            }

            fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
                let whole = bytes.len();
                once_ready!(self, self.poll_write_ready(cx), Interest::WRITABLE, whole, calls::send(&*self, bytes))
            }
        }
    )*};
}

sockets!(TcpStream UnixStream);

#[cfg(target_os = "linux")]
mod calls {
    use std::io;
    use std::os::fd::AsFd;

    use rustix::net::{RecvFlags, SendFlags, recv, send as send_to};

    pub(super) fn receive(socket: &impl AsFd, room: &mut [u8]) -> io::Result<usize> {
        let (_, count) = recv(socket, room, RecvFlags::empty())?;
        Ok(count)
    }

    pub(super) fn send(socket: &impl AsFd, bytes: &[u8]) -> io::Result<usize> {
        Ok(send_to(socket, bytes, SendFlags::NOSIGNAL)?)
    }
}

#[cfg(not(target_os = "linux"))]
mod calls {
    use std::io;
    use std::os::fd::AsFd;

    use socket2::SockRef;

    pub(super) fn receive(socket: &impl AsFd, room: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut &*SockRef::from(socket), room)
    }

    pub(super) fn send(socket: &impl AsFd, bytes: &[u8]) -> io::Result<usize> {
        SockRef::from(socket).send(bytes)
    }
}
