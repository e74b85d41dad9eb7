//! The second check of the audit, page by page.
//!
//! ```text
//!   records ──> is each task where its record says?        (missing, no payload, no lease)
//!   places  ──> does each task's record say it is here?    (doubled, orphaned)
//!   lanes   ──> is each claimed from, if it may be?
//!   counts  ──> is each what the structures hold, at one moment?
//! ```
//!
//! A page is looked at by one script, so nothing moves meanwhile; what seems wrong is looked at once more, later.

use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use ::redis::{FromRedisValue, cmd};

use super::{
    args::{Args, text},
    keys,
    reply::{List, malformed},
    scripts,
};
use crate::{
    queue::{
        broker::{
            audit::{Finding, Scan, Wrong},
            contract::MOVED_LIMIT,
        },
        run::{Run, State},
        task::TaskId,
    },
    storage::{
        StoreError,
        redis::{Redis, Script},
    },
};

/// How long to wait before what seems wrong is looked at once more.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Tasks of one page whose place among the ended is looked for: that is a walk along all of them.
const WALKS_LIMIT: usize = 10;
/// Elements that one page of a scan holds, about; fewer where they hold payloads.
const PAGE: usize = MOVED_LIMIT;
const PAYLOADS_A_PAGE: usize = 50;

/// What was seen on the way.
#[derive(Default)]
struct Seen {
    tasks: HashSet<TaskId>,
    lanes: BTreeSet<String>,
    epochs: BTreeSet<u64>,
    seq: u64,
    bytes: u64,
}

pub(super) async fn audit(redis: &Redis, mends: bool) -> Result<Scan, StoreError> {
    let (looks, mut scan) = (Audit { redis, mends: false }, Scan::default());
    let audit = Audit { redis, mends };
    if audit.foreign_keys(&mut scan).await? {
        scan.left_out.push("all else: delete or rename these keys first, then audit again".to_owned());
        return Ok(scan);
    }
    let mut before = audit.counted().await?;
    let mut seen = audit.tasks_and_lanes(&mut scan).await?;
    if mends && scan.found > 0 {
        // What there is to count has changed.
        before = audit.counted().await?;
        seen = looks.tasks_and_lanes(&mut Scan::default()).await?;
    }
    audit.counts(&mut scan, &seen, before).await?;
    scan.records = seen.tasks.len() as u64;
    Ok(scan)
}

struct Audit<'a> {
    redis: &'a Redis,
    mends: bool,
}

