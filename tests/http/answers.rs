//! What an answer has to be, said at the end of a request: `app.game(…).json(&body).refused(422).await`.

use reqwest::{RequestBuilder, Response};
use serde_json::Value;

use crate::app::status_and_json;

/// The end of a request in a test.
pub trait Expect {
    /// Sends it; the answer has this status and is JSON.
    async fn answers(self, status: u16) -> Value;

    /// Sends it; the answer has this status and is a whole problem document.
    async fn refused(self, status: u16) -> Value;

    /// Sends it; the answer has this status and may hold anything.
    async fn responds(self, status: u16) -> Response;
}

impl Expect for RequestBuilder {
    async fn answers(self, status: u16) -> Value {
        let (got, answer) = status_and_json(self.send().await.unwrap()).await;
        assert_eq!(got, status, "{answer}");
        answer
    }

    async fn refused(self, status: u16) -> Value {
        let response = self.responds(status).await;
        problem(response).await
    }

    async fn responds(self, status: u16) -> Response {
        let response = self.send().await.unwrap();
        if response.status() != status {
            panic!("expected {status}, got {}: {:?}", response.status(), response.text().await);
        }
        response
    }
}

/// The problem document in an answer, checked against what its headers say.
pub async fn problem(response: Response) -> Value {
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let (status, problem) = status_and_json(response).await;
    assert_eq!(problem["status"], status.as_u16(), "{problem}");
    assert_eq!(problem["requestId"], id, "{problem}");
    for field in ["type", "title", "detail"] {
        assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {problem}");
    }
    problem
}

/// The fields that a problem names, in its order.
pub fn broken(problem: &Value) -> Vec<&str> {
    problem["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect()
}

/// Seconds in `Retry-After`.
pub fn retry_after(response: &Response) -> u64 {
    response.headers()["retry-after"].to_str().unwrap().parse().unwrap()
}
