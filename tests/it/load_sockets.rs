//! The load engine over sockets, as `lab bench` drives it.

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use lab::load::{
    Cause, Control, Live, Measured, Pace, Plan, Schedule, Spacing,
    http::{Http, Settings},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Barrier, Notify},
    time::timeout,
};

use crate::support::PATIENCE;

const HOUR: Duration = Duration::from_secs(3_600);

fn count(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("not 0")
}

fn closed(users: u32) -> Plan {
    Plan {
        pace: Pace::Closed { requests: None, users: count(users), length: HOUR, schedule: None },
        timeout: HOUR,
        slo: HOUR,
    }
}

async fn run(plan: &Plan, addr: SocketAddr, connections: u32, control: &Control, live: &Live) -> Measured {
    let target = format!("http://{addr}/").parse().expect("a target");
    let http = Arc::new(Http::new(&[target], &Settings::plain(count(connections))));
    timeout(PATIENCE, plan.run(http, control, live)).await.expect("in time")
}

/// What is offered has an end, one end, and what was sent is a part of it.
fn assert_balanced(measured: &Measured) {
    let lost: u64 = measured.causes.values().sum();
    let unfinished = measured.recorder.headline().censored();
    assert_eq!(measured.offered(), measured.answered() + lost + unfinished, "{measured:?}");
    let unsent: u64 =
        [Cause::NotSent, Cause::ConnectionRefused].map(|cause| measured.caused(cause)).iter().sum();
    assert_eq!(measured.sent(), measured.offered() - unsent, "{measured:?}");
}

/// Reads a request's head; false where the connection ends.
async fn reads_head(stream: &mut TcpStream) -> bool {
    let mut tail = [0; 4];
    while tail != *b"\r\n\r\n" {
        tail.rotate_left(1);
        match stream.read_u8().await {
            Ok(byte) => tail[3] = byte,
            Err(_) => return false,
        }
    }
    true
}

async fn answers(stream: &mut TcpStream) -> bool {
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.is_ok()
}

#[tokio::test]
async fn each_user_of_a_closed_loop_has_a_connection_with_one_request_at_a_time() {
    const USERS: u32 = 8;
    const ANSWERS: u64 = 2_000;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    let (opened, answered, early) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let control = Control::default();
    // Nobody is answered before all have asked.
    let all_here = Arc::new(Barrier::new(USERS as usize));
    tokio::spawn({
        let (opened, answered, early) = (Arc::clone(&opened), Arc::clone(&answered), Arc::clone(&early));
        let stopping = control.stopping.clone();
        async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                opened.fetch_add(1, SeqCst);
                let (answered, early) = (Arc::clone(&answered), Arc::clone(&early));
                let (all_here, stopping) = (Arc::clone(&all_here), stopping.clone());
                tokio::spawn(async move {
                    let mut first = true;
                    while reads_head(&mut stream).await {
                        if std::mem::take(&mut first) {
                            all_here.wait().await;
                        }
                        // Another request may not come before this one's answer.
                        early.fetch_add(u64::from(stream.try_read(&mut [0; 1]).is_ok()), SeqCst);
                        if answered.fetch_add(1, SeqCst) >= ANSWERS {
                            stopping.cancel();
                        }
                        if !answers(&mut stream).await {
                            return;
                        }
                    }
                });
            }
        }
    });
    let plan = closed(USERS);
    // More connections are allowed than there are users.
    let measured = run(&plan, addr, 8 * USERS, &control, &Live::new(HOUR, None)).await;
    assert_balanced(&measured);
    assert_eq!((opened.load(SeqCst), early.load(SeqCst)), (USERS as usize, 0));
    assert_eq!(measured.statuses.get(&200), Some(&answered.load(SeqCst)));
    assert_eq!(measured.body_bytes, 2 * measured.offered());
}

#[tokio::test]
async fn a_burst_is_in_flight_all_at_once() {
    const REQUESTS: u32 = 300;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    // One more than the requests: nobody is answered before the test says so.
    let all_here = Arc::new(Barrier::new(REQUESTS as usize + 1));
    tokio::spawn({
        let all_here = Arc::clone(&all_here);
        async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let all_here = Arc::clone(&all_here);
                tokio::spawn(async move {
                    if reads_head(&mut stream).await {
                        all_here.wait().await;
                        answers(&mut stream).await;
                    }
                });
            }
        }
    });
    let phases = format!("burst {REQUESTS}").parse().expect("phases");
    let schedule = Schedule::Phases { phases, spacing: Spacing::Constant };
    let pace = Pace::Open { schedule, max_in_flight: count(REQUESTS) };
    let plan = Plan { pace, timeout: HOUR, slo: HOUR };
    let (control, live) = (Control::default(), Live::new(HOUR, None));
    let (measured, in_flight) = tokio::join!(run(&plan, addr, REQUESTS, &control, &live), async {
        all_here.wait().await;
        live.in_flight()
    });
    assert_balanced(&measured);
    assert_eq!(in_flight, u64::from(REQUESTS));
    assert_eq!(measured.statuses.get(&200), Some(&u64::from(REQUESTS)));
}

#[tokio::test]
async fn when_the_server_dies_the_failures_are_counted_and_the_run_ends() {
    const ANSWERS: u64 = 100;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    let dead = Arc::new(Notify::new());
    let serving = tokio::spawn({
        let dead = Arc::clone(&dead);
        async move {
            let mut connections = tokio::task::JoinSet::new();
            let answered = Arc::new(AtomicU64::new(0));
            loop {
                tokio::select! {
                    () = dead.notified() => return,
                    Ok((mut stream, _)) = listener.accept() => {
                        let (dead, answered) = (Arc::clone(&dead), Arc::clone(&answered));
                        connections.spawn(async move {
                            while reads_head(&mut stream).await && answers(&mut stream).await {
                                if answered.fetch_add(1, SeqCst) + 1 == ANSWERS {
                                    dead.notify_one();
                                }
                            }
                        });
                    }
                }
            }
        }
    });
    let (control, live) = (Control::default(), Live::new(HOUR, None));
    let plan = closed(4);
    let (measured, ()) = tokio::join!(run(&plan, addr, 4, &control, &live), async {
        serving.await.expect("no panic");
        while live.look(|measured| measured.caused(Cause::ConnectionRefused)) < 10 {
            tokio::task::yield_now().await;
        }
        control.stopping.cancel();
    });
    assert_balanced(&measured);
    assert!(measured.answered() >= ANSWERS, "{measured:?}");
    assert_eq!(live.in_flight(), 0);
}
