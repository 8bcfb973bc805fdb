//! Decisions as moderators write them, one JSON object each.

use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;
use uuid::Uuid;
use validator::{Validate, ValidationError};

use crate::{
    domain::{
        decision::{Adjustment, ErasedScores, Measure, Voided},
        ids::{LeaderboardId, MAX_SCORE, UserId},
        time::Timestamp,
    },
    http::problem::Problem,
    services::{error::ServiceError, moderation::Ruling},
};

use super::{
    body::{self, broken, nullable},
    whole::Whole,
};

/// The type, whatever else there is.
#[derive(Debug, Deserialize, Validate)]
struct Typed {
    r#type: String,
}

#[derive(Debug, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HideBody {
    #[serde(rename = "type")]
    _type: IgnoredAny,
    #[validate(length(min = 1, max = 500), custom(function = "reason"))]
    reason: String,
    user_id: String,
    leaderboard_id: Option<String>,
    until: Option<String>,
    /// Of a ban alone.
    hide: Option<bool>,
}

#[derive(Debug, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct VoidBody {
    #[serde(rename = "type")]
    _type: IgnoredAny,
    #[validate(length(min = 1, max = 500), custom(function = "reason"))]
    reason: String,
    #[validate(length(min = 1, max = 1000))]
    event_ids: Option<Vec<String>>,
    user_id: Option<String>,
    leaderboard_id: Option<String>,
    from: Option<String>,
    to: Option<String>,
}

#[derive(Debug, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AdjustBody {
    #[serde(rename = "type")]
    _type: IgnoredAny,
    #[validate(length(min = 1, max = 500), custom(function = "reason"))]
    reason: String,
    user_id: String,
    leaderboard_id: String,
    #[validate(range(min = 1, max = "MAX_SCORE"))]
    season: Option<Whole>,
    #[validate(range(min = "-MAX_SCORE", max = "MAX_SCORE"))]
    points: Option<Whole>,
    #[validate(range(min = "-MAX_SCORE", max = "MAX_SCORE"))]
    score: Option<Whole>,
}

#[derive(Debug, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RenameBody {
    #[serde(rename = "type")]
    _type: IgnoredAny,
    #[validate(length(min = 1, max = 500), custom(function = "reason"))]
    reason: String,
    user_id: String,
    #[serde(default, deserialize_with = "nullable")]
    #[validate(length(min = 1, max = 64), custom(function = "body::name"))]
    display_name: Option<Option<String>>,
}

#[derive(Debug, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EraseBody {
    #[serde(rename = "type")]
    _type: IgnoredAny,
    #[validate(length(min = 1, max = 500), custom(function = "reason"))]
    reason: String,
    user_id: String,
    #[serde(default, deserialize_with = "body::word")]
    scores: Option<ErasedScores>,
}

pub(super) fn reason(text: &str) -> Result<(), ValidationError> {
    if text.trim().is_empty() {
        return Err(broken("format", "must not be blank"));
    }
    body::lines_of_text(text)
}

