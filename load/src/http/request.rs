//! Requests, put together in a buffer that is used again and again.

use std::{fmt::Arguments, io::Write};

use crate::target::Target;

/// All of a request's head that does not change from one request to the next.
#[derive(Clone)]
pub struct Template {
    head: Vec<u8>,
}

impl Template {
    /// A `POST` of JSON with the target's token.
    pub fn post(target: &Target, path: &str) -> Self {
        let host = target.server();
        let token = &target.token;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n"
        );
        Self { head: head.into_bytes() }
    }

    /// Replaces what is in `request` by a whole request.
    pub fn write(&self, request: &mut Vec<u8>, idempotency_key: Option<Arguments<'_>>, body: &[u8]) {
        request.clear();
        request.extend_from_slice(&self.head);
        if let Some(key) = idempotency_key {
            put(request, format_args!("idempotency-key: {key}\r\n"));
        }
        put(request, format_args!("content-length: {}\r\n\r\n", body.len()));
        request.extend_from_slice(body);
    }
}

/// Appends text to a buffer.
pub fn put(buffer: &mut Vec<u8>, text: Arguments<'_>) {
    buffer.write_fmt(text).expect("a Vec takes all that is written to it");
}

/// A `GET` as an anonymous browser sends it.
pub fn get(target: &Target, path: Arguments<'_>, request: &mut Vec<u8>) {
    request.clear();
    put(request, format_args!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", target.server()));
}
