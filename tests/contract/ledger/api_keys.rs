//! API keys: read back as they were written, read by themselves, and judged by every commit.

use std::{num::NonZeroU32, sync::Arc};

use scoreboard::{
    domain::{
        api_key::{ApiKey, KeyRate, KeySettings, Secrets, hash},
        caller::{Credential, KeyUse, Scope},
        ids::{KeyId, Noun},
        submission::Refusal,
    },
    repositories::ledger::LedgerError,
};

use super::*;

on_both_engines![
    a_key_is_read_back_as_it_was_written,
    a_key_is_read_by_itself_between_other_changes,
    another_handle_commits_nothing_by_a_deleted_key,
    a_commit_judges_by_the_present_secrets_scopes_and_bounds,
    a_key_that_may_not_be_changed_stays_as_it_is,
    uses_of_keys_are_noted_and_never_set_back,
];

fn key_id(text: &str) -> KeyId {
    KeyId::parse(text).unwrap()
}

fn settings(scopes: &[Scope], leaderboards: Option<&[&str]>) -> KeySettings {
    let leaderboards = leaderboards.map(|ids| ids.iter().map(|id| slug(id)).collect());
    KeySettings { name: "game".into(), scopes: scopes.iter().copied().collect(), leaderboards, expires_at: None, rate: None }
}

fn key(id: &str, settings: KeySettings) -> ApiKey {
    ApiKey::new(key_id(id), settings, Secrets { present: hash("one"), former: None }, NOW)
}

fn writer(id: &str) -> ApiKey {
    key(id, settings(&[Scope::ScoresWrite], None))
}

fn goal_by(id: &str, secret: &str) -> Submission {
    Submission { credential: Credential::Key(KeyUse { id: key_id(id), secret: hash(secret), rate: None }), ..goal("ann", 1) }
}

async fn a_key_is_read_back_as_it_was_written(database: Database) {
    let ledger = database.ledger().await;
    let five = NonZeroU32::new(5).unwrap();
    let full = KeySettings {
        name: "Spiel-Server 宮".into(),
        expires_at: Some(Timestamp(NOW.0 + 1_000_000)),
        rate: Some(KeyRate { per_second: five, burst: NonZeroU32::MAX }),
        ..settings(&Scope::ALL, Some(&["a", "b.c"]))
    };
    let secrets = Secrets { present: hash("two"), former: Some((hash("one"), Timestamp(NOW.0 + 7))) };
    let made = ApiKey::new(key_id("zzzzzzzzzz"), full, secrets, NOW);
    for key in [&made, &writer("aaaaaaaaaa"), &writer("AAAAAAAAAA")] {
        ledger.create_api_key(key, NOW).await.unwrap();
    }
    assert_eq!(ledger.create_api_key(&made, NOW).await, Err(LedgerError::Taken));
    let (read, last_used_at) = ledger.api_key(&made.id).await.unwrap().unwrap();
    assert_eq!((&read.settings, &read.secrets, read.created_at, last_used_at), (&made.settings, &made.secrets, NOW, None));
    let definitions = ledger.definitions().await.unwrap();
    let known = definitions.key("zzzzzzzzzz").unwrap();
    assert_eq!((&known.settings, &known.secrets), (&made.settings, &made.secrets));
    let ids = async |after: Option<&str>, limit| -> Vec<String> {
        let page = ledger.api_keys(after.map(key_id).as_ref(), limit).await.unwrap();
        page.into_iter().map(|(key, _)| key.id.to_string()).collect()
    };
    assert_eq!(ids(None, 9).await, ["AAAAAAAAAA", "aaaaaaaaaa", "zzzzzzzzzz"], "bytewise");
    assert_eq!(ids(Some("AAAAAAAAAA"), 1).await, ["aaaaaaaaaa"]);
    ledger.delete_api_key(&made.id, NOW, |_| Ok(())).await.unwrap();
    assert_eq!(ledger.delete_api_key(&made.id, NOW, |_| Ok(())).await, Err(LedgerError::NotFound(Noun::Key)));
    assert!(ledger.api_key(&made.id).await.unwrap().is_none());
}

async fn a_key_is_read_by_itself_between_other_changes(database: Database) {
    let (one, other) = (database.ledger().await, database.connect().await);
    main_and_goal(&one, Operator::Sum, Order::Desc).await;
    let mut known = Arc::new(other.definitions().await.unwrap());
    for step in 0..5 {
        match step {
            0 => one.create_api_key(&writer("aaaaaaaaaa"), NOW).await.unwrap(),
            1 => {
                one.create_api_key(&writer("bbbbbbbbbb"), NOW).await.unwrap();
                one.create_action(&action_id("two"), &action_settings(&["main"]), NOW).await.unwrap();
                let bound = |key: &ApiKey| Ok((settings(&[], Some(&["main"])), key.secrets.clone()));
                one.change_api_key(&key_id("aaaaaaaaaa"), NOW, "key.update", bound).await.unwrap();
            }
            // A release that notes nothing was here.
            2 => database.execute("UPDATE installation SET definitions_revision = definitions_revision + 1").await,
            3 => one.delete_api_key(&key_id("aaaaaaaaaa"), NOW, |_| Ok(())).await.unwrap(),
            _ => drop(one.delete_action(&action_id("two"), NOW, |_| Ok(())).await),
        }
        let (since, all) = (other.definitions_since(&known).await.unwrap(), one.definitions().await.unwrap());
        assert!(since.revision == all.revision && since.revision != known.revision, "step {step}");
        for id in ["aaaaaaaaaa", "bbbbbbbbbb"] {
            let told = |definitions: &Definitions| definitions.key(id).map(|key| (key.settings.clone(), key.secrets.clone()));
            assert_eq!(told(&since), told(&all), "step {step}");
        }
        assert_eq!(since.action("two").is_some(), all.action("two").is_some(), "step {step}");
        known = Arc::new(since);
    }
}

