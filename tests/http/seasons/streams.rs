//! `view=top`, `view=user` and streams of several leaderboards across boundaries.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};

use super::{Writers, end, from_now, pass, patch, post, reaches, season};
use crate::{
    answers::Expect,
    app::{Backend, TestApp},
    sse::{Received, Sse},
    streams::text,
};

crate::both_backends!(
    the_top_sees_the_result_and_then_nobody,
    a_user_sees_their_final_standing_and_then_none,
    what_happened_elsewhere_is_in_the_final_standing,
    the_new_season_is_shown_empty_however_soon_a_score_follows,
    a_user_without_an_entry_sees_the_end_as_well,
    several_leaderboards_turn_each_for_itself,
    views_under_load_show_nothing_of_a_season_that_has_ended,
    whoever_comes_after_a_boundary_sees_the_new_season,
);

const STREAM: &str = "/api/leaderboards/cup/stream";

async fn cup(backend: Backend) -> TestApp {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("cup", json!({})).await;
    for (user, value) in [("ann", 5), ("bob", 9), ("cy", 7), ("dot", 1), ("eve", 3)] {
        post(&app, "cup", user, value).await;
    }
    app
}

fn without(value: &Value, fields: &[&str]) -> Value {
    let mut value = value.clone();
    fields.iter().for_each(|field| drop(value.as_object_mut().unwrap().remove(*field)));
    value
}

async fn the_top_sees_the_result_and_then_nobody(backend: Backend) {
    let app = cup(backend).await;
    let mut streams = Vec::new();
    for limit in [1, 3, 100] {
        let mut stream = Sse::open(&app, &format!("{STREAM}?view=top&hz=20&limit={limit}")).await;
        let state = stream.expect("leaderboard").await;
        streams.push((limit, stream, state));
    }
    let window = app.get("/api/leaderboards/cup/entries?limit=100").await;
    end(&app, "cup", 1).await;
    let first = season(&app, "cup", 1).await;
    for (limit, stream, state) in &mut streams {
        let ended = stream.expect("season-ended").await;
        let entries: Vec<_> = window["entries"].as_array().unwrap().iter().take(*limit).cloned().collect();
        assert_eq!((&ended.data["entries"], &ended.data["standing"]), (&json!(entries), &Value::Null), "as many as it shows");
        assert_eq!(ended.data["entries"], state.data["entries"]);
        for (field, expected) in [("season", json!(1)), ("next", json!(2)), ("total", json!(5)), ("version", json!(ended.id))] {
            assert_eq!(ended.data[field], expected, "{field}");
        }
        assert_eq!((&ended.data["startsAt"], &ended.data["endsAt"]), (&first["startsAt"], &first["endsAt"]));
        let started = stream.expect("season-started").await;
        assert_eq!((&started.data["season"], &started.data["since"]), (&json!(2), &json!(ended.id)));
        let empty = stream.expect("leaderboard").await;
        let expected = json!({ "leaderboardId": "cup", "season": 2, "version": started.id, "total": 0, "entries": [] });
        assert_eq!((&empty.data, &empty.id), (&expected, &started.id), "and no reset");
    }
    post(&app, "cup", "dot", 4).await;
    for (_, stream, _) in &mut streams {
        let patch = stream.expect("leaderboard-patch").await;
        assert_eq!(
            (&patch.data["season"], &patch.data["total"], &patch.data["rows"][0]["userId"]),
            (&json!(2), &json!(1), &json!("dot"))
        );
    }
}

async fn a_user_sees_their_final_standing_and_then_none(backend: Backend) {
    let app = cup(backend).await;
    let mut stream = Sse::open(&app, &format!("{STREAM}?view=user&userId=ann&around=1&hz=20")).await;
    stream.expect("standing").await;
    // Just before the end, so that no tick shows it first.
    post(&app, "cup", "ann", 3).await;
    let live = app.get("/api/leaderboards/cup/entries/ann?around=1").await;
    end(&app, "cup", 1).await;
    let mut ended = stream.next().await.unwrap();
    while ended.event == "standing" {
        ended = stream.next().await.unwrap();
    }
    let window = app.get("/api/leaderboards/cup/entries?limit=10&season=1").await;
    assert_eq!((&*ended.event, &ended.data["entries"]), ("season-ended", &window["entries"]));
    let standing = &ended.data["standing"];
    let archived = app.get("/api/leaderboards/cup/entries/ann?around=1&season=1").await;
    assert_eq!(without(standing, &["version"]), without(&archived, &["version"]));
    assert_eq!(without(standing, &["version"]), without(&live, &["version"]));
    assert_eq!(standing["version"], ended.data["since"], "the last of the season");
    let started = stream.expect("season-started").await;
    let none = stream.expect("standing").await;
    let expected = json!({
        "leaderboardId": "cup", "season": 2, "version": started.id, "total": 0, "entry": null, "percentile": null, "around": [],
    });
    assert_eq!(none.data, expected);
    post(&app, "cup", "ann", 2).await;
    let first = stream.expect("standing").await;
    assert_eq!(
        (&first.data["season"], &first.data["entry"]["score"], &first.data["entry"]["rank"]),
        (&json!(2), &json!(2), &json!(1))
    );
}

