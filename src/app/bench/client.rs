//! One arm's window: load from this process, processor time from the server's.

use std::time::Duration;

use anyhow::ensure;
use tokio::runtime;
use tokio::task;
use tokio_util::sync::CancellationToken;

use super::server::Server;
use crate::load::closed::{ClosedLoop, Measured};

/// What one window of one arm brought.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) requests_per_second: f64,
    pub(super) cpu_per_request: Duration,
}

/// Drives `server` and checks that every answer was a 200.
pub(super) async fn window(server: &Server, load: ClosedLoop) -> anyhow::Result<Window> {
    let target = load.targets.at(0).clone();
    let before = server.usage()?;
    let measured = drive(load).await?;
    let after = server.usage()?;

    let tally = &measured.tally;
    let ok = tally.ok();
    ensure!(
        ok > 0 && ok == tally.answered() && tally.errors.total() == 0,
        "{target}: not every answer was a 200: {:?}, {:?}",
        tally.by_status,
        tally.errors,
    );
    let cpu = after.cpu.saturating_sub(before.cpu);
    Ok(Window { requests_per_second: measured.answers_per_second(), cpu_per_request: cpu.div_f64(ok as f64) })
}

/// Runs the loop on a thread of its own, where a request costs the client least. Dropping the
/// future ends it.
async fn drive(load: ClosedLoop) -> anyhow::Result<Measured> {
    let stop = CancellationToken::new();
    let _ended_with_this_future = stop.clone().drop_guard();
    task::spawn_blocking(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(load.run(&stop)))
    })
    .await?
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::num::NonZeroU32;
    use std::path::Path;

    use axum::Router;
    use axum::routing::get;
    use hyper::Uri;
    use tokio::net::TcpListener;

    use super::*;
    use crate::load::Targets;

    /// Answers come from this process; the child stands for the one whose usage is read.
    #[tokio::test]
    async fn a_window_counts_answers_of_200_and_refuses_others() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async {}));
        tokio::spawn(async { axum::serve(listener, router).await });
        let script = format!("echo listening on http://{addr} >&2; exec sleep 60");
        let server = Server::start(Path::new("/bin/sh"), &["-c", &script], &[]).await.unwrap();
        let load = |target| ClosedLoop {
            addr: server.addr(),
            targets: Targets::from(Uri::from_static(target)),
            connections: NonZeroU32::new(2).unwrap(),
            duration: Duration::from_millis(100),
        };
        let good = window(&server, load("/")).await.unwrap();
        assert!(good.requests_per_second > 10.0, "{good:?}");
        let bad = window(&server, load("/missing")).await.unwrap_err();
        assert!(bad.to_string().contains("404"), "{bad}");
        server.stop().await.unwrap();
    }
}
