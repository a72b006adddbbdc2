//! Bytes of a large body on their way from one socket to another inside the kernel, through a pipe: `splice`.
//! They need not be copied into this process and out again, for nobody looks at them.
//!
//! A pipe is lent by the thread as long as bytes are in it. Where there is none to be had, and where the kernel
//! cannot splice, the bytes are copied as others are.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

use super::splice::Ends;

/// What a pipe has room for, and what is moved at once. More was measured: docs/performance.md. The kernel makes
/// smaller ones for a user who has very many (`pipe(7)`, pipe-user-pages-soft); copying is faster than those.
const ROOM: usize = 64 * 1024;
/// Pipes of one thread: each is two descriptors, and a slow client may keep one until its time is over.
const MOST: usize = 32;
/// Empty ones that are kept.
const MOST_IDLE: usize = 16;

thread_local! {
    static PIPES: Pipes = const { Pipes {
        idle: RefCell::new(Vec::new()),
        lent: Cell::new(0),
        cannot: Cell::new(false),
    } };
}

/// The pipes of a thread.
struct Pipes {
    idle: RefCell<Vec<Ends>>,
    lent: Cell<usize>,
    /// This kernel, or what confines us here, does not splice.
    cannot: Cell<bool>,
}

/// A pipe with bytes in it; an empty one is the end of what it was filled from.
#[derive(Debug)]
pub struct Pipe {
    /// None once it is over.
    ends: Option<Ends>,
    held: usize,
}

impl Pipe {
    /// An empty one, if there is one to be had.
    fn lend() -> Option<Self> {
        PIPES.with(|pipes| {
            if pipes.cannot.get() || pipes.lent.get() >= MOST {
                return None;
            }
            let kept = pipes.idle.borrow_mut().pop();
            let ends = kept.or_else(|| Ends::open(ROOM))?;
            pipes.lent.set(pipes.lent.get() + 1);
            Some(Self {
                ends: Some(ends),
                held: 0,
            })
        })
    }

    /// The number of bytes in it.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Moves what there is, at most so many bytes, out of a socket.
    fn fill(&mut self, from: BorrowedFd<'_>, most: u64) -> io::Result<()> {
        let ends = self.ends.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        let most = usize::try_from(most).unwrap_or(ROOM).min(ROOM);
        self.held += noted(ends.fill(from, most))?;
        Ok(())
    }

    /// Moves as much as it takes into a socket.
    fn drain(&mut self, to: BorrowedFd<'_>) -> io::Result<usize> {
        let ends = self.ends.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        let moved = noted(ends.drain(to, self.held))?;
        if moved == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.held = self.held.saturating_sub(moved);
        Ok(moved)
    }

    /// All that is in it, copied.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn copy_out(mut self) -> io::Result<Bytes> {
        let mut bytes = vec![0; self.held];
        let ends = self.ends.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut read = 0;
        while read < bytes.len() {
            match ends.read(&mut bytes[read..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => read += count,
            }
        }
        self.held = 0;
        Ok(bytes.into())
    }
}

impl Drop for Pipe {
    /// One with bytes in it is closed: they must not come out in another body.
    fn drop(&mut self) {
        let _ = PIPES.try_with(|pipes| {
            pipes.lent.set(pipes.lent.get().saturating_sub(1));
            let mut idle = pipes.idle.borrow_mut();
            if self.held == 0 && idle.len() < MOST_IDLE {
                idle.extend(self.ends.take());
            }
        });
    }
}

/// Where the kernel cannot do it, nothing has happened, and it is not asked again.
fn noted<T>(done: io::Result<T>) -> io::Result<T> {
    if let Err(error) = &done
        && error.kind() == io::ErrorKind::Unsupported
        && !PIPES.with(|pipes| pipes.cannot.replace(true))
    {
        tracing::debug!("large bodies are copied, because splicing is not possible here");
    }
    done
}

/// A stream of bytes that may lie in a socket as they are; unless it says so, they do not.
pub trait Splice {
    /// Whether the other side gets the very bytes that are written: no TLS.
    fn is_bare(&self) -> bool {
        false
    }

    /// What has come, at most so many bytes, in a pipe; an empty one at the end. None: it has to be read.
    fn poll_fill(&self, cx: &mut Context<'_>, most: u64) -> Option<Poll<io::Result<Pipe>>> {
        let _ = (cx, most);
        None
    }

