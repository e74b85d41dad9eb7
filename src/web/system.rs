//! A system as the house sees it: a value.
//!
//! A room builds one and hands it up; the app folds a list of them into one server. Whatever the house shows of
//! its systems (navigation, links, OpenAPI document, readiness, audit, drain report, reference) is made
//! from these values, so a new system appears everywhere by being in the list.

use axum::Router;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::sheet::Sheet;
use super::{Check, Frame, Kind, Link, RouteLimit};
use crate::telemetry::{Described, Instruments};

type Views = Box<dyn FnOnce(Frame) -> Router + Send>;
type Start = Box<dyn FnOnce() -> BoxFuture<'static, anyhow::Result<()>> + Send>;
type Stop = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;
type Stragglers = Box<dyn Fn() -> Vec<String> + Send + Sync>;

/// One system: what it answers, shows, counts, and how it begins and ends.
pub struct System {
    /// Its name: in paths, problem types and the log.
    pub name: &'static str,
    /// Its name in the navigation.
    pub title: &'static str,
    /// The path of its page.
    pub path: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    /// Whether the navigation leads to its page.
    pub in_navigation: bool,
    /// Routes whose requests it counts itself.
    pub endpoints: Router,
    /// Routes that everybody may read; they get the frame of its page.
    pub views: Vec<Views>,
    /// Routes that only an administrator may use.
    pub controls: Router,
    /// The limits of its routes that differ from the server's.
    pub limits: Vec<RouteLimit>,
    /// Its part of the OpenAPI document.
    pub openapi: utoipa::openapi::OpenApi,
    /// The links at the foot of every page.
    pub links: Vec<Link>,
    /// The variables that configure it; made when somebody reads the reference.
    pub variables: Vec<fn() -> Vec<Variable>>,
    /// What it measures.
    pub metrics: Vec<Described>,
    /// The kinds of problem that it answers with beside the general ones.
    pub problems: Vec<Kind>,
    /// What must answer before the server calls itself ready.
    pub checks: Vec<Check>,
    /// Runs once the address is taken and before it is announced; of several systems the last of the list first.
    pub start: Option<Start>,
    /// Runs when the process's stop begins and returns when no more work is taken in; of several systems the
    /// first of the list first.
    pub stop: Option<Stop>,
    /// What a drain left unfinished; empty when nothing is.
    pub stragglers: Stragglers,
    /// Its balance sheets.
    pub sheets: Vec<Sheet>,
}

impl System {
    /// A system with nothing but its name, the title and path of its page, and what it is.
    pub fn new(name: &'static str, title: &'static str, path: &'static str, about: &'static str) -> Self {
        Self {
            name,
            title,
            path,
            about,
            in_navigation: true,
            endpoints: Router::new(),
            views: Vec::new(),
            controls: Router::new(),
            limits: Vec::new(),
            openapi: utoipa::openapi::OpenApiBuilder::new().build(),
            links: Vec::new(),
            variables: Vec::new(),
            metrics: Vec::new(),
            problems: Vec::new(),
            checks: Vec::new(),
            start: None,
            stop: None,
            stragglers: Box::new(Vec::new),
            sheets: Vec::new(),
        }
    }

    /// Keeps it out of the navigation: it is shown on another system's page.
    #[must_use]
    pub fn off_the_navigation(mut self) -> Self {
        self.in_navigation = false;
        self
    }

    /// Adds routes whose requests the system counts itself.
    #[must_use]
    pub fn endpoints(mut self, routes: Router) -> Self {
        self.endpoints = self.endpoints.merge(routes);
        self
    }

    /// Adds routes that everybody may read.
    #[must_use]
    pub fn views(mut self, routes: impl FnOnce(Frame) -> Router + Send + 'static) -> Self {
        self.views.push(Box::new(routes));
        self
    }

    /// Adds routes that only an administrator may use.
    #[must_use]
    pub fn controls(mut self, routes: Router) -> Self {
        self.controls = self.controls.merge(routes);
        self
    }

