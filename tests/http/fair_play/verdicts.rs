//! Verdicts: what is approved counts from its own place in the log, what is rejected does not, and each can be turned.

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    REVIEWS, approve, fair, judge, only_review, own, reject, reviews, send, submit, suspicious, told, verdict, watch,
    watch_above_100,
};
use crate::{
    answers::{Expect, broken},
    app::{Backend, TestApp, eventually},
    moderation::{Watcher, archived, change, entry, is_gone, moderator, restricted, standing},
    seasons::{end, result, season},
    streams::text,
};

crate::both_backends!(
    what_is_approved_counts_with_its_own_time,
    a_verdict_can_be_turned,
    a_verdict_again_changes_nothing,
    what_is_approved_counts_in_its_own_place,
    a_season_is_final_when_nothing_waits,
    what_cannot_be_judged_is_refused_by_itself,
    verdicts_under_a_key_are_answered_alike,
    verdicts_are_recorded,
    histories_say_what_is_in_review,
);

async fn what_is_approved_counts_with_its_own_time(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    watch_above_100(&app).await;
    app.post_value("bob", 50).await;
    let withheld = suspicious(&app, "ann", 200).await;
    app.post_value("cid", 200).await;
    let mut watcher = Watcher::open(&app, "main").await;
    let judged = approve(&app, &withheld).await;
    assert_eq!(
        (&judged["state"], &judged["userId"], &judged["eventId"]),
        (&json!("approved"), &json!("ann"), &withheld["eventId"])
    );
    assert_eq!((&judged["reason"], &judged["subject"]), (&json!("to approve"), &json!("moderator")));
    let changed = change(&judged, "main", "ann");
    assert_eq!(
        (&changed["previousScore"], &changed["score"], &changed["rank"]),
        (&Value::Null, &json!(200), &json!(1)),
        "{judged}"
    );
    let event = watcher.expect("score-updated").await;
    assert_eq!((&event["cause"], &event["actionId"], &event["previousScore"]), (&json!("approve"), &Value::Null, &Value::Null));
    assert_eq!((&event["score"], &event["rank"], &event["total"]), (&json!(200), &json!(1), &json!(3)));
    assert_eq!((&event["at"], &event["version"]), (&withheld["at"], &changed["version"]));
    assert_ne!(event["eventId"], withheld["eventId"], "a correction is an event of its own");
    // Earlier than whoever reached the same later.
    let entries = standing(&app, "main", "current").await;
    assert_eq!((&entries[0]["userId"], &entries[0]["at"]), (&json!("ann"), &withheld["at"]));
    app.admin(Method::GET, "/api/users/ann").answers(200).await;
}

async fn a_verdict_can_be_turned(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    watch_above_100(&app).await;
    let newcomer = suspicious(&app, "ann", 200).await;
    fair(&app, "bob", 5).await;
    let known = suspicious(&app, "bob", 300).await;
    let mut watcher = Watcher::open(&app, "main").await;
    reject(&app, &known).await;
    for receipt in [&newcomer, &known] {
        approve(&app, receipt).await;
        assert_eq!(watcher.expect("score-updated").await["cause"], "approve");
    }
    let turned = reject(&app, &known).await;
    assert_eq!(change(&turned, "main", "bob")["score"], 5);
    let event = watcher.expect("score-updated").await;
    assert_eq!((&event["cause"], &event["score"], &event["previousScore"]), (&json!("void"), &json!(5), &json!(305)));
    let turned = reject(&app, &newcomer).await;
    assert_eq!((&change(&turned, "main", "ann")["score"], &turned["state"]), (&Value::Null, &json!("rejected")));
    assert_eq!(watcher.expect("score-removed").await["userId"], "ann");
    assert!(is_gone(&app, "main", "ann").await);
    assert_eq!(reviews(&app, "state=rejected").await.len(), 2);
    approve(&app, &newcomer).await;
    assert_eq!(watcher.expect("score-updated").await["at"], newcomer["at"]);
    assert_eq!(entry(&app, "main", "ann").await["score"], 200);
}

