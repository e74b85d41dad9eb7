//! The queue in Redis: each request is one script.

mod args;
mod audit;
mod keys;
mod reply;
mod reports;
mod scripts;

use ::redis::Value;

use self::{
    args::{Args, delay, text},
    keys::{INBOX, KEYS, WAKE},
    reply::{Reply, malformed},
};
use bytes::Bytes;

use super::{
    audit::Scan,
    bell::Bell,
    contract::{
        Admission, Batch, Beat, Cancel, Caps, Claimed, CrashRule, Enqueued, Epoch, Exchange, Exchanged,
        Handles, Known, Looked, MOVED_LIMIT, Promoted, RawElement, Reaped, RunNow, Settled, Settlement,
        Traded, Verdict,
    },
    stats::{LISTED_LIMIT, LaneStats, Listed, PREVIEW_LIMIT_BYTES, ProcessStats, Stats, Which},
};
use crate::{
    queue::{
        lane::{RateLimit, Rule, RuleChange, Scope},
        run::{Run, State},
        settle::Settle,
        task::{NewTask, Spec, TaskId},
    },
    storage::{
        Durability, StoreError,
        redis::{Copies, Redis, RedisUrl, Script},
    },
};

/// How long a page of lanes is, and how many pages are read at most.
const LANES_A_PAGE: usize = 200;
const LANE_PAGES_LIMIT: usize = 50;

/// How many bytes of the raw list are read at a time.
const PEEKED_LIMIT_BYTES: usize = 1 << 19;

/// The queue in Redis; cheap to clone.
#[derive(Debug, Clone)]
pub struct RedisBroker {
    redis: Redis,
    replicated: Option<Replicated>,
}

/// How enqueues wait for replicas.
#[derive(Debug, Clone)]
struct Replicated {
    copies: Copies,
    /// A connection of their own: what is sent behind a `WAIT` waits too.
    redis: Redis,
}

