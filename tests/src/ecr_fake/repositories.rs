//! Creates, deletes and describes repositories, and returns their policies.

use std::collections::{BTreeSet, HashMap};

use serde_json::json;

use super::mount::Encryption;
use super::mutability::TagMutability;
use super::repository::StoredRepository;
use super::world::EcrWorld;
use crate::fake::input::{Answer, Input, Refused};
use crate::fake::pages::{PageLimits, page};

/// The page sizes of the list of repositories.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeRepositories.html>
const PAGE: PageLimits = PageLimits { default: 100, greatest: 1000 };
/// The maximum number of names in one call.
const NAMES: usize = 100;

impl EcrWorld {
    pub(super) fn create(&mut self, name: &str, mutability: TagMutability) -> &mut StoredRepository {
        let repository = StoredRepository {
            name: name.to_owned(),
            arn: format!("arn:aws:ecr:{}:{}:repository/{name}", self.region, self.account),
            uri: format!("{}.dkr.ecr.{}.amazonaws.com/{name}", self.account, self.region),
            created_at: self.clock.stamp(),
            mutability,
            encryption: Encryption::default(),
            policy: None,
            lifecycle: None,
            images: HashMap::new(),
            tags: HashMap::new(),
            layers: HashMap::new(),
            uploads: HashMap::new(),
            completed: Vec::new(),
            parents: HashMap::new(),
            referrers: HashMap::new(),
            order: BTreeSet::new(),
            seed: self.seed,
            unreadable: HashMap::new(),
            upstream: HashMap::new(),
            is_cache: false,
        };
        self.repositories.insert(name.to_owned(), repository);
        self.repositories.get_mut(name).expect("the repository was just inserted")
    }

    /// Returns the repository that the request names. The request may also contain the registry's
    /// id.
    pub(super) fn of<'w>(&'w mut self, input: &Input<'_>) -> Result<&'w mut StoredRepository, Refused> {
        let name = input.needed("repositoryName")?;
        let registry = self.registry(input)?.to_owned();
        match self.repositories.get_mut(name) {
            Some(repository) if registry == self.account => Ok(repository),
            _ => Err(repository_not_found(name, &registry)),
        }
    }

    fn registry<'a>(&'a self, input: &Input<'a>) -> Result<&'a str, Refused> {
        Ok(input.text("registryId")?.unwrap_or(&self.account))
    }

    /// Creates a repository.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html>
    pub(super) fn create_repository(&mut self, input: &Input<'_>) -> Answer {
        input.knows(&[
            "registryId",
            "repositoryName",
            "imageTagMutability",
            "imageTagMutabilityExclusionFilters",
        ])?;
        let name = input.needed("repositoryName")?;
        if !is_repository_name(name) {
            return Err(Refused::parameter(format!("Invalid parameter at 'repositoryName': {name}")));
        }
        let mutability = TagMutability::read(input)?;
        if self.repositories.contains_key(name) {
            let registry = &self.account;
            let message = format!(
                "The repository with name '{name}' already exists in the registry with id '{registry}'"
            );
            return Err(Refused::new(400, "RepositoryAlreadyExistsException", message));
        }
        let account = self.account.clone();
        Ok(json!({ "repository": self.create(name, mutability).described(&account) }))
    }

    /// Deletes a repository. The request must set `force` if the repository contains images.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DeleteRepository.html>
    pub(super) fn delete_repository(&mut self, input: &Input<'_>) -> Answer {
        input.knows(&["registryId", "repositoryName", "force"])?;
        let force = input.flag("force")?;
        let account = self.account.clone();
        let repository = self.of(input)?;
        if !force && !repository.images.is_empty() {
            let message = format!("The repository with name '{}' still contains images", repository.name);
            return Err(Refused::new(400, "RepositoryNotEmptyException", message));
        }
        let (name, shown) = (repository.name.clone(), repository.described(&account));
        // AWS documents no event for the images of a deleted repository, so the fake sends none.
        self.repositories.remove(&name);
        Ok(json!({ "repository": shown }))
    }

