//! Reads images with boto3, a client of ECR that is not ours. The tools' Python environment has it.
//! <https://boto3.amazonaws.com/v1/documentation/api/latest/reference/services/ecr.html>

use anyhow::{Context as _, Result, bail};
use xtask::process::bound;
use xtask::workspace::tool;

use crate::stack;

const SCRIPT: &str = "
import boto3, sys
images = boto3.client('ecr').batch_get_image(
    repositoryName=sys.argv[1],
    imageIds=[{'imageDigest': sys.argv[2]}],
    acceptedMediaTypes=[
        'application/vnd.oci.image.manifest.v1+json',
        'application/vnd.oci.image.index.v1+json',
        'application/vnd.docker.distribution.manifest.v2+json',
        'application/vnd.docker.distribution.manifest.list.v2+json',
    ],
)['images']
sys.stdout.buffer.write(images[0]['imageManifest'].encode())
";

/// Reads the bytes of an image's manifest from the local cloud.
pub fn raw_manifest(repository: &str, digest: &str) -> Result<Vec<u8>> {
    let mut python = bound(tool("python3"));
    python.args(["-c", SCRIPT, repository, digest]).envs(stack().variables());
    let output = python.output().context("cannot start Python")?;
    if !output.status.success() {
        bail!("boto3 cannot read {digest} in {repository}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.stdout)
}
