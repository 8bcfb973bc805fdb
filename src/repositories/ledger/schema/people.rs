//! The tables of accounts, their sessions, and of those who try to sign in.

diesel::table! {
    accounts (id) {
        id -> Text,
        login -> Nullable<Text>,
        password -> Nullable<Text>,
        device_hash -> Nullable<Binary>,
        roles -> Text,
        disabled -> Bool,
        asked_at -> Nullable<BigInt>,
        created_at -> BigInt,
        updated_at -> BigInt,
    }
}

diesel::table! {
    account_identities (issuer, subject) {
        issuer -> Text,
        subject -> Text,
        account_id -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    sessions (id) {
        id -> Binary,
        account_id -> Text,
        user_agent -> Nullable<Text>,
        generation -> BigInt,
        token_hash -> Binary,
        previous_hash -> Nullable<Binary>,
        created_at -> BigInt,
        last_used_at -> BigInt,
        expires_at -> BigInt,
    }
}

diesel::table! {
    ended_sessions (seq) {
        seq -> BigInt,
        session_id -> Binary,
        at -> BigInt,
    }
}

diesel::table! {
    account_links (token_hash) {
        token_hash -> Binary,
        kind -> Text,
        account_id -> Nullable<Text>,
        login -> Nullable<Text>,
        roles -> Text,
        created_at -> BigInt,
        expires_at -> BigInt,
        used_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    sign_in_counts (key) {
        key -> Binary,
        failures -> BigInt,
        wait_until -> BigInt,
        known -> Bool,
        expires_at -> BigInt,
    }
}

diesel::table! {
    guest_arrivals (id) {
        id -> BigInt,
        address -> Binary,
        at -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(accounts, account_identities);
