//! What names a user in texts, and removing it from them.

use std::collections::BTreeSet;

use diesel::{BoolExpressionMethods, EscapeExpressionMethods, ExpressionMethods, QueryDsl, TextExpressionMethods};
use diesel_async::RunQueryDsl;
use serde_json::Value;

use super::super::{
    super::super::schema::{audit, decision_users, decisions, reviews},
    Conn, Failure,
};
use crate::domain::ids::UserId;

/// Former names of a user that are looked for in reasons.
const FORMER_NAMES: usize = 10;
/// Rows that one statement changes.
const ROWS_AT_ONCE: usize = 1_000;

/// What is known of a user who is erased, as it may stand in texts.
pub struct Personal {
    pub user: UserId,
    pub names: Vec<String>,
}

impl Personal {
    fn words(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.user.as_str()).chain(self.names.iter().map(String::as_str))
    }

    /// Whether a text names the user, by id or name, as a word of its own.
    pub fn is_in(&self, text: &str) -> bool {
        let borders = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
        self.words().any(|word| {
            text.match_indices(word)
                .any(|(at, _)| borders(text[..at].chars().next_back()) && borders(text[at + word.len()..].chars().next()))
        })
    }

    /// Patterns of texts that may name the user, by id and by names.
    pub fn patterns(&self) -> impl Iterator<Item = String> {
        self.words().map(|word| format!("%{}%", escaped(word)))
    }

    /// The text, unless it names the user.
    pub fn without(&self, text: String) -> String {
        if self.is_in(&text) { "erased".to_owned() } else { text }
    }
}

/// Removes the reasons of verdicts that name the user.
pub async fn forget_verdicts(conn: &mut Conn, told: Vec<(Vec<u8>, Option<String>)>, personal: &Personal) -> Result<(), Failure> {
    for (event, reason) in told {
        let Some(reason) = reason.filter(|reason| personal.is_in(reason)) else { continue };
        let those = reviews::table.filter(reviews::event_id.eq(event));
        diesel::update(those).set(reviews::reason.eq(personal.without(reason))).execute(conn).await?;
    }
    Ok(())
}

/// Removes reasons that name the user, whomever they are about: of decisions, of verdicts, and with the texts beside them of entries of the
/// audit trail.
pub async fn forget_named(conn: &mut Conn, personal: &Personal) -> Result<(), Failure> {
    for pattern in personal.patterns() {
        let named = decisions::table.filter(decisions::reason.like(&pattern).escape('!'));
        let reasons: Vec<(Vec<u8>, String)> = named.select((decisions::id, decisions::reason)).load(conn).await?;
        for (id, reason) in reasons.into_iter().filter(|(_, reason)| personal.is_in(reason)) {
            diesel::update(decisions::table.find(id)).set(decisions::reason.eq(personal.without(reason))).execute(conn).await?;
        }
        let named = reviews::table.filter(reviews::reason.like(&pattern).escape('!'));
        let told = named.select((reviews::event_id, reviews::reason)).distinct().load(conn).await?;
        forget_verdicts(conn, told, personal).await?;
        let named = audit::table.filter(audit::reason.like(&pattern).escape('!'));
        let rows: Vec<(i64, Option<String>)> = named.select((audit::seq, audit::reason)).load(conn).await?;
        let told = rows.into_iter().filter(|(_, reason)| reason.as_deref().is_some_and(|reason| personal.is_in(reason)));
        blank(conn, told.map(|(seq, _)| seq).collect()).await?;
    }
    Ok(())
}

/// The newest other names that a user had or a moderator gave, as decisions and the audit trail tell.
pub async fn former_names(conn: &mut Conn, user: &UserId, present: Option<&str>) -> Result<BTreeSet<String>, Failure> {
    let about = decision_users::table.filter(decision_users::user_id.eq(user.as_str())).select(decision_users::decision_id);
    let told = decisions::table.filter(decisions::id.eq_any(about)).order(decisions::id.desc());
    let told: Vec<(String, Option<String>)> = told.select((decisions::request, decisions::undo)).load(conn).await?;
    let changes = audit::table.filter(audit::target.eq(format!("user:{user}"))).order(audit::seq.desc());
    let changes: Vec<Option<String>> = changes.select(audit::details).load(conn).await?;
    let texts = told.into_iter().flat_map(|(request, undo)| [Some(request), undo]).chain(changes).flatten();
    let mut names = BTreeSet::new();
    for text in texts {
        let name = match serde_json::from_str::<Value>(&text).map_err(Failure::corrupt)?["displayName"].take() {
            Value::Array(pair) => pair,
            one => vec![one],
        };
        let name = name.into_iter().filter_map(|name| name.as_str().map(str::to_owned));
        names.extend(name.filter(|name| Some(&**name) != present).take(FORMER_NAMES.saturating_sub(names.len())));
    }
    Ok(names)
}

/// Drops the texts of entries of the audit trail that are by the user or about the user.
pub async fn scrub_audit(conn: &mut Conn, user: &UserId) -> Result<(), Failure> {
    let about = [format!("user:{user}"), format!("account:{user}")];
    let entry = audit::target.like(format!("%/entry:{}", escaped(user.as_str()))).escape('!');
    let of_user = audit::subject.eq(user.as_str()).or(audit::target.eq_any(&about)).or(entry);
    let rows = audit::table.filter(of_user).select((audit::seq, audit::subject, audit::target));
    let rows: Vec<(i64, Option<String>, Option<String>)> = rows.load(conn).await?;
    let entry = format!("/entry:{user}");
    // What is like this may differ in case.
    let tells = |(_, subject, target): &(i64, Option<String>, Option<String>)| {
        subject.as_deref() == Some(user.as_str())
            || target.as_ref().is_some_and(|target| about.contains(target) || target.ends_with(&entry))
    };
    blank(conn, rows.iter().filter(|row| tells(row)).map(|(seq, ..)| *seq).collect()).await
}

/// Drops the texts and the salts of these entries of the audit trail: what is left still proves the chain.
async fn blank(conn: &mut Conn, entries: Vec<i64>) -> Result<(), Failure> {
    for page in entries.chunks(ROWS_AT_ONCE) {
        let erased = (
            (audit::subject.eq(None::<String>), audit::target.eq(None::<String>), audit::reason.eq(None::<String>)),
            (audit::details.eq(None::<String>), audit::salt.eq(None::<String>)),
        );
        diesel::update(audit::table.filter(audit::seq.eq_any(page))).set(erased).execute(conn).await?;
    }
    Ok(())
}

/// A text in a pattern of `LIKE` whose escape character is `!`.
pub fn escaped(text: &str) -> String {
    text.replace('!', "!!").replace('%', "!%").replace('_', "!_")
}
