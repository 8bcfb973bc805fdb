//! Private leaderboards.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    answers::Expect,
    app::{Backend, TestApp},
    sse::Sse,
};

crate::both_backends!(
    a_private_leaderboard_is_read_with_the_scope_alone,
    lists_and_histories_leave_private_leaderboards_out,
    a_leaderboard_changes_its_visibility,
    nothing_public_names_a_private_leaderboard,
);

async fn spawn(backend: Backend) -> TestApp {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("secret", json!({"visibility": "private"})).await;
    app.submit(json!({"actionId": "secret", "userId": "ann", "value": 5})).await;
    app
}

fn with_token(request: RequestBuilder, token: Option<&str>) -> RequestBuilder {
    match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    }
}

/// Every way of reading the entries of the leaderboard `secret`.
fn reads(app: &TestApp, token: Option<&str>) -> Vec<RequestBuilder> {
    let get = |path: &str| app.anonymous(Method::GET, path);
    let requests = [
        get("/api/leaderboards/secret/entries"),
        get("/api/leaderboards/secret/entries/ann"),
        get("/api/leaderboards/secret/scores"),
        get("/api/leaderboards/secret/stream"),
        get("/api/leaderboards/secret/stream?view=top"),
        get("/api/leaderboards/secret/stream?view=user&userId=ann"),
        get("/api/stream?leaderboards=main,secret"),
        get("/api/users/ann/scores?leaderboardId=secret"),
        app.anonymous(Method::POST, "/api/leaderboards/secret/entries/query").json(&json!({"userIds": ["ann"]})),
    ];
    requests.into_iter().map(|request| with_token(request, token)).collect()
}

async fn a_private_leaderboard_is_read_with_the_scope_alone(backend: Backend) {
    let app = spawn(backend).await;
    let reader = app.token("reader", "leaderboards:read");
    let stranger = app.token("stranger", "scores:write scores:self leaderboards:admin");
    for (token, expected) in [(None, 401), (Some(&*stranger), 403), (Some(&*reader), 200)] {
        for request in reads(&app, token) {
            let path = request.try_clone().unwrap().build().unwrap().url().to_string();
            assert_eq!(request.send().await.unwrap().status(), expected, "{path} {token:?}");
        }
    }
    for (scope, expected) in [("scores:write", 403), ("leaderboards:read", 200), ("leaderboards:admin", 200)] {
        app.with("anybody", scope, Method::GET, "/api/leaderboards/secret").responds(expected).await;
    }
    app.anonymous(Method::GET, "/api/leaderboards/secret").refused(401).await;
}

async fn lists_and_histories_leave_private_leaderboards_out(backend: Backend) {
    let app = spawn(backend).await;
    let both = json!({"id": "both", "leaderboards": ["secret", "main"], "points": 1});
    app.admin(Method::POST, "/api/actions").json(&both).answers(201).await;
    app.post_score("ann", "both").await;
    let listed = |answer: Value| -> Vec<Value> {
        answer["leaderboards"].as_array().unwrap().iter().map(|leaderboard| leaderboard["id"].clone()).collect()
    };
    assert_eq!(listed(app.get("/api/leaderboards").await), ["main"]);
    for (scope, expected) in
        [("scores:write", &["main"][..]), ("leaderboards:read", &["main", "secret"]), ("leaderboards:admin", &["main", "secret"])]
    {
        assert_eq!(listed(app.with("x", scope, Method::GET, "/api/leaderboards").answers(200).await), expected, "{scope}");
    }

    let told = |answer: Value| -> Vec<Vec<Value>> {
        let standings = |event: &Value| {
            assert_eq!(event["leaderboardId"], event["standings"][0]["leaderboardId"]);
            event["standings"].as_array().unwrap().iter().map(|standing| standing["leaderboardId"].clone()).collect()
        };
        answer["scores"].as_array().unwrap().iter().map(standings).collect()
    };
    assert_eq!(told(app.get("/api/users/ann/scores").await), [["main"]]);
    let stranger = app.with("x", "scores:write leaderboards:admin", Method::GET, "/api/users/ann/scores");
    assert_eq!(told(stranger.answers(200).await), [["main"]]);
    let reader = app.with("x", "leaderboards:read", Method::GET, "/api/users/ann/scores");
    assert_eq!(told(reader.answers(200).await), [vec!["secret", "main"], vec!["secret"]]);
}