    /// Moves on what is in the pipe, as much as goes at once; the number of bytes. An error of the kind `Unsupported`:
    /// it has to be copied.
    fn poll_drain(&self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<io::Result<usize>> {
        let _ = (cx, pipe);
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }
}

macro_rules! splice_sockets {
    ($($socket:ty)*) => {$(
        impl Splice for $socket {
            fn is_bare(&self) -> bool {
                true
            }

            fn poll_fill(&self, cx: &mut Context<'_>, most: u64) -> Option<Poll<io::Result<Pipe>>> {
                loop {
                    match self.poll_read_ready(cx) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(error)) => return Some(Poll::Ready(Err(error))),
                        // A thread that lends no pipe now may do so when there is something to read.
                        Poll::Pending => return Some(Poll::Pending),
                    }
                    let mut pipe = Pipe::lend()?;
                    match self.try_io(Interest::READABLE, || pipe.fill(self.as_fd(), most)) {
                        Ok(()) => return Some(Poll::Ready(Ok(pipe))),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) if error.kind() == io::ErrorKind::Unsupported => return None,
                        Err(error) => return Some(Poll::Ready(Err(error))),
                    }
                }
            }

            fn poll_drain(&self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<io::Result<usize>> {
                loop {
                    ready!(self.poll_write_ready(cx))?;
                    match self.try_io(Interest::WRITABLE, || pipe.drain(self.as_fd())) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        drained => return Poll::Ready(drained),
                    }
                }
            }
        }
    )*};
}

splice_sockets!(TcpStream UnixStream);

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::io::{Read, Seek, SeekFrom, Write};
    use std::pin::Pin;
    use std::task::Waker;

    use tokio::io::AsyncWrite;

    use super::*;
    use crate::wire::{Pieces, Transfer};

    /// A file to fill pipes from.
    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file
    }

    fn filled(bytes: &[u8]) -> Pipe {
        let mut pipe = Pipe::lend().unwrap();
        pipe.fill(file(bytes).as_fd(), 1000).unwrap();
        assert_eq!(pipe.held(), bytes.len());
        pipe
    }

    fn drained(mut pipe: Pipe) -> Vec<u8> {
        let mut out = file(b"");
        while pipe.held() > 0 {
            pipe.drain(out.as_fd()).unwrap();
        }
        let mut bytes = Vec::new();
        out.seek(SeekFrom::Start(0)).unwrap();
        out.read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_pipe_with_bytes_in_it_is_not_lent_again() {
        drop(filled(b"one body"));
        assert_eq!(PIPES.with(|pipes| pipes.idle.borrow().len()), 0);
        assert_eq!(drained(filled(b"another")), b"another");
        assert_eq!(
            PIPES.with(|pipes| pipes.idle.borrow().len()),
            1,
            "an empty one is kept"
        );
        assert_eq!(drained(filled(b"a third")), b"a third");
        assert_eq!(PIPES.with(|pipes| pipes.idle.borrow().len()), 1);
    }

    #[test]
    fn a_thread_lends_so_many_and_keeps_fewer() {
        let lent: Vec<_> = std::iter::from_fn(Pipe::lend).take(2 * MOST).collect();
        assert_eq!(lent.len(), MOST);
        drop(lent);
        assert_eq!(PIPES.with(|pipes| pipes.idle.borrow().len()), MOST_IDLE);
        assert!(Pipe::lend().is_some());
    }

    // splice(2), EINVAL: "the target file is opened in append mode"
    #[test]
    fn where_splicing_is_impossible_bytes_are_copied_and_no_pipe_is_lent_again() {
        let folder = tempfile::tempdir().unwrap();
        let append = OpenOptions::new()
            .append(true)
            .create(true)
            .open(folder.path().join("file"))
            .unwrap();
        let mut pipe = filled(b"not one is lost");
        let error = pipe.drain(append.as_fd()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        assert_eq!(pipe.copy_out().unwrap(), b"not one is lost"[..]);
        assert!(Pipe::lend().is_none());
    }

    /// Takes three bytes at once, and none out of a pipe.
    #[derive(Default)]
    struct Narrow(Vec<u8>);

    impl AsyncWrite for Narrow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let count = bytes.len().min(3);
            self.0.extend_from_slice(&bytes[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl Splice for Narrow {
        fn is_bare(&self) -> bool {
            true
        }

        fn poll_fill(&self, _: &mut Context<'_>, _: u64) -> Option<Poll<io::Result<Pipe>>> {
            None
        }

        fn poll_drain(&self, _: &mut Context<'_>, _: &mut Pipe) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
        }
    }

    impl Transfer for Narrow {
        fn poll_receive(
            &mut self,
            _: &mut Context<'_>,
            _: &mut (impl AsMut<[u8]> + ?Sized),
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Pin::new(self).poll_write(cx, bytes)
        }
    }

    #[test]
    fn pieces_in_a_pipe_come_behind_the_head_and_are_copied_where_they_must_be() {
        let mut pieces = Pieces::of_head(b"head\r\n".to_vec());
        pieces.set_pipe(filled(b"and the body"));
        let (mut out, mut cx) = (Narrow::default(), Context::from_waker(Waker::noop()));
        while !pieces.is_empty() {
            assert!(matches!(
                pieces.poll_write(&mut cx, &mut out),
                Poll::Ready(Ok(1..=3))
            ));
        }
        assert_eq!(out.0, b"head\r\nand the body");
    }
}
