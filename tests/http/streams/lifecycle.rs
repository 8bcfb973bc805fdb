//! How a stream begins, stays awake, is refused and ends.

use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::{Replay, text};
use crate::{
    app::{Backend, TestApp, eventually, status_and_json},
    sse::Sse,
};

crate::both_backends!(
    a_stream_tells_proxies_to_leave_it_alone_and_browsers_when_to_come_back,
    heartbeats_say_where_the_newest_position_is,
    too_many_streams_are_refused_in_band,
    too_many_streams_with_one_token_are_refused_in_band,
    streams_leave_room_for_requests,
    the_metrics_tell_what_streams_do,
    what_is_out_of_range_is_refused_by_field,
    the_watchers_are_counted,
    a_restart_ends_streams_in_an_orderly_way_and_positions_stay_honest,
);

async fn open(app: &TestApp, path: &str) -> Response {
    app.anonymous(Method::GET, path).timeout(Duration::from_secs(60)).header("accept-encoding", "gzip, br").send().await.unwrap()
}

/// Reads until what came holds this text.
async fn read_until(response: &mut Response, wanted: &str, patience: Duration) -> String {
    let mut read = String::new();
    let reading = async {
        while !read.contains(wanted) {
            let chunk = response.chunk().await.unwrap().unwrap_or_else(|| panic!("ended without {wanted}"));
            read.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    };
    tokio::time::timeout(patience, reading).await.unwrap_or_else(|_| panic!("no {wanted} within {patience:?}"));
    read
}

/// The milliseconds of a `retry:` line.
fn retry(line: &str) -> u64 {
    line.strip_prefix("retry: ").unwrap_or_else(|| panic!("no retry: {line}")).parse().unwrap()
}

async fn a_stream_tells_proxies_to_leave_it_alone_and_browsers_when_to_come_back(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for path in ["/api/leaderboard/stream", "/api/leaderboard/stream?view=top", "/api/stream?leaderboards=main"] {
        let mut response = open(&app, path).await;
        let headers = response.headers();
        assert_eq!(headers["content-type"], "text/event-stream");
        assert_eq!(headers["cache-control"], "no-cache, no-transform");
        assert_eq!(headers["x-accel-buffering"], "no");
        assert!(!headers.contains_key("content-encoding"), "{headers:?}");
        let begun = read_until(&mut response, "event: leaderboard\n", Duration::from_secs(10)).await;
        assert!((1_000..=3_000).contains(&retry(begun.lines().next().unwrap())), "{begun}");
    }
}

async fn heartbeats_say_where_the_newest_position_is(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let mut response = open(&app, "/api/leaderboard/stream").await;
    read_until(&mut response, "event: leaderboard\n", Duration::from_secs(10)).await;
    let mut user = open(&app, "/api/leaderboard/stream?view=user&userId=ann").await;
    let receipt = app.post_score("ann", "goal").await;
    read_until(&mut response, "event: score-updated\n", Duration::from_secs(10)).await;
    for response in [&mut response, &mut user] {
        let read = read_until(response, "event: heartbeat\n", Duration::from_secs(17)).await;
        let rest = read_until(response, "\n\n", Duration::from_secs(1));
        let read = if read.ends_with("\n\n") { read } else { read + &rest.await };
        let block = read.split("\n\n").find(|block| block.contains("event: heartbeat")).unwrap();
        assert!(!block.contains("id:"), "{block}");
        let data: Value = serde_json::from_str(block.lines().find_map(|line| line.strip_prefix("data: ")).unwrap()).unwrap();
        assert_eq!((&data["version"], &data["watchers"]), (&receipt["version"], &json!(2)));
        assert!(data["at"].as_str().unwrap().ends_with('Z'));
    }
}

async fn too_many_streams_are_refused_in_band(backend: Backend) {
    let app = TestApp::spawn_with(backend, &["--streams-per-ip=1"]).await;
    let mut first = Sse::open(&app, "/api/leaderboard/stream").await;
    first.expect("leaderboard").await;
    let refused = open(&app, "/api/leaderboard/stream").await;
    assert_eq!((refused.status().as_u16(), &refused.headers()["content-type"]), (200, &"text/event-stream".parse().unwrap()));
    let body = refused.text().await.unwrap();
    assert!(retry(body.lines().next().unwrap()) >= 10_000, "{body}");
    assert!(body.contains("event: busy\ndata: {\"reason\":") && !body.contains("id:"), "{body}");
    assert_eq!(app.anonymous(Method::GET, "/api/leaderboards/none/stream").send().await.unwrap().status(), 404);
    drop(first);
    eventually("the place is given back", || async {
        let mut stream = Sse::open(&app, "/api/leaderboard/stream").await;
        stream.next().await.is_some_and(|event| event.event == "leaderboard")
    })
    .await;
}

async fn too_many_streams_with_one_token_are_refused_in_band(backend: Backend) {
    let app = TestApp::spawn_with(backend, &["--streams-per-token=1"]).await;
    let open = |subject| app.with(subject, "leaderboards:read", Method::GET, "/api/leaderboard/stream").send();
    let mut first = Sse::of(open("ann").await.unwrap());
    first.expect("leaderboard").await;
    let mut refused = Sse::of(open("ann").await.unwrap());
    assert_eq!(refused.expect("busy").await.data["reason"], "too many streams with this token");
    assert!(refused.next().await.is_none());
    for stream in [open("bob").await.unwrap(), app.anonymous(Method::GET, "/api/leaderboard/stream").send().await.unwrap()] {
        Sse::of(stream).expect("leaderboard").await;
    }
}

async fn streams_leave_room_for_requests(backend: Backend) {
    let app = TestApp::spawn_with(backend, &["--max-connections=10", "--trusted-proxies=127.0.0.0/8"]).await;
    let open = async |client: usize| {
        let request =
            app.anonymous(Method::GET, "/api/leaderboard/stream").header("x-forwarded-for", format!("192.0.2.{client}"));
        Sse::of(request.send().await.unwrap())
    };
    let mut streams = Vec::new();
    // One client gets two thirds of what there is, the others the rest.
    for client in [1, 1, 1, 1, 1, 1, 2, 3, 4] {
        let mut stream = open(client).await;
        stream.expect("leaderboard").await;
        streams.push(stream);
        if streams.len() == 6 {
            assert_eq!(open(1).await.expect("busy").await.data["reason"], "too many streams from this address");
        }
    }
    let mut refused = open(5).await;
    assert_eq!(refused.expect("busy").await.data["reason"], "the server has as many streams open as it can carry");
    assert!(refused.next().await.is_none());
    let receipt = app.post_score("ann", "goal").await;
    for stream in &mut streams {
        assert_eq!(stream.expect("score-updated").await.data["eventId"], receipt["eventId"]);
    }
    let livez = format!("http://{}/livez", app.address);
    // All connections are taken now: whoever comes waits, and is served as soon as one is free.
    let (last, _) =
        tokio::join!(reqwest::Client::builder().no_proxy().build().unwrap().get(livez).send(), async { drop(streams.pop()) });
    assert_eq!(last.unwrap().status(), 200);
}

async fn what_is_out_of_range_is_refused_by_field(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let main = "/api/leaderboard/stream?";
    let long = format!("{main}view=user&userId={}", "u".repeat(129));
    for (query, field) in [
        (format!("{main}limit=0"), "limit"),
        (format!("{main}limit=101"), "limit"),
        (format!("{main}limit=ten"), "limit"),
        (format!("{main}view=top&limit=-1"), "limit"),
        (format!("{main}view=top&hz=0"), "hz"),
        (format!("{main}view=top&hz=21"), "hz"),
        (format!("{main}view=user"), "userId"),
        (format!("{main}view=user&userId=%20"), "userId"),
        (long, "userId"),
        (format!("{main}view=user&userId=ann&around=51"), "around"),
        (format!("{main}view=everything"), "view"),
        ("/api/stream".to_owned(), "leaderboards"),
        ("/api/stream?leaderboards=main,main".to_owned(), "leaderboards"),
        ("/api/stream?leaderboards=main&view=events".to_owned(), "view"),
    ] {
        let (status, problem) = status_and_json(open(&app, &query).await).await;
        assert_eq!(status, 422, "{query}: {problem}");
        assert_eq!(problem["errors"][0]["field"], field, "{query}: {problem}");
    }
    for path in ["/api/leaderboards/none/stream", "/api/stream?leaderboards=main,none"] {
        assert_eq!(open(&app, path).await.status(), 404, "{path}");
    }
}

async fn the_watchers_are_counted(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let counted = async |expected: u64| {
        eventually("the watchers are counted", || async {
            app.get("/api/leaderboards/main").await["watchers"] == json!(expected)
        })
        .await;
    };
    counted(0).await;
    let first = Sse::open(&app, "/api/leaderboard/stream").await;
    let second = Sse::open(&app, "/api/leaderboard/stream?view=top").await;
    let third = Sse::open(&app, "/api/stream?leaderboards=main").await;
    counted(3).await;
    drop((first, second));
    counted(1).await;
    drop(third);
    counted(0).await;
}

async fn a_restart_ends_streams_in_an_orderly_way_and_positions_stay_honest(backend: Backend) {
    let mut app = TestApp::spawn(backend).await;
    app.post_score("ann", "goal").await;
    let streams = [open(&app, "/api/leaderboard/stream").await, open(&app, "/api/leaderboard/stream?view=top").await];
    let mut events = Sse::open(&app, "/api/leaderboard/stream").await;
    let mut replay = Replay::of(&events.expect("leaderboard").await);
    let bodies = streams.map(|stream| tokio::spawn(stream.text()));
    app.restart().await;
    for body in bodies {
        let body = body.await.unwrap().expect("the body is whole, not cut off");
        assert!(body.ends_with("\n\n"), "{body}");
        retry(body.trim_end().lines().last().unwrap());
    }
    assert!(events.next().await.is_none());

    let receipt = app.post_score("bob", "goal").await;
    let mut resumed = Sse::resume(&app, "/api/leaderboard/stream", &replay.version).await;
    match backend {
        Backend::Embedded => {
            let event = resumed.expect("leaderboard").await;
            assert_eq!((&event.data["reset"], &event.data["total"]), (&json!(true), &json!(2)));
        }
        Backend::Shared => {
            let event = resumed.expect("score-updated").await;
            replay.take(&event);
            assert_eq!(replay.version, text(&receipt["version"]));
        }
    }
}

async fn the_metrics_tell_what_streams_do(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("measured", json!({})).await;
    let mut stream = Sse::open(&app, "/api/leaderboards/measured/stream").await;
    stream.expect("leaderboard").await;
    app.submit(json!({ "actionId": "measured", "userId": "ann", "value": 1 })).await;
    stream.expect("score-updated").await;
    eventually("the stream is measured", || async {
        let metrics = app.anonymous(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
        let value = |name: &str| -> f64 {
            let line = metrics.lines().find_map(|line| line.strip_prefix(name));
            line.map_or(0.0, |value| value.trim().parse().unwrap())
        };
        let counted = ["scoreboard_streams_open", "scoreboard_stream_deliveries_total", "scoreboard_stream_writes_total"];
        counted.iter().all(|name| value(&format!("{name} ")) >= 1.0)
            && value("scoreboard_stream_lag_seconds_count ") >= 1.0
            && value("scoreboard_watchers{leaderboard=\"measured\"} ") == 1.0
    })
    .await;
}
