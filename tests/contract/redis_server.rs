//! A Redis of a test's own, to be killed, restarted, flushed, frozen and promoted.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Killed when it goes out of scope.
pub struct RedisServer {
    pub port: u16,
    options: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    pub fn start(options: &[&str]) -> Self {
        let mut server = Self::prepare(options);
        server.run();
        server
    }

    /// Keeps a port free for a server that does not run yet.
    pub fn prepare(options: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        Self { port, options: options.iter().map(|&option| option.to_owned()).collect(), child: None }
    }

    /// Starts the server and waits until it answers.
    pub fn run(&mut self) {
        let program = std::env::var("TEST_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
        let directory = std::env::temp_dir().join(format!("scoreboard-redis-{}", self.port));
        std::fs::create_dir_all(&directory).expect("a directory for the server");
        let mut command = Command::new(&program);
        command.args(["--port", &self.port.to_string(), "--save", "", "--appendonly", "no"]).args(&self.options);
        command.current_dir(directory).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap_or_else(|error| panic!("{program} does not start: {error}")));
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.try_command("PING").as_deref() != Some("+PONG") {
            assert!(Instant::now() < deadline, "the Redis on port {} does not answer", self.port);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Sends one command of words without blanks, and answers the first line of the reply or the text of a bulk reply.
    pub fn command(&self, command: &str) -> String {
        self.try_command(command).unwrap_or_else(|| panic!("the Redis on port {} did not answer {command}", self.port))
    }

    fn try_command(&self, command: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some(length) = line.strip_prefix('$').and_then(|length| length.trim().parse().ok()) else {
            return Some(line.trim_end().to_owned());
        };
        let mut bulk = vec![0; length];
        reader.read_exact(&mut bulk).ok()?;
        String::from_utf8(bulk).ok()
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("the server can be killed");
            child.wait().expect("the server ends");
        }
    }

    /// Stops the process without closing its connections: to its clients, packets vanish.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().expect("the server runs").id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill runs").success());
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(std::env::temp_dir().join(format!("scoreboard-redis-{}", self.port)));
    }
}
