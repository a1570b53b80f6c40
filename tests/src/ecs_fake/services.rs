//! Creates, updates, describes and lists services.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::deployment::WayBack;
use super::home::EcsHome;
use super::service::{ControllerKind, StoredService};
use super::world::EcsWorld;
use crate::fake::input::{Answer, Input, Refused, knows};
use crate::fake::pages::{PageLimits, page};

/// The maximum number of services in one call: "You may specify up to 10 services to describe in a
/// single operation."
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServices.html>
const PER_DESCRIBE: usize = 10;

/// The fields that start a deployment if an update changes their values.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateService.html>
const DEPLOYING: [&str; 4] =
    ["networkConfiguration", "platformVersion", "loadBalancers", "serviceRegistries"];
/// The fields whose values an update may change without starting a deployment.
const QUIET: [&str; 4] =
    ["healthCheckGracePeriodSeconds", "propagateTags", "enableExecuteCommand", "enableECSManagedTags"];

impl EcsWorld {
    /// Describes services. Then advances their deployments by one step, unless the test has called
    /// [`Ecs::by_hand`](super::Ecs::by_hand).
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServices.html>
    pub(super) fn describe_services(&mut self, input: &Input<'_>) -> Answer {
        input.knows(&["cluster", "services"])?;
        let cluster = self.cluster(input)?;
        let asked = input.texts("services")?;
        if asked.is_empty() || asked.len() > PER_DESCRIBE {
            return Err(Refused::parameter("Services must be 1 to 10."));
        }
        let (mut services, mut failures, mut seen) = (Vec::new(), Vec::new(), Vec::new());
        for name in asked {
            // <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/api_failures_messages.html>
            let mut fails = |home: &EcsHome, reason: &str| {
                let short = name.rsplit('/').next().unwrap_or(name);
                let arn = home.arn(&format!("service/{cluster}/{short}"));
                failures.push(json!({ "arn": arn, "reason": reason }));
            };
            match self.place(&cluster, name) {
                None => fails(&self.home, "MISSING"),
                Some(at) if self.services[at].out_of_reach => fails(&self.home, "ACCESS"),
                Some(at) => {
                    // A change "might not be immediately visible to all subsequent commands":
                    // <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html>
                    let late = self.services[at].before_update.clone().filter(|_| self.shows_late);
                    services.push(late.unwrap_or_else(|| self.services[at].described(self.names_late)));
                    seen.push(at);
                }
            }
        }
        if !self.by_hand {
            for at in seen {
                self.services[at].advance(&mut self.home);
            }
        }
        Ok(json!({ "services": services, "failures": failures }))
    }

    /// Lists the ARNs of the services in a cluster.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListServices.html>
    pub(super) fn list_services(&self, input: &Input<'_>) -> Answer {
        input.knows(&["cluster", "launchType", "schedulingStrategy", "maxResults", "nextToken"])?;
        let cluster = self.cluster(input)?;
        let launch_type = input.text("launchType")?;
        let daemon = input.one_of("schedulingStrategy", &["REPLICA", "DAEMON"])?.map(|one| one == "DAEMON");
        // ECS still describes deleted services for a while, but never lists them.
        let found = self.services.iter().filter(|one| {
            one.cluster == cluster
                && one.status != "INACTIVE"
                && launch_type.is_none_or(|kind| one.launch_type == kind)
                && daemon.is_none_or(|daemon| one.daemon == daemon)
        });
        let arns = found.map(|one| json!(one.arn)).collect();
        page(input, "serviceArns", arns, &PageLimits { default: 10, greatest: 100 })
    }

