//! The backend of `sidegate demo`: says what it received, and echoes WebSocket messages.

use std::convert::Infallible;
use std::fmt::Write as _;

use http::header::{CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::crypto::websocket_accept;

/// Messages of the demo's WebSocket are no longer than this; a longer one ends it.
const LONGEST_MESSAGE: usize = 64 * 1024;

/// Answers every request with what arrived, until it is dropped.
pub(super) async fn serve(listener: TcpListener) {
    let connections = tokio::task::LocalSet::new();
    let accept = async {
        loop {
            let Ok((socket, _)) = listener.accept().await else {
                tokio::task::yield_now().await;
                continue;
            };
            tokio::task::spawn_local(async move {
                let service = hyper::service::service_fn(answer);
                // A client that breaks off is its own business.
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(socket), service)
                    .with_upgrades()
                    .await;
            });
        }
    };
    connections.run_until(accept).await;
}

async fn answer(mut request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let key = request.headers().get("sec-websocket-key").cloned();
    if let (Some(key), true) = (key, request.headers().contains_key(UPGRADE)) {
        // Browsers insist that one of the sub-protocols they offer is chosen.
        let offered = request.headers().get(SEC_WEBSOCKET_PROTOCOL);
        let chosen = offered
            .and_then(|value| value.to_str().ok()?.split(',').next())
            .and_then(|first| HeaderValue::from_str(first.trim()).ok());
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::task::spawn_local(async move {
            if let Ok(socket) = upgrade.await {
                let _ = echo_messages(TokioIo::new(socket)).await;
            }
        });
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        if let Ok(accept) = HeaderValue::from_str(&websocket_accept(key.as_bytes())) {
            headers.insert("sec-websocket-accept", accept);
        }
        if let Some(chosen) = chosen {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, chosen);
        }
        return Ok(response);
    }
    let mut text = format!("{} {}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        let _ = writeln!(text, "{name}: {}", String::from_utf8_lossy(value.as_bytes()));
    }
    let length = request
        .into_body()
        .collect()
        .await
        .map_or(0, |body| body.to_bytes().len());
    let _ = writeln!(text, "\n{length} bytes of body");
    let mut response = Response::new(Full::from(text));
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    Ok(response)
}

/// RFC 6455, section 5: client frames are masked, ours are not. Text, binary and ping are echoed.
async fn echo_messages<S: AsyncRead + AsyncWrite + Unpin>(mut socket: S) -> std::io::Result<()> {
    let mut head = [0; 2];
    let mut payload = Vec::new();
    loop {
        socket.read_exact(&mut head).await?;
        let length = match head[1] & 0x7f {
            126 => usize::from(socket.read_u16().await?),
            127 => usize::try_from(socket.read_u64().await?).unwrap_or(usize::MAX),
            short => usize::from(short),
        };
        if length > LONGEST_MESSAGE {
            return Ok(());
        }
        let mut mask = [0; 4];
        if head[1] & 0x80 != 0 {
            socket.read_exact(&mut mask).await?;
        }
        payload.resize(length, 0);
        socket.read_exact(&mut payload).await?;
        for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= key;
        }
        let (operation, closes) = match head[0] & 0x0f {
            0x8 => (0x8, true),
            0x9 => (0xa, false),
            other => (other, false),
        };
        let mut frame = vec![0x80 | operation];
        match u16::try_from(length) {
            Ok(short) if short < 126 => frame.push(short as u8),
            Ok(medium) => {
                frame.push(126);
                frame.extend(medium.to_be_bytes());
            }
            Err(_) => {
                frame.push(127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(&payload);
        socket.write_all(&frame).await?;
        if closes {
            return Ok(());
        }
    }
}
