//! What middleware and controllers share of HTTP: who is calling, problem documents, and the request's id.

pub mod caller;
pub mod problem;
pub mod request_id;
pub mod site;
