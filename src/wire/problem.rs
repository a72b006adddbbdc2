//! The bodies of refusals: for a program (RFC 9457), for a person, for a terminal.

use http::{HeaderValue, Response, StatusCode, header};

use super::{Body, escape};

/// Who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form<'p> {
    /// `application/problem+json`.
    Json,
    /// One self-contained page: no script, nothing fetched.
    Html {
        /// Where our own pages are, for a link to them; empty: no link.
        prefix: &'p str,
    },
    /// A few lines of plain text.
    Text,
}

/// A refusal with a body of at most 4 KiB, never cached.
///
/// `title` and `detail` are what the client may know; they are escaped and cut here. `request_id`
/// is the one in the log line. `WWW-Authenticate`, `Retry-After` and the like are the caller's.
pub fn problem(
    status: StatusCode,
    title: &str,
    detail: &str,
    request_id: &str,
    form: Form<'_>,
) -> Response<Body> {
    let title = escape::cut(title, 80);
    let detail = escape::cut(detail, 300);
    let request_id = escape::cut(request_id, 64);
    let (content_type, body) = match form {
        Form::Json => (
            "application/problem+json",
            json(status, title, detail, request_id),
        ),
        Form::Html { prefix } => (
            "text/html; charset=utf-8",
            html(status, title, detail, request_id, prefix).into_bytes(),
        ),
        Form::Text => ("text/plain; charset=utf-8", text(title, detail, request_id)),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if matches!(form, Form::Html { .. }) {
        headers.insert(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(CONTENT_SECURITY_POLICY),
        );
    }
    response
}

/// What the reader can do about it, by the status alone: an answer must not tell the causes of a
/// refusal apart.
fn advice(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "Send a valid access token and try again.",
        StatusCode::FORBIDDEN => "If you should have access, ask whoever runs this server.",
        StatusCode::NOT_FOUND => "Check the address for a typing error.",
        StatusCode::TOO_MANY_REQUESTS => "Wait a while, then try again.",
        _ if status.is_server_error() => {
            "Try again in a moment. If it stays, tell whoever runs this server the request id below."
        }
        _ => "Check the address or the program that sent this request.",
    }
}

fn json(status: StatusCode, title: &str, detail: &str, request_id: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(b"{\"type\":\"about:blank\",\"title\":\"");
    escape::json(title, &mut out);
    out.extend_from_slice(b"\",\"status\":");
    out.extend_from_slice(status.as_str().as_bytes());
    if !detail.is_empty() {
        out.extend_from_slice(b",\"detail\":\"");
        escape::json(detail, &mut out);
        out.push(b'"');
    }
    out.extend_from_slice(b",\"request_id\":\"");
    escape::json(request_id, &mut out);
    out.extend_from_slice(b"\"}\n");
    out
}

fn html(status: StatusCode, title: &str, detail: &str, request_id: &str, prefix: &str) -> String {
    let mut page = String::with_capacity(2048);
    page.push_str("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.push_str("<meta name=\"color-scheme\" content=\"light dark\">\n");
    page.push_str("<meta name=\"robots\" content=\"noindex\">\n<title>");
    escape::html(title, &mut page);
    page.push_str("</title>\n<style>");
    page.push_str(STYLE);
    page.push_str("</style>\n</head>\n<body>\n<main>\n<p class=\"status\">");
    page.push_str(status.as_str());
    page.push_str("</p>\n<h1>");
    escape::html(title, &mut page);
    page.push_str("</h1>\n");
    if !detail.is_empty() {
        page.push_str("<p>");
        escape::html(&sentence(detail), &mut page);
        page.push_str("</p>\n");
    }
    page.push_str("<p>");
    page.push_str(advice(status));
    page.push_str("</p>\n<p class=\"id\">Request id: <code>");
    escape::html(request_id, &mut page);
    page.push_str("</code></p>\n");
    if !prefix.is_empty() {
        page.push_str("<p><a href=\"");
        escape::html(prefix, &mut page);
        page.push_str("/\">Start page</a></p>\n");
    }
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

/// What is the end of a line in the log is a sentence on a page.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let mut sentence: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    sentence.push_str(letters.as_str());
    if sentence.ends_with(char::is_alphanumeric) {
        sentence.push('.');
    }
    sentence
}

