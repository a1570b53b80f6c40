//! Builds the Lambda functions, and deploys the template into a local cloud with SAM, as on AWS.

use crate::aws::{Aws, xml_text};
use crate::cloud::{Cloud, REGION, write_private};
use crate::env_file::{self, Variables};
use crate::inbox;
use crate::overlay;
use crate::process::{bound, lock, run, run_logged};
use crate::setup;
use crate::step::{note, step};
use crate::workspace::{host, root, short, target, tool};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The local cloud's template, in the folder of the built `template.yaml` for AWS.
const LOCAL_TEMPLATE: &str = "local.yaml";

/// The kind of binaries to deploy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Debug binaries, which share every compiled crate with the tests.
    #[default]
    Debug,
    /// Release binaries, as on AWS.
    Release,
}

impl Profile {
    fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release => "release",
        }
    }
}

/// The work that precedes a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Install the tools and build the Lambda functions.
    Builds,
    /// Use the existing tools and the existing build.
    Built,
}

/// Builds and deploys the template, and writes the cloud's `env` file.
pub fn deploy(cloud: &Cloud, profile: Profile, work: Work) -> Result<Variables> {
    let build = match work {
        Work::Builds => build(profile)?,
        Work::Built => built(profile)?,
    };
    let settings = Settings::read()?;
    step("Deploying template.yaml with SAM", || sam_deploy(cloud, &build.folder, &settings))?;
    drop(build);
    let variables = variables(cloud, &settings)?;
    write_env(cloud, &variables)?;
    Ok(variables)
}

/// The build that SAM deploys. Its lock prevents another build meanwhile, because parallel clouds
/// share one build.
pub struct Build {
    pub folder: PathBuf,
    pub functions: Vec<Function>,
    _lock: File,
}

/// Builds the Lambda functions.
pub fn build(profile: Profile) -> Result<Build> {
    let folder = folder(profile);
    fs::create_dir_all(&folder)?;
    let lock = lock(&folder.with_extension("lock"), "building the functions")?;
    let template = fs::read_to_string(root().join("template.yaml")).context("cannot read template.yaml")?;
    let functions = functions(&template)?;
    match profile {
        Profile::Debug => debug_build(&folder, template, &functions)?,
        Profile::Release => {
            step("Building the functions with SAM (release: some minutes the first time)", || {
                sam_build(&folder)
            })?;
        }
    }
    let built = fs::read_to_string(folder.join("template.yaml")).context("cannot read the built template")?;
    let overlay =
        fs::read_to_string(root().join("xtask/overlay.yaml")).context("cannot read overlay.yaml")?;
    fs::write(folder.join(LOCAL_TEMPLATE), overlay::apply(&built, &overlay)?)
        .context("cannot write the local template")?;
    // The lock becomes shared, because several tasks may deploy this build at the same time.
    lock.unlock().and_then(|()| lock.lock_shared()).context("cannot share the build")?;
    Ok(Build { folder, functions, _lock: lock })
}

/// Returns the existing build.
fn built(profile: Profile) -> Result<Build> {
    let folder = folder(profile);
    let lock = File::open(folder.join("template.yaml")).context("nothing is built here")?;
    let template = fs::read_to_string(root().join("template.yaml")).context("cannot read template.yaml")?;
    Ok(Build { functions: functions(&template)?, folder, _lock: lock })
}

fn folder(profile: Profile) -> PathBuf {
    target().join("sam").join(profile.name())
}

/// Compiles one Lambda function. Returns the zip file that Lambda accepts.
pub fn package(name: &str) -> Result<Vec<u8>> {
    let folder = folder(Profile::Debug);
    let _lock = lock(&folder.with_extension("lock"), "building the functions")?;
    let template = fs::read_to_string(root().join("template.yaml")).context("cannot read template.yaml")?;
    let function = functions(&template)?.into_iter().find(|one| one.name == name);
    let function = function.with_context(|| format!("template.yaml has no function {name}"))?;
    let place = compile(&folder, std::slice::from_ref(&function))?;
    let zip = folder.join(format!("{}.zip", function.resource));
    run(Command::new(tool("python3")).args(["-m", "zipfile", "-c"]).arg(&zip).args(place))?;
    fs::read(&zip).with_context(|| format!("cannot read {}", zip.display()))
}

/// Produces the same result as `sam build`, from binaries that share the tests' build. SAM itself
/// would call cargo for each Lambda function with other features, so most dependencies would
/// compile twice.
fn debug_build(folder: &Path, template: String, functions: &[Function]) -> Result<()> {
    compile(folder, functions)?;
    let mut built = template;
    for function in functions {
        built = built.replace(
            &format!("CodeUri: functions/{}\n", function.name),
            &format!("CodeUri: {}\n", function.resource),
        );
    }
    fs::write(folder.join("template.yaml"), built).context("cannot write the built template")
}

