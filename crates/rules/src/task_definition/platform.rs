//! The check that an image supports the platform of a service.

use serde_json::Value;

/// Returns the reason why ECS cannot run an image for these platforms with a task definition. None
/// if ECS can run the image, or if this is unknown.
///
/// `on_fargate` is true if the service runs on Fargate. If ECS does not report the launch type, the
/// service counts as running on Fargate if its task definition allows only Fargate. Fargate's
/// default is Linux on x86-64. Container instances have no default, so only the task definition's
/// own settings count.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RuntimePlatform.html>
///
/// An empty or unknown platform name is never a reason to refuse an image.
pub fn wrong_platform(definition: &Value, on_fargate: Option<bool>, platforms: &[String]) -> Option<String> {
    let on_fargate = on_fargate.unwrap_or_else(|| is_for_fargate_alone(definition));
    let said = |member: &str, default| match definition.get("runtimePlatform").and_then(|all| all.get(member))
    {
        None | Some(Value::Null) => on_fargate.then_some(default),
        Some(said) => said.as_str(),
    };
    let wanted_system = said("operatingSystemFamily", "LINUX").and_then(system);
    let wanted_architecture = said("cpuArchitecture", "X86_64").and_then(architecture);
    let runs = |platform: &String| {
        let mut parts = platform.split('/');
        let (system, architecture) = (parts.next().and_then(system), parts.next().and_then(architecture));
        fits(wanted_system, system) && fits(wanted_architecture, architecture)
    };
    if platforms.is_empty() || platforms.iter().any(runs) {
        return None;
    }
    let wanted: Vec<_> = wanted_system.into_iter().chain(wanted_architecture).collect();
    Some(format!("it runs on {}, and the image is built for {}", wanted.join("/"), platforms.join(", ")))
}

/// Returns whether a task definition may run only on Fargate.
pub(super) fn is_for_fargate_alone(definition: &Value) -> bool {
    let all = definition.get("requiresCompatibilities").and_then(Value::as_array);
    all.is_some_and(|all| !all.is_empty() && all.iter().all(|one| one == "FARGATE"))
}

fn fits(wanted: Option<&str>, built_for: Option<&str>) -> bool {
    wanted.is_none() || built_for.is_none() || wanted == built_for
}

/// Returns the OCI name of an operating system. The text may come from an image or from a task
/// definition.
fn system(text: &str) -> Option<&'static str> {
    let text = text.to_ascii_lowercase();
    match text.as_str() {
        "linux" => Some("linux"),
        windows if windows.starts_with("windows") => Some("windows"),
        _ => None,
    }
}