impl Audit<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}{name}", keys::TAG)
    }

    /// How many tasks were enqueued, and how many have ended.
    async fn counted(&self) -> Result<(u64, u64), StoreError> {
        let mut counts = cmd("HMGET");
        counts.arg(self.key("count")).arg("enqueued").arg("done");
        let (enqueued, done): (Option<u64>, Option<u64>) = self.redis.command(&counts).await?;
        Ok((enqueued.unwrap_or(0), done.unwrap_or(0)))
    }

    /// Whether a key holds another type of value than the queue's. Every script that reads it fails.
    async fn foreign_keys(&self, scan: &mut Scan) -> Result<bool, StoreError> {
        for (key, holds) in keys::TYPES {
            let mut kind = cmd("TYPE");
            kind.arg(key);
            let kind: String = self.redis.command(&kind).await?;
            if kind != holds && kind != "none" {
                let at = format!("it is a {kind}, and must be a {holds}");
                scan.add([Finding { wrong: Wrong::Foreign, of: key.to_owned(), at, mended: String::new() }]);
            }
        }
        Ok(scan.found > 0)
    }

    async fn tasks_and_lanes(&self, scan: &mut Scan) -> Result<Seen, StoreError> {
        let mut seen = Seen::default();
        self.records(scan, &mut seen).await?;
        self.places(scan, &mut seen).await?;
        self.lanes(scan, &seen).await?;
        Ok(seen)
    }

    /// From each record to the place that it names.
    async fn records(&self, scan: &mut Scan, seen: &mut Seen) -> Result<(), StoreError> {
        let ended = self.ended().await?;
        let mut cursor = String::from("0");
        loop {
            let page: Vec<(Vec<u8>, Vec<u8>)>;
            (cursor, page) = self.page("HSCAN", &self.key("run"), &cursor, PAGE).await?;
            let (mut tasks, mut not_done) = (Vec::new(), Vec::new());
            for (id, line) in page {
                let (id, line) = (lossy(&id), lossy(&line));
                let Ok(known) = id.parse::<TaskId>() else {
                    scan.add([unreadable_id(&id)]);
                    continue;
                };
                if !seen.tasks.insert(known) {
                    continue;
                }
                if let Some(run) = Run::read(&line) {
                    seen.seq = seen.seq.max(run.number);
                    match run.state {
                        State::Pending { suspect: false } => {
                            seen.lanes.insert(run.lane.to_string());
                        }
                        State::InFlight { epoch, .. } => {
                            seen.epochs.insert(epoch);
                        }
                        State::Done(_) if !ended.contains(&known) => not_done.push(id.clone()),
                        _ => {}
                    }
                }
                tasks.push(id);
            }
            for tasks in tasks.chunks(MOVED_LIMIT) {
                seen.bytes += self.tasks(scan, "record", tasks).await?;
            }
            for tasks in not_done.chunks(WALKS_LIMIT) {
                self.tasks(scan, "not_done", tasks).await?;
            }
            if cursor == "0" {
                return Ok(());
            }
        }
    }

    /// The tasks that are listed as ended.
    async fn ended(&self) -> Result<HashSet<TaskId>, StoreError> {
        let (mut ended, mut at) = (HashSet::new(), 0);
        loop {
            let mut range = cmd("LRANGE");
            range.arg(self.key("done")).arg(at).arg(at + PAGE - 1);
            let page: Vec<String> = self.redis.command(&range).await?;
            ended.extend(page.iter().filter_map(|id| id.parse::<TaskId>().ok()));
            if page.len() < PAGE {
                return Ok(ended);
            }
            at += PAGE;
        }
    }

    /// From each place to the records of the tasks in it.
    async fn places(&self, scan: &mut Scan, seen: &mut Seen) -> Result<(), StoreError> {
        let mut cursor = String::from("0");
        loop {
            let lanes: Vec<String>;
            (cursor, lanes) = self.page("SSCAN", &self.key("lanes"), &cursor, PAGE).await?;
            seen.lanes.extend(lanes);
            if cursor == "0" {
                break;
            }
        }
        let mut leases = cmd("ZRANGE");
        leases.arg(self.key("epochs")).arg(0).arg(-1);
        let leases: Vec<u64> = self.redis.command(&leases).await?;
        seen.epochs.extend(leases);
        for place in ["delayed", "dead", "suspects"] {
            self.place(scan, "ZSCAN", place, PAGE).await?;
        }
        for lane in &seen.lanes {
            self.place(scan, "ZSCAN", &format!("lane|{lane}"), PAGE).await?;
        }
        for epoch in &seen.epochs {
            self.place(scan, "HSCAN", &format!("held|{epoch}"), PAGE).await?;
        }
        let ended: Vec<String> = self.ended().await?.iter().map(TaskId::to_string).collect();
        for tasks in ended.chunks(MOVED_LIMIT) {
            self.tasks(scan, "done", tasks).await?;
        }
        self.place(scan, "HSCAN", "task", PAYLOADS_A_PAGE).await
    }

    async fn place(
        &self,
        scan: &mut Scan,
        command: &str,
        place: &str,
        page_size: usize,
    ) -> Result<(), StoreError> {
        let name = if place == "task" { "payload" } else { place };
        let mut cursor = String::from("0");
        loop {
            let page: Vec<(Vec<u8>, Vec<u8>)>;
            (cursor, page) = self.page(command, &self.key(place), &cursor, page_size).await?;
            let ids: Vec<String> = page.into_iter().map(|(id, _)| lossy(&id)).collect();
            for tasks in ids.chunks(MOVED_LIMIT) {
                self.tasks(scan, name, tasks).await?;
            }
            if cursor == "0" {
                return Ok(());
            }
        }
    }

    async fn page<T: FromRedisValue>(
        &self,
        command: &str,
        key: &str,
        cursor: &str,
        size: usize,
    ) -> Result<(String, T), StoreError> {
        let mut page = cmd(command);
        page.arg(key).arg(cursor).arg("COUNT").arg(size);
        self.redis.command(&page).await
    }

    /// Looks at tasks that were read at `place`. Returns the bytes of their payloads.
    async fn tasks(&self, scan: &mut Scan, place: &str, ids: &[String]) -> Result<u64, StoreError> {
        let args = |act: &str, ids: &[String]| {
            [act, place].into_iter().chain(ids.iter().map(String::as_str)).map(text).collect()
        };
        let mut reply = scripts::run(self.redis, &scripts::AUDIT_TASKS, &args("look", ids)).await?.list()?;
        let bytes = reply.number()?;
        let mut found = findings(reply)?;
        let acts: &[&str] = if self.mends { &["look", "mend"] } else { &["look"] };
        for act in acts {
            if found.is_empty() {
                break;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            let ids: BTreeSet<String> = found.into_iter().map(|finding| finding.of).collect();
            let ids: Vec<String> = ids.into_iter().collect();
            let mut reply =
                scripts::run(self.redis, &scripts::AUDIT_TASKS, &args(act, &ids)).await?.list()?;
            reply.number()?;
            found = findings(reply)?;
        }
        scan.add(found);
        Ok(bytes)
    }

    async fn lanes(&self, scan: &mut Scan, seen: &Seen) -> Result<(), StoreError> {
        let lanes: Vec<&String> = seen.lanes.iter().collect();
        for lanes in lanes.chunks(MOVED_LIMIT) {
            let args = |act: &str| std::iter::once(text(act)).chain(lanes.iter().map(text)).collect();
            let found = self.twice(&scripts::AUDIT_LANES, args).await?;
            scan.add(found.1);
        }
        Ok(())
    }

    async fn counts(&self, scan: &mut Scan, seen: &Seen, before: (u64, u64)) -> Result<(), StoreError> {
        let epoch = seen.epochs.last().copied().unwrap_or(0);
        // A queue that moved meanwhile has no sum of its payloads: they were added up one after the other.
        let is_still = self.counted().await? == before;
        let bytes = if is_still { seen.bytes.to_string() } else { String::new() };
        if !is_still {
            scan.left_out.push("the bytes of all payloads: tasks came or ended meanwhile".to_owned());
        }
        let args = |act: &str| {
            let (enqueued, done) = before;
            vec![text(act), text(&bytes), text(enqueued), text(done), text(seen.seq), text(epoch)]
        };
        let (left_out, found) = self.twice(&scripts::AUDIT_COUNTS, args).await?;
        scan.add(found);
        let mut left_out = left_out.ok_or_else(|| malformed("no list of what is left out"))?;
        while !left_out.is_empty() {
            let what = match left_out.text()?.as_str() {
                "lanes" => "the count of pending tasks: too many lanes",
                "processes" => "the count of tasks in flight: too many processes",
                _ => "the counts of limits: too many tasks in flight",
            };
            scan.left_out.push(what.to_owned());
        }
        Ok(())
    }

    /// Runs a script that looks at one thing; what it finds counts if it finds it again, and then it mends it.
    async fn twice(
        &self,
        script: &Script,
        args: impl Fn(&str) -> Args,
    ) -> Result<(Option<List>, Vec<Finding>), StoreError> {
        let mut last = self.once(script, args("look")).await?;
        let acts: &[&str] = if self.mends { &["look", "mend"] } else { &["look"] };
        for act in acts {
            if last.1.is_empty() {
                break;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            let found = last.1;
            last = self.once(script, args(act)).await?;
            if *act == "look" {
                last.1.retain(|finding| {
                    found.iter().any(|before| (before.wrong, &before.of) == (finding.wrong, &finding.of))
                });
            }
        }
        Ok(last)
    }

    async fn once(&self, script: &Script, args: Args) -> Result<(Option<List>, Vec<Finding>), StoreError> {
        let mut reply = scripts::run(self.redis, script, &args).await?.list()?;
        let left_out = reply.list_if_any();
        Ok((left_out, findings(reply)?))
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A record of what is no id: nothing of the queue names it.
fn unreadable_id(id: &str) -> Finding {
    let at = "a record whose name is no id".to_owned();
    Finding { wrong: Wrong::Unreadable, of: format!("{id:.80}"), at, mended: String::new() }
}

fn findings(mut reply: List) -> Result<Vec<Finding>, StoreError> {
    let mut findings = Vec::new();
    while !reply.is_empty() {
        let (wrong, of) = (reply.parsed()?, reply.text()?);
        findings.push(Finding { wrong, of, at: reply.text()?, mended: reply.text()? });
    }
    Ok(findings)
}