async fn a_verdict_again_changes_nothing(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    watch_above_100(&app).await;
    let withheld = suspicious(&app, "ann", 200).await;
    for word in ["reject", "approve", "reject"] {
        let first = judge(&app, &withheld, word).await;
        let before = app.get("/api/leaderboards/main/entries").await;
        let mut later = verdict(&withheld, word);
        later["reason"] = json!("another one");
        let again = send(&app, &[later]).await.remove(0)["body"].clone();
        assert_eq!(again["entries"], json!([]), "{again}");
        for same in ["state", "reason", "judgedAt", "subject"] {
            assert_eq!(again[same], first[same], "{word} {same}");
        }
        assert_eq!(app.get("/api/leaderboards/main/entries").await, before);
    }
    let entries = app.with("auditor", "audit:read", Method::GET, "/api/audit?limit=1000").answers(200).await;
    let of_reviews = entries["entries"].as_array().unwrap().iter().filter(|entry| text(&entry["action"]).starts_with("review."));
    assert_eq!(of_reviews.count(), 3, "what changes nothing is not recorded");
}

async fn what_is_approved_counts_in_its_own_place(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("last", json!({ "operator": "last" })).await;
    app.make_leaderboard("best", json!({ "operator": "best", "order": "asc" })).await;
    watch(&app, &["last", "best", "main"], json!({ "above": 100, "below": 0 })).await;
    let first = fair(&app, "ann", 7).await;
    let low = suspicious(&app, "ann", -3).await;
    let high = suspicious(&app, "ann", 200).await;
    let last = fair(&app, "ann", 9).await;
    let score = async |board: &str| {
        let entry = entry(&app, board, "ann").await;
        (entry["score"].as_i64().unwrap(), text(&entry["at"]))
    };
    assert_eq!(score("best").await, (7, text(&first["at"])));
    approve(&app, &low).await;
    assert_eq!(score("last").await, (9, text(&last["at"])), "what came later is the last one");
    assert_eq!(score("best").await, (-3, text(&low["at"])));
    assert_eq!(score("main").await, (13, text(&last["at"])));
    approve(&app, &high).await;
    assert_eq!(score("last").await, (9, text(&last["at"])));
    assert_eq!(score("best").await, (-3, text(&low["at"])));
    assert_eq!(score("main").await, (213, text(&last["at"])));
    // The next one goes on from there.
    assert_eq!(submit(&app, "ann", 1).await["standings"][2]["newScore"], 214);
}

async fn a_season_is_final_when_nothing_waits(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    watch_above_100(&app).await;
    fair(&app, "bob", 60).await;
    let [first, second] = [suspicious(&app, "ann", 200).await, suspicious(&app, "bob", 300).await];
    end(&app, "main", 1).await;
    let archive = || async { season(&app, "main", 1).await["version"].is_string() };
    eventually("it is archived", archive).await;
    let waiting = season(&app, "main", 1).await;
    assert_eq!((&waiting["state"], &waiting["digest"], &waiting["finalizedAt"]), (&json!("ended"), &Value::Null, &Value::Null));
    assert_eq!(app.get("/api/leaderboards/main/seasons").await["seasons"][1]["state"], "ended");
    let mut watcher = Watcher::open(&app, "main").await;
    let judged = approve(&app, &first).await;
    assert_eq!(
        (&change(&judged, "main", "ann")["season"], &change(&judged, "main", "ann")["rank"]),
        (&json!(1), &json!(1)),
        "{judged}"
    );
    assert_eq!(season(&app, "main", 1).await["state"], "ended", "one more waits");
    reject(&app, &second).await;
    let last = result(&app, "main", 1).await;
    assert!(last["finalizedAt"].as_str() >= only_review(&app, "rejected").await["judgedAt"].as_str(), "{last}");
    let entries = standing(&app, "main", 1).await;
    assert_eq!((entries.len(), &entries[0]["userId"], &entries[0]["at"]), (2, &json!("ann"), &first["at"]));
    archived(&app, "main", 1, &entries).await;
    assert!(season(&app, "main", 1).await["revisedAt"].is_string());
    // The current season has nothing of it.
    assert!(is_gone(&app, "main", "ann").await);
    fair(&app, "dot", 1).await;
    assert_eq!(watcher.expect("score-updated").await["userId"], "dot", "watchers are told nothing of an ended season");
}

