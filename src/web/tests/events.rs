//! Watching, and what ends it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use http_body_util::BodyExt as _;

use crate::shutdown::Shutdown;
use crate::web::{Event, Events};

fn counted(shutdown: &Shutdown) -> (Events, Arc<AtomicUsize>) {
    let drawn = Arc::new(AtomicUsize::new(0));
    let count = drawn.clone();
    let events = Events::new(Duration::from_secs(1), shutdown.clone(), move || {
        let n = count.fetch_add(1, Ordering::SeqCst);
        vec![Event { name: "tick", data: format!("{n}\nlines") }]
    });
    (events, drawn)
}

async fn next(body: &mut axum::body::Body) -> Option<String> {
    let frame = body.frame().await?.unwrap().into_data().unwrap();
    Some(String::from_utf8(frame.to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_viewer_gets_a_picture_at_once_and_one_a_tick_drawn_once_for_all() {
    let shutdown = Shutdown::new(None, Duration::ZERO);
    let (events, drawn) = counted(&shutdown);
    let mut one = events.answer().into_body();
    assert_eq!(next(&mut one).await.unwrap(), "retry: 2000\nevent: tick\ndata: 0\ndata: lines\n\n");
    let mut two = events.answer().into_body();
    assert!(next(&mut two).await.unwrap().contains("data: 0"), "the current picture");
    let before = drawn.load(Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(next(&mut one).await, next(&mut two).await);
    }
    assert_eq!(drawn.load(Ordering::SeqCst), before + 3);

    drop((one, two));
    // Virtual time: that nothing happens has no event.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let still = drawn.load(Ordering::SeqCst);
    // The same again.
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(drawn.load(Ordering::SeqCst), still, "nobody watches, nothing is drawn");

    let mut again = events.answer().into_body();
    assert!(next(&mut again).await.is_some());
    shutdown.trigger();
    assert_eq!(next(&mut again).await, None, "a stop ends the stream");
}

#[tokio::test]
async fn seats_are_limited_and_given_back() {
    let shutdown = Shutdown::new(None, Duration::ZERO);
    let (events, _) = counted(&shutdown);
    let seated: Vec<_> = (0..256).map(|_| events.answer()).collect();
    assert!(seated.iter().all(|answer| answer.status() == 200));
    assert_eq!(events.answer().status(), 503);
    drop(seated);
    assert_eq!(events.answer().status(), 200);
}

#[tokio::test]
async fn a_stream_does_not_hold_up_the_drain() {
    let server =
        super::support::Server::with(crate::web::Limits::default(), Duration::ZERO, |shutdown, _| {
            let (events, _) = counted(shutdown);
            Router::new().route("/events", get(async move || events.answer()))
        });
    let mut client = server.connect().await;
    client.send("GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    client.until("data: lines").await;
    assert!(server.stop().await.clean);
}
