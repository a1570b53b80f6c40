//! The resources that an application claims, and the check that the stack may use them.

use std::collections::BTreeSet;
use std::fmt;

use super::settings::Application;
use super::values::ServiceName;
use crate::image::{ImageTag, RepositoryName};
use crate::pattern::Pattern;

/// The resources that only this application may use, sorted and distinct. Another application
/// cannot claim the same resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resources {
    pub repositories: Vec<RepositoryName>,
    pub services: Vec<ServiceName>,
    pub stable_tags: Vec<(RepositoryName, ImageTag)>,
}

/// The resources that the stack's parameters allow, and the stack's location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// The partition: `aws`, `aws-cn`, `aws-us-gov` …
    pub partition: String,
    pub region: String,
    /// The account id, with 12 digits.
    pub account: String,
    /// The patterns from the parameter `RepositoryArns`.
    pub repositories: Vec<Pattern>,
    /// The patterns from the parameter `ClusterArns`.
    pub clusters: Vec<Pattern>,
}

impl Allowed {
    /// Returns the ARN of a repository.
    /// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerregistry.html>
    pub fn repository_arn(&self, repository: &RepositoryName) -> String {
        let Self { partition, region, account, .. } = self;
        format!("arn:{partition}:ecr:{region}:{account}:repository/{repository}")
    }

    /// Returns the ARN of an ECS service's cluster.
    /// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html>
    pub fn cluster_arn(&self, service: &ServiceName) -> String {
        let Self { partition, region, account, .. } = self;
        format!("arn:{partition}:ecs:{region}:{account}:cluster/{}", service.cluster())
    }

    pub fn service_arn(&self, service: &ServiceName) -> String {
        let Self { partition, region, account, .. } = self;
        format!("arn:{partition}:ecs:{region}:{account}:service/{service}")
    }
}

/// A resource that an application names but the stack's parameters do not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outside {
    /// The setting that names the resource, such as `environment[0].services[1]`.
    pub key: String,
    pub arn: String,
    /// The stack's parameter that must allow the resource.
    pub parameter: &'static str,
}

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { arn, parameter, .. } = self;
        write!(
            f,
            "this stack may not use {arn}: add it to the stack's parameter {parameter}, and deploy the stack"
        )
    }
}

/// A resource that only one application may use.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// The claimed resource: a repository's name, a stable tag as `repository#tag`, or an ECS
    /// service's ARN.
    pub what: String,
    /// The setting that names the resource, such as `environment[0].services[1]`.
    pub key: String,
}

impl Application {
    /// Returns every claim of this application once, each with the first setting that names the
    /// resource.
    pub fn claims(&self, allowed: &Allowed) -> Vec<Claim> {
        let mut claims = vec![Claim { what: self.repository.to_string(), key: "repository".to_owned() }];
        for (index, environment) in self.environments.iter().enumerate() {
            let of = |setting: &str| format!("environment[{index}].{setting}");
            let repository = &environment.repository;
            claims.push(Claim { what: repository.to_string(), key: of("repository") });
            claims.push(Claim {
                what: format!("{repository}#{}", environment.stable_tag),
                key: of("stable_tag"),
            });
            claims.extend(environment.services.iter().enumerate().map(|(position, service)| Claim {
                what: allowed.service_arn(service),
                key: of(&format!("services[{position}]")),
            }));
        }
        let mut seen = BTreeSet::new();
        claims.retain(|claim| seen.insert(claim.what.clone()));
        claims
    }

    pub fn resources(&self) -> Resources {
        let environments = || self.environments.iter();
        let repositories: BTreeSet<_> =
            environments().map(|e| e.repository.clone()).chain([self.repository.clone()]).collect();
        let services: BTreeSet<_> = environments().flat_map(|e| e.services.iter().cloned()).collect();
        let stable_tags: BTreeSet<_> =
            environments().map(|e| (e.repository.clone(), e.stable_tag.clone())).collect();
        Resources {
            repositories: repositories.into_iter().collect(),
            services: services.into_iter().collect(),
            stable_tags: stable_tags.into_iter().collect(),
        }
    }

    /// Returns the resources that the stack's parameters do not allow, in the file's order. Each
    /// ARN appears once.
    pub fn outside(&self, allowed: &Allowed) -> Vec<Outside> {
        let mut named = vec![("repository".to_owned(), allowed.repository_arn(&self.repository), true)];
        for (index, environment) in self.environments.iter().enumerate() {
            let key = format!("environment[{index}]");
            named.push((format!("{key}.repository"), allowed.repository_arn(&environment.repository), true));
            let service = |(position, service)| {
                (format!("{key}.services[{position}]"), allowed.cluster_arn(service), false)
            };
            named.extend(environment.services.iter().enumerate().map(service));
        }
        let mut seen = BTreeSet::new();
        named.retain(|(_, arn, _)| seen.insert(arn.clone()));
        let outside = |(key, arn, is_repository): (String, String, bool)| {
            let (patterns, parameter) = match is_repository {
                true => (&allowed.repositories, "RepositoryArns"),
                false => (&allowed.clusters, "ClusterArns"),
            };
            let inside = patterns.iter().any(|pattern| pattern.matches(&arn));
            (!inside).then_some(Outside { key, arn, parameter })
        };
        named.into_iter().filter_map(outside).collect()
    }
}
