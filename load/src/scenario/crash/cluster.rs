//! The processes of a crash run, and the directory in which they keep what they have.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::fs::chown,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};

use super::{CrashArgs, service::Service};
use crate::target::Target;

const SECRET: &str = "a-secret-for-throwaway-servers-only";

/// Postgres and Redis, where there are any, and the Scoreboards.
pub struct Cluster {
    pub services: Vec<Service>,
    pub directory: PathBuf,
    /// A target for each Scoreboard; all have the same leaderboard.
    pub targets: Vec<Target>,
}

impl Cluster {
    /// Starts everything, and makes the leaderboard.
    pub fn start(args: &CrashArgs) -> anyhow::Result<Self> {
        let directory = args.directory.clone().unwrap_or_else(std::env::temp_dir);
        let directory = directory.join(format!("load-crash-{}", std::process::id()));
        fs::create_dir(&directory)?;
        let mut cluster = Self { services: Vec::new(), targets: Vec::new(), directory };
        if args.embedded {
            cluster.add_server(args, "server-1", &[])?;
        } else {
            let database_url = cluster.add_postgres(args)?;
            let redis_url = cluster.add_redis(args)?;
            for number in 1..=args.instances {
                cluster.add_server(
                    args,
                    &format!("server-{number}"),
                    &[("DATABASE_URL", &database_url), ("REDIS_URL", &redis_url)],
                )?;
            }
        }
        cluster.targets[0].prepare()?;
        Ok(cluster)
    }

    /// The addresses of the Scoreboards.
    pub fn addresses(&self) -> anyhow::Result<Vec<SocketAddr>> {
        self.targets.iter().map(Target::address).collect()
    }

    /// The last service, which is a Scoreboard.
    pub fn a_server(&self) -> &Service {
        self.services.last().expect("there is at least one Scoreboard")
    }

    /// Ends everything and leaves nothing behind.
    pub fn remove(mut self) -> anyhow::Result<()> {
        self.services.clear();
        Ok(fs::remove_dir_all(&self.directory)?)
    }

    fn add_postgres(&mut self, args: &CrashArgs) -> anyhow::Result<String> {
        let directory = self.directory.join("postgres");
        fs::create_dir(&directory)?;
        let owner = unprivileged()?;
        if let Some((user, group)) = owner {
            chown(&directory, Some(user), Some(group))?;
        }
        let data = directory.join("data").display().to_string();
        let initdb = Service::new("initdb", 0, args.postgres_bin.join("initdb"), &[], directory.clone()).owned_by(owner);
        let locale = ["--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"];
        let made = initdb.command(&["--pgdata", &data, "--username=postgres", "--auth=trust"]).args(locale).output();
        let made = made.with_context(|| format!("running initdb in {}", args.postgres_bin.display()))?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let port = free_port()?;
        let (sockets, number) = (directory.display().to_string(), port.to_string());
        let words = ["-D", &data, "-k", &sockets, "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=100", "-p", &number];
        self.add(Service::new("postgres", port, args.postgres_bin.join("postgres"), &words, directory).owned_by(owner))?;
        Ok(format!("postgres://postgres@127.0.0.1:{port}/postgres"))
    }

    /// Keeps nothing over a kill, as a cache.
    fn add_redis(&mut self, args: &CrashArgs) -> anyhow::Result<String> {
        let port = free_port()?;
        let words = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()];
        self.add(Service::new("redis", port, args.redis_server.clone(), &words, self.directory.clone()))?;
        Ok(format!("redis://127.0.0.1:{port}"))
    }

    fn add_server(&mut self, args: &CrashArgs, name: &str, stores: &[(&str, &str)]) -> anyhow::Result<()> {
        let port = free_port()?;
        let program = fs::canonicalize(&args.server).with_context(|| args.server.display().to_string())?;
        let mut server = Service::new(name, port, program, &["serve"], self.directory.clone())
            .with("LISTEN_ADDR", format!("127.0.0.1:{port}"))
            .with("DATA_DIR", self.directory.join("data").display().to_string())
            .with("JWT_SECRET", SECRET)
            .with("RATE_LIMIT_PER_SECOND", "1000000")
            .with("RATE_LIMIT_BURST", "1000000");
        for (setting, value) in stores {
            server = server.with(setting, *value);
        }
        let token = server
            .command(&["token", "--sub", "crash", "--scope", "scores:write leaderboards:admin", "--ttl", "12h"])
            .output()?;
        ensure!(token.status.success(), "no token: {}", String::from_utf8_lossy(&token.stderr));
        let token = String::from_utf8(token.stdout)?.trim().to_owned();
        self.add(server)?;
        self.targets.push(Target { url: format!("http://127.0.0.1:{port}"), token, leaderboard: "crash".to_owned() });
        Ok(())
    }

    fn add(&mut self, mut service: Service) -> anyhow::Result<()> {
        service.run()?;
        self.services.push(service);
        Ok(())
    }
}

/// A port that is free now, below those that the kernel gives to clients: one of them could sit on it at the next start.
fn free_port() -> anyhow::Result<u16> {
    let mut candidates = (0..100).map(|_| fastrand::u16(20_000..32_000));
    candidates.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).context("no free port")
}

/// Postgres refuses to run as root: a user and group for it, where this is root.
fn unprivileged() -> anyhow::Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let passwd = fs::read_to_string(Path::new("/etc/passwd"))?;
    let of = |user: &str| {
        let fields: Vec<_> = passwd.lines().find_map(|line| line.strip_prefix(&format!("{user}:")))?.split(':').collect();
        Some((fields.get(1)?.parse().ok()?, fields.get(2)?.parse().ok()?))
    };
    of("postgres").or_else(|| of("nobody")).map(Some).context("neither postgres nor nobody is a user here")
}
