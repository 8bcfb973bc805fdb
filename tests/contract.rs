//! One suite per port, run on every implementation of it.

mod contract {
    mod databases;
    mod ledger;
}