/// One decision of a request.
pub fn parse(item: &RawValue) -> Result<Ruling, Problem> {
    let text = item.get().as_bytes();
    let Typed { r#type } = body::parse(text)?;
    match r#type.as_str() {
        "hide" | "ban" => sanction(body::parse(text)?, r#type == "ban"),
        "void" => void(body::parse(text)?),
        "adjust" => adjust(body::parse(text)?),
        "rename" => {
            let RenameBody { reason, user_id, display_name, .. } = body::parse(text)?;
            let display_name = display_name.ok_or_else(|| ServiceError::invalid("displayName", "required", "is required"))?;
            Ok(Ruling { measure: Measure::Rename { user_id: user(user_id)?, display_name }, reason })
        }
        "erase" => {
            let EraseBody { reason, user_id, scores, .. } = body::parse(text)?;
            let scores = scores.ok_or_else(|| ServiceError::invalid("scores", "required", "is required: keep or remove"))?;
            Ok(Ruling { measure: Measure::Erase { user_id: user(user_id)?, scores }, reason })
        }
        _ => Err(ServiceError::invalid("type", "unknown", "must be hide, ban, void, adjust, rename or erase").into()),
    }
}

fn sanction(body: HideBody, bans: bool) -> Result<Ruling, Problem> {
    let HideBody { reason, user_id, leaderboard_id, until, hide, .. } = body;
    let (user_id, until) = (user(user_id)?, time("until", until)?);
    let leaderboard_id = leaderboard_id.map(leaderboard).transpose()?;
    let measure = match (bans, hide) {
        (true, hide) => Measure::Ban { user_id, leaderboard_id, until, hide: hide.unwrap_or(true) },
        (false, None) => Measure::Hide { user_id, leaderboard_id, until },
        (false, Some(_)) => return Err(ServiceError::invalid("hide", "unknown-field", "is a field of a ban").into()),
    };
    Ok(Ruling { measure, reason })
}

fn void(body: VoidBody) -> Result<Ruling, Problem> {
    let VoidBody { reason, event_ids, user_id, leaderboard_id, from, to, .. } = body;
    let voided = match (event_ids, user_id, leaderboard_id) {
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
            return Err(ServiceError::invalid("eventIds", "conflict", "does not go with userId and leaderboardId").into());
        }
        (Some(_), ..) if from.is_some() || to.is_some() => {
            return Err(ServiceError::invalid("eventIds", "conflict", "does not go with from and to").into());
        }
        (Some(ids), None, None) => {
            let ids = ids.iter().map(|id| Uuid::try_parse(id));
            let ids: Result<Vec<Uuid>, _> = ids.collect();
            let mut event_ids = ids.map_err(|_| ServiceError::invalid("eventIds", "format", "must be ids of score events"))?;
            event_ids.sort_unstable();
            event_ids.dedup();
            Voided::Events { event_ids }
        }
        (None, Some(user_id), Some(leaderboard_id)) => {
            let (from, to) = (time("from", from)?, time("to", to)?);
            if from.zip(to).is_some_and(|(from, to)| from >= to) {
                return Err(ServiceError::invalid("to", "range", "must be later than from").into());
            }
            Voided::Range { user_id: user(user_id)?, leaderboard_id: leaderboard(leaderboard_id)?, from, to }
        }
        (None, None, None) => {
            return Err(ServiceError::invalid("eventIds", "required", "is required, or userId and leaderboardId").into());
        }
        (None, None, _) => return Err(ServiceError::invalid("userId", "required", "is required").into()),
        (None, _, None) => return Err(ServiceError::invalid("leaderboardId", "required", "is required").into()),
    };
    Ok(Ruling { measure: Measure::Void(voided), reason })
}

fn adjust(body: AdjustBody) -> Result<Ruling, Problem> {
    let AdjustBody { reason, user_id, leaderboard_id, season, points, score, .. } = body;
    let adjustment = match (points, score) {
        (Some(Whole(points)), None) => Adjustment::Points(points),
        (None, Some(Whole(score))) => Adjustment::Score(score),
        (None, None) => return Err(ServiceError::invalid("points", "required", "is required, or score").into()),
        (Some(_), Some(_)) => return Err(ServiceError::invalid("points", "conflict", "does not go with score").into()),
    };
    let (user_id, leaderboard_id) = (user(user_id)?, leaderboard(leaderboard_id)?);
    let season = season.map(|Whole(season)| season);
    Ok(Ruling { measure: Measure::Adjust { user_id, leaderboard_id, season, adjustment }, reason })
}

fn user(text: String) -> Result<UserId, ServiceError> {
    UserId::parse(&text).map_err(|error| ServiceError::invalid("userId", "format", error.0))
}

fn leaderboard(text: String) -> Result<LeaderboardId, ServiceError> {
    LeaderboardId::parse(&text).map_err(|error| ServiceError::invalid("leaderboardId", "format", error.0))
}

fn time(field: &'static str, text: Option<String>) -> Result<Option<Timestamp>, ServiceError> {
    let refused = |_| ServiceError::invalid(field, "format", "must be a time such as 2026-11-23T00:00:00Z");
    text.map(|text| text.parse::<Timestamp>().map_err(refused)).transpose()
}