async fn what_happened_elsewhere_is_in_the_final_standing(backend: Backend) {
    let app = cup(backend).await;
    let mut stream = Sse::open(&app, &format!("{STREAM}?view=user&userId=bob&around=0&hz=20")).await;
    stream.expect("standing").await;
    // Neither of these moves the first.
    for user in ["fay", "gus"] {
        post(&app, "cup", user, 2).await;
    }
    end(&app, "cup", 1).await;
    let ended = stream.expect("season-ended").await;
    let standing = &ended.data["standing"];
    let archived = app.get("/api/leaderboards/cup/entries/bob?season=1").await;
    assert_eq!((&standing["total"], &standing["percentile"]), (&json!(7), &archived["percentile"]));
    assert_eq!(standing["version"], ended.data["since"]);
}

async fn the_new_season_is_shown_empty_however_soon_a_score_follows(backend: Backend) {
    let app = cup(backend).await;
    let mut top = Sse::open(&app, &format!("{STREAM}?view=top&hz=1&limit=3")).await;
    let mut user = Sse::open(&app, &format!("{STREAM}?view=user&userId=ann&hz=1")).await;
    top.expect("leaderboard").await;
    user.expect("standing").await;
    end(&app, "cup", 1).await;
    post(&app, "cup", "ann", 4).await;
    for (stream, state, after) in [(&mut top, "leaderboard", "leaderboard-patch"), (&mut user, "standing", "standing")] {
        stream.expect("season-ended").await;
        let started = stream.expect("season-started").await;
        let empty = stream.expect(state).await;
        assert_eq!((&empty.data["total"], &empty.id), (&json!(0), &started.id), "{state}");
        assert_eq!(stream.expect(after).await.data["total"], 1, "{state}");
    }
}

async fn a_user_without_an_entry_sees_the_end_as_well(backend: Backend) {
    let app = cup(backend).await;
    let mut stream = Sse::open(&app, &format!("{STREAM}?view=user&userId=zoe&hz=20")).await;
    assert_eq!(stream.expect("standing").await.data["entry"], Value::Null);
    end(&app, "cup", 1).await;
    let ended = stream.expect("season-ended").await;
    assert_eq!((&ended.data["total"], &ended.data["standing"]["entry"]), (&json!(5), &Value::Null));
    assert_eq!(ended.data["standing"]["season"], 1);
    stream.expect("season-started").await;
    let none = stream.expect("standing").await;
    assert_eq!((&none.data["season"], &none.data["total"]), (&json!(2), &json!(0)));
}

async fn several_leaderboards_turn_each_for_itself(backend: Backend) {
    let app = cup(backend).await;
    app.post_score("ann", "goal").await;
    let mut top = Sse::open(&app, "/api/stream?leaderboards=main,cup&limit=2&hz=20").await;
    let mut user = Sse::open(&app, "/api/stream?leaderboards=main,cup&view=user&userId=ann&hz=20").await;
    let mut bound = Sse::open(&app, "/api/stream?leaderboards=main,cup&hz=20&season=1").await;
    for _ in 0..2 {
        top.expect("leaderboard").await;
        user.expect("standing").await;
        bound.expect("leaderboard").await;
    }
    end(&app, "cup", 1).await;
    for (stream, state) in [(&mut top, "leaderboard"), (&mut user, "standing")] {
        let mut told = Vec::new();
        for event in ["season-ended", "season-started", state] {
            let event = stream.expect(event).await;
            assert_eq!((event.id.as_str(), &event.data["leaderboardId"]), ("", &json!("cup")), "without ids");
            told.push(event.data);
        }
        assert_eq!((&told[0]["season"], &told[1]["season"], &told[2]["season"]), (&json!(1), &json!(2), &json!(2)));
        assert_eq!((&told[2]["total"], &told[2]["reset"]), (&json!(0), &Value::Null));
        match state {
            "leaderboard" => assert_eq!(told[0]["entries"].as_array().unwrap().len(), 2),
            _ => assert_eq!(told[0]["standing"]["entry"]["rank"], 3),
        }
    }
    // The other leaderboard goes on.
    app.post_score("bob", "goal").await;
    let patch = top.expect("leaderboard-patch").await;
    assert_eq!((&patch.data["leaderboardId"], &patch.data["season"]), (&json!("main"), &json!(1)));
    // Bound to season 1, the one share ends, and then the other.
    bound.expect("season-ended").await;
    let closed = bound.expect("closed").await;
    assert_eq!(closed.data, json!({ "reason": "ended", "leaderboardId": "cup" }));
    assert_eq!(bound.expect("leaderboard-patch").await.data["leaderboardId"], "main");
    let again = app.anonymous(Method::GET, "/api/stream?leaderboards=main,cup&season=1").responds(200).await;
    assert_eq!(Sse::of(again).expect("leaderboard").await.data["leaderboardId"], "main", "only where it goes on");
    end(&app, "main", 1).await;
    bound.expect("season-ended").await;
    assert_eq!(bound.expect("closed").await.data, json!({ "reason": "ended" }));
    assert!(bound.next().await.is_none());
    app.anonymous(Method::GET, "/api/stream?leaderboards=main,cup&season=1").responds(204).await;
}

