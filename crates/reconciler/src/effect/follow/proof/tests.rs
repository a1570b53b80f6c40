use super::*;

const OURS: &str = "arn:aws:ecs:eu-west-1:111122223333:task-definition/web:2";
const THEIRS: &str = "arn:aws:ecs:eu-west-1:111122223333:task-definition/web:1";
const IMAGE: &str = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/web@sha256:a1";

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_752_762_652 + minute * 60).unwrap()
}

fn digest(n: u8) -> ImageDigest {
    ImageDigest::parse(&format!("sha256:{}", format!("{n:02x}").repeat(32))).unwrap()
}

fn container(name: &str, image: &str, digest: Option<ImageDigest>) -> Container {
    Container {
        name: name.to_owned(),
        image: Some(image.to_owned()),
        digest,
        last_status: Some("RUNNING".to_owned()),
        health: Health::Unknown,
        exit_code: None,
        bindings: Vec::new(),
        reason: None,
    }
}

/// Returns a task of the target task definition, with digest 1 and a sidecar.
fn task() -> Task {
    Task {
        arn: "task/a".to_owned(),
        task_definition: OURS.to_owned(),
        started_by: None,
        last_status: "RUNNING".to_owned(),
        desired_status: "RUNNING".to_owned(),
        health: Health::Unknown,
        containers: vec![container("web", IMAGE, Some(digest(1))), container("side", "side:1", None)],
        addresses: Vec::new(),
        stop_code: None,
        stopped_reason: None,
        stopped_at: None,
    }
}

fn running(digest: Option<ImageDigest>) -> Task {
    Task { containers: vec![container("web", IMAGE, digest)], ..task() }
}

fn ended(code: &str, at: Timestamp) -> Task {
    let mut ended = task();
    ended.containers[0].exit_code = Some(137);
    Task {
        last_status: "STOPPED".to_owned(),
        stop_code: Some(code.to_owned()),
        stopped_reason: Some("Essential container in task exited".to_owned()),
        stopped_at: Some(at),
        ..ended
    }
}

/// The inputs of a proof for a service with a desired count of 2.
struct Look {
    roles: Vec<ContainerRole>,
    accepted: Option<BTreeSet<ImageDigest>>,
    proven_at: Option<Timestamp>,
    classic_load_balancer: bool,
}

const FIRST: Look = Look { roles: Vec::new(), accepted: None, proven_at: None, classic_load_balancer: false };

fn role(name: &str, essential: bool, health_check: bool) -> ContainerRole {
    ContainerRole { name: name.to_owned(), essential, health_check, restarts: false }
}

impl Look {
    fn at_digest_1() -> Self {
        Self { accepted: Some(BTreeSet::from([digest(1)])), ..FIRST }
    }

    fn sees(&self, tasks: &[Task], stopped: &[Task]) -> Proof {
        self.look(tasks, stopped, |image| image == IMAGE)
    }

    /// Returns the proof if every image with the name `web` counts as an image of the application.
    fn sees_any(&self, tasks: &[Task]) -> Proof {
        self.look(tasks, &[], |image| image.contains("/web"))
    }

    fn look(&self, tasks: &[Task], stopped: &[Task], of_ours: impl Fn(&str) -> bool) -> Proof {
        let started = Started {
            deployment: "ecs-svc/2".to_owned(),
            service_deployment: None,
            task_definition: OURS.to_owned(),
            health_checked: false,
            at: at(0),
        };
        let (accepted, proven_at) = (self.accepted.clone(), self.proven_at);
        let (roles, classic_load_balancer) = (&self.roles[..], self.classic_load_balancer);
        let wanted =
            WantedTasks { started: &started, desired: 2, accepted, proven_at, roles, classic_load_balancer };
        prove(&wanted, tasks, stopped, |container| container.image.as_deref().is_some_and(&of_ours))
    }
}

#[track_caller]
fn is_open(proof: Proof, because: &str) {
    let Proof::Open(open) = proof else { panic!("{proof:?}") };
    assert!(open.contains(because), "{open}");
}