async fn another_handle_commits_nothing_by_a_deleted_key(database: Database) {
    let (one, other) = (database.ledger().await, database.connect().await);
    main_and_goal(&one, Operator::Sum, Order::Desc).await;
    one.create_api_key(&writer("aaaaaaaaaa"), NOW).await.unwrap();
    accepted(commit_one(&other, goal_by("aaaaaaaaaa", "one")).await);
    assert_eq!(refusal(commit_one(&other, goal_by("aaaaaaaaaa", "two")).await), Refusal::KeyEnded);
    one.delete_api_key(&key_id("aaaaaaaaaa"), NOW, |_| Ok(())).await.unwrap();
    assert_eq!(refusal(commit_one(&other, goal_by("aaaaaaaaaa", "one")).await), Refusal::KeyEnded);
    // A neighbour in the same batch is not concerned.
    let batch = [goal_by("aaaaaaaaaa", "one"), goal("bob", 1)];
    let committed = commit(&other, &batch, &Clock::system()).await.unwrap();
    accepted(committed.outcomes[1].clone());
}

async fn a_commit_judges_by_the_present_secrets_scopes_and_bounds(database: Database) {
    let (one, other) = (database.ledger().await, database.connect().await);
    main_and_goal(&one, Operator::Sum, Order::Desc).await;
    one.create_api_key(&writer("aaaaaaaaaa"), NOW).await.unwrap();
    let now = Timestamp(chrono::Utc::now().timestamp_micros());
    let id = key_id("aaaaaaaaaa");
    let rotated =
        move |key: &ApiKey| Ok((key.settings.clone(), key.secrets.clone().rotated(hash("two"), now, now.plus_seconds(60))));
    one.change_api_key(&id, NOW, "key.rotate", rotated).await.unwrap();
    for secret in ["one", "two"] {
        accepted(commit_one(&other, goal_by("aaaaaaaaaa", secret)).await);
    }
    let changed = async |change: KeySettings| {
        one.change_api_key(&id, NOW, "key.update", move |key| Ok((change, key.secrets.clone()))).await.unwrap();
        commit_one(&other, goal_by("aaaaaaaaaa", "two")).await
    };
    let write = [Scope::ScoresWrite];
    assert_eq!(refusal(changed(settings(&[Scope::ScoresSelf], None)).await), Refusal::KeyLacksScope);
    assert_eq!(refusal(changed(settings(&write, Some(&["other"]))).await), Refusal::KeyBound);
    accepted(changed(settings(&write, Some(&["other", "main"]))).await);
    let expired = KeySettings { expires_at: Some(now), ..settings(&write, None) };
    assert_eq!(refusal(changed(expired).await), Refusal::KeyEnded);
}

async fn a_key_that_may_not_be_changed_stays_as_it_is(database: Database) {
    let ledger = database.ledger().await;
    ledger.create_api_key(&writer("aaaaaaaaaa"), NOW).await.unwrap();
    let (id, revision) = (key_id("aaaaaaaaaa"), ledger.definitions_revision().await.unwrap());
    let refused = || LedgerError::Forbidden("no".into());
    let changed = ledger.change_api_key(&id, NOW, "key.update", move |_| Err(refused())).await;
    assert_eq!(changed.map(|_| ()), Err(LedgerError::Forbidden("no".into())));
    let deleted = ledger.delete_api_key(&id, NOW, |_| Err(LedgerError::Forbidden("no".into()))).await;
    assert_eq!(deleted, Err(LedgerError::Forbidden("no".into())));
    ledger.change_api_key(&id, NOW, "key.update", |key| Ok((key.settings.clone(), key.secrets.clone()))).await.unwrap();
    assert_eq!(ledger.definitions_revision().await.unwrap(), revision, "nothing has changed");
    accepted_key(&ledger, &id).await;
}

async fn accepted_key(ledger: &Ledger, id: &KeyId) {
    assert_eq!(ledger.api_key(id).await.unwrap().unwrap().0.secrets.present, hash("one"));
}

async fn uses_of_keys_are_noted_and_never_set_back(database: Database) {
    let ledger = database.ledger().await;
    ledger.create_api_key(&writer("aaaaaaaaaa"), NOW).await.unwrap();
    let id = key_id("aaaaaaaaaa");
    let revision = ledger.definitions_revision().await.unwrap();
    for (at, told) in [(50, 50), (40, 50), (60, 60)] {
        ledger.note_key_uses(vec![(id.clone(), Timestamp(at)), (key_id("bbbbbbbbbb"), Timestamp(at))]).await.unwrap();
        assert_eq!(ledger.api_key(&id).await.unwrap().unwrap().1, Some(Timestamp(told)));
    }
    let keep = |key: &ApiKey| Ok((KeySettings { name: "new".into(), ..key.settings.clone() }, key.secrets.clone()));
    let (_, last_used_at) = ledger.change_api_key(&id, NOW, "key.update", keep).await.unwrap();
    assert_eq!(last_used_at, Some(Timestamp(60)), "a change keeps it");
    assert_eq!(ledger.definitions_revision().await.unwrap(), revision + 1, "uses are no change");
}
