//! Binds the listening socket, and raises the limit of file descriptors.

use std::{io, net::SocketAddr, sync::Once};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket};

use crate::output;

/// How many connections the kernel may queue until they are accepted.
pub(super) const ACCEPT_BACKLOG_CONNECTIONS: u32 = 4096;

/// Why the server cannot listen on an address, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("listening on {addr}: {what}: {remedy} {setting}")]
pub struct CannotListen {
    addr: SocketAddr,
    what: String,
    remedy: &'static str,
    setting: String,
}

/// A bound address, which is announced once.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    addr: SocketAddr,
    announced: Once,
}

impl Listener {
    /// The address in force.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Prints the address on stderr, for people and for scripts that use port 0; the first time only. It is the first
    /// line there, so whoever has to say something before the server is ready announces the address first.
    pub fn announce(&self) {
        self.announced.call_once(|| output::to_stderr(format_args!("listening on http://{}", self.addr)));
    }

    /// The socket.
    pub fn into_socket(self) -> TcpListener {
        self.socket
    }
}

/// Binds `addr`; port 0 chooses a free port. An address in TIME_WAIT can be bound again at once. `setting` names the
/// flag that chose the address, such as `--addr (LAB_ADDR)`.
///
/// # Errors
///
/// When the address cannot be bound. Must be called within a Tokio runtime.
pub fn listen(addr: SocketAddr, setting: &str) -> Result<Listener, CannotListen> {
    bind(addr).map_err(|error| {
        let (what, remedy) = match error.kind() {
            io::ErrorKind::AddrInUse => {
                ("address in use".to_owned(), "stop the other process or choose another with")
            }
            io::ErrorKind::PermissionDenied => (error.to_string(), "choose a port from 1024 up with"),
            _ => (error.to_string(), "choose another with"),
        };
        CannotListen { addr, what, remedy, setting: setting.to_owned() }
    })
}

fn bind(addr: SocketAddr) -> io::Result<Listener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    let socket = socket.listen(ACCEPT_BACKLOG_CONNECTIONS)?;
    Ok(Listener { addr: socket.local_addr()?, socket, announced: Once::new() })
}

/// Raises the soft limit of open file descriptors to the hard limit. A failure is only logged, because the accept
/// loop backs off when descriptors run out.
pub fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the descriptor limit stays at {:?}", limit.current);
    }
}
