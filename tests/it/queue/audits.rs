//! The audit that looks at every task: it finds nothing where nothing is wrong, names what is, and mends it.

use std::collections::BTreeSet;

use lab::queue::{
    Due, NewTask, Rule, TaskId,
    broker::{Batch, Broker, CrashRule, Exchange, Exchanged, Handles, Settled, Wrong},
    settle::{DeathReason, Settle},
};

use super::store::{Process, Store, on_both, settlement, task};
use crate::support::Server;

on_both! {
    nothing_is_found_where_nothing_is_wrong,
}

/// One task or more in each state, under limits.
struct Full {
    in_flight: TaskId,
    delayed: TaskId,
    dead: TaskId,
    done: TaskId,
    suspect: TaskId,
    waiting: TaskId,
    epoch: u64,
}

async fn claim_of(process: &mut Process<'_>, kind: &str, want: u32) -> Vec<lab::queue::broker::Claimed> {
    let handles = Handles::Only(vec![kind.parse().expect("a name")]);
    match process.exchange(Vec::new(), want, handles).await {
        Exchanged::Done(traded) => traded.claimed,
        other => panic!("{other:?}"),
    }
}

async fn fill(store: &Store) -> Full {
    let limited = Rule { in_flight_limit: Some(2), ..Rule::default() };
    store.broker.set_rule(&"t|limited".parse().expect("a scope"), limited).await.expect("set");
    let paused = Rule { paused: true, ..Rule::default() };
    store.broker.set_rule(&"g|paused".parse().expect("a scope"), paused).await.expect("set");
    // One that died twice is a suspect.
    let suspect = store.fill("2|suspect|", 1).await[0];
    for _ in 0..2 {
        let mut process = store.process().await;
        assert_eq!(claim_of(&mut process, "suspect", 1).await.len(), 1);
        process.die().await;
        store.broker.reap(CrashRule::default()).await.expect("reaped");
    }
    let waiting = store.fill("2|email|", 3).await[0];
    store.fill("1|email|acme", 2).await;
    store.fill("3|email|paused", 2).await;
    store.fill("2|limited|acme", 4).await;
    let later = NewTask { due: Due::InMs(3_600_000), ..task("2|later|") };
    store.enqueue(std::slice::from_ref(&later)).await;
    store.fill("2|ends|", 2).await;
    let mut process = store.process().await;
    let ends = claim_of(&mut process, "ends", 2).await;
    let bury = Settle::Bury { reason: DeathReason::Final, error: "no".to_owned() };
    let settled = vec![settlement(&ends[0], bury), settlement(&ends[1], Settle::Succeeded)];
    process.trade(settled, 0).await;
    let in_flight = claim_of(&mut process, "limited", 5).await;
    assert_eq!(in_flight.len(), 2);
    Full {
        in_flight: in_flight[0].id,
        delayed: later.id,
        dead: ends[0].id,
        done: ends[1].id,
        suspect,
        waiting,
        epoch: process.epoch.number,
    }
}

async fn nothing_is_found_where_nothing_is_wrong(store: Store) {
    fill(&store).await;
    for mends in [false, true] {
        let scan = store.broker.audit(mends).await.expect("audited");
        assert_eq!((scan.found, scan.records), (0, 15), "{scan:?}");
    }
    store.balances().await;
}

/// What the audit must call the faults that `commands` plant, and that it mends them all.
async fn mends(commands: impl Fn(&Full) -> String, expected: &[Wrong]) {
    let store = Store::redis().await;
    let full = fill(&store).await;
    let commands = commands(&full);
    store.send(&commands).await;
    let scan = store.broker.audit(false).await.expect("audited");
    let wrong: BTreeSet<Wrong> = scan.findings.iter().map(|finding| finding.wrong).collect();
    // One fault has consequences, such as counts that do not fit: more may be named.
    assert!(expected.iter().all(|kind| wrong.contains(kind)), "{expected:?} after {commands}: {scan:#?}");
    let mended = store.broker.audit(true).await.expect("audited");
    assert!(mended.findings.iter().all(|finding| !finding.mended.is_empty()), "{commands}: {mended:#?}");
    let scan = store.broker.audit(false).await.expect("audited");
    assert_eq!(scan.found, 0, "after {commands}: {scan:#?}");
    let stats = store.broker.stats().await.expect("answered");
    let live = stats.counts.pending + stats.counts.in_flight + stats.counts.delayed + stats.counts.dead;
    assert_eq!(stats.counts.enqueued, live + stats.counts.done, "after {commands}");
    // What waits can be claimed, all but what may have been lost with its payload; those of a paused group and beyond a limit apart.
    let mut process = store.process().await;
    assert!(claim_of(&mut process, "email", 100).await.len() >= 4, "after {commands}");
}

