//! One keep-alive connection: a request goes out, the whole answer comes in.

use std::{
    io::{Error, ErrorKind, Result},
    net::SocketAddr,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::sockets;

/// After this the server counts as hung.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection and the buffer its answers are read into.
pub struct Connection {
    socket: TcpStream,
    received: Vec<u8>,
}

/// The status and the body of an answer, where they were received.
pub struct Answer<'a> {
    pub status: u16,
    pub body: &'a [u8],
}

/// What the head of an answer says.
#[derive(Clone, Copy)]
struct Head {
    status: u16,
    length: usize,
    body: usize,
}

impl Connection {
    /// Connects; see [`sockets::connect`] for the index.
    pub async fn open(server: SocketAddr, index: usize) -> Result<Self> {
        Ok(Self { socket: sockets::connect(server, index).await?, received: vec![0; 4096] })
    }

    /// Sends a request and waits for the whole answer, 10 s at the most. After an error the connection is of no use any more.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<Answer<'_>> {
        let head = timeout(PATIENCE, self.answered(request)).await.map_err(|_| Error::from(ErrorKind::TimedOut))??;
        Ok(Answer { status: head.status, body: &self.received[head.length..head.length + head.body] })
    }

    async fn answered(&mut self, request: &[u8]) -> Result<Head> {
        self.socket.write_all(request).await?;
        let (mut filled, mut head) = (0, None);
        loop {
            if filled == self.received.len() {
                self.received.resize(2 * filled, 0);
            }
            let read = self.socket.read(&mut self.received[filled..]).await?;
            if read == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            filled += read;
            if head.is_none() {
                head = Head::parse(&self.received[..filled])?;
            }
            if let Some(head) = head
                && filled >= head.length + head.body
            {
                return Ok(head);
            }
        }
    }
}

impl Head {
    /// `None` where the head is not all there yet.
    fn parse(received: &[u8]) -> Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(length) = response.parse(received).map_err(Error::other)? else { return Ok(None) };
        let named = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
        let body = named.and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok());
        let status = response.code.unwrap_or_default();
        match body {
            Some(body) => Ok(Some(Self { status, length, body })),
            None if matches!(status, 204 | 304) => Ok(Some(Self { status, length, body: 0 })),
            None => Err(Error::other("an answer without Content-Length")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_parsed_once_it_is_complete() {
        let whole = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}";
        for cut in 0..whole.len() - 2 {
            assert!(Head::parse(&whole[..cut]).unwrap().is_none(), "{cut}");
        }
        let head = Head::parse(whole).unwrap().unwrap();
        assert_eq!((head.status, head.body, head.length), (503, 2, whole.len() - 2));
        assert!(Head::parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    }
}
