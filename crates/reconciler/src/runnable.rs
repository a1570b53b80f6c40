//! Whether an image can be pulled: asked before anything is touched.

use stablepin_aws::ecr::ImageStatus;

/// What keeps the image from being pulled, and what to do; none: nothing does.
pub fn why_not(image: &str, status: Option<&ImageStatus>) -> Option<String> {
    match status {
        Some(ImageStatus::Active) => None,
        Some(ImageStatus::Archived | ImageStatus::Activating) => {
            Some(format!("{image} is archived and cannot be pulled: restore it (up to 20 minutes)"))
        }
        None => Some(format!("{image} is not in the registry any more")),
    }
}
