//! Reading seasons that have ended: the same answers as when they were live, and a digest that proves them.

use reqwest::Method;
use serde_json::{Value, json};

use super::{end, post, result, season};
use crate::{
    answers::{Expect, broken},
    app::{Backend, TestApp},
    streams::{scores, text},
};

crate::both_backends!(
    an_ended_season_reads_as_it_last_did,
    a_large_season_is_read_at_any_rank,
    the_digest_is_that_of_the_standing,
    an_ended_season_can_be_kept_by_clients,
    a_season_is_chosen_by_word_or_number,
    an_ended_season_without_entries_reads_as_empty,
    what_was_taken_out_is_in_no_archive,
    the_latest_scores_of_an_ended_season_are_its_own,
    a_history_can_be_that_of_one_season,
);

const ENTRIES: &str = "/api/leaderboards/cup/entries";

/// A leaderboard `cup` in which so many users have scores, some of them equal.
async fn filled(backend: Backend, users: i64, settings: Value) -> TestApp {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("cup", settings).await;
    fill(&app, users).await;
    app
}

async fn fill(app: &TestApp, users: i64) {
    let submissions: Vec<_> =
        (0..users).map(|n| json!({ "actionId": "cup", "userId": format!("u-{n:04}"), "value": n * 7919 % 101 })).collect();
    for batch in submissions.chunks(1000) {
        let answer = app.game(Method::POST, "/api/scores/batch").json(&json!({ "submissions": batch })).answers(200).await;
        assert!(answer["results"].as_array().unwrap().iter().all(|result| result["status"] == 200), "{answer}");
    }
}

/// An answer without what tells the season apart: its version.
fn of_no_version(mut answer: Value) -> Value {
    answer.as_object_mut().unwrap().remove("version").expect("a version");
    answer
}

async fn query(app: &TestApp, season: &str) -> Value {
    let friends = json!({ "userIds": ["u-0003", "nobody", "u-0011", "u-0000"] });
    app.anonymous(Method::POST, &format!("{ENTRIES}/query{season}")).json(&friends).answers(200).await
}

async fn an_ended_season_reads_as_it_last_did(backend: Backend) {
    for settings in [json!({}), json!({ "order": "asc", "operator": "best" })] {
        let app = filled(backend, 40, settings).await;
        let name = json!({ "displayName": "Ada" });
        app.admin(Method::PUT, "/api/users/u-0003").json(&name).answers(200).await;
        let paths = [
            format!("{ENTRIES}?limit=1000"),
            format!("{ENTRIES}?limit=5&fromRank=18"),
            format!("{ENTRIES}?limit=5&fromRank=39"),
            format!("{ENTRIES}?limit=5&fromRank=41"),
            format!("{ENTRIES}/u-0003?around=3"),
            format!("{ENTRIES}/u-0000?around=50"),
            format!("{ENTRIES}/u-0021?around=0"),
        ];
        let mut live = Vec::new();
        for path in &paths {
            live.push(of_no_version(app.get(path).await));
        }
        let friends = of_no_version(query(&app, "").await);
        end(&app, "cup", 1).await;
        // At once, and again when its result is known and others have scored.
        for round in 0..2 {
            for (path, live) in paths.iter().zip(&live) {
                let and = if path.contains('?') { '&' } else { '?' };
                let archived = of_no_version(app.get(&format!("{path}{and}season=1")).await);
                assert_eq!(archived, *live, "{path} in round {round}");
            }
            assert_eq!(of_no_version(query(&app, "?season=previous").await), friends);
            app.anonymous(Method::GET, &format!("{ENTRIES}/nobody?season=1")).refused(404).await;
            post(&app, "cup", "u-0003", 1000).await;
            result(&app, "cup", 1).await;
        }
        let current = app.get(ENTRIES).await;
        assert_eq!((&current["season"], &current["total"]), (&json!(2), &json!(1)));
    }
}

async fn a_large_season_is_read_at_any_rank(backend: Backend) {
    const USERS: i64 = 1300;
    let app = filled(backend, USERS, json!({})).await;
    let mut live = app.get(&format!("{ENTRIES}?limit=1000")).await["entries"].as_array().unwrap().clone();
    live.extend(app.get(&format!("{ENTRIES}?limit=1000&fromRank=1001")).await["entries"].as_array().unwrap().iter().cloned());
    assert_eq!(live.len(), USERS as usize);
    end(&app, "cup", 1).await;
    let final_season = result(&app, "cup", 1).await;
    assert_eq!(final_season["total"], USERS);
    for from in [1, 2, 511, 512, 513, 1023, 1024, 1025, 1290, 1300] {
        let window = app.get(&format!("{ENTRIES}?season=1&limit=7&fromRank={from}")).await;
        let expected: Vec<_> = live.iter().skip(from - 1).take(7).cloned().collect();
        assert_eq!(window["entries"], json!(expected), "from {from}");
        assert_eq!((&window["total"], &window["version"]), (&json!(USERS), &final_season["version"]));
        let entry = &live[from - 1];
        let place = app.get(&format!("{ENTRIES}/{}?season=1&around=2", text(&entry["userId"]))).await;
        assert_eq!(place["entry"], *entry);
        let around: Vec<_> =
            live.iter().skip(from.saturating_sub(3)).take(if from < 3 { from + 2 } else { 5 }).cloned().collect();
        assert_eq!(place["around"], json!(around), "around {from}");
    }
}

