//! Users and their profiles.

use diesel::{
    BoolExpressionMethods, ExpressionMethods, Insertable, JoinOnDsl, OptionalExtension, QueryDsl, Queryable, Selectable,
    SelectableHelper,
};
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};

use super::{
    super::super::{
        LedgerError, Updated,
        schema::{entries, leaderboards, users},
    },
    Conn, Db, Failure, audit,
    leaderboards::order,
    locks, outbox, reviews, search, sessions,
};
use crate::domain::{
    announcement::Announcement,
    audit::{Act, Deed},
    caller::SessionId,
    entry::{Appearance, DisplayName, TAKEN_OUT},
    ids::{LeaderboardId, UserId},
    leaderboard::Board,
    time::Timestamp,
    user::{Profile, User},
};

/// What rows show of a user, where there is one: name, picture, country, revision.
pub type ShownColumns = (Option<String>, Option<String>, Option<String>, Option<i64>);

/// Those columns of `users`, which may be joined from the left.
macro_rules! shown_columns {
    () => {
        (users::display_name.nullable(), users::avatar_url.nullable(), users::country.nullable(), users::revision.nullable())
    };
}
pub(super) use shown_columns;

/// What rows show of a user with these columns; `None` if there is no user.
pub fn shown((name, avatar_url, country, revision): ShownColumns) -> Option<DisplayName> {
    let appearance = Appearance::of(avatar_url.as_deref(), country.as_deref());
    revision.map(|revision| DisplayName { name, revision, appearance })
}

/// A row of `users`.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = users, check_for_backend(Db))]
pub struct UserRow {
    id: String,
    display_name: Option<String>,
    avatar_url: Option<String>,
    country: Option<String>,
    metadata: Option<String>,
    revision: i64,
    created_at: i64,
    updated_at: i64,
}

/// The user, if there is one.
pub async fn user(conn: &mut Conn, id: &UserId) -> Result<Option<User>, Failure> {
    let row = users::table.find(id.as_str()).select(UserRow::as_select()).first(conn).await.optional()?;
    row.map(UserRow::into_user).transpose()
}

/// The user, if there is one of whom others may know.
pub async fn known(conn: &mut Conn, id: &UserId) -> Result<Option<User>, Failure> {
    let Some(user) = user(conn, id).await? else { return Ok(None) };
    Ok(if concealed(conn, &user).await? { None } else { Some(user) })
}

/// Whether nobody may know that there is this user: nothing was ever said of it, and all that it has is withheld.
async fn concealed(conn: &mut Conn, user: &User) -> Result<bool, Failure> {
    Ok(user.revision == 0 && reviews::conceal(conn, &user.id).await?)
}

/// Creates the user if unknown, and changes the profile to what `change` makes of the present one. The change is announced to every ranking
/// that has an entry of the user. A user of whom nobody may know is created by it as well, for all that its caller can tell. The audit names
/// what it `did`.
pub async fn put(
    conn: &mut Conn,
    id: &UserId,
    act: &Act,
    session: Option<SessionId>,
    did: &'static str,
    change: impl FnOnce(&Profile) -> Profile,
) -> Result<Updated<User>, Failure> {
    let now = act.at;
    // Either this transaction inserts the row, or it exists: a commit that is inserting it at this moment is waited for.
    let made = add_nameless(conn, id, now).await?;
    let mut before = locks::user(conn, id).await?.ok_or(Failure::Raced)?;
    // Now, when an erasure is over that this waited for: it must not be undone.
    let own = session.into_iter().collect();
    if sessions::live(conn, &own).await?.len() < own.len() {
        return Err(LedgerError::SessionEnded.into());
    }
    let new = made > 0 || concealed(conn, &before).await?;
    if new {
        before.created_at = now;
    }
    let profile = change(&before.profile);
    let deed = Deed::change(did, format!("user:{id}"), &value_of(&before.profile)?, &value_of(&profile)?);
    if !new && before.profile == profile {
        audit::record(conn, act, &deed).await?;
        return Ok(Updated { value: before, outbox: None });
    }
    if before.profile.display_name != profile.display_name && name_is_locked(conn, id).await? {
        return Err(LedgerError::NameLocked.into());
    }
    let shown = !before.profile.shows_the_same(&profile);
    let found_otherwise = new || before.profile.display_name != profile.display_name;
    let after = User { profile, revision: before.revision + 1, updated_at: now, ..before };
    let row = UserRow::of(&after)?;
    diesel::update(users::table.find(id.as_str()))
        .set((
            users::display_name.eq(row.display_name),
            users::avatar_url.eq(row.avatar_url),
            users::country.eq(row.country),
            users::metadata.eq(row.metadata),
            users::revision.eq(row.revision),
            users::created_at.eq(row.created_at),
            users::updated_at.eq(row.updated_at),
        ))
        .execute(conn)
        .await?;
    if found_otherwise {
        search::set(conn, &after.id, after.profile.display_name.as_deref()).await?;
    }
    let announcement = if shown { name_changed(conn, &after).await? } else { None };
    let outbox = match announcement {
        Some(announcement) => Some((outbox::add(conn, now, &announcement).await?, announcement)),
        None => None,
    };
    audit::record(conn, act, &deed).await?;
    Ok(Updated { value: after, outbox })
}

