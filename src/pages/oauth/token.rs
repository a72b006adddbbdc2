//! Where apps get their tokens, and give them back. No cookie counts here, and no password: what is shown is a code
//! or a refresh token, and a wrong one counts as a wrong token in a header does.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL, CONTENT_TYPE, ORIGIN, VARY,
};
use http::{HeaderValue, Response, StatusCode};
use serde_json::json;

use super::client::Client;
use crate::accounts::{ACCESS_LIFE, AccountsError, CodeFound, Consent, Granted, NewGrant, Refreshed};
use crate::crypto::{Secret, mac};
use crate::model::GrantRecord;
use crate::observe::Outcome;
use crate::observe::audit::{Event, Line};
use crate::pages::form::Form;
use crate::pages::journal::{self, Undone};
use crate::pages::{House, Visit, empty};
use crate::wire::{Body, headers};

/// Why there are no tokens (RFC 6749, section 5.2).
enum Refusal {
    /// What was sent is no request of ours.
    Bad(StatusCode, &'static str, &'static str),
    /// It is wrong, and counts.
    Wrong(&'static str),
    /// It was right once.
    Dead(&'static str),
    /// We cannot tell now.
    Fault,
}

/// A browser asks whether its page may ask (Fetch, section 3.2.2). Whether it may read the answer is said there.
pub(super) fn preflight(visit: &Visit<'_>) -> Response<Body> {
    let mut response = empty(StatusCode::NO_CONTENT);
    if let Some(origin) = visit.facts.headers.get(ORIGIN) {
        let headers = response.headers_mut();
        if let Ok(origin) = HeaderValue::from_bytes(origin.as_bytes()) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
        headers.insert(
            ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("content-type"),
        );
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("Origin"));
    response
}

/// The next tokens.
pub(super) async fn send(house: &House<'_>, visit: &Visit<'_>, body: Body) -> Response<Body> {
    if let Err(throttled) = house.authority.guard.admit(visit.facts.client, visit.facts.now) {
        return visit.throttled(throttled);
    }
    let form = match Form::read(&visit.facts, body).await {
        Ok(form) => form,
        Err(status) => return answered(house, visit, "", Err(not_a_form(status)), None),
    };
    let client = form.text("client_id");
    let outcome = match form.text("grant_type").as_str() {
        "authorization_code" => by_code(house, visit, &client, &form).await,
        "refresh_token" => by_refresh(house, visit, &client, &form).await,
        "" => Err(bad("grant_type must be there, once")),
        _ => Err(Refusal::Bad(
            StatusCode::BAD_REQUEST,
            "unsupported_grant_type",
            "grant_type must be authorization_code or refresh_token",
        )),
    };
    let shown = match form.text("grant_type").as_str() {
        "authorization_code" => form.secret("code"),
        _ => form.secret("refresh_token"),
    };
    answered(house, visit, &client, outcome, Some(&shown))
}

/// The end of a grant, whichever of its tokens is shown (RFC 7009). What is none of ours is as good as ended.
pub(super) async fn revoke(house: &House<'_>, visit: &Visit<'_>, body: Body) -> Response<Body> {
    let (guard, facts) = (&house.authority.guard, &visit.facts);
    if let Err(throttled) = guard.admit(facts.client, facts.now) {
        return visit.throttled(throttled);
    }
    let form = match Form::read(facts, body).await {
        Ok(form) => form,
        Err(status) => return answered(house, visit, "", Err(not_a_form(status)), None),
    };
    let client = form.text("client_id");
    let token = form.secret("token");
    if token.is_empty() {
        return answered(house, visit, &client, Err(bad("token must be there, once")), None);
    }
    let grant = house.authority.accounts.grant_of(&token, facts.now);
    match grant.filter(|grant| client.is_empty() || grant.client == client) {
        Some(grant) => {
            let line = line(visit, Event::AppEnd, &grant, "revoked by the app");
            let ended = journal::noted(house, &line, house.authority.accounts.end_grant(&grant.id)).await;
            if let Err(Undone::Unaudited | Undone::Refused(AccountsError::Store(_))) = ended {
                return answered(house, visit, &client, Err(Refusal::Fault), None);
            }
        }
        // Whoever asks and asks is slowed down, and learns nothing.
        None => {
            if let Err(throttled) = guard.spend_refused(facts.client) {
                return visit.throttled(throttled);
            }
        }
    }
    let mut response = empty(StatusCode::OK);
    finish(visit, &client, &mut response);
    response
}

async fn by_code(
    house: &House<'_>,
    visit: &Visit<'_>,
    client: &str,
    form: &Form,
) -> Result<Granted, Refusal> {
    let (code, verifier) = (form.secret("code"), form.secret("code_verifier"));
    let redirect_uri = form.text("redirect_uri");
    if client.is_empty() || code.is_empty() || verifier.is_empty() || redirect_uri.is_empty() {
        return Err(bad(
            "code, code_verifier, client_id and redirect_uri must be there, once each",
        ));
    }
    let accounts = &house.authority.accounts;
    let consent = match accounts.use_code(&code, visit.facts.now) {
        CodeFound::Good(consent) => consent,
        CodeFound::Unknown => return Err(Refusal::Wrong("code-unknown")),
        CodeFound::Dead => return Err(Refusal::Dead("code-expired")),
        CodeFound::Used(grant) => {
            if let Some(grant) = grant.and_then(|id| accounts.grant(&id, visit.facts.now)) {
                end_stolen(house, visit, &grant.record, "its code was used twice").await;
            }
            return Err(Refusal::Dead("code-used"));
        }
    };
    let is_its = consent.client == client && consent.redirect_uri == redirect_uri;
    if !is_its || !is_verifier_of(&verifier, &consent.challenge) {
        return Err(Refusal::Wrong("code-of-another"));
    }
    let Consent {
        user,
        session,
        client,
        scope,
        ..
    } = consent;
    let (name, about) = (shown_client(&client), about(&client, &scope));
    let line = Line {
        credential_name: &name,
        actor: &user,
        ..journal::line(visit, Event::AppCreate, &user, &about)
    };
    let new = NewGrant {
        user: user.clone(),
        session,
        client: client.clone(),
        scope,
        address: visit.facts.client.address(),
    };
    let granted = journal::noted(house, &line, accounts.create_grant(new, visit.facts.now)).await;
    let granted = granted.map_err(|undone| match undone {
        // Disabled, removed or logged out since.
        Undone::Refused(AccountsError::NotFound { .. } | AccountsError::Forbidden { .. }) => {
            Refusal::Dead("user-gone")
        }
        Undone::Refused(error) => {
            tracing::error!(request.id = %visit.facts.id, %error, "an app's tokens could not be written down");
            Refusal::Fault
        }
        Undone::Unaudited => Refusal::Fault,
    })?;
    if !accounts.code_became(&code, &granted.grant.id) {
        end_stolen(house, visit, &granted.grant, "its code was used twice").await;
        return Err(Refusal::Dead("code-used"));
    }
    Ok(granted)
}

async fn by_refresh(
    house: &House<'_>,
    visit: &Visit<'_>,
    client: &str,
    form: &Form,
) -> Result<Granted, Refusal> {
    let token = form.secret("refresh_token");
    if client.is_empty() || token.is_empty() {
        return Err(bad("refresh_token and client_id must be there, once each"));
    }
    let (accounts, facts) = (&house.authority.accounts, &visit.facts);
    let scope = form.text("scope");
    let allowed = |grant: &GrantRecord| {
        grant
            .scope
            .split_ascii_whitespace()
            .eq(scope.split_ascii_whitespace())
    };
    // Of a token that does not work, whoever has it hears nothing but that.
    if !scope.is_empty()
        && accounts
            .grant_to_refresh(&token, client, facts.now)
            .is_some_and(|grant| !allowed(&grant))
    {
        return Err(Refusal::Bad(
            StatusCode::BAD_REQUEST,
            "invalid_scope",
            "scope must be left out, or be what the person allowed",
        ));
    }
    let reused = |grant: &GrantRecord| told_stolen(house, visit, grant, "a refresh token was used twice");
    let refreshed = accounts
        .refresh_grant(&token, client, facts.client.address(), facts.now, reused)
        .await;
    match refreshed {
        Ok(Refreshed::Granted(granted, first_today)) => {
            if first_today {
                house.audit.record(&line(
                    visit,
                    Event::AppRefresh,
                    &granted.grant,
                    "first on this day",
                ));
            }
            Ok(granted)
        }
        Ok(Refreshed::Unknown) => Err(Refusal::Wrong("refresh-token-unknown")),
        Ok(Refreshed::Dead) => Err(Refusal::Dead("refresh-token-ended")),
        Ok(Refreshed::Reused) => Err(Refusal::Dead("refresh-token-reused")),
        Err(error) => {
            tracing::error!(request.id = %facts.id, %error, "an app's tokens could not be written down");
            Err(Refusal::Fault)
        }
    }
}

/// Somebody else has what an app had: it ends for both, whether or not whoever showed it waits for the answer.
async fn end_stolen(house: &House<'_>, visit: &Visit<'_>, grant: &GrantRecord, why: &str) {
    told_stolen(house, visit, grant, why);
    let (accounts, id) = (Arc::clone(&house.authority.accounts), grant.id.clone());
    let ending = tokio::spawn(async move { accounts.end_grant(&id).await });
    if let Ok(Err(error @ AccountsError::Store(_))) = ending.await {
        tracing::error!(request.id = %visit.facts.id, %error, "an app that may be stolen could not be ended");
    }
}

fn told_stolen(house: &House<'_>, visit: &Visit<'_>, grant: &GrantRecord, why: &str) {
    tracing::warn!(
        user.name = %grant.user, app = %grant.client, client.ip = %visit.facts.client, request.id = %visit.facts.id,
        "an app's access ends, because {why}: somebody else may have it"
    );
    house.audit.record(&line(visit, Event::AppReuse, grant, why));
}

/// What the app hears. What was shown counts if it was wrong.
fn answered(
    house: &House<'_>,
    visit: &Visit<'_>,
    client: &str,
    outcome: Result<Granted, Refusal>,
    shown: Option<&Secret>,
) -> Response<Body> {
    let (facts, authority) = (&visit.facts, house.authority);
    let (status, error, description) = match outcome {
        Ok(granted) => {
            let mut body = json!({
                "access_token": granted.access.expose_str(),
                "token_type": "Bearer",
                "expires_in": ACCESS_LIFE.as_secs(),
                "refresh_token": granted.refresh.expose_str(),
            });
            if !granted.grant.scope.is_empty() {
                body["scope"] = granted.grant.scope.as_str().into();
            }
            return said(visit, client, StatusCode::OK, &body);
        }
        Err(Refusal::Bad(status, error, description)) => (status, error, description),
        Err(Refusal::Wrong(why)) => {
            refused(house, visit, why);
            if let Some(shown) = shown {
                let key = authority.authenticator.grant_key(shown.expose());
                journal::banned(house, visit, authority.count_wrong(facts, &key));
            }
            (StatusCode::BAD_REQUEST, "invalid_grant", GONE)
        }
        Err(Refusal::Dead(why)) => {
            refused(house, visit, why);
            (StatusCode::BAD_REQUEST, "invalid_grant", GONE)
        }
        Err(Refusal::Fault) => {
            let body = json!({ "error": "temporarily_unavailable", "error_description": "try again" });
            return said(visit, client, StatusCode::SERVICE_UNAVAILABLE, &body);
        }
    };
    if let Err(throttled) = authority.guard.spend_refused(facts.client) {
        let mut response = visit.throttled(throttled);
        finish(visit, client, &mut response);
        return response;
    }
    let body = json!({ "error": error, "error_description": description });
    said(visit, client, status, &body)
}

/// One sentence for all causes.
const GONE: &str =
    "what was shown is wrong, used, too old or ended; send the person to the authorization page again";

fn refused(house: &House<'_>, visit: &Visit<'_>, why: &str) {
    house.audit.record(&Line {
        decision: Some(Outcome::Challenge),
        actor: "",
        ..journal::line(visit, Event::Login, "", why)
    });
}

fn said(visit: &Visit<'_>, client: &str, status: StatusCode, body: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string().into_bytes()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    finish(visit, client, &mut response);
    response
}

/// Kept by nobody; and a page of the app, and no other, may read it.
fn finish(visit: &Visit<'_>, client: &str, response: &mut Response<Body>) {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    let asking = headers::text(visit.facts.headers, ORIGIN);
    if let Ok(client) = Client::parse(client)
        && client.has_origin(asking)
        && let Ok(origin) = HeaderValue::from_str(asking)
    {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
}

fn line<'l>(visit: &'l Visit<'_>, event: Event, grant: &'l GrantRecord, reason: &'l str) -> Line<'l> {
    Line {
        credential: &grant.id,
        credential_name: &grant.client,
        actor: "",
        ..journal::line(visit, event, &grant.user, reason)
    }
}

fn about(client: &str, scope: &str) -> String {
    match scope {
        "" => client.to_owned(),
        scope => format!("{client}, scope {scope}"),
    }
}

fn shown_client(client: &str) -> String {
    Client::parse(client).map_or_else(|_| client.to_owned(), |client| client.shown)
}

/// RFC 7636, sections 4.1 and 4.6.
fn is_verifier_of(verifier: &Secret, challenge: &str) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let text = verifier.expose();
    let hashed = URL_SAFE_NO_PAD.encode(mac::sha256(text));
    (43..=128).contains(&text.len())
        && text.iter().all(plain)
        && mac::equal(hashed.as_bytes(), challenge.as_bytes())
}

fn bad(description: &'static str) -> Refusal {
    Refusal::Bad(StatusCode::BAD_REQUEST, "invalid_request", description)
}

fn not_a_form(status: StatusCode) -> Refusal {
    Refusal::Bad(
        status,
        "invalid_request",
        "send a form: application/x-www-form-urlencoded",
    )
}
