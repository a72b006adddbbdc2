//! The administration, for the owner and administrators: what commands do, by the same operations.
//!
//! Every page asks for what it shows, and every form for what it changes, through [`Reach`]; who may
//! what is decided there. A form needs a login of a few minutes ago, and is of one login and host as on
//! the profile.
//!
//! [`Reach`]: crate::control::Reach

mod bans;
mod decisions;
mod overview;
mod people;
mod person;
mod settings;

use std::sync::Arc;

use http::{Response, StatusCode};

use super::form::{self, Form};
use super::frame::{self, Frame};
use super::{House, Visit, login, message};
use crate::accounts::LiveSession;
use crate::control::protocol::Request;
use crate::control::{By, Exit, Failure, Payload, Shown};
use crate::model::Role;
use crate::wire::{Body, headers, query};

/// Answers below `/admin`; none: nothing is there.
pub(super) async fn serve(
    house: &House<'_>,
    visit: &Visit<'_>,
    path: &str,
    reads: bool,
    body: Body,
) -> Option<Response<Body>> {
    let clerk = match Clerk::of(house, visit, path, reads) {
        Ok(clerk) => clerk,
        Err(response) => return Some(*response),
    };
    let (first, rest) = match path.trim_start_matches('/').split_once('/') {
        Some((first, rest)) => (first, rest),
        None => (path.trim_start_matches('/'), ""),
    };
    if reads {
        return match (first, rest) {
            ("", "") => Some(overview::show(&clerk).await),
            ("people", "") => Some(people::show(&clerk, Said::default()).await),
            ("people", name) if !name.contains('/') => {
                Some(person::show(&clerk, name, Said::default()).await)
            }
            ("bans", "") => Some(bans::show(&clerk, Said::default()).await),
            ("decisions", "") => Some(decisions::show(&clerk).await),
            ("decisions", id) if !id.contains('/') => Some(decisions::explain(&clerk, id).await),
            ("settings", "") => Some(settings::show(&clerk).await),
            _ => None,
        };
    }
    let form = match clerk.read(body, path).await {
        Ok(form) => form,
        Err(response) => return Some(*response),
    };
    match (first, rest) {
        ("people", "add") => Some(people::add(&clerk, &form).await),
        ("groups", "add" | "remove") => Some(people::change_group(&clerk, rest, &form).await),
        ("bans", "add") => Some(bans::add(&clerk, &form).await),
        ("bans", "remove") => Some(bans::remove(&clerk, &form).await),
        ("people", rest) => {
            let (name, what) = rest.split_once('/')?;
            person::change(&clerk, name, what, &form).await
        }
        _ => None,
    }
}

/// An administrator at a page.
struct Clerk<'c> {
    house: &'c House<'c>,
    visit: &'c Visit<'c>,
    session: Arc<LiveSession>,
    role: Role,
    recent: bool,
}

/// What is told on top of a page.
#[derive(Default)]
struct Said {
    status: Option<StatusCode>,
    problem: &'static str,
    /// In the words of the operations, which are English.
    detail: String,
}

/// What all templates of the administration have.
struct Desk {
    /// Which of the pages it is.
    here: &'static str,
    notice: &'static str,
    problem: &'static str,
    detail: String,
    form: String,
    recent: bool,
    login_again: String,
}

impl<'c> Clerk<'c> {
    /// Who looks, if they are one.
    fn of(
        house: &'c House<'c>,
        visit: &'c Visit<'c>,
        path: &str,
        reads: bool,
    ) -> Result<Self, Box<Response<Body>>> {
        let who = visit.who.as_deref().filter(|who| who.session().is_some());
        let Some((who, session)) = who.and_then(|who| Some((who, who.session()?))) else {
            // What a form would have changed is not known after a login.
            let back = if reads { path } else { "" };
            return Err(visit.to_login(house, &format!("/admin{back}")).into());
        };
        let role = who.account.user.role;
        if !role.administers() {
            return Err(super::denied::for_administrators(house, visit, who.name()).into());
        }
        // Whoever is in that network may be that.
        if session.is_chosen() {
            let page = if reads { path } else { "" };
            return Err(super::profile::again_first(house, &format!("/admin{page}")).into());
        }
        Ok(Self {
            house,
            visit,
            session: Arc::clone(session),
            role,
            recent: login::is_recent(&house.authority.accounts, session, visit.facts.now),
        })
    }

