//! DescribeImages and ListImages return the images of a repository, page by page.

use std::ops::Bound;
use std::sync::Arc;

use serde_json::{Value, json};

use super::image_id::{Id, image_not_found};
use super::images::{StorageStatus, StoredImage};
use super::repository::{ListPosition, StoredRepository};
use super::world::EcrWorld;
use crate::fake::input::{Answer, Input, Refused};

/// The default number of items in a page.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html>
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ListImages.html>
const PAGE: usize = 100;
/// The maximum number of items in a page.
const GREATEST_PAGE: u32 = 1000;

/// The filter of a request.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImagesFilter.html>
struct Filter {
    tagged: Option<bool>,
    /// The status that an image must have. `None` selects all statuses. A request without a status
    /// filter selects active images.
    status: Option<StorageStatus>,
}

impl Filter {
    fn read(input: &Input<'_>) -> Result<Self, Refused> {
        let Some(members) = input.object("filter")? else {
            return Ok(Self { tagged: None, status: Some(StorageStatus::Active) });
        };
        let filter = Input { operation: "filter", members };
        filter.knows(&["tagStatus", "imageStatus"])?;
        let tagged = match filter.one_of("tagStatus", &["TAGGED", "UNTAGGED", "ANY"])? {
            Some("TAGGED") => Some(true),
            Some("UNTAGGED") => Some(false),
            _ => None,
        };
        let status = filter.one_of("imageStatus", &["ACTIVE", "ARCHIVED", "ACTIVATING", "ANY"])?;
        Ok(Self { tagged, status: status_filter(status) })
    }

    fn takes(&self, image: &StoredImage) -> bool {
        self.tagged.is_none_or(|tagged| tagged != image.tags.is_empty())
            && self.status.is_none_or(|status| status == image.status)
    }
}

/// Parses the status in a filter. The result `None` means every status.
pub(super) fn status_filter(status: Option<&str>) -> Option<StorageStatus> {
    match status {
        Some("ANY") => None,
        Some("ARCHIVED") => Some(StorageStatus::Archived),
        Some("ACTIVATING") => Some(StorageStatus::Activating),
        _ => Some(StorageStatus::Active),
    }
}

impl EcrWorld {
    pub(super) fn describe_images(&mut self, input: &Input<'_>) -> Answer {
        input.knows(&["registryId", "repositoryName", "imageIds", "nextToken", "maxResults", "filter"])?;
        let (account, limit) = (self.account.clone(), self.greatest_page);
        let repository = &*self.of(input)?;
        let filter = Filter::read(input)?;
        if input.get("imageIds").is_some() {
            return described(input, repository, &filter, &account);
        }
        let size = page_size(input, limit)?;
        let from = input.text("nextToken")?.map(|token| mark("images", token)).transpose()?;
        let from = from.map(|mark| (mark.hash, mark.digest));
        let start = from.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut found: Vec<&StoredImage> =
            repository.listed(start).filter(|image| filter.takes(image)).take(size + 1).collect();
        let more = found.len() > size;
        found.truncate(size);
        let shown: Vec<Value> =
            found.iter().map(|image| image.described(&account, &repository.name)).collect();
        let mut answer = json!({ "imageDetails": shown });
        if let Some(last) = found.last().filter(|_| more) {
            answer["nextToken"] = token("images", &repository.place(&last.digest), "").into();
        }
        Ok(answer)
    }

