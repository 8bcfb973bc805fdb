//! Boundaries between seasons, whatever dies, is away or is wrong: each is carried out once and at its time, and every acknowledged score is in the
//! season that its receipt names.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use scoreboard::domain::time::{Clock, Timestamp};
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    postgres::{fresh_database, number},
    redis_server::RedisServer,
    server::{Server, Stores, within},
};

const SOON: Duration = Duration::from_secs(20);

/// What was acknowledged: points by season and user.
type Acknowledged = BTreeMap<(i64, String), i64>;

/// Clients that submit one point after the other, each repeated under its key until it is acknowledged.
struct Players {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Acknowledged>>,
}

impl Players {
    fn start(servers: &[&Server]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks: Vec<_> = (0..4)
            .map(|player| {
                let requests: Vec<_> = servers.iter().map(|server| server.request(Method::POST, "/api/scores")).collect();
                let (stop, run) = (Arc::clone(&stop), uuid::Uuid::new_v4().simple());
                tokio::spawn(async move {
                    let (mut acknowledged, user) = (Acknowledged::new(), format!("player-{player}"));
                    for n in 0.. {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let body = json!({ "actionId": "point", "userId": user });
                        let mut attempt = n as usize;
                        let receipt: Value = loop {
                            let request = requests[attempt % requests.len()].try_clone().unwrap();
                            let sent = request.header("Idempotency-Key", format!("{run}-{n}")).json(&body).send().await;
                            match sent {
                                Ok(answer) if answer.status() == StatusCode::OK => match answer.json().await {
                                    Ok(receipt) => break receipt,
                                    Err(_) => attempt += 1,
                                },
                                _ => attempt += 1,
                            }
                            sleep(Duration::from_millis(20)).await;
                        };
                        let season = receipt["standings"][0]["season"].as_i64().unwrap();
                        *acknowledged.entry((season, user.clone())).or_default() += 1;
                        sleep(Duration::from_millis(5)).await;
                    }
                    acknowledged
                })
            })
            .collect();
        Self { stop, tasks }
    }

    async fn finish(self) -> Acknowledged {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Acknowledged::new();
        for acknowledged in join_all(self.tasks).await {
            all.extend(acknowledged.unwrap());
        }
        all
    }
}

