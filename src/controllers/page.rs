//! The pages: leaderboards for everybody's eyes, served from the binary, and what other sites and streaming software put into theirs.
//!
//! `shown.rs` reads what a page shows, `language.rs` says it in the reader's language, `files.rs` holds scripts and styles and what browsers may do
//! with them, `card.rs` draws the picture. The templates and the files are in `src/page`; what is built there comes from `clients/typescript`.

mod card;
pub mod files;
mod language;
mod shown;

use std::{convert::Infallible, sync::Arc};

use askama::Template;
use axum::{
    Extension,
    extract::{FromRequestParts, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header, request::Parts},
    response::{IntoResponse, Response},
};

use crate::{
    domain::{caller::Caller, ids::Noun, season::SeasonChoice},
    http::problem::Problem,
    services::{Services, error::ServiceError, leaderboards::Overview},
};

use super::{
    App,
    params::{Params, Segments},
};
use files::SLASH;
use language::Language;
use shown::{Shown, in_script};

/// Entries of a page that asks for no other number of them.
const ENTRIES: usize = 20;

/// What the operator has set for pages.
#[derive(Clone)]
pub struct PageSettings {
    /// Where browsers reach this server, if it is known.
    pub public_url: Option<String>,
    /// The policy of pages that others may frame.
    framed: HeaderValue,
}

impl PageSettings {
    /// `frame_ancestors`: sources of a content security policy.
    pub fn new(public_url: Option<String>, frame_ancestors: &str) -> Self {
        Self { public_url, framed: files::policy(frame_ancestors) }
    }
}

/// What every page has.
pub struct Page {
    pub language: &'static Language,
    lang: &'static str,
    dir: &'static str,
    /// The way from this page to where the server is: any path that a proxy strips stays before it.
    pub root: &'static str,
    public_url: Option<String>,
    /// Visitors sign in with a login and a password.
    accounts: bool,
    /// What is asked of this page and goes for those that it leads to.
    query: String,
}

impl Page {
    fn text(&self, key: &str) -> &str {
        self.language.text(key)
    }

    fn account(&self, key: &str) -> &str {
        self.language.account().get(key).map_or("", String::as_str)
    }

    fn number(&self, value: &i64) -> String {
        self.language.number(*value)
    }

    fn texts_json(&self) -> String {
        in_script(self.language.texts())
    }

    fn home(&self) -> String {
        format!("{}{}", self.root, self.query)
    }
}

/// What every page is asked with.
pub struct Asked {
    services: Arc<Services>,
    settings: PageSettings,
    headers: HeaderMap,
    params: Params,
}

impl FromRequestParts<Arc<Services>> for Asked {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, services: &Arc<Services>) -> Result<Self, Response> {
        let settings = Extension::from_request_parts(parts, services).await.map_err(IntoResponse::into_response)?;
        let params = Params::from_request_parts(parts, services).await.map_err(IntoResponse::into_response)?;
        Ok(Self { services: Arc::clone(services), settings: settings.0, headers: parts.headers.clone(), params })
    }
}

impl Asked {
    /// A page to answer with; `root` is the way from it to where the server is.
    fn page(&self, root: &'static str) -> Page {
        let asked = self.params.text("lang");
        let language = Language::of(asked, &self.headers);
        Page {
            language,
            lang: language.code,
            dir: language.direction,
            root,
            public_url: self.settings.public_url.clone(),
            accounts: self.services.accounts.is_some(),
            query: asked.map_or_else(String::new, |_| format!("?lang={}", language.code)),
        }
    }

    /// Answers so; `framed` if other sites may frame it.
    fn answer(&self, status: StatusCode, template: &impl Template, framed: bool) -> Response {
        files::page(&self.headers, status, render(template), framed.then_some(&self.settings.framed))
    }
}

#[derive(Template)]
#[template(path = "board.html")]
struct BoardPage<'a> {
    page: &'a Page,
    shown: &'a Shown,
}

