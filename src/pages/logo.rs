//! The picture of `pages.logo`.

use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, Response};

use super::{House, Visit};
use crate::wire::Body;

/// Where it is, another address for another picture; empty without one.
pub(super) fn address(house: &House<'_>) -> String {
    match &house.settings.pages.logo {
        Some(logo) => format!("{}/logo?v={}", house.site.prefix, logo.version),
        None => String::new(),
    }
}

/// The picture itself, for everybody: the login shows it.
pub(super) fn show(house: &House<'_>, visit: &Visit<'_>) -> Response<Body> {
    let Some(logo) = &house.settings.pages.logo else {
        return visit.nothing_here();
    };
    let mut response = Response::new(Body::from(logo.bytes.to_vec()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(logo.media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, max-age=86400"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // An SVG file that is opened by itself is a page of this host: a script in it would be ours.
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; sandbox"),
    );
    headers.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    );
    response
}
