//! A proxy that cuts a reply or falls silent at a chosen request, and may replace texts of requests on their way.

use std::{net::SocketAddr, sync::Arc};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::oneshot,
    task::AbortHandle,
};
use tokio_util::sync::CancellationToken;

/// What the proxy does with a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Passes on its first bytes, at most this many and not all, and closes the connection.
    Cut { bytes: usize },
    /// Says nothing more, and keeps the connection open.
    Silence,
}

/// When the proxy acts: at the first reply after a request.
pub(crate) struct Trap {
    /// What the request contains.
    pub(crate) request: Vec<u8>,
    /// Which replies are meant.
    pub(crate) reply: fn(&[u8]) -> bool,
    /// What becomes of the reply.
    pub(crate) act: Act,
}

/// A trap, and whom to tell that it was sprung.
struct Armed {
    trap: Trap,
    sprung: oneshot::Sender<()>,
}

impl Armed {
    /// Whether somebody still waits for it.
    fn is_set(&self) -> bool {
        !self.sprung.is_closed()
    }
}

/// A proxy in front of a server.
pub(crate) struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    listener: AbortHandle,
}

struct Shared {
    server: SocketAddr,
    armed: Mutex<Option<Armed>>,
    /// Texts to replace in requests, by others of the same length.
    replaced: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Proxy {
    pub(crate) async fn before(server: SocketAddr, replaced: Vec<(Vec<u8>, Vec<u8>)>) -> Self {
        assert!(replaced.iter().all(|(old, new)| old.len() == new.len()), "a length would change");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared { server, armed: Mutex::default(), replaced });
        let own = shared.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, own.clone()));
            }
        });
        Self { addr, shared, listener: accepting.abort_handle() }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Sets a trap, once, for as long as the receiver is kept; that is told when it is sprung. The one before is forgotten.
    pub(crate) fn arm(&self, trap: Trap) -> oneshot::Receiver<()> {
        let (sprung, told) = oneshot::channel();
        *self.shared.armed.lock() = Some(Armed { trap, sprung });
        told
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// Passes a connection on until either side closes it.
async fn pass(client: TcpStream, shared: Arc<Shared>) {
    let Ok(server) = TcpStream::connect(shared.server).await else { return };
    // Requests are small: none waits for the next.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let (caught, silent) = (Arc::<Mutex<Option<Armed>>>::default(), CancellationToken::new());
    tokio::select! {
        () = requests(from_client, to_server, &shared, &caught, &silent) => {}
        () = replies(from_server, to_client, &caught, &silent) => {}
    }
}

async fn requests(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    shared: &Shared,
    caught: &Mutex<Option<Armed>>,
    silent: &CancellationToken,
) {
    let (mut chunk, mut waiting) = (vec![0; 1 << 16], Vec::new());
    loop {
        let Ok(length @ 1..) = client.read(&mut chunk).await else { return };
        if silent.is_cancelled() {
            continue;
        }
        waiting.extend_from_slice(&chunk[..length]);
        if let Some(armed) =
            shared.armed.lock().take_if(|armed| armed.is_set() && contains(&waiting, &armed.trap.request))
        {
            *caught.lock() = Some(armed);
        }
        for (old, new) in &shared.replaced {
            replace(&mut waiting, old, new);
        }
        let kept = shared.replaced.iter().map(|(old, _)| begun(&waiting, old)).max().unwrap_or(0);
        let passed: Vec<u8> = waiting.drain(..waiting.len() - kept).collect();
        if server.write_all(&passed).await.is_err() {
            return;
        }
    }
}

async fn replies(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    caught: &Mutex<Option<Armed>>,
    silent: &CancellationToken,
) {
    let mut chunk = vec![0; 1 << 16];
    loop {
        let Ok(length @ 1..) = server.read(&mut chunk).await else {
            if silent.is_cancelled() {
                // The client finds out by itself.
                std::future::pending::<()>().await;
            }
            return;
        };
        if silent.is_cancelled() {
            continue;
        }
        let reply = &chunk[..length];
        let armed = caught.lock().take_if(|armed| armed.is_set() && (armed.trap.reply)(reply));
        let passed = match &armed {
            None => reply,
            Some(Armed { trap: Trap { act: Act::Cut { bytes }, .. }, .. }) => {
                &reply[..(*bytes).min(length - 1)]
            }
            Some(_) => &[],
        };
        if client.write_all(passed).await.is_err() {
            return;
        }
        if let Some(Armed { trap, sprung }) = armed {
            // Whoever waited for it may have gone.
            let _ = sprung.send(());
            match trap.act {
                Act::Cut { .. } => return,
                Act::Silence => silent.cancel(),
            }
        }
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn replace(text: &mut [u8], old: &[u8], new: &[u8]) {
    let mut at = 0;
    while let Some(found) = text[at..].windows(old.len()).position(|window| window == old) {
        text[at + found..][..old.len()].copy_from_slice(new);
        at += found + old.len();
    }
}

/// How many of the last bytes may be the start of `part`. A request ends with a line break, so these are not all of it.
fn begun(text: &[u8], part: &[u8]) -> usize {
    (1..part.len().min(text.len() + 1)).rev().find(|&length| text.ends_with(&part[..length])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// A server that says everything back.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut reader, mut writer) = client.split();
                    tokio::io::copy(&mut reader, &mut writer).await
                });
            }
        });
        addr
    }

    async fn say(stream: &mut TcpStream, text: &str) -> String {
        stream.write_all(text.as_bytes()).await.expect("sent");
        let mut said = vec![0; 100];
        let length = stream.read(&mut said).await.unwrap_or(0);
        String::from_utf8_lossy(&said[..length]).into_owned()
    }

    #[tokio::test]
    async fn a_reply_is_cut_at_the_chosen_request() {
        let proxy = Proxy::before(echo().await, Vec::new()).await;
        let mut client = TcpStream::connect(proxy.addr()).await.expect("connected");
        let trap = Trap { request: b"here".to_vec(), reply: |_| true, act: Act::Cut { bytes: 3 } };
        let mut sprung = proxy.arm(trap);
        assert_eq!(say(&mut client, "there is not yet\n").await, "the");
        assert_eq!(sprung.try_recv(), Ok(()));
        assert_eq!(say(&mut client, "more").await, "");
        let mut client = TcpStream::connect(proxy.addr()).await.expect("connected");
        assert_eq!(say(&mut client, "here").await, "here", "once only");
    }

    #[tokio::test]
    async fn a_silent_connection_stays_open() {
        let proxy = Proxy::before(echo().await, Vec::new()).await;
        let mut client = TcpStream::connect(proxy.addr()).await.expect("connected");
        let trap = Trap { request: b"2".to_vec(), reply: |reply| reply == b"3", act: Act::Silence };
        let mut sprung = proxy.arm(trap);
        assert_eq!(say(&mut client, "1").await, "1");
        assert_eq!(say(&mut client, "2").await, "2", "not the reply that is meant");
        assert!(sprung.try_recv().is_err());
        let said = tokio::time::timeout(Duration::from_millis(50), say(&mut client, "3")).await;
        assert!(said.is_err(), "{said:?}");
        assert_eq!(sprung.try_recv(), Ok(()));
    }

    #[tokio::test]
    async fn a_text_is_replaced_wherever_the_request_is_divided() {
        let proxy = Proxy::before(echo().await, vec![(b"abc".to_vec(), b"xyz".to_vec())]).await;
        let mut client = TcpStream::connect(proxy.addr()).await.expect("connected");
        assert_eq!(say(&mut client, "-abcabc-\n").await, "-xyzxyz-\n");
        assert_eq!(say(&mut client, "12ab").await, "12");
        assert_eq!(say(&mut client, "c\n").await, "xyz\n");
    }
}
