//! Creates arrivals, targets and a transport from the arguments.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue, USER_AGENT};

use super::args::{ArrivalArgs, MaxInFlight, RequestArgs, RequestCount, RunArgs, SpacingName, at_least_one};
use crate::app::Usage;
use crate::client::tls;
use crate::config::Rate;
use crate::input;
use crate::load::http::{Header, Http, Protocol, Settings, Target};
use crate::load::{Pace, Phases, Recorded, Schedule, Spacing};

/// The default limit of requests in flight.
const MAX_IN_FLIGHT: u32 = 10_000;
/// The time limit of a closed loop with a fixed number of requests.
const COUNTED_LIMIT: Duration = Duration::from_secs(7 * 24 * 3_600);
/// The default `User-Agent` and `Content-Type`.
pub(in crate::app) const AGENT: &str = concat!("lab/", env!("CARGO_PKG_VERSION"));
const FORM: &str = "application/x-www-form-urlencoded";
/// The largest body, and the largest file of phases.
const FILE_LIMIT_MIB: u64 = 64;

/// An error with exit code 2.
pub(super) fn usage(text: impl Into<String>) -> anyhow::Error {
    Usage(text.into()).into()
}

fn read_file(flag: &str, path: &str) -> anyhow::Result<Vec<u8>> {
    let wrong = |why: String| usage(format!("{flag}: {path:?}: {why}"));
    input::read(Path::new(path), FILE_LIMIT_MIB).map_err(|error| wrong(error.to_string()))
}

fn read_stdin() -> anyhow::Result<Vec<u8>> {
    input::read_from(std::io::stdin().lock(), FILE_LIMIT_MIB)
        .map_err(|error| usage(format!("--body: stdin: {error}")))
}

impl ArrivalArgs {
    pub(in crate::app) fn spacing(&self) -> Spacing {
        match self.arrivals {
            Some(SpacingName::Poisson) => Spacing::Poisson { seed: self.seed.get() },
            Some(SpacingName::Constant) | None => Spacing::Constant,
        }
    }

    pub(in crate::app) fn rate(&self) -> Rate {
        self.rate.unwrap_or(Rate::TEN_PER_SECOND)
    }

    pub(in crate::app) fn schedule(&self) -> anyhow::Result<Schedule> {
        let spacing = self.spacing();
        let Some(text) = &self.schedule else {
            return Ok(Schedule::hold(self.rate(), self.length.get(), spacing));
        };
        let text_of = |path: &str| {
            let text = String::from_utf8(read_file("--schedule", path)?);
            text.map_err(|_| usage(format!("--schedule: {path:?} is not text")))
        };
        if let Some(path) = text.strip_prefix("arrivals:") {
            if self.arrivals.is_some() {
                return Err(usage(
                    "--arrivals: recorded arrivals (--schedule arrivals:FILE) keep their own spacing",
                ));
            }
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

    /// Whether arrivals are random, so that the seed matters.
    pub(in crate::app) fn draws(&self) -> bool {
        self.arrivals == Some(SpacingName::Poisson)
    }
}

impl RunArgs {
    /// Refuses flags that would not be used.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        self.command_line.check_seed(self.arrivals.draws())?;
        let (rate, max_rate) = (self.arrivals.rate(), self.find.max_rate);
        if self.find.find_max.is_some() && self.arrivals.rate.is_some() && rate.get() > max_rate.get() {
            return Err(usage(format!("--rate: the search begins at {rate}, above --max-rate {max_rate}")));
        }
        if self.closed.is_none() {
            return Ok(());
        }
        let arrivals = &self.arrivals;
        let unused = [
            ("--rate", arrivals.rate.is_some() && !self.paced),
            ("--schedule", arrivals.schedule.is_some() && !self.paced),
            ("--arrivals", arrivals.arrivals.is_some() && !self.paced),
        ];
        match unused.into_iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(usage(format!(
                "{flag}: users of a closed loop send as soon as they have a response; with --paced they follow the schedule"
            ))),
            None if self.request.max_in_flight.is_some() => Err(usage(
                "--max-in-flight: a closed loop has as many requests in flight as --closed has users",
            )),
            None => Ok(()),
        }
    }

