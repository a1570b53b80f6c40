//! Starts and stops the tasks of deployments.

use super::home::EcsHome;
use super::service::StoredService;
use super::stage::Stage;
use super::task::{Last, Stop, StoredTask};

impl StoredService {
    /// Starts or stops tasks until the primary deployment has the desired number of tasks.
    pub(super) fn scale(&mut self, home: &mut EcsHome) {
        let Some(primary) = self.deployments.first() else { return };
        let (id, definition, completed) =
            (primary.id.clone(), primary.definition.clone(), primary.state == "COMPLETED");
        if self.desired == 0 {
            let ids: Vec<_> = self.deployments.iter().map(|one| one.id.clone()).collect();
            return ids.iter().for_each(|id| self.stop_all(home, id, &Stop::Scaled));
        }
        // A deployment starts its tasks at the stage `SCALE_UP`, and not before.
        let started = self.tasks.iter().any(|task| task.is_of(&id));
        let scales_up = self.rollouts.last().is_some_and(|last| last.stage() == Some(Stage::ScaleUp));
        let comes_back = self.rollouts.last().is_some_and(|last| last.status == "ROLLBACK_IN_PROGRESS");
        if !(started || completed || scales_up || comes_back) || primary.state == "FAILED" {
            return;
        }
        let wanted = self.desired as usize;
        let mut live: Vec<usize> =
            (0..self.tasks.len()).filter(|at| self.tasks[*at].is_of(&id) && self.tasks[*at].wanted).collect();
        let now = home.clock.stamp();
        while live.len() > wanted {
            let at = live.pop().expect("there are more tasks than wanted");
            self.tasks[at].stops(now, &Stop::Scaled);
            home.tell_of_task(&self.tasks[at]);
        }
        let missing = wanted - live.len();
        for _ in 0..missing {
            let Some(mut task) = StoredTask::new(home, self, &definition, &id) else { return };
            if completed {
                task.runs(now);
            }
            home.tell_of_task(&task);
            self.tasks.push(task);
        }
        if missing > 0 && !completed {
            self.says(home, &format!("has started {missing} tasks."));
        }
    }

    /// Lets the pending tasks of the primary deployment run. With early success, only some of them
    /// run.
    pub(super) fn scaled_up(&mut self, home: &mut EcsHome) {
        let early = &self.rollout().configuration["earlySuccessCriteria"];
        let percent =
            if early["enable"] == true { early["healthyPercent"].as_u64().unwrap_or(100) } else { 100 };
        let enough = (u64::from(self.desired) * percent).div_ceil(100);
        self.run(home, usize::try_from(enough).unwrap_or(usize::MAX));
    }

    pub(super) fn run(&mut self, home: &mut EcsHome, most: usize) {
        let now = home.clock.stamp();
        let (id, revision) = (self.primary().id.clone(), self.primary().revision.clone());
        let pending = |task: &&mut StoredTask| task.is_of(&id) && task.last == Last::Pending && task.wanted;
        let mut any = false;
        for task in self.tasks.iter_mut().filter(pending).take(most) {
            task.runs(now);
            home.tell_of_task(task);
            any = true;
        }
        // "The first started task fixes the digests":
        // <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-ecs.html>
        if let Some(revision) = self.revisions.iter_mut().find(|one| any && one.arn == revision) {
            revision.resolved = true;
        }
    }

    /// Stops all tasks of a deployment.
    pub(super) fn stop_all(&mut self, home: &mut EcsHome, id: &str, why: &Stop) {
        let now = home.clock.stamp();
        for task in self.tasks.iter_mut().filter(|task| task.is_of(id) && task.lives()) {
            task.stops(now, why);
            home.tell_of_task(task);
        }
    }

    /// Stops one running task of the primary deployment. ECS starts a new task as a replacement.
    pub(super) fn crash_one(&mut self, home: &mut EcsHome, exit_code: i64) {
        let now = home.clock.stamp();
        let id = self.primary().id.clone();
        let running = |task: &&mut StoredTask| task.is_of(&id) && task.last == Last::Running && task.wanted;
        if let Some(task) = self.tasks.iter_mut().find(running) {
            task.stops(now, &Stop::Exited(exit_code));
            home.tell_of_task(task);
        }
        self.scale(home);
    }
}
