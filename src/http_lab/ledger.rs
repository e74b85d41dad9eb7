//! The balance sheet of an endpoint's requests, and of all the lab's calls.

use std::{collections::BTreeMap, time::Duration};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{
    choice, document,
    latency::{Outcome, Recent},
};

document!(HttpAudit as "lab/audit-http/1");
document!(ServiceAudit as "lab/audit-service/1");

/// `started = completed + cancelled + in_flight`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RequestLedger {
    /// Requests that arrived.
    pub started: u64,
    /// Requests that were answered, whatever the answer.
    pub completed: u64,
    /// Requests whose client left before the answer.
    pub cancelled: u64,
    /// Requests in progress now.
    pub in_flight: u64,
}

impl RequestLedger {
    fn add(&mut self, other: &Self) {
        self.started += other.started;
        self.completed += other.completed;
        self.cancelled += other.cancelled;
        self.in_flight += other.in_flight;
    }
}

/// One endpoint's requests: the balance sheet, and the last minutes. All terms change together, so any look at them
/// is a consistent one.
#[derive(Debug)]
pub(super) struct Requests(Mutex<Counted>);

#[derive(Debug)]
struct Counted {
    ledger: RequestLedger,
    recent: Recent,
}

impl Requests {
    /// No requests yet; an answer of 200 within `slo` is good.
    pub(super) fn new(slo: Duration) -> Self {
        Self(Mutex::new(Counted { ledger: RequestLedger::default(), recent: Recent::new(slo) }))
    }

    /// Counts an arrival in this second and gives it its number, from 0.
    pub(super) fn start(&self, second: u64) -> u64 {
        let Counted { ledger, recent } = &mut *self.0.lock();
        let number = ledger.started;
        ledger.started += 1;
        ledger.in_flight += 1;
        recent.offer(second);
        number
    }

    /// Counts an answer to a request that came in this second.
    pub(super) fn complete(&self, second: u64, outcome: Outcome, took: Duration) {
        let Counted { ledger, recent } = &mut *self.0.lock();
        ledger.completed += 1;
        ledger.in_flight -= 1;
        recent.end(second, outcome, took);
    }

    /// Counts a request that came in this second, and whose client left before the answer.
    pub(super) fn cancel(&self, second: u64, took: Duration) {
        let Counted { ledger, recent } = &mut *self.0.lock();
        ledger.cancelled += 1;
        ledger.in_flight -= 1;
        recent.end(second, Outcome::Cancelled, took);
    }

    pub(super) fn look(&self) -> RequestLedger {
        self.0.lock().ledger
    }

    /// Reads the last minutes. Requests wait meanwhile: be brief.
    pub(super) fn recent<T>(&self, read: impl FnOnce(&Recent) -> T) -> T {
        read(&self.0.lock().recent)
    }
}

/// `started = completed + failed + cancelled + in_flight`, over all calls to services.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CallLedger {
    /// Calls sent.
    pub started: u64,
    /// Calls that ended well.
    pub completed: u64,
    /// Calls that failed, refusals included.
    pub failed: u64,
    /// Calls given up because their caller left.
    pub cancelled: u64,
    /// Calls waiting or running now.
    pub in_flight: u64,
    /// Calls among the completed and failed whose caller had gone.
    #[schema(required)]
    pub orphaned: Option<u64>,
    /// Milliseconds that orphaned calls ran after their caller had gone.
    #[schema(required)]
    pub orphaned_ms: Option<f64>,
    /// Why neither can be known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orphaned_why: Option<OrphanedWhy>,
}

choice! {
    /// Why nothing is known of orphaned calls.
    pub enum OrphanedWhy {
        /// The service does not report what it does after its caller has gone.
        BehindUrl = "service_behind_url",
    }
}

impl CallLedger {
    fn add(&mut self, other: &Self) {
        self.started += other.started;
        self.completed += other.completed;
        self.failed += other.failed;
        self.cancelled += other.cancelled;
        self.in_flight += other.in_flight;
        // One unknown makes the sum unknown.
        self.orphaned = self.orphaned.zip(other.orphaned).map(|(a, b)| a + b);
        self.orphaned_ms = self.orphaned_ms.zip(other.orphaned_ms).map(|(a, b)| a + b);
        self.orphaned_why = self.orphaned_why.or(other.orphaned_why);
    }
}

impl From<crate::sim::StationLedger> for CallLedger {
    fn from(ledger: crate::sim::StationLedger) -> Self {
        Self {
            started: ledger.started,
            completed: ledger.completed,
            failed: ledger.failed,
            cancelled: ledger.cancelled,
            in_flight: ledger.in_flight,
            orphaned: Some(ledger.orphaned),
            orphaned_ms: Some(ledger.orphaned_ns as f64 / 1e6),
            orphaned_why: None,
        }
    }
}

/// The balance sheet of the requests: the sum over the endpoints, then each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HttpAudit {
    /// The sum.
    #[serde(flatten)]
    pub sum: RequestLedger,
    /// By endpoint.
    pub endpoints: BTreeMap<String, RequestLedger>,
}

impl HttpAudit {
    pub(super) fn of(endpoints: BTreeMap<String, RequestLedger>) -> Self {
        let mut sum = RequestLedger::default();
        endpoints.values().for_each(|ledger| sum.add(ledger));
        Self { sum, endpoints }
    }
}

/// The balance sheet of the calls: the sum over the services, then each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ServiceAudit {
    /// The sum.
    #[serde(flatten)]
    pub sum: CallLedger,
    /// By endpoint and service, as `/sync B`.
    pub services: BTreeMap<String, CallLedger>,
}

impl ServiceAudit {
    pub(super) fn of(services: BTreeMap<String, CallLedger>) -> Self {
        let mut sum = CallLedger { orphaned: Some(0), orphaned_ms: Some(0.0), ..CallLedger::default() };
        services.values().for_each(|ledger| sum.add(ledger));
        Self { sum, services }
    }
}
