//! A user's score history.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    answers::{Expect, broken},
    app::{Backend, TestApp},
};

crate::both_backends!(
    the_history_tells_each_submission_newest_first,
    pages_join_without_a_gap_while_scores_come_in,
    a_leaderboard_s_history_has_its_standing_first,
    what_is_hidden_leaves_no_trace,
    an_unknown_user_has_no_history,
    a_broken_parameter_is_named,
);

async fn the_history_tells_each_submission_newest_first(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.post_score("ann", "goal").await;
    app.post_score("bob", "goal").await;
    let body = json!({"actionId": "value", "userId": "ann", "value": -3, "metadata": {"match": "m-9"}});
    let receipt = app.submit(body).await;
    let history = app.get("/api/users/ann/scores").await;
    let standing =
        json!({"leaderboardId": "main", "season": 1, "applied": true, "delta": -3, "previousScore": 10, "newScore": 7});
    let mut expected = standing.clone();
    for (field, value) in [
        ("eventId", &receipt["eventId"]),
        ("at", &receipt["at"]),
        ("actionId", &json!("value")),
        ("userId", &json!("ann")),
        ("value", &json!(-3)),
        ("metadata", &json!({"match": "m-9"})),
        ("counts", &json!(true)),
        ("withheld", &json!(null)),
        ("standings", &json!([standing])),
    ] {
        expected[field] = value.clone();
    }
    assert_eq!(history["scores"][0], expected);
    let first = &history["scores"][1];
    assert_eq!((&first["actionId"], &first["value"], &first["previousScore"]), (&json!("goal"), &Value::Null, &Value::Null));
    assert_eq!((history["scores"].as_array().unwrap().len(), &history["nextCursor"]), (2, &Value::Null));
}

async fn pages_join_without_a_gap_while_scores_come_in(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    // One batch shares its moment: the cursor must tell its submissions apart.
    let submissions = vec![json!({"actionId": "point", "userId": "ann"}); 23];
    let batch = app.game(Method::POST, "/api/scores/batch").json(&json!({"submissions": submissions})).answers(200).await;
    let mut expected: Vec<Value> =
        batch["results"].as_array().unwrap().iter().map(|result| result["body"]["eventId"].clone()).collect();
    expected.reverse();

    let mut told = Vec::new();
    let mut path = "/api/users/ann/scores?limit=5".to_owned();
    let mut pages = 0;
    loop {
        let page = app.get(&path).await;
        told.extend(page["scores"].as_array().unwrap().iter().map(|event| event["eventId"].clone()));
        pages += 1;
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        path = format!("/api/users/ann/scores?limit=5&cursor={cursor}");
        app.post_score("ann", "goal").await;
    }
    assert_eq!((pages, told), (5, expected), "each once, newest first, and what came later is on no later page");
    let exact = app.get("/api/users/ann/scores?limit=27").await;
    assert_eq!((exact["scores"].as_array().unwrap().len(), &exact["nextCursor"]), (27, &Value::Null));
}

async fn a_leaderboard_s_history_has_its_standing_first(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("best", json!({"operator": "best"})).await;
    let both = json!({"id": "both", "leaderboards": ["main", "best"], "points": 4});
    app.admin(Method::POST, "/api/actions").json(&both).answers(201).await;
    app.post_score("ann", "goal").await;
    app.post_score("ann", "both").await;
    app.submit(json!({"actionId": "best", "userId": "ann", "value": 9})).await;

    let actions = |history: &Value| -> Vec<Value> {
        history["scores"].as_array().unwrap().iter().map(|event| event["actionId"].clone()).collect()
    };
    assert_eq!(actions(&app.get("/api/users/ann/scores").await), ["best", "both", "goal"]);
    assert_eq!(actions(&app.get("/api/users/ann/scores?leaderboardId=main").await), ["both", "goal"]);
    let best = app.get("/api/users/ann/scores?leaderboardId=best").await;
    assert_eq!(actions(&best), ["best", "both"]);
    let event = &best["scores"][1];
    assert_eq!((&event["leaderboardId"], &event["newScore"]), (&json!("best"), &json!(4)));
    assert_eq!((&event["standings"][0]["leaderboardId"], &event["standings"][1]["newScore"]), (&json!("best"), &json!(14)));

    let first = app.get("/api/users/ann/scores?leaderboardId=best&limit=1").await;
    let path = format!("/api/users/ann/scores?leaderboardId=best&limit=1&cursor={}", first["nextCursor"].as_str().unwrap());
    let second = app.get(&path).await;
    assert_eq!((actions(&second), &second["nextCursor"]), (vec![json!("both")], &Value::Null));
}

