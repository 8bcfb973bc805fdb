//! Finding users of a leaderboard by the beginning of a name.

use reqwest::Method;
use serde_json::{Value, json};

use super::{fill, ranks};
use crate::{
    answers::{Expect, broken},
    app::{Backend, TestApp, eventually, users},
    seasons::end,
};

crate::both_backends!(
    users_are_found_by_the_beginning_of_a_name_or_an_id,
    case_makes_no_difference_in_any_script,
    a_row_is_the_one_of_the_window,
    nobody_is_found_by_a_former_name,
    users_who_are_not_in_this_ranking_are_not_found,
    the_best_are_found_where_many_match,
    an_ended_season_is_searched_as_it_ended,
    a_search_that_is_no_search_is_refused,
);

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

async fn search(app: &TestApp, name: &str) -> Value {
    app.get(&format!("/api/leaderboards/main/search?limit=50&name={}", encoded(name))).await
}

async fn name(app: &TestApp, user: &str, name: Value) {
    app.admin(Method::PATCH, &format!("/api/users/{}", encoded(user))).json(&json!({ "displayName": name })).answers(200).await;
}

async fn users_are_found_by_the_beginning_of_a_name_or_an_id(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for (user, value) in [("ada", 1), ("u-1", 5), ("u-2", 3), ("Adam", 4), ("bad", 9)] {
        app.post_value(user, value).await;
    }
    name(&app, "u-1", json!("Ada Lovelace")).await;
    app.submit(json!({"actionId": "value", "userId": "u-3", "value": 2, "displayName": "ADA B."})).await;
    app.submit(json!({"actionId": "value", "userId": "u-2", "value": 0, "displayName": "Bob"})).await;
    assert_eq!(users(&search(&app, "ad").await), ["u-1", "Adam", "u-3", "ada"], "best first");
    assert_eq!(users(&search(&app, "ada ").await), ["u-1", "u-3"]);
    assert_eq!(users(&search(&app, "ADAM").await), ["Adam"]);
    assert_eq!(users(&search(&app, "u-").await), ["u-1", "u-2", "u-3"]);
    assert_eq!(users(&search(&app, "bob").await), ["u-2"]);
    assert_eq!(search(&app, "zed").await["entries"], json!([]));
    assert_eq!(search(&app, "\0").await["entries"], json!([]), "no name has it, and no database need be asked");
    let answer = app.get("/api/leaderboards/main/search?name=ad&limit=2").await;
    assert_eq!((users(&answer), ranks(&answer["entries"])), (vec!["u-1", "Adam"], vec![2, 3]));
}

async fn case_makes_no_difference_in_any_script(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let named = [
        ("a", "Émilie", "éMI"),
        ("b", "straße", "STRASS"),
        ("j", "HAUPTSTRAẞE", "hauptstrass"),
        ("k", "\u{10ffff}last", "\u{10ffff}"),
        ("c", "ὈΔΥΣΣΕΎΣ", "ὀδυσσεύς"),
        ("d", "Ольга", "оЛЬГ"),
        ("e", "宮本 茂", "宮本"),
        ("f", "100% _x", "100% _X"),
        ("g", "'); DROP TABLE users", "'); d"),
        ("h", "👑 Queen", "👑 q"),
    ];
    for (user, name, _) in named {
        app.submit(json!({"actionId": "goal", "userId": user, "displayName": name})).await;
    }
    app.post_score("ÅSA", "goal").await;
    for (user, name, prefix) in named {
        assert_eq!(users(&search(&app, prefix).await), [user], "{prefix}");
        assert_eq!(users(&search(&app, name).await), [user], "{name}");
    }
    assert_eq!(users(&search(&app, "åsa").await), ["ÅSA"]);
    assert_eq!(search(&app, "%").await["entries"], json!([]));
}

