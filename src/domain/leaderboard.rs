//! A leaderboard: one ranking, its direction, and how submissions change a score.

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};

use super::{ids::LeaderboardId, schedule::ResetSchedule, time::Timestamp};

/// Which scores are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Higher is better.
    Desc,
    /// Lower is better.
    Asc,
}

impl Order {
    /// The score transformed so that smaller is better and sorts first, whatever the order. Its own inverse.
    pub fn sort_score(self, score: i64) -> i64 {
        match self {
            Self::Desc => -score,
            Self::Asc => score,
        }
    }

    /// The name used in JSON and in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Desc => "desc",
            Self::Asc => "asc",
        }
    }
}

/// How a submission changes a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operator {
    /// Points add up.
    Sum,
    /// The better one stays.
    Best,
    /// The latest one stays.
    Last,
}

impl Operator {
    /// The name used in JSON and in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Best => "best",
            Self::Last => "last",
        }
    }
}

/// What happens to a score that would leave its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnExceed {
    /// The submission is refused.
    Refuse,
    /// The score stops at the bound.
    Clamp,
}

impl OnExceed {
    /// The name used in JSON and in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Clamp => "clamp",
        }
    }
}

/// The least and the greatest score that an entry may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bounds {
    pub min: i64,
    pub max: i64,
    pub on_exceed: OnExceed,
}

/// The rules by which a season is played. An ended season keeps its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    pub order: Order,
    pub operator: Operator,
    pub bounds: Option<Bounds>,
}

/// Who may read a leaderboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Everybody, without a token.
    Public,
    /// Tokens with scope `leaderboards:read`.
    Private,
}

impl Visibility {
    /// The name used in JSON and in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
        }
    }
}

/// Which leaderboards a reader may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readable {
    Public,
    /// Public ones, and these.
    Among(Vec<LeaderboardId>),
    All,
}

/// What of a leaderboard's data a reader asks for. What an address shows never depends on who asks, only whether they may.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Projection {
    /// What everybody may see.
    #[default]
    Public,
    /// Also what others do not see of one's own scores.
    Own,
    /// Also what is hidden or withheld.
    Restricted,
}

impl Projection {
    /// The projection of this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "public" => Some(Self::Public),
            "own" => Some(Self::Own),
            "restricted" => Some(Self::Restricted),
            _ => None,
        }
    }
}

/// The settings of a leaderboard that clients write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderboardSettings {
    pub name: String,
    pub description: String,
    pub order: Order,
    pub operator: Operator,
    pub unit: String,
    pub visibility: Visibility,
    pub bounds: Option<Bounds>,
    /// When seasons end; `None`: only when a manager ends one.
    pub reset_schedule: Option<ResetSchedule>,
    /// IANA name: how the schedule is read.
    pub timezone: String,
    /// Accepts no scores.
    pub closed: bool,
}

impl LeaderboardSettings {
    /// The default settings of a leaderboard.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            description: String::new(),
            order: Order::Desc,
            operator: Operator::Sum,
            unit: "points".to_owned(),
            visibility: Visibility::Public,
            bounds: None,
            reset_schedule: None,
            timezone: "UTC".to_owned(),
            closed: false,
        }
    }

    /// The rules of the current season.
    pub fn rules(&self) -> Rules {
        Rules { order: self.order, operator: self.operator, bounds: self.bounds }
    }

    /// The first scheduled end of a season after this moment.
    pub fn next_boundary(&self, after: Timestamp) -> Option<Timestamp> {
        self.reset_schedule.as_ref()?.next(self.timezone.parse().unwrap_or_default(), after)
    }
}

/// A setting that cannot be: the field, and a sentence that completes "this field …".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidSetting {
    pub field: String,
    pub message: String,
}

impl InvalidSetting {
    /// Of a reset schedule; `field` is empty for all of it.
    pub fn in_schedule(field: &str, message: impl Into<String>) -> Self {
        let field = if field.is_empty() { "resetSchedule".to_owned() } else { format!("resetSchedule.{field}") };
        Self { field, message: message.into() }
    }
}

/// A leaderboard as the ledger stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaderboard {
    /// The incarnation: never reused, so a leaderboard that is deleted and created again under the same id starts empty.
    pub pk: i64,
    pub id: LeaderboardId,
    pub settings: LeaderboardSettings,
    /// The current one: 1, 2, 3 …
    pub season: i64,
    /// The first moment of the current season.
    pub season_starts_at: Timestamp,
    /// When the current season ends by the schedule: its first moment that is no longer in it.
    pub next_boundary_at: Option<Timestamp>,
    /// Grows with every change of the definition.
    pub revision: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Leaderboard {
    /// What the ranking needs to know of this leaderboard.
    pub fn board(&self) -> Board {
        Board { pk: self.pk, season: self.season, order: self.settings.order }
    }
}

/// The definition as clients see it: `{"id", …settings, "seasonStartsAt", "nextReset", "createdAt", "updatedAt"}`.
impl Serialize for Leaderboard {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let settings = &self.settings;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("name", &settings.name)?;
        map.serialize_entry("description", &settings.description)?;
        map.serialize_entry("order", &settings.order)?;
        map.serialize_entry("operator", &settings.operator)?;
        map.serialize_entry("unit", &settings.unit)?;
        map.serialize_entry("visibility", &settings.visibility)?;
        map.serialize_entry("bounds", &settings.bounds)?;
        map.serialize_entry("resetSchedule", &settings.reset_schedule)?;
        map.serialize_entry("timezone", &settings.timezone)?;
        map.serialize_entry("closed", &settings.closed)?;
        map.serialize_entry("seasonStartsAt", &self.season_starts_at)?;
        map.serialize_entry("nextReset", &self.next_boundary_at)?;
        map.serialize_entry("createdAt", &self.created_at)?;
        map.serialize_entry("updatedAt", &self.updated_at)?;
        map.end()
    }
}

/// One season of one incarnation of a leaderboard: what a ranking belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Board {
    pub pk: i64,
    pub season: i64,
    pub order: Order,
}
