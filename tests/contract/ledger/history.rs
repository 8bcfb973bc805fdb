//! The history tells every accepted submission, and adds up.

use std::time::{Duration, Instant};

use scoreboard::domain::{
    action::{Action, ActionSettings},
    user::Profile,
};
use serde_json::json;

use super::*;

on_both_engines![
    a_submission_is_told_as_it_was_settled,
    pages_follow_each_other_without_gap_or_repeat,
    what_is_not_readable_leaves_no_trace,
    a_page_costs_the_same_whatever_the_user_did_elsewhere,
    pages_are_merged_from_many_leaderboards,
    the_latest_scores_of_a_board_are_among_the_newest_of_all,
    a_history_that_does_not_add_up_is_found,
];

async fn a_submission_is_told_as_it_was_settled(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    ledger.create_leaderboard(&slug("best"), &leaderboard_settings(Operator::Best, Order::Desc), NOW).await.unwrap();
    let feed = |now: &Action| ActionSettings { leaderboards: vec![slug("main"), slug("best")], ..now.settings.clone() };
    ledger.update_action(&action_id("goal"), NOW, |_| Ok(()), feed).await.unwrap();
    let metadata = json!({"match": "m-9", "odd": "\u{0} '\" \\ 🎯"}).as_object().cloned();
    let submission = Submission { metadata: metadata.clone(), ..goal("ann", 5) };
    let told = accepted(commit_one(&ledger, submission.clone()).await);
    let later = accepted(commit_one(&ledger, goal("bob", 2)).await);
    let (found, changes) = ledger.committed(vec![later.event_id, Uuid::now_v7(), told.event_id]).await.unwrap();
    assert_eq!(found, [later.clone(), told.clone()]);
    let changed: Vec<_> = changes.iter().map(|change| (change.event_id, change.board, change.score, change.revision)).collect();
    let applied =
        |of: &Accepted| of.standings.iter().map(|s| (of.event_id, s.board, Some(s.new_score), s.revision)).collect::<Vec<_>>();
    assert_eq!(changed, [applied(&later), applied(&told)].concat());

    let history = ledger.history(&user_id("ann"), None, None, 10, Readable::All, Projection::Public).await.unwrap();
    let event = &history[0];
    assert_eq!((history.len(), event.event_id, event.at), (1, told.event_id, told.at));
    assert_eq!((&event.metadata, event.value), (&metadata, Some(5)));
    let fed: Vec<_> =
        event.standings.iter().map(|s| (s.leaderboard_id.as_str(), s.previous_score, s.new_score, s.delta)).collect();
    assert_eq!(fed, [("main", None, 5, 5), ("best", None, 5, 5)]);
    let filtered =
        ledger.history(&user_id("ann"), Some(&slug("best")), None, 10, Readable::All, Projection::Public).await.unwrap();
    assert_eq!((filtered.len(), &filtered[0].metadata), (1, &metadata));
    let fed: Vec<_> = filtered[0].standings.iter().map(|standing| standing.leaderboard_id.as_str()).collect();
    assert_eq!(fed, ["best", "main"], "the one asked for first");
    assert_eq!(
        ledger.history(&user_id("ann"), Some(&slug("none")), None, 10, Readable::All, Projection::Public).await.unwrap(),
        []
    );
    assert_eq!(ledger.history(&user_id("cid"), None, None, 10, Readable::All, Projection::Public).await.unwrap(), []);
}

