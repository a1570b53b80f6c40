//! Copies one image as the promoter does, for `cargo xtask bench` to measure: `copy web prod/web
//! sha256:… v1`.

use std::error::Error;

use stablepin_aws::ecr::Ecr;
use stablepin_aws::session::Session;
use stablepin_reconciler::{Copier, Meter};
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| arguments.next().ok_or_else(|| format!("the {what} is missing"));
    let from = RepositoryName::parse(&next("source")?)?;
    let to = RepositoryName::parse(&next("target")?)?;
    let digest = ImageDigest::parse(&next("digest")?)?;
    let tag = ImageTag::parse(&next("tag")?)?;
    let ecr = Ecr::copying(&Session::from_env()?);
    let meter = Meter::default();
    Copier::new((&ecr, &from), (&ecr, &to), &meter).image(&digest, &tag).await?;
    println!("{:?}", meter.read());
    Ok(())
}
