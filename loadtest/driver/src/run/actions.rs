//! What is done to a service of our own while it is under load.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use eagre_workload::{Action, ActionKind};
use rustix::process::Signal;

use super::{shared::Shared, watched::Watched};
use crate::system::server::DevServer;

/// The server, for one at a time.
pub type Own = Arc<Mutex<DevServer>>;

/// Does all actions of the scenario at their times; counts them. Fails when the service does not come again.
pub async fn run(shared: Arc<Shared>, server: Own, watched: Arc<Watched>, done: Arc<AtomicU64>) -> Result<()> {
    let mut phase = shared.phase.subscribe();
    for (at, action) in times(&shared.scenario.actions, shared.scenario.schedule.duration()) {
        tokio::select! {
            () = tokio::time::sleep_until(shared.instant(at)) => {}
            _ = phase.wait_for(|phase| phase.stop_ns < shared.start_ns + crate::clock::nanos(at)) => return Ok(()),
        }
        let what = action.what;
        let (noted, before) = (shared.clone(), watched.clone());
        on(&server, move |server| {
            if what != ActionKind::Pause {
                before.goes();
            }
            noted.event(name(what), told(what));
            begin(server, what)
        })
        .await?;
        tokio::time::sleep(action.down).await;
        let before_ns = shared.now_ns();
        let pid = on(&server, move |server| end(server, what)).await.context("the service did not come again")?;
        if what != ActionKind::Pause {
            watched.came(pid);
        }
        done.fetch_add(1, Ordering::Relaxed);
        let took = Duration::from_nanos(shared.now_ns() - before_ns);
        shared.event("ready", format!("ready again after {:.2} s", took.as_secs_f64()));
    }
    Ok(())
}

fn begin(server: &mut DevServer, what: ActionKind) -> Result<()> {
    match what {
        ActionKind::Kill => server.kill(),
        ActionKind::Stop => server.stop(),
        ActionKind::Pause => server.signal(Signal::STOP),
    }
}

fn end(server: &mut DevServer, what: ActionKind) -> Result<Option<u32>> {
    match what {
        ActionKind::Kill | ActionKind::Stop => server.run()?,
        ActionKind::Pause => server.signal(Signal::CONT)?,
    }
    Ok(server.pid())
}

/// On a thread that may wait.
async fn on<T: Send + 'static>(
    server: &Own,
    act: impl FnOnce(&mut DevServer) -> Result<T> + Send + 'static,
) -> Result<T> {
    let server = server.clone();
    tokio::task::spawn_blocking(move || act(&mut lock(&server))).await?
}

/// The server, whoever had it before.
pub fn lock(server: &Own) -> MutexGuard<'_, DevServer> {
    server.lock().unwrap_or_else(PoisonError::into_inner)
}

/// When what is done, in order, until the schedule ends.
fn times(actions: &[Action], duration: Duration) -> Vec<(Duration, Action)> {
    let mut times = Vec::new();
    for action in actions {
        let mut at = action.at;
        while at < duration {
            times.push((at, action.clone()));
            match action.every {
                Some(every) if !every.is_zero() => at += every,
                _ => break,
            }
        }
    }
    times.sort_by_key(|(at, _)| *at);
    times
}

fn name(what: ActionKind) -> &'static str {
    match what {
        ActionKind::Kill => "kill",
        ActionKind::Stop => "stop",
        ActionKind::Pause => "pause",
    }
}

fn told(what: ActionKind) -> &'static str {
    match what {
        ActionKind::Kill => "the service was killed (SIGKILL)",
        ActionKind::Stop => "the service was stopped (SIGTERM)",
        ActionKind::Pause => "the service was paused (SIGSTOP)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_come_in_order_and_end_with_the_schedule() {
        let s = Duration::from_secs;
        let action = |at, every: Option<u64>, what| Action { at: s(at), every: every.map(s), what, down: s(1) };
        let actions = [action(2, Some(3), ActionKind::Kill), action(4, None, ActionKind::Pause)];
        let times: Vec<_> = times(&actions, s(9)).into_iter().map(|(at, action)| (at.as_secs(), action.what)).collect();
        let (kill, pause) = (ActionKind::Kill, ActionKind::Pause);
        assert_eq!(times, [(2, kill), (4, pause), (5, kill), (8, kill)]);
    }
}