async fn what_cannot_be_judged_is_refused_by_itself(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    watch_above_100(&app).await;
    let (counted, withheld) = (fair(&app, "ann", 5).await, suspicious(&app, "ann", 200).await);
    let mut unreasoned = verdict(&withheld, "approve");
    unreasoned["reason"] = json!(" ");
    let unknown = json!({ "eventId": uuid::Uuid::new_v4() });
    let verdicts = [
        verdict(&counted, "reject"),
        verdict(&unknown, "approve"),
        verdict(&withheld, "void"),
        unreasoned,
        json!({ "eventId": "1", "verdict": "approve", "reason": "x" }),
        json!("approve"),
        verdict(&withheld, "approve"),
    ];
    let results = send(&app, &verdicts).await;
    let statuses: Vec<_> = results.iter().map(|result| result["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [404, 404, 422, 422, 422, 422, 200]);
    assert_eq!(broken(&results[2]["body"]), ["verdict"]);
    assert_eq!(broken(&results[3]["body"]), ["reason"]);
    assert_eq!(broken(&results[4]["body"]), ["eventId"]);
    assert_eq!(entry(&app, "main", "ann").await["score"], 205);
    for body in [json!({ "verdicts": [] }), json!({}), json!({ "verdicts": vec![Value::Null; 1001] })] {
        moderator(&app, Method::POST, REVIEWS).json(&body).refused(422).await;
    }
}

async fn verdicts_under_a_key_are_answered_alike(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    watch_above_100(&app).await;
    let withheld = suspicious(&app, "ann", 200).await;
    let send = async |word: &str, status: u16| {
        let body = json!({ "verdicts": [verdict(&withheld, word)] });
        let answer = moderator(&app, Method::POST, REVIEWS).header("Idempotency-Key", "k").json(&body).responds(status).await;
        (answer.headers().contains_key("idempotency-replayed"), answer.text().await.unwrap())
    };
    let (replayed, first) = send("approve", 200).await;
    assert!(!replayed);
    assert_eq!(send("approve", 200).await, (true, first.clone()));
    send("reject", 422).await;
    reject(&app, &withheld).await;
    assert_eq!(send("approve", 200).await, (true, first), "a repeat turns nothing");
    assert!(is_gone(&app, "main", "ann").await);
}

async fn verdicts_are_recorded(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    watch_above_100(&app).await;
    let withheld = suspicious(&app, "ann", 200).await;
    approve(&app, &withheld).await;
    reject(&app, &withheld).await;
    let entries = app.with("auditor", "audit:read", Method::GET, "/api/audit?limit=1000").answers(200).await;
    let last: Vec<_> = entries["entries"].as_array().unwrap().iter().rev().take(2).collect();
    for (entry, (action, from, to)) in
        last.iter().zip([("review.reject", "approved", "rejected"), ("review.approve", "pending", "approved")])
    {
        assert_eq!(
            (&entry["action"], &entry["target"], &entry["subject"]),
            (&json!(action), &json!("user:ann"), &json!("moderator"))
        );
        assert_eq!(entry["details"], json!({ "eventId": withheld["eventId"], "from": from, "to": to }));
        assert!(text(&entry["reason"]).starts_with("to "), "{entry}");
    }
}

async fn histories_say_what_is_in_review(backend: Backend) {
    const HISTORY: &str = "/api/users/ann/scores";
    let app = TestApp::spawn(backend).await;
    watch_above_100(&app).await;
    fair(&app, "ann", 5).await;
    let withheld = suspicious(&app, "ann", 200).await;
    let first = async |projection: &str| match projection {
        "own" => told(&own(&app, "ann", HISTORY).await).remove(0),
        "restricted" => told(&restricted(&app, HISTORY).await).remove(0),
        _ => told(&app.get(HISTORY).await).remove(0),
    };
    let id = text(&withheld["eventId"]);
    for (word, withheld_as) in [(None, json!("review")), (Some("reject"), json!("rejected")), (Some("approve"), Value::Null)] {
        if let Some(word) = word {
            judge(&app, &withheld, word).await;
        }
        for projection in ["own", "restricted"] {
            assert_eq!(first(projection).await, (id.clone(), withheld_as.clone()), "{projection}");
        }
        assert_eq!(first("public").await.0 == id, withheld_as.is_null(), "{withheld_as}");
    }
    let shown = app.get(HISTORY).await["scores"][0].clone();
    assert_eq!((&shown["counts"], &shown["applied"], &shown["delta"]), (&json!(true), &json!(true), &json!(200)), "{shown}");
    assert_eq!((&shown["previousScore"], &shown["newScore"]), (&json!(5), &json!(205)));
}
