//! Users who are hidden: who comes back is not shown again what was told of them before.

use std::collections::HashMap;

use super::Log;

impl Log {
    /// If the newest frame hides a user: notes the last one before it that shows the user, or the result of a season.
    pub(super) fn note_hidden(&mut self) {
        let Some(user) = self.frames.back().filter(|frame| frame.hides).and_then(|frame| frame.about) else { return };
        let before = self.frames.len() - 1;
        let shows = self.frames.range(..before).rposition(|frame| frame.about == Some(user) || frame.ends.is_some());
        if let Some(index) = shows {
            self.hidden_until = self.hidden_until.max(self.first + index as u64);
        }
    }

    /// The same for all frames, after older ones have come.
    pub(super) fn find_hidden(&mut self) {
        // What the newest frame about a user says: whether the user is hidden.
        let mut hidden: HashMap<u64, bool> = HashMap::new();
        for (index, frame) in self.frames.iter().enumerate().rev() {
            let shows = match frame.about {
                Some(user) => {
                    let newest = !hidden.contains_key(&user);
                    *hidden.entry(user).or_insert(frame.hides) && !newest
                }
                None => frame.ends.is_some() && hidden.values().any(|hidden| *hidden),
            };
            if shows {
                self.hidden_until = self.hidden_until.max(self.first + index as u64);
                return;
            }
        }
    }
}
