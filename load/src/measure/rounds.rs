//! The same measurement in several rounds: its reports, and what is told of a figure over all of them.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::Path,
};

use anyhow::{Context, ensure};

use super::report::Report;

/// Median, least and greatest of a figure over all rounds.
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub greatest: f64,
}

/// The reports of one name, by round.
pub fn reports(directory: &Path, name: &str) -> anyhow::Result<BTreeMap<String, Report>> {
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
    ensure!(!found.is_empty(), "no report {name}.1.json");
    Ok(found)
}

impl Spread {
    pub fn of(values: impl Iterator<Item = f64>) -> anyhow::Result<Self> {
        let mut values: Vec<_> = values.collect();
        values.sort_by(f64::total_cmp);
        let (least, greatest) = (*values.first().context("no round")?, *values.last().context("no round")?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) };
        Ok(Self { median, least, greatest })
    }

    pub fn tell(&self, unit: &str) -> String {
        let digits = if self.median >= 100.0 { 0 } else { 2 };
        let blank = if unit == "×" { "" } else { " " };
        format!("{:.digits$}{blank}{unit} ({:.digits$} … {:.digits$})", self.median, self.least, self.greatest)
    }
}

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
