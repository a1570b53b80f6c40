//! Plans the retention of one repository, for `cargo xtask bench` to measure. Prints the digests
//! that the plan deletes.

use std::collections::{BTreeSet, HashMap};
use std::error::Error;
use std::io::{self, BufWriter, Write as _};

use jiff::Timestamp;
use stablepin_aws::ecr::{Ecr, FoundImage, ImageStatus};
use stablepin_aws::session::Session;
use stablepin_oci::Manifest;
use stablepin_retention_rules::inventory::{
    Image, Images, Inventory, Need, NeededName, Needer, Pinned, StorageState, Tag,
};
use stablepin_retention_rules::plan::{Fate, plan};
use stablepin_retention_rules::policy::{Removal, RetentionPolicy};
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::name::EnvironmentName;
use stablepin_rules::pattern::Pattern;
use stablepin_rules::pin_number::PinNumber;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let repository = RepositoryName::parse(&std::env::args().nth(1).unwrap_or_default())?;
    let ecr = Ecr::patient(&Session::from_env()?);
    let images = images(&ecr, &repository).await?;
    let stable = ImageTag::parse("production-stable")?;
    let inventory = needed(repository, images, &stable)?;
    let policy = RetentionPolicy {
        removal: Removal::Delete,
        days: 90,
        backup_days: 30,
        archive_days: 90,
        keep: 10,
        protect: ["latest", "v*.*.*"].into_iter().map(Pattern::parse).collect::<Result<_, _>>()?,
        standing: BTreeSet::from([stable]),
        share: 100,
    };
    let plan = plan(&inventory, &policy, Timestamp::now());
    let mut out = BufWriter::new(io::stdout().lock());
    for image in plan.images.iter().filter(|image| matches!(image.fate, Fate::Delete { .. })) {
        writeln!(out, "{}", image.digest)?;
    }
    out.flush()?;
    Ok(())
}

/// Reads all images of a repository, and the children of its image indexes.
async fn images(ecr: &Ecr, repository: &RepositoryName) -> Result<Vec<Image>, Box<dyn Error>> {
    let found = ecr.inventory(repository).await?.images;
    let indexes: Vec<ImageDigest> =
        found.iter().filter(|image| image.is_index).map(|image| image.digest.clone()).collect();
    let (manifests, failures) = ecr.manifests(repository, &indexes).await?;
    if let Some((digest, code)) = failures.first() {
        return Err(format!("what {digest} refers to is not known: {code}").into());
    }
    let mut children: HashMap<ImageDigest, Vec<ImageDigest>> = HashMap::with_capacity(manifests.len());
    for manifest in manifests {
        if let Manifest::Index(index) = manifest.parse()? {
            let of = index.children.into_iter().map(|child| child.digest).collect();
            children.insert(manifest.digest, of);
        }
    }
    Ok(found.into_iter().map(|image| read(image, &mut children)).collect())
}

fn read(image: FoundImage, children: &mut HashMap<ImageDigest, Vec<ImageDigest>>) -> Image {
    // The table records which tags are Stablepin's own. This example has no table, so every tag of
    // the environment counts as Stablepin's own.
    let ours = |tag: &ImageTag| tag.as_str().starts_with("production-");
    Image {
        tags: image.tags.into_iter().map(|tag| Tag { ours: ours(&tag), tag, tagged_at: None }).collect(),
        pushed_at: image.pushed_at,
        activated_at: image.activated_at,
        status: match image.status {
            ImageStatus::Active => StorageState::Active,
            ImageStatus::Archived => StorageState::Archived(image.archived_at),
            ImageStatus::Activating => StorageState::Activating,
        },
        size_bytes: image.size_bytes,
        children: children.remove(&image.digest).unwrap_or_default(),
        subject: image.subject,
        odd: image.odd.map(|odd| odd.0.into_boxed_str()),
        digest: image.digest,
    }
}

/// Builds the inventory. The image with the stable tag is the pin, and three tasks run this image.
fn needed(
    repository: RepositoryName,
    images: Vec<Image>,
    stable: &ImageTag,
) -> Result<Inventory, Box<dyn Error>> {
    let live = images.iter().find(|image| image.tags.iter().any(|tag| tag.tag == *stable));
    let digest = live.ok_or("nothing has the stable tag")?.digest.clone();
    let environment = EnvironmentName::parse("production")?;
    let task = |number: u8| Need {
        image: NeededName::Digest(digest.clone()),
        by: Needer::Workload(format!("task {number} of service production/web")),
    };
    let current =
        Need { image: NeededName::Digest(digest.clone()), by: Needer::Current(environment.clone()) };
    Ok(Inventory {
        repository,
        images: Images::new(images),
        needs: [current].into_iter().chain((1..=3).map(task)).collect(),
        pins: vec![Pinned { environment, number: PinNumber::new(1)?, digest: digest.clone() }],
        was_live: Vec::new(),
        unread: Vec::new(),
    })
}
