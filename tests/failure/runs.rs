//! Runs and reviews, whatever dies at any step: a run's score counts once, one that is withheld is withheld whole, and a verdict is carried
//! out once.

use std::{sync::Arc, time::Duration};

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinHandle, time::sleep};

use crate::{
    postgres::fresh_database,
    redis_server::RedisServer,
    server::{Server, Stores, said, within},
};

const SOON: Duration = Duration::from_secs(20);

/// In the order in which a submission and a verdict reach them.
const POINTS: [&str; 6] =
    ["batch-written", "batch-committed", "receipts-stored", "decisions-written", "audit-written", "verdicts-committed"];

/// Whoever plays one run after the other; each fourth one is suspicious, and approved by a moderator. Everything is repeated until it is
/// answered.
#[derive(Clone)]
struct Asked {
    http: Client,
    base: String,
    player: String,
    moderator: String,
}

impl Asked {
    async fn answer(&self, token: &str, path: &str, body: &Value) -> Value {
        loop {
            let request = self.http.request(Method::POST, format!("{}{path}", self.base)).bearer_auth(token).json(body);
            if let Ok(answer) = request.timeout(Duration::from_secs(15)).send().await
                && [StatusCode::OK, StatusCode::CREATED].contains(&answer.status())
                && let Ok(body) = answer.json::<Value>().await
                && !body["results"].as_array().is_some_and(|results| results.iter().any(|result| result["status"] == 503))
            {
                return body;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Plays once, and answers the points and the receipt.
    async fn play(&self, turn: i64) -> (i64, Value) {
        let points = if turn % 4 == 3 { 500 } else { 1 };
        let begun = self.answer(&self.player, "/api/runs", &json!({ "actionId": "race" })).await;
        let body = json!({ "actionId": "race", "userId": "ann", "value": points, "runToken": begun["runToken"] });
        let receipt = self.answer(&self.player, "/api/scores", &body).await;
        // As if the answer had been lost.
        assert_eq!(self.answer(&self.player, "/api/scores", &body).await, receipt);
        assert_eq!(receipt["review"] == "pending", points == 500, "{receipt}");
        if points == 500 {
            let verdict = json!({ "eventId": receipt["eventId"], "verdict": "approve", "reason": "on video" });
            let judged = self.answer(&self.moderator, "/api/moderation/reviews", &json!({ "verdicts": [verdict] })).await;
            assert_eq!(judged["results"][0]["body"]["state"], "approved", "{judged}");
        }
        (points, receipt)
    }
}

struct Players {
    stop: watch::Sender<bool>,
    played: watch::Receiver<i64>,
    task: JoinHandle<(i64, i64)>,
}

impl Players {
    fn start(server: &Server) -> Self {
        let printed = server.command(&["token", "--sub", "ann", "--scope", "scores:self"]);
        assert!(printed.status.success(), "{}", said(&printed));
        let player = String::from_utf8(printed.stdout).unwrap().trim().to_owned();
        let asked = Asked { http: Client::new(), base: server.url(""), player, moderator: server.token().to_owned() };
        let ((stop, stopped), (told, played)) = (watch::channel(false), watch::channel(0));
        let asked = Arc::new(asked);
        let task = tokio::spawn(async move {
            let (mut score, mut runs) = (0, 0);
            while !*stopped.borrow() {
                score += asked.play(runs).await.0;
                runs += 1;
                told.send(runs).ok();
            }
            (score, runs)
        });
        Self { stop, played, task }
    }

    async fn some(&mut self) {
        let before = *self.played.borrow();
        tokio::time::timeout(SOON, self.played.wait_for(|played| *played > before + 8)).await.unwrap().unwrap();
    }

    /// The score that came of it, and the number of runs.
    async fn finish(self) -> (i64, i64) {
        self.stop.send(true).unwrap();
        self.task.await.unwrap()
    }
}

async fn each_counts_once(mut server: Server) {
    let range = json!({ "min": 0, "max": 1000 });
    let (run, review) = (json!({ "maxSeconds": 600 }), json!({ "above": 100 }));
    let race =
        json!({ "id": "race", "leaderboards": ["main"], "value": range, "selfService": true, "run": run, "review": review });
    server.request(Method::POST, "/api/actions").json(&race).send().await.unwrap().error_for_status().unwrap();
    let mut players = Players::start(&server);
    players.some().await;
    server.kill();
    for point in POINTS {
        server.set("SCOREBOARD_FAILPOINTS", format!("{point}:abort@3"));
        server.spawn();
        let status = server.ended(SOON).await.unwrap_or_else(|| panic!("{point} is not reached"));
        assert!(!status.success(), "{point}: {status}");
    }
    let failing: Vec<_> = (2..).step_by(3).zip(POINTS).map(|(time, point)| format!("{point}:error@{time}")).collect();
    server.set("SCOREBOARD_FAILPOINTS", failing.join(","));
    server.run().await;
    players.some().await;
    let (score, runs) = players.finish().await;
    within(SOON, "the ranking shows all of it", || async {
        server.get("/api/leaderboards/main/entries").await["entries"][0]["score"] == score
    })
    .await;
    let (mut listed, mut cursor) = (0, String::new());
    loop {
        let page = server.get(&format!("/api/users/ann/scores?limit=100{cursor}")).await;
        listed += page["scores"].as_array().unwrap().len() as i64;
        let Some(next) = page["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(listed, runs, "each run is there once");
    let audit = server.get("/api/audit?limit=1000").await;
    let verdicts = audit["entries"].as_array().unwrap().iter().filter(|entry| entry["action"] == "review.approve").count();
    assert_eq!(verdicts as i64, runs / 4, "each verdict is recorded once");
    server.assert_verified().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_runs_count_once_whatever_dies() {
    each_counts_once(Server::embedded().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_runs_count_once_whatever_dies() {
    let redis = RedisServer::start(&[]);
    let stores = Stores { database_url: Some(fresh_database().await), redis_url: Some(redis.url()) };
    each_counts_once(Server::on(stores).await).await;
}
