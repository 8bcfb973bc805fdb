//! P8: a run token is accepted once, however many bring it at once, to whichever instance.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{
    approve, reject,
    runs::{begin, body, end, make_race},
    suspicious, watch,
};
use crate::{
    answers::Expect,
    app::{Backend, TestApp, status_and_json},
    moderation::entry,
    seasons::{history, post},
};

crate::both_backends!(
    a_token_counts_once_however_many_bring_it,
    one_of_two_bodies_wins,
    verdicts_and_scores_at_once_are_all_counted,
    a_limit_holds_for_newcomers_who_are_withheld,
);

async fn instances(backend: Backend) -> Vec<Arc<TestApp>> {
    let first = TestApp::spawn(backend).await;
    let mut apps = vec![Arc::new(first)];
    if backend == Backend::Shared {
        apps.push(Arc::new(apps[0].another().await));
    }
    apps
}

async fn a_token_counts_once_however_many_bring_it(backend: Backend) {
    let apps = instances(backend).await;
    make_race(&apps[0], json!({ "maxSeconds": 600 })).await;
    let mut tokens = Vec::new();
    for _ in 0..10 {
        tokens.push(begin(&apps[0], "ann").await);
    }
    let racing = tokens.iter().flat_map(|token| (0..8).map(move |turn| (token, turn)));
    let answers = join_all(racing.map(async |(token, turn)| {
        let app = &apps[turn % apps.len()];
        let by_backend = || app.game(reqwest::Method::POST, "/api/scores").json(&body("ann", 1, token));
        let request = if turn < 4 { end(app, "ann", 1, token) } else { by_backend() };
        (token, request.answers(200).await)
    }))
    .await;
    let receipts: BTreeSet<String> = answers.iter().map(|(_, receipt)| receipt.to_string()).collect();
    assert_eq!(receipts.len(), tokens.len(), "one receipt for each token");
    assert_eq!(history(&apps[0], "ann").await.len(), tokens.len());
    assert_eq!(entry(&apps[0], "main", "ann").await["score"], tokens.len());
}

async fn one_of_two_bodies_wins(backend: Backend) {
    let apps = instances(backend).await;
    make_race(&apps[0], json!({ "maxSeconds": 600 })).await;
    for round in 0..10 {
        let token = begin(&apps[0], "ann").await;
        let answers = join_all((0..6).map(async |turn| {
            let answer = end(&apps[turn % apps.len()], "ann", 1 + turn as i64 % 2, &token).send().await.unwrap();
            status_and_json(answer).await
        }))
        .await;
        let (accepted, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|(status, _)| *status == 200);
        assert_eq!((accepted.len(), refused.len()), (3, 3), "{answers:?}");
        assert!(accepted.iter().all(|(_, receipt)| *receipt == accepted[0].1), "{answers:?}");
        assert!(refused.iter().all(|(status, problem)| *status == 409 && problem["type"] == "urn:scoreboard:problem:run-used"));
        assert_eq!(history(&apps[0], "ann").await.len(), round + 1);
    }
}

async fn verdicts_and_scores_at_once_are_all_counted(backend: Backend) {
    let apps = instances(backend).await;
    watch(&apps[0], &["main"], json!({ "above": 100 })).await;
    let mut withheld = Vec::new();
    for _ in 0..12 {
        withheld.push(suspicious(&apps[0], "ann", 1_000).await);
    }
    let scoring = async {
        for turn in 0..60 {
            let receipt = post(&apps[turn % apps.len()], "value", "ann", 1).await;
            assert!(receipt["applied"] == true, "{receipt}");
        }
    };
    let judging = async {
        for (turn, receipt) in withheld.iter().enumerate() {
            let app = &apps[turn % apps.len()];
            approve(app, receipt).await;
            if turn % 3 == 0 {
                reject(app, receipt).await;
            }
        }
    };
    tokio::join!(scoring, judging);
    assert_eq!(entry(&apps[0], "main", "ann").await["score"], 60 + 8 * 1_000);
}

async fn a_limit_holds_for_newcomers_who_are_withheld(backend: Backend) {
    let apps = instances(backend).await;
    let range = json!({ "min": 0, "max": 1000 });
    let limit = json!({ "count": 1, "perSeconds": 3600 });
    let action = json!({ "id": "once", "leaderboards": ["main"], "value": range, "limit": limit, "review": { "above": 1 } });
    apps[0].admin(reqwest::Method::POST, "/api/actions").json(&action).answers(201).await;
    for newcomer in 0..20 {
        let user = format!("new-{newcomer}");
        let answers = join_all((0..4).map(async |turn| {
            let body = json!({ "actionId": "once", "userId": user, "value": 500 });
            let request = apps[turn % apps.len()].game(reqwest::Method::POST, "/api/scores").json(&body);
            status_and_json(request.send().await.unwrap()).await
        }))
        .await;
        let accepted: Vec<&Value> = answers.iter().filter(|(status, _)| *status == 200).map(|(_, receipt)| receipt).collect();
        assert_eq!(accepted.len(), 1, "{answers:?}");
    }
}