async fn pages_follow_each_other_without_gap_or_repeat(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    ledger.create_leaderboard(&slug("other"), &leaderboard_settings(Operator::Sum, Order::Desc), NOW).await.unwrap();
    ledger.create_action(&action_id("two"), &action_settings(&["main", "other"]), NOW).await.unwrap();
    let batch: Vec<_> = (0..23)
        .map(|n| Submission { action_id: action_id(["goal", "two"][n % 2]), ..goal(["ann", "bob"][n % 3 / 2], 1) })
        .collect();
    let outcomes = commit(&ledger, &batch, &Clock::system()).await.unwrap().outcomes;
    let events: Vec<_> = outcomes.into_iter().map(accepted).collect();
    for (filter, feeds) in [(None, ["goal", "two"].as_slice()), (Some(slug("other")), &["two"])] {
        let mut expected: Vec<_> =
            events.iter().filter(|s| s.user_id.as_str() == "ann" && feeds.contains(&s.action_id.as_str())).collect();
        expected.sort_by_key(|event| std::cmp::Reverse(event.event_id));
        let (mut pages, mut before) = (vec![], None);
        loop {
            let page =
                ledger.history(&user_id("ann"), filter.as_ref(), before, 4, Readable::All, Projection::Public).await.unwrap();
            assert!(page.len() <= 4);
            let Some(last) = page.last() else { break };
            before = Some(last.event_id);
            pages.extend(page.iter().map(|event| event.event_id));
        }
        assert_eq!(pages, expected.iter().map(|event| event.event_id).collect::<Vec<_>>());
    }
}

async fn what_is_not_readable_leaves_no_trace(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let private = LeaderboardSettings { visibility: Visibility::Private, ..leaderboard_settings(Operator::Sum, Order::Desc) };
    ledger.create_leaderboard(&slug("secret"), &private, NOW).await.unwrap();
    for (action, fed) in
        [("whisper", &["secret"][..]), ("led-secretly", &["secret", "main"]), ("led-openly", &["main", "secret"])]
    {
        ledger.create_action(&action_id(action), &action_settings(fed), NOW).await.unwrap();
    }
    let metadata = json!({"match": "m-9"}).as_object().cloned();
    for action in ["goal", "led-secretly", "led-openly", "whisper", "goal", "whisper", "whisper"] {
        let submission = Submission { action_id: action_id(action), metadata: metadata.clone(), ..goal("ann", 1) };
        accepted(commit_one(&ledger, submission).await);
    }
    let told = async |readable: Readable, limit| -> Vec<(String, Vec<String>, bool)> {
        let (mut told, mut before) = (Vec::new(), None);
        loop {
            let page = ledger.history(&user_id("ann"), None, before, limit, readable.clone(), Projection::Public).await.unwrap();
            let Some(last) = page.last() else { break told };
            before = Some(last.event_id);
            told.extend(page.iter().map(|event| {
                let fed = event.standings.iter().map(|standing| standing.leaderboard_id.to_string()).collect();
                (event.action_id.as_ref().unwrap().to_string(), fed, event.metadata.is_some())
            }));
        }
    };
    let row = |action: &str, fed: &[&str], described| {
        (action.to_owned(), fed.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>(), described)
    };
    let open = [
        row("goal", &["main"], true),
        row("led-openly", &["main"], true),
        row("led-secretly", &["main"], false),
        row("goal", &["main"], true),
    ];
    for limit in [1, 2, 3, 10] {
        assert_eq!(told(Readable::Public, limit).await, open, "in pages of {limit}");
    }
    let all = told(Readable::All, 3).await;
    assert_eq!((all.len(), &all[4]), (7, &row("led-openly", &["main", "secret"], true)));
    assert_eq!(all[5], row("led-secretly", &["secret", "main"], true));
    let secret = slug("secret");
    assert_eq!(ledger.history(&user_id("ann"), Some(&secret), None, 9, Readable::Public, Projection::Public).await.unwrap(), []);
    assert_eq!(
        ledger.history(&user_id("ann"), Some(&secret), None, 9, Readable::All, Projection::Public).await.unwrap().len(),
        5
    );
    // Nobody may read a leaderboard that is gone, and what it was told goes with it.
    ledger.delete_leaderboard(&secret, NOW).await.unwrap();
    assert_eq!(told(Readable::All, 10).await, open);
}