/// Compiles Lambda functions, and copies each program into the folder of its package. Returns the
/// paths of the copies.
fn compile(folder: &Path, functions: &[Function]) -> Result<Vec<PathBuf>> {
    step(&format!("Compiling {} (debug)", counted(functions)), || {
        // `--workspace` selects the same features as for the tests, so cargo reuses the compiled
        // dependencies. Only the named binaries are built.
        let binaries =
            functions.iter().flat_map(|one| ["--bin".to_owned(), format!("stablepin-{}", one.name)]);
        run(bound("cargo")
            .args(["build", "--workspace", "--target", &host()])
            .args(binaries)
            .current_dir(root()))
    })?;
    let copy = |function: &Function| {
        let place = folder.join(&function.resource);
        fs::create_dir_all(&place)?;
        let binary = target().join(host()).join("debug").join(format!("stablepin-{}", function.name));
        let bootstrap = place.join("bootstrap");
        // A crash test may be running the old file, so the new file is copied first and then
        // renamed.
        let fresh = place.with_extension("fresh");
        fs::copy(&binary, &fresh).with_context(|| format!("cannot copy {}", binary.display()))?;
        fs::rename(&fresh, &bootstrap).with_context(|| format!("cannot write {}", bootstrap.display()))?;
        Ok(bootstrap)
    };
    functions.iter().map(copy).collect()
}

fn counted(functions: &[Function]) -> String {
    match functions {
        [one] => one.name.clone(),
        all => format!("{} functions", all.len()),
    }
}

/// A Lambda function that the template deploys.
#[derive(Debug)]
pub struct Function {
    /// The name of the Lambda function's resource in the template, which is also the folder of the
    /// built package.
    pub resource: String,
    /// The name of the Lambda function's folder in `functions/`.
    pub name: String,
}

fn functions(template: &str) -> Result<Vec<Function>> {
    let mut resource = "";
    let mut functions = Vec::new();
    for line in template.lines() {
        if let Some(name) = line.strip_prefix("  ").filter(|name| !name.starts_with([' ', '#'])) {
            resource = name.split(':').next().unwrap_or_default();
        }
        if let Some(name) = line.trim().strip_prefix("CodeUri: functions/") {
            functions.push(Function { resource: resource.to_owned(), name: name.trim().to_owned() });
        }
    }
    if functions.is_empty() {
        bail!("template.yaml names no function (`CodeUri: functions/…`)");
    }
    Ok(functions)
}

/// Builds as for AWS, except for the architecture. The binaries link against the glibc of Lambda.
fn sam_build(folder: &Path) -> Result<()> {
    let mut sam = sam();
    sam.arg("build")
        .args(["--config-env", "local", "--template-file", "template.yaml", "--build-dir"])
        .arg(folder)
        .args(["--parameter-overrides", &architecture()]);
    run_logged(&mut sam, &folder.with_extension("build.log"))
}

fn sam_deploy(cloud: &Cloud, folder: &Path, settings: &Settings) -> Result<()> {
    let mut sam = sam();
    sam.args(["deploy", "--config-env", "local", "--template-file"])
        .arg(folder.join(LOCAL_TEMPLATE))
        .args(["--stack-name", &settings.stack, "--region", REGION])
        .args([
            "--resolve-s3",
            "--capabilities",
            "CAPABILITY_IAM",
            "CAPABILITY_NAMED_IAM",
            "CAPABILITY_AUTO_EXPAND",
        ])
        .args(["--resolve-s3", "--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"])
        .arg("--parameter-overrides")
        .args(&settings.parameters)
        .args(machine_parameters(cloud.port()))
        .env("AWS_ENDPOINT_URL", cloud.endpoint())
        .env("AWS_ACCESS_KEY_ID", &cloud.root_key().access_key)
        .env("AWS_SECRET_ACCESS_KEY", &cloud.root_key().secret_key);
    run_logged(&mut sam, &cloud.home().log("sam-deploy.log"))
}

/// Returns the `sam` command, with the tools on its path and without the developer's own AWS
/// account.
fn sam() -> Command {
    let mut command = bound(tool("sam"));
    command
        .current_dir(root())
        .env("PATH", setup::path())
        .env("SAM_CLI_TELEMETRY", "0")
        // Without this variable, SAM writes a user id and a cache to `~/.aws-sam`.
        .env("__SAM_CLI_APP_DIR", target().join("sam/home"))
        // The cache of cargo-lambda and zig.
        .env("XDG_CACHE_HOME", target().join("sam/cache"))
        .env("AWS_REGION", REGION)
        .env("AWS_DEFAULT_REGION", REGION)
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("NO_PROXY", "localhost,127.0.0.1")
        .env_remove("AWS_PROFILE")
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY")
        .env_remove("AWS_SESSION_TOKEN");
    command
}

/// The settings of the local stack in `samconfig.toml`. Parameters on SAM's command line replace
/// all parameters of the file. So the task reads the file's parameters, and passes them together
/// with its own.
struct Settings {
    stack: String,
    parameters: Vec<String>,
}

