//! Whether the credential that a submission was sent with is still good when it is committed.

use super::{
    super::{
        caller::{Credential, KeyUse, Scope},
        definition::Definitions,
        submission::{Refusal, Submission},
        time::Clock,
    },
    State,
};

/// Judges the credential by the ledger's present state, whatever the instance knew that accepted it.
pub fn judge(submission: &Submission, definitions: &Definitions, state: &State, clock: &Clock) -> Result<(), Refusal> {
    match &submission.credential {
        Credential::Token => Ok(()),
        Credential::Key(key) => judge_key(key, submission, definitions, state, clock),
        Credential::Session(session) if state.live_sessions.contains(session) => Ok(()),
        // Of an account that was erased, a score would bring the user back.
        Credential::Session(_) => Err(Refusal::SessionEnded),
    }
}

/// Judges the API key that the submission was sent with: a key that was deleted or changed since allows nothing any more.
fn judge_key(
    used: &KeyUse,
    submission: &Submission,
    definitions: &Definitions,
    state: &State,
    clock: &Clock,
) -> Result<(), Refusal> {
    let at = state.ledger_time.unwrap_or_else(|| clock.now());
    let holder = definitions.key(used.id.as_str()).and_then(|key| key.holder(&used.secret, at)).ok_or(Refusal::KeyEnded)?;
    let scope = if submission.self_service_only { Scope::ScoresSelf } else { Scope::ScoresWrite };
    if !holder.scopes.has(scope) {
        return Err(Refusal::KeyLacksScope);
    }
    let action = definitions.action(submission.action_id.as_str());
    let other = action.is_some_and(|action| action.settings.leaderboards.iter().any(|id| holder.is_kept_from(id.as_str())));
    if other { Err(Refusal::KeyBound) } else { Ok(()) }
}
