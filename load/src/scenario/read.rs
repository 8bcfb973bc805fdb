//! `read`: the top, a user's place, a user's neighbourhood, without a token, as browsers and dashboards ask for them.

use clap::{Args, ValueEnum};

use crate::{
    http::{
        drive::{Pace, Work, drive},
        request::{self, Template},
    },
    measure::window::{MeasureArgs, Window},
    target::{Target, name_of},
};

/// What is read, by how many at once or how often a second.
#[derive(Args)]
pub struct ReadArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    measure: MeasureArgs,
    #[arg(long, value_enum, default_value_t = What::Top)]
    what: What,
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    connections: u64,
    /// Reads a second, evenly, instead of as many as the connections get answered.
    #[arg(long)]
    rate: Option<f64>,
    /// Entries of the top.
    #[arg(long, default_value_t = 10)]
    limit: u64,
    /// Neighbours on each side.
    #[arg(long, default_value_t = 5)]
    around: u64,
    /// Users `u-0` … whose places are asked for; `prefill` makes them.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    users: u64,
    /// The season that is read: a number, or `previous`.
    #[arg(long, default_value = "current")]
    season: String,
}

/// A kind of read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// The best of the leaderboard
    Top,
    /// One user's place
    Entry,
    /// One user's place and neighbours
    Around,
    /// Entries from any rank on
    Window,
    /// Users by the beginning of an id, of one to all of its characters
    Search,
    /// The same by the beginning of a display name, which `prefill --named` gives
    Name,
    /// Fifty users' places among each other
    Friends,
}

/// One connection's reads.
pub struct Reads {
    pub target: Target,
    pub what: What,
    pub limit: u64,
    pub around: u64,
    pub users: u64,
    /// A season to ask for, as a query; empty for the current one.
    pub season: String,
}

/// Friends that are asked for together.
const FRIENDS: u64 = 50;

/// Runs it and reports reads a second and latencies.
pub fn run(args: ReadArgs) -> anyhow::Result<()> {
    args.target.get(&format!("/api/leaderboards/{}", args.target.leaderboard))?;
    let window = Window::new(&args.measure);
    let pace = Pace::from(args.rate);
    let season = if args.season == "current" { String::new() } else { format!("season={}", args.season) };
    let reads = || Reads {
        target: args.target.clone(),
        what: args.what,
        limit: args.limit,
        around: args.around,
        users: args.users,
        season: season.clone(),
    };
    let workers = (0..args.connections).map(|_| reads()).collect();
    let tally = drive(&[args.target.address()?], workers, pace, args.measure.threads, &window)?;
    let mut report = window.report("read", &tally).setting("connections", args.connections);
    if let Some(rate) = args.rate {
        report = report.setting("rate", rate);
    }
    report = report.setting("season", args.season);
    report.setting("what", format!("{:?}", args.what).to_lowercase()).publish(args.measure.json.as_deref())
}

impl Work for Reads {
    fn write(&mut self, request: &mut Vec<u8>) {
        let (leaderboard, limit, around, season) = (&self.target.leaderboard, self.limit, self.around, &self.season);
        let user = fastrand::u64(..self.users);
        let entries = format_args!("/api/leaderboards/{leaderboard}/entries");
        match self.what {
            // The plainest form of the current season's requests: the fast path knows no other.
            What::Top if season.is_empty() => request::get(&self.target, format_args!("{entries}?limit={limit}"), request),
            What::Entry if season.is_empty() => request::get(&self.target, format_args!("{entries}/u-{user}"), request),
            What::Around if season.is_empty() => {
                request::get(&self.target, format_args!("{entries}/u-{user}?around={around}"), request);
            }
            What::Top => request::get(&self.target, format_args!("{entries}?limit={limit}&{season}"), request),
            What::Entry => request::get(&self.target, format_args!("{entries}/u-{user}?{season}"), request),
            What::Around => request::get(&self.target, format_args!("{entries}/u-{user}?around={around}&{season}"), request),
            What::Window => {
                let rank = user + 1;
                request::get(&self.target, format_args!("{entries}?limit={limit}&fromRank={rank}&{season}"), request);
            }
            What::Search | What::Name => {
                let whole = if self.what == What::Name { name_of(user) } else { format!("U-{user}") };
                let name = whole[..fastrand::usize(1..=whole.len())].replace(' ', "%20");
                let path = format_args!("/api/leaderboards/{leaderboard}/search?limit={limit}&name={name}");
                request::get(&self.target, path, request);
            }
            What::Friends => {
                let path = format!("/api/leaderboards/{leaderboard}/entries/query?{season}");
                let ids: Vec<String> = (0..FRIENDS).map(|_| format!("\"u-{}\"", fastrand::u64(..self.users))).collect();
                let body = format!("{{\"userIds\":[{}]}}", ids.join(","));
                Template::post(&self.target, &path).write(request, None, body.as_bytes());
            }
        }
    }

    fn operations(&self, _: &[u8]) -> u64 {
        1
    }
}
