//! `view=events` across boundaries: one sequence without a gap, for everybody, from wherever they come back.

use std::{collections::HashSet, sync::Arc};

use reqwest::Method;
use serde_json::{Value, json};

use super::{Writers, end, from_now, pass, patch, post, reaches, result, season};
use crate::{
    answers::Expect,
    app::{Backend, TestApp},
    sse::{Received, Sse},
    streams::{scores, seq, text},
};

crate::both_backends!(
    a_boundary_has_two_events_in_the_sequence,
    no_number_is_missing_across_boundaries_under_load,
    a_position_before_a_boundary_is_continued_across_it,
    a_stream_of_a_season_ends_with_it,
    a_stream_of_an_ended_season_is_not_opened,
);

const STREAM: &str = "/api/leaderboards/cup/stream";

async fn cup(backend: Backend) -> TestApp {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("cup", json!({})).await;
    app
}

async fn a_boundary_has_two_events_in_the_sequence(backend: Backend) {
    let app = cup(backend).await;
    for number in 1..=12 {
        post(&app, "cup", &format!("u-{number:02}"), number).await;
    }
    let mut stream = Sse::open(&app, STREAM).await;
    let snapshot = stream.expect("leaderboard").await;
    let window = app.get("/api/leaderboards/cup/entries?limit=10").await;
    let name = json!({ "ends": 1, "name": "Winter" });
    let next = app.admin(Method::POST, &super::path("cup")).json(&name).answers(201).await;
    let ended = stream.expect("season-ended").await;
    assert_eq!((&ended.data["since"], &ended.data["version"]), (&json!(snapshot.id), &json!(ended.id)));
    let first = result(&app, "cup", 1).await;
    let expected = json!({
        "leaderboardId": "cup", "season": 1, "version": ended.id, "since": snapshot.id, "startsAt": first["startsAt"],
        "endsAt": first["endsAt"], "total": 12, "next": 2, "entries": window["entries"], "standing": null,
    });
    assert_eq!(ended.data, expected);
    let started = stream.expect("season-started").await;
    let expected = json!({
        "leaderboardId": "cup", "season": 2, "version": started.id, "since": ended.id, "startsAt": next["startsAt"],
        "nextReset": null, "name": "Winter",
    });
    assert_eq!(started.data, expected);
    assert_eq!(seq(&started.id), seq(&snapshot.id) + 2);
    let receipt = post(&app, "cup", "u-05", 3).await;
    let score = stream.expect("score-updated").await;
    assert_eq!(
        (&score.data["season"], &score.data["since"], &score.data["previousScore"]),
        (&json!(2), &json!(started.id), &Value::Null)
    );
    assert_eq!((&score.data["version"], &score.data["total"]), (&receipt["version"], &json!(1)));
    let current = season(&app, "cup", "current").await;
    assert_eq!((&current["version"], &current["name"]), (&receipt["version"], &json!("Winter")));
    // Whoever had an entry in the ended season alone is nobody here.
    app.admin(Method::PUT, "/api/users/u-12").json(&json!({ "displayName": "Ada" })).answers(200).await;
    let fresh = Sse::open(&app, STREAM).await.expect("leaderboard").await;
    assert_eq!(json!(fresh.id), receipt["version"]);
    assert_eq!((&fresh.data["season"], &fresh.data["total"], &fresh.data["reset"]), (&json!(2), &json!(1), &Value::Null));
}

/// Follows a stream from the first season on: every event follows the one before, and nothing is told of a season after its end.
async fn follow(stream: &mut Sse, mut version: String, done: impl Fn(&[Received]) -> bool) -> Vec<Received> {
    let mut events: Vec<Received> = Vec::new();
    while !done(&events) {
        let event = stream.next().await.expect("the stream goes on");
        assert_eq!(event.data["since"], json!(version), "no number is missing: {event:?}");
        assert_eq!(event.data["version"], json!(event.id));
        assert_eq!(seq(&event.id), seq(&version) + 1);
        let ended = events.last().filter(|last| last.event == "season-ended").map(|last| last.data["next"].clone());
        assert_eq!(event.event == "season-started", ended.is_some(), "one begins where the other ends: {event:?}");
        let season = ended.or(events.last().map(|last| last.data["season"].clone())).unwrap_or(json!(1));
        assert_eq!(event.data["season"], season, "{event:?}");
        version = event.id.clone();
        events.push(event);
    }
    events
}

/// The scores that these events tell.
fn told(events: &[Received]) -> Vec<String> {
    events.iter().filter(|event| event.event == "score-updated").map(|event| text(&event.data["eventId"])).collect()
}

