//! The Premier League season 2015/16, the one Leicester City won, and the first matches of the next one: the scores that
//! `scoreboard demo` plays back.
//!
//! `premier-league-2015-16.json` and `premier-league-2016-17.json` hold the results as public-domain facts from openfootball
//! (<https://github.com/openfootball>), one match a line by date. One date differs from that source: Manchester United
//! against Bournemouth stood there on its first date, 15 May 2016, and was played on 17 May.
//!
//! A leaderboard ranks by points and then by who reached them first, the league by points, goal difference and goals.
//! The source knows the day of a match and not its hour, so the order within a day is free: the widest win goes first,
//! which is the day's own goal difference. With it the final leaderboard is the true final table, all twenty places.

use std::cmp::Reverse;

use serde::Deserialize;

const RESULTS: &str = include_str!("premier-league-2015-16.json");
const NEXT_RESULTS: &str = include_str!("premier-league-2016-17.json");

/// One match that was played to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Match {
    /// The day it was played, as `YYYY-MM-DD`.
    pub date: &'static str,
    pub home: &'static str,
    pub away: &'static str,
    /// Goals of the home team, goals of the away team.
    pub goals: [u8; 2],
}

/// What a match was to one of its two teams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Win,
    Draw,
    Loss,
}

impl Outcome {
    /// The id of the action that scores this outcome.
    pub fn action_id(self) -> &'static str {
        match self {
            Outcome::Win => "win",
            Outcome::Draw => "draw",
            Outcome::Loss => "loss",
        }
    }

    /// Points in the table.
    pub fn points(self) -> i64 {
        match self {
            Outcome::Win => 3,
            Outcome::Draw => 1,
            Outcome::Loss => 0,
        }
    }
}

impl Match {
    /// Both teams with their outcome, in the order they are to be posted: home, then away.
    pub fn outcomes(&self) -> [(&'static str, Outcome); 2] {
        let [home, away] = match self.goals {
            [h, a] if h > a => [Outcome::Win, Outcome::Loss],
            [h, a] if h < a => [Outcome::Loss, Outcome::Win],
            _ => [Outcome::Draw, Outcome::Draw],
        };
        [(self.home, home), (self.away, away)]
    }

    fn margin(&self) -> u8 {
        self.goals[0].abs_diff(self.goals[1])
    }
}

/// All 380 matches of 2015/16 in playing order: by date, the widest win of a day first.
pub fn season() -> Vec<Match> {
    in_playing_order(RESULTS)
}

/// The first match of each team in 2016/17.
pub fn next_season() -> Vec<Match> {
    in_playing_order(NEXT_RESULTS)
}

fn in_playing_order(results: &'static str) -> Vec<Match> {
    let mut matches: Vec<Match> = serde_json::from_str(results).expect("the results are part of the program");
    matches.sort_by_key(|played| (played.date, Reverse(played.margin())));
    matches
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// The table by the league's rule: points, goal difference, goals.
    fn true_table(matches: &[Match]) -> Vec<(&'static str, i64)> {
        let mut rows: BTreeMap<&str, (i64, i64, i64)> = BTreeMap::new();
        for played in matches {
            let [home, away] = played.goals.map(i64::from);
            let goals = [(home, away), (away, home)];
            for ((team, outcome), (scored, conceded)) in played.outcomes().into_iter().zip(goals) {
                let row = rows.entry(team).or_default();
                row.0 += outcome.points();
                row.1 += scored - conceded;
                row.2 += scored;
            }
        }
        let mut rows: Vec<_> = rows.into_iter().collect();
        rows.sort_by_key(|(_, standing)| Reverse(*standing));
        rows.into_iter().map(|(team, (points, ..))| (team, points)).collect()
    }

    /// The table by a leaderboard's rule: points, then who reached them first. A result without points moves nobody,
    /// except that the first one makes the entry.
    fn leaderboard(matches: &[Match]) -> Vec<(&'static str, i64)> {
        let mut rows: BTreeMap<&str, (i64, usize)> = BTreeMap::new();
        for (moment, (team, outcome)) in matches.iter().flat_map(Match::outcomes).enumerate() {
            let row = rows.entry(team).or_insert((0, moment));
            if outcome.points() != 0 {
                *row = (row.0 + outcome.points(), moment);
            }
        }
        let mut rows: Vec<_> = rows.into_iter().collect();
        rows.sort_by_key(|(_, (points, reached))| (Reverse(*points), *reached));
        rows.into_iter().map(|(team, (points, _))| (team, points)).collect()
    }

    #[test]
    fn every_team_meets_every_other_twice() {
        let matches = season();
        let pairings: BTreeSet<_> = matches.iter().map(|played| (played.home, played.away)).collect();
        assert_eq!(matches.len(), 380);
        assert_eq!(pairings.len(), 380);
        assert!(pairings.iter().all(|(home, away)| home != away));
    }

    #[test]
    fn matches_come_in_the_order_they_were_played() {
        let matches = [season(), next_season()].concat();
        assert!(matches.is_sorted_by_key(|played| played.date));
    }

    #[test]
    fn the_next_season_begins_with_a_match_of_each_team() {
        let teams: BTreeSet<_> = next_season().iter().flat_map(Match::outcomes).map(|(team, _)| team).collect();
        assert_eq!((next_season().len(), teams.len()), (10, 20));
        let stayed = season().iter().map(|played| played.home).collect::<BTreeSet<_>>();
        assert_eq!(teams.difference(&stayed).collect::<Vec<_>>(), [&"Burnley", &"Hull City", &"Middlesbrough"]);
    }

    #[test]
    fn the_final_leaderboard_is_the_true_final_table() {
        let matches = season();
        assert_eq!(leaderboard(&matches), true_table(&matches));
    }

    #[test]
    fn leicester_city_wins_the_season_with_81_points() {
        let table = leaderboard(&season());
        assert_eq!(table.len(), 20);
        assert_eq!(table[..3], [("Leicester City", 81), ("Arsenal", 71), ("Tottenham Hotspur", 70)]);
        assert_eq!(table[19], ("Aston Villa", 17));
    }
}
