//! `GET /api/audit`: who changed what.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    domain::{
        audit::AuditEntry,
        caller::{Caller, Permission},
        time::Timestamp,
    },
    http::problem::Problem,
    services::error::ServiceError,
};

use super::{App, params::Params};

/// The greatest number that every JSON parser reads exactly. Less than an `i64` holds, as a number beyond that is read as the
/// greatest `i64`.
const GREATEST: i64 = (1 << 53) - 1;

/// An entry as clients see it; what was erased is null.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    seq: i64,
    at: Timestamp,
    subject: Option<&'a str>,
    action: &'a str,
    target: Option<&'a str>,
    reason: Option<&'a str>,
    request_id: Option<&'a str>,
    details: Option<&'a RawValue>,
    hash: &'a str,
}

impl<'a> From<&'a AuditEntry> for View<'a> {
    fn from(entry: &'a AuditEntry) -> Self {
        Self {
            seq: entry.seq,
            at: entry.at,
            subject: entry.subject.text.as_deref(),
            action: &entry.action,
            target: entry.target.text.as_deref(),
            reason: entry.reason.text.as_deref(),
            request_id: entry.request_id.as_deref(),
            details: entry.details.text.as_deref().and_then(|text| serde_json::from_str(text).ok()),
            hash: &entry.hash,
        }
    }
}

#[derive(Serialize)]
struct HeadView<'a> {
    seq: i64,
    hash: &'a str,
}

#[derive(Serialize)]
struct PageView<'a> {
    entries: Vec<View<'a>>,
    head: HeadView<'a>,
}

/// `GET /api/audit`
pub async fn list(State(services): App, caller: Caller, mut params: Params) -> Result<Response, Problem> {
    caller.authorize_everywhere(Permission::ReadAudit).map_err(ServiceError::from)?;
    let after = params.number("after", 0..=GREATEST, 0);
    let limit = params.number("limit", 1..=1000, 100);
    params.finish()?;
    let page = services.audit.page(&caller, after, limit).await?;
    let (seq, hash) = (page.head.0, page.head.1.as_str());
    let view = PageView { entries: page.entries.iter().map(View::from).collect(), head: HeadView { seq, hash } };
    Ok(axum::Json(view).into_response())
}
