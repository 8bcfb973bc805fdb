//! Ending a season by hand, and the list of what came before.

use reqwest::Method;
use serde_json::{Value, json};

use super::{end, patch, path, post, result, season, seasons};
use crate::{
    answers::{Expect, broken},
    app::{Backend, TestApp},
};

crate::both_backends!(
    a_manager_ends_the_current_season,
    a_repeat_with_the_same_key_ends_nothing_more,
    a_key_belongs_to_one_request,
    a_season_that_is_not_the_current_one_cannot_be_ended,
    seasons_are_listed_newest_first_page_by_page,
    a_season_has_a_name_that_can_change,
    every_broken_field_of_an_end_is_named,
    seasons_of_a_private_leaderboard_need_the_scope_of_its_entries,
    a_leaderboard_made_again_begins_at_season_one,
);

/// What a season holds, whatever its state.
const FIELDS: [&str; 15] = [
    "leaderboardId",
    "season",
    "name",
    "state",
    "cause",
    "startsAt",
    "endsAt",
    "order",
    "operator",
    "bounds",
    "total",
    "version",
    "digest",
    "finalizedAt",
    "revisedAt",
];

fn fields(season: &Value) -> Vec<&str> {
    season.as_object().unwrap().keys().map(String::as_str).collect()
}

async fn a_manager_ends_the_current_season(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let made = app.get("/api/leaderboards/main").await;
    app.post_score("ann", "goal").await;
    let receipt = app.post_score("bob", "goal").await;
    let open = season(&app, "main", "current").await;
    let mut expected = FIELDS;
    expected.sort_unstable();
    let mut told = fields(&open);
    told.sort_unstable();
    assert_eq!(told, expected);
    assert_eq!((&open["season"], &open["state"], &open["cause"]), (&json!(1), &json!("open"), &json!("created")));
    assert_eq!((&open["total"], &open["version"]), (&json!(2), &receipt["version"]));
    assert_eq!((&open["startsAt"], &made["seasonStartsAt"]), (&made["createdAt"], &made["createdAt"]));
    for field in ["name", "endsAt", "bounds", "digest", "finalizedAt", "revisedAt"] {
        assert_eq!(open[field], Value::Null, "{field}");
    }

    let request = app.admin(Method::POST, &path("main")).json(&json!({ "ends": 1, "name": "Winter" }));
    let response = request.responds(201).await;
    assert_eq!(response.headers()["location"], "/api/leaderboards/main/seasons/2");
    assert!(!response.headers().contains_key("idempotency-replayed"));
    let next: Value = response.json().await.unwrap();
    assert_eq!((&next["season"], &next["name"], &next["cause"]), (&json!(2), &json!("Winter"), &json!("manual")));
    assert_eq!((&next["state"], &next["total"], &next["endsAt"]), (&json!("open"), &json!(0), &Value::Null));

    let last = result(&app, "main", 1).await;
    assert_eq!((&last["endsAt"], &last["total"]), (&next["startsAt"], &json!(2)), "one ends when the other begins");
    assert!(last["startsAt"].as_str() < last["endsAt"].as_str() && last["endsAt"].as_str() < last["finalizedAt"].as_str());
    assert_eq!((&last["order"], &last["operator"], &last["revisedAt"]), (&json!("desc"), &json!("sum"), &Value::Null));
    let now = app.get("/api/leaderboards/main").await;
    assert_eq!((&now["season"], &now["total"], &now["seasonStartsAt"]), (&json!(2), &json!(0), &next["startsAt"]));
    let window = app.get("/api/leaderboard").await;
    assert_eq!((&window["season"], &window["total"], &window["entries"]), (&json!(2), &json!(0), &json!([])));
    assert_eq!(season(&app, "main", "previous").await, last);
    assert_eq!(seasons(&app, "main").await[1], last);
}

async fn a_repeat_with_the_same_key_ends_nothing_more(backend: Backend) {
    let mut app = TestApp::spawn(backend).await;
    let ask = async |app: &TestApp| {
        let request = app.admin(Method::POST, &path("main")).header("Idempotency-Key", "end-of-autumn");
        let response = request.json(&json!({ "ends": 1, "name": "Winter" })).responds(201).await;
        let replayed = response.headers().get("idempotency-replayed").map(|value| value.to_str().unwrap().to_owned());
        (response.headers()["location"].clone(), response.text().await.unwrap(), replayed)
    };
    let (location, body, replayed) = ask(&app).await;
    assert_eq!(replayed, None);
    app.post_score("ann", "goal").await;
    for _ in 0..2 {
        assert_eq!(ask(&app).await, (location.clone(), body.clone(), Some("true".to_owned())), "to the byte");
        app.restart().await;
    }
    assert_eq!(seasons(&app, "main").await.len(), 2);
    end(&app, "main", 2).await;
    assert_eq!(ask(&app).await.1, body, "also when that season has ended, too");
    assert_eq!(seasons(&app, "main").await.len(), 3);
    let at_once = (0..8).map(|_| {
        let request = app.admin(Method::POST, &path("main")).header("Idempotency-Key", "at-once");
        request.json(&json!({ "ends": 3 })).answers(201)
    });
    let answers = futures_util::future::join_all(at_once).await;
    assert!(answers.iter().all(|answer| *answer == answers[0] && answer["season"] == 4), "{answers:?}");
    assert_eq!(seasons(&app, "main").await.len(), 4);
}

