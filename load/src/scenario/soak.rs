//! `soak`: everything at a moderate rate for minutes, while the memory of every process is sampled. Fails where one keeps growing.

use std::{
    thread::{self, sleep},
    time::{Duration, Instant},
};

use anyhow::ensure;
use clap::Args;

use super::{mixed::Mix, streams::StreamsArgs};
use crate::{
    measure::window::{MeasureArgs, Window},
    target::Target,
};

const INTERVAL: Duration = Duration::from_secs(1);

/// What fills caches, pools and rings to begin with is no leak: the first third is not looked at.
const FIRST: usize = 3;

/// How much, and how much more memory a minute is too much. Take a long `--seconds`.
#[derive(Args)]
pub struct SoakArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    measure: MeasureArgs,
    #[command(flatten)]
    streams: StreamsArgs,
    #[arg(long, default_value_t = 500.0)]
    scores: f64,
    #[arg(long, default_value_t = 500.0)]
    reads: f64,
    /// MiB a minute by which the first `--pid`, the server, may grow.
    #[arg(long, default_value_t = 1.0)]
    bound: f64,
}

/// Runs it, reports the slopes, and fails where the server's is too steep.
pub fn run(args: SoakArgs) -> anyhow::Result<()> {
    let window = Window::new(&args.measure);
    let mix =
        Mix { target: args.target, streams: args.streams, scores: args.scores, reads: args.reads, threads: args.measure.threads };
    let processes = args.measure.processes.clone();
    let sampled = {
        let window = window.clone();
        thread::spawn(move || {
            let mut samples = vec![Vec::new(); processes.len()];
            while !window.has_closed(Instant::now()) {
                sleep(INTERVAL);
                if window.is_open(Instant::now()) {
                    for (process, samples) in processes.iter().zip(&mut samples) {
                        samples.push(process.read().rss as f64 / f64::from(1 << 20));
                    }
                }
            }
            processes.into_iter().zip(samples).map(|(process, samples)| (process.name, slope(&samples))).collect::<Vec<_>>()
        })
    };
    let mut report = mix.run("soak", &window)?;
    let slopes = sampled.join().expect("a thread that does not panic");
    for (name, slope) in &slopes {
        report = report.figure(&format!("{name} grows, MiB a minute"), *slope);
    }
    report.publish(args.measure.json.as_deref())?;
    let server = slopes.first().map_or(0.0, |(_, slope)| *slope);
    ensure!(server <= args.bound, "the server grows by {server:.2} MiB a minute, {} are allowed", args.bound);
    Ok(())
}

/// Growth a minute by least squares, from the samples after the first third.
fn slope(samples: &[f64]) -> f64 {
    let settled = &samples[samples.len() / FIRST..];
    let count = settled.len() as f64;
    let (mean_x, mean_y) = ((count - 1.0) / 2.0, settled.iter().sum::<f64>() / count);
    let (mut product, mut square) = (0.0, 0.0);
    for (x, y) in settled.iter().enumerate().map(|(x, y)| (x as f64 - mean_x, y - mean_y)) {
        product += x * y;
        square += x * x;
    }
    if square > 0.0 { product / square * 60.0 / INTERVAL.as_secs_f64() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_told_a_minute_and_forgives_the_start() {
        let samples: Vec<_> = (0..90).map(|second| if second < 20 { 0.0 } else { 100.0 + f64::from(second) / 60.0 }).collect();
        assert!((slope(&samples) - 1.0).abs() < 1e-9);
        assert!(slope(&[5.0]).abs() < 1e-9);
        assert!(slope(&[]).abs() < 1e-9);
    }
}
