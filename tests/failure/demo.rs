//! `scoreboard demo` plays the true season, and the start of the next one.

use crate::server::{Server, Stores, said};

/// The final table of the Premier League 2015/16, with the names that the source uses.
const TABLE: [(&str, i64); 20] = [
    ("Leicester City", 81),
    ("Arsenal", 71),
    ("Tottenham Hotspur", 70),
    ("Manchester City", 66),
    ("Manchester United", 66),
    ("Southampton", 63),
    ("West Ham United", 62),
    ("Liverpool", 60),
    ("Stoke City", 51),
    ("Chelsea", 50),
    ("Everton", 47),
    ("Swansea", 47),
    ("Watford", 45),
    ("West Bromwich Albion", 43),
    ("Crystal Palace", 42),
    ("Bournemouth", 42),
    ("Sunderland", 39),
    ("Newcastle United", 37),
    ("Norwich", 34),
    ("Aston Villa", 17),
];

/// The table after everybody's first match of the next one: among equal points, who reached them first.
const NEXT_TABLE: [(&str, i64); 20] = [
    ("Hull City", 3),
    ("Swansea", 3),
    ("West Bromwich Albion", 3),
    ("Manchester City", 3),
    ("Manchester United", 3),
    ("Liverpool", 3),
    ("Chelsea", 3),
    ("Everton", 1),
    ("Tottenham Hotspur", 1),
    ("Middlesbrough", 1),
    ("Stoke City", 1),
    ("Southampton", 1),
    ("Watford", 1),
    ("Leicester City", 0),
    ("Burnley", 0),
    ("Crystal Palace", 0),
    ("Sunderland", 0),
    ("Bournemouth", 0),
    ("Arsenal", 0),
    ("West Ham United", 0),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_ends_its_season_with_the_true_table_and_begins_the_next() {
    let server = Server::prepare(Stores::default());
    let output = server.command_beside(&["demo", "--speed", "60", "--once", "--listen-addr", "127.0.0.1:0"]).await;
    assert!(output.status.success(), "{}", said(&output));
    let printed = String::from_utf8(output.stdout).unwrap();
    let is_row = |line: &String| line.split(' ').next().is_some_and(|rank| rank.parse::<u32>().is_ok());
    let rows: Vec<String> = printed.lines().map(squeeze).filter(is_row).collect();
    let table =
        |table: [(&'static str, i64); 20]| (1..).zip(table).map(|(rank, (team, points))| format!("{rank} {team} {points}"));
    assert_eq!(rows, table(TABLE).chain(table(NEXT_TABLE)).collect::<Vec<_>>());
}

/// A line with single blanks.
fn squeeze(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ").replace('"', "")
}
