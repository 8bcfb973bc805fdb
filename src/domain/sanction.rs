//! What is in force against a user: decisions that hide the user's entries, or ban the user's scores.

use super::time::Timestamp;

/// What one decision has brought into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sanction {
    /// `None`: on all leaderboards.
    pub leaderboard: Option<i64>,
    /// The user is in no ranking.
    pub hides: bool,
    /// The user's scores are refused.
    pub bans: bool,
    /// `None`: until it is taken back.
    pub until: Option<Timestamp>,
}

impl Sanction {
    fn is_in_force(&self, pk: i64, now: Timestamp) -> bool {
        self.leaderboard.is_none_or(|leaderboard| leaderboard == pk) && self.until.is_none_or(|until| now < until)
    }
}

/// All sanctions against one user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sanctions(pub Vec<Sanction>);

impl Sanctions {
    /// Whether they hide the user on this leaderboard.
    pub fn hide(&self, pk: i64, now: Timestamp) -> bool {
        self.0.iter().any(|sanction| sanction.hides && sanction.is_in_force(pk, now))
    }

    /// If they ban the user from one of these leaderboards: until when, `Some(None)` being for ever.
    pub fn ban(&self, pks: impl Iterator<Item = i64> + Clone, now: Timestamp) -> Option<Option<Timestamp>> {
        let bans = self.0.iter().filter(|sanction| sanction.bans);
        let in_force = bans.filter(|ban| pks.clone().any(|pk| ban.is_in_force(pk, now)));
        in_force.map(|ban| ban.until).reduce(|one, other| one.zip(other).map(|(one, other)| one.max(other)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_end_of_several_bans_counts() {
        let ban =
            |leaderboard, until: Option<i64>| Sanction { leaderboard, hides: false, bans: true, until: until.map(Timestamp) };
        let banned = |bans: &[Sanction], pks: &[i64]| Sanctions(bans.to_vec()).ban(pks.iter().copied(), Timestamp(10));
        assert_eq!(banned(&[ban(Some(1), Some(20)), ban(None, Some(30))], &[1]), Some(Some(Timestamp(30))));
        assert_eq!(banned(&[ban(Some(1), Some(20)), ban(None, None)], &[1]), Some(None));
        assert_eq!(banned(&[ban(Some(1), Some(20))], &[2, 1]), Some(Some(Timestamp(20))));
        assert_eq!(banned(&[ban(Some(1), Some(20))], &[2]), None);
        assert_eq!(banned(&[ban(Some(1), Some(10))], &[1]), None, "its end is not part of it");
    }

    #[test]
    fn what_hides_does_not_ban() {
        let hide = Sanctions(vec![Sanction { leaderboard: Some(1), hides: true, bans: false, until: None }]);
        assert!(hide.hide(1, Timestamp(0)) && !hide.hide(2, Timestamp(0)));
        assert_eq!(hide.ban([1].into_iter(), Timestamp(0)), None);
    }
}
