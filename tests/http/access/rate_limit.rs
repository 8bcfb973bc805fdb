//! The rate limit: a bucket for each caller.

use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder, Response};

use crate::{
    answers::{Expect, problem, retry_after},
    app::{Backend, TestApp, eventually},
};

crate::both_backends!(
    a_caller_who_asks_too_often_is_told_when_to_come_back,
    callers_do_not_share_their_bucket,
    streams_are_refused_in_band,
    a_forged_address_opens_no_new_bucket,
    a_trusted_proxy_names_its_clients,
);

/// Three at once, one a second after that.
const SLOW: [&str; 2] = ["--rate-limit-per-second=1", "--rate-limit-burst=3"];
/// Sent at once: far more than a bucket holds, even on a slow machine.
const FLOOD: usize = 30;

async fn flood(request: impl Fn(usize) -> RequestBuilder) -> Vec<Response> {
    join_all((0..FLOOD).map(|number| request(number).send())).await.into_iter().map(Result::unwrap).collect()
}

fn granted(answers: &[Response]) -> usize {
    answers.iter().filter(|answer| answer.status() == 200).count()
}

async fn a_caller_who_asks_too_often_is_told_when_to_come_back(backend: Backend) {
    let app = TestApp::spawn_with(backend, &SLOW).await;
    let request = || app.game(Method::GET, "/api/leaderboard");
    let answers = flood(|_| request()).await;
    assert!((3..FLOOD).contains(&granted(&answers)), "{}", granted(&answers));
    let refused = answers.into_iter().find(|answer| answer.status() != 200).unwrap();
    assert_eq!(refused.status(), 429);
    assert!((1..=3).contains(&retry_after(&refused)), "{refused:?}");
    problem(refused).await;
    app.game(Method::GET, "/livez").responds(200).await;
    eventually("the bucket fills again", || async { request().send().await.unwrap().status() == 200 }).await;
}

async fn callers_do_not_share_their_bucket(backend: Backend) {
    let app = TestApp::spawn_with(backend, &SLOW).await;
    flood(|_| app.with("game-1", "scores:write", Method::GET, "/api/leaderboard")).await;
    for _ in 0..3 {
        app.with("game-2", "scores:write", Method::GET, "/api/leaderboard").responds(200).await;
    }
    for _ in 0..3 {
        app.anonymous(Method::GET, "/api/leaderboard").responds(200).await;
    }
    let answers =
        flood(|number| app.with("game-2", ["scores:write", "scores:self"][number % 2], Method::GET, "/api/actions")).await;
    assert!(granted(&answers) < FLOOD, "another token of the same subject is the same caller");
}

/// A browser's EventSource would give up for ever on a 429.
async fn streams_are_refused_in_band(backend: Backend) {
    let app = TestApp::spawn_with(backend, &SLOW).await;
    flood(|_| app.anonymous(Method::GET, "/api/leaderboard")).await;
    for path in ["/api/leaderboard/stream", "/api/leaderboards/main/stream?view=top", "/api/stream?leaderboards=main"] {
        let answers = flood(|_| app.anonymous(Method::GET, path)).await;
        assert_eq!(granted(&answers), FLOOD, "{path}");
        let mut refused = 0;
        for mut answer in answers {
            assert_eq!(answer.headers()["content-type"], "text/event-stream");
            let begun = answer.chunk().await.unwrap().unwrap_or_default();
            refused += usize::from(String::from_utf8_lossy(&begun).contains("event: busy\ndata: {\"reason\":"));
        }
        assert!(refused > 0, "{path}");
    }
}

async fn a_forged_address_opens_no_new_bucket(backend: Backend) {
    let app = TestApp::spawn_with(backend, &SLOW).await;
    let forged = |number: usize| {
        let request = app.anonymous(Method::GET, "/api/leaderboard");
        request.header("X-Forwarded-For", format!("203.0.113.{number}")).header("Forwarded", format!("for=203.0.113.{number}"))
    };
    assert!(granted(&flood(forged).await) < FLOOD);
}

async fn a_trusted_proxy_names_its_clients(backend: Backend) {
    let app = TestApp::spawn_with(backend, &[&SLOW[..], &["--trusted-proxies=127.0.0.0/8"]].concat()).await;
    let client = |address: String| app.anonymous(Method::GET, "/api/leaderboard").header("X-Forwarded-For", address);
    assert_eq!(granted(&flood(|number| client(format!("203.0.113.{number}"))).await), FLOOD);
    let one = flood(|number| client(format!("198.51.100.{number}, 192.0.2.1"))).await;
    assert!(granted(&one) < FLOOD, "what stands left of the client's address is the client's own invention");
    let one = flood(|number| client(format!("2001:db8:1:2::{number:x}"))).await;
    assert!(granted(&one) < FLOOD, "an IPv6 client owns a whole /64");
}
