//! Bytes into and out of a socket by the shortest way there is: one system call, not by the C library, which looks
//! around each of them whether the thread was cancelled. That was 2 % of a decision.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

use super::Splice;

/// A stream of bytes that reads into, and writes from, plain memory.
pub trait Transfer: Splice {
    /// Reads what there is; 0 at the end. Without TLS the room is asked for only where there is something.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut (impl AsMut<[u8]> + ?Sized),
    ) -> Poll<io::Result<usize>>;

    /// Writes as much as the other side takes.
    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// The same of bytes that lie in several places.
    fn poll_send_all(&mut self, cx: &mut Context<'_>, places: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let first = places.iter().find(|place| !place.is_empty());
        self.poll_send(cx, first.map_or(&[][..], |place| place))
    }
}

/// Does `call` if the socket is ready, and returns what it did; goes on where there was nothing to do. A call that did
/// less than it could is the last before the next event, as tokio's own reads and writes have it (`epoll(7)`, question
/// 9): the one that would only say so is saved.
macro_rules! if_ready {
    ($socket:expr, $interest:expr, $whole:expr, $call:expr) => {
        let mut part = 0;
        let done = $socket.try_io($interest, || match $call {
            Ok(count) if 0 < count && count < $whole => {
                part = count;
                Err(io::ErrorKind::WouldBlock.into())
            }
            done => done,
        });
        if part > 0 {
            // Nothing but a word, which takes longer to drop than to make.
            std::mem::forget(done);
            return Poll::Ready(Ok(part));
        }
        match done.as_ref().map_err(io::Error::kind) {
            Err(io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            _ => return Poll::Ready(done),
        }
    };
}

macro_rules! sockets {
    ($($socket:ty)*) => {$(
        impl Transfer for $socket {
            fn poll_receive(
                &mut self,
                cx: &mut Context<'_>,
                room: &mut (impl AsMut<[u8]> + ?Sized),
            ) -> Poll<io::Result<usize>> {
                loop {
                    ready!(self.poll_read_ready(cx))?;
                    let room = room.as_mut();
                    let whole = room.len();
                    if_ready!(self, Interest::READABLE, whole, calls::receive(&*self, room));
                }
            }

            /// Nearly always there is room, so nobody is asked for it before. What is written was read or made
            /// somewhere, which counts against the task's budget there.
            fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
                let whole = bytes.len();
                loop {
                    if_ready!(self, Interest::WRITABLE, whole, calls::send(&*self, bytes));
                    ready!(self.poll_write_ready(cx))?;
                }
            }

            fn poll_send_all(
                &mut self,
                cx: &mut Context<'_>,
                places: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let whole = places.iter().map(|place| place.len()).sum();
                loop {
                    if_ready!(self, Interest::WRITABLE, whole, calls::send_all(&*self, places));
                    ready!(self.poll_write_ready(cx))?;
                }
            }
        }
    )*};
}

sockets!(TcpStream UnixStream);

#[cfg(target_os = "linux")]
mod calls {
    use std::io::{self, IoSlice};
    use std::os::fd::AsFd;

    use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send as send_to, sendmsg};

    pub(super) fn receive(socket: &impl AsFd, room: &mut [u8]) -> io::Result<usize> {
        let (_, count) = recv(socket, room, RecvFlags::empty())?;
        Ok(count)
    }

    pub(super) fn send(socket: &impl AsFd, bytes: &[u8]) -> io::Result<usize> {
        Ok(send_to(socket, bytes, SendFlags::NOSIGNAL)?)
    }

    pub(super) fn send_all(socket: &impl AsFd, places: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut nothing = SendAncillaryBuffer::default();
        Ok(sendmsg(socket, places, &mut nothing, SendFlags::NOSIGNAL)?)
    }
}

#[cfg(not(target_os = "linux"))]
mod calls {
    use std::io::{self, IoSlice};
    use std::os::fd::AsFd;

    use socket2::SockRef;

    pub(super) fn receive(socket: &impl AsFd, room: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut &*SockRef::from(socket), room)
    }

    pub(super) fn send(socket: &impl AsFd, bytes: &[u8]) -> io::Result<usize> {
        SockRef::from(socket).send(bytes)
    }

    pub(super) fn send_all(socket: &impl AsFd, places: &[IoSlice<'_>]) -> io::Result<usize> {
        SockRef::from(socket).send_vectored(places)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn a_full_socket_is_waited_for_and_written_on() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let (bytes, mut room) = (vec![7; 1 << 16], vec![0; 1 << 16]);
        let (mut sent, mut received) = (0, 0);
        for _ in 0..3 {
            poll_fn(|cx| {
                while let Poll::Ready(count) = ours.poll_send(cx, &bytes) {
                    sent += count.unwrap();
                }
                Poll::Ready(())
            })
            .await;
            while received < sent {
                received += poll_fn(|cx| theirs.poll_receive(cx, &mut room)).await.unwrap();
            }
            sent += poll_fn(|cx| ours.poll_send(cx, b"more")).await.unwrap();
        }
        drop(theirs);
        let gone = poll_fn(|cx| ours.poll_send(cx, &bytes)).await.unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::BrokenPipe);
    }
}
