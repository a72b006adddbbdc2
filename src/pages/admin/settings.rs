//! The settings in force.

use askama::Template;
use http::{Response, StatusCode};

use super::{Clerk, Desk, Said};
use crate::control::Payload;
use crate::control::protocol::Request;
use crate::pages::frame::{self, Frame};
use crate::wire::Body;

#[derive(Template)]
#[template(path = "admin_settings.html")]
struct Page<'a> {
    f: Frame<'a>,
    d: Desk,
    settings: String,
}

pub(super) async fn show(clerk: &Clerk<'_>) -> Response<Body> {
    let settings = match clerk.ask(Request::Settings).await {
        Ok(Payload::Settings(settings)) => settings,
        Ok(_) => return clerk.odd(),
        Err(failure) => return clerk.failed(&failure),
    };
    let page = Page {
        f: clerk.frame(clerk.visit.words.settings),
        d: clerk.desk("settings", "/settings", &Said::default()),
        settings,
    };
    frame::page(clerk.house, StatusCode::OK, &page)
}
