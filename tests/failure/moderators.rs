//! Moderators who repeat each request blindly, on one server after the other, until it is answered.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::sleep};

use crate::server::{Server, within};

const SOON: Duration = Duration::from_secs(60);

/// The servers that are asked by turns.
#[derive(Clone)]
struct Asked {
    http: Client,
    bases: Arc<[String]>,
    token: String,
}

impl Asked {
    /// Sends it until it is answered.
    async fn answer(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let key = uuid::Uuid::new_v4().to_string();
        for base in self.bases.iter().cycle() {
            let request = self.http.request(method.clone(), format!("{base}{path}")).bearer_auth(&self.token);
            let request = request.header("Idempotency-Key", &key).timeout(Duration::from_secs(15));
            let request = body.iter().fold(request, |request, body| request.json(body));
            if let Ok(answer) = request.send().await
                && answer.status() == StatusCode::OK
                && let Ok(body) = answer.json::<Value>().await
                && !body["results"].as_array().is_some_and(|results| results.iter().any(|result| result["status"] == 503))
            {
                return body;
            }
            sleep(Duration::from_millis(20)).await;
        }
        unreachable!("there is a server")
    }
}

/// A user who scores a point at a time, and a moderator who adds ten each time, hides the user, and takes that back.
pub struct Moderated {
    stop: Arc<AtomicBool>,
    made: Arc<AtomicU64>,
    points: JoinHandle<i64>,
    decisions: JoinHandle<(i64, u64)>,
}

impl Moderated {
    /// The user has to have a score.
    pub fn start(servers: &[&Server], user: &'static str) -> Self {
        let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let bases = servers.iter().map(|server| server.url("")).collect();
        let asked = Asked { http: Client::new(), bases, token: servers[0].token().to_owned() };
        let (stopped, scoring) = (Arc::clone(&stop), asked.clone());
        let points = tokio::spawn(async move {
            let mut points = 0;
            while !stopped.load(Ordering::Relaxed) {
                scoring.answer(Method::POST, "/api/scores", Some(json!({ "actionId": "point", "userId": user }))).await;
                points += 1;
                sleep(Duration::from_millis(5)).await;
            }
            points
        });
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&made));
        let decisions = tokio::spawn(async move {
            let (mut added, mut decided) = (0, 0);
            while !stopped.load(Ordering::Relaxed) {
                let body = json!({ "decisions": [
                    { "type": "adjust", "userId": user, "leaderboardId": "main", "points": 10, "reason": "a gift" },
                    { "type": "hide", "userId": user, "reason": "for a moment" },
                ] });
                let answer = asked.answer(Method::POST, "/api/moderation/decisions", Some(body)).await;
                assert_eq!(answer["results"][0]["status"], 200, "{answer}");
                let hidden = answer["results"][1]["body"]["id"].as_str().unwrap();
                asked.answer(Method::DELETE, &format!("/api/moderation/decisions/{hidden}"), None).await;
                (added, decided) = (added + 10, decided + 2);
                counted.store(decided, Ordering::Relaxed);
            }
            (added, decided)
        });
        Self { stop, made, points, decisions }
    }

    /// Waits until some more decisions are made.
    pub async fn some(&self) {
        let before = self.made.load(Ordering::Relaxed);
        within(SOON, "decisions are made", || async { self.made.load(Ordering::Relaxed) > before + 3 }).await;
    }

    /// What was added to the user's score, and the number of decisions.
    pub async fn finish(self) -> (i64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        let ((added, decided), points) = (self.decisions.await.unwrap(), self.points.await.unwrap());
        (points + added, decided)
    }
}