impl RedisBroker {
    /// Connects to the store at `url`.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn connect(url: &RedisUrl) -> Result<Self, StoreError> {
        Ok(Self { redis: Redis::connect_for(url, INBOX).await?, replicated: None })
    }

    /// Enqueues wait for these copies, and say whether they came.
    #[must_use]
    pub fn with_copies(mut self, copies: Copies) -> Self {
        self.replicated = Some(Replicated { copies, redis: self.redis.apart() });
        self
    }

    /// The same store over a connection of its own, for a runtime of its own.
    #[must_use]
    pub fn apart(&self) -> Self {
        let apart = Self { redis: self.redis.apart(), replicated: None };
        match &self.replicated {
            Some(Replicated { copies, .. }) => apart.with_copies(*copies),
            None => apart,
        }
    }

    pub(super) fn bell(&self) -> Bell {
        Bell::on_list(self.redis.waker(), WAKE)
    }

    /// The connection.
    pub fn redis(&self) -> &Redis {
        &self.redis
    }

    /// What an accepted enqueue survives.
    pub fn durability(&self) -> Durability {
        self.redis.durability()
    }

    async fn run(&self, script: &Script, args: Args) -> Result<Reply, StoreError> {
        scripts::run(&self.redis, script, &args).await
    }

    /// The same of a script that writes whatever it accepts, and what that survives.
    async fn run_durably(&self, script: &Script, args: Args) -> Result<(Reply, Durability), StoreError> {
        let Some(Replicated { copies, redis }) = &self.replicated else {
            return Ok((self.run(script, args).await?, self.durability()));
        };
        let (reply, has_copies) = redis.run_with_copies::<Value>(script, &KEYS, &args, *copies).await?;
        Ok((Reply(reply), if has_copies { Durability::Replicated } else { redis.durability() }))
    }

    pub(super) async fn enqueue(
        &self,
        tasks: &[NewTask],
        batch: Batch,
        caps: &Caps,
    ) -> Result<(Enqueued, Durability), StoreError> {
        let mode = match batch {
            Batch::Whole => "all",
            Batch::Each => "each",
        };
        let mut args =
            vec![text(caps.tasks), text(caps.bytes), text(caps.types), text(mode), text(tasks.len())];
        for NewTask { id, lane, due, spec, key } in tasks {
            let (key, fingerprint) = key.as_ref().map_or(("", ""), |key| (&key.key, &key.fingerprint));
            args.extend([text(id), text(lane), delay(*due), text(spec.deadline_ms), spec.to_bytes()]);
            args.extend([text(key), text(fingerprint)]);
        }
        let (reply, durability) = self.run_durably(&scripts::ENQUEUE, args).await?;
        let mut reply = reply.list()?;
        let what = reply.text()?;
        let verdicts = |mut reply: reply::List| -> Result<Vec<Verdict>, StoreError> {
            let mut verdicts = Vec::with_capacity(tasks.len());
            while !reply.is_empty() {
                let (code, id) = (reply.text()?, reply.parsed::<TaskId>()?);
                verdicts.push(match code.as_str() {
                    "queued" => Verdict::Queued,
                    "known" => Verdict::Known,
                    "same" => Verdict::Same(id),
                    "conflict" => Verdict::Conflict(id),
                    "types" => Verdict::TooManyTypes,
                    other => return Err(malformed(other)),
                });
            }
            Ok(verdicts)
        };
        let enqueued = match what.as_str() {
            "full" => Enqueued::Full,
            "taken" => Enqueued::Taken(verdicts(reply)?),
            "refused" => Enqueued::Refused(verdicts(reply)?),
            other => return Err(malformed(other)),
        };
        Ok((enqueued, durability))
    }

    pub(super) async fn peek(&self, preview_bytes: u64) -> Result<Vec<RawElement>, StoreError> {
        let args = vec![text(MOVED_LIMIT), text(PEEKED_LIMIT_BYTES), text(preview_bytes)];
        let mut reply = self.run(&scripts::PEEK, args).await?.list()?;
        let mut elements = Vec::new();
        while !reply.is_empty() {
            elements.push(RawElement { length: reply.number()?, bytes: reply.bytes()? });
        }
        Ok(elements)
    }

    pub(super) async fn admit(&self, admissions: &[Admission], caps: &Caps) -> Result<u64, StoreError> {
        let mut args = vec![text(caps.tasks), text(caps.bytes), text(caps.types), text(admissions.len())];
        for Admission { element, task, malformed } in admissions {
            let NewTask { id, lane, due, spec, .. } = task;
            let act = if malformed.is_some() { "dead" } else { "task" };
            args.extend([text(element.length), element.bytes.to_vec(), text(act), text(id), text(lane)]);
            args.extend([delay(*due), text(spec.deadline_ms), spec.to_bytes()]);
            args.push(text(malformed.as_deref().unwrap_or_default()));
        }
        self.run(&scripts::ADMIT, args).await?.number()
    }

    pub(super) async fn register(&self, secret: &str, lease_ms: u64, who: &str) -> Result<Epoch, StoreError> {
        let args = vec![text(secret), text(lease_ms), text(who)];
        let number = self.run(&scripts::REGISTER, args).await?.number()?;
        Ok(Epoch { number, secret: secret.to_owned() })
    }

    pub(super) async fn beat(&self, epoch: &Epoch, lease_ms: u64) -> Result<Beat, StoreError> {
        let args = vec![text(epoch.number), text(&epoch.secret), text(lease_ms)];
        let mut reply = self.run(&scripts::BEAT, args).await?.list()?;
        if reply.text()? == "expired" {
            return Ok(Beat::Expired);
        }
        Ok(Beat::Alive { round: reply.number()?, held: reply.number()?, cancel: reply.rest()? })
    }

    pub(super) async fn report(
        &self,
        epoch: &Epoch,
        handles: &Handles,
        account: &str,
    ) -> Result<(), StoreError> {
        reports::report(&self.redis, epoch, handles, account).await
    }

    pub(super) async fn reports(&self) -> Result<Vec<String>, StoreError> {
        reports::reports(&self.redis).await
    }

    pub(super) async fn exchange(&self, epoch: &Epoch, exchange: &Exchange) -> Result<Exchanged, StoreError> {
        let Exchange { round, settled, want, handles } = exchange;
        let mut args = vec![
            text(epoch.number),
            text(&epoch.secret),
            text(round),
            text((*want).min(MOVED_LIMIT as u32)),
            text(settled.len()),
        ];
        for Settlement { id, delivery, settle } in settled {
            let (act, number, said) = match settle {
                Settle::Succeeded => ("success", 0, String::new()),
                Settle::Retry { delay_ms, error } => ("retry", *delay_ms, error.clone()),
                Settle::Snooze { delay_ms } => ("snooze", *delay_ms, String::new()),
                Settle::HandBack => ("back", 0, String::new()),
                Settle::Bury { reason, error } => ("bury", 0, format!("{} {error}", reason.label())),
                Settle::Cancelled => ("cancelled", 0, String::new()),
            };
            args.extend([text(id), text(delivery), text(act), text(number), text(said)]);
        }
        match handles {
            Handles::Any => args.push(text(0)),
            Handles::Only(types) => {
                args.push(text(types.len()));
                args.extend(types.iter().map(text));
            }
        }
        let mut reply = self.run(&scripts::EXCHANGE, args).await?.list()?;
        match reply.text()?.as_str() {
            "expired" => return Ok(Exchanged::Expired),
            "late" => return Ok(Exchanged::Late),
            "done" => {}
            other => return Err(malformed(other)),
        }
        let empty_yourself = reply.text()? == "empty";
        let next_start_in_ms = reply.number_or_none()?;
        let count = reply.number()?;
        let codes = (0..count).map(|_| {
            let code = reply.text()?;
            Settled::ALL.into_iter().find(|settled| settled.label() == code).ok_or_else(|| malformed(&code))
        });
        let settled = codes.collect::<Result<_, _>>()?;
        let (mut claimed, mut unreadable) = (Vec::new(), Vec::new());
        while !reply.is_empty() {
            let (id, line, spec) = (reply.parsed()?, reply.text()?, reply.optional_bytes()?);
            match claimed_of(id, &line, spec.as_ref()) {
                Some(task) => claimed.push(task),
                None => unreadable.push((id, delivery_of(&line)?)),
            }
        }
        Ok(Exchanged::Done(Traded { settled, claimed, unreadable, empty_yourself, next_start_in_ms }))
    }

    pub(super) async fn leave(&self, epoch: &Epoch) -> Result<(), StoreError> {
        let args = vec![text(epoch.number), text(&epoch.secret)];
        self.run(&scripts::LEAVE, args).await.map(drop)
    }

    pub(super) async fn promote(&self) -> Result<Promoted, StoreError> {
        let mut reply = self.run(&scripts::PROMOTE, vec![text(MOVED_LIMIT)]).await?.list()?;
        Ok(Promoted { moved: reply.number()?, next_in_ms: reply.number_or_none()? })
    }

    pub(super) async fn reap(&self, rule: CrashRule) -> Result<Reaped, StoreError> {
        let args = vec![text(MOVED_LIMIT), text(rule.suspect_after), text(rule.memory_ms)];
        let mut reply = self.run(&scripts::REAP, args).await?.list()?;
        let epoch = Some(reply.number()?).filter(|&epoch| epoch > 0);
        Ok(Reaped {
            epoch,
            who: reply.text()?,
            returned: reply.number()?,
            suspects: reply.number()?,
            dead: reply.number()?,
        })
    }

    pub(super) async fn sweep(&self, caps: &Caps) -> Result<u64, StoreError> {
        let args = [caps.done, caps.done_age_ms, caps.dead, caps.dead_age_ms, caps.key_age_ms];
        let args = std::iter::once(text(MOVED_LIMIT)).chain(args.map(text)).collect();
        let mut reply = self.run(&scripts::SWEEP, args).await?.list()?;
        Ok(reply.number()? + reply.number()? + reply.number()?)
    }

    pub(super) async fn cancel(&self, id: TaskId) -> Result<Cancel, StoreError> {
        self.run(&scripts::CANCEL, vec![text(id)]).await?.named(&Cancel::ALL, Cancel::label)
    }

    pub(super) async fn run_now(&self, id: TaskId) -> Result<RunNow, StoreError> {
        self.run(&scripts::RUN_NOW, vec![text(id)]).await?.named(&RunNow::ALL, RunNow::label)
    }

    pub(super) async fn unbury(&self, replay: bool, ids: &[TaskId]) -> Result<u64, StoreError> {
        let act = if replay { "replay" } else { "discard" };
        let args = std::iter::once(text(act)).chain(ids.iter().map(text)).collect();
        self.run(&scripts::UNBURY, args).await?.number()
    }

    pub(super) async fn change_rule(
        &self,
        scope: &Scope,
        change: RuleChange,
    ) -> Result<Option<Rule>, StoreError> {
        let RuleChange { paused, in_flight_limit, interval_us, burst } = change;
        let args = vec![
            text(scope),
            paused.map_or_else(Vec::new, |paused| text(u8::from(paused))),
            in_flight_limit.map_or_else(Vec::new, text),
            interval_us.map_or_else(Vec::new, text),
            burst.map_or_else(Vec::new, text),
        ];
        let line = self.run(&scripts::RULE, args).await?.text()?;
        if line == "no_rate" {
            return Ok(None);
        }
        read_rule(&line).ok_or_else(|| malformed(&line)).map(Some)
    }

    pub(super) async fn get(&self, id: TaskId) -> Result<Looked, StoreError> {
        let mut reply = self.run(&scripts::GET, vec![text(id)]).await?.list()?;
        let (run, spec, error) = (reply.optional_text()?, reply.optional_bytes()?, reply.optional_text()?);
        let oldest_ms = reply.number_or_none()?;
        let Some(run) = run else { return Ok(Looked::Unknown { oldest_ms }) };
        let unreadable = || StoreError::Refused(format!("the record of task {id} cannot be read"));
        let run = Run::read(&run).ok_or_else(unreadable)?;
        let spec = spec.and_then(|spec| Spec::from_bytes(&spec));
        Ok(Looked::Known(Box::new(Known { run, spec, error })))
    }

    pub(super) async fn stats(&self) -> Result<Stats, StoreError> {
        let mut reply = self.run(&scripts::STATS, Vec::new()).await?.list()?;
        let mut stats = Stats { now_ms: reply.number()?, ..Stats::default() };
        // The lease clock is for people who read the store.
        reply.number()?;
        stats.inbox = reply.number()?;
        let mut counts = reply.list()?;
        while !counts.is_empty() {
            let (name, count) = (counts.text()?, counts.number()?);
            if let Some(field) = stats.counts.field(&name) {
                *field = count;
            }
        }
        let mut rules = reply.list()?;
        while !rules.is_empty() {
            let (scope, rule) = (rules.parsed()?, rules.text()?);
            stats.rules.push((scope, read_rule(&rule).ok_or_else(|| malformed(&rule))?));
        }
        reply.list()?;
        let mut processes = reply.list()?;
        while !processes.is_empty() {
            let epoch = processes.number()?;
            processes.number()?;
            let (who, held, handles) = (processes.text()?, processes.number()?, processes.text()?);
            stats.processes.push(ProcessStats { epoch, who, held, handles: reports::read_handles(&handles) });
        }
        let mut sizes = reply.list()?;
        while !sizes.is_empty() {
            let (name, size) = (sizes.text()?, sizes.number()?);
            *stats.sizes.field(&name).ok_or_else(|| malformed(&name))? = size;
        }
        Ok(stats)
    }

    pub(super) async fn list(&self, which: Which, offset: usize) -> Result<Vec<Listed>, StoreError> {
        let which = match which {
            Which::Dead => "dead".to_owned(),
            Which::Delayed => "delayed".to_owned(),
            Which::HeldBy(epoch) => epoch.to_string(),
        };
        let args = vec![text(which), text(offset), text(LISTED_LIMIT), text(PREVIEW_LIMIT_BYTES)];
        let mut reply = self.run(&scripts::LIST, args).await?.list()?;
        let mut listed = Vec::new();
        while !reply.is_empty() {
            let (id, run, spec, error) =
                (reply.parsed()?, reply.text()?, reply.bytes()?, reply.optional_text()?);
            let Some(run) = Run::read(&run) else { continue };
            listed.push(Listed { id, known: Known { run, spec: Spec::from_bytes(&spec), error } });
        }
        Ok(listed)
    }

    pub(super) async fn audit(&self, mends: bool) -> Result<Scan, StoreError> {
        audit::audit(&self.redis, mends).await
    }

    /// Reads the settings and the version of the keys anew.
    pub(super) async fn check_settings(&self) -> Result<(), StoreError> {
        if let Some(Replicated { redis, .. }) = &self.replicated {
            redis.settings().await?;
        }
        self.redis.settings().await?.refuse_eviction().map_err(StoreError::Refused)?;
        let mut reply = self.run(&scripts::SCHEMA, Vec::new()).await?.list()?;
        match (reply.number_or_none()?, reply.number()?) {
            (Some(found), known) if found > known => Err(StoreError::Refused(format!(
                "its keys are of version {found}, this program knows up to {known}: a newer program wrote them"
            ))),
            _ => Ok(()),
        }
    }

    pub(super) async fn lanes(&self) -> Result<Vec<LaneStats>, StoreError> {
        let mut lanes = Vec::new();
        let mut cursor = "0".to_owned();
        for _ in 0..LANE_PAGES_LIMIT {
            let args = vec![text(&cursor), text(LANES_A_PAGE)];
            let mut reply = self.run(&scripts::LANES, args).await?.list()?;
            cursor = reply.text()?;
            let mut page = reply.list()?;
            while !page.is_empty() {
                lanes.push(LaneStats {
                    lane: page.parsed()?,
                    length: page.number()?,
                    since_ms: page.number()?,
                });
            }
            if cursor == "0" {
                break;
            }
        }
        lanes.sort_by(|a, b| a.lane.cmp(&b.lane));
        // A scan may name a lane twice.
        lanes.dedup_by(|a, b| a.lane == b.lane);
        Ok(lanes)
    }
}

