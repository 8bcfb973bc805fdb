//! The requests themselves: repeats, dry runs, batches, lists, and taking back.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::{DECISIONS, Watcher, decision, entry, hide, moderator, send, standing, take_back};
use crate::{
    answers::{Expect, broken},
    app::{Backend, TestApp, eventually},
    streams::text,
};

crate::both_backends!(
    a_repeat_under_a_key_is_answered_alike,
    many_repeats_at_once_are_one,
    a_dry_run_answers_alike_and_changes_nothing,
    a_thousand_decisions_are_each_carried_out_for_itself,
    decisions_are_listed_newest_first,
    a_decision_is_taken_back_once,
);

async fn three(backend: Backend) -> TestApp {
    let app = TestApp::spawn(backend).await;
    for (user, value) in [("ann", 9), ("bob", 5), ("cid", 1)] {
        app.post_value(user, value).await;
    }
    app
}

fn ask(app: &TestApp, decisions: &[Value]) -> RequestBuilder {
    moderator(app, Method::POST, DECISIONS).json(&json!({ "decisions": decisions }))
}

async fn list(app: &TestApp, query: &str) -> Value {
    moderator(app, Method::GET, &format!("{DECISIONS}?{query}")).answers(200).await
}

/// The ids in a list, in its order.
fn ids(list: &Value) -> Vec<String> {
    list["decisions"].as_array().unwrap().iter().map(|decision| text(&decision["id"])).collect()
}

fn points(user: &str, points: i64) -> Value {
    decision("adjust", json!({ "userId": user, "leaderboardId": "main", "points": points }))
}

async fn a_repeat_under_a_key_is_answered_alike(backend: Backend) {
    let mut app = three(backend).await;
    let decisions = [points("ann", 1), points("nobody", 1), points("bob", 1)];
    let first = ask(&app, &decisions).header("Idempotency-Key", "k-1").responds(200).await;
    assert!(!first.headers().contains_key("idempotency-replayed"));
    let first = first.text().await.unwrap();
    for _ in 0..2 {
        let repeat = ask(&app, &decisions).header("Idempotency-Key", "k-1").responds(200).await;
        assert_eq!(repeat.headers()["idempotency-replayed"], "true");
        assert_eq!(repeat.text().await.unwrap(), first, "to the byte");
        assert_eq!(entry(&app, "main", "ann").await["score"], 10, "carried out once");
        app.restart().await;
    }
    let other = ask(&app, &decisions[..1]).header("Idempotency-Key", "k-1").refused(422).await;
    assert_eq!(broken(&other), ["Idempotency-Key"]);
    let unseen = ask(&app, &decisions).header("Idempotency-Key", "not visible").refused(422).await;
    assert_eq!(broken(&unseen), ["Idempotency-Key"]);
    // A key belongs to whoever used it.
    let another = app.with("another", "moderation:write", Method::POST, DECISIONS).header("Idempotency-Key", "k-1");
    another.json(&json!({ "decisions": [points("ann", 1)] })).answers(200).await;
    assert_eq!(entry(&app, "main", "ann").await["score"], 11);
    let first = ask(&app, &decisions[2..]).header("Idempotency-Key", "k-2").answers(200).await;
    assert_eq!(entry(&app, "main", "bob").await["score"], 7);
    // It stays the same answer when the decision is taken back.
    take_back(&app, &first["results"][0]["body"]).await;
    let repeat = ask(&app, &decisions[2..]).header("Idempotency-Key", "k-2").answers(200).await;
    assert_eq!(repeat, first);
    assert_eq!(entry(&app, "main", "bob").await["score"], 6);
}

async fn many_repeats_at_once_are_one(backend: Backend) {
    let app = three(backend).await;
    let other = if backend == Backend::Shared { Some(app.another().await) } else { None };
    for round in 1..=8 {
        let ask = |place: usize| {
            let app = other.as_ref().filter(|_| place.is_multiple_of(2)).unwrap_or(&app);
            ask(app, &[points("bob", 1), points("cid", 1)]).header("Idempotency-Key", format!("round-{round}")).answers(200)
        };
        let answers = futures_util::future::join_all((0..8).map(ask)).await;
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        let scores = [json!(5 + round), json!(1 + round)];
        let carried_out = || async {
            [entry(&app, "main", "bob").await["score"].clone(), entry(&app, "main", "cid").await["score"].clone()] == scores
        };
        eventually("each is carried out", carried_out).await;
    }
    assert_eq!(ids(&list(&app, "limit=100").await).len(), 16, "one decision for each");
}

