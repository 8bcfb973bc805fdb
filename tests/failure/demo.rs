//! `scoreboard demo` plays the true season.

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

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_ends_with_the_true_table() {
    let server = Server::prepare(Stores::default());
    let output = server.command_beside(&["demo", "--speed", "60", "--once", "--listen-addr", "127.0.0.1:0"]).await;
    assert!(output.status.success(), "{}", said(&output));
    let printed = String::from_utf8(output.stdout).unwrap();
    let table: Vec<String> = printed.lines().rev().skip_while(|line| line.is_empty()).take(20).map(squeeze).collect();
    let expected = TABLE.iter().zip(1..).map(|((team, points), rank)| format!("{rank} {team} {points}"));
    assert_eq!(table.into_iter().rev().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

/// A line with single blanks.
fn squeeze(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ").replace('"', "")
}
