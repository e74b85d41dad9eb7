//! Measures one arm for one window: the load comes from this process, the processor time is the server's.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;

use super::child_server::ChildServer;
use crate::app::generator::Generator;
use crate::load::http::{Http, Settings};
use crate::load::{Measured, Pace, Plan};

/// The time limit of a request.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// An endpoint of a server under closed-loop load: each connection sends its next request as soon as it gets a
/// response.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arm<'a> {
    pub(super) server: &'a ChildServer,
    pub(super) path: &'static str,
    pub(super) connections: NonZeroU32,
}

/// The result of one window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) requests_per_second: f64,
    pub(super) cpu_per_request: Duration,
}

impl Arm<'_> {
    /// Loads the server for `length`, with `what` as the prefix of the progress line, and checks that every response
    /// is a 200.
    pub(super) async fn window(self, length: Duration, what: &str) -> anyhow::Result<Window> {
        let users = self.connections;
        let pace = Pace::Closed { requests: None, users, length, schedule: None };
        let plan = Plan { pace, timeout: TIME_LIMIT, slo: TIME_LIMIT };
        let http = Http::new(&[self.server.target(self.path)?], &Settings::plain(self.connections));

        let before = self.server.usage()?;
        let measured = Generator::default().run(plan, Arc::new(http), what).await?;
        let after = self.server.usage()?;

        let answers = all_were_200(&measured, self.path)?;
        let cpu = after.cpu.saturating_sub(before.cpu);
        Ok(Window {
            requests_per_second: measured.answered_per_second(),
            cpu_per_request: cpu.div_f64(answers as f64),
        })
    }
}

/// Returns the number of requests, after checking that every response was a 200.
pub(super) fn all_were_200(measured: &Measured, path: &str) -> anyhow::Result<u64> {
    let offered = measured.offered();
    ensure!(
        offered > 0 && measured.statuses.get(&200) == Some(&offered),
        "{path}: not all of {offered} requests got a 200: statuses {:?}, without a response {:?}",
        measured.statuses,
        measured.causes,
    );
    Ok(offered)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::path::Path;

    use axum::Router;
    use axum::routing::get;
    use tokio::net::TcpListener;

    use super::*;

    /// This process responds; the child process is only there so that its usage can be read.
    #[tokio::test]
    async fn a_window_counts_200_responses_and_refuses_others() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async {}));
        tokio::spawn(async { axum::serve(listener, router).await });
        let script = format!("echo listening on http://{addr} >&2; exec sleep 60");
        let server = ChildServer::start(Path::new("/bin/sh"), &["-c", &script], &[]).await.unwrap();
        let window = async |path| {
            let arm = Arm { server: &server, path, connections: NonZeroU32::new(2).unwrap() };
            arm.window(Duration::from_millis(100), "").await
        };
        let good = window("/").await.unwrap();
        assert!(good.requests_per_second > 0.0, "{good:?}");
        let bad = window("/missing").await.unwrap_err();
        assert!(bad.to_string().contains("404"), "{bad}");
        server.stop().await.unwrap();
    }
}
