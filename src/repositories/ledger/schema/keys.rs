//! API keys.

diesel::table! {
    api_keys (id) {
        id -> Text,
        name -> Text,
        scopes -> Text,
        leaderboards -> Nullable<Text>,
        expires_at -> Nullable<BigInt>,
        per_second -> Nullable<BigInt>,
        burst -> Nullable<BigInt>,
        secret -> Binary,
        former_secret -> Nullable<Binary>,
        former_until -> Nullable<BigInt>,
        created_at -> BigInt,
        last_used_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    api_key_changes (revision, id) {
        revision -> BigInt,
        stamp -> BigInt,
        id -> Text,
    }
}
