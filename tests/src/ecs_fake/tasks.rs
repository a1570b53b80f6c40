//! Lists and describes tasks.

use serde_json::json;

use super::world::EcsWorld;
use crate::fake::clock::epoch;
use crate::fake::input::{Answer, Input, Refused};
use crate::fake::pages::{PageLimits, page};

/// The maximum number of tasks in one call.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html>
const PER_DESCRIBE: usize = 100;

impl EcsWorld {
    /// Lists the ARNs of tasks.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTasks.html>
    pub(super) fn list_tasks(&self, input: &Input<'_>) -> Answer {
        const KNOWN: [&str; 8] = [
            "cluster",
            "serviceName",
            "desiredStatus",
            "family",
            "startedBy",
            "launchType",
            "maxResults",
            "nextToken",
        ];
        input.knows(&KNOWN)?;
        let cluster = self.cluster(input)?;
        let service = input.text("serviceName")?;
        let service = service.map(|name| self.found(&cluster, name)).transpose()?;
        let status = input.one_of("desiredStatus", &["RUNNING", "PENDING", "STOPPED"])?.unwrap_or("RUNNING");
        let (family, started_by) = (input.text("family")?, input.text("startedBy")?);
        // "When you specify startedBy as the filter, it must be the only filter that you use."
        if started_by.is_some()
            && (service.is_some() || family.is_some() || input.get("desiredStatus").is_some())
        {
            return Err(Refused::parameter("startedBy must be the only filter."));
        }
        let launch_type = input.text("launchType")?;
        let of_cluster = self.services.iter().enumerate().filter(|(_, one)| one.cluster == cluster);
        let of_service = of_cluster.filter(|(at, _)| service.is_none_or(|wanted| wanted == *at));
        let found = of_service.flat_map(|(_, one)| &one.tasks).filter(|task| {
            // "Although you can filter results based on a desired status of PENDING, this doesn't
            // return any results. Amazon ECS never sets the desired status of a task to that
            // value."
            let of_status = match status {
                "RUNNING" => task.wanted,
                "STOPPED" => !task.wanted,
                _ => false,
            };
            of_status
                && task.is_remembered(self.home.clock.now())
                && family.is_none_or(|family| task.family == family)
                && started_by.is_none_or(|id| task.deployment == id)
                && launch_type.is_none_or(|kind| task.launch_type == kind)
        });
        let arns = found.map(|task| json!(task.arn)).collect();
        page(input, "taskArns", arns, &PageLimits { default: 100, greatest: 100 })
    }

    /// Describes tasks by their ARNs.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html>
    pub(super) fn describe_tasks(&self, input: &Input<'_>) -> Answer {
        input.knows(&["cluster", "tasks"])?;
        let cluster = self.cluster(input)?;
        let asked = input.texts("tasks")?;
        if asked.is_empty() || asked.len() > PER_DESCRIBE {
            return Err(Refused::parameter("Tasks must be 1 to 100."));
        }
        let (mut tasks, mut failures) = (Vec::new(), Vec::new());
        let of_cluster = || self.services.iter().filter(|one| one.cluster == cluster);
        for name in asked {
            let arn = if name.starts_with("arn:") {
                name.to_owned()
            } else {
                self.home.arn(&format!("task/{cluster}/{name}"))
            };
            let mut all = of_cluster().flat_map(|one| &one.tasks);
            match all.find(|task| task.arn == arn && task.is_remembered(self.home.clock.now())) {
                Some(task) => tasks.push(task.described(&self.home, epoch)),
                // <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/api_failures_messages.html>
                None => failures.push(json!({ "arn": arn, "reason": "MISSING" })),
            }
        }
        Ok(json!({ "tasks": tasks, "failures": failures }))
    }
}
