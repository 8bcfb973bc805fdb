//! A reader of event streams, as strict as a browser's.

use std::{pin::Pin, time::Duration};

use eventsource_stream::{Event, EventStream, Eventsource};
use futures_util::StreamExt;
use reqwest::{Method, Response};
use serde_json::Value;

use crate::app::TestApp;

type Bytes = Pin<Box<dyn futures_util::Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>;

/// An open stream.
pub struct Sse {
    events: EventStream<Bytes>,
}

/// One event.
#[derive(Debug, Clone)]
pub struct Received {
    pub event: String,
    pub id: String,
    pub data: Value,
}

impl Sse {
    /// Opens a stream without a token.
    pub async fn open(app: &TestApp, path: &str) -> Self {
        let response = app.anonymous(Method::GET, path).timeout(Duration::from_secs(300)).send().await.unwrap();
        assert_eq!(response.status(), 200);
        Self::of(response)
    }

    /// Opens a stream that goes on after a position, as a browser does.
    pub async fn resume(app: &TestApp, path: &str, last_event_id: &str) -> Self {
        let request = app.anonymous(Method::GET, path).timeout(Duration::from_secs(300)).header("Last-Event-ID", last_event_id);
        Self::of(request.send().await.unwrap())
    }

    /// Reads an answer as a stream.
    pub fn of(response: Response) -> Self {
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let bytes: Bytes = Box::pin(response.bytes_stream());
        Self { events: bytes.eventsource() }
    }

    /// The next event that is no heartbeat; `None` at the end of the stream. Fails after ten seconds.
    pub async fn next(&mut self) -> Option<Received> {
        loop {
            let next =
                tokio::time::timeout(Duration::from_secs(10), self.events.next()).await.expect("an event within ten seconds");
            let Event { event, data, id, .. } = match next? {
                Ok(event) => event,
                // A connection that is cut off ends the stream as well.
                Err(_) => return None,
            };
            if event != "heartbeat" {
                let data = serde_json::from_str(&data).unwrap_or_else(|_| panic!("{event}: not JSON: {data}"));
                return Some(Received { event, id, data });
            }
        }
    }

    /// Waits for a heartbeat, which has to be what comes next; false where the stream ends instead.
    pub async fn heartbeat(&mut self) -> bool {
        let next = tokio::time::timeout(Duration::from_secs(17), self.events.next()).await.expect("a heartbeat every 15 s");
        next.is_some_and(|event| event.is_ok_and(|event| event.event == "heartbeat"))
    }

    /// The next event, which has to be of this kind.
    pub async fn expect(&mut self, event: &str) -> Received {
        let next = self.next().await.unwrap_or_else(|| panic!("the stream ended instead of {event}"));
        assert_eq!(next.event, event, "{next:?}");
        next
    }
}
