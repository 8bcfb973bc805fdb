//! What users see, over a real server on a port of its own: a module per feature, each test on the embedded stores and on Postgres with Redis.

mod abuse;
mod access;
mod accounts;
mod answers;
mod api_keys;
mod app;
mod audit;
mod batch;
mod browser;
mod corrections;
mod definitions;
mod fair_play;
#[path = "../contract/h2_client.rs"]
mod h2_client;
mod idempotency;
mod instances;
mod moderation;
mod operations;
mod page;
#[path = "../contract/ports.rs"]
mod ports;
mod problems;
mod profiles;
mod protocols;
mod proxies;
mod reads;
mod scores;
mod seasons;
mod sse;
mod streams;
