//! The contract of every port, one suite run over each of its backends.

mod contract {
    mod backends;
    mod databases;
    mod feed;
    mod ledger;
    mod outage;
    mod ranking;
    mod redis_server;
    mod standings;
    mod topology;
}
