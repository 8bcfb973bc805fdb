//! Whom an event is about, and whether that user is hidden from then on.

use super::{Event, EventKind, HIDDEN, ScoreRemoved, fields};

impl ScoreRemoved<'_> {
    /// The fields of the event of a user who is hidden: see [`Event::hides`].
    pub fn hiding(&self) -> String {
        fields(self) + HIDDEN
    }
}

impl Event {
    /// Whether its user is hidden from now on: what was announced of the user before is not to be shown any more.
    pub fn hides(&self) -> bool {
        self.kind == EventKind::ScoreRemoved && self.fields_and_more().1.is_some()
    }

    /// The id of the user whom it is about, as it stands in JSON; `None` if it is about no single one.
    pub fn user(&self) -> Option<&str> {
        let about = matches!(self.kind, EventKind::ScoreUpdated | EventKind::ScoreRemoved | EventKind::UserChanged);
        let (_, after) = self.fields.split_once("\"userId\":\"").filter(|_| about)?;
        let mut escaped = false;
        let (end, _) = after.char_indices().find(|(_, c)| {
            let ends = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            ends
        })?;
        Some(&after[..end])
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{
        ids::{LeaderboardId, UserId},
        time::Timestamp,
    };

    fn event(kind: EventKind, fields: String) -> Event {
        Event { seq: 7, kind, rank: 0, previous_rank: Some(2), total: 9, fields }
    }

    #[test]
    fn an_event_says_whom_it_is_about_and_whether_it_hides() {
        let (leaderboard_id, user_id) = (LeaderboardId::parse("main").unwrap(), UserId::parse("a\"n\\").unwrap());
        let removed = ScoreRemoved {
            leaderboard_id: &leaderboard_id,
            season: 1,
            event_id: Uuid::nil(),
            user_id: &user_id,
            at: Timestamp(0),
        };
        let (hidden, gone) = (event(EventKind::ScoreRemoved, removed.hiding()), event(EventKind::ScoreRemoved, fields(&removed)));
        assert!(hidden.hides() && !gone.hides());
        assert_eq!((hidden.user(), gone.user()), (Some(r#"a\"n\\"#), hidden.user()));
        assert_eq!(hidden.data(&"e".into()), gone.data(&"e".into()), "nobody is told why");
        assert_eq!((hidden.at(), hidden.event_id()), (gone.at(), gone.event_id()));
        assert_eq!(event(EventKind::SeasonEnded, "\"userId\":\"ann\"".into()).user(), None);
    }
}
