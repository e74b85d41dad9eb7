//! The admin rule behind a real nginx: one that says what it is, and one with its defaults, which does not.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::net::TcpStream;

use crate::support::{Answer, PATIENCE, Server, send};

/// An nginx in a directory of its own, killed by its id when it is dropped.
struct Nginx {
    child: Child,
    /// Passes requests on as its defaults are.
    silent: SocketAddr,
    /// Adds `X-Forwarded-For`.
    telling: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Nginx {
    /// Starts one in front of `lab`; `None` where it is not installed.
    async fn before(lab: SocketAddr) -> Option<Self> {
        // Another process may take a port between the question and nginx: then once more.
        for _ in 0..10 {
            let mut nginx = Self::start(lab)?;
            let ready = async {
                while TcpStream::connect(nginx.telling).await.is_err() {
                    if nginx.child.try_wait().expect("a child").is_some() {
                        return false;
                    }
                    // It has no other sign of being ready.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                nginx.child.try_wait().expect("a child").is_none()
            };
            if tokio::time::timeout(PATIENCE, ready).await.expect("in time") {
                return Some(nginx);
            }
        }
        panic!("nginx does not start");
    }

    fn start(lab: SocketAddr) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let (silent, telling) = (free_addr(), free_addr());
        let spools = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|spool| format!("{spool}_temp_path {spool};"))
            .join(" ");
        let config = format!(
            "daemon off; master_process off; pid pid; error_log errors; events {{}}\n\
             http {{ access_log off; {spools}\n\
             server {{ listen {silent}; location / {{ proxy_pass http://{lab}; }} }}\n\
             server {{ listen {telling}; location / {{ proxy_pass http://{lab};\n\
             proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }} }}\n"
        );
        fs::write(directory.path().join("nginx.conf"), config).expect("written");
        let child = ["nginx", "/usr/sbin/nginx"].into_iter().find_map(|program| {
            let mut command = Command::new(program);
            command.arg("-p").arg(directory.path()).args(["-c", "nginx.conf", "-e", "errors"]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()
        })?;
        Some(Self { child, silent, telling, _directory: directory })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_addr() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address")
}

async fn change(addr: SocketAddr, headers: &str) -> Answer {
    let head = format!("PATCH /settings\ncontent-type: application/json{headers}");
    send(addr, &head, r#"{"async_limit":7}"#).await
}

#[tokio::test]
async fn behind_a_proxy_on_this_machine_a_token_is_needed_with_and_without_forwarding_headers() {
    let mut open = Server::start(&["serve"], &[]);
    let warning = open.line_with("LAB_ADMIN_TOKEN is not set");
    assert!(warning.contains("proxy"), "{warning}");
    let Some(nginx) = Nginx::before(open.addr).await else {
        eprintln!("skipped: nginx is not installed");
        return;
    };
    let refused = change(nginx.telling, "").await;
    assert_eq!(refused.status, 403);
    assert!(refused.json()["detail"].as_str().expect("text").contains("proxy"), "{}", refused.body);
    assert_eq!(change(nginx.silent, "").await.status, 200, "as the log has warned");
    assert_eq!(change(open.addr, "").await.status, 200);

    let guarded = Server::start(&["serve"], &[("LAB_ADMIN_TOKEN", "s3cret")]);
    let nginx = Nginx::before(guarded.addr).await.expect("it is installed");
    for addr in [nginx.telling, nginx.silent, guarded.addr] {
        assert_eq!(change(addr, "").await.status, 401);
        assert_eq!(change(addr, "\nauthorization: Bearer s3cret").await.status, 200);
    }
}
