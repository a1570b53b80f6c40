//! The reasons why Stablepin cannot deploy a digest with a task definition.

use crate::image::RepositoryName;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskDefinitionError {
    #[error(
        "no container of {wanted} runs the repository {repository} of {account} in {region}: {}",
        list(found)
    )]
    NotRun {
        /// The task definition family, and the container names from the application's file.
        wanted: String,
        repository: RepositoryName,
        account: String,
        region: String,
        /// The name and image of each container.
        found: Vec<(String, String)>,
    },
    #[error(
        "its containers run different images of the repository {repository} ({}), and one release would bring them \
         all to one: name those that run this application in the environment's file, such as container = \"{}\"",
        list(found),
        found.first().map_or("app", |(name, _)| name)
    )]
    Differ {
        repository: RepositoryName,
        /// The name and image of each container.
        found: Vec<(String, String)>,
    },
    #[error("the task definition is not as ECS documents it: {path} is not {expected}")]
    Malformed { path: String, expected: &'static str },
}

fn list(found: &[(String, String)]) -> String {
    if found.is_empty() {
        return "it has no container with an image".to_owned();
    }
    let each: Vec<_> = found.iter().map(|(name, image)| format!("{name} runs {image}")).collect();
    each.join(", ")
}

pub(super) fn malformed<T>(
    path: impl Into<String>,
    expected: &'static str,
) -> Result<T, TaskDefinitionError> {
    Err(TaskDefinitionError::Malformed { path: path.into(), expected })
}
