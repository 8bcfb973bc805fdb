//! `reference-http`: how fast a GET can be at all: a bare hyper or axum server that answers everything with the same bytes from memory.

use std::{convert::Infallible, net::SocketAddr};

use anyhow::ensure;
use axum::http::header::CONTENT_TYPE;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, header::HeaderValue, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, runtime};

use crate::target::Target;

/// What it is built with, where it listens, and what it answers.
#[derive(Args)]
pub struct HttpServerArgs {
    #[arg(long, value_enum, default_value_t = Kind::Hyper)]
    kind: Kind,
    #[arg(long, default_value = "127.0.0.1:8082")]
    listen: SocketAddr,
    /// Answers what this Scoreboard answers for the top ten now.
    #[command(flatten)]
    like: Target,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Hyper,
    Axum,
}

/// Serves until it is ended.
pub fn run(args: HttpServerArgs) -> anyhow::Result<()> {
    ensure!(args.listen.ip().is_loopback(), "a server without any protection listens on loopback only");
    let top = args.like.get(&format!("/api/leaderboards/{}/entries?limit=10", args.like.leaderboard))?;
    let body = Bytes::from(serde_json::to_vec(&top)?);
    runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind(args.listen).await?;
        match args.kind {
            Kind::Hyper => serve_hyper(listener, body).await,
            Kind::Axum => {
                let answer = move || async move { ([(CONTENT_TYPE, "application/json")], body) };
                Ok(axum::serve(listener, axum::Router::new().fallback(answer)).await?)
            }
        }
    })
}

async fn serve_hyper(listener: TcpListener, body: Bytes) -> anyhow::Result<()> {
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let body = body.clone();
        tokio::spawn(async move {
            let service = service_fn(move |_: Request<Incoming>| {
                let mut response = Response::new(Full::new(body.clone()));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                async { Ok::<_, Infallible>(response) }
            });
            // A connection that ends in the middle is the client's affair.
            http1::Builder::new().serve_connection(TokioIo::new(socket), service).await.ok();
        });
    }
}
