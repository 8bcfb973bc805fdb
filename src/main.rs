//! The program `scoreboard`.

use clap::Parser;

fn main() -> anyhow::Result<()> {
    let cli = scoreboard::commands::Cli::parse();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(scoreboard::commands::run(cli))
}
