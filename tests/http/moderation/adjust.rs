//! An adjustment adds points or sets the score by an event of its own, and is a score like others from then on.

use serde_json::{Value, json};

use super::{Watcher, change, decide, decision, entry, hide, is_gone, named, send, standing, take_back, void};
use crate::{
    app::{Backend, TestApp, eventually},
    seasons::{end, post},
    streams::text,
};

crate::both_backends!(
    an_adjustment_counts_whatever_the_operator,
    scores_go_on_from_what_was_adjusted,
    an_adjustment_is_an_event_of_its_own,
    a_user_without_an_entry_gets_one,
    an_adjustment_that_is_taken_back_no_longer_counts,
    an_adjustment_of_a_hidden_user_is_unseen,
    an_adjustment_that_leaves_the_exact_range_is_refused,
    without_a_season_it_is_of_the_current_one,
);

const BOARDS: [(&str, &str, &str); 4] =
    [("sum", "sum", "desc"), ("best", "best", "desc"), ("fast", "best", "asc"), ("last", "last", "desc")];

async fn boards(backend: Backend) -> TestApp {
    let app = TestApp::spawn(backend).await;
    for (id, operator, order) in BOARDS {
        app.make_leaderboard(id, json!({ "operator": operator, "order": order })).await;
        post(&app, id, "ann", 10).await;
        post(&app, id, "bob", 10).await;
    }
    app
}

async fn adjust(app: &TestApp, id: &str, user: &str, by: &str, value: i64) -> Value {
    let mut fields = json!({ "userId": user, "leaderboardId": id });
    fields[by] = json!(value);
    decide(app, "adjust", fields).await
}

/// The newest event of a user's public history of a leaderboard.
async fn newest(app: &TestApp, id: &str, user: &str) -> Value {
    app.get(&format!("/api/users/{user}/scores?leaderboardId={id}&limit=1")).await["scores"][0].clone()
}

async fn an_adjustment_counts_whatever_the_operator(backend: Backend) {
    let app = boards(backend).await;
    for (id, ..) in BOARDS {
        for (by, value, score) in [("points", -3, 7), ("points", 5, 12), ("score", 4, 4), ("score", 40, 40), ("score", 40, 40)] {
            let before = entry(&app, id, "ann").await;
            let adjusted = adjust(&app, id, "ann", by, value).await;
            let after = entry(&app, id, "ann").await;
            assert_eq!(after["score"], score, "{id} {by} {value}");
            if after["score"] == before["score"] {
                assert_eq!(after, before, "what changes nothing moves nobody");
                continue;
            }
            let change = change(&adjusted, id, "ann");
            assert_eq!((&change["previousScore"], &change["score"]), (&before["score"], &json!(score)), "{adjusted}");
            assert_eq!((&change["previousRank"], &change["rank"]), (&before["rank"], &after["rank"]), "{adjusted}");
            assert_eq!(after["at"], newest(&app, id, "ann").await["at"], "reached by the adjustment");
            assert_eq!(
                (&adjusted["userId"], &adjusted["leaderboardId"], &adjusted[by]),
                (&json!("ann"), &json!(id), &json!(value))
            );
        }
    }
}

async fn scores_go_on_from_what_was_adjusted(backend: Backend) {
    let app = boards(backend).await;
    for (id, values) in [
        ("sum", [(3, 7), (-1, 6), (10, 16)]),
        ("best", [(3, 4), (5, 5), (1, 5)]),
        ("fast", [(9, 4), (3, 3), (5, 3)]),
        ("last", [(3, 3), (5, 5), (1, 1)]),
    ] {
        adjust(&app, id, "ann", "score", 4).await;
        for (value, score) in values {
            let receipt = post(&app, id, "ann", value).await;
            assert_eq!(receipt["newScore"], score, "{id} {value}");
            assert_eq!(receipt["rank"], entry(&app, id, "ann").await["rank"]);
        }
    }
}

async fn an_adjustment_is_an_event_of_its_own(backend: Backend) {
    let mut app = boards(backend).await;
    let mut watcher = Watcher::open(&app, "best").await;
    let adjusted = adjust(&app, "best", "ann", "points", -3).await;
    let told = watcher.expect("score-updated").await;
    for (field, value) in [
        ("version", change(&adjusted, "best", "ann")["version"].clone()),
        ("userId", json!("ann")),
        ("actionId", Value::Null),
        ("cause", json!("adjust")),
        ("score", json!(7)),
        ("previousScore", json!(10)),
        ("delta", json!(-3)),
        ("rank", json!(2)),
        ("previousRank", json!(1)),
        ("total", json!(2)),
    ] {
        assert_eq!(told[field], value, "{field}: {told}");
    }
    let event = newest(&app, "best", "ann").await;
    for (field, value) in [
        ("actionId", Value::Null),
        ("userId", json!("ann")),
        ("leaderboardId", json!("best")),
        ("season", json!(1)),
        ("previousScore", json!(10)),
        ("newScore", json!(7)),
        ("delta", json!(-3)),
        ("counts", json!(true)),
        ("withheld", Value::Null),
    ] {
        assert_eq!(event[field], value, "{field}: {event}");
    }
    let next = post(&app, "best", "bob", 11).await;
    assert_eq!(watcher.expect("score-updated").await["eventId"], next["eventId"]);
    // The history alone makes the same ranking.
    let before = standing(&app, "best", "current").await;
    app.restart().await;
    eventually("the ranking is back", || async { app.get("/api/leaderboards/best/entries").await["version"].is_string() }).await;
    assert_eq!(standing(&app, "best", "current").await, before);
}

