//! Seasons in the ledger: each boundary once, each score in the season that is current when it is committed.

use std::time::Duration;

use scoreboard::{
    domain::{
        archive::{EMPTY_DIGEST, MARK_EVERY, Reading},
        entry::RankKey,
        ids::Noun,
        leaderboard::{Bounds, OnExceed},
        schedule::ResetSchedule,
        season::{Season, SeasonCause, SeasonResult, SeasonState},
        submission::RequestKey,
    },
    repositories::ledger::SeasonAnswer,
};

use super::*;

on_both_engines![
    a_leaderboard_begins_with_its_first_season,
    a_season_ends_once_and_the_next_one_is_empty,
    a_key_ends_a_season_once,
    a_due_boundary_comes_before_any_score,
    missed_boundaries_are_carried_out_each_at_its_time,
    a_score_lies_in_its_season_whatever_the_clock_says,
    two_handles_make_one_season_of_a_boundary,
    rules_may_change_between_seasons_and_each_season_keeps_its_own,
    a_score_is_refused_that_is_meant_for_another_season,
    bounds_refuse_or_stop,
    points_are_stored_where_nothing_else_tells_them,
    an_archived_season_is_read_from_its_marks,
    a_leaderboard_from_before_seasons_has_one,
    what_is_pending_before_a_boundary_is_known,
    a_season_that_is_ended_by_hand_leaves_the_schedule_alone,
    a_due_boundary_comes_before_a_removal,
    changes_of_an_ended_season_keep_its_order,
];

fn dates(at: &[Timestamp]) -> ResetSchedule {
    let dates: Vec<String> = at.iter().map(ToString::to_string).collect();
    ResetSchedule::from_json(&serde_json::json!({ "dates": dates })).unwrap()
}

/// Ends the current season by hand.
async fn end(ledger: &Ledger, ends: i64) -> Result<Season, LedgerError> {
    let now = Clock::system().now();
    match ledger.end_season(&slug("main"), ends, None, now, None, |_| String::new()).await? {
        SeasonAnswer::Now(updated) => Ok(updated.value.0),
        SeasonAnswer::Before(_) => panic!("without a key"),
    }
}

/// A leaderboard whose seasons end at these distances from now, in milliseconds.
async fn scheduled(ledger: &Ledger, from_now: &[i64]) -> Vec<Timestamp> {
    let now = Clock::system().now();
    let at: Vec<Timestamp> = from_now.iter().map(|millis| Timestamp(now.0 + millis * 1000)).collect();
    // Made in the past, so that boundaries may have passed already.
    let settings = LeaderboardSettings { reset_schedule: Some(dates(&at)), ..leaderboard_settings(Operator::Sum, Order::Desc) };
    ledger.create_leaderboard(&slug("main"), &settings, Timestamp(now.0 - 3_600_000_000)).await.unwrap();
    ledger.create_action(&action_id("goal"), &action_settings(&["main"]), NOW).await.unwrap();
    at
}

async fn a_leaderboard_begins_with_its_first_season(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let seasons = ledger.seasons(&slug("main"), None, 10).await.unwrap();
    let [first] = seasons.as_slice() else { panic!("one season: {seasons:?}") };
    assert_eq!((first.number, first.cause, first.starts_at, first.ends_at), (1, SeasonCause::Created, NOW, None));
    assert_eq!((first.state(), first.result.clone()), (SeasonState::Open, None));
    assert_eq!(ledger.season(&slug("main"), 2).await.unwrap_err(), LedgerError::NotFound(Noun::Season));
    assert_eq!(ledger.season(&slug("none"), 1).await.unwrap_err(), LedgerError::NotFound(Noun::Leaderboard));
    let named = ledger.rename_season(&slug("main"), 1, Some("Spring".into()), NOW).await.unwrap();
    assert_eq!(named.name.as_deref(), Some("Spring"));
    assert_eq!(ledger.season(&slug("main"), 1).await.unwrap().name.as_deref(), Some("Spring"));
}

