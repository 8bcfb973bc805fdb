//! How entries, names and events are encoded in Redis, and how they are parsed. Texts are compact, because Redis holds them in
//! memory once for each entry or event.

use std::sync::Arc;

use crate::{
    domain::{
        entry::{Appearance, DisplayName},
        event::{Event, EventKind},
        ids::UserId,
        time::Timestamp,
    },
    repositories::feed::{AccessChange, FeedMessage, Readers},
};

/// Digits of a time in microseconds, in hex: with constant width, text order is time order, and 56 bits last beyond the year
/// 4000.
const TIME_WIDTH: usize = 14;

/// A time as members contain it.
pub(in crate::repositories) fn hex_time(at: Timestamp) -> String {
    format!("{:0TIME_WIDTH$x}", at.0.max(0))
}

/// A member of the sorted set: among equal scores it sorts by time, then by user id bytewise.
pub(in crate::repositories) fn member(at: Timestamp, user_id: &UserId) -> String {
    format!("{}{user_id}", hex_time(at))
}

/// The time and the user of a member.
pub(in crate::repositories) fn parse_member(member: &str) -> Option<(Timestamp, UserId)> {
    let (time, user) = member.split_at_checked(TIME_WIDTH)?;
    Some((Timestamp(i64::from_str_radix(time, 16).ok()?), UserId::parse(user).ok()?))
}

/// A score as Redis prints a double: an integer of this size mostly comes without a fraction, but that is up to Redis.
pub(in crate::repositories) fn parse_score(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| text.parse::<f64>().ok().map(|score| score as i64))
}

/// The data of an entry beside its member in the sorted set.
pub(in crate::repositories) fn entry(revision: i64, sort_score: i64, reached_at: Timestamp) -> String {
    format!("{revision}:{sort_score}:{}", hex_time(reached_at))
}

/// The revision of an entry.
pub(in crate::repositories) fn parse_revision(entry: &str) -> Option<i64> {
    entry.split_once(':')?.0.parse().ok()
}

/// What is shown of a user, with its revision: `revision[;country;address][:name]`, the middle part if there is a country or the address of a
/// picture, in which colons and percent signs are percent-encoded. The previous release cannot read a record with that part, and shows the
/// user's id.
pub(in crate::repositories) fn name(name: &DisplayName) -> String {
    let mut record = name.revision.to_string();
    if let Some(Appearance { avatar_url, country }) = name.appearance.as_deref() {
        let (country, avatar_url) = (country.as_deref().unwrap_or_default(), avatar_url.as_deref().unwrap_or_default());
        record.push_str(&format!(";{country};{}", avatar_url.replace('%', "%25").replace(':', "%3A")));
    }
    if let Some(text) = &name.name {
        record.push(':');
        record.push_str(text);
    }
    record
}

/// The reverse of [`name`].
pub(in crate::repositories) fn parse_name(record: &str) -> Option<DisplayName> {
    let (before, name) = record.split_once(':').map_or((record, None), |(before, name)| (before, Some(name)));
    let mut parts = before.splitn(3, ';');
    let revision = parts.next()?.parse().ok()?;
    let mut part = || parts.next().filter(|part| !part.is_empty());
    let (country, avatar_url) = (part(), part());
    let avatar_url = avatar_url.map(|encoded| encoded.replace("%3A", ":").replace("%25", "%"));
    Some(DisplayName { name: name.map(str::to_owned), revision, appearance: Appearance::of(avatar_url.as_deref(), country) })
}

/// The beginning of fields that are published under another name than their line's: see [`line()`].
const NAMED: &str = "\"event\":\"";
/// What the fields of a `user-changed` began with before events had one type. Streams may still hold such lines.
const FORMERLY_USER_CHANGED: &str = "\"userChanged\":true,";

/// An event's fields as they are in a payload.
///
/// A line's letter distinguishes three kinds of events, which every release knows. All others are sent as scores that begin
/// with their own name: the previous release, which would not accept another letter, passes them on as scores that move nobody.
pub(in crate::repositories) fn line(kind: EventKind, fields: &str) -> String {
    match kind {
        EventKind::ScoreUpdated | EventKind::LeaderboardChanged | EventKind::LeaderboardDeleted => one_line(fields),
        named => format!("{NAMED}{}\",{}", named.name(), one_line(fields)),
    }
}

/// The letter of a line that moves nobody, and the field of a ranking's meta that holds the newest revision of its kind.
pub(in crate::repositories) fn published(kind: EventKind) -> (&'static str, String) {
    match kind {
        EventKind::LeaderboardChanged => ("D", "definition".to_owned()),
        kind => ("S", format!("published:{}", kind.name())),
    }
}

/// Fields as they stand in a payload, where a line is an event. JSON has line breaks only between its tokens.
fn one_line(body: &str) -> String {
    body.replace(['\n', '\r'], " ")
}

/// Events of one epoch, from a message or a stream entry.
pub(in crate::repositories) fn parse_events(payload: &str) -> Option<(Arc<str>, Vec<Event>)> {
    let (head, lines) = payload.split_once('\n')?;
    let epoch = head.strip_prefix("events ")?;
    let events = lines.split('\n').map(parse_event).collect::<Option<_>>()?;
    Some((epoch.into(), events))
}

/// The message that announces a revision of the definitions.
pub(in crate::repositories) fn definitions(revision: i64, change: Option<AccessChange>) -> String {
    match change {
        Some(AccessChange { pk, readers }) => {
            let readers = match readers {
                Readers::Entitled => 0,
                Readers::Everybody => 1,
                Readers::Nobody => 2,
            };
            format!("definitions {revision} {pk} {readers}")
        }
        None => format!("definitions {revision}"),
    }
}

