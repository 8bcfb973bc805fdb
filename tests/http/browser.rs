//! A real browser for the tests of the page: headless Chromium behind chromedriver, spoken to in
//! plain WebDriver over HTTP. Used by `page.rs`.
//!
//! `CHROMEDRIVER` and `CHROMIUM` name the two programs where they are not in `/usr/bin`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

/// How often a condition is looked at while a test waits for it.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// One WebDriver command, the start of the browser included.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);
/// The end of a session, after which the driver is killed all the same.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(10);

/// Headless, silent on the network but for the page, and without the sandbox, which a container
/// run by root cannot give.
const FLAGS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
];

/// One browser with one window and a profile of its own. Dropping it ends the browser and the
/// driver. A command that fails panics: in a test nothing is left to do.
pub struct Browser {
    driver: Driver,
    client: reqwest::Client,
    session: String,
}

impl Browser {
    pub async fn open() -> Browser {
        let driver = tokio::task::spawn_blocking(Driver::start).await.expect("start chromedriver");
        let client = reqwest::Client::builder().timeout(COMMAND_TIMEOUT).build().expect("build the WebDriver client");
        let mut browser = Browser { driver, client, session: String::new() };
        let binary = program("CHROMIUM", "/usr/bin/chromium");
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"binary": binary, "args": FLAGS},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let started = browser.command(Method::POST, "/session", Some(capabilities)).await;
        let id = started["sessionId"].as_str().expect("a session id");
        browser.session = format!("/session/{id}");
        browser
    }

    pub async fn goto(&self, url: &str) {
        self.in_session(Method::POST, "/url", Some(json!({"url": url}))).await;
    }

    /// Runs the body of a function in the page; `args` is the array that it sees as `arguments`.
    pub async fn execute(&self, script: &str, args: Value) -> Value {
        let body = json!({"script": script, "args": args});
        self.in_session(Method::POST, "/execute/sync", Some(body)).await
    }

    /// Waits until the body of a function returns something true in the sense of JavaScript.
    /// Panics after `deadline` and keeps a picture of the page.
    pub async fn wait_until(&self, script: &str, deadline: Duration) {
        let met = async {
            let mut looks = tokio::time::interval(LOOK_EVERY);
            let truth = format!("return Boolean((() => {{ {script} }})())");
            loop {
                looks.tick().await;
                if self.execute(&truth, json!([])).await == json!(true) {
                    break;
                }
            }
        };
        if tokio::time::timeout(deadline, met).await.is_err() {
            let picture = format!("{}/page-{}.png", env!("CARGO_TARGET_TMPDIR"), self.driver.port);
            std::fs::write(&picture, self.screenshot().await).expect("keep the screenshot");
            panic!("not within {deadline:?}: {script}\nSee {picture}");
        }
    }

    /// The window as PNG.
    pub async fn screenshot(&self) -> Vec<u8> {
        let image = self.in_session(Method::GET, "/screenshot", None).await;
        STANDARD.decode(image.as_str().expect("an image")).expect("base64")
    }

    /// What the console has taken down since the last call: errors, failed requests, broken
    /// content security policy.
    pub async fn console(&self) -> Vec<String> {
        let entries = self.in_session(Method::POST, "/se/log", Some(json!({"type": "browser"}))).await;
        let entries = entries.as_array().expect("a list of log entries");
        entries.iter().map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    async fn in_session(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        self.command(method, &format!("{}{path}", self.session), body).await
    }

    async fn command(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let url = format!("http://127.0.0.1:{}{path}", self.driver.port);
        let request = self.client.request(method, url);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let answer = request.send().await.expect("reach chromedriver");
        let status = answer.status();
        let mut answer: Value = answer.json().await.expect("WebDriver answers in JSON");
        assert!(status.is_success(), "WebDriver refused {path}: {answer}");
        answer["value"].take()
    }
}

impl Drop for Browser {
    /// Blocking, because a destructor cannot wait: only the driver can end its browser.
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let _ = self.driver.end(&self.session);
        }
    }
}

/// The chromedriver process. It chooses a free port itself, so that tests can run side by side.
struct Driver {
    process: Child,
    port: u16,
    /// Where driver and browser put their temporary files, the profile among them.
    scratch: PathBuf,
    /// Kept open: a driver whose output is closed would die of it.
    _output: BufReader<ChildStdout>,
}

impl Driver {
    fn start() -> Driver {
        let path = program("CHROMEDRIVER", "/usr/bin/chromedriver");
        let scratch = scratch_directory();
        let mut process = Command::new(&path)
            .arg("--port=0")
            .env("TMPDIR", &scratch)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("the tests of the page need {path}: {error}"));
        let mut output = BufReader::new(process.stdout.take().expect("a piped output"));
        let port = output.by_ref().lines().map_while(Result::ok).find_map(|line| announced_port(&line));
        let Some(port) = port else {
            let _ = process.kill();
            let _ = process.wait();
            panic!("{path} ended without naming its port");
        };
        Driver { process, port, scratch, _output: output }
    }

    fn end(&self, session: &str) -> std::io::Result<()> {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port))?;
        connection.set_read_timeout(Some(FAREWELL_TIMEOUT))?;
        write!(connection, "DELETE {session} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\r\n", self.port)?;
        BufReader::new(connection).read_line(&mut String::new())?;
        Ok(())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.scratch);
    }
}

/// A directory of its own for each driver. In the system's place for such things and with a short
/// name, because the browser puts a socket there and a socket's path has to be short.
fn scratch_directory() -> PathBuf {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let name = format!("scoreboard-page-{}-{number}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&directory).expect("make a scratch directory");
    directory
}

/// The port in "ChromeDriver was started successfully on port 41234."
fn announced_port(line: &str) -> Option<u16> {
    let (_, port) = line.split_once("started successfully on port ")?;
    port.trim_end().trim_end_matches('.').parse().ok()
}

fn program(variable: &str, default: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| default.to_owned())
}
