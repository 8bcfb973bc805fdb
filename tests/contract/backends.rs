//! The backends that the suites of the ranking and the feed run over.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use scoreboard::domain::time::Clock;
use scoreboard::repositories::{
    feed::Feed,
    memory::MemoryRanking,
    ranking_store::RankingStore,
    redis::{RedisSettings, RedisStore},
};

/// One instance's view of a backend.
pub struct Store {
    pub standings: Arc<dyn RankingStore>,
    pub feed: Arc<dyn Feed>,
}

/// Where stores come from; all stores of one backend share their rankings.
pub enum Backend {
    Memory(Arc<MemoryRanking>),
    Redis { settings: RedisSettings, installation: String },
}

impl Backend {
    pub fn memory(stream_history: u64) -> Self {
        Self::Memory(MemoryRanking::new(stream_history, Clock::system()))
    }

    /// The Redis that all tests share, under a prefix of this test's own.
    pub fn redis(stream_history: u64) -> Self {
        let url = std::env::var("TEST_REDIS_URL").expect("TEST_REDIS_URL names the Redis to test with: use `make test`");
        Self::redis_at(url, stream_history)
    }

    pub fn redis_at(url: String, stream_history: u64) -> Self {
        Self::Redis { settings: RedisSettings { url, stream_history }, installation: uuid::Uuid::new_v4().simple().to_string() }
    }

    /// The same installation on another Redis.
    pub fn moved_to(&self, url: String) -> Self {
        match self {
            Self::Memory(_) => panic!("the ranking in process cannot move"),
            Self::Redis { settings, installation } => Self::Redis {
                settings: RedisSettings { url, stream_history: settings.stream_history },
                installation: installation.clone(),
            },
        }
    }

    /// Another instance. In process there is only one.
    pub async fn store(&self) -> Store {
        match self {
            Self::Memory(ranking) => Store { standings: ranking.clone(), feed: ranking.clone() },
            Self::Redis { .. } => {
                let store = self.connect();
                assert!(store.connected_within(Duration::from_secs(10)).await, "the Redis to test with does not answer");
                Store { standings: store.clone(), feed: store }
            }
        }
    }

    /// Another instance on Redis, which may not be there yet.
    pub fn connect(&self) -> Arc<RedisStore> {
        match self {
            Self::Memory(_) => panic!("the ranking in process has no connection"),
            Self::Redis { settings, installation } => {
                RedisStore::connect(settings, installation, Clock::system()).expect("a usable URL")
            }
        }
    }

    /// The name of one of a board's keys, for tests that go behind the store's back.
    pub fn key(&self, pk: i64, suffix: &str) -> String {
        match self {
            Self::Memory(_) => panic!("the ranking in process has no keys"),
            Self::Redis { installation, .. } => format!("sb:{}:{{{pk}}}:{suffix}", &installation[..8]),
        }
    }
}

/// A board's key that no other test of this process uses.
pub fn fresh_pk() -> i64 {
    static NEXT: LazyLock<AtomicI64> = LazyLock::new(|| AtomicI64::new(1));
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Makes a test of each function on each backend.
macro_rules! on_each_backend {
    ($($test:ident)+) => {
        mod memory {
            use crate::contract::backends::Backend;
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() { super::$test(Backend::memory(super::HISTORY)).await })+
        }
        mod redis {
            use crate::contract::backends::Backend;
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() { super::$test(Backend::redis(super::HISTORY)).await })+
        }
    };
}
pub(super) use on_each_backend;
