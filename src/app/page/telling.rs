//! Runs the stories, one at a time. However a story ends, the settings are restored.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::figures::Figures;
use super::load::BuiltInLoad;
use super::stories::{self, Measured, Scene, Story, StoryName};
use super::watch::Watch;
use crate::document;
use crate::http_lab::{Patch, Settings};
use crate::latency::milliseconds;
use crate::shutdown::Shutdown;
use crate::web::{Lifecycle, Problem, RunState, Runnable, StartError, System, refused_field, runnable};

/// How long a scene waits at its end for calls whose caller has gone.
const CALLS_END_WITHIN: Duration = Duration::from_secs(15);
/// How often it is looked whether they have ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The stories as a service; cheap to clone.
#[derive(Debug, Clone)]
pub struct Stories {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    lifecycle: Lifecycle,
    watch: Watch,
    load: BuiltInLoad,
    stories: Vec<Story>,
    told: Mutex<Told>,
}

/// The running story, and the outcome of the last one.
#[derive(Debug, Default)]
struct Told {
    now: Option<(StoryName, Instant, Duration)>,
    last: Option<StoryOutcome>,
}

/// What `GET /story` shows.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = StoryStatus)]
pub struct Status {
    /// The state of the run.
    pub state: RunState,
    /// The running story; `null` when none is.
    #[schema(required)]
    pub story: Option<StoryName>,
    /// About how much of it is left.
    pub left_ms: f64,
    /// The outcome of the last story that ran to its end; `null` until one has, and while one runs.
    #[schema(required)]
    pub last: Option<StoryOutcome>,
}

document!(Status as "lab/story-status/1");

/// What was measured in a story.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = StoryOutcome)]
pub struct StoryOutcome {
    /// The story.
    pub story: StoryName,
    /// The measured answer to its question; `null` where too little was measured.
    #[schema(required)]
    pub answer: Option<String>,
    /// The same in a sentence.
    pub text: String,
    /// The figures behind it, by scene and strategy.
    pub measured: Vec<StoryOutcomeLine>,
}

/// What was measured of one strategy in one scene.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = StoryOutcomeLine)]
pub struct StoryOutcomeLine {
    /// The scene, from 1.
    pub scene: usize,
    /// The strategy.
    pub path: &'static str,
    /// Its figures over the whole scene.
    #[serde(flatten)]
    pub figures: Figures,
}

/// Which story to run.
#[derive(Debug, Clone, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = StoryStart)]
pub struct Start {
    /// Its name.
    #[schema(required)]
    pub story: Option<StoryName>,
}

/// A running story cannot be changed: nothing is allowed here.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = StoryChange)]
pub struct Change {}

/// Puts the settings of the lab and of its load back when it is dropped.
struct PutBack {
    watch: Watch,
    settings: Arc<Settings>,
    sent: super::load::Settings,
}

impl Drop for PutBack {
    fn drop(&mut self) {
        self.watch.lab().change(Patch::from(&*self.settings));
        self.watch.load().put_back(self.sent.clone());
    }
}