async fn a_row_is_the_one_of_the_window(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    fill(&app, 5).await;
    let profile = json!({"displayName": "Ann", "avatarUrl": "https://example.com/a.png", "country": "CZ"});
    app.admin(Method::PUT, "/api/users/u-03").json(&profile).answers(200).await;
    let window = app.get("/api/leaderboard").await;
    let found = search(&app, "an").await;
    assert_eq!(found["entries"], json!([window["entries"][2]]));
    for field in ["leaderboardId", "season", "version"] {
        assert_eq!(found[field], window[field], "{field}");
    }
    let nobody = app.anonymous(Method::GET, "/api/leaderboards/main/search?name=zed").responds(200).await;
    assert!(nobody.headers().contains_key("cache-status"));
    assert_eq!(nobody.json::<Value>().await.unwrap()["version"], window["version"]);
}

async fn nobody_is_found_by_a_former_name(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.post_score("u-1", "goal").await;
    for (now, former) in [(json!("Ada"), "zed"), (json!("Bob"), "ada"), (Value::Null, "bob"), (json!("Cid"), "bob")] {
        name(&app, "u-1", now.clone()).await;
        assert_eq!(search(&app, former).await["entries"], json!([]), "{former}");
        if let Some(now) = now.as_str() {
            assert_eq!(users(&search(&app, now).await), ["u-1"]);
        }
    }
    let moderator = app.with("mod", "moderation:write", Method::POST, "/api/moderation/decisions");
    let rename = json!({"type": "rename", "userId": "u-1", "displayName": "Dot", "reason": "a test"});
    moderator.json(&json!({ "decisions": [rename] })).answers(200).await;
    assert_eq!((users(&search(&app, "do").await), search(&app, "ci").await["entries"].clone()), (vec!["u-1"], json!([])));
    let moderator = app.with("mod", "moderation:write", Method::POST, "/api/moderation/decisions");
    let erase = json!({"type": "erase", "userId": "u-1", "scores": "keep", "reason": "a test"});
    moderator.json(&json!({ "decisions": [erase] })).answers(200).await;
    for gone in ["do", "u-1"] {
        assert_eq!(search(&app, gone).await["entries"], json!([]), "{gone}");
    }
    assert_eq!(search(&app, "erased-").await["entries"].as_array().unwrap().len(), 1);
}

async fn users_who_are_not_in_this_ranking_are_not_found(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("cup", json!({})).await;
    app.submit(json!({"actionId": "cup", "userId": "ada", "value": 1})).await;
    app.admin(Method::PUT, "/api/users/adele").json(&json!({"displayName": "Adele"})).answers(200).await;
    assert_eq!(search(&app, "ad").await["entries"], json!([]));
    assert_eq!(users(&app.get("/api/leaderboards/cup/search?name=AD").await), ["ada"]);
    app.admin(Method::DELETE, "/api/leaderboards/cup/entries/ada").responds(204).await;
    assert_eq!(app.get("/api/leaderboards/cup/search?name=ad").await["entries"], json!([]));
}

