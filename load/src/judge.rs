//! `judge`: the tables of targets. Reads the reports `NAME.ROUND.json` of a directory and holds the medians against the targets.

mod alternatives;
mod promises;
mod streams;
mod writes;

use std::{collections::BTreeMap, path::PathBuf};

use clap::{Args, ValueEnum};

use crate::measure::{
    report::Report,
    rounds::{Spread, reports},
};

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
    /// What the seed document promises, all at once
    Promises,
    /// The weekend alternative, ours, and the limit
    Alternatives,
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
    /// Told, not judged.
    Open,
}

/// Prints the table. A row whose reports are missing says so.
pub fn run(args: JudgeArgs) -> anyhow::Result<()> {
    let rows: &[Row] = match args.table {
        Table::Writes => &writes::ROWS,
        Table::Streams => &streams::ROWS,
        Table::Promises => &promises::ROWS,
        Table::Alternatives => &alternatives::ROWS,
    };
    println!("| what | reference | ours | ours : reference | target | |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for row in rows {
        match row.judge(&args.directory) {
            Ok(judged) => println!("{judged}"),
            Err(missing) => println!("| {} | – | not measured: {missing} | – | – | |", row.what),
        }
    }
    Ok(())
}

impl Row {
    /// One whose figure is divided by a reference's.
    const fn against(what: &'static str, ours: (&'static str, Figure), reference: (&'static str, Figure), target: Bound) -> Self {
        Self { what, ours, reference: Some(reference), target }
    }

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
        let judged = ratio.as_ref().unwrap_or(&told).median;
        let verdict = |reached| if reached { "reached" } else { "**missed**" };
        let target = match self.target {
            Bound::AtLeast(bound) => format!("≥ {bound} | {}", verdict(judged >= bound)),
            Bound::AtMost(bound) => format!("≤ {bound} | {}", verdict(judged <= bound)),
            Bound::Open => "– |".to_owned(),
        };
        let unit = self.ours.1.1;
        let cell = |spread: Option<Spread>, unit: &str| spread.map_or("–".to_owned(), |spread| spread.tell(unit));
        Ok(format!(
            "| {} | {} | {} | {} | {target} |",
            self.what,
            cell(reference, self.reference.map_or("", |(_, (_, unit))| unit)),
            told.tell(unit),
            cell(ratio, "×"),
        ))
    }
}

/// A figure that the scenario calls by this name.
fn figure(report: &Report, name: &str) -> Option<f64> {
    report.figures.get(name).copied()
}

/// A number that the scenario was set to.
fn setting(report: &Report, name: &str) -> Option<f64> {
    report.settings.get(name)?.as_f64()
}

/// Operations a second.
const fn rate(unit: &'static str) -> Figure {
    (|report| Some(report.per_second), unit)
}

/// The 99th percentile.
const P99: Figure = (|report| Some(report.latency_ms.as_ref()?.p99), "ms");

/// The 95th percentile.
const P95: Figure = (|report| Some(report.latency_ms.as_ref()?.p95), "ms");