async fn the_latest_scores_of_a_board_are_among_the_newest_of_all(database: Database) {
    let ledger = database.ledger().await;
    let main = main_and_goal(&ledger, Operator::Best, Order::Desc).await;
    let told: Vec<_> = [("ann", 5), ("ann", 4), ("bob", 7), ("ann", 9)].map(|(user, value)| goal(user, value)).into();
    let committed = commit(&ledger, &told, &Clock::system()).await.unwrap().outcomes;
    let ids: Vec<_> = committed.into_iter().map(|outcome| accepted(outcome).event_id).collect();
    let profile = Profile { display_name: Some("Bob B.".into()), ..Profile::default() };
    ledger.put_user(&user_id("bob"), &profile, NOW).await.unwrap();
    let latest = async |board, limit| -> Vec<_> {
        let latest = ledger.latest_scores(board, None, limit).await.unwrap().into_iter();
        latest.map(|score| (score.event_id, score.display_name, score.delta, score.score, score.previous_score)).collect()
    };
    let row = |index: usize, name: &str, delta, score, previous| (ids[index], name.to_owned(), delta, score, previous);
    let all = [row(3, "ann", 4, 9, Some(5)), row(2, "Bob B.", 7, 7, None), row(0, "ann", 5, 5, None)];
    assert_eq!(latest(main, 10).await, all, "what was not applied is left out");
    assert_eq!(latest(main, 1).await, all[..1]);
    assert_eq!(latest(Board { season: 2, ..main }, 10).await, []);
    add_events(&database, "cy", Board { pk: 77, season: 1, order: Order::Desc }, 4_998).await;
    assert_eq!(latest(main, 10).await, all[..2], "older ones are not looked for");
}

/// Events of a user in one leaderboard, newer than any other, put there behind the ledger's back. `1 = 1` is true to either engine.
async fn add_events(database: &Database, user: &str, board: Board, count: usize) {
    let Board { pk, season, .. } = board;
    let (id, numbers) = match database.url.starts_with("sqlite") {
        true => (
            "unhex(printf('ff%030x', n))",
            format!("WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {count})"),
        ),
        false => {
            ("decode('ff' || lpad(to_hex(n), 30, '0'), 'hex')", format!("WITH s(n) AS (SELECT generate_series(1, {count}))"))
        }
    };
    let sql = format!(
        "{numbers} INSERT INTO score_events (event_id, position, leaderboard_pk, season, delta, new_score, revision, at, applied, \
         limited, user_id, leaderboard_id, action_id, subject) \
         SELECT {id}, 0, {pk}, {season}, 1, n, n, n, 1 = 1, 1 = 0, '{user}', 'elsewhere', 'goal', 'game-1' FROM s"
    );
    database.execute(&sql).await;
}

async fn a_page_costs_the_same_whatever_the_user_did_elsewhere(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let private = LeaderboardSettings { visibility: Visibility::Private, ..leaderboard_settings(Operator::Sum, Order::Desc) };
    let elsewhere = ledger.create_leaderboard(&slug("elsewhere"), &private, NOW).await.unwrap();
    for user in ["idle", "busy"] {
        commit(&ledger, &[goal(user, 1), goal(user, 2), goal(user, 3)], &Clock::system()).await.unwrap();
    }
    // Connections that planned their statements while the tables were small keep their plans.
    let main = slug("main");
    let quickest = async |user: &str, leaderboard| {
        let mut best = Duration::MAX;
        for _ in 0..10 {
            let begun = Instant::now();
            let page = ledger.history(&user_id(user), leaderboard, None, 3, Readable::Public, Projection::Public).await.unwrap();
            assert_eq!(page.iter().map(|event| event.value).collect::<Vec<_>>(), [Some(3), Some(2), Some(1)]);
            best = best.min(begun.elapsed());
        }
        best
    };
    quickest("busy", None).await;
    add_events(&database, "busy", elsewhere.board(), 200_000).await;
    for leaderboard in [None, Some(&main)] {
        let (idle, busy) = (quickest("idle", leaderboard).await, quickest("busy", leaderboard).await);
        assert!(busy < 4 * idle + Duration::from_millis(4), "{leaderboard:?}: {busy:?} where an idle user's takes {idle:?}");
    }
}

