//! The protocols beneath the streams: HTTP/1.0, a connection that was used before, HTTP/2, TLS with a certificate that is renewed.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::app::{Backend, TestApp, eventually};

/// Reads until what came holds this text; to the end where there is none.
async fn read_until(stream: &mut TcpStream, wanted: Option<&str>) -> String {
    let mut read = Vec::new();
    let reading = async {
        while !wanted.is_some_and(|wanted| String::from_utf8_lossy(&read).contains(wanted)) {
            if stream.read_buf(&mut read).await.unwrap() == 0 {
                assert!(wanted.is_none(), "ended without {wanted:?}: {}", String::from_utf8_lossy(&read));
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reading).await.unwrap_or_else(|_| panic!("no {wanted:?} within ten seconds"));
    String::from_utf8(read).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_can_follow_other_requests_on_its_connection() {
    let app = TestApp::spawn(Backend::Embedded).await;
    let mut connection = TcpStream::connect(app.address).await.unwrap();
    for _ in 0..2 {
        connection.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        assert!(read_until(&mut connection, Some("\r\n\r\n")).await.starts_with("HTTP/1.1 200"));
    }
    let stream = b"GET /api/leaderboard/stream HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: abc\r\n\r\n";
    // The second one is never answered: the stream says that it is the last on this connection.
    connection.write_all(&[&stream[..], b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"].concat()).await.unwrap();
    let begun = read_until(&mut connection, Some("event: leaderboard\n")).await;
    for header in
        ["HTTP/1.1 200 OK\r\n", "connection: close\r\n", "transfer-encoding: chunked\r\n", "x-request-id: abc\r\n", "date: "]
    {
        assert!(begun.contains(header), "no {header} in {begun}");
    }
    app.post_score("ann", "goal").await;
    read_until(&mut connection, Some("event: score-updated\n")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_leaves_is_noticed_at_once() {
    let app = TestApp::spawn(Backend::Embedded).await;
    let watchers = async |expected: u64| {
        eventually("the watchers are counted", || async { app.get("/api/leaderboards/main").await["watchers"] == expected })
            .await;
    };
    let mut connection = TcpStream::connect(app.address).await.unwrap();
    connection.write_all(b"GET /api/leaderboard/stream HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    read_until(&mut connection, Some("event: leaderboard\n")).await;
    watchers(1).await;
    // Nothing is posted, so nothing but the client's own end tells.
    drop(connection);
    watchers(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_say_what_they_want_is_let_go() {
    let app = TestApp::spawn(Backend::Embedded).await;
    let begun = Instant::now();
    let openings: [&[u8]; 4] = [b"", b"GET /livez HTTP/1.1\r\nHost: loc", b"PRI * HT", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"];
    let mut connections = Vec::new();
    for opening in openings {
        let mut connection = TcpStream::connect(app.address).await.unwrap();
        connection.write_all(opening).await.unwrap();
        connections.push(connection);
    }
    for (mut connection, opening) in connections.into_iter().zip(openings) {
        let ended = tokio::time::timeout(Duration::from_secs(30), connection.read_to_end(&mut Vec::new())).await;
        assert!(ended.is_ok(), "{} is held", String::from_utf8_lossy(opening));
    }
    assert!(begun.elapsed() > Duration::from_secs(10), "a slow client has its time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_over_http_1_0_ends_with_its_connection() {
    let mut app = TestApp::spawn(Backend::Embedded).await;
    let mut connection = TcpStream::connect(app.address).await.unwrap();
    connection.write_all(b"GET /api/leaderboard/stream HTTP/1.0\r\n\r\n").await.unwrap();
    let begun = read_until(&mut connection, Some("event: leaderboard\n")).await;
    let (head, body) = begun.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 200 OK\r\n") && !head.contains("transfer-encoding"), "{head}");
    assert!(body.starts_with("retry: "), "no chunks: {body}");
    app.stop().await;
    let rest = read_until(&mut connection, None).await;
    assert!(rest.trim_end().lines().last().unwrap().starts_with("retry: "), "{rest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_share_a_connection_over_http_2() {
    let app = TestApp::spawn(Backend::Embedded).await;
    app.post_score("ann", "goal").await;
    let stream = app.url("/api/leaderboard/stream");
    let flags = ["--http2-prior-knowledge", "--parallel", "--parallel-immediate"];
    let read = curl(&[&flags[..], &[&stream, &stream]].concat(), |read| read.matches("event: leaderboard\n").count() == 2).await;
    assert_eq!(read.matches("HTTP/2 200").count(), 2, "{read}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_taken_over_without_a_restart() {
    let files = tempdir();
    let (cert, key) = (files.join("cert.pem"), files.join("key.pem"));
    make_certificate(&cert, &key);
    let flags = [format!("--tls-cert-file={}", cert.display()), format!("--tls-key-file={}", key.display())];
    let app = TestApp::spawn_bare(Backend::Embedded, &[&flags[0], &flags[1]]).await;
    let (live, stream) = (format!("https://{}/livez", app.address), format!("https://{}/api/leaderboard/stream", app.address));
    let old = files.join("old.pem");
    std::fs::copy(&cert, &old).unwrap();
    for (protocol, version) in [("--http2", "HTTP/2 200"), ("--http1.1", "HTTP/1.1 200 OK")] {
        let read =
            curl(&[protocol, "--cacert", old.to_str().unwrap(), &stream], |read| read.contains("event: leaderboard\n")).await;
        assert!(read.contains(version), "{read}");
    }
    let health = async || {
        let args = [format!("--listen-addr={}", app.address), flags[0].clone()];
        tokio::task::spawn_blocking(move || {
            Command::new(env!("CARGO_BIN_EXE_scoreboard")).arg("health").args(args).output().unwrap()
        })
        .await
        .unwrap()
    };
    assert!(health().await.status.success());
    // A key that does not fit yet: whoever renews writes one file after the other.
    let (new_cert, new_key) = (files.join("new-cert.pem"), files.join("new-key.pem"));
    make_certificate(&new_cert, &new_key);
    std::fs::rename(&new_key, &key).unwrap();
    let trusted = async |ca: &Path| !curl(&["--cacert", ca.to_str().unwrap(), &live], |_| false).await.is_empty();
    assert!(trusted(&old).await);
    std::fs::rename(&new_cert, &cert).unwrap();
    eventually("the new certificate is used", || trusted(&cert)).await;
    assert!(!trusted(&old).await);
    assert!(health().await.status.success());
    std::fs::remove_dir_all(files).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tls_handshake_that_never_ends_holds_no_place() {
    let files = tempdir();
    let (cert, key) = (files.join("cert.pem"), files.join("key.pem"));
    make_certificate(&cert, &key);
    let flags = [format!("--tls-cert-file={}", cert.display()), format!("--tls-key-file={}", key.display())];
    let app = TestApp::spawn_bare(Backend::Embedded, &[&flags[0], &flags[1], "--max-connections=30"]).await;
    // The beginning of a ClientHello of 512 bytes, more than there are places for. The rest comes a byte at a time, or never.
    let hello = [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
    let mut handshakes = Vec::new();
    for index in 0..40 {
        let mut connection = TcpStream::connect(app.address).await.unwrap();
        connection.write_all(&hello).await.unwrap();
        handshakes.push(tokio::spawn(async move {
            let (mut read, mut write) = connection.split();
            let mut answer = Vec::new();
            let dripping = async {
                while index % 2 == 0 && write.write_all(&[0]).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                std::future::pending().await
            };
            tokio::select! {
                _ = read.read_to_end(&mut answer) => {}
                () = dripping => {}
            }
        }));
    }
    let live = format!("https://{}/livez", app.address);
    let (begun, cert) = (Instant::now(), cert.to_str().unwrap().to_owned());
    assert!(curl(&["--cacert", &cert, &live], |_| false).await.contains("alive"), "whoever comes meanwhile is served");
    assert!(begun.elapsed() < Duration::from_secs(8), "one of them has made room, and not by its time-out");
    for handshake in handshakes {
        tokio::time::timeout(Duration::from_secs(15), handshake).await.expect("it is ended").unwrap();
    }
    std::fs::remove_dir_all(files).ok();
}

/// What curl prints, heads included, until it is enough or curl ends by itself.
async fn curl(words: &[&str], enough: impl Fn(&str) -> bool + Send + 'static) -> String {
    let mut command = Command::new("curl");
    command.args(["--silent", "--no-buffer", "--include", "--noproxy", "*", "--max-time", "20"]).args(words);
    tokio::task::spawn_blocking(move || {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let (mut output, mut read) = (BufReader::new(child.stdout.take().unwrap()), String::new());
        while !enough(&read) && output.read_line(&mut read).unwrap() > 0 {}
        child.kill().ok();
        child.wait().unwrap();
        read
    })
    .await
    .unwrap()
}

fn make_certificate(cert: &Path, key: &Path) {
    let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
    let name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"];
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-nodes", "-keyout"]).arg(key).arg("-out").arg(cert).args(curve).args(name);
    assert!(command.stderr(Stdio::null()).status().unwrap().success());
}

fn tempdir() -> std::path::PathBuf {
    let directory = std::env::temp_dir().join(format!("scoreboard-tls-{}", uuid::Uuid::new_v4().simple()));
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaderboard_made_private_is_left_without_a_word_of_it_over_http_2() {
    let app = TestApp::spawn(Backend::Embedded).await;
    let stream = app.url("/api/leaderboard/stream");
    let hide = app.admin(reqwest::Method::PATCH, "/api/leaderboards/main");
    let hide = hide.json(&serde_json::json!({ "visibility": "private", "name": "The merger" }));
    let hidden = tokio::spawn({
        let watchers = app.anonymous(reqwest::Method::GET, "/api/leaderboards/main");
        async move {
            eventually("somebody watches", || async {
                let leaderboard = watchers.try_clone().unwrap().send().await.unwrap();
                leaderboard.json::<serde_json::Value>().await.unwrap()["watchers"] == 1
            })
            .await;
            hide.send().await.unwrap().error_for_status().unwrap();
        }
    });
    let read = curl(&["--http2-prior-knowledge", &stream], |read| read.contains("data: {\"reason\":")).await;
    hidden.await.unwrap();
    assert!(read.contains("data: {\"reason\":\"private\"}\n") && !read.contains("merger"), "{read}");
}
