//! Streams through what stands between a server and the world: nginx and HAProxy with little more than their defaults.
//!
//! `NGINX` and `HAPROXY` name the two programs where they are not in `/usr/sbin`.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use reqwest::Client;
use tokio::time::Instant;

use crate::{
    app::{Backend, TestApp, eventually},
    ports::free_port,
    sse::Sse,
    streams::{Replay, scores},
};

const STREAM: &str = "/api/leaderboard/stream?limit=100";

/// A proxy of a test's own. Killed, and its files removed, when it goes out of scope.
pub struct Proxy {
    port: u16,
    process: Child,
    directory: PathBuf,
    client: Client,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
        std::fs::remove_dir_all(&self.directory).ok();
    }
}

impl Proxy {
    /// nginx before these servers, with all of its defaults but the one that a short test needs: it gives up on a silent server after 20 s
    /// instead of 60.
    async fn nginx(apps: &[&TestApp]) -> Self {
        Self::nginx_with(apps, "location / { proxy_pass http://scoreboard; proxy_read_timeout 20s; }").await
    }

    /// nginx that serves this server below `/boards/` and nothing else. It takes `/boards` for the same page, as proxies do that strip the
    /// bare prefix, where its own habit would be to send browsers on to `/boards/`.
    pub async fn nginx_below_boards(app: &TestApp) -> Self {
        let locations = "location /boards/ { proxy_pass http://scoreboard/; }
             location = /boards { proxy_pass http://scoreboard/; }
             location = /livez { proxy_pass http://scoreboard; }
             location / { return 404; }";
        Self::nginx_with(&[app], locations).await
    }

    async fn nginx_with(apps: &[&TestApp], locations: &str) -> Self {
        let servers: String = apps.iter().map(|app| format!("server {};", app.address)).collect();
        Self::start("NGINX", "/usr/sbin/nginx", &["-c"], |port, directory| {
            format!(
                "daemon off; master_process off; pid {directory}/pid; error_log {directory}/log; events {{ worker_connections 16384; }}
                 http {{
                   access_log off; client_body_temp_path {directory}; proxy_temp_path {directory}; fastcgi_temp_path {directory};
                   uwsgi_temp_path {directory}; scgi_temp_path {directory};
                   upstream scoreboard {{ {servers} }}
                   server {{ listen 127.0.0.1:{port}; {locations} }}
                 }}"
            )
        })
        .await
    }

    /// HAProxy before this server, whom it speaks to over HTTP/2 where `h2`; its time-outs for silence are 20 s.
    async fn haproxy(app: &TestApp, h2: bool) -> Self {
        let (address, protocol) = (app.address, if h2 { "proto h2" } else { "" });
        Self::start("HAPROXY", "/usr/sbin/haproxy", &["-db", "-f"], |port, _| {
            format!(
                "defaults\n mode http\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n\
                 frontend f\n bind 127.0.0.1:{port}\n compression algo gzip\n compression type text/event-stream\n default_backend b\n\
                 backend b\n server s {address} {protocol}\n"
            )
        })
        .await
    }

    async fn start(variable: &str, usual: &str, flags: &[&str], config: impl Fn(u16, &str) -> String) -> Self {
        let directory = std::env::temp_dir().join(format!("scoreboard-proxy-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir_all(&directory).unwrap();
        let port = free_port();
        let file = directory.join("config");
        std::fs::write(&file, config(port, directory.to_str().unwrap())).unwrap();
        let program = std::env::var(variable).unwrap_or_else(|_| usual.to_owned());
        let mut command = Command::new(&program);
        command.args(flags).arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
        let client = Client::builder().no_proxy().build().unwrap();
        let proxy = Self { port, process, directory, client };
        eventually("the proxy answers", || async {
            proxy.client.get(proxy.url("/livez")).send().await.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
        proxy
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// A stream as a browser opens it, which would take it compressed.
    async fn open(&self, last_event_id: Option<&str>) -> Sse {
        let mut request = self.client.get(self.url(STREAM)).header("accept-encoding", "gzip, deflate, br");
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.unwrap();
        assert!(!response.headers().contains_key("content-encoding"), "{:?}", response.headers());
        Sse::of(response)
    }
}

async fn proxies(app: &TestApp) -> [(&'static str, Proxy); 3] {
    [
        ("nginx", Proxy::nginx(&[app]).await),
        ("HAProxy", Proxy::haproxy(app, false).await),
        ("HAProxy over HTTP/2", Proxy::haproxy(app, true).await),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_proxy_holds_an_event_back() {
    let app = TestApp::spawn(Backend::Embedded).await;
    for (name, proxy) in proxies(&app).await {
        let mut stream = proxy.open(None).await;
        let mut replay = Replay::of(&stream.expect("leaderboard").await);
        for _ in 0..5 {
            // Nothing follows that could push it out.
            let posted = Instant::now();
            app.post_score("ann", "goal").await;
            replay.take(&stream.expect("score-updated").await);
            assert!(posted.elapsed() < Duration::from_secs(2), "{name} held it back for {:?}", posted.elapsed());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_leaderboard_is_not_cut_off_by_a_proxy() {
    let app = TestApp::spawn(Backend::Embedded).await;
    let mut streams = Vec::new();
    for (name, proxy) in proxies(&app).await {
        let mut stream = proxy.open(None).await;
        let replay = Replay::of(&stream.expect("leaderboard").await);
        streams.push((name, proxy, stream, replay));
    }
    // Two of their time-outs, as two minutes would be of the usual ones of a minute.
    for _ in 0..3 {
        for (name, _, stream, _) in &mut streams {
            assert!(stream.heartbeat().await, "{name} cut it off");
        }
    }
    app.post_score("ann", "goal").await;
    for (_, _, stream, replay) in &mut streams {
        replay.take(&stream.expect("score-updated").await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_move_to_another_instance_behind_nginx_without_a_gap() {
    // As many as five thousand go through, given time: `SCOREBOARD_TEST_STREAMS=5000`.
    let streams = std::env::var("SCOREBOARD_TEST_STREAMS").map_or(100, |streams| streams.parse().unwrap());
    let mut leaving = TestApp::spawn(Backend::Shared).await;
    let staying = Arc::new(leaving.another().await);
    let proxy = Arc::new(Proxy::nginx(&[&leaving, &staying]).await);
    staying.post_score("user-0", "point").await;
    let watchers: Vec<_> = (0..streams)
        .map(|_| {
            let proxy = Arc::clone(&proxy);
            tokio::spawn(async move {
                let (mut stream, mut moves) = (proxy.open(None).await, 0);
                // Whoever is counted may be sent away before the table has come.
                let first = loop {
                    match stream.next().await {
                        Some(event) => break event,
                        None => stream = proxy.open(None).await,
                    }
                };
                assert_eq!(first.event, "leaderboard");
                let mut replay = Replay::of(&first);
                while !replay.has("the last") {
                    match stream.next().await {
                        // Also says that nothing was reset: a snapshot is no `score-updated`.
                        Some(event) => replay.take(&event),
                        None => {
                            moves += 1;
                            stream = proxy.open(Some(&replay.version)).await;
                        }
                    }
                }
                (replay.ranked(), moves)
            })
        })
        .collect();
    eventually("all watch", || async { staying.get("/api/leaderboards/main").await["watchers"] == streams }).await;
    let stop = tokio::spawn(async move { leaving.stop().await });
    let mut round = 0;
    while !stop.is_finished() || round < 50 {
        staying.post_score(&format!("user-{}", round % 7), "point").await;
        round += 1;
    }
    stop.await.unwrap();
    staying.post_score("the last", "goal").await;
    let window = staying.get("/api/leaderboard?limit=100").await;
    let mut moved = 0;
    for watcher in watchers {
        let (ranked, moves) = watcher.await.unwrap();
        assert_eq!(ranked, scores(&window));
        moved += usize::from(moves > 0);
    }
    assert!(moved >= streams / 4, "about half of them were at the instance that left: {moved}");
}
