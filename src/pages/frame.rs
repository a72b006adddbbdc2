//! What every page has around its own content: head, navigation, headers.

use std::sync::LazyLock;
use std::time::Duration;

use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use super::language::Words;
use super::{House, Visit, logo};
use crate::authn::Method;
use crate::config::settings::Pages;
use crate::crypto::mac;
use crate::dialect::Site;
use crate::wire::Body;

/// One style sheet, in every page: no second request, and nothing from elsewhere.
const STYLE: &str = include_str!("../../templates/style.css");

/// Forms to ourselves only.
const FORMS: &str = "form-action 'self'; ";

static STYLE_HASH: LazyLock<String> = LazyLock::new(|| hash(STYLE));

fn hash(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(mac::sha256(text.as_bytes())))
}

/// No script, no request but for the logo, no frame around it, forms to ourselves only; the styles by their hashes.
fn policy(own: &Pages) -> HeaderValue {
    let mut styles = STYLE_HASH.clone();
    if !own.style.is_empty() {
        styles.push(' ');
        styles.push_str(&hash(&own.style));
    }
    let images = if own.logo.is_some() {
        "img-src 'self'; "
    } else {
        ""
    };
    let policy = format!(
        "default-src 'none'; style-src {styles}; {images}{FORMS}frame-ancestors 'none'; base-uri 'none'"
    );
    HeaderValue::from_str(&policy).expect("fixed words and Base64 are a valid header value")
}

/// The only script, in the few pages that may ask for a passkey: browsers do so for scripts alone.
const SCRIPT: &str = include_str!("../../templates/passkey.js");

static SCRIPT_HASH: LazyLock<String> = LazyLock::new(|| hash(SCRIPT));

/// The same with that script, by its hash, and requests to ourselves, which it makes.
fn policy_with_script(own: &Pages) -> HeaderValue {
    let policy = policy(own);
    let policy = policy.to_str().unwrap_or_default();
    let policy = format!("{policy}; script-src {}; connect-src 'self'", *SCRIPT_HASH);
    HeaderValue::from_str(&policy).expect("fixed words and Base64 are a valid header value")
}

/// For the template `base.html`, which all others extend.
pub(super) struct Frame<'a> {
    pub(super) w: &'static Words,
    pub(super) prefix: &'a str,
    pub(super) title: String,
    pub(super) style: &'static str,
    /// Empty on all pages but a few.
    pub(super) script: &'static str,
    pub(super) own: &'a Pages,
    /// Its address; empty: there is none.
    pub(super) logo: String,
    pub(super) theme: &'static str,
    /// Who is there; empty: nobody.
    pub(super) who: String,
    /// Whether the administration is theirs.
    pub(super) administers: bool,
    /// Whether by a login, which can be ended.
    pub(super) logged_in: bool,
    /// Whether others on the network can read what is typed here.
    pub(super) insecure: bool,
}

impl<'a> Frame<'a> {
    /// For [`page_with_script`].
    pub(super) fn with_script(self) -> Self {
        Self {
            script: SCRIPT,
            ..self
        }
    }

    pub(super) fn new(house: &House<'a>, visit: &Visit<'_>, title: impl Into<String>) -> Self {
        let identity = visit.who.as_deref();
        Self {
            w: visit.words,
            prefix: &house.site.prefix,
            title: title.into(),
            style: STYLE,
            script: "",
            own: &house.settings.pages,
            logo: logo::address(house),
            theme: visit.theme.as_str(),
            who: identity
                .map(|identity| identity.name().to_owned())
                .unwrap_or_default(),
            administers: identity
                .is_some_and(|who| who.session().is_some() && who.account.user.role.administers()),
            logged_in: identity.is_some_and(|identity| identity.method == Method::Session),
            insecure: !visit.secure() && !is_this_machine(visit.facts.host),
        }
    }
}

/// What goes to this machine itself passes no network.
fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.ends_with(".localhost")
        || address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// A page that may ask for a passkey: its frame has the script.
pub(super) fn page_with_script(
    house: &House<'_>,
    status: StatusCode,
    template: &impl Template,
) -> Response<Body> {
    let mut response = page(house, status, template);
    let policy = policy_with_script(&house.settings.pages);
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    response
}

/// For the script.
pub(super) fn json(text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text.into_bytes()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    private(&mut response);
    response
}

/// The page as an answer; a template of ours cannot fail.
pub(super) fn page(house: &House<'_>, status: StatusCode, template: &impl Template) -> Response<Body> {
    let text = template.render().unwrap_or_default();
    let mut response = Response::new(Body::from(text.into_bytes()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, policy(&house.settings.pages));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    );
    headers.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    );
    private(&mut response);
    if status == StatusCode::UNAUTHORIZED {
        challenge(&mut response);
    }
    response
}

/// A form of ours may lead to another domain of ours: by a login there, or a logout.
pub(super) fn let_forms_lead_to(site: &Site, response: &mut Response<Body>) {
    if site.domains.is_empty() {
        return;
    }
    let ours: Vec<&str> = site
        .public_url
        .iter()
        .chain(&site.domains)
        .map(String::as_str)
        .collect();
    with_forms(response, &format!("form-action 'self' {}; ", ours.join(" ")));
}

/// A form of ours may lead to that address, which is not ours.
pub(super) fn form_leads_to(address: &str, response: &mut Response<Body>) {
    let origin: Vec<&str> = address.splitn(4, '/').take(3).collect();
    let origin = match address.split_once("://") {
        // A policy has no way to write such an address.
        Some((scheme, rest)) if rest.starts_with('[') => format!("{scheme}:"),
        _ => origin.join("/"),
    };
    with_forms(response, &format!("form-action 'self' {origin}; "));
}

/// For the form of an application: where its answer leads is the application's business.
pub(super) fn forms_lead_anywhere(response: &mut Response<Body>) {
    with_forms(response, "");
}

/// Browsers hold redirects of a form's answer against `form-action` too.
fn with_forms(response: &mut Response<Body>, forms: &str) {
    let headers = response.headers_mut();
    let policy = headers
        .get(CONTENT_SECURITY_POLICY)
        .and_then(|policy| policy.to_str().ok())
        .map(|policy| policy.replace(FORMS, forms));
    if let Some(policy) = policy.and_then(|policy| HeaderValue::from_str(&policy).ok()) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
}

/// Sends the browser to another page of this host, with GET.
pub(super) fn go(to: &str) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::SEE_OTHER;
    // Paths of ours, and return addresses that were checked.
    let to = HeaderValue::from_str(to).unwrap_or_else(|_| HeaderValue::from_static("/"));
    response.headers_mut().insert(LOCATION, to);
    private(&mut response);
    response
}

/// "`WWW-Authenticate: Bearer realm="sidegate"` on every 401"
pub(super) fn challenge(response: &mut Response<Body>) {
    response.headers_mut().insert(
        http::header::WWW_AUTHENTICATE,
        HeaderValue::from_static("Bearer realm=\"sidegate\""),
    );
}

/// When to come back.
pub(super) fn retry_after(response: &mut Response<Body>, wait: Duration) {
    let seconds = HeaderValue::from(wait.as_secs().max(1));
    response.headers_mut().insert(RETRY_AFTER, seconds);
}

/// Kept by nobody: the back button after a logout shows nothing.
fn private(response: &mut Response<Body>) {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // With `no-referrer`, browsers send `Origin: null` with our own forms (Fetch, section 3.2), which
    // could not be told from a foreign one over plain http.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("strict-origin"));
}