#[track_caller]
fn is_wrong(proof: Proof, because: &str) {
    let Proof::Wrong(wrong) = proof else { panic!("{proof:?}") };
    assert!(wrong.contains(because), "{wrong}");
}

#[test]
fn proof_needs_the_desired_number_of_tasks_at_the_digest() {
    let look = Look::at_digest_1();
    assert_eq!(look.sees(&[task(), task()], &[]), Proof::Running(2));
    assert_eq!(look.sees(&[task(), task(), task()], &[]), Proof::Running(3));
    is_open(look.sees(&[task()], &[]), "1 of 2 tasks proven");
    is_open(look.sees(&[], &[]), "0 of 2 tasks proven");
}

#[test]
fn proof_ignores_pending_and_stopping_tasks() {
    let look = Look::at_digest_1();
    let pending = Task { last_status: "PENDING".to_owned(), ..running(None) };
    let leaving = Task {
        desired_status: "STOPPED".to_owned(),
        task_definition: THEIRS.to_owned(),
        ..running(Some(digest(2)))
    };
    is_open(look.sees(&[task(), pending, leaving.clone()], &[]), "1 of 2 tasks proven");
    assert_eq!(look.sees(&[task(), task(), leaving], &[]), Proof::Running(2));
}

#[test]
fn proof_waits_until_tasks_of_other_task_definitions_stop() {
    let theirs = Task { task_definition: THEIRS.to_owned(), ..task() };
    is_open(Look::at_digest_1().sees(&[task(), task(), theirs], &[]), "still runs");
}

#[test]
fn wrong_digest_fails_the_proof_and_unknown_digest_delays_it() {
    let look = Look::at_digest_1();
    is_wrong(look.sees(&[task(), running(Some(digest(2)))], &[]), "container web of task/a runs sha256:0202");
    is_open(look.sees(&[task(), running(None)], &[]), "does not say yet which digest");
    let without = Task { containers: vec![container("side", "side:1", None)], ..task() };
    is_open(look.sees(&[task(), without], &[]), "no container of task/a that runs the repository");
    let index = Look { accepted: Some(BTreeSet::from([digest(1), digest(2)])), ..FIRST };
    assert_eq!(index.sees(&[task(), running(Some(digest(2)))], &[]), Proof::Running(2));
    assert_eq!(FIRST.sees(&[task(), running(None)], &[]), Proof::Running(2), "the service used a tag before");
}

/// Returns the references to an image with this digest, one in each form.
fn named(digest: &ImageDigest) -> [String; 3] {
    let web = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/web";
    let dual_stack = "111122223333.dkr-ecr.eu-west-1.on.aws/web";
    [format!("{web}@{digest}"), format!("{web}:main@{digest}"), format!("{dual_stack}@{digest}")]
}

#[test]
fn digest_in_the_image_reference_proves_what_a_container_runs() {
    let (ours, child, another) = (digest(1), digest(2), digest(3));
    let look = Look { accepted: Some(BTreeSet::from([ours.clone(), child.clone()])), ..FIRST };
    let sees = |image: &str, reported: Option<&ImageDigest>, status: Option<&str>, exit_code| {
        let mut container = container("web", image, reported.cloned());
        container.last_status = status.map(str::to_owned);
        container.exit_code = exit_code;
        look.sees_any(&[task(), Task { containers: vec![container], ..task() }])
    };
    for image in named(&ours) {
        let running = Some("RUNNING");
        assert_eq!(sees(&image, None, running, None), Proof::Running(2), "{image}");
        assert_eq!(sees(&image, Some(&child), running, None), Proof::Running(2), "a child of the index");
        is_wrong(sees(&image, Some(&another), running, None), "container web of task/a runs sha256:0303");
        for status in [Some("PENDING"), None] {
            is_open(sees(&image, None, status, None), "container web of task/a has not started yet");
        }
    }
    for image in named(&another) {
        is_wrong(sees(&image, None, Some("RUNNING"), None), "container web of task/a runs sha256:0303");
    }
    let of_tag = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/web:main";
    for image in [of_tag, &format!("{of_tag}@sha512:00"), &format!("{of_tag}@")] {
        is_open(sees(image, None, Some("RUNNING"), None), "does not say yet which digest");
    }
}

