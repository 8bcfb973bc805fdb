//! The audit trail: one entry for each change that is no score, in its transaction, in a chain.

use scoreboard::domain::{
    audit::{Act, AuditEntry, GENESIS},
    leaderboard::LeaderboardSettings,
    user::Profile,
};

use super::*;

on_both_engines![
    every_change_has_one_entry_and_a_refused_one_has_none,
    two_handles_write_one_chain,
    whatever_is_altered_in_the_tables_shows,
];

fn by(subject: &str) -> Act {
    Act { at: Clock::system().now(), subject: subject.into(), request_id: Some("r-1".into()) }
}

async fn trail(ledger: &Ledger) -> Vec<AuditEntry> {
    ledger.audit(0, 1_000).await.unwrap().0
}

/// The first entry that does not follow from the one before it.
fn fault(entries: &[AuditEntry]) -> Option<i64> {
    let (mut seq, mut hash) = (0, GENESIS.to_owned());
    for entry in entries {
        if entry.fault(seq, &hash).is_some() {
            return Some(entry.seq);
        }
        (seq, hash) = (entry.seq, entry.hash.clone());
    }
    None
}

async fn every_change_has_one_entry_and_a_refused_one_has_none(database: Database) {
    let ledger = database.ledger().await;
    let (main, goal_id) = (slug("main"), action_id("goal"));
    let settings = leaderboard_settings(Operator::Sum, Order::Desc);
    ledger.create_leaderboard(&main, &settings, by("studio")).await.unwrap();
    ledger.create_leaderboard(&main, &settings, by("studio")).await.unwrap_err();
    ledger.create_action(&goal_id, &action_settings(&["main"]), by("studio")).await.unwrap();
    let rename = |now: &Leaderboard| Ok(LeaderboardSettings { name: "Other".into(), ..now.settings.clone() });
    ledger.update_leaderboard(&main, by("ops"), rename).await.unwrap();
    ledger.update_leaderboard(&main, by("ops"), rename).await.unwrap();
    ledger.update_leaderboard(&slug("none"), by("ops"), rename).await.unwrap_err();
    commit_one(&ledger, goal("ann", 3)).await;
    let profile = Profile { display_name: Some("Ann".into()), ..Profile::default() };
    ledger.put_user(&user_id("ann"), &profile, by("ops")).await.unwrap();
    ledger.remove_entry(&main, &user_id("ann"), by("mod")).await.unwrap().unwrap();
    assert!(ledger.remove_entry(&main, &user_id("ann"), by("mod")).await.unwrap().is_none());
    ledger.end_season(&main, 1, Some("Next".into()), by("ops"), None, |_| String::new()).await.unwrap();
    ledger.end_season(&main, 1, None, by("ops"), None, |_| String::new()).await.unwrap_err();
    ledger.rename_season(&main, 1, Some("First".into()), by("ops")).await.unwrap();
    ledger
        .update_action(&goal_id, by("ops"), |_| Ok(()), |now| ActionSettings { enabled: false, ..now.settings.clone() })
        .await
        .unwrap();
    ledger.delete_action(&goal_id, by("ops"), |_| Ok(())).await.unwrap();
    ledger.delete_action(&goal_id, by("ops"), |_| Ok(())).await.unwrap_err();
    ledger.delete_leaderboard(&main, by("ops")).await.unwrap();

    let trail = trail(&ledger).await;
    let said: Vec<_> = trail.iter().map(|entry| (&*entry.action, entry.target.text.as_deref().unwrap())).collect();
    let expected = [
        ("leaderboard.create", "leaderboard:main"),
        ("action.create", "action:goal"),
        ("leaderboard.update", "leaderboard:main"),
        ("leaderboard.update", "leaderboard:main"),
        ("user.replace", "user:ann"),
        ("entry.remove", "leaderboard:main/season:1/entry:ann"),
        ("season.end", "leaderboard:main/season:1"),
        ("season.rename", "leaderboard:main/season:1"),
        ("action.update", "action:goal"),
        ("action.delete", "action:goal"),
        ("leaderboard.delete", "leaderboard:main"),
    ];
    assert_eq!(said, expected);
    assert_eq!(trail.iter().map(|entry| entry.seq).collect::<Vec<_>>(), (1..=11).collect::<Vec<_>>());
    assert_eq!(fault(&trail), None);
    let details =
        |index: usize| -> serde_json::Value { serde_json::from_str(trail[index].details.text.as_deref().unwrap()).unwrap() };
    assert_eq!(details(2)["name"], serde_json::json!(["Main", "Other"]));
    assert_eq!(details(3), serde_json::json!({}), "a change of nothing");
    assert_eq!((trail[5].subject.text.as_deref(), trail[5].request_id.as_deref()), (Some("mod"), Some("r-1")));
    let (page, head) = ledger.audit(9, 1).await.unwrap();
    assert_eq!((page.len(), page[0].seq), (1, 10));
    assert_eq!(head, Some((11, trail[10].hash.clone())));
}

async fn two_handles_write_one_chain(database: Database) {
    let one = database.ledger().await;
    let other = database.connect().await;
    let users = async |ledger: &Ledger, prefix: &str| {
        for n in 0..25 {
            let profile = Profile { display_name: Some(format!("{prefix} {n}")), ..Profile::default() };
            ledger.put_user(&user_id(&format!("{prefix}-{n}")), &profile, by(prefix)).await.unwrap();
        }
    };
    tokio::join!(users(&one, "one"), users(&other, "other"));
    let trail = trail(&one).await;
    assert_eq!((trail.len(), fault(&trail)), (50, None));
}

async fn whatever_is_altered_in_the_tables_shows(database: Database) {
    let ledger = database.ledger().await;
    for n in 0..5 {
        let profile = Profile { display_name: Some(format!("Name {n}")), ..Profile::default() };
        ledger.put_user(&user_id(&format!("user-{n}")), &profile, by("ops")).await.unwrap();
    }
    database.execute("UPDATE audit SET subject = NULL, target = NULL, details = NULL, salt = NULL WHERE seq = 2").await;
    assert_eq!(fault(&trail(&ledger).await), None, "an erasure");
    database.execute("UPDATE audit SET target = 'user:somebody' WHERE seq = 4").await;
    assert_eq!(fault(&trail(&ledger).await), Some(4));
    database.execute("DELETE FROM audit WHERE seq = 3").await;
    assert_eq!(fault(&trail(&ledger).await), Some(4), "one is missing");
}
