//! A child process that is killed and started again.

use std::{
    fs::File,
    net::TcpStream,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::measure::processes::children;

/// How long a start may take; recovery after a crash is part of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// How to start it, and the running process.
pub struct Service {
    pub name: String,
    pub port: u16,
    program: PathBuf,
    words: Vec<String>,
    environment: Vec<(String, String)>,
    directory: PathBuf,
    /// User and group that it runs as, where not as this process.
    owner: Option<(u32, u32)>,
    child: Option<Child>,
}

impl Service {
    pub fn new(name: &str, port: u16, program: PathBuf, words: &[&str], directory: PathBuf) -> Self {
        let words = words.iter().map(|&word| word.to_owned()).collect();
        Self { name: name.to_owned(), port, program, words, environment: Vec::new(), directory, owner: None, child: None }
    }

    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    pub fn owned_by(mut self, owner: Option<(u32, u32)>) -> Self {
        self.owner = owner;
        self
    }

    /// The program with the same settings and other words, as the same user.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).current_dir(&self.directory).stdin(Stdio::null());
        // Whatever this process was told about other servers is not for this one.
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        command
    }

    /// Starts it and waits until its port is open. What ends at once, because something of the killed one is still there, is started again.
    pub fn run(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let log = File::options().create(true).append(true).open(self.log())?;
            let words: Vec<_> = self.words.iter().map(String::as_str).collect();
            let mut command = self.command(&words);
            let child =
                command.stdout(log.try_clone()?).stderr(log).spawn().with_context(|| self.program.display().to_string())?;
            let child = self.child.insert(child);
            while Instant::now() < deadline && child.try_wait()?.is_none() {
                if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                    return Ok(());
                }
                sleep(Duration::from_millis(20));
            }
            sleep(Duration::from_millis(100));
        }
        bail!("{} does not start; see {}", self.name, self.log().display())
    }

    /// SIGKILL to it and its children: nothing is flushed, nothing is said.
    pub fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let family = children(child.id());
        child.kill().ok();
        for pid in family.into_iter().filter_map(|pid| Pid::from_raw(pid as i32)) {
            // A child may have ended with its parent.
            kill_process(pid, Signal::KILL).ok();
        }
        child.wait().ok();
    }

    fn log(&self) -> PathBuf {
        self.directory.join(format!("{}.log", self.name))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}
