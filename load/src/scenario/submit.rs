//! `submit`: single scores by `POST /api/scores`.

use clap::Args;

use crate::{
    http::{
        drive::{Pace, Work, drive},
        request::{Template, put},
    },
    measure::window::{MeasureArgs, Window},
    target::Target,
};

/// How many at once or a second, and over how many users.
#[derive(Args)]
pub struct SubmitArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    measure: MeasureArgs,
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    connections: u64,
    /// Another instance on the same stores; connections take turns.
    #[arg(long = "also", value_name = "URL")]
    others: Vec<String>,
    /// Scores a second, evenly, instead of as many as the connections get answered.
    #[arg(long)]
    rate: Option<f64>,
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    users: u64,
    /// Sends an Idempotency-Key with each.
    #[arg(long)]
    keys: bool,
    /// Sends a little metadata with each.
    #[arg(long)]
    metadata: bool,
}

/// One connection's scores.
pub struct Submissions {
    template: Template,
    random: fastrand::Rng,
    action: String,
    users: u64,
    /// The start of this connection's keys, where it sends keys.
    keys: Option<String>,
    metadata: bool,
    sent: u64,
    body: Vec<u8>,
}

/// Runs it and reports scores a second and latencies.
pub fn run(args: SubmitArgs) -> anyhow::Result<()> {
    args.target.prepare()?;
    let others = args.others.iter().map(|url| Target { url: url.clone(), ..args.target.clone() }.address());
    let servers = [args.target.address()].into_iter().chain(others).collect::<anyhow::Result<Vec<_>>>()?;
    let window = Window::new(&args.measure);
    let pace = Pace::from(args.rate);
    let workers = (0..args.connections)
        .map(|connection| Submissions {
            keys: args.keys.then(|| format!("{:016x}-{connection}", fastrand::u64(..))),
            metadata: args.metadata,
            ..Submissions::new(&args.target, args.users)
        })
        .collect();
    let tally = drive(&servers, workers, pace, args.measure.threads, &window)?;
    let mut report = window.report("submit", &tally).setting("connections", args.connections).setting("users", args.users);
    if let Some(rate) = args.rate {
        report = report.setting("rate", rate);
    }
    report.setting("keys", args.keys).setting("instances", servers.len()).publish(args.measure.json.as_deref())
}

impl Submissions {
    /// One point at a time for random users, without keys and metadata.
    pub fn new(target: &Target, users: u64) -> Self {
        Self {
            template: Template::post(target, "/api/scores"),
            random: fastrand::Rng::new(),
            action: format!("{}.point", target.leaderboard),
            users,
            keys: None,
            metadata: false,
            sent: 0,
            body: Vec::new(),
        }
    }
}

impl Work for Submissions {
    fn write(&mut self, request: &mut Vec<u8>) {
        let (action, user) = (&self.action, self.random.u64(..self.users));
        self.body.clear();
        put(&mut self.body, format_args!(r#"{{"actionId":"{action}","userId":"u-{user}""#));
        if self.metadata {
            put(&mut self.body, format_args!(r#","metadata":{{"match":"m-{user}","map":"harbour","minute":17}}"#));
        }
        self.body.push(b'}');
        self.sent += 1;
        match &self.keys {
            Some(keys) => self.template.write(request, Some(format_args!("{keys}-{}", self.sent)), &self.body),
            None => self.template.write(request, None, &self.body),
        }
    }

    fn operations(&self, _: &[u8]) -> u64 {
        1
    }
}
