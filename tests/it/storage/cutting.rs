//! A proxy that loses what it is told to lose.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// What the proxy does with the next request.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Cut {
    /// Passes it on.
    Nothing,
    /// Closes the connection instead of passing it on.
    Request,
    /// Passes it on, waits for its reply, and closes the connection instead of passing that on.
    Reply,
    /// Passes it on and says nothing.
    Silent,
}

/// A proxy in front of a server.
pub(crate) struct Proxy {
    pub(crate) addr: SocketAddr,
    cut: Arc<AtomicU8>,
    /// How many requests to pass on before.
    spared: Arc<AtomicUsize>,
    /// How often it lost something.
    hits: Arc<AtomicUsize>,
}

impl Proxy {
    pub(crate) async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let cut = Arc::new(AtomicU8::new(Cut::Nothing as u8));
        let (spared, hits) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let (cuts, sparing, counts) = (cut.clone(), spared.clone(), hits.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server, cuts.clone(), sparing.clone(), counts.clone()));
            }
        });
        Self { addr, cut, spared, hits }
    }

    /// Says what to do with the next request, once.
    pub(crate) fn next(&self, cut: Cut) {
        self.after(0, cut);
    }

    /// The same with the request that comes after `requests` further ones.
    pub(crate) fn after(&self, requests: usize, cut: Cut) {
        self.spared.store(requests, SeqCst);
        self.cut.store(cut as u8, SeqCst);
    }

    pub(crate) fn hits(&self) -> usize {
        self.hits.load(SeqCst)
    }
}

/// Passes requests on, one at a time: each waits for its reply.
async fn pass(
    mut client: TcpStream,
    server: SocketAddr,
    cut: Arc<AtomicU8>,
    spared: Arc<AtomicUsize>,
    hits: Arc<AtomicUsize>,
) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    let (mut request, mut reply) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let Ok(length @ 1..) = client.read(&mut request).await else { return };
        let is_spared = spared.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
        let what = if is_spared { Cut::Nothing as u8 } else { cut.swap(Cut::Nothing as u8, SeqCst) };
        if what != Cut::Nothing as u8 {
            hits.fetch_add(1, SeqCst);
        }
        if what == Cut::Request as u8 {
            return;
        }
        if server.write_all(&request[..length]).await.is_err() {
            return;
        }
        let Ok(length @ 1..) = server.read(&mut reply).await else { return };
        if what == Cut::Reply as u8 {
            return;
        }
        if what == Cut::Silent as u8 {
            std::future::pending::<()>().await;
        }
        if client.write_all(&reply[..length]).await.is_err() {
            return;
        }
    }
}