fn parse_definitions(fields: &str) -> Option<FeedMessage> {
    let mut fields = fields.split(' ');
    let revision = fields.next()?.parse().ok()?;
    let change = match (fields.next(), fields.next()) {
        (Some(pk), Some(readers)) => {
            let readers = match readers {
                "1" => Readers::Everybody,
                "2" => Readers::Nobody,
                _ => Readers::Entitled,
            };
            Some(AccessChange { pk: pk.parse().ok()?, readers })
        }
        _ => None,
    };
    Some(FeedMessage::Definitions { revision, change })
}

/// The message that names a board whose changes could not be announced, and the outbox row that holds them.
pub(in crate::repositories) fn behind(pk: i64, row: i64) -> String {
    format!("behind {pk} {row}")
}

/// A message of a board's channel, or of the installation's.
pub(in crate::repositories) fn parse_message(pk: i64, payload: &str) -> Option<FeedMessage> {
    if let Some(fields) = payload.strip_prefix("definitions ") {
        return parse_definitions(fields);
    }
    if let Some(fields) = payload.strip_prefix("behind ") {
        let (pk, row) = fields.split_once(' ')?;
        return Some(FeedMessage::Behind { pk: pk.parse().ok()?, row: row.parse().ok()? });
    }
    if payload == "holder" {
        return Some(FeedMessage::Holder);
    }
    if payload == "renamed" {
        return Some(FeedMessage::Renamed { pk });
    }
    if let Some(epoch) = payload.strip_prefix("reset ") {
        return Some(FeedMessage::Reset { pk, epoch: epoch.into() });
    }
    parse_events(payload).map(|(epoch, events)| FeedMessage::Events { pk, epoch, events })
}

/// `letter seq rank previous-rank total fields`, the previous rank of a newcomer being 0.
fn parse_event(line: &str) -> Option<Event> {
    let mut parts = line.splitn(6, ' ');
    let letter = parts.next()?;
    let mut number = || parts.next()?.parse::<u64>().ok();
    let (seq, rank, previous, total) = (number()?, number()?, number()?, number()?);
    let previous_rank = (previous > 0).then_some(previous);
    let fields = parts.next()?;
    let named = |kind: EventKind| Some((kind, fields.strip_prefix(NAMED)?.strip_prefix(kind.name())?.strip_prefix("\",")?));
    let (kind, fields) = match letter {
        "S" => match fields.strip_prefix(FORMERLY_USER_CHANGED) {
            Some(fields) => (EventKind::UserChanged, fields),
            None => EventKind::ALL.iter().copied().find_map(named).unwrap_or((EventKind::ScoreUpdated, fields)),
        },
        "D" => (EventKind::LeaderboardChanged, fields),
        "X" => (EventKind::LeaderboardDeleted, fields),
        _ => return None,
    };
    Some(Event { seq, kind, rank, previous_rank, total, fields: fields.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_sort_by_time_then_user() {
        let user = |id| UserId::parse(id).expect("a user id");
        assert!(member(Timestamp(9), &user("z")) < member(Timestamp(10), &user("a")));
        assert!(member(Timestamp(10), &user("a")) < member(Timestamp(10), &user("é")));
        assert_eq!(parse_member(&member(Timestamp(10), &user("宮本 茂"))), Some((Timestamp(10), user("宮本 茂"))));
    }

    #[test]
    fn names_with_colons_and_removed_names_round_trip() {
        for name_of in [Some("a:b"), Some(""), None] {
            for (avatar_url, country) in
                [(None, None), (Some("https://a/b:c"), None), (None, Some("GB")), (Some("https://a/;%3A%253A"), Some("GB"))]
            {
                let appearance = Appearance::of(avatar_url, country);
                let held = DisplayName { name: name_of.map(str::to_owned), revision: 7, appearance };
                let record = name(&held);
                // The previous release reads all before the first colon as the revision: it finds the name, or nothing.
                let formerly = record.split_once(':').map_or(&*record, |(revision, _)| revision).parse::<i64>();
                assert_eq!(formerly.is_ok(), held.appearance.is_none(), "{record}");
                assert_eq!(parse_name(&record), Some(held));
            }
        }
    }

    #[test]
    fn a_payload_round_trips_and_garbage_is_rejected() {
        let (epoch, events) = parse_events("events e1\nS 4 1 0 9 \"a\":1, \"b\":2\nD 5 0 0 9 {}").expect("a payload");
        assert_eq!((&*epoch, events.len(), events[0].fields.as_str()), ("e1", 2, "\"a\":1, \"b\":2"));
        assert_eq!((events[0].previous_rank, events[1].kind), (None, EventKind::LeaderboardChanged));
        let (_, events) = parse_events(&format!("events e1\nS 6 2 2 9 {}", line(EventKind::UserChanged, "\"userId\":\n\"a\"")))
            .expect("a payload");
        let event = &events[0];
        assert_eq!((event.kind, event.rank, event.fields.as_str()), (EventKind::UserChanged, 2, "\"userId\": \"a\""));
        let (_, events) = parse_events("events e1\nS 6 0 2 9 \"event\":\"from-tomorrow\",\"a\":1").expect("a payload");
        assert_eq!((events[0].kind, events[0].seq), (EventKind::ScoreUpdated, 6), "from a release after this one");
        let (_, events) = parse_events("events e1\nS 7 2 2 9 \"userChanged\":true,\"a\":1").expect("a payload");
        assert_eq!((events[0].kind, events[0].fields.as_str()), (EventKind::UserChanged, "\"a\":1"));
        assert!(matches!(parse_message(1, "renamed"), Some(FeedMessage::Renamed { pk: 1 })), "from a release before this one");
        assert!(parse_events("events e1\nS 4 1").is_none());
        assert!(parse_message(1, "nonsense").is_none());
    }
}
