//! How some users stand among themselves.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::{fill, ranks};
use crate::{
    answers::{Expect, broken},
    app::{Backend, TestApp, users},
};

crate::both_backends!(
    friends_come_best_first_with_rank_and_position,
    unknown_users_are_left_out_and_repeated_ones_count_once,
    a_query_names_one_to_five_hundred_users,
    a_query_that_is_no_query_is_refused,
);

fn query(app: &TestApp, user_ids: &Value) -> RequestBuilder {
    app.anonymous(Method::POST, "/api/leaderboards/main/entries/query").json(&json!({ "userIds": user_ids }))
}

async fn friends_come_best_first_with_rank_and_position(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    fill(&app, 9).await;
    let answer = query(&app, &json!(["u-01", "u-08", "u-04"])).answers(200).await;
    assert_eq!((users(&answer), ranks(&answer["entries"])), (vec!["u-08", "u-04", "u-01"], vec![2, 6, 9]));
    let positions: Vec<_> = answer["entries"].as_array().unwrap().iter().map(|entry| entry["position"].clone()).collect();
    assert_eq!(positions, [1, 2, 3]);
    let window = app.get("/api/leaderboard").await;
    for field in ["leaderboardId", "season", "version"] {
        assert_eq!(answer[field], window[field], "{field}");
    }
    let mut expected = window["entries"][1].clone();
    expected["position"] = json!(1);
    assert_eq!(answer["entries"][0], expected);
}

async fn unknown_users_are_left_out_and_repeated_ones_count_once(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    fill(&app, 3).await;
    let answer = query(&app, &json!(["u-02", "nobody", "u-01", "u-02", "U-02"])).answers(200).await;
    assert_eq!(users(&answer), ["u-02", "u-01"]);
    assert_eq!(answer["entries"][1]["position"], 2);
    assert_eq!(query(&app, &json!(["nobody"])).answers(200).await["entries"], json!([]));
}

async fn a_query_names_one_to_five_hundred_users(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    fill(&app, 3).await;
    let many: Vec<_> = (1..=501).map(|number| format!("u-{number:02}")).collect();
    assert_eq!(users(&query(&app, &json!(many[..500])).answers(200).await), ["u-03", "u-02", "u-01"]);
    assert_eq!(broken(&query(&app, &json!(many)).refused(422).await), ["userIds"]);
    assert_eq!(broken(&query(&app, &json!([])).refused(422).await), ["userIds"]);
}

async fn a_query_that_is_no_query_is_refused(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for (user_ids, field) in [
        (json!("u-01"), "userIds"),
        (json!(null), "userIds"),
        (json!([1]), "userIds[0]"),
        (json!(["u-01", " "]), "userIds[1]"),
        (json!(["a\u{0}b"]), "userIds[0]"),
    ] {
        assert_eq!(broken(&query(&app, &user_ids).refused(422).await), [field], "{user_ids}");
    }
    let extra = json!({"userIds": ["u-01"], "limit": 3});
    let request = app.anonymous(Method::POST, "/api/leaderboards/main/entries/query").json(&extra);
    assert_eq!(broken(&request.refused(422).await), ["limit"]);
}
