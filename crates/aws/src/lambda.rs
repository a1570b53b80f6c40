//! AWS Lambda: lists the images that Lambda functions run.

use aws_sdk_lambda::Client;
use aws_sdk_lambda::types::{FunctionVersion, PackageType};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::call::{Call, CallError};
use crate::pages::Pages;
use crate::session::Session;

/// The largest page that Lambda returns, "even if you set the number higher".
/// <https://docs.aws.amazon.com/lambda/latest/api/API_ListFunctions.html>
const PER_PAGE: i32 = 50;
/// The most pages that one list may have: enough for 100,000 versions.
const MOST_PAGES: usize = 2000;
/// The number of GetFunction calls that run at the same time. Lambda allows 100 such calls per
/// second in an account and region.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html#api-requests>
const AT_ONCE: usize = 8;

/// A client of the Lambda functions of the session's account and region.
#[derive(Debug, Clone)]
pub struct Lambda {
    client: Client,
}

/// The image of one version of a Lambda function.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FunctionImage {
    pub function: String,
    /// A version number, or `$LATEST`.
    pub version: String,
    /// The image reference that the owner of the Lambda function set: `Code.ImageUri`.
    pub image: String,
    /// The image reference with a digest: `Code.ResolvedImageUri`. The Lambda function runs this
    /// image, even if the tag in `image` is now on another digest.
    pub resolved: Option<String>,
}

impl Lambda {
    /// Creates a client that slows down when Lambda throttles it. Lambda allows 15 calls of
    /// ListFunctions per second, which all tools of the account share.
    /// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html#api-requests>
    pub fn new(session: &Session) -> Self {
        Self { client: session.patient_lambda() }
    }

    /// Returns the images of all versions of all Lambda functions, including `$LATEST`. Aliases
    /// need no call, because an alias points to one or two of these versions.
    /// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-aliases.html>
    pub async fn images(&self) -> Result<Vec<FunctionImage>, CallError> {
        let versions = self.versions().await?;
        let read = versions.into_iter().map(|version| self.image(version));
        let read: Vec<Option<FunctionImage>> =
            stream::iter(read).buffer_unordered(AT_ONCE).try_collect().await?;
        let mut images: Vec<FunctionImage> = read.into_iter().flatten().collect();
        images.sort();
        Ok(images)
    }

    /// Lists the versions of all Lambda functions. Omits versions that run code from a zip file.
    async fn versions(&self) -> Result<Vec<Version>, CallError> {
        let call = Call::new("ListFunctions", "list the functions");
        let (mut versions, mut pages) = (Vec::new(), Pages::at_most(MOST_PAGES));
        loop {
            let page = self.client.list_functions().function_version(FunctionVersion::All);
            let page = page.max_items(PER_PAGE).set_marker(pages.token());
            let answer = page.send().await.map_err(|error| call.failed(error))?;
            for function in answer.functions() {
                // A Lambda function of an unknown package type may run an image, so the list
                // includes it.
                if function.package_type() == Some(&PackageType::Zip) {
                    continue;
                }
                versions.push(Version {
                    function: function.function_name().ok_or_else(|| call.lacks("FunctionName"))?.to_owned(),
                    version: function.version().ok_or_else(|| call.lacks("Version"))?.to_owned(),
                    is_image: function.package_type() == Some(&PackageType::Image),
                });
            }
            if !pages.follows(&call, answer.next_marker())? {
                return Ok(versions);
            }
        }
    }

    /// Reads the image of one version. Returns `None` if the version was deleted after it was
    /// listed, or if the version has no image.
    async fn image(&self, of: Version) -> Result<Option<FunctionImage>, CallError> {
        let purpose = format!("read the image of the function {}, version {}", of.function, of.version);
        let call = Call::new("GetFunction", purpose);
        let asked =
            self.client.get_function().function_name(&of.function).qualifier(&of.version).send().await;
        let Some(answer) = call.none_if(&["ResourceNotFoundException"], asked)? else { return Ok(None) };
        let set = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        let code = answer.code();
        match set(code.and_then(|code| code.image_uri())) {
            Some(image) => Ok(Some(FunctionImage {
                function: of.function,
                version: of.version,
                image,
                resolved: set(code.and_then(|code| code.resolved_image_uri())),
            })),
            None if of.is_image => Err(call.lacks("ImageUri")),
            None => Ok(None),
        }
    }
}

struct Version {
    function: String,
    version: String,
    is_image: bool,
}