    /// Adds a limit of its own for routes under a path.
    #[must_use]
    pub fn limit(mut self, limit: RouteLimit) -> Self {
        self.limits.push(limit);
        self
    }

    /// Adds a part of the OpenAPI document.
    #[must_use]
    pub fn openapi(mut self, part: utoipa::openapi::OpenApi) -> Self {
        self.openapi.merge(part);
        self
    }

    /// Adds a link to the foot of every page.
    #[must_use]
    pub fn link(mut self, group: &'static str, path: &'static str, about: &'static str) -> Self {
        self.links.push(Link { group, path, about });
        self
    }

    /// Adds the variables that `A` reads.
    #[must_use]
    pub fn variables<A: clap::Args>(mut self) -> Self {
        self.variables.push(|| {
            let command = A::augment_args(clap::Command::new(""));
            command.get_arguments().filter_map(Variable::of).collect()
        });
        self
    }

    /// Adds the metrics that were made from `instruments`.
    #[must_use]
    pub fn metrics(mut self, instruments: &Instruments) -> Self {
        self.metrics.extend(instruments.described());
        self
    }

    /// Adds kinds of problem that it answers with.
    #[must_use]
    pub fn problems<'a>(mut self, kinds: impl IntoIterator<Item = &'a Kind>) -> Self {
        self.problems.extend(kinds.into_iter().cloned());
        self
    }

    /// Adds a dependency that must answer before the server calls itself ready.
    #[must_use]
    pub fn check(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }

    /// Sets what runs once the address is taken and before it is announced.
    #[must_use]
    pub fn on_start<F>(mut self, start: impl FnOnce() -> F + Send + 'static) -> Self
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.start = Some(Box::new(move || start().boxed()));
        self
    }

    /// Sets what runs when the process's stop begins; it returns when no more work is taken in.
    #[must_use]
    pub fn on_stop<F>(mut self, stop: impl FnOnce() -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.stop = Some(Box::new(move || stop().boxed()));
        self
    }

    /// Sets what a drain left unfinished, as phrases such as `3 jobs of the pipeline`.
    #[must_use]
    pub fn stragglers(mut self, left: impl Fn() -> Vec<String> + Send + Sync + 'static) -> Self {
        self.stragglers = Box::new(left);
        self
    }

    /// Adds a balance sheet.
    #[must_use]
    pub fn sheet(mut self, sheet: Sheet) -> Self {
        self.sheets.push(sheet);
        self
    }
}

/// A variable, for the reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its default, if it has one.
    pub default: Option<String>,
    /// The flags that have the same effect.
    pub flags: Vec<String>,
    /// What it allows, in one phrase; empty where every text is allowed.
    pub allowed: String,
    /// What it is for.
    pub about: String,
}

impl Variable {
    /// The variables of a command and of those below it, each once: as the first command has it, with the flags of
    /// all.
    pub fn all_of(command: &clap::Command) -> Vec<Self> {
        let below = command.get_subcommands().flat_map(Self::all_of);
        let mut all: Vec<Self> = Vec::new();
        for variable in command.get_arguments().filter_map(Self::of).chain(below) {
            match all.iter_mut().find(|known| known.name == variable.name) {
                Some(known) => {
                    known.flags.extend(variable.flags);
                    known.flags.sort();
                    known.flags.dedup();
                }
                None => all.push(variable),
            }
        }
        all
    }

    fn of(argument: &clap::Arg) -> Option<Self> {
        let text = |value: &std::ffi::OsStr| value.to_string_lossy().into_owned();
        // A value's name with a space in it is the phrase that says what is allowed.
        let named = argument.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
        Some(Self {
            name: text(argument.get_env()?),
            default: argument.get_default_values().first().map(|value| text(value)),
            flags: argument.get_long().map(|long| format!("--{long}")).into_iter().collect(),
            allowed: named.filter(|name| name.contains(' ')).unwrap_or_default(),
            about: argument.get_help().map(ToString::to_string).unwrap_or_default(),
        })
    }
}
