//! One user's place, and who stands around it.

use reqwest::Method;
use serde_json::{Value, json};

use super::{fill, ranks};
use crate::{
    answers::{Expect, broken},
    app::{Backend, TestApp},
};

crate::both_backends!(
    an_entry_tells_rank_score_and_percentile,
    neighbours_stop_at_both_ends,
    around_is_a_number_up_to_fifty,
    the_percentile_is_the_share_of_those_below,
    the_entry_stands_where_the_window_shows_it,
    a_user_without_an_entry_is_not_found,
    a_user_may_be_called_query,
    of_a_crowd_everybody_gets_their_own_place,
);

async fn entry(app: &TestApp, user: &str, around: u64) -> Value {
    app.get(&format!("/api/leaderboards/main/entries/{user}?around={around}")).await
}

async fn an_entry_tells_rank_score_and_percentile(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let receipt = app.post_score("ann", "goal").await;
    let expected = json!({"rank": 1, "userId": "ann", "displayName": "ann", "score": 10, "at": receipt["at"]});
    let answer = app.get("/api/leaderboards/main/entries/ann").await;
    assert_eq!(
        answer,
        json!({"leaderboardId": "main", "season": 1, "version": receipt["version"], "total": 1, "entry": expected,
            "percentile": 100.0, "around": [expected]})
    );
}

async fn neighbours_stop_at_both_ends(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    fill(&app, 9).await;
    for (rank, around, expected) in [
        (5, 0, 5..=5),
        (5, 2, 3..=7),
        (1, 2, 1..=3),
        (2, 2, 1..=4),
        (3, 2, 1..=5),
        (7, 2, 5..=9),
        (8, 2, 6..=9),
        (9, 2, 7..=9),
        (5, 50, 1..=9),
        (9, 50, 1..=9),
    ] {
        let answer = entry(&app, &format!("u-{:02}", 10 - rank), around).await;
        assert_eq!(answer["entry"]["rank"], rank, "{rank} ± {around}");
        assert_eq!(ranks(&answer["around"]), expected.collect::<Vec<_>>(), "{rank} ± {around}");
        let own = answer["around"].as_array().unwrap().iter().filter(|entry| **entry == answer["entry"]).count();
        assert_eq!(own, 1, "{rank} ± {around}");
    }
}

async fn around_is_a_number_up_to_fifty(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.post_score("ann", "goal").await;
    for around in ["51", "-1", "1.5", "two", ""] {
        let request = app.anonymous(Method::GET, &format!("/api/leaderboards/main/entries/ann?around={around}"));
        assert_eq!(broken(&request.refused(422).await), ["around"], "{around}");
    }
}

async fn the_percentile_is_the_share_of_those_below(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    fill(&app, 5).await;
    for (user, percentile) in [("u-05", 100.0), ("u-04", 75.0), ("u-03", 50.0), ("u-02", 25.0), ("u-01", 0.0)] {
        assert_eq!(entry(&app, user, 0).await["percentile"].as_f64(), Some(percentile), "{user}");
    }
}

async fn the_entry_stands_where_the_window_shows_it(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    // All tied, so that a rank taken from the score alone would be wrong.
    for number in 0..7 {
        app.post_score(&format!("u-{}", (number * 3) % 7), "goal").await;
    }
    let window = app.get("/api/leaderboard").await;
    for expected in window["entries"].as_array().unwrap() {
        let answer = entry(&app, expected["userId"].as_str().unwrap(), 50).await;
        assert_eq!(answer["entry"], *expected);
        assert_eq!((&answer["around"], &answer["version"]), (&window["entries"], &window["version"]));
    }
}

async fn a_user_without_an_entry_is_not_found(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("other", json!({})).await;
    app.post_score("ann", "goal").await;
    app.admin(Method::PUT, "/api/users/bob").json(&json!({"displayName": "Bob"})).answers(200).await;
    for path in ["main/entries/nobody", "main/entries/bob", "other/entries/ann", "main/entries/%20", "main/entries/%FF"] {
        app.anonymous(Method::GET, &format!("/api/leaderboards/{path}")).refused(404).await;
    }
}

async fn a_user_may_be_called_query(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.post_score("query", "goal").await;
    app.post_score("ann", "goal").await;
    let answer = entry(&app, "query", 1).await;
    assert_eq!((&answer["entry"]["userId"], ranks(&answer["around"])), (&json!("query"), vec![1, 2]));
}

async fn of_a_crowd_everybody_gets_their_own_place(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    fill(&app, 40).await;
    let rows = app.get("/api/leaderboards/main/entries?limit=40").await["entries"].as_array().unwrap().clone();
    for around in [0, 1, 50] {
        let asked = rows.iter().map(|row| async {
            let user = row["userId"].as_str().unwrap();
            let answer = entry(&app, user, around).await;
            assert_eq!(answer["entry"], *row, "{user}");
            let rank = row["rank"].as_u64().unwrap();
            let (first, last) = (rank.saturating_sub(around).max(1), (rank + around).min(40));
            assert_eq!(ranks(&answer["around"]), (first..=last).collect::<Vec<_>>(), "{user}");
        });
        let strangers = (0..20).map(|number| {
            let path = format!("/api/leaderboards/main/entries/stranger-{number}?around={around}");
            app.anonymous(Method::GET, &path).refused(404)
        });
        tokio::join!(futures_util::future::join_all(asked), futures_util::future::join_all(strangers));
    }
    // Whoever has a receipt reads their own write, in whatever company they ask.
    let written = rows.iter().take(20).map(|row| async {
        let user = row["userId"].as_str().unwrap();
        let receipt = app.post_score(user, "goal").await;
        assert_eq!(entry(&app, user, 0).await["entry"]["score"], receipt["newScore"], "{user}");
    });
    futures_util::future::join_all(written).await;
}
