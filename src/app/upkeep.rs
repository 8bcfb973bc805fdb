//! The long-lived tasks beside those that serve requests.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::{
    domain::time::Clock,
    repositories::{feed::FeedMessage, ledger::Ledger},
    services::{
        accounts::mail::Postman, announcer::Announcer, backlog::Backlog, definitions::DefinitionCache, inspection::Inspection,
        moderation::Moderation, streams::Streams,
    },
    workers::{Workers, inspector, jobs, sweeper},
};

type Messages = Arc<tokio::sync::Mutex<mpsc::Receiver<FeedMessage>>>;

/// The long-lived tasks that maintain the stores, and those that follow the feed.
pub fn spawn(
    workers: &mut Workers,
    ledger: &Ledger,
    clock: &Clock,
    (streams, messages): (Arc<Streams>, Messages),
    (announcer, backlog, moderation, postman): (Arc<Announcer>, Arc<Backlog>, Arc<Moderation>, Option<Arc<Postman>>),
    inspection: Arc<Inspection>,
    definitions: &Arc<DefinitionCache>,
) {
    let (fed, swept, expiring, deleting) = (Arc::clone(&streams), Arc::clone(&streams), streams, Arc::clone(&announcer));
    workers.spawn("feed", move || Arc::clone(&fed).distribute(Arc::clone(&messages)));
    workers.spawn("stream sweep", move || Arc::clone(&swept).sweep());
    workers.spawn("stream tokens", move || Arc::clone(&expiring).expire());
    workers.spawn("outbox deletion", move || Arc::clone(&deleting).delete_announced());
    let (outbox, announcing, lacking, time) = (ledger.clone(), announcer, backlog, clock.clone());
    workers
        .spawn("outbox sweep", move || sweeper::run(outbox.clone(), Arc::clone(&announcing), Arc::clone(&lacking), time.clone()));
    let context = jobs::Context::new(ledger.clone(), clock.clone(), moderation, postman);
    for queue in jobs::PROMPT.into_iter().filter(|queue| context.serves(queue)) {
        let prompt = Arc::clone(&context);
        workers.spawn(queue, move || jobs::run_prompt(Arc::clone(&prompt), queue));
    }
    workers.spawn("jobs", move || jobs::run(Arc::clone(&context)));
    workers.spawn("inspection", move || inspector::run(Arc::clone(&inspection)));
    if ledger.is_shared() {
        let fresh = Arc::clone(definitions);
        workers.spawn("definitions", move || Arc::clone(&fresh).keep_fresh());
    }
}
