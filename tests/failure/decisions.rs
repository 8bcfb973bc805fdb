//! Decisions of moderators, whatever dies at any step: each is made once, whole or not at all, and recorded once.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    moderators::Moderated,
    postgres::fresh_database,
    redis_server::RedisServer,
    server::{Server, Stores, within},
};

const SOON: Duration = Duration::from_secs(20);

/// In the order in which a decision reaches them.
const POINTS: [&str; 3] = ["decisions-written", "audit-written", "decisions-committed"];

async fn each_is_made_once(mut server: Server) {
    for user in ["ann", "bob"] {
        server.post_point(user).await;
    }
    let users = ["ann", "bob"].map(|user| (user, Moderated::start(&[&server], user)));
    users[0].1.some().await;
    server.kill();
    for point in POINTS {
        server.set("SCOREBOARD_FAILPOINTS", format!("{point}:abort@4"));
        server.spawn();
        let status = server.ended(SOON).await.unwrap_or_else(|| panic!("{point} is not reached"));
        assert!(!status.success(), "{point}: {status}");
    }
    let failing: Vec<_> = (2..).step_by(3).zip(POINTS).map(|(time, point)| format!("{point}:error@{time}")).collect();
    server.set("SCOREBOARD_FAILPOINTS", failing.join(","));
    server.run().await;
    users[1].1.some().await;
    let (mut expected, mut decided) = (BTreeMap::new(), 0);
    for (user, moderated) in users {
        let (score, made) = moderated.finish().await;
        expected.insert(user.to_owned(), score + 1);
        decided += made;
    }
    within(SOON, "the ranking shows all of it", || async {
        let window = server.get("/api/leaderboards/main/entries?limit=100").await;
        let entries = window["entries"].as_array().unwrap().iter();
        let shown: BTreeMap<String, i64> =
            entries.map(|entry| (entry["userId"].as_str().unwrap().to_owned(), entry["score"].as_i64().unwrap())).collect();
        shown == expected
    })
    .await;
    let (mut listed, mut cursor) = (0, String::new());
    loop {
        let page = server.get(&format!("/api/moderation/decisions?limit=100{cursor}")).await;
        listed += page["decisions"].as_array().unwrap().len() as u64;
        let Some(next) = page["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(listed, decided, "each decision is there once");
    let audit = server.get("/api/audit?limit=1000").await;
    let made =
        |action: &str| audit["entries"].as_array().unwrap().iter().filter(|entry| entry["action"] == action).count() as u64;
    assert_eq!((made("decision.adjust"), made("decision.hide")), (decided / 2, decided / 2));
    server.assert_verified().await;
    let audited = server.command_beside(&["verify", "--audit"]).await;
    assert!(audited.status.success(), "{audited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_decisions_are_made_once_whatever_dies() {
    each_is_made_once(Server::embedded().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_decisions_are_made_once_whatever_dies() {
    let redis = RedisServer::start(&[]);
    let stores = Stores { database_url: Some(fresh_database().await), redis_url: Some(redis.url()) };
    each_is_made_once(Server::on(stores).await).await;
}