#[tokio::test]
async fn keys_and_records_of_other_programs_are_named() {
    let store = Store::redis().await;
    fill(&store).await;
    store.send("HSET K|run nonsense garbage").await;
    let scan = store.broker.audit(true).await.expect("audited");
    let named: Vec<(Wrong, &str)> =
        scan.findings.iter().map(|finding| (finding.wrong, finding.of.as_str())).collect();
    assert_eq!(named, [(Wrong::Unreadable, "nonsense")]);
    store.send("DEL K|rules\nSET K|rules garbage").await;
    let scan = store.broker.audit(true).await.expect("audited");
    let named: Vec<(Wrong, &str)> =
        scan.findings.iter().map(|finding| (finding.wrong, finding.of.as_str())).collect();
    assert_eq!(named, [(Wrong::Foreign, "{tasks:pending}|rules")]);
    assert_eq!(scan.left_out.len(), 1);
}

#[tokio::test]
async fn a_task_in_a_wrong_place_is_named_and_brought_back() {
    use Wrong::{Count, Doubled, Missing, NoPayload, Orphaned, Size};
    // Moved to another lane, to the dead letters, to the ended.
    mends(
        |full| {
            let Full { waiting, delayed, dead, .. } = full;
            format!(
                "ZREM K|lane|2|email| {waiting}
                 ZADD K|lane|2|limited|acme 1 {waiting}
                 ZREM K|delayed {delayed}
                 ZADD K|dead 1 {delayed}
                 ZREM K|dead {dead}
                 RPUSH K|done {dead}"
            )
        },
        &[Missing, Doubled, Count],
    )
    .await;
    // Doubled.
    mends(
        |Full { waiting, in_flight, .. }| {
            format!("ZADD K|delayed 1 {waiting}\nZADD K|lane|2|limited|acme 1 {in_flight}")
        },
        &[Doubled, Count],
    )
    .await;
    // In a lane and in no record; without a payload too.
    mends(|full| format!("HDEL K|run {}", full.waiting), &[Orphaned]).await;
    mends(|full| format!("HDEL K|run {0}\nHDEL K|task {0}", full.waiting), &[Orphaned, Count]).await;
    mends(|full| format!("HDEL K|run {}", full.delayed), &[Orphaned]).await;
    mends(|full| format!("HDEL K|task {}", full.suspect), &[NoPayload, Count]).await;
    mends(|full| format!("HSET K|task {} 1", full.done), &[Doubled, Size]).await;
}

#[tokio::test]
async fn what_a_lost_key_broke_is_mended() {
    use Wrong::{Count, Lease, Limit, Missing, NoLease, UnclaimedLane, UnlistedLane};
    let lost = |key: &'static str| move |_: &Full| format!("DEL K|{key}");
    mends(lost("lane|2|email|"), &[Missing, Count]).await;
    mends(lost("delayed"), &[Missing, Count]).await;
    mends(lost("dead"), &[Missing, Count]).await;
    mends(lost("suspects"), &[Missing, Count]).await;
    mends(lost("done"), &[Missing]).await;
    mends(lost("lanes"), &[UnlistedLane, Count]).await;
    mends(lost("ring|2"), &[UnclaimedLane]).await;
    mends(lost("ring|2|email"), &[UnclaimedLane]).await;
    mends(lost("of|acme"), &[UnlistedLane]).await;
    mends(lost("in_flight"), &[Limit]).await;
    mends(lost("count"), &[Count]).await;
    mends(lost("epochs"), &[NoLease, Count]).await;
    mends(lost("meta"), &[Count]).await;
    mends(|full| format!("DEL K|held|{}", full.epoch), &[Missing, Count, Limit]).await;
    mends(|_| "HDEL K|meta clock\nZADD K|epochs 99999999999 1".to_owned(), &[Lease]).await;
}