#[test]
fn task_health_decides_if_no_container_reports_health() {
    let is = |health| Task { health, ..task() };
    let checked = || vec![role("web", true, true), role("side", true, false)];
    let look = Look { roles: checked(), ..FIRST };
    assert_eq!(look.sees(&[is(Health::Healthy), is(Health::Healthy)], &[]), Proof::Running(2));
    is_open(look.sees(&[is(Health::Healthy), is(Health::Unknown)], &[]), "is not known yet");
    is_open(look.sees(&[is(Health::Healthy), is(Health::Unhealthy)], &[]), "task/a is unhealthy");
    let baking = Look { roles: checked(), proven_at: Some(at(1)), ..FIRST };
    is_wrong(baking.sees(&[is(Health::Healthy), is(Health::Unhealthy)], &[]), "task/a became unhealthy");
    let classic = Look { roles: checked(), classic_load_balancer: true, ..FIRST };
    assert_eq!(classic.sees(&[is(Health::Unknown), is(Health::Unknown)], &[]), Proof::Running(2));
    is_open(classic.sees(&[is(Health::Unknown), is(Health::Unhealthy)], &[]), "task/a is unhealthy");
}

/// A second container next to the container `web`, in each of two tasks. The second container runs
/// the application's image or another image.
struct SecondContainer {
    ours: bool,
    essential: bool,
    checked: bool,
    status: &'static str,
    health: Health,
    exit_code: Option<i32>,
}

impl SecondContainer {
    fn each(mut visit: impl FnMut(&Self)) {
        let bools = [true, false];
        for (ours, essential, checked) in
            bools.into_iter().flat_map(|a| bools.into_iter().flat_map(move |b| bools.map(|c| (a, b, c))))
        {
            for status in ["PENDING", "RUNNING", "STOPPED"] {
                // `Unknown` means that ECS reports no health at all, or reports UNKNOWN.
                for health in [Health::Unknown, Health::Healthy, Health::Unhealthy] {
                    for exit_code in [None, Some(0), Some(1), Some(137)] {
                        visit(&Self { ours, essential, checked, status, health, exit_code });
                    }
                }
            }
        }
    }

    fn in_a_task(&self) -> Task {
        let image = if self.ours { IMAGE } else { "side:1" };
        let mut beside = container("beside", image, self.ours.then(|| digest(1)));
        beside.last_status = Some(self.status.to_owned());
        (beside.health, beside.exit_code) = (self.health, self.exit_code);
        // According to AWS, only essential containers decide the task's health. Without a health
        // check, a container's health is UNKNOWN.
        let health = if self.essential && self.checked && self.health == Health::Unhealthy {
            Health::Unhealthy
        } else {
            Health::Unknown
        };
        let containers = vec![container("web", IMAGE, Some(digest(1))), beside];
        Task { health, containers, ..task() }
    }

    fn proof(&self, proven_at: Option<Timestamp>) -> Proof {
        let roles = vec![role("web", true, false), role("beside", self.essential, self.checked)];
        let look = Look { roles, proven_at, ..Look::at_digest_1() };
        look.sees(&[self.in_a_task(), self.in_a_task()], &[])
    }

    /// Returns whether the container works: it is running, or it is not essential and exited with
    /// 0. A container with another image always counts as working.
    fn works(&self) -> bool {
        let has_done_its_work = self.status == "STOPPED" && self.exit_code == Some(0) && !self.essential;
        !self.ours || self.status == "RUNNING" || has_done_its_work
    }

    /// Returns whether the task is healthy according to its essential containers.
    fn is_well(&self) -> bool {
        match (self.essential, self.checked, self.health) {
            (false, _, _) => true,
            (true, true, health) => health == Health::Healthy,
            // Without a health check, ECS reports no health for the container.
            (true, false, health) => health != Health::Unhealthy,
        }
    }
}

