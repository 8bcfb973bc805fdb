//! The tables as diesel sees them: one schema for both engines, written by hand and limited to types that both map alike (times
//! are microseconds in `BigInt`, ids `Text` or 16-byte `Binary`). `migrations/postgres` documents each column.

mod keys;
mod people;

pub use keys::{api_key_changes, api_keys};
pub use people::*;

diesel::table! {
    installation (singleton) {
        singleton -> Bool,
        id -> Text,
        definitions_revision -> BigInt,
        leaderboards_made -> BigInt,
        home -> Nullable<Text>,
    }
}

diesel::table! {
    leaderboards (pk) {
        pk -> BigInt,
        id -> Text,
        name -> Text,
        description -> Text,
        sort_order -> Text,
        operator -> Text,
        unit -> Text,
        visibility -> Text,
        reset_schedule -> Nullable<Text>,
        timezone -> Text,
        frozen -> Bool,
        season -> BigInt,
        revision -> BigInt,
        created_at -> BigInt,
        updated_at -> BigInt,
        epoch -> BigInt,
        bounds_min -> Nullable<BigInt>,
        bounds_max -> Nullable<BigInt>,
        on_exceed -> Nullable<Text>,
        season_starts_at -> Nullable<BigInt>,
        next_boundary_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    seasons (leaderboard_pk, season) {
        leaderboard_pk -> BigInt,
        season -> BigInt,
        name -> Nullable<Text>,
        cause -> Text,
        starts_at -> BigInt,
        ends_at -> Nullable<BigInt>,
        sort_order -> Nullable<Text>,
        operator -> Nullable<Text>,
        bounds_min -> Nullable<BigInt>,
        bounds_max -> Nullable<BigInt>,
        on_exceed -> Nullable<Text>,
        skipped -> BigInt,
        corrections -> BigInt,
        total -> Nullable<BigInt>,
        digest -> Nullable<Text>,
        finalized_at -> Nullable<BigInt>,
        revised_at -> Nullable<BigInt>,
        archived -> BigInt,
    }
}

diesel::table! {
    season_marks (leaderboard_pk, season, number) {
        leaderboard_pk -> BigInt,
        season -> BigInt,
        number -> BigInt,
        ahead -> BigInt,
        sort_score -> BigInt,
        reached_at -> BigInt,
        user_id -> Text,
    }
}

diesel::table! {
    actions (id) {
        id -> Text,
        name -> Text,
        points -> Nullable<BigInt>,
        value_min -> Nullable<BigInt>,
        value_max -> Nullable<BigInt>,
        cooldown_seconds -> BigInt,
        limit_count -> Nullable<BigInt>,
        limit_per_seconds -> Nullable<BigInt>,
        self_service -> Bool,
        enabled -> Bool,
        created_at -> BigInt,
        updated_at -> BigInt,
        review -> Nullable<Text>,
        run -> Nullable<Text>,
    }
}

diesel::table! {
    action_leaderboards (action_id, position) {
        action_id -> Text,
        position -> BigInt,
        leaderboard_id -> Text,
    }
}

diesel::table! {
    users (id) {
        id -> Text,
        display_name -> Nullable<Text>,
        avatar_url -> Nullable<Text>,
        country -> Nullable<Text>,
        metadata -> Nullable<Text>,
        revision -> BigInt,
        created_at -> BigInt,
        updated_at -> BigInt,
        sanctioned -> Bool,
        name_locked -> Bool,
    }
}

diesel::table! {
    user_search (user_id, folded) {
        user_id -> Text,
        folded -> Text,
    }
}

diesel::table! {
    entries (leaderboard_pk, season, user_id) {
        leaderboard_pk -> BigInt,
        season -> BigInt,
        score -> BigInt,
        sort_score -> BigInt,
        reached_at -> BigInt,
        revision -> BigInt,
        user_id -> Text,
        hidden -> Bool,
    }
}

diesel::table! {
    score_events (event_id, position) {
        event_id -> Binary,
        position -> BigInt,
        leaderboard_pk -> BigInt,
        season -> BigInt,
        value -> Nullable<BigInt>,
        delta -> BigInt,
        previous_score -> Nullable<BigInt>,
        new_score -> BigInt,
        revision -> BigInt,
        at -> BigInt,
        applied -> Bool,
        limited -> Bool,
        user_id -> Text,
        leaderboard_id -> Text,
        action_id -> Text,
        subject -> Text,
        metadata -> Nullable<Text>,
        points -> Nullable<BigInt>,
        kind -> Nullable<Text>,
    }
}

diesel::table! {
    idempotency_keys (subject, key) {
        event_id -> Binary,
        created_at -> BigInt,
        subject -> Text,
        key -> Text,
        fingerprint -> Binary,
        receipt -> Nullable<Text>,
        receipt_batch -> Nullable<Binary>,
    }
}

diesel::table! {
    receipt_batches (id) {
        id -> Binary,
        receipts -> Nullable<Binary>,
    }
}

diesel::table! {
    receipts (event_id) {
        event_id -> Binary,
        body -> Text,
    }
}

diesel::table! {
    deleted_leaderboards (pk) {
        pk -> BigInt,
        swept_to -> Binary,
    }
}

diesel::table! {
    outbox (id) {
        id -> BigInt,
        created_at -> BigInt,
        claimed_until -> BigInt,
        payload -> Text,
        attempts -> BigInt,
    }
}

diesel::table! {
    definition_changes (revision, kind, id) {
        revision -> BigInt,
        stamp -> BigInt,
        kind -> Text,
        id -> Text,
    }
}

diesel::table! {
    corrections (event_id) {
        event_id -> Binary,
        leaderboard_pk -> BigInt,
        season -> BigInt,
        user_id -> Text,
        revision -> BigInt,
        previous_score -> Nullable<BigInt>,
        new_score -> Nullable<BigInt>,
        at -> BigInt,
        cause -> Text,
        subject -> Text,
        silent -> Bool,
    }
}

diesel::table! {
    decisions (id) {
        id -> Binary,
        seq -> BigInt,
        #[sql_name = "type"]
        kind -> Text,
        reason -> Text,
        subject -> Text,
        at -> BigInt,
        until -> Nullable<BigInt>,
        ended_at -> Nullable<BigInt>,
        request -> Text,
        undo -> Nullable<Text>,
        entries -> Text,
    }
}

diesel::table! {
    decision_users (user_id, decision_id) {
        user_id -> Text,
        decision_id -> Binary,
    }
}

diesel::table! {
    sanctions (decision_id) {
        decision_id -> Binary,
        user_id -> Text,
        leaderboard_pk -> Nullable<BigInt>,
        hides -> Bool,
        bans -> Bool,
        until -> Nullable<BigInt>,
    }
}

diesel::table! {
    withheld_events (event_id, decision_id) {
        event_id -> Binary,
        decision_id -> Binary,
        reason -> Text,
    }
}

diesel::table! {
    reviews (event_id, position) {
        event_id -> Binary,
        position -> BigInt,
        leaderboard_pk -> BigInt,
        season -> BigInt,
        user_id -> Text,
        state -> Text,
        tripped -> Text,
        reason -> Nullable<Text>,
        subject -> Nullable<Text>,
        judged_at -> Nullable<BigInt>,
        display_name -> Nullable<Text>,
    }
}

diesel::table! {
    silent_events (event_id, leaderboard_pk) {
        event_id -> Binary,
        leaderboard_pk -> BigInt,
    }
}

diesel::table! {
    jobs (id) {
        id -> BigInt,
        queue -> Text,
        key -> Text,
        payload -> Text,
        noted_at -> BigInt,
        due_at -> BigInt,
        lease -> BigInt,
        attempts -> BigInt,
        last_error -> Nullable<Text>,
        dead -> Bool,
    }
}

diesel::table! {
    audit (seq) {
        seq -> BigInt,
        at -> BigInt,
        action -> Text,
        request_id -> Nullable<Text>,
        subject -> Nullable<Text>,
        subject_digest -> Nullable<Text>,
        target -> Nullable<Text>,
        target_digest -> Nullable<Text>,
        reason -> Nullable<Text>,
        reason_digest -> Nullable<Text>,
        details -> Nullable<Text>,
        details_digest -> Nullable<Text>,
        salt -> Nullable<Text>,
        hash -> Text,
    }
}

diesel::table! {
    ranking_claims (id) {
        id -> BigInt,
        token -> Text,
        timeline -> Text,
    }
}

diesel::allow_tables_to_appear_in_same_query!(leaderboards, entries, users, score_events, corrections, seasons);
diesel::allow_tables_to_appear_in_same_query!(score_events, withheld_events);
diesel::allow_tables_to_appear_in_same_query!(score_events, silent_events);
diesel::allow_tables_to_appear_in_same_query!(score_events, reviews);
diesel::allow_tables_to_appear_in_same_query!(leaderboards, reviews);
diesel::allow_tables_to_appear_in_same_query!(decisions, decision_users);
diesel::allow_tables_to_appear_in_same_query!(idempotency_keys, receipt_batches, receipts);
diesel::allow_tables_to_appear_in_same_query!(idempotency_keys, score_events);