#[derive(Template)]
#[template(path = "missing.html")]
struct MissingPage<'a> {
    page: &'a Page,
}

struct Listed {
    id: String,
    name: String,
    description: Option<String>,
    total: i64,
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage<'a> {
    page: &'a Page,
    boards: Vec<Listed>,
}

#[derive(Template)]
#[template(path = "embed.html")]
struct EmbedPage<'a> {
    page: &'a Page,
    id: &'a str,
    title: &'a str,
    limit: usize,
    season: &'a str,
    user: &'a str,
    theme: &'a str,
    compact: bool,
}

#[derive(Template)]
#[template(path = "overlay.html")]
struct OverlayPage<'a> {
    page: &'a Page,
    id: &'a str,
    rows: usize,
    scale: f64,
    side: &'a str,
}

/// The leaderboard that an address names. People are shown pages and no problem documents: what cannot be decoded names none, and not
/// the one that an empty name means.
pub struct Named(String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let segment = Segments::<String>::from_request_parts(parts, state).await;
        Ok(Self(segment.map_or_else(|_| char::REPLACEMENT_CHARACTER.into(), |Segments(id)| id)))
    }
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage<'a> {
    page: &'a Page,
    title: &'a str,
    texts: String,
    invited: bool,
}

fn render(template: &impl Template) -> String {
    template.render().unwrap_or_else(|error| {
        tracing::error!(%error, "a page could not be made");
        String::new()
    })
}

/// A number that an address asks for; a page does not refuse nonsense.
fn within(params: &Params, name: &str, least: usize, most: usize, otherwise: usize) -> usize {
    params.text(name).and_then(|text| text.parse().ok()).map_or(otherwise, |number: usize| number.clamp(least, most))
}

/// Whether a leaderboard is not for everybody's eyes.
fn is_private(error: &ServiceError) -> bool {
    matches!(error, ServiceError::Unauthenticated | ServiceError::InvalidToken(_) | ServiceError::Forbidden(_))
}

/// `GET /`: the leaderboards that everybody may read, or the only one.
pub async fn home(asked: Asked) -> Response {
    let page = asked.page("./");
    // The address that a leaderboard's page had in the first release.
    if let Some(id) = asked.params.text("leaderboard") {
        return board_page(&asked, &page, id).await;
    }
    let Asked { services, .. } = &asked;
    let Ok(boards) = services.leaderboards.list(&Caller::ANONYMOUS).await else {
        let shown = Shown::unavailable(&services.default_leaderboard, ENTRIES);
        return asked.answer(StatusCode::SERVICE_UNAVAILABLE, &BoardPage { page: &page, shown: &shown }, false);
    };
    if let [only] = boards.as_slice() {
        return board_page(&asked, &page, only.leaderboard.id.as_str()).await;
    }
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let listed = |overview: Overview| {
        let (id, settings) = (overview.leaderboard.id.as_str().to_owned(), overview.leaderboard.settings);
        let name = given(&settings.name).unwrap_or_else(|| id.clone());
        Listed { name, description: given(&settings.description), total: overview.total as i64, id }
    };
    let boards = boards.into_iter().map(listed).collect();
    asked.answer(StatusCode::OK, &HomePage { page: &page, boards }, false)
}

/// `GET /boards/{id}`
pub async fn board(Named(id): Named, asked: Asked) -> Response {
    board_page(&asked, &asked.page("../"), &id).await
}

/// The same address with a slash at its end: what a page leads to stands beside it, so there is one address for each.
pub async fn with_slash(uri: Uri) -> Response {
    let Some((_, last)) =
        uri.path().strip_suffix('/').and_then(|path| path.rsplit_once('/')).filter(|(_, last)| !last.is_empty())
    else {
        return Problem::from(ServiceError::NotFound(Noun::Resource)).into_response();
    };
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let headers = [(header::LOCATION, format!("../{last}{query}")), (header::CACHE_CONTROL, "no-cache".to_owned())];
    (StatusCode::PERMANENT_REDIRECT, headers).into_response()
}

