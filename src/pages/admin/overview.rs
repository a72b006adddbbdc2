//! How the server is.

use askama::Template;
use http::{Response, StatusCode};

use super::{Clerk, Desk, Said};
use crate::control::Payload;
use crate::control::protocol::Request;
use crate::control::view::Status;
use crate::pages::frame::{self, Frame};
use crate::pages::profile::moment;
use crate::wire::Body;

#[derive(Template)]
#[template(path = "admin_overview.html")]
struct Page<'a> {
    f: Frame<'a>,
    d: Desk,
    status: Status,
    started: String,
    listen: String,
}

pub(super) async fn show(clerk: &Clerk<'_>) -> Response<Body> {
    let status = match clerk.ask(Request::Status).await {
        Ok(Payload::Status(status)) => status,
        Ok(_) => return clerk.odd(),
        Err(failure) => return clerk.failed(&failure),
    };
    let page = Page {
        f: clerk.frame(clerk.visit.words.admin_title),
        d: clerk.desk("", "", &Said::default()),
        started: moment(status.started),
        listen: status.listen.join(", "),
        status,
    };
    frame::page(clerk.house, StatusCode::OK, &page)
}
