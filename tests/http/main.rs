//! What users see, over a real server on a port of its own: a module per feature, each test on the embedded stores and on Postgres with Redis.

mod app;
mod browser;
mod instances;
mod page;
mod scores;
mod sse;
mod streams;
