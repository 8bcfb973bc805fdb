//! An HTTP/2 client that reads only what a test has it read. Shared by `tests/http` and `tests/failure`.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use hyper::http::Request;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    task::JoinHandle,
};

/// How a client begins that speaks HTTP/2.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One connection, which answers pings and settings for as long as the server keeps it.
pub struct Connection {
    requests: SendRequest<Bytes>,
    /// Over when the connection is.
    pub end: JoinHandle<Result<(), h2::Error>>,
}

impl Connection {
    /// `window`: bytes that each answer may send unasked.
    pub async fn open(client: Ipv4Addr, server: SocketAddr, window: u32) -> Self {
        let socket = connect(client, server).await.expect("connect");
        let handshake = Builder::new().initial_window_size(window).initial_connection_window_size(1 << 20).handshake(socket);
        let (requests, connection) = handshake.await.expect("a handshake");
        Self { requests, end: tokio::spawn(connection) }
    }

    /// Waits until the server takes another request, and sends one without a body.
    pub async fn get(&mut self, path: &str) -> Result<ResponseFuture, h2::Error> {
        std::future::poll_fn(|context| self.requests.poll_ready(context)).await?;
        let request = Request::get(format!("http://localhost{path}")).body(()).unwrap();
        Ok(self.requests.send_request(request, true)?.0)
    }

    /// The same with a head of one's own, whose body is sent through what is answered beside.
    pub async fn send(&mut self, request: Request<()>) -> Result<(ResponseFuture, h2::SendStream<Bytes>), h2::Error> {
        std::future::poll_fn(|context| self.requests.poll_ready(context)).await?;
        self.requests.send_request(request, false)
    }
}

/// A socket from this address.
pub async fn connect(client: Ipv4Addr, server: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((client, 0).into())?;
    socket.connect(server).await
}

/// A connection that has agreed on HTTP/2 and leaves everything else to the test.
pub async fn raw(client: Ipv4Addr, server: SocketAddr) -> std::io::Result<TcpStream> {
    let mut socket = connect(client, server).await?;
    socket.write_all(&[PREFACE, &frame(4, 0, 0, &[])].concat()).await?;
    Ok(socket)
}

/// A frame of HTTP/2.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}
