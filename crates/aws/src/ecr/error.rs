//! The errors of failed calls to ECR.

use std::error::Error;
use std::fmt;

use crate::call::CallError;

/// The error of a failed call to ECR. If ECR's error code alone is unclear, the text explains it.
#[derive(Debug)]
pub struct EcrError(CallError);

impl EcrError {
    /// Returns ECR's error code if the error concerns only the requested image.
    pub fn of_one_image(&self) -> Option<&'static str> {
        match self.0.code() {
            Some("ImageNotFoundException") => Some("ImageNotFound"),
            Some("ImageStorageClassUpdateNotSupportedException") => {
                Some("ImageStorageClassUpdateNotSupported")
            }
            _ => None,
        }
    }

    /// Returns true if a retry would fail too: ECR refused the call, or the response is not usable.
    pub fn is_refusal(&self) -> bool {
        self.0.reason().is_refusal_of_ecr()
    }

    /// Returns true if ECR responded, but the response shows that the stored image is defective.
    pub fn is_unusable(&self) -> bool {
        self.0.reason().is_unusable()
    }

    /// Returns true if every image of the repository would cause this error: the role may not
    /// access the repository, or the repository does not exist.
    pub fn is_of_all_images(&self) -> bool {
        self.0.reason().is_denied() || self.0.code() == Some("RepositoryNotFoundException")
    }

    /// Returns true if a retry of the call may succeed.
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
            Some("EmptyUploadException") => {
                ": ECR's API takes no layer without bytes: enable blob mounting, or build the image without it"
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
