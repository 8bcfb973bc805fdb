//! The program `scoreboard`.

use clap::Parser;

/// Many small pieces on a few threads: the system's allocator spends twice the time on them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let cli = scoreboard::commands::Cli::parse();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(scoreboard::commands::run(cli))
}