async fn a_season_ends_once_and_the_next_one_is_empty(database: Database) {
    let ledger = database.ledger().await;
    let board = main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    commit_one(&ledger, goal("ann", 7)).await;
    let second = end(&ledger, 1).await.unwrap();
    assert_eq!((second.number, second.cause, second.state()), (2, SeasonCause::Manual, SeasonState::Open));
    assert_eq!(end(&ledger, 1).await.unwrap_err(), LedgerError::OtherSeason { current: 2 });
    let first = ledger.season(&slug("main"), 1).await.unwrap();
    assert_eq!((first.ends_at, first.state()), (Some(second.starts_at), SeasonState::Ended));
    let score = accepted(commit_one(&ledger, goal("ann", 5)).await);
    let standing = &score.standings[0];
    assert_eq!((standing.board.season, standing.previous_score, standing.new_score, standing.revision), (2, None, 5, 1));
    let total = |season| ledger.window(Board { season, ..board }, 1, 10);
    assert_eq!(total(1).await.unwrap().entries[0].score, 7, "the entries of the first one stay");
    assert_eq!(total(2).await.unwrap().entries[0].score, 5);
    let rows = claim(&ledger, Clock::system().now(), 0, 10).await.unwrap();
    let turn = rows.iter().find_map(|(_, row)| if let Some(Announcement::Turn(turn)) = row { Some(turn) } else { None });
    let turn = turn.expect("the boundary is announced");
    assert_eq!((turn.board.season, turn.last()), (1, 2));
}

async fn a_key_ends_a_season_once(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let key = |print| RequestKey { subject: "studio".into(), key: "k".into(), fingerprint: [print; 32] };
    let ask = async |ends, print| {
        let (now, name) = (Clock::system().now(), Some("Winter".to_owned()));
        ledger.end_season(&slug("main"), ends, name, now, Some(key(print)), |season| format!("{}", season.number)).await
    };
    let SeasonAnswer::Now(updated) = ask(1, 1).await.unwrap() else { panic!("it was not there before") };
    assert_eq!(updated.value.1, "2");
    let SeasonAnswer::Before(answer) = ask(1, 1).await.unwrap() else { panic!("a repeat") };
    assert_eq!(answer, "2");
    assert_eq!(ask(2, 2).await.unwrap_err(), LedgerError::KeyReused);
    assert_eq!(ledger.seasons(&slug("main"), None, 10).await.unwrap().len(), 2);
    // A score with the same key is another request as well.
    let scored = commit_one(&ledger, Submission { subject: "studio".into(), ..keyed_goal("ann", 3, "k") }).await;
    assert!(matches!(scored, Settled::Refused(Refusal::KeyReused)), "{scored:?}");
}

async fn a_due_boundary_comes_before_any_score(database: Database) {
    let ledger = database.ledger().await;
    let at = scheduled(&ledger, &[400]).await;
    accepted(commit_one(&ledger, goal("ann", 7)).await);
    tokio::time::sleep(Duration::from_millis(600)).await;
    let refused = commit(&ledger, &[goal("ann", 5)], &Clock::system()).await.unwrap_err();
    let LedgerError::BoundaryDue(pks) = refused else { panic!("{refused:?}") };
    let end = ledger.end_season(&slug("main"), 1, None, Clock::system().now(), None, |_| String::new()).await;
    assert!(matches!(end, Err(LedgerError::BoundaryDue(_))), "the schedule comes first");
    let rows = ledger.turn_due(Clock::system().now(), Some(pks.clone()), 10).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert!(ledger.turn_due(Clock::system().now(), None, 10).await.unwrap().is_empty(), "once");
    let score = accepted(commit_one(&ledger, goal("ann", 5)).await);
    assert_eq!((score.standings[0].board.season, score.standings[0].previous_score), (2, None));
    let first = ledger.season(&slug("main"), 1).await.unwrap();
    assert_eq!(first.ends_at, Some(at[0]), "at its scheduled time");
}

