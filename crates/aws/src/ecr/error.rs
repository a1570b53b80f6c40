//! Failed calls of ECR.

use std::error::Error;
use std::fmt;

use crate::call::CallError;

/// A failed call of ECR. Its text explains those of ECR's codes that do not explain themselves.
#[derive(Debug)]
pub struct EcrError(CallError);

impl EcrError {
    /// Returns ECR's error code if the refusal concerns this image only.
    pub fn of_one_image(&self) -> Option<&'static str> {
        match self.0.code() {
            Some("ImageNotFoundException") => Some("ImageNotFound"),
            Some("ImageStorageClassUpdateNotSupportedException") => {
                Some("ImageStorageClassUpdateNotSupported")
            }
            _ => None,
        }
    }

    /// Whether ECR refuses the call, or gives no usable answer, and will do so again.
    pub fn is_refusal(&self) -> bool {
        self.0.reason().is_refusal_of_ecr()
    }

    /// Whether every image of the repository would give this error: the role may not read it, or it
    /// does not exist.
    pub fn is_of_all_images(&self) -> bool {
        self.0.reason().is_denied() || self.0.code() == Some("RepositoryNotFoundException")
    }

    /// Whether the same call may succeed a little later.
    pub fn is_retryable(&self) -> bool {
        self.0.is_retryable()
    }

    fn explanation(&self) -> &'static str {
        let puts = self.0.operation() == "PutImage";
        match self.0.code() {
            Some("RepositoryNotFoundException") => {
                ": there is no such repository, or it is in another account or region"
            }
            Some("ImageNotFoundException") => ": there is no such image",
            Some("ImageDigestDoesNotMatchException") => {
                ": ECR computed another digest than this one for the bytes"
            }
            Some("LayersNotFoundException") => {
                ": layers of the image are not in the repository: copy them first"
            }
            Some("ReferencedImagesNotFoundException") => {
                ": images that the index refers to are not in the repository: copy them first"
            }
            Some("LimitExceededException") if puts => {
                ": the repository has as many images, or the image as many tags, as ECR allows"
            }
            Some("KmsException") if puts => ": the key that encrypts the repository could not be used",
            Some("ImageStorageClassUpdateNotSupportedException") => {
                ": the image cannot be moved to that storage class"
            }
            _ => "",
        }
    }
}

impl From<CallError> for EcrError {
    fn from(failed: CallError) -> Self {
        Self(failed)
    }
}

impl fmt::Display for EcrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0, self.explanation())
    }
}

impl Error for EcrError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}