#[tokio::test]
async fn with_all_records_lost_every_payload_is_kept() {
    let store = Store::redis().await;
    fill(&store).await;
    let before = store.broker.stats().await.expect("answered").sizes.tasks;
    store.send("DEL K|run").await;
    let mended = store.broker.audit(true).await.expect("audited");
    assert!(mended.found > 0 && mended.findings.iter().all(|finding| finding.wrong != Wrong::NoPayload));
    let scan = store.broker.audit(false).await.expect("audited");
    assert_eq!(scan.found, 0, "{scan:#?}");
    assert_eq!(store.broker.stats().await.expect("answered").sizes.tasks, before);
    // The number of a delivery only rises, although what it was is lost.
    let mut process = store.process().await;
    assert!(claim_of(&mut process, "email", 1).await[0].delivery > 1_000_000);
}

/// `lab` with these variables: its exit code, what it printed, what it said.
async fn lab(arguments: &[&str], environment: &[(&str, &str)]) -> (i32, serde_json::Value, String) {
    let own = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let (arguments, (names, values)): (_, (Vec<_>, Vec<_>)) = (
        own(arguments),
        environment.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).unzip(),
    );
    // The command asks a server that this runtime may run.
    let run = move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let environment: Vec<(&str, &str)> =
            names.iter().map(String::as_str).zip(values.iter().map(String::as_str)).collect();
        crate::support::run(&arguments, &environment)
    };
    let (code, out, err) = tokio::task::spawn_blocking(run).await.expect("ran");
    (code, serde_json::from_str(&out).unwrap_or_default(), err)
}

#[tokio::test]
async fn the_command_looks_into_redis_itself_and_repairs_it() {
    let store = Store::redis().await;
    let full = fill(&store).await;
    let url = store.url();
    let here = [("REDIS_URL", url.as_str())];
    let (code, sheet, err) = lab(&["audit", "queue", "--json"], &here).await;
    assert_eq!((code, &sheet["enqueued"], &sheet["scan"]["records"]), (0, &15.into(), &15.into()), "{err}");
    assert_eq!((&sheet["schema"], &sheet["balances"]), (&"lab/queue-balance/1".into(), &true.into()));
    store.send(&format!("ZREM K|delayed {}", full.delayed)).await;
    let (code, sheet, err) = lab(&["queue", "audit", "--json"], &here).await;
    assert_eq!((code, &sheet["scan"]["findings"][0]["wrong"]), (1, &"missing".into()), "{sheet}");
    assert!(err.contains("things are wrong in the queue's store"), "{err}");
    let (code, sheet, err) = lab(&["audit", "queue", "--repair", "--json"], &here).await;
    assert_eq!((code, &sheet["scan"]["findings"][0]["mended"]), (0, &"put back".into()), "{sheet} {err}");
    let (code, sheet, _) = lab(&["audit", "queue", "--json"], &here).await;
    assert_eq!((code, &sheet["scan"]["found"]), (0, &0.into()), "{sheet}");
    // Nobody is there.
    drop(store);
    let (code, _, err) = lab(&["audit", "queue"], &here).await;
    assert!(code == 3 && err.contains("start that Redis") && !err.contains("`lab`"), "{code} {err}");
    let (code, _, err) = lab(&["audit", "http", "--repair"], &[]).await;
    assert_eq!(code, 2, "{err}");
}