async fn a_key_belongs_to_one_request(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let ask = |subject: &str, key: &str, body: Value| {
        app.with(subject, "leaderboards:admin", Method::POST, &path("main")).header("Idempotency-Key", key).json(&body)
    };
    ask("admin", "k-1", json!({ "ends": 1 })).answers(201).await;
    for body in [json!({ "ends": 2 }), json!({ "ends": 1, "name": "Winter" })] {
        assert_eq!(broken(&ask("admin", "k-1", body).refused(422).await), ["Idempotency-Key"]);
    }
    assert_eq!(broken(&ask("admin", "not visible", json!({ "ends": 2 })).refused(422).await), ["Idempotency-Key"]);
    ask("admin", "k-1", json!({ "ends": 2 })).header("Idempotency-Key", "k-2").refused(400).await;
    ask("another", "k-1", json!({ "ends": 2 })).answers(201).await;
    // A refusal uses no key up.
    ask("admin", "k-3", json!({ "ends": 1 })).refused(409).await;
    ask("admin", "k-3", json!({ "ends": 3 })).answers(201).await;
    // Scores and seasons share the keys of a subject.
    let score = app.with("admin", "scores:write", Method::POST, "/api/scores").header("Idempotency-Key", "k-3");
    let refused = score.json(&json!({ "actionId": "goal", "userId": "ann" })).refused(422).await;
    assert_eq!(broken(&refused), ["Idempotency-Key"]);
    assert_eq!(seasons(&app, "main").await.len(), 4);
}

async fn a_season_that_is_not_the_current_one_cannot_be_ended(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    end(&app, "main", 1).await;
    for ends in [1, 3, 1_000_000] {
        let problem = app.admin(Method::POST, &path("main")).json(&json!({ "ends": ends })).refused(409).await;
        assert_eq!(problem["type"], "urn:scoreboard:problem:season-ended", "{ends}");
        assert!(problem["detail"].as_str().unwrap().contains('2'), "it says which one is current: {problem}");
    }
    assert_eq!(seasons(&app, "main").await.len(), 2);
    app.admin(Method::POST, &path("nothing")).json(&json!({ "ends": 1 })).refused(404).await;
    app.admin(Method::POST, &path("No%20Such")).json(&json!({ "ends": 1 })).refused(404).await;
    // Many at once, and one season.
    let ends = (0..8).map(|_| app.admin(Method::POST, &path("main")).json(&json!({ "ends": 2 })).send());
    let answers = futures_util::future::join_all(ends).await;
    let mut statuses: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().status().as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
    assert_eq!(seasons(&app, "main").await.len(), 3);
}

async fn seasons_are_listed_newest_first_page_by_page(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for number in 1..=6 {
        end(&app, "main", number).await;
    }
    result(&app, "main", 6).await;
    let all = seasons(&app, "main").await;
    let numbers = |seasons: &[Value]| seasons.iter().map(|season| season["season"].as_i64().unwrap()).collect::<Vec<_>>();
    assert_eq!(numbers(&all), [7, 6, 5, 4, 3, 2, 1]);
    assert!(all.windows(2).all(|pair| pair[0]["startsAt"] == pair[1]["endsAt"]), "no instant is left out, none is in two");
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    for size in [3, 3, 1] {
        let page = app.get(&format!("{}?limit=3{cursor}", path("main"))).await;
        let seasons = page["seasons"].as_array().unwrap();
        assert_eq!(seasons.len(), size);
        paged.extend(seasons.iter().cloned());
        cursor = page["nextCursor"].as_str().map(|next| format!("&cursor={next}")).unwrap_or_default();
    }
    assert_eq!((numbers(&paged), cursor.as_str()), (numbers(&all), ""));
    let whole = app.get(&format!("{}?limit=7", path("main"))).await;
    assert_eq!(whole["nextCursor"], Value::Null, "nothing comes after the last");
    for (field, query) in
        [("limit", "limit=0"), ("limit", "limit=1001"), ("limit", "limit=x"), ("cursor", "cursor=made-up"), ("cursor", "cursor=")]
    {
        let problem = app.anonymous(Method::GET, &format!("{}?{query}", path("main"))).refused(422).await;
        assert_eq!(broken(&problem), [field], "{query}");
    }
    app.anonymous(Method::GET, &path("nothing")).refused(404).await;
    for which in ["0", "8", "-1", "first", "1.0", "%00", "99999999999999999999"] {
        app.anonymous(Method::GET, &format!("{}/{which}", path("main"))).refused(404).await;
    }
}

