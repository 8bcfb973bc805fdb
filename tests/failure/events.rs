//! A watcher that stays on through an outage and checks that every gap is announced.

use std::{pin::Pin, time::Duration};

use eventsource_stream::{Event, EventStream, Eventsource};
use futures_util::{Stream, StreamExt};
use reqwest::Method;
use serde_json::Value;

use crate::server::Server;

type Bytes = Pin<Box<dyn Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>;

/// How long a stream may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// An open stream and the version it has seen last.
pub struct Watcher {
    events: EventStream<Bytes>,
    pub version: Value,
    pub resets: usize,
}

impl Watcher {
    pub async fn open(server: &Server, path: &str) -> Self {
        let request = server.anonymous(Method::GET, path).timeout(Duration::from_secs(300));
        let response = request.send().await.unwrap().error_for_status().unwrap();
        let bytes: Bytes = Box::pin(response.bytes_stream());
        Self { events: bytes.eventsource(), version: Value::Null, resets: 0 }
    }

    /// The next event that is no heartbeat. What follows another version than the one held has to say so.
    pub async fn next(&mut self) -> (String, Value) {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.events.next()).await.expect("the stream is not silent");
            let Event { event, data, .. } = next.expect("the stream stays open").expect("the stream is not cut off");
            let data: Value = serde_json::from_str(&data).unwrap();
            match event.as_str() {
                "heartbeat" => continue,
                "score-updated" => assert_eq!(data["since"], self.version, "no gap passes unannounced"),
                _ if data["reset"] == true => self.resets += 1,
                _ => assert_eq!(self.version, Value::Null, "a snapshot in between says that continuity broke: {data}"),
            }
            self.version = data["version"].clone();
            return (event, data);
        }
    }

    /// The next event of a view that is a state, where each may follow any other.
    pub async fn next_state(&mut self) -> (String, Value) {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.events.next()).await.expect("the stream is not silent");
            let Event { event, data, .. } = next.expect("the stream stays open").expect("the stream is not cut off");
            if event != "heartbeat" {
                let data: Value = serde_json::from_str(&data).unwrap();
                self.version = data["version"].clone();
                return (event, data);
            }
        }
    }

    /// The next event, which has to be a heartbeat.
    pub async fn heartbeat(&mut self) {
        let next = self.events.next().await.expect("the stream stays open").expect("the stream is not cut off");
        assert_eq!(next.event, "heartbeat");
    }

    /// Reads on until this version.
    pub async fn reach(&mut self, version: &Value) {
        while self.version != *version {
            self.next().await;
        }
    }

    /// Reads on until a reset has been announced.
    pub async fn reset(&mut self) {
        let before = self.resets;
        while self.resets == before {
            self.next().await;
        }
    }
}
