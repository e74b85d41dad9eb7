//! Whether the tasks of a lane can be started at all.

use std::collections::BTreeSet;

use super::{
    broker::ProcessStats,
    lane::{Lane, Rule, Scope},
    name::Name,
};
use crate::labelled;

labelled! {
    /// Whether the tasks of a lane can be started.
    pub enum Claim {
        /// They are started when it is their turn.
        Claimable = "claimable",
        /// A pause holds them.
        Paused = "paused",
        /// No process with a lease handles their type.
        Unclaimable = "unclaimable",
    }
}

/// What lanes are claimed from: the pauses, and what processes handle.
#[derive(Debug)]
pub(super) struct Claims<'a> {
    rules: &'a [(Scope, Rule)],
    /// `None`: there is a process that handles all types, or has not said which.
    handled: Option<BTreeSet<&'a Name>>,
}

impl<'a> Claims<'a> {
    pub(super) fn new(rules: &'a [(Scope, Rule)], processes: &'a [ProcessStats]) -> Self {
        let mut handled = Some(BTreeSet::new());
        for process in processes {
            handled = match (handled, &process.handles) {
                (Some(names), Some(own)) => Some(names.into_iter().chain(own).collect()),
                _ => None,
            };
        }
        Self { rules, handled }
    }

    /// Of a type that nobody handles, a pause is not said: lifting it would start nothing.
    pub(super) fn of(&self, lane: &Lane) -> Claim {
        if self.handled.as_ref().is_some_and(|names| !names.contains(&lane.kind)) {
            return Claim::Unclaimable;
        }
        let concerns = |scope: &Scope| match scope {
            Scope::Queue => true,
            Scope::Kind(kind) => *kind == lane.kind,
            Scope::Group(group) => lane.group.as_ref() == Some(group),
        };
        match self.rules.iter().any(|(scope, rule)| rule.paused && concerns(scope)) {
            true => Claim::Paused,
            false => Claim::Claimable,
        }
    }
}
