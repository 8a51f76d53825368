//! Runs the checks: one run at a time, whose result is shared.

use std::{future::pending, sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    sync::Mutex,
    task::{AbortHandle, JoinHandle},
    time::{Instant, timeout_at},
};

use super::{
    component::{ComponentHealth, Reason},
    report::HealthReport,
};
use crate::{clock::Clock, later::Later};

/// What is checked.
#[derive(Clone)]
pub(super) struct Checks {
    pub(super) components: Vec<Component>,
    /// How long a check may take.
    pub(super) timeout: Duration,
    pub(super) clock: Arc<dyn Clock>,
}

#[derive(Clone)]
pub(super) struct Component {
    pub(super) name: Arc<str>,
    pub(super) is_required: bool,
    pub(super) probe: Arc<Probe>,
}

/// A component can have several states, such as one for each issuer.
pub(super) type Probe = dyn Fn() -> Later<Vec<ComponentHealth>> + Send + Sync;

/// The run in progress and the last result.
#[derive(Default)]
pub(super) struct Flight(Mutex<State>);

#[derive(Default)]
struct State {
    /// Continues if the request that has started it is cancelled.
    running: Option<JoinHandle<Finished>>,
    latest: Option<Finished>,
}

struct Finished {
    report: HealthReport,
    /// In monotonic time.
    at: Duration,
    /// The task of each component.
    tasks: Vec<AbortHandle>,
}

impl Flight {
    /// How long a result is used.
    const MAX_AGE: Duration = Duration::from_secs(1);

    /// Returns the last result if it is recent, or that of a run.
    pub(super) async fn report(&self, checks: &Arc<Checks>) -> HealthReport {
        let mut state = self.0.lock().await;
        if let Some(latest) = &state.latest
            && latest.is_recent(checks)
        {
            return latest.report.clone();
        }
        // A run that a cancelled request has left can be old, or have ended with its runtime.
        if let Some(left) = &mut state.running {
            let left = left.await;
            state.running = None;
            if let Ok(left) = left
                && left.is_recent(checks)
            {
                return state.latest.insert(left).report.clone();
            }
        }
        let Ok(runtime) = Handle::try_current() else {
            return checks.failed("health is checked on tokio: run the service within a runtime");
        };
        let earlier = state.latest.as_ref().map(|latest| latest.tasks.clone()).unwrap_or_default();
        let running = state.running.insert(runtime.spawn(Arc::clone(checks).run(earlier)));
        let finished = running.await;
        state.running = None;
        match finished {
            Ok(finished) => state.latest.insert(finished).report.clone(),
            Err(_) => checks.failed("the check of all components has panicked or was ended"),
        }
    }
}

impl Checks {
    /// Checks all components at the same time. Each check has its own task, so that one that
    /// panics or blocks its thread does not affect the others.
    ///
    /// A component whose `earlier` task still blocks a thread is not checked again, so that the
    /// blocked threads do not add up.
    async fn run(self: Arc<Self>, earlier: Vec<AbortHandle>) -> Finished {
        let deadline = Instant::now() + self.timeout;
        let mut earlier = earlier.into_iter();
        let mut start = |component: &Component| match earlier.next() {
            Some(blocked) if !blocked.is_finished() => Err(blocked),
            _ => {
                let probe = Arc::clone(&component.probe);
                Ok(tokio::spawn(async move { probe().await }))
            }
        };
        let started: Vec<_> = self.components.iter().map(&mut start).collect();
        let (mut states, mut tasks) = (Vec::new(), Vec::new());
        for (component, started) in self.components.iter().zip(started) {
            let found = match started {
                Ok(task) => {
                    let abort = task.abort_handle();
                    let found = timeout_at(deadline, task).await;
                    abort.abort();
                    tasks.push(abort);
                    found
                }
                Err(blocked) => {
                    tasks.push(blocked);
                    Ok(Ok(vec![ComponentHealth::new(Some(Reason::Timeout))]))
                }
            };
            let found = match found {
                Ok(Ok(found)) => found,
                // The runtime ends. It also ends this task, so the next run checks again.
                Ok(Err(error)) if error.is_cancelled() => pending().await,
                Ok(Err(_)) => vec![ComponentHealth::new(Some(Reason::Panicked))],
                Err(_) => vec![ComponentHealth::new(Some(Reason::Timeout))],
            };
            states.extend(found.into_iter().map(|state| component.complete(state)));
        }
        Finished { report: HealthReport::new(states), at: self.clock.elapsed(), tasks }
    }

    /// Returns a report in which no component is ready.
    fn failed(&self, error: &'static str) -> HealthReport {
        let failed = |component: &Component| {
            component.complete(ComponentHealth::new(Some(Reason::Failed)).with_error(error))
        };
        HealthReport::new(self.components.iter().map(failed).collect())
    }
}

impl Component {
    fn complete(&self, state: ComponentHealth) -> ComponentHealth {
        state.of(&self.name, self.is_required)
    }
}

impl Finished {
    /// A clock that was set back makes a result old.
    fn is_recent(&self, checks: &Checks) -> bool {
        let age = checks.clock.elapsed().checked_sub(self.at);
        age.is_some_and(|age| age < Flight::MAX_AGE)
    }
}
