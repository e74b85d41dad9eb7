//! One arm's window: load from this process, processor time from the server's.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;

use super::server::Server;
use crate::app::generator::Generator;
use crate::load::http::{Http, Settings};
use crate::load::{Measured, Pace, Plan};

/// An answer that takes longer is an error.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// What is driven: an endpoint of a server, by users who each keep a connection and ask again at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arm<'a> {
    pub(super) server: &'a Server,
    pub(super) path: &'static str,
    pub(super) connections: NonZeroU32,
}

/// What one window of one arm brought.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) requests_per_second: f64,
    pub(super) cpu_per_request: Duration,
}

impl Arm<'_> {
    /// Drives the server for `length`, shown under the name `what`, and checks that every answer was a 200.
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

/// How many requests there were, all of which were answered with 200.
pub(super) fn all_were_200(measured: &Measured, path: &str) -> anyhow::Result<u64> {
    let offered = measured.offered();
    ensure!(
        offered > 0 && measured.statuses.get(&200) == Some(&offered),
        "{path}: of {offered} requests not all were answered with 200: answers {:?}, without an answer {:?}",
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

    /// Answers come from this process; the child stands for the one whose usage is read.
    #[tokio::test]
    async fn a_window_counts_answers_of_200_and_refuses_others() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async {}));
        tokio::spawn(async { axum::serve(listener, router).await });
        let script = format!("echo listening on http://{addr} >&2; exec sleep 60");
        let server = Server::start(Path::new("/bin/sh"), &["-c", &script], &[]).await.unwrap();
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
