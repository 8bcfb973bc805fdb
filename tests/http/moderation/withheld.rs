//! What histories show of scores that no longer count, and to whom.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::Method;
use serde_json::{Value, json};

use super::{entry, restricted, take_back, void};
use crate::{
    answers::Expect,
    app::{Backend, TestApp},
    seasons::history,
    streams::text,
};

crate::both_backends!(
    each_score_says_whether_it_counts,
    a_public_history_leaves_out_what_is_withheld,
    pages_are_filled_with_what_is_visible,
    an_entry_that_is_removed_has_its_scores_withheld,
);

const HISTORY: &str = "/api/users/ann/scores";

async fn scores(app: &TestApp, values: &[i64]) -> Vec<Value> {
    let mut receipts = Vec::new();
    for value in values {
        receipts.push(app.post_value("ann", *value).await);
    }
    receipts
}

/// The id of each event of a history, whether it counts and why it is withheld, newest first.
fn told(history: &Value) -> Vec<(String, Value, Value)> {
    let events = history["scores"].as_array().unwrap().iter();
    events.map(|event| (text(&event["eventId"]), event["counts"].clone(), event["withheld"].clone())).collect()
}

async fn each_score_says_whether_it_counts(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let receipts = scores(&app, &[5, 9, 7]).await;
    let expected = |voided: &[usize]| -> Vec<_> {
        let event = |(place, receipt): (usize, &Value)| {
            let withheld = if voided.contains(&place) { json!("voided") } else { Value::Null };
            (text(&receipt["eventId"]), json!(withheld.is_null()), withheld)
        };
        receipts.iter().enumerate().map(event).rev().collect()
    };
    assert_eq!(told(&app.get(HISTORY).await), expected(&[]));
    let voided = void(&app, &[&receipts[0], &receipts[1]]).await;
    let own = async || app.with("ann", "scores:self", Method::GET, &format!("{HISTORY}?projection=own")).answers(200).await;
    assert_eq!(told(&restricted(&app, HISTORY).await), expected(&[0, 1]));
    assert_eq!(told(&own().await), expected(&[0, 1]));
    assert_eq!(told(&app.get(HISTORY).await), expected(&[0, 1])[..1]);
    take_back(&app, &voided).await;
    for history in [app.get(HISTORY).await, restricted(&app, HISTORY).await, own().await] {
        assert_eq!(told(&history), expected(&[]));
    }
}

async fn a_public_history_leaves_out_what_is_withheld(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("cup", json!({})).await;
    let both = json!({ "id": "both", "leaderboards": ["main", "cup"], "points": 3 });
    app.admin(Method::POST, "/api/actions").json(&both).answers(201).await;
    let receipts =
        [app.post_score("ann", "both").await, app.post_score("ann", "goal").await, app.post_score("ann", "both").await];
    void(&app, &[&receipts[2]]).await;
    let ids = |history: &Value| told(history).into_iter().map(|(id, ..)| id).collect::<Vec<_>>();
    let [first, second, third] = receipts.each_ref().map(|receipt| text(&receipt["eventId"]));
    assert_eq!(ids(&app.get(HISTORY).await), [second.clone(), first.clone()]);
    assert_eq!(ids(&app.get(&format!("{HISTORY}?leaderboardId=cup")).await), [&*first]);
    assert_eq!(ids(&app.get(&format!("{HISTORY}?leaderboardId=cup&season=1")).await), [&*first]);
    assert_eq!(ids(&restricted(&app, &format!("{HISTORY}?leaderboardId=cup&season=1")).await), [third.clone(), first]);
    // The scopes of everybody else show no more.
    let reader = app.with("reader", "leaderboards:read leaderboards:admin moderation:write", Method::GET, HISTORY);
    assert!(!reader.answers(200).await.to_string().contains(&third));
}

async fn pages_are_filled_with_what_is_visible(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let receipts = scores(&app, &[1; 12]).await;
    // All but four of them, the newest and the oldest included.
    let visible: Vec<_> = [8, 6, 5, 1].map(|place: usize| text(&receipts[place]["eventId"])).into();
    let hidden: Vec<_> = receipts.iter().filter(|receipt| !visible.contains(&text(&receipt["eventId"]))).collect();
    void(&app, &hidden).await;
    for leaderboard in ["", "&leaderboardId=main"] {
        for limit in 1..=5 {
            let (mut read, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = app.get(&format!("{HISTORY}?limit={limit}{leaderboard}{cursor}")).await;
                let shown = told(&page);
                read.extend(shown.iter().map(|(id, ..)| id.clone()));
                let Some(next) = page["nextCursor"].as_str() else { break };
                assert_eq!(shown.len(), limit, "a page is filled: {page}");
                let named = URL_SAFE_NO_PAD.decode(next).unwrap();
                for receipt in &hidden {
                    let id = text(&receipt["eventId"]).parse::<uuid::Uuid>().unwrap();
                    assert!(!named.windows(16).any(|bytes| bytes == id.as_bytes()), "a cursor names what was shown");
                }
                cursor = format!("&cursor={next}");
            }
            assert_eq!(read, visible, "by {limit}{leaderboard}");
        }
    }
    assert_eq!(history(&app, "ann").await.len(), 4);
    let (mut read, mut cursor) = (0, String::new());
    loop {
        let page = restricted(&app, &format!("{HISTORY}?limit=5{cursor}")).await;
        read += told(&page).len();
        let Some(next) = page["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(read, 12);
}

async fn an_entry_that_is_removed_has_its_scores_withheld(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    scores(&app, &[5, 9]).await;
    app.admin(Method::DELETE, "/api/leaderboards/main/entries/ann").responds(204).await;
    assert_eq!(app.get(HISTORY).await, json!({ "scores": [], "nextCursor": null }));
    for (_, counts, withheld) in told(&restricted(&app, HISTORY).await) {
        assert_eq!((counts, withheld), (json!(false), json!("voided")));
    }
    let first = app.post_value("ann", 2).await;
    assert_eq!(told(&app.get(HISTORY).await), [(text(&first["eventId"]), json!(true), Value::Null)]);
    assert_eq!(told(&restricted(&app, HISTORY).await).len(), 3);
    assert_eq!(entry(&app, "main", "ann").await["score"], 2);
}
