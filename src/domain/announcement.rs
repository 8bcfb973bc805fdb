//! What has to be announced to the ranking and the watchers after a commit. Stored in the outbox until it is announced, and
//! repeatable: announcing it twice changes nothing.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    entry::DisplayName,
    event::{self, Cause, EventKind, ScoreUpdated, UserChanged},
    ids::{ActionId, LeaderboardId, UserId},
    leaderboard::{Board, Leaderboard, Visibility},
    season::Turn,
    submission::EntryOutcome,
    time::Timestamp,
    user::User,
};

/// One outbox row: everything that one commit changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Announcement {
    /// Changed entries, in the order in which they were settled.
    Scores { changes: Vec<Change> },
    /// The score events of a batch, in the order in which they were settled. The outbox stores them in this form, because
    /// everything to be announced of them is in the history; the ledger returns them as [`Self::Scores`].
    Events { ids: Vec<Uuid> },
    /// A definition was changed or deleted.
    Definition(DefinitionChange),
    /// Something happened to a leaderboard that moves nobody, once per revision of its kind.
    #[serde(rename_all = "camelCase")]
    Event { board: Board, event: EventKind, revision: i64, fields: String },
    /// Seasons of a leaderboard have ended and begun.
    Turn(Turn),
    /// A user was erased: these rankings, which know the user, begin anew once everything that was committed before is announced.
    Erase { boards: Vec<Board> },
    /// A user has a new profile, for every ranking that the user stands in.
    #[serde(rename_all = "camelCase")]
    Rename {
        boards: Vec<Board>,
        user_id: UserId,
        name: DisplayName,
        /// For each board the part of the `user-changed` event that is known at commit: the fields of a JSON object without the
        /// braces. `None` in rows of an earlier release, which announced names alone, and without an event.
        #[serde(default)]
        events: Vec<String>,
    },
}

impl Announcement {
    /// The user as shown to the watchers of these boards from now on.
    pub fn user_changed(user: &User, leaderboards: &[(LeaderboardId, Board)]) -> Self {
        let User { id, profile, revision, .. } = user;
        let fields = |(leaderboard_id, board): &(LeaderboardId, Board)| {
            event::fields(&UserChanged {
                leaderboard_id,
                season: board.season,
                user_id: id,
                display_name: profile.display_name.as_deref().unwrap_or(id.as_str()),
                avatar_url: profile.avatar_url.as_deref(),
                country: profile.country.as_deref(),
            })
        };
        Self::Rename {
            boards: leaderboards.iter().map(|(_, board)| *board).collect(),
            user_id: id.clone(),
            name: profile.shown(*revision),
            events: leaderboards.iter().map(fields).collect(),
        }
    }

    /// The boards that it concerns, as far as it names them; some more than once.
    pub fn boards(&self) -> Box<dyn Iterator<Item = Board> + Send + '_> {
        match self {
            Self::Scores { changes } => Box::new(changes.iter().map(|change| change.board)),
            Self::Events { .. } => Box::new(std::iter::empty()),
            Self::Definition(change) => Box::new(std::iter::once(change.board)),
            Self::Event { board, .. } => Box::new(std::iter::once(*board)),
            Self::Turn(turn) => Box::new(std::iter::once(turn.board)),
            Self::Rename { boards, .. } => Box::new(boards.iter().copied()),
            Self::Erase { boards } => Box::new(boards.iter().copied()),
        }
    }
}

/// One change of one entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    pub board: Board,
    pub event_id: Uuid,
    pub user_id: UserId,
    /// `None` if the entry leaves the ranking.
    pub score: Option<i64>,
    /// Microseconds.
    pub reached_at: i64,
    /// The entry's revision after this change: the ranking applies it exactly once, after revision − 1.
    pub revision: i64,
    pub name: DisplayName,
    /// The part of the event that is known at commit: the fields of a JSON object without the braces. Empty if nobody is told,
    /// because the entry is hidden: the ranking only takes the revision.
    pub event: String,
}