    /// Returns one row for each tag of each image, and one row for each image without tags.
    pub(super) fn list_images(&mut self, input: &Input<'_>) -> Answer {
        input.knows(&["registryId", "repositoryName", "nextToken", "maxResults", "filter"])?;
        let limit = self.greatest_page;
        let repository = &*self.of(input)?;
        let filter = Filter::read(input)?;
        let size = page_size(input, limit)?;
        let from = input.text("nextToken")?.map(|token| mark("tags", token)).transpose()?;
        let place = from.as_ref().map(|mark| (mark.hash, Arc::clone(&mark.digest)));
        let start = place.as_ref().map_or(Bound::Unbounded, Bound::Included);
        let mut rows: Vec<(&StoredImage, Option<&str>)> = Vec::with_capacity(size + 1);
        for image in repository.listed(start).filter(|image| filter.takes(image)) {
            let seen = from.as_ref().filter(|mark| mark.digest == image.digest).map(|mark| &*mark.tag);
            let tags = image.tags.iter().map(|tag| &**tag).filter(|tag| seen.is_none_or(|seen| *tag > seen));
            rows.extend(tags.map(|tag| (image, Some(tag))));
            if image.tags.is_empty() && seen.is_none() {
                rows.push((image, None));
            }
            if rows.len() > size {
                break;
            }
        }
        let more = rows.len() > size;
        rows.truncate(size);
        let shown: Vec<Value> = rows
            .iter()
            .map(|(image, tag)| match tag {
                Some(tag) => json!({ "imageDigest": &*image.digest, "imageTag": tag }),
                None => json!({ "imageDigest": &*image.digest }),
            })
            .collect();
        let mut answer = json!({ "imageIds": shown });
        if let Some((image, tag)) = rows.last().filter(|_| more) {
            let place = repository.place(&image.digest);
            answer["nextToken"] = token("tags", &place, tag.unwrap_or_default()).into();
        }
        Ok(answer)
    }
}

/// Describes the images with the ids in the request.
/// Assumption: ECR reports an image as missing if the filter excludes the image.
fn described(input: &Input<'_>, repository: &StoredRepository, filter: &Filter, account: &str) -> Answer {
    if input.get("nextToken").is_some() || input.get("maxResults").is_some() {
        return Err(Refused::parameter("imageIds cannot be used with nextToken or maxResults."));
    }
    let mut shown = Vec::new();
    for id in Id::all(input)? {
        let lacks = || image_not_found(id.value, &repository.name, account);
        let found = id.find(repository).map_err(|failure| match failure.code {
            "ImageNotFound" | "ImageTagDoesNotMatchDigest" => lacks(),
            _ => Refused::parameter(failure.reason),
        })?;
        let image = &repository.images[&found];
        if !filter.takes(image) {
            return Err(lacks());
        }
        shown.push(image.described(account, &repository.name));
    }
    Ok(json!({ "imageDetails": shown }))
}

fn page_size(input: &Input<'_>, limit: Option<usize>) -> Result<usize, Refused> {
    let wanted = match input.count("maxResults")? {
        None => PAGE,
        Some(wanted) if (1..=GREATEST_PAGE).contains(&wanted) => wanted as usize,
        Some(_) => {
            return Err(Refused::parameter(format!(
                "Invalid parameter at 'maxResults' failed to satisfy constraint: 'Member must be between 1 and {GREATEST_PAGE}'"
            )));
        }
    };
    Ok(limit.map_or(wanted, |limit| wanted.min(limit)))
}

/// The position of the last item of the previous page.
struct PageMark {
    hash: u64,
    digest: Arc<str>,
    tag: String,
}

/// Returns the token of the next page. A token is valid only for the same kind of list.
fn token(kind: &str, (hash, digest): &ListPosition, tag: &str) -> String {
    format!("{kind}/{hash:016x}/{digest}/{tag}")
}

fn mark(kind: &str, token: &str) -> Result<PageMark, Refused> {
    let mut parts = token.split('/');
    let read = (|| {
        let its = parts.next()?;
        let hash = u64::from_str_radix(parts.next()?, 16).ok()?;
        Some((its, PageMark { hash, digest: parts.next()?.into(), tag: parts.next()?.to_owned() }))
    })();
    match read {
        Some((its, mark)) if its == kind => Ok(mark),
        _ => Err(Refused::parameter("Invalid parameter at 'nextToken'")),
    }
}
