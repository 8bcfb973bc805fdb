//! Processor time and memory of processes, from `/proc`.

use std::{collections::HashMap, fs, str::FromStr};

use rustix::param::{clock_ticks_per_second, page_size};
use serde::{Deserialize, Serialize};

/// A process to look at, its children included: Postgres is a family.
#[derive(Debug, Clone)]
pub struct Process {
    pub name: String,
    pid: u32,
}

/// What a process and its children had spent and held at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reading {
    /// User and system time, with that of children that have ended, in seconds.
    cpu: f64,
    /// Resident bytes of the process itself.
    pub rss: u64,
}

/// What a process spent between two readings.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    pub name: String,
    pub cpu_seconds: f64,
    pub cpu_micros_per_operation: f64,
    /// Of the process itself, without children, at the end.
    pub rss_mib: f64,
    pub rss_growth_mib: f64,
}

impl FromStr for Process {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, pid) = text.split_once('=').ok_or("NAME=PID, please")?;
        let pid = pid.parse().map_err(|_| format!("{pid} is no process id"))?;
        fs::metadata(format!("/proc/{pid}")).map_err(|_| format!("there is no process {pid}"))?;
        Ok(Self { name: name.to_owned(), pid })
    }
}

impl Process {
    /// This very process.
    pub fn generator() -> Self {
        Self { name: "generator".to_owned(), pid: std::process::id() }
    }

    /// Zeros where the process has ended.
    pub fn read(&self) -> Reading {
        let all = all();
        let Some(root) = all.get(&self.pid) else { return Reading::default() };
        let mut reading = Reading { cpu: root.cpu, rss: root.rss };
        let mut family = vec![self.pid];
        while let Some(parent) = family.pop() {
            for (pid, child) in all.iter().filter(|(_, child)| child.parent == parent) {
                reading.cpu += child.cpu;
                family.push(*pid);
            }
        }
        reading
    }
}

impl Cost {
    pub fn new(process: &Process, before: &Reading, after: &Reading, operations: u64) -> Self {
        let cpu_seconds = after.cpu - before.cpu;
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        Self {
            name: process.name.clone(),
            cpu_seconds,
            cpu_micros_per_operation: cpu_seconds * 1e6 / operations.max(1) as f64,
            rss_mib: mib(after.rss),
            rss_growth_mib: mib(after.rss) - mib(before.rss),
        }
    }
}

/// The children of a process.
pub fn children(parent: u32) -> Vec<u32> {
    all().into_iter().filter(|(_, stat)| stat.parent == parent).map(|(pid, _)| pid).collect()
}

struct Stat {
    parent: u32,
    cpu: f64,
    rss: u64,
}

fn all() -> HashMap<u32, Stat> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((pid, Stat::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?))).collect()
}

impl Stat {
    /// The fields of proc(5), counted from behind the name, which may hold blanks and brackets.
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<_> = line.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        let ticks = number(11)? + number(12)? + number(13)? + number(14)?;
        Some(Self {
            parent: number(1)? as u32,
            cpu: ticks as f64 / clock_ticks_per_second() as f64,
            rss: number(21)? * page_size() as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_a_parent() {
        let reading = Process::generator().read();
        assert!(reading.rss > 1 << 20, "{reading:?}");
        assert_eq!(all()[&std::process::id()].parent, std::os::unix::process::parent_id());
    }
}