async fn missed_boundaries_are_carried_out_each_at_its_time(database: Database) {
    let ledger = database.ledger().await;
    let at = scheduled(&ledger, &[-30_000, -20_000, -10_000, 3_600_000]).await;
    let rows = ledger.turn_due(Clock::system().now(), None, 10).await.unwrap();
    let Announcement::Turn(turn) = &rows[0].1 else { panic!("{rows:?}") };
    assert_eq!(
        turn.begun.iter().map(|begun| begun.starts_at).collect::<Vec<_>>(),
        at[..3].iter().map(|at| at.0).collect::<Vec<_>>()
    );
    let seasons = ledger.seasons(&slug("main"), None, 10).await.unwrap();
    let spans: Vec<_> = seasons.iter().rev().map(|season| (season.number, season.ends_at)).collect();
    assert_eq!(spans, [(1, Some(at[0])), (2, Some(at[1])), (3, Some(at[2])), (4, None)]);
    for empty in &seasons[1..3] {
        let result = empty.result.as_ref().expect("known at once");
        assert_eq!((result.total, result.digest.as_str(), empty.state()), (0, EMPTY_DIGEST, SeasonState::Final));
    }
    let definitions = ledger.definitions().await.unwrap();
    assert_eq!(leaderboard(&definitions, "main").next_boundary_at, Some(at[3]));
    let page = ledger.seasons(&slug("main"), Some(3), 1).await.unwrap();
    assert_eq!(page.iter().map(|season| season.number).collect::<Vec<_>>(), [2]);
}

async fn a_score_lies_in_its_season_whatever_the_clock_says(database: Database) {
    let ledger = database.ledger().await;
    let at = scheduled(&ledger, &[3_600_000]).await;
    let wrong = |seconds: i64| Clock::over(move || Clock::system().now().plus_seconds(seconds));
    // Three hours ahead: by this clock, which only an embedded ledger goes by, the season is over.
    let ahead = commit(&ledger, &[goal("ann", 1)], &wrong(10_800)).await;
    match ledger.engine() {
        "sqlite" => assert!(matches!(ahead, Err(LedgerError::BoundaryDue(_)))),
        _ => {
            let score = accepted(ahead.unwrap().outcomes.remove(0));
            assert_eq!(score.at, Timestamp(at[0].0 - 1), "moved into the season");
        }
    }
    let behind = commit(&ledger, &[goal("bob", 1)], &wrong(-50_000_000)).await.unwrap();
    let season = ledger.season(&slug("main"), 1).await.unwrap();
    let score = accepted(behind.outcomes.into_iter().next().unwrap());
    assert!(score.at >= season.starts_at && score.at < at[0], "{score:?}");
}

async fn two_handles_make_one_season_of_a_boundary(database: Database) {
    let one = database.ledger().await;
    let other = database.connect().await;
    scheduled(&one, &[-1_000, 3_600_000]).await;
    let now = Clock::system().now();
    let (first, second) = tokio::join!(one.turn_due(now, None, 10), other.turn_due(now, None, 10));
    assert_eq!(first.unwrap().len() + second.unwrap().len(), 1);
    assert_eq!(one.seasons(&slug("main"), None, 10).await.unwrap().len(), 2);
}

async fn rules_may_change_between_seasons_and_each_season_keeps_its_own(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    commit_one(&ledger, goal("ann", 7)).await;
    let turned = |now: &Leaderboard| {
        let bounds = Some(Bounds { min: 0, max: 9, on_exceed: OnExceed::Clamp });
        Ok(LeaderboardSettings { order: Order::Asc, operator: Operator::Best, bounds, ..now.settings.clone() })
    };
    let refused = ledger.update_leaderboard(&slug("main"), NOW, turned).await.unwrap_err();
    assert_eq!(refused, LedgerError::Conflict("order"));
    end(&ledger, 1).await.unwrap();
    ledger.update_leaderboard(&slug("main"), NOW, turned).await.unwrap();
    let rules = async |number| ledger.season(&slug("main"), number).await.unwrap().rules;
    let (first, second) = (rules(1).await, rules(2).await);
    assert_eq!((first.order, first.operator, first.bounds), (Order::Desc, Operator::Sum, None));
    assert_eq!((second.order, second.operator, second.bounds.map(|bounds| bounds.max)), (Order::Asc, Operator::Best, Some(9)));
}

async fn a_score_is_refused_that_is_meant_for_another_season(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    end(&ledger, 1).await.unwrap();
    let meant_for = |season| Submission { season: Some(season), ..goal("ann", 1) };
    let refused = refusal(commit_one(&ledger, meant_for(1)).await);
    assert_eq!(refused, Refusal::OtherSeason { id: slug("main"), named: 1, current: 2 });
    accepted(commit_one(&ledger, meant_for(2)).await);
}

