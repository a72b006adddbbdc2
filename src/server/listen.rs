//! Listening sockets: bound here, inherited from systemd, or on a unix path.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use listenfd::ListenFd;
use socket2::{Domain, SockAddr, Socket, Type};

use super::{Open, Role};
use crate::config::settings::Listen;
use crate::wire::pacing;

/// So many connections may wait for accept; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// Only the owner and the group may connect to a unix socket.
const SOCKET_MODE: u32 = 0o660;

/// A listener that is bound and listens, with one socket for every worker.
#[derive(Debug)]
pub struct Bound {
    address: Listen,
    /// What the settings said; none for a socket from the service manager.
    asked: Option<Listen>,
    role: Role,
    sockets: Vec<Socket>,
    file: Option<SocketFile>,
}

impl Bound {
    /// Where it listens: the real port, when 0 was asked for.
    pub fn address(&self) -> &Listen {
        &self.address
    }

    /// What it is for.
    pub fn role(&self) -> Role {
        self.role
    }

    /// As the server keeps it, and its socket for every worker.
    pub(super) fn open(self, id: u64) -> (Open, Vec<Socket>) {
        let open = Open {
            id,
            address: self.address,
            asked: self.asked,
            role: self.role,
            _file: self.file,
        };
        (open, self.sockets)
    }
}

/// The file of a unix socket; removed with the listener, if it is still ours.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Ok(found) = std::fs::symlink_metadata(&self.path)
            && (found.dev(), found.ino()) == (self.device, self.inode)
        {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Why we cannot listen.
#[derive(Debug)]
pub enum ListenError {
    /// Somebody else listens there. The exit code is 69.
    InUse {
        /// The address.
        address: String,
    },
    /// There is a file of that name, and it is not a socket. The exit code is 73.
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The system refuses. The exit code is 77 when a permission is missing, else 69.
    Refused {
        /// The address.
        address: String,
        /// What the system says.
        error: io::Error,
    },
    /// systemd passed sockets that we cannot use. The exit code is 78.
    Inherited {
        /// What is wrong and what to write instead.
        why: String,
    },
}

impl ListenError {
    fn new(address: &impl fmt::Display, error: io::Error) -> Self {
        let address = address.to_string();
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { address },
            _ => Self::Refused { address, error },
        }
    }
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { address } => write!(
                f,
                "cannot listen on {address}: the address is in use; stop the program that listens there or \
                 choose another address"
            ),
            Self::NotASocket { path } => write!(
                f,
                "cannot listen on unix:{}: a file of that name exists and is not a socket; remove it or choose \
                 another path",
                path.display()
            ),
            Self::Refused { address, error } => {
                write!(f, "cannot listen on {address}: {error}")?;
                f.write_str(match error.kind() {
                    io::ErrorKind::PermissionDenied => {
                        "; for a port below 1024 give the program CAP_NET_BIND_SERVICE, for a unix socket make \
                         its directory writable"
                    }
                    io::ErrorKind::AddrNotAvailable => "; this machine does not have that address",
                    io::ErrorKind::NotFound => "; create the directory first",
                    _ => "",
                })
            }
            Self::Inherited { why } => write!(f, "sockets from the service manager: {why}"),
        }
    }
}

impl std::error::Error for ListenError {}

/// Binds every address for so many workers; if one fails, none is left bound.
pub fn bind_all(addresses: &[(Listen, Role)], workers: usize) -> Result<Vec<Bound>, ListenError> {
    addresses
        .iter()
        .map(|(address, role)| {
            // `[::]` takes IPv4 clients too, unless IPv4 has a listener of its own.
            let has_v4 = |port| {
                let v4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
                addresses.iter().any(|(other, _)| *other == Listen::Tcp(v4))
            };
            match address {
                Listen::Tcp(tcp) => bind_tcp(*tcp, *role, workers, has_v4(tcp.port())),
                Listen::Unix(path) => bind_unix(path, *role, workers),
            }
        })
        .collect()
}

/// Binds one address for so many workers.
pub fn bind(address: &Listen, role: Role, workers: usize) -> Result<Bound, ListenError> {
    let mut bound = bind_all(&[(address.clone(), role)], workers)?;
    Ok(bound.remove(0))
}