async fn a_season_has_a_name_that_can_change(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    end(&app, "main", 1).await;
    let before = result(&app, "main", 1).await;
    let name = |which: &str, body: Value| app.admin(Method::PATCH, &format!("{}/{which}", path("main"))).json(&body);
    for which in ["1", "previous"] {
        let mut expected = before.clone();
        expected["name"] = json!(format!("Autumn {which} 🍂"));
        assert_eq!(name(which, json!({ "name": expected["name"] })).answers(200).await, expected);
        assert_eq!(season(&app, "main", 1).await, expected);
        assert_eq!(name(which, json!({})).answers(200).await, expected, "what is not named stays");
    }
    assert_eq!(name("1", json!({ "name": null })).answers(200).await, before);
    assert_eq!(name("current", json!({ "name": "Winter" })).answers(200).await["season"], 2);
    let third = end(&app, "main", 2).await;
    assert_eq!((&third["name"], &season(&app, "main", 2).await["name"]), (&Value::Null, &json!("Winter")));
    for (bad, field) in [
        (json!({ "name": "" }), "name"),
        (json!({ "name": " " }), "name"),
        (json!({ "name": "x".repeat(129) }), "name"),
        (json!({ "name": "a\u{0}b" }), "name"),
        (json!({ "name": 7 }), "name"),
        (json!({ "colour": "red" }), "colour"),
    ] {
        assert_eq!(broken(&name("1", bad.clone()).refused(422).await), [field], "{bad}");
    }
    for which in ["4", "0", "first"] {
        name(which, json!({ "name": "Never" })).refused(404).await;
    }
}

async fn every_broken_field_of_an_end_is_named(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for (body, field) in [
        (json!({}), "ends"),
        (json!({ "ends": null }), "ends"),
        (json!({ "ends": 0 }), "ends"),
        (json!({ "ends": 1.5 }), "ends"),
        (json!({ "ends": "1" }), "ends"),
        (json!({ "ends": 1, "name": "" }), "name"),
        (json!({ "ends": 1, "name": "x".repeat(129) }), "name"),
        (json!({ "ends": 1, "at": "now" }), "at"),
    ] {
        assert_eq!(broken(&app.admin(Method::POST, &path("main")).json(&body).refused(422).await), [field], "{body}");
    }
    assert_eq!(seasons(&app, "main").await.len(), 1);
}

async fn seasons_of_a_private_leaderboard_need_the_scope_of_its_entries(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("secret", json!({})).await;
    post(&app, "secret", "ann", 5).await;
    end(&app, "secret", 1).await;
    patch(&app, "secret", json!({ "visibility": "private" })).await;
    let entries = "/api/leaderboards/secret/entries";
    for path in [
        path("secret"),
        format!("{}/1", path("secret")),
        format!("{}/9", path("secret")),
        format!("{entries}?season=1"),
        format!("{entries}/ann?season=previous"),
        "/api/leaderboards/secret/stream?season=1".to_owned(),
    ] {
        app.anonymous(Method::GET, &path).refused(401).await;
        app.with("stranger", "scores:write leaderboards:admin", Method::GET, &path).refused(403).await;
    }
    let query = app.anonymous(Method::POST, &format!("{entries}/query?season=1")).json(&json!({ "userIds": ["ann"] }));
    query.refused(401).await;
    let window = app.with("reader", "leaderboards:read", Method::GET, &format!("{entries}?season=1")).responds(200).await;
    assert_eq!(window.headers()["cache-control"], "private, no-cache");
}

async fn a_leaderboard_made_again_begins_at_season_one(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("cup", json!({})).await;
    post(&app, "cup", "ann", 5).await;
    end(&app, "cup", 1).await;
    app.admin(Method::DELETE, "/api/leaderboards/cup").responds(204).await;
    app.anonymous(Method::GET, &path("cup")).refused(404).await;
    app.admin(Method::POST, "/api/leaderboards").json(&json!({ "id": "cup" })).answers(201).await;
    let all = seasons(&app, "cup").await;
    assert_eq!((all.len(), &all[0]["season"], &all[0]["total"]), (1, &json!(1), &json!(0)));
    app.anonymous(Method::GET, "/api/leaderboards/cup/entries?season=2").refused(404).await;
}