/// More match than are looked up one by one: then the top of the ranking is looked through.
async fn the_best_are_found_where_many_match(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let fill = async |user: &str, users: std::ops::Range<u64>, least: u64| {
        for first in users.clone().step_by(400) {
            let scores: Vec<_> = (first..users.end.min(first + 400))
                .map(
                    |number| json!({"actionId": "value", "userId": format!("{user}-{number:04}"), "value": least + number % 100}),
                )
                .collect();
            app.game(Method::POST, "/api/scores/batch").json(&json!({ "submissions": scores })).answers(200).await;
        }
    };
    fill("u", 0..1_600, 0).await;
    app.submit(json!({"actionId": "value", "userId": "x", "value": 1_000, "displayName": "Unique"})).await;
    let window = app.get("/api/leaderboard?limit=50").await;
    assert_eq!(users(&search(&app, "U").await), users(&window), "also of those with a name");
    assert_eq!(users(&search(&app, "un").await), ["x"]);
    let last = search(&app, "U-15").await;
    let best: Vec<_> = (0..50).map(|number| format!("u-15{:02}", 99 - number)).collect();
    assert_eq!(users(&last), best, "few enough to look each up, wherever they are");
    // A leaderboard that has few of those who match: nobody is left out.
    app.make_leaderboard("cup", json!({})).await;
    for user in ["u-0007", "u-1599", "v"] {
        app.submit(json!({"actionId": "cup", "userId": user, "value": 1})).await;
    }
    assert_eq!(users(&app.get("/api/leaderboards/cup/search?name=u").await), ["u-0007", "u-1599"]);
    // Too many, and all far from the top: others stand in.
    fill("a", 0..1_100, 2_000).await;
    // What is looked through may be a second old.
    eventually("the others are at the top", || async { ranks(&search(&app, "u-").await["entries"])[0] > 1_100 }).await;
    let others = search(&app, "u-").await;
    let ranks = ranks(&others["entries"]);
    assert_eq!(ranks.len(), 50, "{others}");
    assert!(ranks.is_sorted() && ranks[0] > 1_100, "{others}");
}

async fn an_ended_season_is_searched_as_it_ended(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let few: Vec<_> = (0..5).map(|number| format!("b-{number}")).collect();
    let crowd: Vec<_> = (0..1_100).map(|number| format!("a-{number:04}")).collect();
    for (score, users) in [(7, &few[..]), (3, &crowd[..])] {
        let scores: Vec<_> = users.iter().map(|user| json!({"actionId": "value", "userId": user, "value": score})).collect();
        for some in scores.chunks(400) {
            app.game(Method::POST, "/api/scores/batch").json(&json!({ "submissions": some })).answers(200).await;
        }
    }
    end(&app, "main", 1).await;
    app.post_value("b-3", 9).await;
    name(&app, "b-4", json!("Ada")).await;
    let search = async |query: &str| app.get(&format!("/api/leaderboards/main/search?{query}")).await;
    for season in ["1", "previous"] {
        let found = search(&format!("name=B-&season={season}")).await;
        assert_eq!((&found["season"], users(&found)), (&json!(1), few.iter().map(String::as_str).collect()));
        assert_eq!(ranks(&found["entries"]), [1, 2, 3, 4, 5]);
        assert_eq!(users(&search(&format!("name=ad&season={season}")).await), ["b-4"]);
    }
    let window = app.get("/api/leaderboards/main/entries?season=1&limit=10").await;
    let many = search("name=a&season=1&limit=10").await;
    assert_eq!(users(&many), [&["b-4"], &crowd[..9].iter().map(String::as_str).collect::<Vec<_>>()[..]].concat());
    assert_eq!(many["version"], window["version"]);
    let nobody = search("name=zed&season=1").await;
    assert_eq!((&nobody["entries"], &nobody["season"], &nobody["version"]), (&json!([]), &json!(1), &window["version"]));
    for query in ["name=b-", "name=b-&season=current", "name=b-&season=2"] {
        assert_eq!(users(&search(query).await), ["b-3"], "{query}");
    }
}

async fn a_search_that_is_no_search_is_refused(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let long = "x".repeat(129);
    for (query, field) in [
        ("", "name"),
        ("?name=", "name"),
        (&*format!("?name={long}"), "name"),
        ("?name=a&limit=0", "limit"),
        ("?name=a&limit=51", "limit"),
        ("?name=a&name=b", "name"),
        ("?name=a&season=0", "season"),
    ] {
        let problem = app.anonymous(Method::GET, &format!("/api/leaderboards/main/search{query}")).refused(422).await;
        assert_eq!(broken(&problem), [field], "{query}");
    }
    app.anonymous(Method::GET, "/api/leaderboards/nothing/search?name=a").refused(404).await;
    app.anonymous(Method::GET, "/api/leaderboards/main/search?name=a&season=2").refused(404).await;
}
