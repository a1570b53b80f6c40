//! The pipeline run that made a build.

use serde::{Deserialize, Serialize};

use crate::link::Link;
use crate::one_line::one_line;

/// The maximum length of each text of a pipeline run, in characters.
const LONGEST: usize = 200;

/// The pipeline run that made a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineRun {
    /// The repository of the source code, such as `acme/web`.
    pub repository: Option<String>,
    pub workflow: Option<String>,
    pub id: Option<String>,
    pub link: Option<Link>,
    /// The person or tool that started the run, as the pipeline reports it.
    pub started_by: Option<String>,
    pub source: RunSource,
    /// The name of the check, or the ARN of the principal that signed the request.
    #[serde(default)]
    pub named_by: Option<String>,
}

/// The source from which Stablepin knows a pipeline run. The least trusted source is first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunSource {
    /// A label of the image. The pusher wrote the label, so nobody has verified it.
    Label,
    /// The first check that named a run.
    Check,
    /// A signed request.
    Request,
}

impl PipelineRun {
    /// Returns a run of which only the page is known.
    pub fn of_link(link: Link, source: RunSource, named_by: Option<String>) -> Self {
        Self {
            repository: None,
            workflow: None,
            id: None,
            link: Some(link),
            started_by: None,
            source,
            named_by,
        }
    }

    /// Returns the run with each text shortened and on one line, so that the text is safe to show.
    #[must_use]
    pub fn bounded(self) -> Self {
        let line =
            |text: Option<String>| text.map(|text| one_line(&text, LONGEST)).filter(|text| !text.is_empty());
        Self {
            repository: line(self.repository),
            workflow: line(self.workflow),
            id: line(self.id),
            started_by: line(self.started_by),
            ..self
        }
    }

    /// Returns whether this run replaces the known run `other`: no run is known, or this run's
    /// source is more trusted. Of two equally trusted runs, the first one stays.
    pub(crate) fn replaces(&self, other: Option<&Self>) -> bool {
        other.is_none_or(|other| self.source > other.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(source: RunSource) -> PipelineRun {
        PipelineRun::of_link(Link::parse("https://ci.example.com/7").unwrap(), source, None)
    }

    #[test]
    fn run_from_a_more_trusted_source_replaces_the_known_run() {
        let check = run(RunSource::Check);
        let request = run(RunSource::Request);
        let label = run(RunSource::Label);
        assert!(request.replaces(Some(&check)) && check.replaces(Some(&label)) && label.replaces(None));
        assert!(!label.replaces(Some(&check)) && !check.replaces(Some(&request)));
        assert!(!request.replaces(Some(&request)), "the first request counts");
    }

    #[test]
    fn each_text_of_a_pipeline_run_becomes_one_short_line() {
        let hostile = Some(format!("a\nb\u{202e}{}", "c".repeat(300)));
        let run =
            PipelineRun { workflow: hostile, id: Some("\n".to_owned()), ..run(RunSource::Label) }.bounded();
        let workflow = run.workflow.unwrap();
        assert!(workflow.starts_with("a b ccc") && workflow.chars().count() == LONGEST);
        assert_eq!(run.id, None);
    }
}