async fn bounds_refuse_or_stop(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let bounded = |on_exceed| {
        move |now: &Leaderboard| {
            Ok(LeaderboardSettings { bounds: Some(Bounds { min: 0, max: 10, on_exceed }), ..now.settings.clone() })
        }
    };
    ledger.update_leaderboard(&slug("main"), NOW, bounded(OnExceed::Refuse)).await.unwrap();
    accepted(commit_one(&ledger, goal("ann", 8)).await);
    assert_eq!(refusal(commit_one(&ledger, goal("ann", 3)).await), Refusal::OutOfBounds(slug("main")));
    end(&ledger, 1).await.unwrap();
    ledger.update_leaderboard(&slug("main"), NOW, bounded(OnExceed::Clamp)).await.unwrap();
    let clamped = accepted(commit_one(&ledger, goal("ann", 25)).await);
    assert_eq!((clamped.standings[0].new_score, clamped.standings[0].delta), (10, 10));
    let again = accepted(commit_one(&ledger, goal("ann", 1)).await);
    assert!(!again.standings[0].applied);
}

async fn points_are_stored_where_nothing_else_tells_them(database: Database) {
    let ledger = database.ledger().await;
    main_and_goal(&ledger, Operator::Best, Order::Desc).await;
    let settings = ActionSettings { points: Points::Fixed(4), ..action_settings(&["main"]) };
    ledger.create_action(&action_id("fixed"), &settings, NOW).await.unwrap();
    commit_one(&ledger, goal("ann", 9)).await;
    let fixed = Submission { action_id: action_id("fixed"), value: None, ..goal("ann", 0) };
    let unbeaten = accepted(commit_one(&ledger, fixed).await);
    assert_eq!((unbeaten.standings[0].applied, unbeaten.standings[0].points), (false, Some(4)));
    let counted = "SELECT count(*) || ' of ' || sum(CASE WHEN points = 4 AND NOT applied THEN 1 ELSE 0 END) \
                   FROM score_events WHERE points IS NOT NULL";
    database.execute(&format!("UPDATE leaderboards SET name = ({counted})")).await;
    let definitions = ledger.definitions().await.unwrap();
    assert_eq!(leaderboard(&definitions, "main").settings.name, "1 of 1");
}

async fn an_archived_season_is_read_from_its_marks(database: Database) {
    let ledger = database.ledger().await;
    let board = main_and_goal(&ledger, Operator::Best, Order::Desc).await;
    let users = 2 * MARK_EVERY as i64 + 100;
    let batch: Vec<Submission> = (0..users).map(|n| goal(&format!("u{n:05}"), n / 3)).collect();
    for some in batch.chunks(500) {
        commit(&ledger, some, &Clock::system()).await.unwrap();
    }
    let live = ledger.window(board, 1, users as u64).await.unwrap();
    end(&ledger, 1).await.unwrap();

    let season = ledger.season_to_archive(board.pk, 1).await.unwrap().expect("it has ended");
    let (mut reading, mut after) = (Reading::default(), None);
    loop {
        let page = ledger.entries_in_rank_order(season.board(), after.as_ref(), 400).await.unwrap();
        let Some(last) = page.last() else { break };
        let sort_score = season.board().order.sort_score(last.score.unwrap());
        after = Some(RankKey { sort_score, reached_at: last.reached_at, user_id: last.user_id.clone() });
        page.iter().for_each(|entry| reading.read(season.board().order, entry));
    }
    let (total, digest, marks) = reading.end();
    assert_eq!((total, marks.len()), (users as u64, users as usize / MARK_EVERY as usize));
    let result = SeasonResult { total, digest, finalized_at: NOW };
    assert!(ledger.store_archive(&season, &result, marks.clone()).await.unwrap());
    assert!(ledger.store_archive(&season, &result, marks).await.unwrap(), "repeatable");

    for from in [1, 2, MARK_EVERY - 1, MARK_EVERY, MARK_EVERY + 1, 2 * MARK_EVERY + 7, users as u64, users as u64 + 1] {
        let (season, window) = ledger.archived_window(&slug("main"), 1, from, 5).await.unwrap();
        let expected: Vec<_> = live.entries.iter().skip(from as usize - 1).take(5).cloned().collect();
        assert_eq!(window.entries, expected, "from rank {from}");
        assert_eq!((window.head.total, season.state()), (users as u64, SeasonState::Final));
        assert_eq!(window.head.version, season.archived_version());
    }
    let asked: Vec<UserId> = ["u00000", "u00001", "u00100", "u00227", "nobody"].iter().map(|id| user_id(id)).collect();
    let (_, _, found) = ledger.archived_neighbourhoods(&slug("main"), 1, &asked, 2).await.unwrap();
    let (_, expected) = ledger.neighbourhoods(board, &asked, 2).await.unwrap();
    assert_eq!(found, expected);
}