async fn board_page(asked: &Asked, page: &Page, id: &str) -> Response {
    let Asked { services, params, .. } = asked;
    let limit = within(params, "limit", 1, 100, ENTRIES);
    let season = params.text("season").and_then(SeasonChoice::parse).unwrap_or(SeasonChoice::Current);
    let (status, shown) = match Shown::of(services, id, season, limit).await {
        Ok(shown) => (StatusCode::OK, shown),
        Err(ServiceError::NotFound(_)) => return asked.answer(StatusCode::NOT_FOUND, &MissingPage { page }, false),
        Err(error) if is_private(&error) => (StatusCode::UNAUTHORIZED, Shown::signing_in(limit)),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, Shown::unavailable(id, limit)),
    };
    asked.answer(status, &BoardPage { page, shown: &shown }, false)
}

/// `GET /boards/{id}/embed`: for frames of other sites.
pub async fn embed(Named(id): Named, asked: Asked) -> Response {
    let Asked { services, params, .. } = &asked;
    let page = asked.page("../../");
    let (status, title) = match services.leaderboards.readable(&Caller::ANONYMOUS, &id).await {
        Ok(leaderboard) => (StatusCode::OK, leaderboard.settings.name),
        // The element says what is wrong, and names nothing.
        Err(ServiceError::NotFound(_)) => (StatusCode::NOT_FOUND, page.text("title").to_owned()),
        Err(_) => (StatusCode::OK, page.text("title").to_owned()),
    };
    let theme = params.text("theme").filter(|theme| ["light", "dark"].contains(theme)).unwrap_or_default();
    let template = EmbedPage {
        page: &page,
        id: &id,
        title: &title,
        limit: within(params, "limit", 1, 100, 10),
        season: params.text("season").filter(|season| SeasonChoice::parse(season).is_some()).unwrap_or_default(),
        user: params.text("user").unwrap_or_default(),
        theme,
        compact: params.text("compact").is_some(),
    };
    asked.answer(status, &template, true)
}

/// `GET /boards/{id}/overlay`: for streaming software. Whatever is asked for, what is on air shows no error.
pub async fn overlay(Named(id): Named, asked: Asked) -> Response {
    let Asked { params, .. } = &asked;
    let page = asked.page("../../");
    let scale = params.text("scale").and_then(|text| text.parse().ok()).filter(|scale: &f64| scale.is_finite());
    let side = if params.text("side") == Some("right") { "right" } else { "left" };
    let rows = within(params, "rows", 1, 20, 5);
    let scale = scale.unwrap_or(1.0).clamp(0.25, 8.0);
    asked.answer(StatusCode::OK, &OverlayPage { page: &page, id: &id, rows, scale, side }, true)
}

/// `GET /account/reset`: where links to choose a password lead. The page holds no token: its script takes that out of the address.
pub async fn reset(asked: Asked) -> Response {
    account(&asked, false)
}

/// `GET /account/invite`: where invites lead.
pub async fn invite(asked: Asked) -> Response {
    account(&asked, true)
}

fn account(asked: &Asked, invited: bool) -> Response {
    let page = asked.page("../");
    let title = page.account(if invited { "inviteTitle" } else { "resetTitle" });
    let texts = in_script(page.language.account());
    asked.answer(StatusCode::OK, &AccountPage { page: &page, title, texts, invited }, false)
}

/// `GET /boards/{id}/card.svg`: what others show of the page.
pub async fn card(State(services): App, Segments(id): Segments<String>, headers: HeaderMap, params: Params) -> Response {
    let language = Language::of(params.text("lang"), &headers);
    let shown = match Shown::of(&services, &id, SeasonChoice::Current, card::ENTRIES).await {
        Ok(shown) => shown,
        Err(error) if is_private(&error) => return Problem::from(ServiceError::NotFound(Noun::Leaderboard)).into_response(),
        Err(error) => return Problem::from(error).into_response(),
    };
    card::answer(&shown, language, &headers)
}
