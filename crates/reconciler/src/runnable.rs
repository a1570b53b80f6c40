//! Checks whether an image can be pulled, before any write.

use stablepin_aws::ecr::ImageStatus;

/// Returns why the image cannot be pulled and what to do, or none if it can.
pub fn why_not(image: &str, status: Option<&ImageStatus>) -> Option<String> {
    match status {
        Some(ImageStatus::Active) => None,
        Some(ImageStatus::Archived | ImageStatus::Activating) => {
            Some(format!("{image} is archived and cannot be pulled: restore it (up to 20 minutes)"))
        }
        None => Some(format!("{image} is not in the registry any more")),
    }
}
