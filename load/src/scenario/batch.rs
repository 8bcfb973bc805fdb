//! `batch`: many scores in one `POST /api/scores/batch`.

use clap::Args;
use memchr::memmem;

use crate::{
    http::{
        drive::{Pace, Work, drive},
        request::{Template, put},
    },
    measure::window::{MeasureArgs, Window},
    target::{MOST_POINTS, Target},
};

/// How many at once, how many in each, and over how many users.
#[derive(Args)]
pub struct BatchArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    measure: MeasureArgs,
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=1024))]
    connections: u64,
    /// Scores in each batch.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=1000))]
    size: u64,
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    users: u64,
    /// Sends an idempotency key with each score.
    #[arg(long)]
    keys: bool,
}

/// One connection's batches.
struct Batches {
    template: Template,
    random: fastrand::Rng,
    action: String,
    size: u64,
    users: u64,
    /// The start of this connection's keys, where it sends keys.
    keys: Option<String>,
    sent: u64,
    body: Vec<u8>,
}

/// Runs it and reports scores (not batches) a second, and latencies of the batches.
pub fn run(args: BatchArgs) -> anyhow::Result<()> {
    args.target.prepare()?;
    let window = Window::new(&args.measure);
    let workers = (0..args.connections)
        .map(|_| Batches {
            template: Template::post(&args.target, "/api/scores/batch"),
            random: fastrand::Rng::new(),
            action: format!("{}.point", args.target.leaderboard),
            size: args.size,
            users: args.users,
            keys: args.keys.then(|| format!("{:016x}", fastrand::u64(..))),
            sent: 0,
            body: Vec::new(),
        })
        .collect();
    let tally = drive(&[args.target.address()?], workers, Pace::Closed, args.measure.threads, &window)?;
    let report = window.report("batch", &tally).setting("connections", args.connections).setting("size", args.size);
    report.setting("users", args.users).setting("keys", args.keys).publish(args.measure.json.as_deref())
}

/// How many items of a batch were accepted.
pub fn accepted(answer: &[u8]) -> u64 {
    memmem::find_iter(answer, br#""status":200"#).count() as u64
}

/// Replaces `body` by a batch of submissions, each a user's number and, where the action wants one, a value. `more` appends what else the submission of
/// that index has.
pub fn write_batch(
    body: &mut Vec<u8>,
    action: &str,
    submissions: impl Iterator<Item = (u64, Option<u64>)>,
    more: impl Fn(&mut Vec<u8>, usize),
) {
    body.clear();
    body.extend_from_slice(br#"{"submissions":["#);
    for (index, (user, value)) in submissions.enumerate() {
        let comma = if index > 0 { "," } else { "" };
        put(body, format_args!(r#"{comma}{{"actionId":"{action}","userId":"u-{user}""#));
        if let Some(value) = value {
            debug_assert!(value <= MOST_POINTS);
            put(body, format_args!(r#","value":{value}"#));
        }
        more(body, index);
        body.push(b'}');
    }
    body.extend_from_slice(b"]}");
}

impl Work for Batches {
    fn write(&mut self, request: &mut Vec<u8>) {
        let (random, keys, sent) = (&mut self.random, self.keys.as_deref(), self.sent);
        let submissions = (0..self.size).map(|_| (random.u64(..self.users), None));
        write_batch(&mut self.body, &self.action, submissions, |body, index| {
            if let Some(keys) = keys {
                put(body, format_args!(r#","idempotencyKey":"{keys}-{sent}-{index}""#));
            }
        });
        self.sent += 1;
        self.template.write(request, None, &self.body);
    }

    fn operations(&self, answer: &[u8]) -> u64 {
        accepted(answer)
    }
}
