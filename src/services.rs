//! Decisions and the order of effects: what a request may do, what is written, and what is announced afterwards. Knows no HTTP,
//! no SQL and no Redis.

pub mod accounts;
pub mod actions;
pub mod announcer;
pub mod api_keys;
pub mod archive;
pub mod audit;
pub mod backlog;
pub mod boundaries;
pub mod census;
pub mod changes;
pub mod credentials;
pub mod definitions;
pub mod encoded;
pub mod entry_reads;
pub mod error;
pub mod health;
pub mod hidden;
pub mod history;
pub mod identity_providers;
pub mod inspection;
pub mod latest;
pub mod leaderboards;
pub mod moderation;
pub mod passwords;
pub mod ranking_reader;
pub mod rebuild;
pub mod receipts;
pub mod reviews;
pub mod runs;
pub mod scores;
pub mod search;
pub mod seasons;
pub mod secrets;
pub mod sessions;
pub mod streams;
pub mod tenure;
pub mod tokens;
pub mod top_cache;
pub mod turns;
pub mod users;
pub mod views;

use std::sync::Arc;

/// The services behind the API. Every method that acts on somebody's behalf takes the [`Caller`](crate::domain::caller::Caller)
/// as its first argument and decides whether the caller may.
pub struct Services {
    pub credentials: Arc<credentials::Credentials>,
    pub api_keys: Arc<api_keys::ApiKeys>,
    /// Where there are accounts.
    pub accounts: Option<Arc<accounts::Accounts>>,
    pub leaderboards: leaderboards::Leaderboards,
    pub actions: actions::Actions,
    pub search: search::Search,
    pub users: users::Users,
    pub moderation: Arc<moderation::Moderation>,
    pub reviews: reviews::Reviews,
    pub runs: runs::Runs,
    pub audit: audit::Audit,
    pub scores: Arc<scores::Scores>,
    pub seasons: Arc<seasons::Seasons>,
    pub history: history::History,
    pub hidden: hidden::Hidden,
    pub latest: latest::LatestScores,
    pub rankings: Arc<ranking_reader::RankingReader>,
    pub tops: Arc<top_cache::TopCache>,
    pub streams: Arc<streams::Streams>,
    pub health: health::Health,
    /// The leaderboard that the short paths refer to.
    pub default_leaderboard: String,
}
