//! Passes each call to the method that implements the call's operation.

use serde_json::Value;

use super::world::EcsWorld;
use crate::fake::input::{Answer, Input, Refused};

impl EcsWorld {
    pub(super) fn answer(&mut self, input: &Input<'_>) -> Answer {
        if let Some(buckets) = &mut self.buckets {
            buckets.take(input.operation, self.home.clock.now())?;
        }
        if let Some(at) = self.refusals.iter().position(|(operation, _)| operation == input.operation) {
            return Err(self.refusals.remove(at).1);
        }
        let body = || Value::Object(input.members.clone()).to_string();
        let stands = |(operation, part, _): &&(String, String, Refused)| {
            operation == input.operation && body().contains(part.as_str())
        };
        if let Some((.., refused)) = self.standing_refusals.iter().find(stands) {
            return Err(refused.clone());
        }
        match input.operation {
            "RegisterTaskDefinition" => self.home.register_task_definition(input),
            "DescribeTaskDefinition" => self.home.describe_task_definition(input),
            "DeregisterTaskDefinition" => self.home.deregister_task_definition(input),
            "ListTaskDefinitions" => self.home.list_task_definitions(input),
            "ListTaskDefinitionFamilies" => self.home.list_task_definition_families(input),
            "ListClusters" => self.list_clusters(input),
            "ListDaemons" => self.list_daemons(input),
            "CreateService" => self.create_service(input),
            "UpdateService" => self.update_service(input),
            "DescribeServices" => self.describe_services(input),
            "ListServices" => self.list_services(input),
            "ListServiceDeployments" => self.list_service_deployments(input),
            "DescribeServiceDeployments" => self.describe_service_deployments(input),
            "DescribeServiceRevisions" => self.describe_service_revisions(input),
            "StopServiceDeployment" => self.stop_service_deployment(input),
            "ContinueServiceDeployment" => self.continue_service_deployment(input),
            "ListTasks" => self.list_tasks(input),
            "DescribeTasks" => self.describe_tasks(input),
            other => Err(Refused::unknown(format!("the fake does not know the call {other}"))),
        }
    }
}
