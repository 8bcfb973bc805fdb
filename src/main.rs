//! The program `scoreboard`.

use std::{process::ExitCode, time::Duration};

/// How long calls that block, such as a write to a disk that hangs, may hold up the end of the process.
const LAST_CALLS: Duration = Duration::from_millis(500);

/// Many small pieces on a few threads: the system's allocator spends twice the time on them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, from the outermost reason to the innermost. Where in the program it was made helps nobody who reads this.
            eprintln!("error: {}", format!("{error:#}").replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let cli = scoreboard::commands::Cli::from_environment();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(scoreboard::commands::run(cli));
    runtime.shutdown_timeout(LAST_CALLS);
    result
}
