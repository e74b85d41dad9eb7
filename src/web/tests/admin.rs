//! The admin rule, as clients meet it.

use axum::Router;
use axum::routing::post;

use super::support::{Answer, Server};
use crate::web::{Admin, Secret};

fn server(token: Option<&str>) -> Server {
    let admin = Admin::new(token.and_then(Secret::new));
    let guarded = Router::new().route("/change", post(async || "changed"));
    Server::start(admin.guard(guarded).merge(admin.session_routes()))
}

async fn change(server: &Server, headers: &str) -> Answer {
    server.ask(&format!("POST /change HTTP/1.1\r\n{headers}\r\n")).await
}

async fn sign_in(server: &Server, headers: &str, form: &str) -> Answer {
    let length = form.len();
    let kind = "content-type: application/x-www-form-urlencoded";
    server
        .ask(&format!(
            "POST /session HTTP/1.1\r\nhost: localhost\r\n{kind}\r\ncontent-length: {length}\r\n{headers}\r\n{form}"
        ))
        .await
}

#[tokio::test]
async fn without_a_token_only_loopback_with_a_loopback_name_is_allowed() {
    let server = server(None);
    for (headers, status) in [
        ("host: localhost:8080\r\n", 200),
        ("host: 127.0.0.1\r\n", 200),
        ("host: [::1]:9\r\n", 200),
        ("host: rebound.example\r\n", 421),
        ("", 400),
        ("host: localhost\r\nx-forwarded-for: 10.0.0.1\r\n", 403),
        ("host: localhost\r\nvia: 1.1 proxy\r\n", 403),
        ("host: localhost\r\norigin: http://localhost\r\n", 200),
        ("host: localhost\r\norigin: http://evil.example\r\n", 403),
        ("host: localhost\r\nsec-fetch-site: cross-site\r\n", 403),
        ("host: localhost\r\nsec-fetch-site: same-site\r\n", 403),
        ("host: localhost\r\nsec-fetch-site: same-origin\r\n", 200),
    ] {
        let answer = change(&server, headers).await;
        assert_eq!(answer.status, status, "{headers}");
        if status == 403 {
            assert_eq!(answer.problem()["type"], "/problems/forbidden");
        }
    }
    assert_eq!(sign_in(&server, "", "token=x").await.status, 404);
}

#[tokio::test]
async fn with_a_token_only_its_bearer_is_allowed() {
    let server = server(Some("s3cret"));
    for (headers, status) in [
        ("host: localhost\r\nx-real-ip: 10.0.0.1\r\nauthorization: Bearer s3cret\r\n", 200),
        ("host: localhost\r\nx-real-ip: 10.0.0.1\r\nauthorization: bearer s3cret\r\n", 200),
        ("host: localhost\r\n", 401),
        ("host: localhost\r\nauthorization: Bearer wrong\r\n", 401),
        ("host: localhost\r\nauthorization: Basic s3cret\r\n", 401),
        ("host: localhost\r\nauthorization: Bearer s3cret\r\norigin: https://evil.example\r\n", 403),
    ] {
        let answer = change(&server, headers).await;
        assert_eq!(answer.status, status, "{headers}");
        if status == 401 {
            assert_eq!(answer.header("www-authenticate"), Some("bearer"));
            assert!(!answer.body.contains("s3cret"));
        }
    }
}

#[tokio::test]
async fn a_token_opens_a_session_until_it_is_signed_out() {
    let server = server(Some("s3cret"));
    assert_eq!(sign_in(&server, "", "token=wrong").await.problem()["status"], 401);
    assert_eq!(sign_in(&server, "origin: https://evil.example\r\n", "token=s3cret").await.status, 403);

    let answer = sign_in(&server, "", "token=s3cret").await;
    assert_eq!(answer.status, 204);
    let (session, flags) = answer.header("set-cookie").unwrap().split_once("; ").unwrap();
    assert_eq!(flags, "httponly; samesite=strict; path=/; max-age=43200");
    let with_session = format!("host: localhost\r\ncookie: {session}\r\n");
    assert_eq!(change(&server, &with_session).await.body, "changed");

    let foreign = format!("{with_session}sec-fetch-site: cross-site\r\n");
    assert_eq!(change(&server, &foreign).await.status, 403);

    let out = server.ask(&format!("DELETE /session HTTP/1.1\r\n{with_session}\r\n")).await;
    assert_eq!(out.status, 204);
    assert!(out.header("set-cookie").unwrap().contains("max-age=0"));
    assert_eq!(change(&server, &with_session).await.status, 401);
}

#[tokio::test]
async fn a_browser_is_redirected_only_to_a_page_of_this_server() {
    let server = server(Some("s3cret"));
    let html = "accept: text/html,*/*\r\n";
    for (next, location) in [
        ("%2Fstreams%3Fx=1", "/streams?x=1"),
        ("%2F%2Fevil.example", "/"),
        ("%2F%5Cevil.example", "/"),
        ("%2F%09%2Fevil.example", "/"),
        ("https:%2F%2Fevil.example", "/"),
    ] {
        let answer = sign_in(&server, html, &format!("token=s3cret&next={next}")).await;
        assert_eq!((answer.status, answer.header("location")), (303, Some(location)));
    }
}

#[tokio::test]
async fn guessing_is_limited_and_sessions_are_not() {
    let server = server(Some("s3cret"));
    let answer = sign_in(&server, "", "token=s3cret").await;
    let session = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();

    let guess = "host: localhost\r\nauthorization: Bearer guess\r\n";
    let refused = loop {
        let answer = change(&server, guess).await;
        if answer.status != 401 {
            break answer;
        }
    };
    assert_eq!(refused.problem()["type"], "/problems/too-many-requests");
    assert_eq!(refused.header("retry-after"), Some("1"));
    let with_session = format!("host: localhost\r\ncookie: {session}\r\n");
    assert_eq!(change(&server, &with_session).await.status, 200);
}
