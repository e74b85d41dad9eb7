//! The description of a system to the server, as a value.
//!
//! Each system's room builds one; the app combines a list of them into one server. The server's navigation, links,
//! OpenAPI document, readiness, audit, drain report and reference are all made from these values, so a new system
//! appears everywhere once it is in the list.

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

/// One system: its routes, pages, metrics and balance sheets, and how it starts and stops.
pub struct System {
    /// Its name in paths, problem types and the log.
    pub name: &'static str,
    /// Its name in the navigation.
    pub title: &'static str,
    /// The path of its page.
    pub path: &'static str,
    /// Its description in one line.
    pub about: &'static str,
    /// Whether the navigation links to its page.
    pub in_navigation: bool,
    /// Routes whose requests the system counts itself.
    pub endpoints: Router,
    /// Public routes. Each gets the frame of the system's page.
    pub views: Vec<Views>,
    /// Routes that only an administrator may use.
    pub controls: Router,
    /// Body limits of its routes that differ from the server's.
    pub limits: Vec<RouteLimit>,
    /// Its part of the OpenAPI document.
    pub openapi: utoipa::openapi::OpenApi,
    /// The links at the foot of every page.
    pub links: Vec<Link>,
    /// Functions that list the variables that configure it; called when the reference is requested.
    pub variables: Vec<fn() -> Vec<Variable>>,
    /// Its metrics.
    pub metrics: Vec<Described>,
    /// The kinds of problem that it responds with, without the general ones.
    pub problems: Vec<Kind>,
    /// Checks that must succeed before the server reports that it is ready.
    pub checks: Vec<Check>,
    /// Called after the address is bound and before it is announced. The last system of the list is started first.
    pub start: Option<Start>,
    /// Called when the process begins to stop. It returns when the system refuses new work. The first system of the
    /// list is stopped first.
    pub stop: Option<Stop>,
    /// Lists the work that a drain left unfinished.
    pub stragglers: Stragglers,
    /// Its balance sheets.
    pub sheets: Vec<Sheet>,
}

impl System {
    /// A system with only a name, the title and the path of its page, and a description.
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

    /// Leaves it out of the navigation, because another system's page shows it.
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

    /// Adds public routes.
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

    /// Adds a body limit for routes under a path.
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

    /// Adds the variables of the arguments `A`.
    #[must_use]
    pub fn variables<A: clap::Args>(mut self) -> Self {
        self.variables.push(|| {
            let command = A::augment_args(clap::Command::new(""));
            command.get_arguments().filter_map(Variable::of).collect()
        });
        self
    }

    /// Adds the metrics that were created from `instruments`.
    #[must_use]
    pub fn metrics(mut self, instruments: &Instruments) -> Self {
        self.metrics.extend(instruments.described());
        self
    }

    /// Adds kinds of problem that it responds with.
    #[must_use]
    pub fn problems<'a>(mut self, kinds: impl IntoIterator<Item = &'a Kind>) -> Self {
        self.problems.extend(kinds.into_iter().cloned());
        self
    }

    /// Adds a check that must succeed before the server reports that it is ready.
    #[must_use]
    pub fn check(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }

    /// Sets the function that is called after the address is bound and before it is announced.
    #[must_use]
    pub fn on_start<F>(mut self, start: impl FnOnce() -> F + Send + 'static) -> Self
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.start = Some(Box::new(move || start().boxed()));
        self
    }

    /// Sets the function that is called when the process begins to stop; it returns when the system refuses new work.
    #[must_use]
    pub fn on_stop<F>(mut self, stop: impl FnOnce() -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.stop = Some(Box::new(move || stop().boxed()));
        self
    }

    /// Sets the function that lists the work that a drain left unfinished, in phrases such as `3 jobs of the pipeline`.
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

/// A variable in the reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its default, if it has one.
    pub default: Option<String>,
    /// The equivalent flags.
    pub flags: Vec<String>,
    /// Its allowed values, in one phrase; empty if every text is allowed.
    pub allowed: String,
    /// Its purpose.
    pub about: String,
}

impl Variable {
    /// The variables of a command and its subcommands. Each variable is listed once, with the description of the
    /// first command that has it and the flags of all.
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
        // A value name with a space is the phrase that describes the allowed values.
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
