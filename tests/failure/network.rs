//! A network between the server and a store, which can swallow packets (nothing is refused, nothing is closed, nothing arrives), refuse
//! connections, and lead to another store from one moment to the next.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};
use tokio_util::task::AbortOnDropHandle;

/// Torn down, with its connections, when it goes out of scope.
pub struct Network {
    /// Where the store is reached through this network.
    pub port: u16,
    whole: watch::Sender<bool>,
    /// Where connections lead; 0 is nowhere.
    store: watch::Sender<u16>,
    _accepting: AbortOnDropHandle<()>,
}

impl Network {
    /// In front of the store at this port.
    pub async fn before(store: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let whole = watch::Sender::new(true);
        let seen = whole.subscribe();
        let store = watch::Sender::new(store);
        let leads = store.subscribe();
        let accepting = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(lead(client, leads.clone(), seen.clone()));
            }
        });
        Self { port, whole, store, _accepting: AbortOnDropHandle::new(accepting) }
    }

    /// From now on whatever is sent, either way, stays on its way: data, closes, and the first word of new connections.
    pub fn swallow(&self) {
        self.whole.send_replace(false);
    }

    /// From now on connections lead to this store; those that stand are cut.
    pub fn lead_to(&self, store: u16) {
        self.store.send_replace(store);
    }

    /// From now on connections lead nowhere; those that stand are cut.
    pub fn cut(&self) {
        self.lead_to(0);
    }

    /// What was sent meanwhile arrives now, as it does when the senders' kernels have kept repeating it.
    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

async fn lead(client: TcpStream, mut leads: watch::Receiver<u16>, whole: watch::Receiver<bool>) {
    let store = *leads.borrow_and_update();
    if store != 0 {
        tokio::select! {
            () = connect(client, store, whole) => {}
            _ = leads.changed() => {}
        }
    }
}

async fn connect(client: TcpStream, store: u16, mut whole: watch::Receiver<bool>) {
    if whole.wait_for(|&whole| whole).await.is_err() {
        return;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", store)).await else { return };
    client.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::join!(carry(from_client, to_server, whole.clone()), carry(from_server, to_client, whole));
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut whole: watch::Receiver<bool>) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        if whole.wait_for(|&whole| whole).await.is_err() || read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