async fn a_leaderboard_from_before_seasons_has_one(database: Database) {
    let ledger = database.ledger().await;
    let board = main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    // As the release before this one makes it.
    database.execute("DELETE FROM seasons").await;
    database.execute("UPDATE leaderboards SET season_starts_at = NULL").await;
    let seasons = ledger.seasons(&slug("main"), None, 10).await.unwrap();
    assert_eq!(seasons.iter().map(|season| (season.number, season.starts_at)).collect::<Vec<_>>(), [(1, NOW)]);
    let named = ledger.rename_season(&slug("main"), 1, Some("First".into()), NOW).await.unwrap();
    assert_eq!((named.name.as_deref(), named.pk), (Some("First"), board.pk));
    database.execute("DELETE FROM seasons").await;
    end(&ledger, 1).await.unwrap();
    assert_eq!(ledger.seasons(&slug("main"), None, 10).await.unwrap().len(), 2);
}

async fn what_is_pending_before_a_boundary_is_known(database: Database) {
    let ledger = database.ledger().await;
    let board = main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let committed = commit(&ledger, &[goal("ann", 1)], &Clock::system()).await.unwrap();
    let row = committed.outbox.unwrap();
    let pending = async |before| ledger.outbox_first_pending(&[board.pk, 999], before).await.unwrap();
    assert_eq!(pending(row + 1).await, std::collections::HashMap::from([(board.pk, row)]));
    assert!(pending(row).await.is_empty(), "only what comes before");
}

/// Where scores are ahead of the ledger's clock, because an instance's clock was.
async fn a_season_that_is_ended_by_hand_leaves_the_schedule_alone(database: Database) {
    let ledger = database.ledger().await;
    let at = scheduled(&ledger, &[3_600_000, 7_200_000]).await;
    commit_one(&ledger, goal("ann", 1)).await;
    database.execute(&format!("UPDATE score_events SET at = {}", at[0].0 + 1_000_000)).await;
    let second = end(&ledger, 1).await.unwrap();
    assert_eq!(second.starts_at, at[0], "no later than the boundary");
    let definitions = ledger.definitions().await.unwrap();
    assert_eq!(leaderboard(&definitions, "main").next_boundary_at, Some(at[1]));
}

async fn a_due_boundary_comes_before_a_removal(database: Database) {
    let ledger = database.ledger().await;
    scheduled(&ledger, &[300]).await;
    commit_one(&ledger, goal("ann", 1)).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    let remove = async || ledger.remove_entry(&slug("main"), &user_id("ann"), Clock::system().now()).await;
    let refused = remove().await.unwrap_err();
    assert!(matches!(refused, LedgerError::BoundaryDue(_)), "{refused:?}");
    ledger.turn_due(Clock::system().now(), None, 10).await.unwrap();
    assert!(remove().await.unwrap().is_none(), "there is no such entry in the present season");
}

async fn changes_of_an_ended_season_keep_its_order(database: Database) {
    let ledger = database.ledger().await;
    let board = main_and_goal(&ledger, Operator::Sum, Order::Desc).await;
    let committed = commit(&ledger, &[goal("ann", 7)], &Clock::system()).await.unwrap();
    end(&ledger, 1).await.unwrap();
    let turned = |now: &Leaderboard| Ok(LeaderboardSettings { order: Order::Asc, ..now.settings.clone() });
    ledger.update_leaderboard(&slug("main"), NOW, turned).await.unwrap();
    let (_, changes) = ledger.committed(vec![committed.changes[0].event_id]).await.unwrap();
    assert_eq!(changes[0].board, board, "with the order of its season");
}
