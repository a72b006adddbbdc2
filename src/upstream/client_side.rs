//! The client's side of a tunnel: what is left of its connection once it speaks HTTP no more.

use http::{Extensions, Request};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::wire::Splice;

/// Bytes both ways.
pub trait Duplex: AsyncRead + AsyncWrite + Splice + Unpin {}

impl<T: AsyncRead + AsyncWrite + Splice + Unpin> Duplex for T {}

/// Takes the HTTP library's wrapping off a connection: only whoever put it on knows what is inside. Among the extensions
/// of a request that may be upgraded.
#[derive(Clone, Copy, Debug)]
pub struct Unwrap(pub fn(Upgraded) -> Box<dyn Duplex>);

/// A client's connection that becomes a tunnel with the answer.
#[derive(Debug)]
pub struct ClientSide {
    upgrade: OnUpgrade,
    unwrap: Option<Unwrap>,
}

impl ClientSide {
    /// What the HTTP library promised for a request, out of its extensions.
    pub fn take(extensions: &mut Extensions) -> Self {
        let unwrap = extensions.remove();
        let mut request = Request::new(());
        std::mem::swap(request.extensions_mut(), extensions);
        Self {
            upgrade: hyper::upgrade::on(request),
            unwrap,
        }
    }

    /// The connection, as soon as the answer is on its way; none: it is gone.
    pub(super) async fn open(self) -> Option<Box<dyn Duplex>> {
        let upgraded = self.upgrade.await.ok()?;
        Some(match self.unwrap {
            Some(Unwrap(unwrap)) => unwrap(upgraded),
            None => Box::new(TokioIo::new(upgraded)),
        })
    }
}

/// Nobody knows what is inside.
impl Splice for TokioIo<Upgraded> {}