    /// The form, sent by a page of ours; none without a login of a few minutes ago.
    async fn read(&self, body: Body, path: &str) -> Result<Form, Box<Response<Body>>> {
        let (house, visit) = (self.house, self.visit);
        let form = Form::read(&visit.facts, body)
            .await
            .map_err(|status| visit.bad_form(status))?;
        if !form::comes_from_here(house, &visit.facts) || !form::belongs(house, visit, &form) {
            return Err(message(house, visit, StatusCode::FORBIDDEN, visit.words.foreign).into());
        }
        if !self.recent {
            let page = path.rsplit_once('/').map_or("", |(page, _)| page);
            return Err(frame::go(&self.login_again(page)).into());
        }
        Ok(form)
    }

    async fn ask(&self, request: Request) -> Result<Payload, Failure> {
        let facts = &self.visit.facts;
        let by = By {
            name: self.session.user().to_owned(),
            role: self.role,
            shown: match self.recent {
                true => Shown::RecentLogin,
                false => Shown::Login,
            },
            road: "pages",
            client: facts.client,
            host: facts.host.to_owned(),
            method: facts.method.to_string(),
            path: facts.path.raw().to_owned(),
            agent: headers::text(facts.headers, http::header::USER_AGENT).to_owned(),
            request: facts.id,
        };
        self.house.reach.ask(by, request).await
    }

    fn name(&self) -> &str {
        self.session.user()
    }

    fn frame(&self, title: impl Into<String>) -> Frame<'c> {
        Frame::new(self.house, self.visit, title)
    }

    /// `page`: the address below `/admin`.
    fn desk(&self, here: &'static str, page: &str, said: &Said) -> Desk {
        let words = self.visit.words;
        Desk {
            here,
            notice: match login::one(self.visit.facts.query, "done").as_str() {
                _ if !said.problem.is_empty() => "",
                "" => "",
                "added" => words.person_added,
                _ => words.done,
            },
            problem: said.problem,
            detail: said.detail.clone(),
            form: form::token_of(self.house, &self.session),
            recent: self.recent,
            login_again: self.login_again(page),
        }
    }

    fn login_again(&self, page: &str) -> String {
        let prefix = &self.house.site.prefix;
        let back = query::encode(&format!("{prefix}/admin{page}"));
        format!("{prefix}/login?why=again&rd={back}")
    }

    /// After a change: the page again, by GET, so that reloading it changes nothing.
    fn done(&self, page: &str, what: &str) -> Response<Body> {
        frame::go(&format!("{}/admin{page}?done={what}", self.house.site.prefix))
    }

    /// Why something was not done.
    fn said(&self, failure: &Failure) -> Said {
        let words = self.visit.words;
        let (problem, status) = match failure.exit {
            Exit::Permission => (words.not_for_you, StatusCode::FORBIDDEN),
            Exit::Missing => (words.gone, StatusCode::NOT_FOUND),
            Exit::Usage | Exit::Data | Exit::Config | Exit::CannotCreate => {
                (words.not_done, StatusCode::BAD_REQUEST)
            }
            Exit::Unavailable | Exit::Io | Exit::Internal => {
                tracing::error!(request.id = %self.visit.facts.id, why = %failure, "something could not be done");
                (words.not_done, StatusCode::SERVICE_UNAVAILABLE)
            }
        };
        Said {
            status: Some(status),
            problem,
            detail: failure.message.clone(),
        }
    }

    /// A page that could not be filled.
    fn failed(&self, failure: &Failure) -> Response<Body> {
        let said = self.said(failure);
        let page = super::Message {
            f: self.frame(self.visit.words.not_now),
            notice: "",
            problem: said.problem,
            text: said.detail,
            link: format!("{}/admin", self.house.site.prefix),
            link_text: self.visit.words.admin_title,
        };
        frame::page(self.house, said.status.unwrap_or(StatusCode::OK), &page)
    }

    /// What is no answer to the question.
    fn odd(&self) -> Response<Body> {
        self.failed(&Failure::new(Exit::Internal, "that is no answer to the question"))
    }
}

/// Words with commas or spaces in between.
fn listed(text: &str) -> Vec<String> {
    text.split([',', ' '])
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn shown_role(words: &super::language::Words, role: Role) -> &'static str {
    super::profile::role(words, role)
}
