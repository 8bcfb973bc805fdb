//! What no client can cause from outside: the end of a hub's task in the middle of its work.

use std::{path::PathBuf, time::Duration};

use futures_util::StreamExt;

use crate::{
    domain::{
        caller::{Principal, Scope},
        ids::LeaderboardId,
        leaderboard::{LeaderboardSettings, Visibility},
        time::{Clock, Timestamp},
    },
    repositories::{
        ledger::{Ledger, LedgerSettings},
        memory::MemoryRanking,
    },
};

use super::*;
use crate::{
    config::tokens::TokenSettings,
    services::{
        api_keys::ApiKeys, backlog::Backlog, definitions::DefinitionCache, ranking_reader::RankingReader, rebuild::Rebuilder,
        tokens::Tokens, turns::Turns,
    },
};

/// Streams over embedded stores with one leaderboard.
struct Embedded {
    streams: Arc<Streams>,
    leaderboard: Leaderboard,
    directory: PathBuf,
}

impl Drop for Embedded {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.directory).ok();
    }
}

impl Embedded {
    async fn start() -> Self {
        let directory = std::env::temp_dir().join(format!("scoreboard-streams-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir_all(&directory).unwrap();
        let url = format!("sqlite://{}/ledger.db", directory.display());
        let ledger = Ledger::connect(&LedgerSettings { url, max_connections: 2, exclusive: true }).await.unwrap();
        ledger.migrate().await.unwrap();
        let (id, clock) = (LeaderboardId::parse("main").unwrap(), Clock::system());
        let leaderboard = ledger.create_leaderboard(&id, &LeaderboardSettings::named("main"), clock.now()).await.unwrap();
        let memory = MemoryRanking::new(100, Clock::system());
        let definitions = DefinitionCache::load(ledger.clone(), memory.clone()).await.unwrap();
        let backlog = Backlog::new(Arc::default());
        let rebuilder = Rebuilder::new(memory.clone(), ledger.clone(), clock.clone(), backlog);
        let turns = Arc::new(Turns::new(1));
        let keys = ApiKeys::new(ledger.clone(), Arc::clone(&definitions), clock.clone(), Arc::clone(&turns));
        let settings = TokenSettings { jwt_secret: Some("s".repeat(32)), ..TokenSettings::default() };
        let tokens = Tokens::configure(&settings, &directory).unwrap();
        let credentials = Arc::new(Credentials { tokens, keys: Arc::new(keys), sessions: None });
        let rankings = RankingReader::new(memory.clone(), ledger, Arc::clone(&rebuilder), Arc::default(), turns);
        let admission = Admission::new(admission::Caps { in_all: 10, per_address: 10, per_token: 10 });
        let sources = Sources { ranking_store: memory.clone(), feed: memory, rankings, rebuilder, definitions, clock };
        let streams = Streams::new(sources, credentials, admission);
        Self { streams, leaderboard, directory }
    }

    fn open(&self, view: View) -> EventStream {
        self.open_to(&Caller::ANONYMOUS, view)
    }

    fn open_to(&self, caller: &Caller, view: View) -> EventStream {
        let admitted = self.streams.admission.admit([127, 0, 0, 1].into(), None).ok().unwrap();
        self.streams.open(caller, Watched::One(Box::new(self.leaderboard.clone()), view), None, admitted)
    }
}

/// Reads until the output contains this text, or to the end if there is none.
async fn read(stream: &mut EventStream, until: Option<&str>) -> String {
    let mut read = String::new();
    let reading = async {
        while !until.is_some_and(|text| read.contains(text)) {
            let Some(bytes) = stream.next().await else { break };
            read.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reading).await.expect("the stream says or ends it");
    read
}

#[tokio::test]
async fn a_hub_that_breaks_ends_its_streams_and_the_next_ones_get_another() {
    let app = Embedded::start().await;
    let views = [View::Events { limit: 10, resume: None }, View::Top { limit: 10, hz: 20, latest: 0 }];
    let mut streams: Vec<_> = views.iter().map(|view| app.open(view.clone())).collect();
    for stream in &mut streams {
        read(stream, Some("event: leaderboard\n")).await;
    }
    // Aborting drops the task's state just as a panic does.
    app.streams.hubs.lock().values().for_each(|followed| followed.task.abort());
    for stream in &mut streams {
        read(stream, None).await;
    }
    for view in views {
        read(&mut app.open(view), Some("event: leaderboard\n")).await;
    }
}

#[tokio::test]
async fn a_hub_of_a_leaderboard_made_private_admits_only_checked_connections() {
    let app = Embedded::start().await;
    let view = View::Events { limit: 10, resume: None };
    let mut before = app.open(view.clone());
    read(&mut before, Some("event: leaderboard\n")).await;
    let newer = Timestamp(app.leaderboard.updated_at.0 + 1);
    let hubs: Vec<_> = app.streams.hubs.lock().values().map(|followed| Arc::clone(&followed.hub)).collect();
    hubs.iter().for_each(|hub| hub.adopt_access(Visibility::Private, newer, true));
    for stream in [&mut before, &mut app.open(view.clone())] {
        let shown = read(stream, None).await;
        assert_eq!(shown.matches("event: ").count(), 1, "{shown}");
        assert!(shown.contains("event: closed\ndata: {\"reason\":\"private\"}\nretry: "), "{shown}");
    }

    let reader = Principal {
        subject: "reader".into(),
        expires: u64::MAX / 2_000_000,
        scopes: [Scope::LeaderboardsRead].into_iter().collect(),
        leaderboards: None,
        credential: Credential::Token,
    };
    let mut stream = app.open_to(&Caller::Principal(Arc::new(reader), None), view);
    read(&mut stream, Some("event: leaderboard\n")).await;
}