/// Makes a user of whom nothing is known, unless there is one; returns how many were made.
pub async fn add_nameless(conn: &mut Conn, id: &UserId, now: Timestamp) -> Result<usize, Failure> {
    let user = User { id: id.clone(), profile: Profile::default(), revision: 0, created_at: now, updated_at: now };
    Ok(diesel::insert_into(users::table).values(UserRow::of(&user)?).on_conflict_do_nothing().execute(conn).await?)
}

/// Whether any user has a picture or a country.
pub async fn has_appearances(conn: &mut Conn) -> Result<bool, Failure> {
    let some = users::table.filter(users::avatar_url.is_not_null().or(users::country.is_not_null()));
    Ok(some.select(users::id).first::<String>(conn).await.optional()?.is_some())
}

/// Whether a moderator has set the name.
pub async fn name_is_locked(conn: &mut Conn, id: &UserId) -> Result<bool, Failure> {
    Ok(users::table.find(id.as_str()).select(users::name_locked).first(conn).await?)
}

/// What has to be announced of a user's new name; `None` if the user is in no ranking.
pub async fn name_changed(conn: &mut Conn, user: &User) -> Result<Option<Announcement>, Failure> {
    let leaderboards = leaderboards_of(conn, &user.id).await?;
    Ok((!leaderboards.is_empty()).then(|| Announcement::user_changed(user, &leaderboards)))
}

fn value_of(profile: &Profile) -> Result<Value, Failure> {
    let Profile { display_name, avatar_url, country, metadata } = profile;
    let metadata = metadata.clone().map(Value::Object);
    Ok(json!({ "displayName": display_name, "avatarUrl": avatar_url, "country": country, "metadata": metadata }))
}

/// The current rankings that have an entry of the user.
pub async fn leaderboards_of(conn: &mut Conn, id: &UserId) -> Result<Vec<(LeaderboardId, Board)>, Failure> {
    let rows: Vec<(String, i64, i64, String)> = leaderboards::table
        .inner_join(entries::table.on(entries::leaderboard_pk.eq(leaderboards::pk).and(entries::season.eq(leaderboards::season))))
        .filter(entries::user_id.eq(id.as_str()).and(entries::sort_score.lt(TAKEN_OUT)))
        .order(leaderboards::pk)
        .select((leaderboards::id, leaderboards::pk, leaderboards::season, leaderboards::sort_order))
        .load(conn)
        .await?;
    let leaderboard = |(id, pk, season, text): (String, i64, i64, String)| {
        Ok((LeaderboardId::parse(&id).map_err(Failure::corrupt)?, Board { pk, season, order: order(&text)? }))
    };
    rows.into_iter().map(leaderboard).collect()
}

impl UserRow {
    fn of(user: &User) -> Result<Self, Failure> {
        let profile = &user.profile;
        let metadata = profile.metadata.as_ref().map(serde_json::to_string).transpose().map_err(Failure::corrupt)?;
        Ok(Self {
            id: user.id.to_string(),
            display_name: profile.display_name.clone(),
            avatar_url: profile.avatar_url.clone(),
            country: profile.country.clone(),
            metadata,
            revision: user.revision,
            created_at: user.created_at.0,
            updated_at: user.updated_at.0,
        })
    }

    /// The user that this row holds.
    pub fn into_user(self) -> Result<User, Failure> {
        let metadata = self.metadata.as_deref().map(serde_json::from_str).transpose().map_err(Failure::corrupt)?;
        Ok(User {
            id: UserId::parse(&self.id).map_err(Failure::corrupt)?,
            profile: Profile { display_name: self.display_name, avatar_url: self.avatar_url, country: self.country, metadata },
            revision: self.revision,
            created_at: Timestamp(self.created_at),
            updated_at: Timestamp(self.updated_at),
        })
    }
}