async fn no_number_is_missing_across_boundaries_under_load(backend: Backend) {
    let app = Arc::new(cup(backend).await);
    let mut stream = Sse::open(&app, STREAM).await;
    let begun = stream.expect("leaderboard").await.id;
    patch(&app, "cup", json!({ "resetSchedule": { "dates": [from_now(1200)] } })).await;
    stream.expect("leaderboard-changed").await;
    let users = ["ann", "bob", "cy", "dot"];
    let writers = Writers::start(&[Arc::clone(&app)], "cup", &users);
    // Whatever else changes an entry keeps to its season as well.
    let meddler = tokio::spawn({
        let app = Arc::clone(&app);
        async move {
            for round in 0.. {
                let name = json!({ "displayName": format!("Ann {round}") });
                app.admin(Method::PUT, "/api/users/ann").json(&name).answers(200).await;
                app.admin(Method::DELETE, "/api/leaderboards/cup/entries/bob").send().await.unwrap();
            }
        }
    });
    reaches(&app, "cup", 2).await;
    pass(200).await;
    end(&app, "cup", 2).await;
    pass(200).await;
    let receipts: Vec<Value> = writers.stop().await.into_iter().flatten().collect();
    meddler.abort();
    meddler.await.unwrap_err();
    let scored: HashSet<_> = receipts.iter().map(|receipt| text(&receipt["eventId"])).collect();
    let changed = format!("{}-{}", begun.split_once('-').unwrap().0, seq(&begun) + 1);
    // Who was removed just before gets no rank, and others in the new season none if its ranking takes long; told they are all.
    let events = follow(&mut stream, changed, |events| told(events).len() == scored.len()).await;
    assert_eq!(told(&events).into_iter().collect::<HashSet<_>>(), scored, "each score once");
    let ends: Vec<_> =
        events.iter().filter(|event| event.event == "season-ended").map(|event| event.data["season"].clone()).collect();
    assert_eq!(ends, [1, 2], "each boundary once");
    for receipt in receipts.iter().filter(|receipt| !receipt["version"].is_null()) {
        let event = events.iter().find(|event| event.data["eventId"] == receipt["eventId"]).unwrap();
        assert_eq!((&event.data["version"], &event.data["season"]), (&receipt["version"], &receipt["standings"][0]["season"]));
    }
    // What the end of each season told is what is archived of it, by the names of then.
    for event in events.iter().filter(|event| event.event == "season-ended") {
        let archived = app.get(&format!("/api/leaderboards/cup/entries?season={}", event.data["season"])).await;
        assert_eq!((scores(&event.data), &event.data["total"]), (scores(&archived), &archived["total"]));
    }
}

async fn a_position_before_a_boundary_is_continued_across_it(backend: Backend) {
    let app = cup(backend).await;
    let others = match backend {
        Backend::Shared => vec![app.another().await],
        Backend::Embedded => vec![],
    };
    let mut stream = Sse::open(&app, STREAM).await;
    let begun = stream.expect("leaderboard").await.id;
    for number in 1..=3 {
        for user in ["ann", "bob"] {
            post(&app, "cup", user, number).await;
        }
        end(&app, "cup", number).await;
    }
    let last = post(&app, "cup", "ann", 1).await;
    let last = text(&last["version"]);
    let events = follow(&mut stream, begun.clone(), |events| events.last().is_some_and(|event| event.id == last)).await;
    assert_eq!(events.len(), 3 * 4 + 1);
    for app in std::iter::once(&app).chain(&others) {
        // From the beginning, from each event, before and after each boundary.
        for from in 0..events.len() {
            let position = if from == 0 { &begun } else { &events[from - 1].id };
            let mut resumed = Sse::resume(app, STREAM, position).await;
            for expected in &events[from..] {
                let event = resumed.next().await.expect("the stream goes on");
                assert_eq!(
                    (&event.event, &event.id, &event.data),
                    (&expected.event, &expected.id, &expected.data),
                    "from {position}"
                );
            }
        }
        let mut at_the_end = Sse::resume(app, STREAM, &last).await;
        let receipt = post(app, "cup", "bob", 1).await;
        let mut event = at_the_end.next().await.unwrap();
        while event.data["eventId"] != receipt["eventId"] {
            assert_eq!((&*event.event, &event.data["season"]), ("score-updated", &json!(4)));
            event = at_the_end.next().await.unwrap();
        }
    }
}

async fn a_stream_of_a_season_ends_with_it(backend: Backend) {
    let app = cup(backend).await;
    post(&app, "cup", "ann", 1).await;
    for (number, view) in (1..).zip(["view=events", "view=top&hz=20", "view=user&userId=ann&hz=20"]) {
        let path = format!("{STREAM}?season={number}&{view}");
        let mut stream = Sse::open(&app, &path).await;
        let state = stream.next().await.unwrap();
        assert_eq!(state.data["season"], number, "{view}");
        end(&app, "cup", number).await;
        let ended = stream.expect("season-ended").await;
        assert_eq!(ended.data["season"], number);
        let closed = stream.expect("closed").await;
        assert_eq!(closed.data, json!({ "reason": "ended" }), "{view}");
        assert!(stream.next().await.is_none(), "{view}");
        let over = app.anonymous(Method::GET, &path).responds(204).await;
        assert_eq!(over.text().await.unwrap(), "");
        post(&app, "cup", "ann", 1).await;
    }
}

async fn a_stream_of_an_ended_season_is_not_opened(backend: Backend) {
    let app = cup(backend).await;
    app.anonymous(Method::GET, &format!("{STREAM}?season=previous")).refused(404).await;
    let before = text(&post(&app, "cup", "ann", 1).await["version"]);
    end(&app, "cup", 1).await;
    for query in ["season=1", "season=previous", "season=1&view=top", "season=1&view=user&userId=ann"] {
        app.anonymous(Method::GET, &format!("{STREAM}?{query}")).responds(204).await;
    }
    let resumed = app.anonymous(Method::GET, &format!("{STREAM}?season=1")).header("Last-Event-ID", &before);
    resumed.responds(204).await;
    app.anonymous(Method::GET, &format!("{STREAM}?season=3")).refused(404).await;
    app.anonymous(Method::GET, &format!("{STREAM}?season=1&view=user")).refused(422).await;
    app.anonymous(Method::GET, "/api/leaderboard/stream?season=2").refused(404).await;
    app.anonymous(Method::GET, "/api/stream?leaderboards=cup&season=1").responds(204).await;
    for query in ["season=2", "season=current", ""] {
        let state = Sse::open(&app, &format!("{STREAM}?{query}")).await.expect("leaderboard").await;
        assert_eq!(state.data["season"], 2, "{query}");
    }
}
