//! A Redis of a test's own, to be killed, restarted, flushed, frozen and promoted.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::ports::free_port;

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

    /// A sentinel that watches a primary under the name `board` and decides alone.
    pub fn sentinel(primary: &Self) -> Self {
        let mut server = Self::prepare(&["--sentinel"]);
        let settings = format!("port {}\nsentinel monitor board 127.0.0.1 {} 1\n", server.port, primary.port);
        std::fs::create_dir_all(server.directory()).expect("a directory for the sentinel");
        std::fs::write(server.directory().join("sentinel.conf"), settings).expect("the sentinel's settings");
        server.options.insert(0, "sentinel.conf".to_owned());
        server.run();
        server
    }

    /// Three nodes that share the slots.
    pub fn cluster() -> Vec<Self> {
        let nodes: Vec<_> = (0..3)
            .map(|_| {
                let bus = free_port().to_string();
                (Self::start(&["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-node-timeout", "2000"]), bus)
            })
            .collect();
        for ((node, _), slots) in nodes.iter().zip(["0 5460", "5461 10922", "10923 16383"]) {
            assert_eq!(node.command(&format!("CLUSTER ADDSLOTSRANGE {slots}")), "+OK");
            for (other, bus) in &nodes {
                assert_eq!(node.command(&format!("CLUSTER MEET 127.0.0.1 {} {bus}", other.port)), "+OK");
            }
        }
        nodes.into_iter().map(|(node, _)| node).collect()
    }

    /// A server that does not run yet.
    pub fn prepare(options: &[&str]) -> Self {
        Self { port: free_port(), options: options.iter().map(|&option| option.to_owned()).collect(), child: None }
    }

    /// Starts the server and waits until it answers.
    pub fn run(&mut self) {
        let program = std::env::var("TEST_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
        std::fs::create_dir_all(self.directory()).expect("a directory for the server");
        let mut command = Command::new(&program);
        if self.options.iter().any(|option| option == "--sentinel") {
            command.args(&self.options);
        } else {
            command.args(["--port", &self.port.to_string(), "--save", "", "--appendonly", "no"]).args(&self.options);
        }
        command.current_dir(self.directory()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap_or_else(|error| panic!("{program} does not start: {error}")));
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.try_command("PING").as_deref() != Some("+PONG") {
            assert!(Instant::now() < deadline, "the Redis on port {} does not answer", self.port);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn directory(&self) -> PathBuf {
        std::env::temp_dir().join(format!("scoreboard-redis-{}", self.port))
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Sends one command of words without blanks, and answers the first line of the reply or the text of a bulk reply.
    pub fn command(&self, command: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match self.try_command(command) {
                Some(reply) => return reply,
                None => assert!(Instant::now() < deadline, "the Redis on port {} did not answer {command}", self.port),
            }
        }
    }

    /// The same, where it may be that nobody answers.
    pub fn try_command(&self, command: &str) -> Option<String> {
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
        let _ = std::fs::remove_dir_all(self.directory());
    }
}