/// Reads a view until it shows this version or a later one of season `last`.
async fn read_to(mut stream: Sse, last: i64, done: impl Fn(&Received) -> bool) -> Vec<Received> {
    let mut events = Vec::new();
    loop {
        let event = stream.next().await.expect("the stream goes on");
        let over = event.data["season"] == last && done(&event);
        events.push(event);
        if over {
            return events;
        }
    }
}

async fn views_under_load_show_nothing_of_a_season_that_has_ended(backend: Backend) {
    let app = Arc::new(TestApp::spawn(backend).await);
    app.make_leaderboard("cup", json!({})).await;
    let instances = match backend {
        Backend::Shared => vec![Arc::clone(&app), Arc::new(app.another().await)],
        Backend::Embedded => vec![Arc::clone(&app)],
    };
    patch(&app, "cup", json!({ "resetSchedule": { "dates": [from_now(1500)] } })).await;
    let mut views = Vec::new();
    for app in &instances {
        for view in ["view=top&limit=3&hz=20", "view=user&userId=ann&around=1&hz=20", "view=top&limit=100&hz=2"] {
            let stream = Sse::open(app, &format!("{STREAM}?{view}")).await;
            let last = |event: &Received| event.data.to_string().contains("\"zoe\"") || event.data["total"] == 5;
            views.push((view, tokio::spawn(read_to(stream, 3, last))));
        }
    }
    let writers = Writers::start(&instances, "cup", &["ann", "bob", "cy", "dot"]);
    reaches(&app, "cup", 2).await;
    pass(300).await;
    end(&app, "cup", 2).await;
    pass(300).await;
    writers.stop().await;
    post(&app, "cup", "zoe", 1_000_000).await;
    for (view, events) in views {
        let events = events.await.unwrap();
        let mut current = 1;
        let mut ends = Vec::new();
        for event in &events {
            assert_eq!(event.data["reset"], Value::Null, "{view}");
            let season = event.data["season"].as_i64().unwrap_or(current);
            match &*event.event {
                "season-ended" => {
                    assert_eq!(season, current, "{view}");
                    ends.push(event.clone());
                }
                "season-started" => {
                    current += 1;
                    assert_eq!((season, ends.len() as i64), (current, current - 1), "{view}");
                }
                // Nothing of season n after its end, and nothing of the next before it.
                _ => assert_eq!((season, ends.len() as i64 + 1), (current, current), "{view}: {event:?}"),
            }
        }
        assert_eq!(ends.len(), 2, "{view}: each boundary once");
        for ended in ends {
            let number = &ended.data["season"];
            if view.starts_with("view=top") {
                let shown = if view.contains("limit=3") { 3 } else { 100 };
                let archived = app.get(&format!("/api/leaderboards/cup/entries?season={number}&limit={shown}")).await;
                assert_eq!((&ended.data["entries"], &ended.data["total"]), (&archived["entries"], &archived["total"]), "{view}");
            } else {
                let archived = app.get(&format!("/api/leaderboards/cup/entries/ann?season={number}&around=1")).await;
                assert_eq!(without(&ended.data["standing"], &["version"]), without(&archived, &["version"]), "{view}");
            }
        }
    }
}

async fn whoever_comes_after_a_boundary_sees_the_new_season(backend: Backend) {
    let app = cup(backend).await;
    // Somebody keeps the leaderboard followed.
    let mut kept = Sse::open(&app, &format!("{STREAM}?view=top&hz=2")).await;
    kept.expect("leaderboard").await;
    for number in 1..=5 {
        let before = text(&post(&app, "cup", "ann", 1).await["version"]);
        end(&app, "cup", number).await;
        for view in ["view=events", "view=top", "view=top&hz=2", "view=user&userId=ann"] {
            let mut stream = Sse::open(&app, &format!("{STREAM}?{view}")).await;
            let mut state = stream.next().await.unwrap();
            // Another process may hear of the boundary a moment after the answer; then its watchers see it come.
            let mut ended = false;
            while state.data["season"] == number {
                ended |= state.event == "season-ended";
                state = stream.next().await.unwrap();
            }
            assert_eq!(ended, state.event == "season-started", "{view}: {state:?}");
            let empty = ended || (&state.data["season"], &state.data["total"]) == (&json!(number + 1), &json!(0));
            assert!(empty, "{view}: {state:?}");
        }
        let mut resumed = Sse::resume(&app, STREAM, &before).await;
        assert_eq!(resumed.expect("season-ended").await.data["season"], number);
    }
}
