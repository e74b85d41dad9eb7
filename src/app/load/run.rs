//! From arguments to what a run needs: arrivals, targets, a transport.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::args::{ArrivalArgs, RequestArgs, RunArgs, SpacingName, at_least_one};
use crate::app::Usage;
use crate::client::tls;
use crate::load::http::{Http, Protocol, Settings, Target};
use crate::load::{Phases, Recorded, Schedule, Spacing};

/// The longest body, and the longest file of phases.
const FILE_LIMIT_BYTES: u64 = 64 << 20;

/// An error that ends with exit code 2.
pub(super) fn usage(text: impl Into<String>) -> anyhow::Error {
    Usage(text.into()).into()
}

fn read_file(flag: &str, path: &str) -> anyhow::Result<Vec<u8>> {
    let wrong = |why: String| usage(format!("{flag}: {path:?}: {why}"));
    let length = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if length > FILE_LIMIT_BYTES {
        return Err(wrong("a file of at most 64 MiB is allowed".to_owned()));
    }
    std::fs::read(path).map_err(|error| wrong(error.to_string()))
}

impl ArrivalArgs {
    pub(super) fn spacing(&self) -> Spacing {
        match self.arrivals {
            SpacingName::Constant => Spacing::Constant,
            SpacingName::Poisson => Spacing::Poisson { seed: self.seed.get() },
        }
    }

    pub(super) fn schedule(&self) -> anyhow::Result<Schedule> {
        let spacing = self.spacing();
        let Some(text) = &self.schedule else {
            return Ok(Schedule::hold(self.rate, self.length.get(), spacing));
        };
        let text_of = |path: &str| {
            let text = String::from_utf8(read_file("--schedule", path)?);
            text.map_err(|_| usage(format!("--schedule: {path:?} is not text")))
        };
        if let Some(path) = text.strip_prefix("arrivals:") {
            let recorded = Recorded::parse(&text_of(path)?);
            return Ok(Schedule::Recorded(
                recorded.map_err(|error| usage(format!("--schedule: {path:?}: {error}")))?,
            ));
        }
        let phases = match text.strip_prefix("file:") {
            Some(path) => text_of(path)?.parse::<Phases>(),
            None => text.parse(),
        };
        let phases = phases.map_err(|error| usage(format!("--schedule: {error}")))?;
        Ok(Schedule::Phases { phases, spacing })
    }

    /// As flags that say the same.
    pub(super) fn words(&self) -> String {
        let rate = match &self.schedule {
            Some(schedule) => format!("--schedule '{schedule}'"),
            None => format!("--rate {} --for {}", self.rate, self.length),
        };
        match self.arrivals {
            SpacingName::Constant => rate,
            SpacingName::Poisson => format!("{rate} --arrivals poisson --seed {}", self.seed.get()),
        }
    }
}

impl RunArgs {
    /// The objective as a flag, unless it is the default.
    pub(super) fn objective_words(&self) -> String {
        let slo = self.telemetry.slo_ms;
        if slo.ms() == 1_500 { String::new() } else { format!(" --slo-ms {slo}") }
    }
}

impl RequestArgs {
    /// The targets, asked as the arguments say.
    pub(super) fn targets(&self, urls: &[Target]) -> anyhow::Result<Vec<Target>> {
        let body = match self.body.strip_prefix('@') {
            Some(path) => read_file("--body", path)?,
            None => self.body.clone().into_bytes(),
        };
        let body = hyper::body::Bytes::from(body);
        let asked = |url: &Target| url.clone().asking(self.method.clone(), &self.headers, body.clone());
        Ok(urls.iter().map(asked).collect())
    }

    /// A transport to `targets`.
    pub(super) fn transport(&self, targets: &[Target]) -> anyhow::Result<Arc<Http>> {
        let protocol = match (self.http1, self.http2) {
            (true, _) => Protocol::Http1,
            (_, true) => Protocol::Http2,
            _ => Protocol::Auto,
        };
        let tls = if targets.iter().any(Target::is_encrypted) {
            let trust = match &self.ca {
                _ if self.insecure => tls::Trust::Anyone,
                Some(path) => tls::Trust::File(path),
                None => tls::Trust::System,
            };
            let offer = match protocol {
                Protocol::Auto => tls::Offer::Both,
                Protocol::Http1 => tls::Offer::Http1,
                Protocol::Http2 => tls::Offer::Http2,
            };
            Some(tls::client_config(&trust, offer).map_err(|error| usage(format!("--ca: {error}")))?)
        } else {
            None
        };
        let given = self.connections.map(|connections| at_least_one(connections.get()));
        let settings = Settings {
            connections: given.unwrap_or(at_least_one(self.max_in_flight.get())),
            shared_connections: given.unwrap_or(NonZeroU32::MIN),
            protocol,
            tls,
        };
        Ok(Arc::new(Http::new(targets, &settings)))
    }

    /// As flags that say the same, without what may be secret.
    pub(super) fn words(&self) -> String {
        let mut words = String::new();
        if self.method != hyper::Method::GET {
            words += &format!(" --method {}", self.method);
        }
        for (given, flag) in [(self.http1, "--http1"), (self.http2, "--http2"), (self.insecure, "--insecure")]
        {
            if given {
                words += &format!(" {flag}");
            }
        }
        if let Some(connections) = self.connections {
            words += &format!(" --connections {connections}");
        }
        if self.timeout.get() != Duration::from_secs(30) {
            words += &format!(" --timeout {}", self.timeout);
        }
        if self.max_in_flight.get() != 10_000 {
            words += &format!(" --max-in-flight {}", self.max_in_flight);
        }
        words
    }
}