    /// The kind of load, with its schedule.
    pub(super) fn pace(&self) -> anyhow::Result<Pace> {
        let requests = self.requests.map(RequestCount::get);
        let schedule = match requests {
            None => self.arrivals.schedule()?,
            Some(count) => {
                Schedule::Counted { rate: self.arrivals.rate(), count, spacing: self.arrivals.spacing() }
            }
        };
        Ok(match self.closed {
            None => Pace::Open { schedule, max_in_flight: self.request.max_in_flight() },
            Some(users) => Pace::Closed {
                users: at_least_one(users.get()),
                length: if requests.is_some() { COUNTED_LIMIT } else { schedule.length() },
                requests,
                schedule: self.paced.then_some(schedule),
            },
        })
    }
}

impl RequestArgs {
    /// The body of every request. It may read stdin, so call it once.
    pub(super) fn body(&self) -> anyhow::Result<Bytes> {
        Ok(match self.body.as_deref().map(|body| (body, body.strip_prefix('@'))) {
            None => Bytes::new(),
            Some((_, Some("-"))) => read_stdin()?.into(),
            Some((_, Some(path))) => read_file("--body", path)?.into(),
            Some((text, None)) => Bytes::copy_from_slice(text.as_bytes()),
        })
    }

    /// The targets with the method, headers and body of the arguments.
    pub(super) fn targets(&self, urls: &[Target], body: &Bytes) -> anyhow::Result<Vec<Target>> {
        let method = match &self.method {
            Some(method) => method.clone(),
            None if self.body.is_some() => Method::POST,
            None => Method::GET,
        };
        let mut headers = self.headers.clone();
        let defaults = [(USER_AGENT, AGENT, true), (CONTENT_TYPE, FORM, self.body.is_some())];
        for (name, value, _) in defaults.into_iter().filter(|(.., wanted)| *wanted) {
            if !headers.iter().any(|header| *header.name() == name) {
                headers.push(Header::new(name, HeaderValue::from_static(value)));
            }
        }
        let asked = |url: &Target| {
            let asked = url.clone().asking(method.clone(), &headers, body.clone(), self.protocol());
            asked.map_err(|misfit| usage(format!("--header: {misfit}")))
        };
        urls.iter().map(asked).collect()
    }

    /// A flag on the command line that only TLS uses.
    fn tls_flag(&self) -> Option<&'static str> {
        let given =
            [("--ca", self.ca.is_some()), ("--insecure", self.insecure), ("--cert", self.cert.is_some())];
        given.into_iter().find_map(|(flag, given)| given.then_some(flag))
    }

    const fn protocol(&self) -> Protocol {
        match (self.http1, self.http2) {
            (true, _) => Protocol::Http1,
            (_, true) => Protocol::Http2,
            _ => Protocol::Auto,
        }
    }

    /// The most requests in flight.
    pub(super) fn max_in_flight(&self) -> NonZeroU32 {
        at_least_one(self.max_in_flight.map_or(MAX_IN_FLIGHT, MaxInFlight::get))
    }

    /// A transport to `targets` for at most `max_in_flight` requests in flight.
    pub(super) fn transport(
        &self,
        targets: &[Target],
        max_in_flight: NonZeroU32,
    ) -> anyhow::Result<Arc<Http>> {
        let protocol = self.protocol();
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
            let certificate = self.cert.as_deref();
            let identity = certificate.map(|certificate| tls::Identity {
                certificate,
                key: self.key.as_deref().unwrap_or(certificate),
            });
            Some(
                tls::client_config(&trust, identity.as_ref(), offer)
                    .map_err(|error| usage(format!("TLS: {error}")))?,
            )
        } else if let Some(flag) = self.tls_flag() {
            return Err(usage(format!("{flag}: no URL is https://, so no certificate would be checked")));
        } else {
            None
        };
        let given = self.connections.map(|connections| at_least_one(connections.get()));
        let settings = Settings {
            connections: given.unwrap_or(max_in_flight),
            shared_connections: given.unwrap_or(NonZeroU32::MIN),
            protocol,
            tls,
            success: self.success.clone(),
        };
        Ok(Arc::new(Http::new(targets, &settings)))
    }
}