async fn a_leaderboard_changes_its_visibility(backend: Backend) {
    let app = spawn(backend).await;
    let set = |visibility: &str| {
        app.admin(Method::PATCH, "/api/leaderboards/secret").json(&json!({ "visibility": visibility })).answers(200)
    };
    set("public").await;
    let paths =
        ["stream", "stream?view=top", "stream?view=user&userId=ann"].map(|view| format!("/api/leaderboards/secret/{view}"));
    let mut streams = Vec::new();
    for path in &paths {
        let mut stream = Sse::open(&app, path).await;
        stream.next().await.expect("the state of things");
        streams.push(stream);
    }
    assert_eq!(app.get("/api/leaderboards/secret/entries").await["total"], 1);

    set("private").await;
    for request in reads(&app, None) {
        request.refused(401).await;
    }
    app.submit(json!({"actionId": "secret", "userId": "bob", "value": 7})).await;
    for mut stream in streams {
        assert_eq!(stream.expect("closed").await.data, json!({"reason": "private"}));
        assert!(stream.next().await.is_none(), "whoever came without a token sees no more");
    }
    // Those who may read it stay.
    let reader = app.token("reader", "leaderboards:read");
    let mut stream = Sse::open(&app, &format!("{}?access_token={reader}", paths[0])).await;
    assert_eq!(stream.expect("leaderboard").await.data["total"], 2);
    let renamed = app.admin(Method::PATCH, "/api/leaderboards/secret").json(&json!({"name": "Still private"}));
    renamed.answers(200).await;
    stream.expect("leaderboard-changed").await;
    let receipt = app.submit(json!({"actionId": "secret", "userId": "cy", "value": 9})).await;
    assert_eq!(stream.expect("score-updated").await.data["eventId"], receipt["eventId"]);
}

async fn nothing_public_names_a_private_leaderboard(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("hidden-cup", json!({"visibility": "private"})).await;
    for leaderboards in [json!(["hidden-cup", "main"]), json!(["hidden-cup"])] {
        let id = format!("feeds-{}", leaderboards.as_array().unwrap().len());
        let action = json!({"id": id, "leaderboards": leaderboards, "points": 1});
        app.admin(Method::POST, "/api/actions").json(&action).answers(201).await;
        app.post_score("ann", &id).await;
    }
    let reader = app.token("reader", "leaderboards:read");
    let mut hidden = Sse::open(&app, &format!("/api/leaderboards/hidden-cup/stream?access_token={reader}")).await;
    hidden.expect("leaderboard").await;
    let mut public = Sse::open(&app, "/api/leaderboards/main/stream").await;
    public.expect("leaderboard").await;

    let read = async |path: &str| app.anonymous(Method::GET, path).send().await.unwrap().text().await.unwrap();
    let mine = "scoreboard_watchers{leaderboard=\"main\"} 1";
    crate::app::eventually("the public stream is counted", async || read("/metrics").await.contains(mine)).await;
    for path in ["/metrics", "/api/actions", "/api/actions/feeds-2", "/api/leaderboards", "/api/users/ann/scores", "/readyz", "/"]
    {
        let text = read(path).await;
        assert!(!text.contains("hidden-cup"), "{path}: {text}");
    }
    let stranger = app.with("x", "scores:write", Method::GET, "/api/actions/feeds-2").answers(200).await;
    assert_eq!(stranger["leaderboards"], json!(["main"]));
    app.with("x", "scores:write", Method::GET, "/api/actions/feeds-1").refused(404).await;
    app.anonymous(Method::GET, "/api/actions/feeds-1").refused(404).await;
    for scope in ["leaderboards:read", "leaderboards:admin"] {
        let whole = app.with("x", scope, Method::GET, "/api/actions/feeds-2").answers(200).await;
        assert_eq!(whole["leaderboards"], json!(["hidden-cup", "main"]), "{scope}");
        let listed = app.with("x", scope, Method::GET, "/api/actions").answers(200).await;
        assert!(listed["actions"].as_array().unwrap().iter().any(|action| action["id"] == "feeds-1"), "{scope}");
    }

    let open = json!({"visibility": "public"});
    app.admin(Method::PATCH, "/api/leaderboards/hidden-cup").json(&open).answers(200).await;
    assert!(read("/metrics").await.contains("scoreboard_watchers{leaderboard=\"hidden-cup\"} 1"));
    let closed = json!({"visibility": "private"});
    app.admin(Method::PATCH, "/api/leaderboards/hidden-cup").json(&closed).answers(200).await;
    assert!(!read("/metrics").await.contains("hidden-cup"), "at once");
}
