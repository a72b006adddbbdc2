//! The two ends of a pipe, and what the kernel can do with them. Nowhere but on Linux is there such a thing.

#[cfg(target_os = "linux")]
pub(super) use linux::Ends;
#[cfg(not(target_os = "linux"))]
pub(super) use nowhere::Ends;

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::{BorrowedFd, OwnedFd};

    use rustix::io::Errno;
    use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, pipe_with, splice};

    const FLAGS: SpliceFlags = SpliceFlags::NONBLOCK.union(SpliceFlags::MOVE);

    /// A pipe.
    #[derive(Debug)]
    pub(in crate::wire) struct Ends {
        out: OwnedFd,
        into: OwnedFd,
    }

    impl Ends {
        /// A new pipe with so much room.
        pub(in crate::wire) fn open(room: usize) -> Option<Self> {
            let (out, into) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
            (fcntl_getpipe_size(&into).ok()? >= room).then_some(Self { out, into })
        }

        /// Moves at most so many bytes out of a socket; 0 at its end.
        pub(in crate::wire) fn fill(&self, from: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
            retried(|| splice(from, None, &self.into, None, most, FLAGS))
        }

        /// Moves at most so many bytes into a socket.
        pub(in crate::wire) fn drain(&self, to: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
            retried(|| splice(&self.out, None, to, None, most, FLAGS))
        }

        pub(in crate::wire) fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
            retried(|| rustix::io::read(&self.out, &mut *bytes))
        }
    }

    /// Whatever says that this cannot be done with these two, or not here, is of the kind `Unsupported`.
    fn retried(mut call: impl FnMut() -> rustix::io::Result<usize>) -> io::Result<usize> {
        loop {
            return match call() {
                Err(Errno::INTR) => continue,
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => {
                    Err(io::ErrorKind::Unsupported.into())
                }
                other => other.map_err(io::Error::from),
            };
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod nowhere {
    use std::io;
    use std::os::fd::BorrowedFd;

    #[derive(Debug)]
    pub(in crate::wire) enum Ends {}

    impl Ends {
        pub(in crate::wire) fn open(_room: usize) -> Option<Self> {
            None
        }

        pub(in crate::wire) fn fill(&self, _from: BorrowedFd<'_>, _most: usize) -> io::Result<usize> {
            match *self {}
        }

        pub(in crate::wire) fn drain(&self, _to: BorrowedFd<'_>, _most: usize) -> io::Result<usize> {
            match *self {}
        }

        pub(in crate::wire) fn read(&self, _bytes: &mut [u8]) -> io::Result<usize> {
            match *self {}
        }
    }
}