async fn pages_are_merged_from_many_leaderboards(database: Database) {
    let ledger = database.ledger().await;
    let ids: Vec<String> = (0..30).map(|number| format!("board-{number}")).collect();
    for id in &ids {
        ledger.create_leaderboard(&slug(id), &leaderboard_settings(Operator::Sum, Order::Desc), NOW).await.unwrap();
        ledger.create_action(&action_id(id), &action_settings(&[id]), NOW).await.unwrap();
    }
    // A few busy leaderboards between many with an event or two.
    let fed = |n: usize| &ids[if n.is_multiple_of(3) { n % 30 } else { n % 2 }];
    let batch: Vec<_> = (0..120).map(|n| Submission { action_id: action_id(fed(n)), ..goal("ann", 1) }).collect();
    let committed = commit(&ledger, &batch, &Clock::system()).await.unwrap();
    let mut expected: Vec<Uuid> = committed.outcomes.into_iter().map(|outcome| accepted(outcome).event_id).collect();
    expected.reverse();
    for limit in [1, 7, 100] {
        let (mut told, mut before) = (Vec::new(), None);
        loop {
            let page = ledger.history(&user_id("ann"), None, before, limit, Readable::Public, Projection::Public).await.unwrap();
            let Some(last) = page.last() else { break };
            before = Some(last.event_id);
            told.extend(page.iter().map(|event| event.event_id));
        }
        assert_eq!(told, expected, "in pages of {limit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_leave_connections_to_the_commits() {
    let database = Database::postgres().await;
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    accepted(commit_one(&ledger, goal("ann", 1)).await);
    // What commits have no need of, once they know the definitions.
    let (client, connection) = tokio_postgres::connect(&database.url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("BEGIN; LOCK TABLE leaderboards IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let readers: Vec<_> = (0..40)
        .map(|_| {
            let ledger = ledger.clone();
            tokio::spawn(async move { ledger.history(&user_id("ann"), None, None, 10, Readable::All, Projection::Public).await })
        })
        .collect();
    let waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'leaderboards'::regclass AND NOT granted";
    while client.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) < 3 {
        tokio::task::yield_now().await;
    }
    let begun = Instant::now();
    accepted(commit_one(&ledger, goal("ann", 1)).await);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    client.batch_execute("ROLLBACK").await.unwrap();
    for reader in readers {
        reader.await.unwrap().ok();
    }
}

async fn a_history_that_does_not_add_up_is_found(database: Database) {
    let ledger = database.ledger().await;
    let board = main_and_goal(&ledger, Operator::Last, Order::Asc).await;
    for user in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "whole"] {
        commit(&ledger, &[goal(user, 5), goal(user, 5), goal(user, 3), goal(user, 9)], &Clock::system()).await.unwrap();
    }
    assert_eq!(ledger.history_mismatches(board, 10).await.unwrap(), Vec::<String>::new());
    database.execute("UPDATE entries SET score = 8, sort_score = 8 WHERE user_id = 'a'").await;
    database.execute("UPDATE entries SET revision = 2 WHERE user_id = 'b'").await;
    database.execute("DELETE FROM entries WHERE user_id = 'c'").await;
    database.execute("DELETE FROM score_events WHERE user_id = 'd'").await;
    database.execute("DELETE FROM score_events WHERE user_id = 'e' AND revision = 2").await;
    database.execute("UPDATE entries SET sort_score = -9 WHERE user_id = 'f'").await;
    database.execute("UPDATE entries SET reached_at = reached_at + 1 WHERE user_id = 'g'").await;
    database.execute("UPDATE score_events SET delta = delta + 1 WHERE user_id = 'h' AND revision = 2").await;
    database.execute("UPDATE score_events SET new_score = 4, delta = delta + 1 WHERE user_id = 'i' AND revision = 2").await;
    let found = ledger.history_mismatches(board, 10).await.unwrap();
    let expected = [
        "season 1, \"a\": the history ends at another score",
        "season 1, \"b\": the revision is not the number of changes",
        "season 1, \"c\": has a history but no entry",
        "season 1, \"d\": has an entry but no history",
        "season 1, \"e\": the history has a hole",
        "season 1, \"f\": the entry is sorted by another score than its own",
        "season 1, \"g\": the history ends at another time",
        "season 1, \"h\": the history does not add up",
        "season 1, \"i\": the history does not add up",
    ];
    assert_eq!(found, expected);
    assert_eq!(ledger.history_mismatches(board, 2).await.unwrap().len(), 2);
}