#[test]
fn proof_needs_every_container_to_run_or_end_well() {
    let (mut seen, mut proven) = (0, 0);
    SecondContainer::each(|beside| {
        seen += 1;
        let SecondContainer { ours, essential, checked, status, health, exit_code } = beside;
        let what = format!("{ours} {essential} {checked} {status} {health:?} {exit_code:?}");
        let expected = beside.works() && beside.is_well();
        assert_eq!(beside.proof(None) == Proof::Running(2), expected, "{what}");
        assert_eq!(beside.proof(Some(at(1))) == Proof::Running(2), expected, "baking: {what}");
        proven += u32::from(expected);
    });
    assert_eq!((seen, proven), (288, 150));
}

#[test]
fn proof_reports_the_exit_code_of_a_stopped_container() {
    let beside = |essential, exit_code| SecondContainer {
        ours: true,
        essential,
        checked: false,
        status: "STOPPED",
        health: Health::Unknown,
        exit_code,
    };
    let said = "container beside of task/a exited with 137";
    is_wrong(beside(false, Some(137)).proof(None), said);
    is_open(beside(true, Some(137)).proof(None), said);
    is_wrong(beside(true, Some(137)).proof(Some(at(1))), said);
    is_open(beside(false, None).proof(None), "container beside of task/a ended");

    let mut dead = beside(false, Some(1)).in_a_task();
    dead.containers[1].reason = Some("OutOfMemoryError: Container killed due to memory usage".to_owned());
    let restarts = |restarts| vec![ContainerRole { restarts, ..role("beside", false, false) }];
    let look = |roles| Look { roles, ..Look::at_digest_1() }.sees(std::slice::from_ref(&dead), &[]);
    let said = "container beside of task/a exited with 1: OutOfMemoryError: Container killed";
    is_wrong(look(restarts(false)), said);
    is_open(look(restarts(true)), said);
}

/// The agent is a sidecar. The proxy is a container that AWS adds. No task definition names the
/// proxy, so the proxy counts as essential.
#[test]
fn proof_ignores_the_health_of_nonessential_containers() {
    let with = |name: &str, health, of_task| {
        let mut task = Task { health: of_task, ..task() };
        task.containers[1].name = name.to_owned();
        task.containers[1].health = health;
        let roles = vec![role("web", true, false), role("agent", false, true)];
        Look { roles, ..Look::at_digest_1() }.sees(&[task.clone(), task], &[])
    };
    for health in [Health::Healthy, Health::Unknown, Health::Unhealthy] {
        assert_eq!(with("agent", health, Health::Unknown), Proof::Running(2), "{health:?}");
        assert_eq!(with("agent", health, Health::Healthy), Proof::Running(2), "{health:?}");
    }
    assert_eq!(
        with("agent", Health::Unhealthy, Health::Unhealthy),
        Proof::Running(2),
        "only the agent is unhealthy"
    );
    is_open(with("agent", Health::Healthy, Health::Unhealthy), "task/a is unhealthy");
    is_open(with("ecs-service-connect-a1", Health::Unhealthy, Health::Unhealthy), "task/a is unhealthy");
    assert_eq!(with("ecs-service-connect-a1", Health::Unknown, Health::Unknown), Proof::Running(2));
}

#[test]
fn proof_fails_if_a_task_exits_during_the_bake() {
    let baking = Look { proven_at: Some(at(1)), ..FIRST };
    let two = [task(), task()];
    for code in ["EssentialContainerExited", "TaskFailedToStart"] {
        let why = "Essential container in task exited (web exited with 137)";
        is_wrong(baking.sees(&two, &[ended(code, at(2))]), why);
        assert_eq!(baking.sees(&two, &[ended(code, at(1))]), Proof::Running(2), "before it was proven");
        assert_eq!(FIRST.sees(&two, &[ended(code, at(2))]), Proof::Running(2), "not yet proven");
    }
    let scaled = ended("ServiceSchedulerInitiated", at(2));
    assert_eq!(baking.sees(&two, &[scaled]), Proof::Running(2));
    let theirs = Task { task_definition: THEIRS.to_owned(), ..ended("EssentialContainerExited", at(2)) };
    assert_eq!(baking.sees(&two, &[theirs]), Proof::Running(2));
}
