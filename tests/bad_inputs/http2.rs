//! HTTP/2: the same requests through a client of hyper.

use std::net::Ipv4Addr;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::Builder;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use crate::roads::{Answer, connect_from};
use crate::stage::Stage;
use crate::support::PATIENCE;

/// The request that these bytes are, if it can be said in HTTP/2 at all.
pub fn translate(bytes: &[u8]) -> Option<Request<Full<Bytes>>> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, body) = (&bytes[..end], &bytes[end + 4..]);
    let mut lines = head
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let line = std::str::from_utf8(lines.next()?).ok()?;
    let [method, target, "HTTP/1.1"] = line.split(' ').collect::<Vec<_>>()[..] else {
        return None;
    };
    if !target.starts_with('/') {
        return None;
    }
    let mut headers = Vec::new();
    let mut authority = None;
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        match name.as_str() {
            "connection" | "upgrade" | "transfer-encoding" | "keep-alive" | "proxy-connection" | "te" => {
                return None;
            }
            "host" => {
                if authority.replace(value.to_str().ok()?.to_owned()).is_some() {
                    return None;
                }
            }
            _ => headers.push((name, value)),
        }
    }
    let uri = format!("https://{}{target}", authority?).parse::<Uri>().ok()?;
    // The parser drops what a `#` begins.
    if uri.path_and_query()?.as_str() != target {
        return None;
    }
    let mut request = Request::new(Full::new(Bytes::copy_from_slice(body)));
    *request.method_mut() = Method::from_bytes(method.as_bytes()).ok()?;
    *request.uri_mut() = uri;
    for (name, value) in headers {
        request.headers_mut().append(name, value);
    }
    Some(request)
}

/// Sends them one after another on one connection of their own, from that address. A stream or a
/// connection that was reset has an answer with status 0.
pub fn send_all(stage: &Stage, source: Ipv4Addr, requests: Vec<Request<Full<Bytes>>>) -> Vec<Answer> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let talk = async {
        let stream = connect_from(source, stage.tls);
        stream.set_nonblocking(true).expect("it can be");
        let stream = tokio::net::TcpStream::from_std(stream).expect("a stream");
        let name = ServerName::try_from("gate.test").expect("a name");
        let connector = TlsConnector::from(stage.client(b"h2"));
        let stream = connector.connect(name, stream).await.expect("a handshake");
        let (mut sender, connection) = Builder::new(TokioExecutor::new())
            .handshake(TokioIo::new(stream))
            .await
            .expect("HTTP/2 begins");
        tokio::spawn(connection);
        let mut all = Vec::new();
        for request in requests {
            let answer = match sender.send_request(request).await {
                Ok(response) => read(response).await,
                Err(_) => Answer::default(),
            };
            all.push(answer);
        }
        all
    };
    runtime.block_on(async { tokio::time::timeout(PATIENCE, talk).await.expect("it ends") })
}

async fn read(response: Response<Incoming>) -> Answer {
    let (head, body) = response.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes().to_vec());
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Answer {
        status: head.status.as_u16(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect(),
        body: body.unwrap_or_default(),
    }
}