/// What a dry run and the real thing have in common: all but ids, times and versions.
fn outcome(result: &Value) -> Value {
    let mut result = result.clone();
    if result["status"] == 200 {
        let body = result["body"].as_object_mut().unwrap();
        for field in ["id", "at", "active"] {
            body.remove(field);
        }
        for entry in body["entries"].as_array_mut().unwrap() {
            entry.as_object_mut().unwrap().remove("version");
        }
    } else {
        result["body"].as_object_mut().unwrap().remove("requestId");
    }
    result
}

async fn a_dry_run_answers_alike_and_changes_nothing(backend: Backend) {
    let app = three(backend).await;
    let receipt = app.post_value("bob", 2).await;
    let head = async || app.with("auditor", "audit:read", Method::GET, "/api/audit").answers(200).await["head"].clone();
    let state = async || (app.get("/api/leaderboard").await, head().await, list(&app, "").await);
    let dry = async |decisions: &[Value]| {
        let body = json!({ "decisions": decisions, "dryRun": true });
        moderator(&app, Method::POST, DECISIONS).json(&body).answers(200).await["results"].as_array().unwrap().clone()
    };
    let decisions = [
        decision("hide", json!({ "userId": "ann", "leaderboardId": null, "until": null })),
        decision("ban", json!({ "userId": "ann", "leaderboardId": "main", "until": null })),
        decision("void", json!({ "eventIds": [receipt["eventId"]] })),
        points("cid", 10),
        decision("rename", json!({ "userId": "cid", "displayName": "Cid" })),
        decision("hide", json!({ "userId": "nobody", "leaderboardId": null, "until": null })),
        decision("erase", json!({ "userId": "ann", "scores": "remove" })),
    ];
    for decided in &decisions[..6] {
        let before = state().await;
        let tried = dry(std::slice::from_ref(decided)).await.remove(0);
        assert_eq!(state().await, before, "{decided}");
        let carried_out = send(&app, std::slice::from_ref(decided)).await.remove(0);
        assert_eq!(outcome(&tried), outcome(&carried_out), "{decided}");
        if carried_out["status"] == 200 {
            take_back(&app, &carried_out["body"]).await;
        }
        assert_eq!(app.get("/api/leaderboard").await["entries"], before.0["entries"], "{decided}");
    }
    let before = state().await;
    let mut watcher = Watcher::open(&app, "main").await;
    let statuses: Vec<_> = dry(&decisions).await.iter().map(|result| result["status"].clone()).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 422, 200]);
    assert_eq!(state().await, before);
    let next = app.post_value("ann", 1).await;
    assert_eq!(watcher.expect("score-updated").await["eventId"], next["eventId"], "nobody hears of it");
}

async fn a_thousand_decisions_are_each_carried_out_for_itself(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let users: Vec<_> = (0..50).map(|number| format!("user-{number:02}")).collect();
    let submissions: Vec<_> = users.iter().map(|user| json!({ "actionId": "point", "userId": user })).collect();
    app.game(Method::POST, "/api/scores/batch").json(&json!({ "submissions": submissions })).answers(200).await;
    let mut decisions: Vec<_> = (0..1000).map(|place| points(&users[place % 50], 1)).collect();
    decisions[1] = points("nobody", 1);
    decisions[500] = json!(17);
    decisions[998] = decision("explode", json!({ "userId": "user-48" }));
    decisions[999] = decision("hide", json!({ "userId": "user-49", "leaderboardId": "main", "until": null }));
    let results = send(&app, &decisions).await;
    for (place, result) in results.iter().enumerate() {
        let expected = if [1, 500, 998].contains(&place) { 422 } else { 200 };
        assert_eq!(result["status"], expected, "{place}: {result}");
    }
    let (scores, total) = (standing(&app, "main", "current").await, 49);
    assert_eq!(scores.len(), total);
    for entry in &scores {
        let short = ["user-00", "user-01", "user-48"].iter().any(|user| entry["userId"] == *user);
        assert_eq!(entry["score"], if short { 20 } else { 21 }, "{entry}");
    }
    // Each sees what those before it did.
    let body = &results[50]["body"]["entries"][0];
    assert_eq!((&body["userId"], &body["previousScore"], &body["score"]), (&json!("user-00"), &json!(2), &json!(3)));
    let decisions: Vec<_> = (0..1001).map(|_| points("user-00", 1)).collect();
    assert_eq!(broken(&ask(&app, &decisions).refused(422).await), ["decisions"]);
    assert_eq!(entry(&app, "main", "user-00").await["score"], 20);
}