    /// Creates a service and starts its first deployment.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateService.html>
    pub(super) fn create_service(&mut self, input: &Input<'_>) -> Answer {
        const KNOWN: [&str; 8] = [
            "cluster",
            "serviceName",
            "taskDefinition",
            "desiredCount",
            "launchType",
            "schedulingStrategy",
            "deploymentConfiguration",
            "deploymentController",
        ];
        input.knows(&[&KNOWN[..], &DEPLOYING, &QUIET].concat())?;
        let cluster = self.cluster(input)?;
        let name = input.needed("serviceName")?;
        if self.place(&cluster, name).is_some_and(|at| self.services[at].status != "INACTIVE") {
            return Err(Refused::parameter("Creation of service was not idempotent."));
        }
        let controller = match input.object("deploymentController")?.and_then(|one| one["type"].as_str()) {
            None | Some("ECS") => ControllerKind::Ecs,
            Some("CODE_DEPLOY") => ControllerKind::CodeDeploy,
            Some("EXTERNAL") => ControllerKind::External,
            Some(other) => return Err(Refused::parameter(format!("{other} is no deployment controller."))),
        };
        let daemon = input.one_of("schedulingStrategy", &["REPLICA", "DAEMON"])? == Some("DAEMON");
        let desired = input.count("desiredCount")?;
        if daemon && desired.is_some() {
            return Err(Refused::parameter(
                "The daemon scheduling strategy does not support a desired count for services. Remove the desired count value and try again",
            ));
        }
        // "Required if schedulingStrategy is REPLICA or isn't specified."
        if !daemon && desired.is_none() {
            return Err(Refused::parameter("desiredCount cannot be empty."));
        }
        let definition = input.text("taskDefinition")?;
        let definition = definition
            .map(|name| self.home.definitions.usable(name).map(|found| found.arn.clone()))
            .transpose()?;
        // "A task definition must be specified if the service uses either the ECS or CODE_DEPLOY
        // deployment controllers."
        if definition.is_none() && controller != ControllerKind::External {
            return Err(Refused::parameter("TaskDefinition can not be blank."));
        }
        let launch_type = input.one_of("launchType", &["EC2", "FARGATE", "EXTERNAL"])?.unwrap_or("EC2");
        let kept = |(member, _): &(&String, &Value)| {
            DEPLOYING.contains(&member.as_str()) || QUIET.contains(&member.as_str())
        };
        let mut service = StoredService {
            arn: self.home.arn(&format!("service/{cluster}/{name}")),
            name: name.to_owned(),
            cluster_arn: self.home.arn(&format!("cluster/{cluster}")),
            cluster,
            status: "ACTIVE",
            controller,
            daemon,
            launch_type: launch_type.to_owned(),
            // A daemon service has one task on each instance. The fake has one instance.
            desired: desired.unwrap_or(1),
            definition,
            configuration: configuration(input, daemon)?,
            members: input.members.iter().filter(kept).map(|(k, v)| (k.clone(), v.clone())).collect(),
            created_at: self.home.clock.stamp(),
            events: Vec::new(),
            deployments: Vec::new(),
            revisions: Vec::new(),
            rollouts: Vec::new(),
            completed: None,
            tasks: Vec::new(),
            outcomes: VecDeque::new(),
            way_back: WayBack::Succeeds,
            drains: 0,
            out_of_reach: false,
            before_update: None,
        };
        if controller == ControllerKind::Ecs {
            service.deploy(&mut self.home);
        }
        let answer = json!({ "service": service.described(self.names_late) });
        self.services.push(service);
        Ok(answer)
    }

    /// Updates a service. Starts a deployment if the update affects the tasks.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateService.html>
    pub(super) fn update_service(&mut self, input: &Input<'_>) -> Answer {
        const KNOWN: [&str; 6] = [
            "cluster",
            "service",
            "taskDefinition",
            "desiredCount",
            "forceNewDeployment",
            "deploymentConfiguration",
        ];
        input.knows(&[&KNOWN[..], &DEPLOYING, &QUIET].concat())?;
        let cluster = self.cluster(input)?;
        let at = self.found(&cluster, input.needed("service")?)?;
        let (service, home) = (&mut self.services[at], &mut self.home);
        if service.status != "ACTIVE" {
            return Err(Refused::new(400, "ServiceNotActiveException", "Service was not ACTIVE."));
        }
        takes(service.controller, input)?;
        let definition = input.text("taskDefinition")?;
        let definition = definition
            .map(|name| home.definitions.usable(name).map(|found| found.arn.clone()))
            .transpose()?;
        let desired = input.count("desiredCount")?;
        if service.daemon && desired.is_some() {
            return Err(Refused::parameter(
                "The daemon scheduling strategy does not support a desired count for services. Remove the desired count value and try again",
            ));
        }
        let configured = match input.get("deploymentConfiguration") {
            None => None,
            Some(_) => Some(configuration(input, service.daemon)?),
        };
        // The fake changes the service only after all checks have succeeded.
        service.before_update = Some(service.described(self.names_late));
        let mut deploys = input.flag("forceNewDeployment")?;
        // "If a revision is not specified, the latest ACTIVE revision is used."
        // Assumption: an update to the same revision starts no deployment.
        deploys |= definition.is_some() && definition != service.definition;
        service.definition = definition.or(service.definition.take());
        for (member, value) in input.members {
            if DEPLOYING.contains(&member.as_str()) {
                deploys |= service.members.get(member) != Some(value);
                service.members.insert(member.clone(), value.clone());
            } else if QUIET.contains(&member.as_str()) {
                service.members.insert(member.clone(), value.clone());
            }
        }
        service.configuration = configured.unwrap_or(service.configuration.take());
        service.desired = desired.unwrap_or(service.desired);
        if deploys {
            service.deploy(home);
        } else if desired.is_some() {
            service.scale(home);
        }
        Ok(json!({ "service": service.described(self.names_late) }))
    }
}

