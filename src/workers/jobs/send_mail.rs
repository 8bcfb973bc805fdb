//! Sends a link to whoever it is for.

use super::{Context, Job, JobError, Next};
use crate::domain::job::SendMail;

impl Job for SendMail {
    /// About an hour, each time after twice as long: nobody waits for a link for longer.
    const ATTEMPTS: i64 = 12;

    async fn run(self, context: &Context) -> Result<Next<Self>, JobError> {
        let Some(postman) = &context.postman else { return Err("no receiver of messages is set".into()) };
        postman.send(&self).await?;
        Ok(Next::Done)
    }
}
