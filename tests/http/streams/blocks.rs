//! Every block has data, whatever it is for: many client libraries hand each block to their user as a message, also one that holds nothing but
//! `retry:` or a comment.

use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::Value;

use crate::app::{Backend, TestApp};

crate::both_backends!(
    every_block_of_every_view_has_data_from_the_first_to_the_last,
    a_stream_that_is_refused_is_one_block,
    a_stream_opened_while_the_server_leaves_is_one_block,
);

const STREAMS: [&str; 5] = [
    "/api/leaderboard/stream?view=events",
    "/api/leaderboard/stream?view=top&hz=20",
    "/api/leaderboard/stream?view=user&userId=ann&hz=20",
    "/api/stream?leaderboards=main",
    "/api/stream?leaderboards=main,other&hz=20",
];

/// What each of them tells of a score.
const CHANGES: [&str; 5] = [
    "event: score-updated\n",
    "event: leaderboard-patch\n",
    "event: standing\n",
    "event: leaderboard-patch\n",
    "event: leaderboard-patch\n",
];

/// A block as a library would see it that knows nothing of what blocks are for.
#[derive(Debug)]
struct Block {
    event: String,
    id: Option<String>,
    retry: Option<u64>,
    data: Value,
}

/// Cuts a whole body into its blocks.
fn blocks(body: &str) -> Vec<Block> {
    assert!(body.ends_with("\n\n") && !body.contains("\n\n\n") && !body.contains('\r'), "{body:?}");
    body.trim_end_matches('\n').split("\n\n").map(block).collect()
}

fn block(text: &str) -> Block {
    let mut fields: Vec<(&str, &str)> =
        text.lines().map(|line| line.split_once(": ").unwrap_or_else(|| panic!("no field: {text:?}"))).collect();
    fields.sort();
    let names: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
    let field = |name: &str| fields.iter().find(|(found, _)| *found == name).map(|(_, value)| (*value).to_owned());
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "each field once: {text:?}");
    assert!(names.iter().all(|name| ["data", "event", "id", "retry"].contains(name)), "no comments: {text:?}");
    let data = field("data").unwrap_or_else(|| panic!("no data: {text:?}"));
    let data = serde_json::from_str(&data).unwrap_or_else(|_| panic!("not JSON: {text:?}"));
    let event = field("event").unwrap_or_else(|| panic!("no event: {text:?}"));
    Block { event, id: field("id"), retry: field("retry").map(|millis| millis.parse().unwrap()), data }
}

/// Reads until what came holds this text so many times.
async fn read_until(response: &mut Response, wanted: &str, times: usize) -> String {
    let mut read = String::new();
    let reading = async {
        while read.matches(wanted).count() < times || !read.ends_with("\n\n") {
            let chunk = response.chunk().await.unwrap().unwrap_or_else(|| panic!("ended without {wanted}: {read}"));
            read.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reading).await.unwrap_or_else(|_| panic!("no {wanted}"));
    read
}

async fn every_block_of_every_view_has_data_from_the_first_to_the_last(backend: Backend) {
    let mut app = TestApp::spawn(backend).await;
    app.make_leaderboard("other", serde_json::json!({})).await;
    let mut streams = Vec::new();
    for (index, path) in STREAMS.iter().enumerate() {
        let mut response = app.anonymous(Method::GET, path).timeout(Duration::from_secs(60)).send().await.unwrap();
        let state = if path.contains("view=user") { "event: standing\n" } else { "event: leaderboard\n" };
        let shown = read_until(&mut response, state, 1 + index / 4).await;
        streams.push((response, shown));
    }
    app.post_score("ann", "goal").await;
    for ((response, shown), change) in streams.iter_mut().zip(CHANGES) {
        shown.push_str(&read_until(response, change, 1).await);
    }
    app.stop().await;
    for ((response, shown), path) in streams.into_iter().zip(STREAMS) {
        let body = shown + &response.text().await.expect("the body is whole");
        let blocks = blocks(&body);
        let (first, last) = (&blocks[0], blocks.last().unwrap());
        assert!(first.retry.is_some_and(|millis| (1_000..=3_000).contains(&millis)), "{path}: {first:?}");
        assert!(last.retry.is_some_and(|millis| (200..=2_000).contains(&millis)), "{path}: {last:?}");
        assert!(last.event == "heartbeat" && last.id.is_none(), "a deploy is no reason to stay away: {path}: {last:?}");
        assert!(last.data["at"].is_string() && last.data["watchers"].is_u64(), "{last:?}");
        assert!(blocks[1..blocks.len() - 1].iter().all(|block| block.retry.is_none()), "{path}: {blocks:?}");
        let several = path.starts_with("/api/stream");
        let with_ids = |block: &Block| block.id.is_some() == (!several && block.event != "heartbeat");
        assert!(blocks.iter().all(with_ids), "{path}: {blocks:?}");
    }
}

async fn a_stream_that_is_refused_is_one_block(backend: Backend) {
    let app = TestApp::spawn_with(backend, &["--streams-per-ip=1"]).await;
    let mut first = app.anonymous(Method::GET, STREAMS[0]).timeout(Duration::from_secs(60)).send().await.unwrap();
    read_until(&mut first, "event: leaderboard\n", 1).await;
    for path in [STREAMS[0], STREAMS[3]] {
        let body = app.anonymous(Method::GET, path).send().await.unwrap().text().await.unwrap();
        let [Block { event, id: None, retry: Some(retry), data }] = &blocks(&body)[..] else { panic!("{body}") };
        assert_eq!((event.as_str(), *retry >= 10_000), ("busy", true), "{body}");
        assert!(data["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{body}");
    }
}

async fn a_stream_opened_while_the_server_leaves_is_one_block(backend: Backend) {
    let mut app = TestApp::spawn(backend).await;
    // Streams that stay open for a while after the server has begun to leave.
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut stream = app.anonymous(Method::GET, STREAMS[0]).timeout(Duration::from_secs(60)).send().await.unwrap();
        read_until(&mut stream, "event: leaderboard\n", 1).await;
        streams.push(stream);
    }
    let (ready, late) = (app.anonymous(Method::GET, "/readyz"), app.anonymous(Method::GET, STREAMS[0]));
    let opening = async {
        while ready.try_clone().unwrap().send().await.unwrap().status() == 200 {}
        // Ready ends before the streams do, by no more than this takes.
        tokio::time::timeout(Duration::from_secs(10), async {
            loop {
                let body = late.try_clone().unwrap().send().await.unwrap().text().await.unwrap();
                if let [block] = &blocks(&body)[..] {
                    return (block.event.clone(), block.retry);
                }
            }
        })
        .await
    };
    let ((), told) = tokio::join!(app.stop(), opening);
    let (event, retry) = told.expect("whoever comes late is sent on");
    assert_eq!((event.as_str(), retry.is_some_and(|millis| millis <= 2_000)), ("heartbeat", true));
}