/// Refuses an update that the service's deployment controller does not allow.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateService.html>
fn takes(controller: ControllerKind, input: &Input<'_>) -> Result<(), Refused> {
    let has = |member: &&str| input.get(member).is_some();
    let refused = match controller {
        ControllerKind::Ecs => return Ok(()),
        ControllerKind::CodeDeploy | ControllerKind::External => {
            let deploying = DEPLOYING.iter().find(|member| has(member));
            if has(&"taskDefinition") {
                "Unable to update task definition"
            } else if deploying.is_some() {
                "Unable to update network parameters"
            } else if has(&"forceNewDeployment") {
                "Cannot force a new deployment"
            } else if controller == ControllerKind::External && has(&"deploymentConfiguration") {
                "Unable to update the deployment configuration"
            } else {
                return Ok(());
            }
        }
    };
    // Users have reported the text for CODE_DEPLOY. The text for EXTERNAL imitates that text.
    let advice = match controller {
        ControllerKind::External => "Create a new task set instead.",
        _ => "Use AWS CodeDeploy to trigger a new deployment.",
    };
    let kind = controller.as_str();
    Err(Refused::parameter(format!("{refused} on services with a {kind} deployment controller. {advice}")))
}

/// Parses the deployment configuration and adds the defaults.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html>
fn configuration(input: &Input<'_>, daemon: bool) -> Result<Value, Refused> {
    const KNOWN: [&str; 10] = [
        "maximumPercent",
        "minimumHealthyPercent",
        "deploymentCircuitBreaker",
        "alarms",
        "strategy",
        "bakeTimeInMinutes",
        "lifecycleHooks",
        "linearConfiguration",
        "canaryConfiguration",
        "earlySuccessCriteria",
    ];
    let mut shown = json!({
        "deploymentCircuitBreaker": { "enable": false, "rollback": false },
        // "The default for a REPLICA service is 200 and 100, for a DAEMON service 100 and 0."
        "maximumPercent": if daemon { 100 } else { 200 },
        "minimumHealthyPercent": if daemon { 0 } else { 100 },
        "strategy": "ROLLING",
        "bakeTimeInMinutes": 0,
    });
    let Some(given) = input.object("deploymentConfiguration")? else { return Ok(shown) };
    knows("deploymentConfiguration", given, &KNOWN)?;
    for (member, value) in given {
        shown[member] = value.clone();
    }
    let strategies = ["ROLLING", "BLUE_GREEN", "LINEAR", "CANARY"];
    if !shown["strategy"].as_str().is_some_and(|strategy| strategies.contains(&strategy)) {
        return Err(Refused::parameter(format!("{} is no strategy.", shown["strategy"])));
    }
    // A pause hook cannot be at a stage that shifts traffic.
    // <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/pause-lifecycle-hooks.html>
    let hooks = shown["lifecycleHooks"].as_array().map_or(&[][..], Vec::as_slice);
    if hooks.len() > 10 {
        return Err(Refused::parameter("There can be 10 pause hooks."));
    }
    for hook in hooks {
        if hook["targetType"] != "PAUSE" {
            return Err(Refused::unknown("the fake knows pause hooks only"));
        }
        let stages = hook["lifecycleStages"].as_array().map_or(&[][..], Vec::as_slice);
        let not = |stage: &&Value| {
            matches!(stage.as_str(), None | Some("TEST_TRAFFIC_SHIFT" | "PRODUCTION_TRAFFIC_SHIFT"))
        };
        if let Some(stage) = stages.iter().find(not) {
            return Err(Refused::parameter(format!("A pause hook cannot be at {stage}.")));
        }
    }
    Ok(shown)
}