impl Change {
    /// Whether nobody is told.
    pub fn is_silent(&self) -> bool {
        self.event.is_empty()
    }

    /// The same change of a hidden entry.
    pub fn silenced(self) -> Self {
        Self { score: None, event: String::new(), ..self }
    }

    /// The kind of the event that announces it.
    pub fn kind(&self) -> EventKind {
        if self.score.is_some() { EventKind::ScoreUpdated } else { EventKind::ScoreRemoved }
    }

    /// The change that an applied standing makes to its ranking; without an action it is an adjustment.
    pub fn new(
        event_id: Uuid,
        user_id: &UserId,
        action_id: Option<&ActionId>,
        at: Timestamp,
        standing: &EntryOutcome,
        name: DisplayName,
    ) -> Self {
        let known = ScoreUpdated {
            leaderboard_id: &standing.leaderboard_id,
            season: standing.board.season,
            event_id,
            user_id,
            display_name: name.name.as_deref().unwrap_or(user_id.as_str()),
            appearance: name.appearance.as_deref(),
            action_id,
            cause: action_id.is_none().then_some(Cause::Adjust),
            delta: standing.delta,
            score: standing.new_score,
            previous_score: standing.previous_score,
            at,
        };
        let change = Self {
            board: standing.board,
            event_id,
            user_id: user_id.clone(),
            score: Some(standing.new_score),
            reached_at: at.0,
            revision: standing.revision,
            event: event::fields(&known),
            name,
        };
        if standing.hidden { change.silenced() } else { change }
    }
}

/// One change of one definition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DefinitionChange {
    pub board: Board,
    pub leaderboard_id: LeaderboardId,
    /// The definition's revision after this change: the ranking ignores one that is not newer.
    pub revision: i64,
    pub deleted: bool,
    /// The revision of all definitions after this change; 0 in rows of an earlier release, which did not say.
    #[serde(default)]
    pub definitions: i64,
    /// Whether everybody may read it from now on.
    #[serde(default)]
    pub public: bool,
    /// The data of the `leaderboard-changed` event: a whole JSON object.
    pub event: String,
}

impl DefinitionChange {
    /// The kind of the event that announces it.
    pub fn kind(&self) -> EventKind {
        if self.deleted { EventKind::LeaderboardDeleted } else { EventKind::LeaderboardChanged }
    }

    /// The changed leaderboard as shown from now on.
    pub fn changed(leaderboard: &Leaderboard, definitions: i64) -> Self {
        let event = serde_json::to_string(leaderboard).expect("a definition always serialises");
        let public = leaderboard.settings.visibility == Visibility::Public;
        Self { public, definitions, ..Self::of(leaderboard, leaderboard.revision, false, event) }
    }

    /// The leaderboard is deleted.
    pub fn deleted(leaderboard: &Leaderboard, definitions: i64) -> Self {
        let event = serde_json::json!({ "leaderboardId": leaderboard.id, "deleted": true }).to_string();
        Self { definitions, ..Self::of(leaderboard, leaderboard.revision + 1, true, event) }
    }

    fn of(leaderboard: &Leaderboard, revision: i64, deleted: bool, event: String) -> Self {
        let (board, leaderboard_id) = (leaderboard.board(), leaderboard.id.clone());
        Self { board, leaderboard_id, revision, deleted, definitions: 0, public: false, event }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_the_previous_release_announces_a_name_without_an_event() {
        let row = r#"{"kind":"rename","boards":[{"pk":1,"season":1,"order":"desc"}],"userId":"ann","name":{"name":"Ann","revision":2}}"#;
        let Announcement::Rename { boards, name, events, .. } = serde_json::from_str(row).unwrap() else { panic!("a rename") };
        assert_eq!((boards.len(), name.revision, events.len()), (1, 2, 0));
    }
}