async fn what_is_hidden_leaves_no_trace(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("secret", json!({"visibility": "private"})).await;
    let both = json!({"id": "both", "leaderboards": ["secret", "main"], "points": 4});
    app.admin(Method::POST, "/api/actions").json(&both).answers(201).await;
    let open = app.submit(json!({"actionId": "goal", "userId": "ann", "metadata": {"match": "m-1"}})).await;
    let half = app.submit(json!({"actionId": "both", "userId": "ann", "metadata": {"whisper": true}})).await;
    for value in 1..=3 {
        app.submit(json!({"actionId": "secret", "userId": "ann", "value": value})).await;
    }
    let first = app.get("/api/users/ann/scores?limit=1").await;
    let [event] = first["scores"].as_array().unwrap().as_slice() else { panic!("a page is filled: {first}") };
    assert_eq!((&event["eventId"], &event["leaderboardId"]), (&half["eventId"], &json!("main")));
    assert_eq!(
        (&event["metadata"], event["standings"].as_array().unwrap().len()),
        (&Value::Null, 1),
        "the leading one is hidden"
    );
    let cursor = first["nextCursor"].as_str().unwrap();
    let named = half["eventId"].as_str().unwrap().parse::<uuid::Uuid>().unwrap();
    assert_eq!(URL_SAFE_NO_PAD.decode(cursor).unwrap(), named.as_bytes(), "a cursor names what was shown");
    let second = app.get(&format!("/api/users/ann/scores?limit=1&cursor={cursor}")).await;
    assert_eq!((&second["scores"][0]["eventId"], &second["nextCursor"]), (&open["eventId"], &Value::Null));
    assert_eq!(second["scores"][0]["metadata"], json!({"match": "m-1"}));

    let reader = app.with("x", "leaderboards:read", Method::GET, "/api/users/ann/scores?limit=4").answers(200).await;
    assert_eq!((&reader["scores"][3]["metadata"], reader["nextCursor"].is_string()), (&json!({"whisper": true}), true));
    app.submit(json!({"actionId": "secret", "userId": "bob", "value": 1})).await;
    assert_eq!(app.get("/api/users/bob/scores").await, json!({"scores": [], "nextCursor": null}), "as if there were nobody");
}

async fn an_unknown_user_has_no_history(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    assert_eq!(app.get("/api/users/nobody/scores").await, json!({"scores": [], "nextCursor": null}));
    app.anonymous(Method::GET, "/api/users/%20/scores").refused(404).await;
    app.anonymous(Method::GET, "/api/users/ann/scores?leaderboardId=nothing").refused(404).await;
}

async fn a_broken_parameter_is_named(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for limit in ["0", "101", "-1", "x", ""] {
        let request = app.anonymous(Method::GET, &format!("/api/users/ann/scores?limit={limit}"));
        assert_eq!(broken(&request.refused(422).await), ["limit"], "{limit}");
    }
    for cursor in ["x", "1", "%00", "AAAA", "0199-not-a-cursor", "'%20OR%201=1"] {
        let request = app.anonymous(Method::GET, &format!("/api/users/ann/scores?cursor={cursor}"));
        assert_eq!(broken(&request.refused(422).await), ["cursor"], "{cursor}");
    }
}
