//! Who may see what is withheld from everybody else, and how it is shown to them.

use reqwest::Method;
use serde_json::{Value, json};

use super::{hidden_rows, hide, restricted, take_back, void};
use crate::{
    answers::{Expect, broken},
    app::{Backend, TestApp},
    seasons::{end, result},
};

crate::both_backends!(
    a_hidden_entry_is_shown_without_a_rank,
    a_restricted_window_has_the_hidden_behind,
    a_hidden_history_is_shown_to_its_owner_and_to_the_restricted,
    nobody_else_is_shown_more_than_the_public,
    the_public_projection_is_what_everybody_sees,
);

const WINDOW: &str = "/api/leaderboards/main/entries";
const PLACE: &str = "/api/leaderboards/main/entries/ann";
const HISTORY: &str = "/api/users/ann/scores";

/// Three users of whom the best, `ann`, is hidden.
async fn hidden(backend: Backend) -> (TestApp, Value) {
    let app = TestApp::spawn(backend).await;
    for (user, value) in [("ann", 9), ("bob", 5), ("cid", 1)] {
        app.post_value(user, value).await;
    }
    let hidden = hide(&app, "ann", None).await;
    (app, hidden)
}

/// What `ann` sees of herself.
async fn own(app: &TestApp, path: &str) -> Value {
    app.with("ann", "scores:self", Method::GET, &format!("{path}?projection=own")).answers(200).await
}

async fn a_hidden_entry_is_shown_without_a_rank(backend: Backend) {
    let (app, hidden) = hidden(backend).await;
    app.anonymous(Method::GET, PLACE).refused(404).await;
    let receipt = app.post_value("ann", 2).await;
    for place in [restricted(&app, PLACE).await, own(&app, PLACE).await] {
        let entry = &place["entry"];
        assert_eq!((&entry["userId"], &entry["score"], &entry["rank"]), (&json!("ann"), &json!(11), &Value::Null), "{place}");
        assert_eq!((&entry["at"], &entry["hidden"]), (&receipt["at"], &json!(true)), "{place}");
    }
    take_back(&app, &hidden).await;
    for place in [restricted(&app, PLACE).await, own(&app, PLACE).await] {
        assert_eq!((&place["entry"]["score"], &place["entry"]["rank"]), (&json!(11), &json!(1)), "{place}");
    }
}

async fn a_restricted_window_has_the_hidden_behind(backend: Backend) {
    let (app, _) = hidden(backend).await;
    let (public, shown) = (app.get(WINDOW).await, restricted(&app, WINDOW).await);
    let row = |entry: &Value| (entry["userId"].clone(), entry["rank"].clone(), entry["score"].clone(), entry["at"].clone());
    let rows = |window: &Value| window["entries"].as_array().unwrap().iter().map(row).collect::<Vec<_>>();
    assert_eq!(rows(&shown), rows(&public));
    let hidden = hidden_rows(&shown);
    let [ann] = hidden.as_slice() else { panic!("{shown}") };
    assert_eq!((&ann["userId"], &ann["score"]), (&json!("ann"), &json!(9)));
    assert_eq!((&shown["total"], &shown["version"]), (&json!(2), &public["version"]), "the hidden have no part in totals");
    // What a cache made of one projection is no answer for the other.
    assert_eq!(app.get(WINDOW).await, public);
}

async fn a_hidden_history_is_shown_to_its_owner_and_to_the_restricted(backend: Backend) {
    let (app, _) = hidden(backend).await;
    let receipt = app.post_value("ann", 2).await;
    end(&app, "main", 1).await;
    result(&app, "main", 1).await;
    assert_eq!(app.get(HISTORY).await, json!({ "scores": [], "nextCursor": null }));
    for history in [restricted(&app, HISTORY).await, own(&app, HISTORY).await] {
        let scores = history["scores"].as_array().unwrap();
        assert_eq!((scores.len(), &scores[0]["eventId"]), (2, &receipt["eventId"]), "{history}");
        assert!(scores.iter().all(|event| event["counts"] == true && event["withheld"].is_null()), "{history}");
    }
}

async fn nobody_else_is_shown_more_than_the_public(backend: Backend) {
    let (app, _) = hidden(backend).await;
    let voided = app.post_value("bob", 1).await;
    void(&app, &[&voided]).await;
    const ALL_OTHERS: &str = "scores:write scores:self leaderboards:read leaderboards:admin audit:read moderation:write";
    for path in [PLACE, HISTORY] {
        for projection in ["own", "restricted"] {
            let path = format!("{path}?projection={projection}");
            app.anonymous(Method::GET, &path).refused(401).await;
            app.with("bob", ALL_OTHERS, Method::GET, &path).refused(403).await;
        }
    }
    // Neither is shown to oneself what only the restricted see, nor others to the restricted as themselves.
    let request = app.with("ann", "scores:self", Method::GET, &format!("{PLACE}?projection=restricted"));
    request.refused(403).await;
    let request = app.with("watcher", "leaderboards:restricted", Method::GET, &format!("{HISTORY}?projection=own"));
    request.refused(403).await;
    app.anonymous(Method::GET, &format!("{WINDOW}?projection=restricted")).refused(401).await;
    app.with("bob", ALL_OTHERS, Method::GET, &format!("{WINDOW}?projection=restricted")).refused(403).await;
    for path in [WINDOW, PLACE, HISTORY] {
        for unknown in ["all", "", "PUBLIC", "1"] {
            let path = format!("{path}?projection={unknown}");
            let request = app.with("watcher", "leaderboards:restricted", Method::GET, &path);
            assert_eq!(broken(&request.refused(422).await), ["projection"], "{path}");
        }
    }
}

async fn the_public_projection_is_what_everybody_sees(backend: Backend) {
    let (app, _) = hidden(backend).await;
    for path in [WINDOW, "/api/leaderboards/main/entries/bob", "/api/users/bob/scores", HISTORY] {
        assert_eq!(app.get(&format!("{path}?projection=public")).await, app.get(path).await, "{path}");
        // Also to those who might see more: what a URL shows does not depend on who asks.
        let watcher = app.with("watcher", "leaderboards:restricted", Method::GET, path).answers(200).await;
        assert_eq!(watcher, app.get(path).await, "{path}");
    }
    app.with("watcher", "leaderboards:restricted", Method::GET, PLACE).refused(404).await;
    app.with("ann", "scores:self", Method::GET, PLACE).refused(404).await;
}
