//! What middleware and controllers share of HTTP: problem documents, and the request's id.

pub mod problem;
pub mod request_id;
