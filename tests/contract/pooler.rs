//! A pooler in transaction mode, as PgBouncer is: between two transactions a connection may change hands, so whatever a session would keep
//! is gone, its prepared statements apart (PgBouncer from 1.21 on gives each client its own).

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::task::AbortOnDropHandle;

/// Forgets settings, locks that are not the transaction's, temporary tables, cursors and what was listened to.
const FORGET: &str = "CLOSE ALL; RESET ALL; UNLISTEN *; SELECT pg_advisory_unlock_all(); DISCARD TEMP";

/// Torn down, with its connections, when it goes out of scope.
pub struct Pooler {
    pub port: u16,
    _accepting: AbortOnDropHandle<()>,
}

impl Pooler {
    /// In front of the server at this port.
    pub async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let accepting = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.expect("a client");
                let server = TcpStream::connect(("127.0.0.1", server)).await.expect("the server answers");
                // Ends with an error when either side closes its connection.
                tokio::spawn(async move { pool(client, server).await.err() });
            }
        });
        Self { port, _accepting: AbortOnDropHandle::new(accepting) }
    }
}

async fn pool(mut client: TcpStream, mut server: TcpStream) -> std::io::Result<()> {
    // The first message has no type.
    let length = client.read_u32().await?;
    let mut startup = vec![0; length as usize - 4];
    client.read_exact(&mut startup).await?;
    server.write_all(&[&length.to_be_bytes()[..], &startup].concat()).await?;
    loop {
        // The server's answer, up to the message that says whether a transaction is open.
        let idle = loop {
            let message = read(&mut server).await?;
            client.write_all(&message).await?;
            if message[0] == b'Z' {
                break message[5] == b'I';
            }
        };
        if idle {
            let text = [FORGET.as_bytes(), &[0]].concat();
            server.write_all(&[&b"Q"[..], &(text.len() as u32 + 4).to_be_bytes(), &text].concat()).await?;
            while read(&mut server).await?[0] != b'Z' {}
        }
        // The client's next question, up to the message that asks for an answer.
        loop {
            let message = read(&mut client).await?;
            server.write_all(&message).await?;
            if matches!(message[0], b'Q' | b'S') {
                break;
            }
        }
    }
}

/// A whole message: type, length and body.
async fn read(from: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let (kind, length) = (from.read_u8().await?, from.read_u32().await?);
    let mut message = [&[kind][..], &length.to_be_bytes()].concat();
    message.resize(length as usize + 1, 0);
    from.read_exact(&mut message[5..]).await?;
    Ok(message)
}
