//! Users: made by their first score, described by a profile, shown by their name.

use scoreboard::domain::{announcement::Announcement, entry::DisplayName, user::Profile};
use serde_json::json;
use tokio::task::JoinSet;

use super::*;

on_both_engines![
    a_profile_is_read_back_as_it_was_written,
    a_new_name_is_announced_to_every_ranking_that_shows_it,
    what_nobody_sees_is_not_announced,
    a_commit_tells_the_name_of_its_moment,
    a_rename_and_a_commit_never_miss_each_other,
];

fn named(name: &str) -> Profile {
    Profile { display_name: Some(name.into()), ..Profile::default() }
}

async fn a_profile_is_read_back_as_it_was_written(database: Database) {
    let ledger = database.ledger().await;
    assert_eq!(ledger.user(&user_id("ann")).await.unwrap(), None);
    let metadata = json!({"team": "Ω", "level": 7, "odd": "\u{0}\u{1f}'\""}).as_object().cloned();
    let profile = Profile { avatar_url: Some("https://x/y".into()), country: Some("CZ".into()), metadata, ..named("Ann") };
    let made = ledger.put_user(&user_id("ann"), &profile, NOW).await.unwrap();
    assert_eq!((made.value.revision, made.outbox.is_none()), (1, true));
    let user = ledger.user(&user_id("ann")).await.unwrap().unwrap();
    assert_eq!(user, made.value);
    assert_eq!((user.profile, user.created_at), (profile, NOW));
    let emptied = ledger.put_user(&user_id("ann"), &Profile::default(), NOW.plus_seconds(1)).await.unwrap().value;
    assert_eq!((emptied.profile, emptied.revision, emptied.created_at), (Profile::default(), 2, NOW));
}

async fn a_new_name_is_announced_to_every_ranking_that_shows_it(database: Database) {
    let ledger = database.ledger().await;
    let main = main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    for id in ["other", "unscored", "deleted"] {
        ledger.create_leaderboard(&slug(id), &leaderboard_settings(Operator::Sum, Order::Asc), NOW).await.unwrap();
    }
    ledger.create_action(&action_id("two"), &action_settings(&["other", "deleted"]), NOW).await.unwrap();
    commit_one(&ledger, goal("ann", 1)).await;
    commit_one(&ledger, Submission { action_id: action_id("two"), ..goal("ann", 1) }).await;
    ledger.delete_leaderboard(&slug("deleted"), NOW).await.unwrap();
    let other = leaderboard(&ledger.definitions().await.unwrap(), "other").board();

    let renamed = ledger.put_user(&user_id("ann"), &named("Ann"), NOW).await.unwrap();
    let (id, announcement) = renamed.outbox.unwrap();
    let name = DisplayName { name: Some("Ann".into()), revision: 1, appearance: None };
    let event = |id: &str| {
        format!(
            "\"leaderboardId\":\"{id}\",\"season\":1,\"userId\":\"ann\",\"displayName\":\"Ann\",\"avatarUrl\":null,\"country\":null"
        )
    };
    let (boards, events) = (vec![main, other], vec![event("main"), event("other")]);
    assert_eq!(announcement, Announcement::Rename { boards, user_id: user_id("ann"), name, events });
    let due = claim(&ledger, Timestamp(i64::MAX / 2), 0, 10).await.unwrap();
    assert!(due.contains(&(id, Some(announcement))));
    assert_eq!(&*ledger.window(main, 1, 1).await.unwrap().entries[0].display_name, "Ann");
}

async fn what_nobody_sees_is_not_announced(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    commit_one(&ledger, goal("ann", 1)).await;
    ledger.put_user(&user_id("ann"), &named("Ann"), NOW).await.unwrap();
    let told = ledger.outbox_len().await.unwrap();
    let same = ledger.put_user(&user_id("ann"), &named("Ann"), NOW.plus_seconds(5)).await.unwrap();
    assert_eq!((same.value.revision, same.value.updated_at, same.outbox), (1, NOW, None));
    let described = Profile { metadata: json!({"team": "blue"}).as_object().cloned(), ..named("Ann") };
    let described = ledger.put_user(&user_id("ann"), &described, NOW).await.unwrap();
    assert_eq!((described.value.revision, described.outbox), (2, None));
    assert_eq!(ledger.outbox_len().await.unwrap(), told);
    let moved = Profile { country: Some("SK".into()), avatar_url: Some("https://x/y".into()), ..described.value.profile };
    let moved = ledger.put_user(&user_id("ann"), &moved, NOW).await.unwrap();
    let Some((_, Announcement::Rename { events, .. })) = moved.outbox else { panic!("{moved:?}") };
    assert!(events[0].ends_with("\"displayName\":\"Ann\",\"avatarUrl\":\"https://x/y\",\"country\":\"SK\""), "{events:?}");
}

async fn a_commit_tells_the_name_of_its_moment(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let name = async |submission| commit(&ledger, &[submission], &Clock::system()).await.unwrap().changes.remove(0).name;
    assert_eq!(name(goal("ann", 1)).await, DisplayName { name: None, revision: 0, appearance: None });
    ledger.put_user(&user_id("ann"), &named("Ann"), NOW).await.unwrap();
    assert_eq!(name(goal("ann", 1)).await, DisplayName { name: Some("Ann".into()), revision: 1, appearance: None });
    ledger.put_user(&user_id("bob"), &named("Bob"), NOW).await.unwrap();
    assert_eq!(name(goal("bob", 1)).await, DisplayName { name: Some("Bob".into()), revision: 1, appearance: None });
}

async fn a_rename_and_a_commit_never_miss_each_other(database: Database) {
    let (one, other) = (database.ledger().await, database.connect().await);
    main_and_goal(&one, Operator::Sum, Order::Desc).await;
    let mut racing = JoinSet::new();
    for round in 0..20 {
        let (one, other) = (one.clone(), other.clone());
        racing.spawn(async move {
            let user = format!("u-{round}");
            let (id, profile, clock) = (user_id(&user), named("New"), Clock::system());
            let batch = [goal(&user, 1)];
            let (renamed, committed) = tokio::join!(one.put_user(&id, &profile, NOW), commit(&other, &batch, &clock));
            let change = committed.unwrap().changes.remove(0);
            // Either the commit came later and tells the new name itself, or the rename saw the entry and tells the ranking.
            assert_ne!(change.name.revision == 1, renamed.unwrap().outbox.is_some(), "round {round}");
        });
    }
    racing.join_all().await;
}