impl Settings {
    fn read() -> Result<Self> {
        let text = fs::read_to_string(root().join("samconfig.toml")).context("cannot read samconfig.toml")?;
        let file: toml::Table = toml::from_str(&text).context("cannot read samconfig.toml")?;
        let deploy = file.get("local").and_then(|local| local.get("deploy")?.get("parameters"));
        let deploy = deploy.context("samconfig.toml has no [local.deploy.parameters]")?;
        let stack = deploy.get("stack_name").and_then(|name| name.as_str()).unwrap_or("stablepin-local");
        let parameters = match deploy.get("parameter_overrides") {
            Some(toml::Value::Array(list)) => {
                list.iter().filter_map(|one| one.as_str()).map(str::to_owned).collect()
            }
            Some(toml::Value::String(list)) => list.split_whitespace().map(str::to_owned).collect(),
            None | Some(_) => Vec::new(),
        };
        Ok(Self { stack: stack.to_owned(), parameters })
    }
}

/// Returns the parameters that depend on the machine and on the cloud's port.
fn machine_parameters(port: u16) -> Vec<String> {
    let mut parameters = vec![architecture(), format!("LinkHostSuffix=execute-api.localhost:{port}")];
    if let Some(bundle) = certificate_bundle() {
        parameters.push(format!("CertificateBundle={bundle}"));
    }
    parameters
}

/// Returns the file with root certificates for the Lambda functions, on Debian, Fedora or Alpine.
pub fn certificate_bundle() -> Option<&'static str> {
    let bundles =
        ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
    bundles.into_iter().find(|file| Path::new(file).is_file())
}

fn architecture() -> String {
    let name = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    format!("Architecture={name}")
}

/// Reads the stack's outputs, and subscribes a queue to the stack's mails. Returns the variables of
/// the stack.
fn variables(cloud: &Cloud, settings: &Settings) -> Result<Variables> {
    let endpoint = cloud.endpoint();
    let key = cloud.root_key();
    let aws = Aws::new(&endpoint, REGION, &key.access_key, &key.secret_key);
    let outputs = outputs(&aws, &settings.stack)?;
    let output = |name: &str| {
        outputs.get(name).cloned().with_context(|| format!("the stack has no output {name}: {outputs:?}"))
    };
    let topic = output("ApprovalsTopicArn")?;
    // The local cloud sends no mail. A queue keeps the mails for approvers instead.
    let notifications = output("NotificationsTopicArn")?;
    let inbox = inbox::subscribe(&aws, [&topic, &notifications])?;

    let mut variables = Variables::new();
    let mut set = |name: &str, value: &str| variables.insert(name.to_owned(), value.to_owned());
    set("AWS_ENDPOINT_URL", &endpoint);
    set("AWS_REGION", REGION);
    set("AWS_DEFAULT_REGION", REGION);
    set("AWS_ACCESS_KEY_ID", &key.access_key);
    set("AWS_SECRET_ACCESS_KEY", &key.secret_key);
    set("STABLEPIN_API", output("ApiUrl")?.trim_end_matches('/'));
    set("STABLEPIN_TABLE", &output("TableName")?);
    set("STABLEPIN_TOPIC", &topic);
    set("STABLEPIN_BUS", &output("BusName")?);
    set("STABLEPIN_STACK", &settings.stack);
    set("STABLEPIN_INBOX", &inbox);
    set("STABLEPIN_REGISTRY", &format!("localhost:{}", cloud.port()));
    set("STABLEPIN_LOCAL", &cloud.home().folder().display().to_string());
    for (name, value) in &outputs {
        if let Some(function) = name.strip_suffix("FunctionName") {
            set(&format!("STABLEPIN_{}_FUNCTION", function.to_uppercase()), value);
        }
    }
    if let Some(socket) = cloud.socket() {
        set("STABLEPIN_CONTAINERS", &format!("unix://{}", socket.display()));
    }
    Ok(variables)
}

fn outputs(aws: &Aws, stack: &str) -> Result<BTreeMap<String, String>> {
    let parameters = [("Action", "DescribeStacks"), ("Version", "2010-05-15"), ("StackName", stack)];
    let answer = aws.query("cloudformation", &parameters).context("cannot read the stack's outputs")?;
    let list = answer.split_once("<Outputs>").map_or("", |(_, rest)| rest);
    let list = list.split_once("</Outputs>").map_or("", |(list, _)| list);
    let pairs = list
        .split("</member>")
        .filter_map(|one| Some((xml_text(one, "OutputKey")?, xml_text(one, "OutputValue")?)));
    Ok(pairs.collect())
}

fn write_env(cloud: &Cloud, variables: &Variables) -> Result<()> {
    write_private(&cloud.home().env(), env_file::text(variables).as_bytes())?;
    note(format!("variables: {}", short(&cloud.home().env()).display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::functions;

    #[test]
    fn lambda_functions_to_build_are_parsed_from_the_template() {
        let template = "Resources:\n  # The first.\n  TaggerFunction:\n    Properties:\n      CodeUri: functions/tagger\n  \
                        ApiFunction:\n    Properties:\n      CodeUri: functions/api \n";
        let found = functions(template).unwrap();
        let found: Vec<_> = found.iter().map(|one| (one.resource.as_str(), one.name.as_str())).collect();
        assert_eq!(found, [("TaggerFunction", "tagger"), ("ApiFunction", "api")]);
    }
}