#[tokio::test]
async fn the_command_asks_the_owner_of_a_file_and_opens_a_file_that_nobody_has() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("text").to_owned();
    // Another server listens on the usual address, or none.
    let nobody = ("LAB_ADDR", "127.0.0.1:1");
    let here = [nobody, ("QUEUE_API_ADDR", "127.0.0.1:1"), ("LAB_DATA_DIR", path.as_str())];
    let (code, _, err) = lab(&["audit", "queue"], &here).await;
    let is_named = err.matches("nothing listens on http://127.0.0.1:1").count();
    assert_eq!((code, is_named), (3, 2), "{err}");
    let (code, _, err) = lab(&["audit", "queue", "--repair"], &here).await;
    assert!(code == 1 && err.contains("holds no queue"), "{code} {err}");
    let server = Server::start(&["queue", "api"], &[("LAB_DATA_DIR", path.as_str())]);
    let head = "POST /task\ncontent-type: application/json";
    let queued = crate::support::send(server.addr, head, r#"{"type": "email"}"#).await;
    assert_eq!(queued.status, 202, "{}", queued.body);
    let (code, sheet, err) = lab(&["audit", "queue", "--json", "--url", &server.url("/")], &[]).await;
    assert_eq!((code, &sheet["scan"]["records"]), (0, &1.into()), "{sheet} {err}");
    // Without a URL, the address of `lab queue api` is asked after that of `lab`, or of a server without a queue.
    let (addr, other) = (server.addr.to_string(), Server::start(&["pipeline"], &[]));
    for lab_addr in ["127.0.0.1:1".to_owned(), other.addr.to_string()] {
        let there = [
            ("LAB_ADDR", lab_addr.as_str()),
            ("QUEUE_API_ADDR", addr.as_str()),
            ("LAB_DATA_DIR", path.as_str()),
        ];
        let (code, sheet, err) = lab(&["audit", "queue", "--json"], &there).await;
        assert_eq!((code, &sheet["scan"]["records"]), (0, &1.into()), "{sheet} {err}");
    }
    // It says who has the file.
    let (code, _, err) = lab(&["audit", "queue"], &here).await;
    assert!(
        code == 3 && err.contains("in use by process") && !err.contains("start a server"),
        "{code} {err}"
    );
    let (code, _, err) = lab(&["audit", "queue", "--repair"], &here).await;
    assert!(code == 1 && err.contains("stop it first"), "{code} {err}");
    server.signal(rustix::process::Signal::TERM);
    let (status, _) = server.wait();
    assert!(status.success());
    let (code, sheet, err) = lab(&["audit", "queue", "--json"], &here).await;
    assert_eq!(
        (code, &sheet["enqueued"], &sheet["scan"]["found"]),
        (0, &1.into(), &0.into()),
        "{sheet} {err}"
    );
    let db = rusqlite::Connection::open(folder.path().join("queue.sqlite")).expect("opened");
    db.execute_batch("UPDATE count SET value = value + 3 WHERE name = 'enqueued'").expect("changed");
    drop(db);
    let (code, sheet, err) = lab(&["audit", "queue", "--json"], &here).await;
    assert_eq!((code, &sheet["scan"]["findings"][0]["of"]), (1, &"enqueued".into()), "{sheet} {err}");
    let (code, sheet, err) = lab(&["audit", "queue", "--repair", "--json"], &here).await;
    assert_eq!((code, &sheet["balances"]), (0, &true.into()), "{sheet} {err}");
}

#[tokio::test]
async fn keys_of_a_newer_program_are_not_touched() {
    let store = Store::redis().await;
    store.fill("2|email|", 1).await;
    let mut process = store.process().await;
    store.send("HSET K|meta schema 99").await;
    let Broker::Redis(broker) = &store.broker else { panic!("not Redis") };
    let dump = async || {
        let mut dump = Vec::new();
        for key in ["task", "run", "count", "meta", "epochs", "lane|2|email|"] {
            let of = format!("{{tasks:pending}}|{key}");
            dump.push(broker.redis().command::<Vec<u8>>(::redis::cmd("DUMP").arg(of)).await.expect("dumped"));
        }
        dump
    };
    let before = dump().await;
    let refused =
        |error: lab::storage::StoreError| assert!(error.to_string().contains("version 99"), "{error}");
    process.round += 1;
    let exchange = Exchange { round: process.round, settled: Vec::new(), want: 1, handles: Handles::Any };
    refused(store.broker.exchange(&process.epoch, &exchange).await.expect_err("refused"));
    let sent = [task("2|email|")];
    refused(store.broker.enqueue(&sent, Batch::Whole, &store.caps).await.expect_err("refused"));
    refused(store.broker.beat(&process.epoch, 1).await.expect_err("refused"));
    refused(store.broker.promote().await.expect_err("refused"));
    refused(store.broker.check_settings().await.expect_err("refused"));
    assert!(dump().await == before, "something was moved");
}

#[tokio::test]
async fn keys_of_an_older_program_are_taken_over() {
    let store = Store::redis().await;
    store.fill("2|email|", 2).await;
    let mut process = store.process().await;
    let held = process.claim(1).await;
    // Before, a process's set held the delivery only.
    let (epoch, id, delivery) = (process.epoch.number, held[0].id, held[0].delivery);
    store.send(&format!("HSET K|held|{epoch} {id} {delivery}\nHSET K|meta schema 1")).await;
    assert_eq!(process.settle(&held[0], Settle::Succeeded).await, Settled::Applied);
    store.broker.check_settings().await.expect("known");
    let Broker::Redis(broker) = &store.broker else { panic!("not Redis") };
    let mut version = ::redis::cmd("HGET");
    version.arg("{tasks:pending}|meta").arg("schema");
    assert_eq!(broker.redis().command::<u64>(&version).await.expect("read"), 2);
    store.balances().await;
}
