//! The containers of a task definition that run an image of the application.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::errors::TaskDefinitionError;
use crate::application::ContainerName;
use crate::image::{ImageDigest, ImageReference, RepositoryName};

/// The rule that selects the application's containers: by the repository of their image, and also
/// by name if the application's file lists names.
#[derive(Debug, Clone, Copy)]
pub struct OwnContainers<'a> {
    pub account: &'a str,
    pub region: &'a str,
    /// The environment's repository. The copy of a task definition uses this repository.
    pub repository: &'a RepositoryName,
    /// The application's repository. A service may still run an image from before the environment
    /// got its own repository.
    pub source: &'a RepositoryName,
    /// The names of the selected containers. If empty: every container that runs an image of one of
    /// the two repositories.
    pub named: &'a [ContainerName],
}

impl OwnContainers<'_> {
    pub fn includes(&self, name: &str, image: &ImageReference) -> bool {
        let is_named = self.named.is_empty() || self.named.iter().any(|one| one.as_str() == name);
        let is_of = |repository| image.is_of(self.account, self.region, repository);
        is_named && (is_of(self.repository) || is_of(self.source))
    }

    /// Returns the selected containers of a task definition, each with its image.
    pub(super) fn found_in<'v>(
        &self,
        definition: &'v Value,
    ) -> impl Iterator<Item = (&'v str, ImageReference)> {
        let all = definition.get("containerDefinitions").and_then(Value::as_array).into_iter().flatten();
        all.filter_map(|container| {
            let name = container.get("name")?.as_str()?;
            let image = ImageReference::parse(container.get("image")?.as_str()?);
            self.includes(name, &image).then_some((name, image))
        })
    }

    /// Checks that the selected containers run the same image. Otherwise a rollout of one digest
    /// would replace different images. `running` contains the digests of running tasks by container
    /// name.
    ///
    /// Compares every pair of containers. Equal tags, or equal running digests, count as one image.
    /// Other pairs of tags, and different digests, count as different images. A pair of a digest
    /// and a tag without running tasks passes, because both may mean the same image.
    pub fn agree(
        &self,
        definition: &Value,
        running: &BTreeMap<String, BTreeSet<ImageDigest>>,
    ) -> Result<(), TaskDefinitionError> {
        type Own<'v> = (&'v str, ImageReference);
        let digests = |(name, image): &Own<'_>| match &image.digest {
            Some(digest) => ImageDigest::parse(digest).into_iter().collect(),
            None => running.get(*name).cloned().unwrap_or_default(),
        };
        let are_alike = |one: &Own<'_>, other: &Own<'_>| {
            let (here, there) = (digests(one), digests(other));
            match (&one.1.digest, &other.1.digest) {
                (None, None) if one.1.tag == other.1.tag => true,
                (None, None) => !here.is_empty() && here == there,
                (Some(_), None) | (None, Some(_)) if here.is_empty() || there.is_empty() => true,
                _ => here == there,
            }
        };
        let own: Vec<Own<'_>> = self.found_in(definition).collect();
        let mut pairs =
            own.iter().enumerate().flat_map(|(n, one)| own[..n].iter().map(move |other| (other, one)));
        if pairs.all(|(one, other)| are_alike(one, other)) {
            return Ok(());
        }
        let shown = |(name, image): &(&str, ImageReference)| {
            // People need only the first digits to compare digests.
            let digest = image.digest.as_ref().map(|digest| digest.chars().take(19).collect::<String>());
            let said = digest.or_else(|| image.tag.clone());
            ((*name).to_owned(), said.unwrap_or_else(|| "latest".to_owned()))
        };
        let found = own.iter().map(shown).collect();
        Err(TaskDefinitionError::Differ { repository: self.repository.clone(), found })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{at_digest, described_digest};
    use super::*;

    const WEB: &str = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/web";

    fn digest(byte: &str) -> ImageDigest {
        ImageDigest::parse(&format!("sha256:{}", byte.repeat(32))).unwrap()
    }

    /// Returns a task definition with `app`, `nginx`, and a sidecar from another repository.
    fn definition(app: &str, nginx: &str) -> Value {
        json!({ "family": "web", "containerDefinitions": [
            { "name": "app", "image": format!("{WEB}{app}") },
            { "name": "nginx", "image": format!("{WEB}{nginx}") },
            { "name": "agent", "image": "public.ecr.aws/datadog/agent:7" },
        ]})
    }

    fn with<T>(named: &[&str], look: impl FnOnce(&OwnContainers<'_>) -> T) -> T {
        let named: Vec<_> = named.iter().map(|name| ContainerName::parse(name).unwrap()).collect();
        let repository = &RepositoryName::parse("web").unwrap();
        look(&OwnContainers {
            account: "111122223333",
            region: "eu-west-1",
            repository,
            source: repository,
            named: &named,
        })
    }

    /// The tool ecs-deploy had this problem too: <https://github.com/fabfuel/ecs-deploy/issues/30>
    #[test]
    fn only_named_containers_get_the_new_digest() {
        let before = definition(":main", &format!("@{}", digest("cd")));
        let moved = |named: &[&str]| {
            with(named, |own| at_digest(&before, &Value::Null, own, &digest("ab")))
                .map(|clone| clone.containers)
        };
        assert_eq!(moved(&["app"]).unwrap(), ["app"]);
        assert_eq!(moved(&["nginx", "app"]).unwrap(), ["app", "nginx"]);
        assert_eq!(moved(&["app", "worker"]).unwrap(), ["app"], "the worker belongs to another service");
        assert_eq!(
            moved(&["worker", "agent"]).unwrap_err().to_string(),
            format!(
                "no container of web named worker or agent runs the repository web of 111122223333 in eu-west-1: app \
                 runs {WEB}:main, nginx runs {WEB}@{}, agent runs public.ecr.aws/datadog/agent:7",
                digest("cd")
            )
        );
        let described = |named: &[&str]| with(named, |own| described_digest(&before, own)).unwrap();
        assert_eq!(described(&["nginx"]), Some(digest("cd")));
        assert_eq!((described(&["app"]), described(&[])), (None, None));
    }

    #[test]
    fn containers_with_different_images_are_refused() {
        let at = |byte: &str| format!("@{}", digest(byte));
        let agree = |definition: &Value, named: &[&str], running: &[(&str, &[&str])]| {
            let digests = |all: &[&str]| all.iter().map(|byte| digest(byte)).collect();
            let running = running.iter().map(|(name, all)| ((*name).to_owned(), digests(all))).collect();
            with(named, |own| own.agree(definition, &running))
        };
        let differ = definition(&at("ab"), &format!(":main{}", at("cd")));
        assert_eq!(
            agree(&differ, &[], &[]).unwrap_err().to_string(),
            format!(
                "its containers run different images of the repository web (app runs {}, nginx runs {}), and one \
                 release would bring them all to one: name those that run this application in the environment's file, \
                 such as container = \"app\"",
                &digest("ab").as_str()[..19],
                &digest("cd").as_str()[..19]
            )
        );
        agree(&differ, &["app"], &[]).unwrap();
        agree(&differ, &["nginx", "agent"], &[]).unwrap();
        agree(&differ, &["app", "nginx"], &[]).unwrap_err();
        agree(&definition(&at("ab"), &format!(":v1{}", at("ab"))), &[], &[]).unwrap();

        // Equal tags count as one image. For different tags, the digests of running tasks decide.
        agree(&definition(":main", ":main"), &[], &[]).unwrap();
        agree(&definition("", ""), &[], &[("app", &["ab"]), ("nginx", &["cd"])]).unwrap();
        let tags = definition(":app", ":nginx");
        agree(&tags, &[], &[("app", &["ab"]), ("nginx", &["cd"])]).unwrap_err();
        agree(&tags, &[], &[("app", &["ab", "cd"]), ("nginx", &["cd"])]).unwrap_err();
        agree(&tags, &[], &[("app", &["ab"]), ("nginx", &["ab"])]).unwrap();
        agree(&tags, &[], &[("app", &["ab"])]).unwrap_err();
        let error = agree(&tags, &[], &[]).unwrap_err().to_string();
        assert!(error.contains("(app runs app, nginx runs nginx)"), "{error}");
        let one = definition(&at("ab"), ":nginx");
        agree(&one, &[], &[("nginx", &["ab"])]).unwrap();
        agree(&one, &[], &[("nginx", &["cd"])]).unwrap_err();
        agree(&one, &[], &[]).unwrap();
        agree(&json!({}), &[], &[]).unwrap();
    }

    /// The first container may run the same image as each of the other two containers, but those
    /// two run different images.
    #[test]
    fn agree_compares_every_pair_of_containers() {
        let at = |byte: &str| format!("@{}", digest(byte));
        let agree = |images: &[String], running: &[(&str, &str)]| {
            let containers = ["a", "b", "c", "d"].iter().zip(images);
            let containers: Vec<_> = containers
                .map(|(name, image)| json!({ "name": name, "image": format!("{WEB}{image}") }))
                .collect();
            let running = running.iter().map(|(name, byte)| ((*name).to_owned(), [digest(byte)].into()));
            let definition = json!({ "family": "web", "containerDefinitions": containers });
            with(&[], |own| own.agree(&definition, &running.collect()))
        };
        let (ab, cd, main) = (at("ab"), at("cd"), ":main".to_owned());
        let refused = [main.clone(), ab.clone(), cd.clone()];
        let error = agree(&refused, &[]).unwrap_err().to_string();
        assert!(error.contains("b runs") && error.contains("c runs"), "{error}");
        agree(&[ab.clone(), main.clone(), cd.clone()], &[]).unwrap_err();
        agree(&[main.clone(), ab.clone(), ab.clone(), cd.clone()], &[]).unwrap_err();
        // The first and the last container have the same tag. The tasks of the last container run
        // another digest than the container between them has.
        agree(&[main.clone(), ab.clone(), main.clone()], &[("c", "cd")]).unwrap_err();
        // The digest agrees with each of the two tags, because no tasks run. The two tags differ.
        agree(&[ab.clone(), main.clone(), ":v1".to_owned()], &[]).unwrap_err();
        agree(&[main.clone(), ab.clone(), ab.clone()], &[]).unwrap();
        agree(&[main.clone(), ab, main], &[("a", "ab"), ("c", "ab")]).unwrap();
    }
}