async fn decisions_are_listed_newest_first(backend: Backend) {
    let app = three(backend).await;
    let mut made = Vec::new();
    for user in ["ann", "bob", "cid", "ann"] {
        made.insert(0, hide(&app, user, None).await);
        made.insert(0, send(&app, &[points(user, 1)]).await[0]["body"].clone());
    }
    let taken = take_back(&app, &made[3]).await;
    let all: Vec<_> = made.iter().map(|decision| text(&decision["id"])).collect();
    let told = list(&app, "").await;
    assert_eq!((ids(&told), &told["nextCursor"]), (all.clone(), &Value::Null));
    for (told, made) in told["decisions"].as_array().unwrap().iter().zip(&made) {
        let active = told["id"] != taken["id"];
        assert_eq!((&told["active"], told["endedAt"].is_null()), (&json!(active), active));
        for field in ["type", "reason", "subject", "at", "userId", "leaderboardId"] {
            assert_eq!(told[field], made[field], "{field}");
        }
    }
    let of = |places: &[usize]| places.iter().map(|place| all[*place].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&list(&app, "userId=ann").await), of(&[0, 1, 6, 7]));
    assert_eq!(ids(&list(&app, "type=hide").await), of(&[1, 3, 5, 7]));
    assert_eq!(ids(&list(&app, "active=false").await), of(&[3]));
    assert_eq!(ids(&list(&app, "active=true&type=hide").await), of(&[1, 5, 7]));
    assert_eq!(ids(&list(&app, "userId=cid&type=hide&active=true").await), Vec::<String>::new());
    assert_eq!(ids(&list(&app, "userId=nobody").await), Vec::<String>::new());
    for (limit, filter, expected) in [(1, "", all.clone()), (3, "&userId=ann", of(&[0, 1, 6, 7])), (8, "", all.clone())] {
        let (mut read, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = list(&app, &format!("limit={limit}{filter}{cursor}")).await;
            read.extend(ids(&page));
            let Some(next) = page["nextCursor"].as_str() else { break };
            assert_eq!(ids(&page).len(), limit);
            cursor = format!("&cursor={next}");
        }
        assert_eq!(read, expected, "by {limit}{filter}");
    }
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("cursor=made-up", "cursor"),
        ("type=explode", "type"),
        ("active=maybe", "active"),
    ] {
        let problem = moderator(&app, Method::GET, &format!("{DECISIONS}?{query}")).refused(422).await;
        assert_eq!(broken(&problem), [field], "{query}");
    }
}

async fn a_decision_is_taken_back_once(backend: Backend) {
    let app = three(backend).await;
    let decided = send(&app, &[points("ann", 4)]).await[0]["body"].clone();
    let path = format!("{DECISIONS}/{}", text(&decided["id"]));
    let taken = take_back(&app, &decided).await;
    for field in ["id", "type", "reason", "subject", "at", "userId", "leaderboardId", "points"] {
        assert_eq!(taken[field], decided[field], "{field}");
    }
    let change = &taken["entries"][0];
    assert_eq!((&change["previousScore"], &change["score"]), (&json!(13), &json!(9)));
    let again = moderator(&app, Method::DELETE, &path).answers(200).await;
    assert_eq!((&again["active"], &again["entries"], &again["endedAt"]), (&json!(false), &json!([]), &taken["endedAt"]));
    assert_eq!(entry(&app, "main", "ann").await["score"], 9);
    for unknown in ["01890000-0000-7000-8000-000000000000", "nothing", "0", "%00"] {
        moderator(&app, Method::DELETE, &format!("{DECISIONS}/{unknown}")).refused(404).await;
    }
    // Many at once, and one effect.
    let hidden = hide(&app, "ann", None).await;
    let path = format!("{DECISIONS}/{}", text(&hidden["id"]));
    let mut watcher = Watcher::open(&app, "main").await;
    let answers = futures_util::future::join_all((0..8).map(|_| moderator(&app, Method::DELETE, &path).answers(200))).await;
    let effective = answers.iter().filter(|answer| answer["entries"] != json!([])).count();
    assert_eq!(effective, 1, "{answers:?}");
    assert_eq!(watcher.expect("score-updated").await["cause"], "unhide");
    app.post_value("bob", 1).await;
    assert_eq!(watcher.expect("score-updated").await["userId"], "bob");
}