/// Reads `PAUSED LIMIT INTERVAL_US BURST`.
fn read_rule(text: &str) -> Option<Rule> {
    let mut parts = text.split(' ');
    let (paused, limit, interval, burst) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let rate = RateLimit { interval_us: interval.parse().ok()?, burst: burst.parse().ok()? };
    Some(Rule {
        paused: paused == "1",
        in_flight_limit: Some(limit.parse().ok()?).filter(|&limit| limit > 0),
        rate: Some(rate).filter(|rate| rate.interval_us > 0),
    })
}

/// A claimed task; `None` if its record cannot be read.
fn claimed_of(id: TaskId, line: &str, spec: Option<&Bytes>) -> Option<Claimed> {
    let run = Run::read(line)?;
    let State::InFlight { alone, ready_ms, .. } = run.state else { return None };
    let Run { lane, delivery, failures, crashes, since_ms: started_ms, .. } = run;
    let spec = Spec::from_bytes(spec?)?;
    Some(Claimed { id, lane, spec, delivery, failures, crashes, alone, ready_ms, started_ms })
}

/// The number of the delivery, which the script has just raised.
fn delivery_of(line: &str) -> Result<u64, StoreError> {
    line.split(' ').nth(1).and_then(|number| number.parse().ok()).ok_or_else(|| malformed(line))
}