impl Stories {
    /// The stories, none of them running; a running one ends with `process`.
    pub fn new(watch: &Watch, load: &BuiltInLoad, process: Shutdown) -> Self {
        let shared = Shared {
            lifecycle: Lifecycle::new("story", process),
            watch: watch.clone(),
            load: load.clone(),
            stories: stories::all(),
            told: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// All of them.
    pub(super) fn all(&self) -> &[Story] {
        &self.shared.stories
    }

    async fn tell(&self, name: StoryName, stop: &Shutdown) {
        let Some(story) = self.shared.stories.iter().find(|story| story.name == name) else { return };
        let lab = self.shared.watch.lab();
        let watch = self.shared.watch.clone();
        let _put_back = PutBack { watch, settings: lab.settings(), sent: self.shared.load.settings() };
        let (mut measured, mut disturbed) = (Vec::new(), false);
        for (place, scene) in story.scenes.iter().enumerate() {
            match self.play(place, scene, stop).await {
                Ok(Some(scene)) => measured.extend(scene),
                Ok(None) if !stop.is_stopping() => disturbed = true,
                // Stopped: half a story has no outcome.
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(story = name.label(), error = format!("{error:#}"), "a story broke off");
                    return;
                }
            }
        }
        let answer = (story.answer)(&measured);
        let lines = measured.into_iter().map(|one| StoryOutcomeLine {
            scene: one.scene + 1,
            path: one.path,
            figures: one.all,
        });
        let (answer, text) = match answer {
            _ if disturbed => {
                (None, "There is no result: somebody moved a lever or ended the load meanwhile.".to_owned())
            }
            Some((place, text)) => (story.choices.get(place).map(ToString::to_string), text),
            None => (None, "There is no result: too little was measured.".to_owned()),
        };
        self.shared.told.lock().last =
            Some(StoryOutcome { story: name, answer, text, measured: lines.collect() });
    }

    /// Plays a scene; `None` if it was stopped, or somebody else moved a lever or ended its load.
    async fn play(
        &self,
        place: usize,
        scene: &Scene,
        stop: &Shutdown,
    ) -> anyhow::Result<Option<Vec<Measured>>> {
        let Shared { watch, load, .. } = &*self.shared;
        let played = watch.lab().change(serde_json::from_value(scene.settings.clone())?);
        let offered = |at: usize| load.recent(at).map_or(0, |recent| recent.totals().offered);
        let before: Vec<_> = watch
            .lab()
            .endpoints_now()
            .iter()
            .enumerate()
            .map(|(at, endpoint)| (offered(at), endpoint.orphaned))
            .collect();
        let begins = watch.second() + 1;
        let start: super::load::Start = serde_json::from_value(scene.load.clone())?;
        load.start(start).await.map_err(|error| anyhow::anyhow!("the load does not start: {error:?}"))?;
        // The last second in which requests were offered whole.
        let ends = begins + load.settings().length_ms.get().as_secs() - 1;
        tokio::select! {
            biased;
            () = stop.stopping().cancelled() => {
                // It may have ended by itself.
                let _ = load.lifecycle().stop();
                load.lifecycle().ended().await;
                return Ok(None);
            }
            () = load.lifecycle().ended() => {}
        }
        let calls_end = async {
            while watch.lab().calls().sum.in_flight > 0 {
                sleep(LOOK_EVERY).await;
            }
        };
        // Those that are still there are counted as not yet orphaned.
        let _ = tokio::time::timeout(CALLS_END_WITHIN, calls_end).await;
        // A change by somebody else would falsify the outcome. The scene's own change is noticed within a second.
        let moved = watch.marks().iter().any(|mark| mark.restarts && mark.second > begins + 1);
        let cut_short = load.elapsed() < load.settings().length_ms.get();
        if stop.is_stopping() || moved || cut_short || *watch.lab().settings() != *played {
            return Ok(None);
        }
        let paths = load.settings().strategies;
        let endpoints = watch.lab().endpoints_now();
        let played = endpoints.iter().zip(&before).enumerate().filter_map(
            |(at, (endpoint, (offered_before, before)))| {
                if !paths.iter().any(|path| path == endpoint.path) {
                    return None;
                }
                Some(Measured {
                    scene: place,
                    path: endpoint.path,
                    all: watch.sent(at, begins..ends)?,
                    last: watch.sent(at, ends.saturating_sub(10).max(begins)..ends)?,
                    offered: offered(at) - offered_before,
                    orphaned: endpoint.orphaned.zip(*before).map(|(now, before)| now - before),
                })
            },
        );
        Ok(Some(played.collect()))
    }
}

/// The stories as a system of a server. They have no page of their own: they are a part of the HTTP lab's.
pub fn system(stories: &Stories) -> System {
    let about = "stories of the page: each sets the levers, sends a load, and says what was measured";
    runnable(
        System::new("story", "Stories", "/story", about)
            .off_the_navigation()
            .link("Systems", "/story", about),
        stories,
        "/",
    )
}

impl Runnable for Stories {
    type Status = Status;
    type Start = Start;
    type Change = Change;

    fn lifecycle(&self) -> &Lifecycle {
        &self.shared.lifecycle
    }

    fn status(&self) -> Status {
        let told = self.shared.told.lock();
        let left =
            |(_, since, length): &(StoryName, Instant, Duration)| length.saturating_sub(since.elapsed());
        Status {
            state: self.shared.lifecycle.state(),
            story: told.now.map(|(name, ..)| name),
            left_ms: told.now.as_ref().map(left).map_or(0.0, milliseconds),
            last: told.last.clone(),
        }
    }

    async fn start(&self, Start { story }: Start) -> Result<(), StartError<Problem>> {
        let name = story.ok_or_else(|| {
            let allowed = <StoryName as crate::config::Allowed>::ALLOWED;
            StartError::Failed(refused_field("story", &crate::config::Invalid::new("", allowed)))
        })?;
        let story = self.shared.stories.iter().find(|story| story.name == name);
        let length = story.and_then(|story| story.length().ok()).unwrap_or_default();
        let open = |stop: Shutdown| async move {
            if self.shared.load.is_active() {
                let busy = "the built-in load is running; stop it first, as a story sends its own";
                return Err(Problem::of(StatusCode::CONFLICT).detail(busy));
            }
            let this = self.clone();
            *self.shared.told.lock() = Told { now: Some((name, Instant::now(), length)), last: None };
            Ok(async move {
                this.tell(name, &stop).await;
                this.shared.told.lock().now = None;
            })
        };
        self.shared.lifecycle.start(open).await
    }

    async fn change(&self, Change {}: Change) -> Result<(), Problem> {
        match self.shared.lifecycle.state() {
            RunState::Idle => Err(self.shared.lifecycle.not_running()),
            _ => Ok(()),
        }
    }
}