    /// Lists repositories, sorted by name. ECR's documentation promises no order.
    pub(super) fn describe_repositories(&mut self, input: &Input<'_>) -> Answer {
        input.knows(&["registryId", "repositoryNames", "nextToken", "maxResults"])?;
        let account = self.account.clone();
        let names = input.texts("repositoryNames")?;
        if input.get("repositoryNames").is_some() {
            if input.get("nextToken").is_some() || input.get("maxResults").is_some() {
                return Err(Refused::parameter("repositoryNames cannot be used with pages."));
            }
            if names.is_empty() || names.len() > NAMES {
                return Err(Refused::parameter(format!("repositoryNames must have 1 to {NAMES} items.")));
            }
        }
        let registry = self.registry(input)?.to_owned();
        if registry != self.account {
            let name = names.first().copied().unwrap_or_default();
            return Err(repository_not_found(name, &registry));
        }
        if names.is_empty() {
            let all = self.repositories.values().map(|one| one.described(&account)).collect();
            return page(input, "repositories", all, &PAGE);
        }
        let one = |name: &&str| match self.repositories.get(*name) {
            Some(repository) => Ok(repository.described(&account)),
            None => Err(repository_not_found(name, &account)),
        };
        let found = names.iter().map(one).collect::<Result<Vec<_>, _>>()?;
        Ok(json!({ "repositories": found }))
    }

    /// Changes the tag mutability of a repository.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutImageTagMutability.html>
    pub(super) fn put_image_tag_mutability(&mut self, input: &Input<'_>) -> Answer {
        input.knows(&[
            "registryId",
            "repositoryName",
            "imageTagMutability",
            "imageTagMutabilityExclusionFilters",
        ])?;
        input.needed("imageTagMutability")?;
        let mutability = TagMutability::read(input)?;
        let account = self.account.clone();
        let repository = self.of(input)?;
        repository.mutability = mutability;
        let shown = repository.described(&account);
        let mut answer = json!({
            "registryId": account,
            "repositoryName": repository.name,
            "imageTagMutability": shown["imageTagMutability"],
        });
        if let Some(filters) = shown.get("imageTagMutabilityExclusionFilters") {
            answer["imageTagMutabilityExclusionFilters"] = filters.clone();
        }
        Ok(answer)
    }

    /// Returns the policy of the registry.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetRegistryPolicy.html>
    pub(super) fn get_registry_policy(&mut self, input: &Input<'_>) -> Answer {
        input.knows(&[])?;
        match &self.policy {
            Some(policy) => Ok(json!({ "registryId": self.account, "policyText": policy })),
            None => {
                let message =
                    format!("Registry policy does not exist in the registry with id '{}'", self.account);
                Err(Refused::new(400, "RegistryPolicyNotFoundException", message))
            }
        }
    }

    /// Returns the policy of a repository.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetRepositoryPolicy.html>
    pub(super) fn get_repository_policy(&mut self, input: &Input<'_>) -> Answer {
        input.knows(&["registryId", "repositoryName"])?;
        let account = self.account.clone();
        let repository = self.of(input)?;
        let name = &repository.name;
        match &repository.policy {
            Some(policy) => {
                Ok(json!({ "registryId": account, "repositoryName": name, "policyText": policy }))
            }
            None => {
                let message = format!(
                    "Repository policy does not exist for the repository with name '{name}' in the registry with id '{account}'"
                );
                Err(Refused::new(400, "RepositoryPolicyNotFoundException", message))
            }
        }
    }

    /// Returns the lifecycle policy of a repository.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetLifecyclePolicy.html>
    pub(super) fn get_lifecycle_policy(&mut self, input: &Input<'_>) -> Answer {
        input.knows(&["registryId", "repositoryName"])?;
        let account = self.account.clone();
        let repository = self.of(input)?;
        let name = &repository.name;
        match &repository.lifecycle {
            Some(policy) => {
                Ok(json!({ "registryId": account, "repositoryName": name, "lifecyclePolicyText": policy }))
            }
            None => {
                let message = format!(
                    "Lifecycle policy does not exist for the repository with name '{name}' in the registry with id '{account}'"
                );
                Err(Refused::new(400, "LifecyclePolicyNotFoundException", message))
            }
        }
    }
}

pub(super) fn repository_not_found(name: &str, registry: &str) -> Refused {
    let message =
        format!("The repository with name '{name}' does not exist in the registry with id '{registry}'");
    Refused::new(400, "RepositoryNotFoundException", message)
}

/// Returns whether the name has 2 to 256 characters and matches
/// `(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*`.
fn is_repository_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let word = |word: &str| !word.is_empty() && word.bytes().all(plain);
    (2..=256).contains(&name.len()) && name.split(['/', '.', '_', '-']).all(word)
}