fn bind_tcp(address: SocketAddr, role: Role, workers: usize, only_v6: bool) -> Result<Bound, ListenError> {
    let fail = |error| ListenError::new(&address, error);
    // With SO_REUSEPORT a second process of the same user would quietly take half of the
    // connections; without it the kernel says that the address is in use.
    let probe = tcp_socket(address, only_v6, false).map_err(fail)?;
    let local = probe.local_addr().map_err(fail)?.as_socket().unwrap_or(address);
    drop(probe);
    let sockets = (0..workers)
        .map(|_| {
            let socket = tcp_socket(local, only_v6, true)?;
            socket.listen(BACKLOG)?;
            Ok(socket)
        })
        .collect::<io::Result<_>>()
        .map_err(fail)?;
    Ok(Bound {
        address: Listen::Tcp(local),
        asked: Some(Listen::Tcp(address)),
        role,
        sockets,
        file: None,
    })
}

fn tcp_socket(address: SocketAddr, only_v6: bool, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), None)?;
    // A restart must not wait for old connections in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    socket.bind(&SockAddr::from(address))?;
    pacing::unpace(&socket, address.ip());
    Ok(socket)
}

fn bind_unix(path: &Path, role: Role, workers: usize) -> Result<Bound, ListenError> {
    let address = format!("unix:{}", path.display());
    let fail = |error| ListenError::new(&address, error);
    if let Ok(found) = std::fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(ListenError::NotASocket {
                path: path.to_owned(),
            });
        }
        match std::os::unix::net::UnixStream::connect(path) {
            // Left by a process that was killed: the rename below replaces it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(_) => return Err(ListenError::InUse { address }),
            Err(error) => return Err(fail(error)),
        }
    }
    // Bound under another name first, so that nobody finds a socket whose mode is not set yet
    // or that does not listen.
    let mut fresh = path.to_owned().into_os_string();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    let made = (|| {
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        socket.bind(&SockAddr::unix(&fresh)?)?;
        std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(SOCKET_MODE))?;
        socket.listen(BACKLOG)?;
        let sockets = share(socket, workers)?;
        let found = std::fs::symlink_metadata(&fresh)?;
        std::fs::rename(&fresh, path)?;
        let file = SocketFile {
            path: path.to_owned(),
            device: found.dev(),
            inode: found.ino(),
        };
        Ok((sockets, file))
    })();
    match made {
        Ok((sockets, file)) => Ok(Bound {
            address: Listen::Unix(path.to_owned()),
            asked: Some(Listen::Unix(path.to_owned())),
            role,
            sockets,
            file: Some(file),
        }),
        Err(error) => {
            let _ = std::fs::remove_file(&fresh);
            Err(fail(error))
        }
    }
}

/// One handle on the same socket for every worker.
fn share(socket: Socket, workers: usize) -> io::Result<Vec<Socket>> {
    (0..workers).map(|_| socket.try_clone()).collect()
}

/// The sockets that the service manager passed (`FileDescriptorName=` `http`, `https`, `decisions`
/// or `admin`), shared by so many workers. None: not started by socket activation.
///
/// To be called once, before any thread is started: it takes the sockets for good and clears
/// `LISTEN_FDS`.
pub fn inherited(workers: usize) -> Result<Vec<Bound>, ListenError> {
    let fail = |error: io::Error| ListenError::Inherited {
        why: error.to_string(),
    };
    // LISTEN_FDNAMES alone may be left over from a parent.
    if sd_notify::listen_fds().map_err(fail)?.len() == 0 {
        return Ok(Vec::new());
    }
    let names = sd_notify::listen_fds_with_names().map_err(fail)?;
    let names: Vec<String> = names.map(|(_, name)| name).collect();
    // sd-notify gives numbers, which only unsafe code could turn into sockets; listenfd gives
    // sockets, in the same order.
    let mut passed = ListenFd::from_env();
    names
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let fail = |error: io::Error| ListenError::Inherited {
                why: format!("{name}: {error}"),
            };
            let role = role_of(name)?;
            let socket = match passed.take_tcp_listener(index) {
                Ok(Some(listener)) => Socket::from(listener),
                Ok(None) => return Err(fail(io::ErrorKind::NotFound.into())),
                Err(_not_tcp) => match passed.take_unix_listener(index).map_err(fail)? {
                    Some(listener) => Socket::from(listener),
                    None => return Err(fail(io::ErrorKind::NotFound.into())),
                },
            };
            take_over(socket, role, workers).map_err(fail)
        })
        .collect()
}

fn role_of(name: &str) -> Result<Role, ListenError> {
    match name {
        "http" => Ok(Role::Http),
        "https" => Ok(Role::Https),
        "decisions" => Ok(Role::Decisions),
        "admin" => Ok(Role::Operations),
        other => Err(ListenError::Inherited {
            why: format!(
                "\"{other}\" is no name we know; write FileDescriptorName=http, https, decisions or admin"
            ),
        }),
    }
}

