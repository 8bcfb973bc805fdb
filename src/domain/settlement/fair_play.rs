//! Fair play in a batch: what a submission trips, and whether its run took its time.

use super::{
    super::{
        action::ActionSettings,
        review::{GAIN_EVENTS, Trip},
        run::{self, LONGEST_RUN},
        submission::{Accepted, Refusal, Submission},
        time::Timestamp,
    },
    State,
};

/// What the submission trips; empty if it counts at once.
pub fn tripped(submission: &Submission, action: &ActionSettings, points: i64, now: Timestamp, state: &State) -> Vec<Trip> {
    let Some(rule) = &action.review else { return Vec::new() };
    let key = (submission.user_id.clone(), submission.action_id.clone());
    let past = state.gains.get(&key).map_or(&[][..], Vec::as_slice);
    rule.trips(points, now, past, state.known_since.get(&submission.user_id).copied())
}

/// Refuses a submission without the run that its action asks for, or whose run was not as long as it has to be. A run is worth
/// something for a day whatever the action says: its token is not remembered for ever.
pub fn judge_run(submission: &Submission, action: &ActionSettings, points: i64, now: Timestamp) -> Result<(), Refusal> {
    match (submission.run, &action.run) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(Refusal::RunRequired),
        (Some(began), None) => run::within(LONGEST_RUN, began, now).map_err(Refusal::Run),
        (Some(began), Some(rule)) => rule.judge(began, now, points).map_err(Refusal::Run),
    }
}

/// Remembers an accepted submission for those that follow in the batch.
pub fn remember(submission: &Submission, accepted: &Accepted, action: &ActionSettings, state: &mut State) {
    let Some(rule) = &action.review else { return };
    state.known_since.entry(accepted.user_id.clone()).or_insert(accepted.at);
    if rule.gain.is_some()
        && let Ok(points) = action.points.of(submission.value)
        && points != 0
    {
        let past = state.gains.entry((accepted.user_id.clone(), accepted.action_id.clone())).or_default();
        past.insert(0, (accepted.at, points));
        past.truncate(GAIN_EVENTS as usize);
    }
}