async fn digest(app: &TestApp, season: i64) -> String {
    super::digest(&app.get(&format!("{ENTRIES}?season={season}&limit=1000")).await)
}

async fn the_digest_is_that_of_the_standing(backend: Backend) {
    let app = filled(backend, 30, json!({})).await;
    for (user, value) in [("Åsa 🏒", 55), ("minus", -3), ("a b", 55)] {
        post(&app, "cup", user, value).await;
    }
    let receipt = post(&app, "cup", "u-0003", 7).await;
    end(&app, "cup", 1).await;
    end(&app, "cup", 2).await;
    let first = result(&app, "cup", 1).await;
    assert_eq!((&first["digest"], &first["total"]), (&json!(digest(&app, 1).await), &json!(33)));
    assert_ne!(first["version"], receipt["version"], "a version of its own");
    let empty = result(&app, "cup", 2).await;
    assert_eq!(empty["digest"], digest(&app, 2).await);
    assert_eq!(empty["digest"], "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    post(&app, "cup", "u-0003", 7).await;
    assert_eq!(season(&app, "cup", 1).await, first, "what comes later changes nothing");
}

async fn an_ended_season_can_be_kept_by_clients(backend: Backend) {
    let app = filled(backend, 20, json!({})).await;
    end(&app, "cup", 1).await;
    result(&app, "cup", 1).await;
    for path in [format!("{ENTRIES}?season=1&limit=4"), format!("{ENTRIES}/u-0003?season=1&around=1")] {
        let first = app.anonymous(Method::GET, &path).responds(200).await;
        assert_eq!(first.headers()["cache-status"], "archive; hit", "{path}");
        let tag = first.headers()["etag"].clone();
        post(&app, "cup", "u-0003", 900).await;
        let again = app.anonymous(Method::GET, &path).header("If-None-Match", &tag).responds(304).await;
        assert_eq!((&again.headers()["etag"], &again.headers()["cache-status"]), (&tag, &"archive; hit".parse().unwrap()));
        let other = app.anonymous(Method::GET, &path).header("If-None-Match", "\"other\"").responds(200).await;
        assert_eq!(other.headers()["etag"], tag);
        let current = path.replace("season=1", "season=current");
        let current = app.anonymous(Method::GET, &current).header("If-None-Match", &tag).responds(200).await;
        assert_ne!(current.headers()["etag"], tag);
    }
    let friends = app.anonymous(Method::POST, &format!("{ENTRIES}/query?season=1")).json(&json!({ "userIds": ["u-0003"] }));
    assert_eq!(friends.responds(200).await.headers()["cache-status"], "archive; hit");
}

async fn a_season_is_chosen_by_word_or_number(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let get = |season: &str| app.anonymous(Method::GET, &format!("/api/leaderboard?season={season}"));
    get("previous").refused(404).await;
    for number in 1..=3 {
        app.post_value("ann", number).await;
        end(&app, "main", number).await;
    }
    app.post_value("ann", 4).await;
    for (which, expected) in [("current", 4), ("4", 4), ("previous", 3), ("3", 3), ("2", 2), ("1", 1)] {
        let window = get(which).answers(200).await;
        assert_eq!((window["season"].as_i64(), scores(&window)), (Some(expected), vec![("ann".to_owned(), expected)]), "{which}");
        let place = app.get(&format!("/api/leaderboards/main/entries/ann?season={which}")).await;
        assert_eq!((&place["season"], &place["entry"]["score"]), (&json!(expected), &json!(expected)), "{which}");
    }
    for none in ["5", "1000000"] {
        get(none).refused(404).await;
    }
    for bad in ["0", "-1", "first", "1.5", "", "99999999999999999999"] {
        assert_eq!(broken(&get(bad).refused(422).await), ["season"], "{bad}");
        let place = app.anonymous(Method::GET, &format!("/api/leaderboards/main/entries/ann?season={bad}"));
        assert_eq!(broken(&place.refused(422).await), ["season"], "{bad}");
        let friends = app.anonymous(Method::POST, &format!("/api/leaderboards/main/entries/query?season={bad}"));
        assert_eq!(broken(&friends.json(&json!({ "userIds": ["ann"] })).refused(422).await), ["season"], "{bad}");
        let stream = app.anonymous(Method::GET, &format!("/api/leaderboard/stream?season={bad}"));
        assert_eq!(broken(&stream.refused(422).await), ["season"], "{bad}");
    }
}

async fn an_ended_season_without_entries_reads_as_empty(backend: Backend) {
    let app = filled(backend, 0, json!({})).await;
    end(&app, "cup", 1).await;
    post(&app, "cup", "ann", 1).await;
    let window = app.get(&format!("{ENTRIES}?season=1")).await;
    assert_eq!((&window["season"], &window["total"], &window["entries"]), (&json!(1), &json!(0), &json!([])));
    app.anonymous(Method::GET, &format!("{ENTRIES}/ann?season=1")).refused(404).await;
}

async fn what_was_taken_out_is_in_no_archive(backend: Backend) {
    let app = filled(backend, 25, json!({})).await;
    let remove = |user: &str| app.admin(Method::DELETE, &format!("{ENTRIES}/{user}"));
    for user in ["u-0000", "u-0013", "u-0024"] {
        remove(user).responds(204).await;
    }
    post(&app, "cup", "u-0013", 3).await;
    let live = app.get(&format!("{ENTRIES}?limit=100")).await;
    end(&app, "cup", 1).await;
    remove("u-0001").refused(404).await;
    for _ in 0..2 {
        let archived = app.get(&format!("{ENTRIES}?limit=100&season=1")).await;
        assert_eq!(of_no_version(archived), of_no_version(live.clone()));
        app.anonymous(Method::GET, &format!("{ENTRIES}/u-0024?season=1")).refused(404).await;
        result(&app, "cup", 1).await;
    }
    let first = season(&app, "cup", 1).await;
    assert_eq!((&first["total"], &first["digest"]), (&json!(23), &json!(digest(&app, 1).await)));
}

async fn the_latest_scores_of_an_ended_season_are_its_own(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("cup", json!({})).await;
    let mut receipts = Vec::new();
    for user in ["ann", "bob", "ann"] {
        receipts.push(text(&post(&app, "cup", user, 3).await["eventId"]));
    }
    end(&app, "cup", 1).await;
    let later = post(&app, "cup", "cy", 4).await;
    receipts.reverse();
    let ids =
        |latest: &Value| latest["scores"].as_array().unwrap().iter().map(|score| text(&score["eventId"])).collect::<Vec<_>>();
    for which in ["1", "previous"] {
        let latest = app.get(&format!("/api/leaderboards/cup/scores?season={which}")).await;
        assert_eq!((&latest["season"], ids(&latest)), (&json!(1), receipts.clone()));
        assert_eq!(latest["version"], season(&app, "cup", 1).await["version"]);
    }
    let two = app.get("/api/leaderboards/cup/scores?season=1&limit=2").await;
    assert_eq!(ids(&two), receipts[..2]);
    for which in ["", "?season=current", "?season=2"] {
        let latest = app.get(&format!("/api/leaderboards/cup/scores{which}")).await;
        assert_eq!((&latest["season"], ids(&latest)), (&json!(2), vec![text(&later["eventId"])]), "{which}");
    }
    app.anonymous(Method::GET, "/api/leaderboards/cup/scores?season=3").refused(404).await;
    let bad = app.anonymous(Method::GET, "/api/leaderboards/cup/scores?season=x").refused(422).await;
    assert_eq!(broken(&bad), ["season"]);
}

async fn a_history_can_be_that_of_one_season(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("cup", json!({})).await;
    let both = json!({ "id": "both", "leaderboards": ["main", "cup"], "points": 3 });
    app.admin(Method::POST, "/api/actions").json(&both).answers(201).await;
    let mut ids = Vec::new();
    for number in 1..=3 {
        let mut of_season = Vec::new();
        for action in ["both", "both", "both"] {
            of_season.insert(0, text(&app.post_score("ann", action).await["eventId"]));
            app.post_score("ann", "goal").await;
        }
        ids.push(of_season);
        end(&app, "cup", number).await;
    }
    let read = async |query: &str| {
        let (mut read, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = app.get(&format!("/api/users/ann/scores?leaderboardId=cup{query}{cursor}")).await;
            for event in page["scores"].as_array().unwrap() {
                read.push(text(&event["eventId"]));
            }
            match page["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return read,
            }
        }
    };
    for limit in ["", "&limit=1", "&limit=2", "&limit=3"] {
        for (season, expected) in
            [("1", &ids[0]), ("2", &ids[1]), ("previous", &ids[2]), ("4", &Vec::new()), ("current", &Vec::new())]
        {
            assert_eq!(read(&format!("&season={season}{limit}")).await, *expected, "{season} {limit}");
        }
        assert_eq!(read(limit).await, [ids[2].clone(), ids[1].clone(), ids[0].clone()].concat(), "all of them");
    }
    let get = |query: &str| app.anonymous(Method::GET, &format!("/api/users/ann/scores?{query}"));
    get("leaderboardId=cup&season=5").refused(404).await;
    for bad in ["leaderboardId=cup&season=0", "season=1"] {
        assert_eq!(broken(&get(bad).refused(422).await), ["season"], "{bad}");
    }
}