/// Returns the OCI name of an architecture. Accepts every common spelling.
/// <https://github.com/opencontainers/image-spec/blob/main/image-index.md>
fn architecture(text: &str) -> Option<&'static str> {
    Some(match text.to_ascii_lowercase().as_str() {
        "amd64" | "x86_64" | "x86-64" => "amd64",
        "arm64" | "aarch64" => "arm64",
        "arm" => "arm",
        "386" => "386",
        "ppc64le" => "ppc64le",
        "s390x" => "s390x",
        "riscv64" => "riscv64",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn why(definition: &Value, on_fargate: Option<bool>, platforms: &[&str]) -> Option<String> {
        let platforms: Vec<_> = platforms.iter().map(|&one| one.to_owned()).collect();
        wrong_platform(definition, on_fargate, &platforms)
    }

    fn runtime(system: &str, architecture: &str) -> Value {
        json!({ "runtimePlatform": { "operatingSystemFamily": system, "cpuArchitecture": architecture } })
    }

    #[test]
    fn image_for_another_platform_is_refused() {
        let arm = runtime("LINUX", "ARM64");
        for on_fargate in [Some(true), Some(false), None] {
            let said = "it runs on linux/arm64, and the image is built for linux/amd64";
            assert_eq!(why(&arm, on_fargate, &["linux/amd64"]).as_deref(), Some(said));
            assert_eq!(why(&arm, on_fargate, &["linux/amd64", "linux/arm64/v8"]), None);
            assert_eq!(why(&arm, on_fargate, &[]), None, "the platforms are unknown");
            let windows = runtime("WINDOWS_SERVER_2022_CORE", "X86_64");
            assert!(why(&windows, on_fargate, &["linux/amd64"]).is_some());
            assert_eq!(why(&windows, on_fargate, &["windows/amd64"]), None);
        }
        assert!(why(&arm, None, &["linux/arm/v7", "linux/s390x"]).is_some());
    }

    /// The tool ecs-deploy dropped the platform of ARM tasks on Fargate:
    /// <https://github.com/fabfuel/ecs-deploy/issues/214>
    #[test]
    fn default_platform_applies_only_on_fargate() {
        let both = json!({ "requiresCompatibilities": ["EC2", "FARGATE"] });
        let arm = ["linux/arm64"];
        assert_eq!(why(&both, Some(false), &arm), None, "the instance decides");
        let said = "it runs on linux/amd64, and the image is built for linux/arm64";
        assert_eq!(why(&both, Some(true), &arm).as_deref(), Some(said), "Fargate's default");
        assert_eq!(why(&both, None, &arm), None, "the place is unknown");

        let fargate = json!({ "requiresCompatibilities": ["FARGATE"] });
        assert!(why(&fargate, None, &arm).is_some(), "the definition is only for Fargate");
        assert_eq!(why(&fargate, Some(false), &arm), None, "ECS says that it is not Fargate");
        for other in
            [json!(["EC2"]), json!(["EXTERNAL"]), json!(["MANAGED_INSTANCES"]), json!([]), json!(null)]
        {
            let definition = json!({ "requiresCompatibilities": other });
            assert_eq!(why(&definition, None, &arm), None, "{other}");
            assert_eq!(why(&definition, Some(false), &arm), None, "{other}");
            assert!(why(&definition, Some(true), &arm).is_some(), "{other}");
        }
        let system = json!({ "runtimePlatform": { "operatingSystemFamily": "WINDOWS_SERVER_2022_FULL" } });
        let said = "it runs on windows, and the image is built for linux/arm64";
        assert_eq!(why(&system, Some(false), &arm).as_deref(), Some(said));
        assert_eq!(why(&system, Some(false), &["windows/arm64"]), None, "the instance decides");
    }

    #[test]
    fn platform_names_match_in_any_spelling() {
        for (system, architecture) in [("linux", "arm64"), ("Linux", "aarch64"), ("LINUX", "Arm64")] {
            let arm = runtime(system, architecture);
            for other in ["linux/amd64", "Linux/x86_64", "LINUX/AMD64", "linux/x86-64"] {
                assert!(why(&arm, Some(true), &[other]).is_some(), "{arm} {other}");
            }
            for same in ["linux/arm64", "linux/aarch64", "Linux/ARM64/v8"] {
                assert_eq!(why(&arm, Some(true), &[same]), None, "{arm} {same}");
            }
        }
        assert_eq!(why(&runtime("linux", "amd64"), Some(true), &["linux/x86_64"]), None);
    }

    #[test]
    fn image_is_not_refused_for_an_unknown_platform_name() {
        for (system, architecture) in [("", ""), ("LINUX", ""), ("LINUX", "ARM128"), ("BEOS", "")] {
            for on_fargate in [Some(true), Some(false), None] {
                let definition = runtime(system, architecture);
                assert_eq!(why(&definition, on_fargate, &["linux/arm64"]), None, "{definition}");
            }
        }
        let odd = json!({ "runtimePlatform": { "operatingSystemFamily": 7, "cpuArchitecture": [] } });
        assert_eq!(why(&odd, Some(true), &["linux/arm64"]), None);
        assert_eq!(why(&json!({ "runtimePlatform": "ARM64" }), Some(false), &["linux/amd64"]), None);
        let arm = runtime("LINUX", "ARM64");
        for platform in ["", "/", "linux", "linux/", "/arm64", "unknown/unknown", "linux/loong64", "a/b/c/d"]
        {
            assert_eq!(why(&arm, Some(true), &[platform]), None, "{platform}");
            assert_eq!(why(&arm, Some(true), &["linux/amd64", platform]), None, "{platform}");
        }
        assert!(
            why(&runtime("BEOS", "ARM64"), None, &["linux/amd64"]).is_some(),
            "the architecture is enough"
        );
    }
}
