//! What each family of metrics means, as `# HELP` in `/metrics`. The telemetry of the process installs it once.

use metrics::{describe_counter, describe_gauge, describe_histogram};

const COUNTERS: [(&str, &str); 28] = [
    ("scoreboard_announcements_deferred_total", "Changes left to the sweeper because the ranking was out of reach or busy."),
    ("scoreboard_breaker_trips_total", "Times that a store was taken for unreachable, by store."),
    ("scoreboard_commit_races_total", "Commits repeated because another instance had written the same rows."),
    ("scoreboard_connections_evicted_total", "Idle connections ended because their place was needed."),
    ("scoreboard_connections_refused_total", "Connections refused because their address had as many as it may."),
    ("scoreboard_feed_gaps_total", "Gaps in the feed that were filled from the history."),
    ("scoreboard_feed_holes_total", "Positions of the feed that did not arrive in order."),
    ("scoreboard_feed_losses_total", "Times that the feed's connection was lost."),
    ("scoreboard_job_runs_total", "Runs of durable jobs, by queue and outcome (done, again, failed, dead)."),
    ("scoreboard_ledger_reads_refused_total", "Reads of the ledger refused because too many were waiting."),
    ("scoreboard_outbox_swept_total", "Pending changes that the sweeper announced."),
    ("scoreboard_passwords_refused_total", "Passwords not looked at because too many were waiting."),
    ("scoreboard_ranking_divergences_total", "Times that a ranking was found to differ from the ledger."),
    ("scoreboard_ranking_rebuilds_total", "Rankings rebuilt from the ledger."),
    ("scoreboard_reads_past_router_total", "Reads served by the fast path."),
    (
        "scoreboard_requests_refused_total",
        "Requests refused because unsent answers occupied the memory of their address or of all.",
    ),
    ("scoreboard_reviews_judged_total", "Verdicts on suspicious scores, by the state that they left (approved, rejected)."),
    ("scoreboard_reviews_opened_total", "Suspicious scores that this instance withheld."),
    ("scoreboard_season_boundaries_total", "Scheduled ends of seasons that this instance carried out, one for each leaderboard."),
    ("scoreboard_sessions_reused_total", "Sessions ended because a refresh token was used again."),
    ("scoreboard_sign_in_failures_total", "Failures to sign in, by an unknown login or a wrong password."),
    ("scoreboard_stream_deliveries_total", "Events delivered to streams."),
    ("scoreboard_stream_events_total", "Events prepared for streams."),
    ("scoreboard_stream_resets_total", "Streams moved to a fresh snapshot, by reason."),
    ("scoreboard_stream_writes_total", "Writes to the connections of streams."),
    ("scoreboard_streams_refused_total", "Streams refused, by whose limit was reached."),
    ("scoreboard_submissions_rejected_total", "Submissions refused before they were tried, by reason."),
    ("scoreboard_task_restarts_total", "Background tasks started again after a panic, by task."),
];
const GAUGES: [(&str, &str); 5] = [
    ("scoreboard_build_info", "Always 1: which program this is, by its version and build profile."),
    ("scoreboard_jobs", "Durable jobs in the ledger, by queue and state (due, running, dead); every instance tells the same."),
    ("scoreboard_leaderboards_followed", "Leaderboards whose feed this instance follows."),
    ("scoreboard_reviews_pending", "Suspicious scores that wait for a moderator, up to 100,000; every instance tells the same."),
    ("scoreboard_streams_open", "Open streams."),
];
const HISTOGRAMS: [(&str, &str); 7] = [
    ("http_request_duration_seconds", "Time from a request's head to its answer's head, by method, route and status."),
    ("scoreboard_announce_seconds", "Time to announce a batch of committed scores."),
    ("scoreboard_commit_batch_size", "Submissions in a commit."),
    ("scoreboard_commit_seconds", "Time to commit a batch of scores."),
    ("scoreboard_commit_wait_seconds", "Time that the oldest submission of a batch waited for its commit."),
    ("scoreboard_job_seconds", "Time of a durable job's run, by queue."),
    ("scoreboard_stream_lag_seconds", "Time from a score's commit to its delivery to streams."),
];

/// Counters that have labels: their series begin with the first event.
const LABELLED: [&str; 7] = [
    "scoreboard_breaker_trips_total",
    "scoreboard_job_runs_total",
    "scoreboard_reviews_judged_total",
    "scoreboard_stream_resets_total",
    "scoreboard_streams_refused_total",
    "scoreboard_submissions_rejected_total",
    "scoreboard_task_restarts_total",
];

/// Describes every family to the installed recorder, including those of the operating system's view of the process.
pub(super) fn describe() {
    metrics_process::Collector::default().describe();
    for (name, help) in COUNTERS {
        describe_counter!(name, help);
        if !LABELLED.contains(&name) {
            // From nothing to one is an increase only for what was there before.
            metrics::counter!(name).increment(0);
        }
    }
    for (name, help) in GAUGES {
        describe_gauge!(name, help);
    }
    for (name, help) in HISTOGRAMS {
        describe_histogram!(name, help);
    }
}