fn take_over(socket: Socket, role: Role, workers: usize) -> io::Result<Bound> {
    socket.set_nonblocking(true)?;
    let local = socket.local_addr()?;
    let address = match local.as_socket() {
        Some(address) => {
            pacing::unpace(&socket, address.ip());
            Listen::Tcp(address)
        }
        None => Listen::Unix(local.as_pathname().unwrap_or(Path::new("")).to_owned()),
    };
    Ok(Bound {
        address,
        asked: None,
        role,
        sockets: share(socket, workers)?,
        // systemd made the file and removes it.
        file: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any() -> Listen {
        Listen::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))
    }

    // Contract: "Each address is first bound without SO_REUSEPORT: in use means exit 69."
    #[test]
    fn an_address_in_use_is_named_even_by_a_listener_that_would_share() {
        let first = bind(&any(), Role::Http, 2).expect("a free port");
        let error = bind(first.address(), Role::Http, 2).expect_err("in use");
        assert!(matches!(error, ListenError::InUse { .. }));
        let Listen::Tcp(address) = first.address() else {
            panic!("a TCP address")
        };
        assert!(error.to_string().starts_with(&format!(
            "cannot listen on {address}: the address is in use; stop"
        )));
    }

    #[test]
    fn every_worker_has_a_socket_on_the_same_port() {
        let bound = bind(&any(), Role::Http, 3).expect("a free port");
        assert_eq!(bound.sockets.len(), 3);
        for socket in &bound.sockets {
            let local = socket.local_addr().expect("bound").as_socket();
            assert_eq!(local.map(Listen::Tcp).as_ref(), Some(bound.address()));
            // What it accepts is not paced: the other side is on this machine too.
            #[cfg(target_os = "linux")]
            {
                let control = socket.tcp_congestion().expect("there is one");
                assert!(!control.starts_with(b"bbr"), "{}", control.escape_ascii());
            }
        }
    }

    // Contract: `also "unix:/run/sidegate/http.sock" (0660)`
    #[test]
    fn a_unix_socket_has_mode_0660_and_goes_with_its_listener() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("http.sock");
        let address = Listen::Unix(path.clone());
        let bound = bind(&address, Role::Http, 2).expect("a free path");
        let found = std::fs::metadata(&path).expect("a file");
        assert_eq!(found.permissions().mode() & 0o777, 0o660);
        assert!(
            matches!(bind(&address, Role::Http, 2), Err(ListenError::InUse { .. })),
            "somebody answers"
        );
        drop(bound);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_unix_socket_is_replaced_and_another_file_is_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("http.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a free path"));
        assert!(path.exists(), "closing a socket leaves its file");
        let bound = bind(&Listen::Unix(path.clone()), Role::Http, 1).expect("nobody answers");
        std::os::unix::net::UnixStream::connect(&path).expect("we answer");
        // A successor has taken the path: its file is not ours to remove.
        std::fs::remove_file(&path).expect("ours");
        std::fs::write(&path, "precious").expect("writable");
        drop(bound);
        let error = bind(&Listen::Unix(path.clone()), Role::Http, 1).expect_err("not a socket");
        assert!(matches!(error, ListenError::NotASocket { .. }));
        assert_eq!(std::fs::read(&path).expect("still there"), b"precious");
    }

    #[test]
    fn both_families_can_listen_on_every_address_of_one_port() {
        // Somebody else may take the port between the two looks at it: then another one.
        let bound = (0..20).find_map(|_| {
            let Listen::Tcp(free) = *bind(&any(), Role::Http, 1).expect("a free port").address() else {
                return None;
            };
            let every = |address: IpAddr| (Listen::Tcp(SocketAddr::new(address, free.port())), Role::Http);
            let both = [
                every(Ipv4Addr::UNSPECIFIED.into()),
                every(std::net::Ipv6Addr::UNSPECIFIED.into()),
            ];
            bind_all(&both, 1).ok()
        });
        assert_eq!(bound.expect("both").len(), 2);
    }

    // Conventions: "`.socket` unit with `FileDescriptorName=http|https|admin`"
    #[test]
    fn an_inherited_socket_is_known_by_its_name() {
        assert_eq!(role_of("http").expect("known"), Role::Http);
        assert_eq!(role_of("https").expect("known"), Role::Https);
        assert_eq!(role_of("admin").expect("known"), Role::Operations);
        let error = role_of("sidegate.socket").expect_err("unknown").to_string();
        assert!(error.contains("\"sidegate.socket\"") && error.contains("FileDescriptorName="));
    }
}
