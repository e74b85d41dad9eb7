//! `docs/reference.md` is what the program makes of its own tables.

use std::{collections::BTreeSet, fs};

use clap::CommandFactory as _;
use lab::{app, cli};

use super::{read, root};

const PAGE: &str = "docs/reference.md";
const RENEW: &str = "INSTA_UPDATE=always cargo test --locked --test it -- house::reference";

fn generated() -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("a path of this machine");
    let arguments = ["lab", "--addr", "127.0.0.1:0", "--data-dir", data].map(Into::into);
    let cli = cli::parse(arguments).expect("good flags").cli;
    let command = cli::Cli::command();
    runtime.block_on(app::reference(&command, &cli.serve, cli.whole)).expect("the reference")
}

#[test]
fn the_reference_page_is_what_the_program_generates() {
    let page = generated();
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        fs::write(root().join(PAGE), &page).expect("a file that can be written");
    }
    let kept = read(PAGE);
    let changed = page.lines().zip(kept.lines()).find(|(made, kept)| made != kept);
    assert!(page == kept, "{PAGE} is out of date; renew it with `{RENEW}`. The first change: {changed:#?}");
}

#[test]
fn the_reference_page_lists_every_metric_of_servers_and_of_the_load_generator() {
    let page = generated();
    let table = page.lines().skip_while(|line| !line.starts_with("| metric | kind | labels |"));
    let listed: BTreeSet<(String, BTreeSet<String>)> = table
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let labels = cells[3].split(", ").filter(|label| !label.is_empty());
            (cells[1].trim_matches('`').to_owned(), labels.map(str::to_owned).collect())
        })
        .collect();
    let recorded: BTreeSet<(String, BTreeSet<String>)> =
        crate::goldens::metrics().iter().map(|metric| (metric.name.clone(), metric.labels.clone())).collect();
    assert_eq!(listed, recorded);
}

#[test]
fn the_reference_page_lists_every_kind_of_problem() {
    let page = generated();
    let listed: BTreeSet<&str> =
        page.split("\n| `/problems/").skip(1).filter_map(|rest| rest.split('`').next()).collect();
    let golden = read("tests/it/goldens/problems.snap");
    let met: BTreeSet<&str> =
        golden.split("\n/problems/").skip(1).filter_map(|rest| rest.split(':').next()).collect();
    assert_eq!(listed, met);
}
