//! A picture of a page, for `scripts/screenshot`: its arguments come as variables.

use std::{env, path::Path};

use super::{Browser, View};
use crate::support::{Server, send};

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn number(name: &str, default: u32) -> u32 {
    variable(name)
        .map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name}: no number: {value}")))
}

#[tokio::test]
#[ignore = "writes the file that scripts/screenshot asks for"]
async fn picture() {
    let browser = Browser::start().await.expect("Chromium");
    let variables: Vec<(String, String)> = env::vars().collect();
    let passed_on: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (&**name, &**value)).collect();
    let server = Server::start(&[], &passed_on);
    let wanted = |name: &str| variable(name).unwrap_or_else(|| panic!("{name} is not set"));
    let view = View {
        width_px: number("SCREENSHOT_WIDTH_PX", View::WIDE.width_px),
        height_px: number("SCREENSHOT_HEIGHT_PX", View::WIDE.height_px),
        dark: variable("SCREENSHOT_DARK").is_some(),
    };
    let mut page = browser.open(&server.url(&wanted("SCREENSHOT_PAGE")), view).await;
    if let Some(post) = variable("SCREENSHOT_POST") {
        let (path, body) = post.split_once(' ').unwrap_or((&post, ""));
        let answer = send(server.addr, &format!("POST {path}\ncontent-type: application/json"), body).await;
        assert_eq!(answer.status / 100, 2, "POST {post}: {}", answer.body);
    }
    if let Some(predicate) = variable("SCREENSHOT_UNTIL") {
        page.until(&predicate).await;
    }
    page.picture(Path::new(&wanted("SCREENSHOT_FILE"))).await;
    assert_eq!(page.faults().await, [""; 0]);
}
