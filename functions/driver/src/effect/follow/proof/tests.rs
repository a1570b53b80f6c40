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

/// One of ours, that runs digest 1 beside a sidecar.
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

/// Two tasks at digest 1 are wanted.
struct Look {
    health_checked: bool,
    accepted: Option<BTreeSet<ImageDigest>>,
    proven_at: Option<Timestamp>,
}

const FIRST: Look = Look { health_checked: false, accepted: None, proven_at: None };

impl Look {
    fn at_digest_1() -> Self {
        Self { accepted: Some(BTreeSet::from([digest(1)])), ..FIRST }
    }

    fn sees(&self, tasks: &[Task], stopped: &[Task]) -> Proof {
        self.look(tasks, stopped, |image| image == IMAGE)
    }

    /// Every container is one of the repository, by whatever name.
    fn sees_any(&self, tasks: &[Task]) -> Proof {
        self.look(tasks, &[], |image| image.contains("/web"))
    }

    fn look(&self, tasks: &[Task], stopped: &[Task], of_ours: impl Fn(&str) -> bool) -> Proof {
        let started = Started {
            deployment: "ecs-svc/2".to_owned(),
            service_deployment: None,
            task_definition: OURS.to_owned(),
            health_checked: self.health_checked,
            at: at(0),
        };
        let (accepted, proven_at) = (self.accepted.clone(), self.proven_at);
        let wanted = Wanted { started: &started, desired: 2, accepted, proven_at };
        prove(&wanted, tasks, stopped, of_ours)
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
fn as_many_tasks_as_are_wanted_that_run_the_digest_are_proof() {
    let look = Look::at_digest_1();
    assert_eq!(look.sees(&[task(), task()], &[]), Proof::Running(2));
    assert_eq!(look.sees(&[task(), task(), task()], &[]), Proof::Running(3));
    is_open(look.sees(&[task()], &[]), "1 of 2 tasks proven");
    is_open(look.sees(&[], &[]), "0 of 2 tasks proven");
}

#[test]
fn what_does_not_run_yet_or_is_on_its_way_out_neither_counts_nor_stands_in_the_way() {
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
fn a_task_of_another_task_definition_is_not_over_yet() {
    let theirs = Task { task_definition: THEIRS.to_owned(), ..task() };
    is_open(Look::at_digest_1().sees(&[task(), task(), theirs], &[]), "still runs");
}

#[test]
fn one_container_at_another_digest_is_wrong_and_one_that_is_not_told_is_open() {
    let look = Look::at_digest_1();
    is_wrong(look.sees(&[task(), running(Some(digest(2)))], &[]), "container web of task/a runs sha256:0202");
    is_open(look.sees(&[task(), running(None)], &[]), "does not say yet which digest");
    let without = Task { containers: vec![container("side", "side:1", None)], ..task() };
    is_open(look.sees(&[task(), without], &[]), "no container of task/a that runs the repository");
    let index = Look { accepted: Some(BTreeSet::from([digest(1), digest(2)])), ..FIRST };
    assert_eq!(index.sees(&[task(), running(Some(digest(2)))], &[]), Proof::Running(2));
    assert_eq!(FIRST.sees(&[task(), running(None)], &[]), Proof::Running(2), "named by a tag before");
}

/// The same image, by each way to write it, at a digest.
fn named(digest: &ImageDigest) -> [String; 3] {
    let web = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/web";
    let dual_stack = "111122223333.dkr-ecr.eu-west-1.on.aws/web";
    [format!("{web}@{digest}"), format!("{web}:main@{digest}"), format!("{dual_stack}@{digest}")]
}

#[test]
fn image_reference_proves_a_container_that_runs() {
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
            is_open(sees(&image, None, status, None), "does not say yet which digest");
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
fn health_counts_where_there_is_a_check() {
    let is = |health| Task { health, ..task() };
    let checked = Look { health_checked: true, ..FIRST };
    assert_eq!(checked.sees(&[is(Health::Healthy), is(Health::Healthy)], &[]), Proof::Running(2));
    is_open(checked.sees(&[is(Health::Healthy), is(Health::Unknown)], &[]), "is not known yet");
    is_open(checked.sees(&[is(Health::Healthy), is(Health::Unhealthy)], &[]), "task/a is unhealthy");
    let baking = Look { health_checked: true, proven_at: Some(at(1)), ..FIRST };
    is_wrong(baking.sees(&[is(Health::Healthy), is(Health::Unhealthy)], &[]), "task/a became unhealthy");
}

#[test]
fn a_task_that_ends_by_itself_while_it_bakes_is_wrong() {
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