/// Has the seasons of `main` end at these distances from now, in milliseconds.
async fn schedule(server: &Server, from_now: &[i64]) -> Vec<String> {
    let now = Clock::system().now();
    let dates: Vec<String> = from_now.iter().map(|millis| Timestamp(now.0 + millis * 1000).to_string()).collect();
    let body = json!({ "resetSchedule": { "dates": dates } });
    let answer = server.request(Method::PATCH, "/api/leaderboards/main").json(&body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{}", answer.text().await.unwrap());
    dates
}

async fn seasons(server: &Server) -> Vec<Value> {
    let mut seasons = server.get("/api/leaderboards/main/seasons").await["seasons"].as_array().unwrap().clone();
    seasons.reverse();
    seasons
}

/// The scores of a season, by user.
async fn scores(server: &Server, season: i64) -> BTreeMap<String, i64> {
    let window = server.get(&format!("/api/leaderboards/main/entries?season={season}&limit=100")).await;
    let entries = window["entries"].as_array().unwrap();
    entries.iter().map(|entry| (entry["userId"].as_str().unwrap().to_owned(), entry["score"].as_i64().unwrap())).collect()
}

/// Every acknowledged point is where its receipt says, and no other is anywhere.
async fn assert_counted(server: &Server, acknowledged: &Acknowledged, dates: &[String]) {
    let seasons = seasons(server).await;
    let ends: Vec<_> = seasons.iter().map(|season| season["endsAt"].clone()).collect();
    let expected: Vec<_> = dates.iter().map(|date| json!(date)).chain([Value::Null]).collect();
    assert_eq!(ends, expected, "each boundary once, at its time");
    for season in 1..=seasons.len() as i64 {
        let of_season = acknowledged.iter().filter(|((of, _), _)| *of == season);
        let expected: BTreeMap<String, i64> = of_season.map(|((_, user), points)| (user.clone(), *points)).collect();
        assert_eq!(scores(server, season).await, expected, "season {season}");
    }
    within(SOON, "every ended season is final", || async {
        self::seasons(server).await.iter().rev().skip(1).all(|season| season["state"] == "final")
    })
    .await;
    server.assert_verified().await;
}

/// Dies at each step of a boundary, and is started again.
#[cfg(debug_assertions)]
async fn dies_at_each_step(mut server: Server) {
    for point in ["boundary-written", "boundary-committed", "boundary-announced", "season-read"] {
        let before = seasons(&server).await;
        let players = Players::start(&[&server]);
        server.kill();
        server.set("SCOREBOARD_FAILPOINTS", format!("{point}:abort"));
        server.run().await;
        let date = schedule(&server, &[1_000]).await;
        let status = server.ended(SOON).await.unwrap_or_else(|| panic!("{point} is not reached"));
        assert!(!status.success(), "{point}: {status}");
        server.set("SCOREBOARD_FAILPOINTS", "");
        server.run().await;
        let next = before.len() as i64 + 1;
        within(SOON, "the next season shows its scores", || async {
            let window = server.get("/api/leaderboard").await;
            window["season"] == next && window["version"] != Value::Null && window["total"] == 4
        })
        .await;
        let acknowledged = players.finish().await;
        let all = seasons(&server).await;
        assert_eq!(all.len(), before.len() + 1, "{point}: one season for one boundary");
        assert_eq!(all[before.len() - 1]["endsAt"], date[0], "{point}");
        for season in [next - 1, next] {
            let of_season = acknowledged.iter().filter(|((of, _), _)| *of == season);
            for ((_, user), points) in of_season {
                // Points of an earlier round count as well.
                let held = scores(&server, season).await[user];
                assert!(held >= *points && (season < next || held == *points), "{point}: {user} has {held} and not {points}");
            }
        }
    }
    server.assert_verified().await;
}

#[cfg(debug_assertions)]
#[tokio::test(flavor = "multi_thread")]
async fn embedded_every_step_of_a_boundary_may_be_the_last_one() {
    dies_at_each_step(Server::embedded().await).await;
}

#[cfg(debug_assertions)]
#[tokio::test(flavor = "multi_thread")]
async fn shared_every_step_of_a_boundary_may_be_the_last_one() {
    let redis = RedisServer::start(&[]);
    let stores = Stores { database_url: Some(fresh_database().await), redis_url: Some(redis.url()) };
    dies_at_each_step(Server::on(stores).await).await;
}

/// Two instances with scores going on; one of them is killed just before the second boundary.
#[tokio::test(flavor = "multi_thread")]
async fn two_instances_make_one_season_and_survive_each_other() {
    let redis = RedisServer::start(&[]);
    let stores = Stores { database_url: Some(fresh_database().await), redis_url: Some(redis.url()) };
    let mut dying = Server::on(stores.clone()).await;
    let staying = dying.beside(stores).await;
    let dates = schedule(&dying, &[1_500, 3_000, 4_500]).await;
    let players = Players::start(&[&dying, &staying]);
    sleep(Duration::from_millis(2_900)).await;
    dying.kill();
    sleep(Duration::from_millis(3_000)).await;
    let acknowledged = players.finish().await;
    assert!(acknowledged.keys().any(|(season, _)| *season == 4), "scores went on after all of them");
    assert_counted(&staying, &acknowledged, &dates).await;
    let window = staying.get("/api/leaderboard").await;
    assert_ne!(window["version"], Value::Null, "the ranking has turned over: {window}");
}

/// Boundaries that pass while nothing runs exist afterwards, and carry no scores.
#[tokio::test(flavor = "multi_thread")]
async fn after_downtime_the_seasons_are_those_of_a_server_that_never_stopped() {
    let mut server = Server::embedded().await;
    let dates = schedule(&server, &[1_000, 2_000, 3_000, 3_600_000]).await;
    let players = Players::start(&[&server]);
    sleep(Duration::from_millis(500)).await;
    let mut acknowledged = players.finish().await;
    server.kill();
    sleep(Duration::from_millis(3_000)).await;
    server.run().await;
    within(Duration::from_secs(5), "all three are carried out", || async { seasons(&server).await.len() == 4 }).await;
    let players = Players::start(&[&server]);
    sleep(Duration::from_millis(500)).await;
    for (key, points) in players.finish().await {
        *acknowledged.entry(key).or_default() += points;
    }
    assert_counted(&server, &acknowledged, &dates[..3]).await;
}

/// The ranking store is away when the boundary comes, and comes back with nothing, or as it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_boundary_passes_without_the_ranking_store() {
    for keeps in [false, true] {
        let mut redis = RedisServer::start(&[]);
        let stores = Stores { database_url: Some(fresh_database().await), redis_url: Some(redis.url()) };
        let server = Server::on(stores).await;
        let players = Players::start(&[&server]);
        let dates = schedule(&server, &[1_500]).await;
        sleep(Duration::from_millis(1_000)).await;
        if keeps {
            redis.freeze()
        } else {
            redis.kill()
        }
        sleep(Duration::from_millis(2_500)).await;
        if keeps {
            redis.thaw()
        } else {
            redis.run()
        }
        within(SOON, "the ranking is that of the next season", || async {
            let window = server.get("/api/leaderboard").await;
            window["season"] == 2 && window["version"] != Value::Null && window["total"] == 4
        })
        .await;
        let acknowledged = players.finish().await;
        assert_counted(&server, &acknowledged, &dates).await;
    }
}

/// The ledger's clock decides: instances that are hours ahead or behind neither hurry a boundary nor miss it.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_s_clock_moves_no_boundary() {
    let redis = RedisServer::start(&[]);
    let database = fresh_database().await;
    let stores = Stores { database_url: Some(database.clone()), redis_url: Some(redis.url()) };
    let server = Server::on(stores).await;
    let dates = schedule(&server, &[2_000]).await;
    // What an instance writes that is an hour ahead: everybody's time runs on from there.
    let ahead = "UPDATE score_events SET at = at + 3600000000";
    server.post_point("ann").await;
    crate::postgres::execute(&database, ahead).await;
    crate::postgres::execute(&database, "UPDATE entries SET reached_at = reached_at + 3600000000").await;
    server.post_point("bob").await;
    assert_eq!(seasons(&server).await.len(), 1, "it is not over before its time");
    sleep(Duration::from_millis(2_500)).await;
    let receipt = server.post_point("bob").await;
    assert_eq!(receipt["standings"][0]["season"], 2);
    let all = seasons(&server).await;
    assert_eq!((all.len(), &all[0]["endsAt"]), (2, &json!(dates[0])));
    let late = format!("SELECT count(*) FROM score_events WHERE season = 1 AND user_id = 'bob' AND at >= {}", micros(&dates[0]));
    assert_eq!(number(&database, &late).await, 0, "moved into the season that it was committed in");
}

fn micros(time: &str) -> i64 {
    time.parse::<Timestamp>().unwrap().0
}
