//! The Lua scripts, each with the preludes it needs, and their hashes. Used only by `redis`.

use std::sync::LazyLock;

use fred::util::sha1_hash;

/// A script as the server caches it.
pub(in crate::repositories) struct Script {
    pub source: &'static str,
    /// SHA-1 in hex: how `EVALSHA` names it.
    pub sha: String,
}

macro_rules! scripts {
    ($($name:ident = $($file:literal)+;)+) => {
        $(pub(in crate::repositories) static $name: LazyLock<Script> = LazyLock::new(|| {
            let source = concat!($(include_str!($file), "\n"),+);
            Script { source, sha: sha1_hash(source) }
        });)+
    };
}

scripts! {
    APPLY = "ready.lua" "tell.lua" "apply.lua";
    PUBLISH = "ready.lua" "tell.lua" "publish.lua";
    TURN = "ready.lua" "tell.lua" "turn.lua";
    DELETE = "ready.lua" "delete.lua";
    RENAME = "ready.lua" "tell.lua" "rename.lua";
    WINDOW = "ready.lua" "rows.lua" "window.lua";
    NEIGHBOURHOODS = "ready.lua" "rows.lua" "neighbourhoods.lua";
    BEGIN = "ready.lua" "begin.lua";
    LOAD = "load.lua";
    FINISH = "finish.lua";
    HISTORY = "ready.lua" "history.lua";
    SURVEY = "ready.lua" "survey.lua";
    HOLD = "hold.lua";
    DEFINITIONS = "definitions.lua";
    WATCHERS = "watchers.lua";
}