fn text(title: &str, detail: &str, request_id: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    for (label, line) in [("", title), ("", detail), ("request id: ", request_id)] {
        if !line.is_empty() {
            out.extend_from_slice(label.as_bytes());
            escape::json(line, &mut out);
            out.push(b'\n');
        }
    }
    out
}

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{margin:0;padding:10vh 1rem 2rem;font:1rem/1.55 system-ui,sans-serif;background:#f5f6f8;color:#171a21}\
main{max-width:30rem;margin:0 auto;padding:1.5rem;overflow-wrap:anywhere;background:#fff;border:1px solid #e1e4ea;\
border-radius:.875rem}\
h1{font-size:1.5rem;line-height:1.25;letter-spacing:-.02em;margin:0 0 .75rem}\
a{color:#2352cc}\
.status,.id{color:#596070;font-size:.9375rem;margin:0 0 .25rem}\
.id{margin:1.5rem 0 .5rem}\
p:last-child{margin-bottom:0}\
@media(prefers-color-scheme:dark){body{background:#0f1116;color:#e9ebf1}main{background:#181b22;border-color:#2b2f3a}\
.status,.id{color:#a2a9b8}a{color:#8fb4ff}}";

/// Nothing but the style above, by its hash: no script, no request, no frame, no form.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; \
    style-src 'sha256-OKd01gpR32lYRsO9JRQgonngLVV4rsm/Fbo1nreIjPo='; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[cfg(test)]
mod tests {
    use base64::Engine;
    use http_body_util::BodyExt;
    use proptest::prelude::*;

    use super::*;

    fn body(response: Response<Body>) -> String {
        let collected = futures_now(response.into_body().collect());
        String::from_utf8(collected.expect("our own body").to_bytes().to_vec()).expect("UTF-8")
    }

    fn futures_now<F: Future>(future: F) -> F::Output {
        let mut future = std::pin::pin!(future);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => output,
            std::task::Poll::Pending => panic!("a full body is ready at once"),
        }
    }

    // RFC 9457 section 4.2.1: "about:blank", the title is the status phrase
    #[test]
    fn a_program_reads_type_title_status_detail_and_request_id() {
        let response = problem(
            StatusCode::FORBIDDEN,
            "Forbidden",
            "not \"yours\"",
            "00ff",
            Form::Json,
        );
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "application/problem+json"
        );
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        let value: serde_json::Value = serde_json::from_str(&body(response)).expect("JSON");
        assert_eq!(
            value,
            serde_json::json!({
                "type": "about:blank", "title": "Forbidden", "status": 403,
                "detail": "not \"yours\"", "request_id": "00ff",
            })
        );
    }

    #[test]
    fn the_page_needs_no_script_and_fetches_nothing() {
        let response = problem(
            StatusCode::BAD_GATEWAY,
            "Bad gateway",
            "",
            "00ff",
            Form::Html { prefix: "" },
        );
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].clone();
        assert!(policy.to_str().expect("ASCII").starts_with("default-src 'none'"));
        let page = body(response);
        for forbidden in ["<script", "http:", "https:", "src=", "href=", "url(", "style="] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        assert!(page.contains("<html lang=\"en\">") && page.contains("<code>00ff</code>"));
        assert!(page.contains("tell whoever runs this server the request id"));
        let form = Form::Html { prefix: "/_sidegate" };
        let page = body(problem(StatusCode::BAD_GATEWAY, "Bad gateway", "", "00ff", form));
        assert!(page.contains("<a href=\"/_sidegate/\">Start page</a>"));
    }

    #[test]
    fn a_page_has_whole_sentences() {
        for (text, expected) in [
            (
                "nothing is served at this host",
                "Nothing is served at this host.",
            ),
            ("Wait. Then try again.", "Wait. Then try again."),
            ("être", "Être."),
        ] {
            assert_eq!(sentence(text), expected);
        }
    }

    #[test]
    fn the_policy_names_the_hash_of_the_style() {
        let hash =
            base64::engine::general_purpose::STANDARD.encode(crate::crypto::mac::sha256(STYLE.as_bytes()));
        assert!(
            CONTENT_SECURITY_POLICY.contains(&format!("'sha256-{hash}'")),
            "{hash}"
        );
    }

    #[test]
    fn plain_text_is_three_lines() {
        let response = problem(
            StatusCode::NOT_FOUND,
            "Not found",
            "no\nroute",
            "00ff",
            Form::Text,
        );
        assert_eq!(body(response), "Not found\nno\\nroute\nrequest id: 00ff\n");
    }

    proptest! {
        #[test]
        fn whatever_the_text_a_body_is_small_and_closed(text in "[\\x00-\\x7f<>&\"'\u{2028}é]{0,600}") {
            let page = body(problem(StatusCode::BAD_REQUEST, &text, &text, &text, Form::Html { prefix: "/_sidegate" }));
            prop_assert!(page.len() < 4096, "{}", page.len());
            let empty = body(problem(StatusCode::BAD_REQUEST, "x", "x", "x", Form::Html { prefix: "/_sidegate" }));
            let tags = |page: &str| page.matches('<').count();
            prop_assert_eq!(tags(&page), tags(&empty) - if text.is_empty() { 2 } else { 0 });
            let json = body(problem(StatusCode::BAD_REQUEST, &text, &text, &text, Form::Json));
            prop_assert!(json.len() < 4096);
            prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
        }
    }
}
