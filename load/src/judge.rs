//! `judge`: the tables of targets. Reads the reports `NAME.ROUND.json` of a directory and holds the medians against the targets.

mod streams;
mod writes;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::PathBuf,
};

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};

use crate::measure::report::Report;

/// Which table, from where.
#[derive(Args)]
pub struct JudgeArgs {
    #[arg(value_enum)]
    table: Table,
    directory: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Table {
    /// The write path
    Writes,
    /// The streams
    Streams,
}

/// A row of a table: what is measured, against what, and what it has to reach.
struct Row {
    what: &'static str,
    /// The report's name and the figure in it.
    ours: (&'static str, Figure),
    /// The reference's; its figure of the same round is what ours is divided by.
    reference: Option<(&'static str, Figure)>,
    target: Bound,
}

/// A figure of a report, and its unit.
type Figure = (fn(&Report) -> Option<f64>, &'static str);

/// What a ratio, or a figure without a reference, has to reach.
#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// Median, least and greatest of a figure over all rounds.
struct Spread {
    median: f64,
    least: f64,
    greatest: f64,
}

/// Prints the table; fails where a report is missing, not where a target is missed.
pub fn run(args: JudgeArgs) -> anyhow::Result<()> {
    let rows: &[Row] = match args.table {
        Table::Writes => &writes::ROWS,
        Table::Streams => &streams::ROWS,
    };
    println!("| what | reference | ours | ours : reference | target | |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for row in rows {
        println!("{}", row.judge(&args.directory)?);
    }
    Ok(())
}

impl Row {
    fn judge(&self, directory: &std::path::Path) -> anyhow::Result<String> {
        let figures = |(name, (figure, _)): &(&str, Figure)| -> anyhow::Result<BTreeMap<String, f64>> {
            let rounds = reports(directory, name)?.into_iter();
            Ok(rounds.filter_map(|(round, report)| Some((round, figure(&report)?))).collect())
        };
        let ours = figures(&self.ours)?;
        let told = Spread::of(ours.values().copied())?;
        let (reference, ratio) = match &self.reference {
            None => (None, None),
            Some(reference) => {
                let of_reference = figures(reference)?;
                let ratios = ours.iter().filter_map(|(round, ours)| Some(ours / of_reference.get(round)?));
                (Some(Spread::of(of_reference.values().copied())?), Some(Spread::of(ratios)?))
            }
        };
        let (reached, target) = match self.target {
            Bound::AtLeast(bound) => (ratio.as_ref().unwrap_or(&told).median >= bound, format!("≥ {bound}")),
            Bound::AtMost(bound) => (ratio.as_ref().unwrap_or(&told).median <= bound, format!("≤ {bound}")),
        };
        let unit = self.ours.1.1;
        let cell = |spread: Option<Spread>, unit: &str| spread.map_or("–".to_owned(), |spread| spread.tell(unit));
        Ok(format!(
            "| {} | {} | {} | {} | {target} | {} |",
            self.what,
            cell(reference, self.reference.map_or("", |(_, (_, unit))| unit)),
            told.tell(unit),
            cell(ratio, "×"),
            if reached { "reached" } else { "**missed**" },
        ))
    }
}

/// The reports of one name, by round.
fn reports(directory: &std::path::Path, name: &str) -> anyhow::Result<BTreeMap<String, Report>> {
    let mut found = BTreeMap::new();
    for file in fs::read_dir(directory)? {
        let path = file?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let round = file.strip_suffix(".json").and_then(|file| file.strip_prefix(name)?.strip_prefix('.'));
        if let Some(round) = round.filter(|round| round.parse::<u32>().is_ok()) {
            let report = serde_json::from_reader(File::open(&path)?).with_context(|| path.display().to_string())?;
            found.insert(round.to_owned(), report);
        }
    }
    ensure!(!found.is_empty(), "no report {name}.1.json in {}", directory.display());
    Ok(found)
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> anyhow::Result<Self> {
        let mut values: Vec<_> = values.collect();
        values.sort_by(f64::total_cmp);
        let (least, greatest) = (*values.first().context("no round")?, *values.last().context("no round")?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) };
        Ok(Self { median, least, greatest })
    }

    fn tell(&self, unit: &str) -> String {
        let digits = if self.median >= 100.0 { 0 } else { 2 };
        let blank = if unit == "×" { "" } else { " " };
        format!("{:.digits$}{blank}{unit} ({:.digits$} … {:.digits$})", self.median, self.least, self.greatest)
    }
}

/// Operations a second.
const fn rate(unit: &'static str) -> Figure {
    (|report| Some(report.per_second), unit)
}

/// The 99th percentile.
const P99: Figure = (|report| Some(report.latency_ms.as_ref()?.p99), "ms");

/// The 95th percentile.
const P95: Figure = (|report| Some(report.latency_ms.as_ref()?.p95), "ms");

/// The greatest.
const MAX: Figure = (|report| Some(report.latency_ms.as_ref()?.max), "ms");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_in_the_middle() {
        let spread = Spread::of([3.0, 1.0, 2.0, 10.0].into_iter()).unwrap();
        assert_eq!((spread.median, spread.least, spread.greatest), (2.5, 1.0, 10.0));
        assert_eq!(Spread::of([0.5].into_iter()).unwrap().tell("×"), "0.50× (0.50 … 0.50)");
        assert!(Spread::of([].into_iter()).is_err());
    }
}
