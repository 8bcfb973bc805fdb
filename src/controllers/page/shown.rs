//! What the page of a leaderboard shows before its script runs, and what the script goes on from.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::timeout;

use crate::{
    domain::{caller::Caller, leaderboard::Operator, season::SeasonChoice, version::Version},
    services::{Services, error::ServiceError, seasons::Chosen, views},
};

use super::{super::seasons, Page};

/// Latest scores in the page: what it shows at first.
const LATEST: usize = 12;
/// How long a page waits for them.
const WAIT: Duration = Duration::from_millis(500);
/// Entries in the description of a page.
const LEADERS: usize = 3;

/// A row of the window, as the API gives it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    pub rank: i64,
    pub user_id: String,
    pub display_name: Option<String>,
    pub score: i64,
    pub at: String,
}

/// One of the latest scores, as the API gives it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Score {
    pub event_id: String,
    pub user_id: String,
    pub display_name: Option<String>,
    pub action_id: Option<String>,
    pub delta: i64,
    pub score: i64,
    pub at: String,
}

fn name<'a>(display_name: &'a Option<String>, user_id: &'a str) -> &'a str {
    display_name.as_deref().filter(|name| !name.is_empty()).unwrap_or(user_id)
}

/// The day of a time, until the script writes it in the reader's time zone.
fn day(at: &str) -> &str {
    at.get(..10).unwrap_or(at)
}

impl Row {
    pub fn name(&self) -> &str {
        name(&self.display_name, &self.user_id)
    }

    pub fn day(&self) -> &str {
        day(&self.at)
    }
}

impl Score {
    pub fn name(&self) -> &str {
        name(&self.display_name, &self.user_id)
    }

    pub fn day(&self) -> &str {
        day(&self.at)
    }

    pub fn action<'a>(&'a self, page: &'a Page) -> &'a str {
        self.action_id.as_deref().unwrap_or_else(|| page.text("adjusted"))
    }
}

/// See the module's documentation. Without a leaderboard, it is one that nobody is shown, or that cannot be read just now.
#[derive(Default)]
pub struct Shown {
    id: Option<String>,
    name: Option<String>,
    pub description: Option<String>,
    unit: Option<String>,
    season: Option<i64>,
    /// Whether that season has ended.
    over: bool,
    total: Option<i64>,
    pub entries: Vec<Row>,
    pub scores: Vec<Score>,
    /// The same as JSON, for the script.
    window: Option<Box<RawValue>>,
    latest: Option<Box<RawValue>>,
    limit: usize,
    /// Whether scores add up: of a best time nobody asks what it has added.
    adds: bool,
    pub sign_in: bool,
}

