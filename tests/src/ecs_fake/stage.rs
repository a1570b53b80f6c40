//! The lifecycle stages of a service deployment, and the pause hooks at these stages.

use serde_json::Value;

/// A lifecycle stage of a service deployment.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceDeployment.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    ReconcileService,
    PreScaleUp,
    ScaleUp,
    PostScaleUp,
    TestTrafficShift,
    PostTestTrafficShift,
    PreProductionTrafficShift,
    ProductionTrafficShift,
    PostProductionTrafficShift,
    BakeTime,
    CleanUp,
}

impl Stage {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReconcileService => "RECONCILE_SERVICE",
            Self::PreScaleUp => "PRE_SCALE_UP",
            Self::ScaleUp => "SCALE_UP",
            Self::PostScaleUp => "POST_SCALE_UP",
            Self::TestTrafficShift => "TEST_TRAFFIC_SHIFT",
            Self::PostTestTrafficShift => "POST_TEST_TRAFFIC_SHIFT",
            Self::PreProductionTrafficShift => "PRE_PRODUCTION_TRAFFIC_SHIFT",
            Self::ProductionTrafficShift => "PRODUCTION_TRAFFIC_SHIFT",
            Self::PostProductionTrafficShift => "POST_PRODUCTION_TRAFFIC_SHIFT",
            Self::BakeTime => "BAKE_TIME",
            Self::CleanUp => "CLEAN_UP",
        }
    }
}

/// Returns the stages of a deployment, in order.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/blue-green-deployment-how-it-works.html>
///
/// AWS does not document all stages of a rolling deployment. In the fake, a rolling deployment has
/// the stage `SCALE_UP`, and other stages only if they have a pause hook.
pub(super) fn path(configuration: &Value, several: bool, pauses_at: Option<Stage>) -> Vec<Stage> {
    use Stage::*;
    let shift = [PreProductionTrafficShift, ProductionTrafficShift];
    let times = match configuration["strategy"].as_str() {
        Some("BLUE_GREEN") => 1,
        // "A canary shifts twice: its percent, and the rest."
        Some("CANARY") => 2,
        Some("LINEAR") => {
            let percent = configuration["linearConfiguration"]["stepPercent"].as_f64().unwrap_or(10.0);
            (1..=34).find(|step| f64::from(*step) * percent >= 100.0).unwrap_or(34)
        }
        _ => {
            let hooked = |stage: &Stage| {
                *stage == ScaleUp || pauses_at == Some(*stage) || has_hook(configuration, *stage)
            };
            let all =
                [ReconcileService, PreScaleUp, ScaleUp, PostScaleUp, PostProductionTrafficShift, BakeTime];
            return all.into_iter().filter(hooked).collect();
        }
    };
    let mut path = if several { vec![ReconcileService] } else { Vec::new() };
    path.extend([PreScaleUp, ScaleUp, PostScaleUp, TestTrafficShift, PostTestTrafficShift]);
    for _ in 0..times {
        path.extend(shift);
    }
    path.extend([PostProductionTrafficShift, BakeTime, CleanUp]);
    path
}

/// Returns the pause hooks of a stage in the deployment configuration.
pub(super) fn hooks(configuration: &Value, stage: Stage) -> impl Iterator<Item = &Value> {
    let all = configuration["lifecycleHooks"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().filter(move |hook| {
        let stages = hook["lifecycleStages"].as_array().map_or(&[][..], Vec::as_slice);
        stages.iter().any(|one| one == stage.as_str())
    })
}

fn has_hook(configuration: &Value, stage: Stage) -> bool {
    hooks(configuration, stage).next().is_some()
}
