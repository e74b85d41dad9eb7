//! The reference of the whole program: text from the template `reference.txt`, tables from the code. A test compares
//! it with `docs/reference.md`.

use std::time::Duration;

use anyhow::Context as _;
use askama::Template;

use super::tables::{code, default, metrics, problems, table};
use crate::{
    app::{
        args::{ServeArgs, WholeArgs},
        ending::Ending,
        schema, serve,
    },
    http_lab::service,
    load::LoadMetrics,
    shutdown::Shutdown,
    telemetry::{self, Instruments, Telemetry},
    web::{self, GENERAL, Kind, Variable},
};

#[derive(Template)]
#[template(path = "reference.txt")]
struct Page {
    variables: String,
    metrics: String,
    problems: String,
    exit_codes: String,
    documents: String,
}

/// The text of `docs/reference.md`. `command` has the flags of all commands; `args` and `whole` are the arguments of
/// `lab`. It serves nothing, but opens the store that `whole` names.
///
/// # Errors
/// When the systems cannot be created, for example because no port is free.
pub async fn reference(
    command: &clap::Command,
    args: &ServeArgs,
    whole: WholeArgs,
) -> anyhow::Result<String> {
    let shutdown = Shutdown::new(None, Duration::ZERO);
    let telemetry = Telemetry::scraped(args.telemetry.slo_ms.ms())?;
    let listener = web::listen(args.addr.get(), "--addr (LAB_ADDR)")?;
    let mut systems = serve::systems(args, &listener, &telemetry, &shutdown)?;
    let more = serve::more_systems(whole, args, &listener, &telemetry, &shutdown).await?;
    let (more, queue) = more.context("the queue's store does not answer")?;
    systems.extend(more);
    let server = Instruments::silent();
    let _counted = web::Metrics::new(&server);
    telemetry::observe_process(&server);
    let load = Instruments::silent();
    let _recorded = LoadMetrics::new(&load);
    let measured: Vec<_> = systems
        .iter()
        .flat_map(|system| system.metrics.clone())
        .chain(server.described())
        .chain(load.described())
        .collect();
    let kinds: Vec<Kind> = GENERAL
        .iter()
        .chain(systems.iter().flat_map(|system| &system.problems))
        .chain(service::PROBLEMS)
        .cloned()
        .collect();
    let page = Page {
        variables: variables(Variable::all_of(command)),
        metrics: metrics(&measured),
        problems: problems(&kinds),
        exit_codes: table(
            &["code", "meaning"],
            Ending::ALL.map(|ending| [ending.code().to_string(), ending.meaning().to_owned()]),
        ),
        documents: table(
            &["schema", "content"],
            schema::described().map(|(name, about)| [code(name), about]),
        ),
    };
    queue.close().await;
    Ok(page.render()? + "\n")
}

/// A table of variables with their flags.
fn variables(variables: Vec<Variable>) -> String {
    let rows = variables.into_iter().map(|variable| {
        let flags: Vec<String> = variable.flags.iter().map(|flag| code(flag)).collect();
        [code(&variable.name), flags.join(", "), default(&variable), variable.allowed, variable.about]
    });
    table(&["variable", "flag", "default", "allowed", "meaning"], rows)
}
