//! The contract of every port, one suite run over each of its backends.

mod contract {
    mod backends;
    mod databases;
    mod definitions;
    mod feed;
    mod ledger;
    mod order;
    mod outage;
    mod pooler;
    mod ports;
    mod ranking;
    mod ranking_store;
    mod rebuild;
    mod redis_server;
    mod refusals;
    mod seasons;
    mod silent;
    mod topology;
}