impl Shown {
    /// A leaderboard that everybody may read, with its first `limit` entries. A season that does not exist shows none: the script says so.
    pub async fn of(services: &Services, id: &str, season: SeasonChoice, limit: usize) -> Result<Self, ServiceError> {
        let leaderboard = services.leaderboards.readable(&Caller::ANONYMOUS, id).await?;
        let settings = &leaderboard.settings;
        let mut shown = Self {
            id: Some(leaderboard.id.as_str().to_owned()),
            name: given(&settings.name).or_else(|| Some(leaderboard.id.as_str().to_owned())),
            description: given(&settings.description),
            unit: given(&settings.unit),
            limit,
            adds: settings.operator == Operator::Sum,
            ..Self::default()
        };
        match seasons::chosen(services, leaderboard.clone(), season).await {
            Ok(Chosen::Current(current)) => {
                let window = services.tops.window(&current, 1, limit as u64, None).await?.value;
                let version = shown.take_window(&window.json);
                // Rows can be read while the ledger is away or slow; without it nobody knows which scores may be seen.
                let latest = timeout(WAIT, services.latest.beside(&current, version.as_ref(), LATEST)).await;
                if let Ok(Ok(latest)) = latest {
                    shown.take_latest(&latest.value.json);
                }
            }
            Ok(Chosen::Ended(number)) => {
                let window = services.seasons.window(&leaderboard, number, 1, limit as u64).await?.value;
                let json = views::json(&views::WindowView::new(&leaderboard.id, &window, window.entries.len(), false));
                shown.take_window(json.as_bytes());
                shown.over = true;
            }
            Err(ServiceError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(shown)
    }

    /// Nothing but where to sign in.
    pub fn signing_in(limit: usize) -> Self {
        Self { sign_in: true, limit, ..Self::default() }
    }

    /// A leaderboard that cannot be read just now: its page tries again by itself.
    pub fn unavailable(id: &str, limit: usize) -> Self {
        Self { id: Some(id.to_owned()), limit, ..Self::default() }
    }

    /// The window, as the API gives it. Returns its version, if the ranking had one to tell.
    fn take_window(&mut self, json: &[u8]) -> Option<Version> {
        #[derive(Deserialize)]
        struct Window {
            season: i64,
            total: i64,
            version: Option<String>,
            entries: Vec<Row>,
        }
        let Window { season, total, version, entries } = serde_json::from_slice(json).ok()?;
        (self.season, self.total, self.entries) = (Some(season), Some(total), entries);
        self.window = serde_json::from_slice(json).ok();
        version?.parse().ok()
    }

    fn take_latest(&mut self, json: &[u8]) {
        #[derive(Deserialize)]
        struct Latest {
            scores: Vec<Score>,
        }
        self.scores = serde_json::from_slice(json).map_or_else(|_| Vec::new(), |Latest { scores }| scores);
        self.latest = serde_json::from_slice(json).ok();
    }

    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub fn title<'a>(&'a self, page: &'a Page) -> &'a str {
        let named = if self.sign_in { None } else { self.name.as_deref() };
        named.unwrap_or_else(|| page.text(if self.sign_in { "signInTitle" } else { "title" }))
    }

    /// What a score is worth telling of: what it has added, or itself.
    pub fn gain(&self, page: &Page, score: &Score) -> String {
        if self.adds { page.language.signed(score.delta) } else { page.number(&score.score) }
    }

    pub fn unit<'a>(&'a self, page: &'a Page) -> &'a str {
        self.unit.as_deref().unwrap_or_else(|| page.text("score"))
    }

    pub fn caption(&self, page: &Page) -> String {
        let total = page.number(&self.total.unwrap_or_default());
        page.language.filled("top", &[("n", &self.entries.len().to_string()), ("total", &total)])
    }

    pub fn total_text(&self, page: &Page) -> String {
        self.total.map_or_else(|| "–".to_owned(), |total| page.number(&total))
    }

    pub fn season_text(&self) -> String {
        self.season.map_or_else(|| "–".to_owned(), |season| season.to_string())
    }

    /// Known to have no entries.
    pub fn is_empty(&self) -> bool {
        self.total == Some(0)
    }

    /// What others show of the page: who leads it. `None` if it is nobody's to know.
    pub fn summary(&self, page: &Page) -> Option<String> {
        self.total?;
        let leaders =
            self.entries.iter().take(LEADERS).map(|row| format!("{}. {} {}", row.rank, row.name(), page.number(&row.score)));
        let leaders = leaders.collect::<Vec<_>>().join(" · ");
        let season = self.over.then(|| page.language.filled("seasonN", &[("n", &self.season_text())]));
        let facts = [season, Some(leaders).filter(|leaders| !leaders.is_empty()), self.description.clone()];
        let summary = facts.into_iter().flatten().collect::<Vec<_>>().join(" — ");
        Some(if summary.is_empty() { page.text("empty").to_owned() } else { summary })
    }

    /// Where others find the page, if this is known.
    pub fn address(&self, page: &Page) -> Option<String> {
        Some(format!("{}/boards/{}", page.public_url.as_deref()?, self.id.as_deref()?))
    }

    /// What the script goes on from.
    pub fn json(&self, page: &Page) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Data<'a> {
            id: Option<&'a str>,
            name: Option<&'a str>,
            unit: Option<&'a str>,
            root: &'a str,
            limit: usize,
            sign_in: bool,
            adds: bool,
            window: Option<&'a RawValue>,
            latest: Option<&'a RawValue>,
        }
        in_script(&Data {
            id: self.id.as_deref(),
            name: self.name.as_deref(),
            unit: self.unit.as_deref(),
            root: page.root,
            limit: self.limit,
            sign_in: self.sign_in,
            adds: self.adds,
            window: self.window.as_deref(),
            latest: self.latest.as_deref(),
        })
    }
}

/// JSON that cannot end the script element that it stands in.
pub fn in_script(data: &impl Serialize) -> String {
    views::json(data).replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

fn given(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}