async fn a_user_without_an_entry_gets_one(backend: Backend) {
    let app = boards(backend).await;
    app.post_score("cid", "goal").await;
    for ((id, ..), (by, value)) in BOARDS.into_iter().zip([("points", 6), ("score", 6), ("points", 6), ("score", 6)]) {
        let adjusted = adjust(&app, id, "cid", by, value).await;
        let change = change(&adjusted, id, "cid");
        assert_eq!((&change["previousScore"], &change["previousRank"]), (&Value::Null, &Value::Null), "{id}");
        let cid = entry(&app, id, "cid").await;
        assert_eq!((&cid["score"], &cid["rank"]), (&json!(6), &change["rank"]), "{id}");
        take_back(&app, &adjusted).await;
        assert!(is_gone(&app, id, "cid").await, "{id}");
    }
    let nobody = decision("adjust", json!({ "userId": "nobody", "leaderboardId": "sum", "points": 1 }));
    let result = send(&app, &[nobody]).await.remove(0);
    assert_eq!((&result["status"], named(&result)), (&json!(422), vec!["userId"]));
    assert!(is_gone(&app, "sum", "nobody").await);
}

async fn an_adjustment_that_is_taken_back_no_longer_counts(backend: Backend) {
    let app = boards(backend).await;
    for (id, later, kept, left) in [("sum", 5, 55, 15), ("best", 45, 50, 45), ("fast", 60, 50, 10), ("last", 50, 50, 50)] {
        let before = entry(&app, id, "ann").await;
        let adjusted = adjust(&app, id, "ann", "score", 50).await;
        take_back(&app, &adjusted).await;
        assert_eq!(entry(&app, id, "ann").await, before, "{id}");
        let adjusted = adjust(&app, id, "ann", "score", 50).await;
        let first = newest(&app, id, "ann").await;
        let receipt = post(&app, id, "ann", later).await;
        assert_eq!(receipt["newScore"], kept, "{id}");
        take_back(&app, &adjusted).await;
        let after = entry(&app, id, "ann").await;
        assert_eq!(after["score"], left, "{id}");
        let reached = if left == 10 { &before["at"] } else { &receipt["at"] };
        assert_eq!(after["at"], *reached, "{id}");
        let history = super::restricted(&app, &format!("/api/users/ann/scores?leaderboardId={id}")).await;
        let event = history["scores"].as_array().unwrap().iter().find(|event| event["eventId"] == first["eventId"]).unwrap();
        assert_eq!((&event["counts"], &event["withheld"]), (&json!(false), &json!("voided")), "{id}");
        assert_ne!(newest(&app, id, "ann").await["eventId"], first["eventId"]);
    }
    // What came before is folded anew under an adjustment that still counts.
    let first = post(&app, "sum", "dot", 30).await;
    adjust(&app, "sum", "dot", "points", -5).await;
    void(&app, &[&first]).await;
    assert_eq!(entry(&app, "sum", "dot").await["score"], -5);
    let first = post(&app, "sum", "eve", 30).await;
    adjust(&app, "sum", "eve", "score", 8).await;
    let before = entry(&app, "sum", "eve").await;
    void(&app, &[&first]).await;
    assert_eq!(entry(&app, "sum", "eve").await["score"], 8);
    assert_eq!(entry(&app, "sum", "eve").await["at"], before["at"]);
}

async fn an_adjustment_of_a_hidden_user_is_unseen(backend: Backend) {
    let app = boards(backend).await;
    let hidden = hide(&app, "ann", None).await;
    let mut watcher = Watcher::open(&app, "sum").await;
    let adjusted = adjust(&app, "sum", "ann", "points", 5).await;
    for entry in adjusted["entries"].as_array().unwrap() {
        assert_eq!((&entry["rank"], &entry["previousRank"], &entry["version"]), (&Value::Null, &Value::Null, &Value::Null));
    }
    assert!(is_gone(&app, "sum", "ann").await);
    post(&app, "sum", "bob", 1).await;
    assert_eq!(watcher.expect("score-updated").await["userId"], "bob");
    take_back(&app, &hidden).await;
    assert_eq!(entry(&app, "sum", "ann").await["score"], 15);
}

async fn an_adjustment_that_leaves_the_exact_range_is_refused(backend: Backend) {
    let app = boards(backend).await;
    const GREATEST: i64 = (1 << 53) - 1;
    adjust(&app, "sum", "ann", "score", GREATEST).await;
    assert_eq!(entry(&app, "sum", "ann").await["score"], GREATEST);
    for (by, value) in [("score", GREATEST + 1), ("score", -GREATEST - 1), ("points", 1)] {
        let mut fields = json!({ "userId": "ann", "leaderboardId": "sum" });
        fields[by] = json!(value);
        let result = send(&app, &[decision("adjust", fields)]).await.remove(0);
        assert_eq!(result["status"], 422, "{by} {value}: {result}");
        assert!(!text(&result["body"]["detail"]).is_empty());
    }
    assert_eq!(entry(&app, "sum", "ann").await["score"], GREATEST);
}

async fn without_a_season_it_is_of_the_current_one(backend: Backend) {
    let app = boards(backend).await;
    end(&app, "sum", 1).await;
    let adjusted = adjust(&app, "sum", "ann", "points", 3).await;
    let change = change(&adjusted, "sum", "ann");
    assert_eq!((&change["season"], &change["previousScore"], &change["score"]), (&json!(2), &Value::Null, &json!(3)));
    assert_eq!(entry(&app, "sum", "ann").await["score"], 3);
    let named = json!({ "userId": "ann", "leaderboardId": "sum", "season": 2, "points": 3 });
    decide(&app, "adjust", named).await;
    assert_eq!(entry(&app, "sum", "ann").await["score"], 6);
}
