//! `lab`: parse, start telemetry, run one command, flush.

#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::{io::ErrorKind, process::ExitCode};

use lab::{
    app::{self, Ending, pipeline::Command},
    cli::{self, Stop, Task},
    client::ExportClient,
    output,
    telemetry::{self, Telemetry},
};

fn main() -> ExitCode {
    let _last_lines = output::start();
    let parsed = match cli::parse(std::env::args_os()) {
        Ok(parsed) => parsed,
        Err(Stop::Show(text)) => {
            return match text.print() {
                Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                    output::to_stderr(format_args!("lab: writing to stdout: {error}"));
                    ExitCode::FAILURE
                }
                _ => ExitCode::SUCCESS,
            };
        }
        Err(Stop::Refuse(text)) => {
            output::to_stderr(format_args!("lab: {text}"));
            return ExitCode::from(2);
        }
    };
    let (serve, whole) = (parsed.cli.serve, parsed.cli.whole);
    let ending = match parsed.cli.command {
        None => {
            let telemetry = serve.telemetry.clone();
            with_telemetry(&telemetry, |telemetry| app::serve(serve, Some(whole), telemetry))
        }
        Some(task) => perform(task, &parsed.settings),
    };
    match ending {
        Ok(ending) => ExitCode::from(ending.code()),
        Err(error) => {
            output::to_stderr(format_args!("lab: {error:#}"));
            ExitCode::from(Ending::of(&error).code())
        }
    }
}

fn perform(task: Task, settings: &[app::CurrentSetting]) -> anyhow::Result<Ending> {
    match task {
        Task::Serve(args) => {
            with_telemetry(&args.telemetry.clone(), |telemetry| app::serve(args, None, telemetry))
        }
        Task::Streams(args) if args.virtual_time => run_virtually(app::run_streams_virtually(*args)),
        Task::Streams(args) => {
            with_telemetry(&args.telemetry.clone(), |telemetry| app::run_streams(*args, telemetry))
        }
        Task::Service(args) => {
            with_telemetry(&args.telemetry.clone(), |telemetry| app::serve_service(args, telemetry))
        }
        Task::Pipeline(app::pipeline::Args { command: Some(Command::Simulate(args)), .. }) => {
            app::pipeline::simulate::run(&args)
        }
        Task::Pipeline(args) if args.virtual_time => app::pipeline::run_in_virtual_time(&args),
        Task::Pipeline(args) => {
            with_telemetry(&args.telemetry.clone(), |telemetry| app::pipeline::run(args, telemetry))
        }
        Task::Queue(args) => match args.command {
            app::queue::Command::Part(part) => {
                with_telemetry(&part.telemetry(), |telemetry| app::queue::run(part, telemetry))
            }
            app::queue::Command::Audit(args) => run(async move { app::queue::audit(&args).await }),
            app::queue::Command::Bench(args) => run(app::run_bench(app::bench::Args::of_queue(args))),
            app::queue::Command::Load(args) => run(async move { app::queue::load(&args).await }),
        },
        Task::Guard => run(app::guard()),
        Task::Config(args) => app::print_config(settings, &args.json),
        Task::Audit(args) => run(async move { app::audit::run(&args).await }),
        Task::Health(args) => run(async move { app::health::run(&args).await }),
        Task::Load(args) => match args.task() {
            app::load::Task::Merge(args) => app::load::merge(&args),
            app::load::Task::Measure(measure) => {
                with_telemetry(&measure.telemetry.clone(), |telemetry| measure.run(telemetry))
            }
        },
        Task::Bench(args) => run(app::run_bench(args)),
        Task::Schema(args) => app::schema::run(&args),
        Task::Completions(args) => cli::print_completions(args.shell),
    }
}

fn run(task: impl Future<Output = anyhow::Result<Ending>>) -> anyhow::Result<Ending> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ending = runtime.block_on(task);
    // Do not wait for the work that a deadline or a second signal abandoned.
    runtime.shutdown_background();
    ending
}

/// Runs on one thread with a paused clock, which jumps to the next timer when all tasks are idle.
fn run_virtually(task: impl Future<Output = anyhow::Result<Ending>>) -> anyhow::Result<Ending> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(task)
}

fn with_telemetry<F: Future<Output = anyhow::Result<Ending>>>(
    config: &telemetry::Config,
    task: impl FnOnce(Telemetry) -> F,
) -> anyhow::Result<Ending> {
    let telemetry = Telemetry::start(config, ExportClient::start)?;
    telemetry.init_logs(config);
    run(async {
        let ending = task(telemetry.clone()).await;
        telemetry.flush().await;
        ending
    })
}
