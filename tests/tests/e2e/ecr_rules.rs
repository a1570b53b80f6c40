//! From a push to a stable tag beside a strict double of ECR: with rules that the emulator has not, and calls that it
//! never refuses.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use jiff::SignedDuration;
use serde_json::Value;
use stablepin_tests::crash::{Fault, Run, decision};
use stablepin_tests::ecr_double::{EcrDouble, Mutability, Repository};
use stablepin_tests::ecs_double::EcsDouble;
use stablepin_tests::{App, Plan, Seed};
use xtask::image::{Spec, index};
use xtask::podman::ECR_HOST;

/// What has not ended by then never will.
const TICKS: usize = 12;

/// An application aside, and the ECR that its images are in.
struct Story {
    app: App,
    ecr: EcrDouble,
    web: Repository,
}

impl Story {
    #[track_caller]
    fn begin(name: &str, mutability: Mutability) -> Self {
        let mut app = Plan::new(name).create();
        app.goes_aside();
        Self::of(app, mutability)
    }

    fn of(app: App, mutability: Mutability) -> Self {
        let ecr = EcrDouble::start();
        let web = ecr.creates(&app.plan.repository, mutability);
        Self { app, ecr, web }
    }

    /// A pipeline pushes a build, a second after the one before; nobody has heard of it yet.
    #[track_caller]
    fn push(&self, tag: &str, version: &str) -> String {
        self.ecr.time_passes(SignedDuration::from_secs(1));
        let image = stablepin_tests::app::image(&Spec::new(version));
        self.ecr.registry().push(self.web.name(), Some(tag), &image).expect("the double takes a push")
    }

    /// The tagger hears of all that ECR has told since the last time.
    #[track_caller]
    fn hears(&self) {
        for event in self.ecr.events() {
            let run = self.app.invoke(&self.ecr, "tagger", &event, None);
            let answer = run.answer.expect("it was not killed");
            assert!(answer["errorMessage"].is_null(), "{event:#}: {answer:#}");
        }
    }

    #[track_caller]
    fn approve(&self, digest: &str) {
        let link = self.app.link(digest);
        let click = decision(&link, "approve", "tried it");
        let run = self.app.invoke(&self.ecr, "approval", &click, None);
        let answer = run.answer.expect("it was not killed");
        assert_eq!(answer["statusCode"], 200, "{answer:#}");
    }

    /// Pushed, told of, approved; and what came of it is told of, too.
    #[track_caller]
    fn pin(&self, tag: &str, version: &str) -> String {
        let digest = self.push(tag, version);
        self.hears();
        self.approve(&digest);
        self.hears();
        digest
    }

    /// Minutes pass until it has come to that.
    #[track_caller]
    fn ticks_until(&self, what: &str, look: impl Fn() -> bool) {
        for _ in 0..TICKS {
            if look() {
                return;
            }
            self.app.pauses_end();
            self.app.tick_beside(&self.ecr, None);
        }
        assert!(look(), "{what}: {:#?}", self.app.promotions());
    }

    #[track_caller]
    fn everybody_is_asked(&self) -> bool {
        let promotions = self.app.promotions();
        let asked = |one: &Value| one["asked"].as_object().is_some_and(|asked| asked.len() == 1);
        !promotions.is_empty() && promotions.iter().all(asked)
    }

    #[track_caller]
    fn build_tag(&self, digest: &str) -> String {
        self.app.build(digest).expect("a build")["build_tag"].as_str().expect("a tag").to_owned()
    }

    /// The tag that the pin of this number has.
    fn stable_tag(&self, number: u64, moves: bool) -> String {
        let stable = &self.app.plan.stable_tag;
        if moves { stable.clone() } else { format!("{stable}-{number:06}") }
    }
}

#[track_caller]
fn two_pins(story: &Story, moves: bool) {
    let first = story.pin("v1.0.0", "1");
    let second = story.pin("v1.0.1", "2");
    assert_eq!(story.app.pins(), [(1, first.clone()), (2, second.clone())]);
    let (one, two) = (story.stable_tag(1, moves), story.stable_tag(2, moves));
    assert_eq!(story.web.tag(&two), Some(second.clone()));
    assert_eq!(story.web.tag(&one), Some(if moves { second.clone() } else { first.clone() }));
    let mut expected = ["v1.0.0".to_owned(), story.build_tag(&first)].to_vec();
    expected.extend((!moves).then_some(one));
    expected.sort();
    assert_eq!(story.web.tags(&first), expected, "the first build keeps its names");
    assert_eq!(story.web.tag(&story.build_tag(&second)), Some(second));
    assert_eq!(story.web.count(), 2, "not a byte was changed on the way: nothing else has come to be");
    assert_eq!(story.app.promotions().len(), 2, "our own tags are nobody's push");
    assert_eq!(story.app.environment()["applied"], 2);
}

#[test]
fn in_a_mutable_repository_the_stable_tag_moves() {
    let story = Story::begin("modes-mut", Mutability::Mutable);
    two_pins(&story, true);
}

#[test]
fn in_an_immutable_repository_each_pin_has_a_stable_tag_of_its_own() {
    let story = Story::begin("modes-imm", Mutability::Immutable);
    two_pins(&story, false);
}

#[test]
fn where_a_filter_lets_the_stable_tag_move_it_moves() {
    let filters = vec!["latest".to_owned(), "*-stable".to_owned()];
    let story = Story::begin("modes-immx", Mutability::ImmutableExcept(filters));
    two_pins(&story, true);
}

#[test]
fn where_a_filter_keeps_the_stable_tag_each_pin_has_its_own() {
    let filters = vec!["prod-*".to_owned()];
    let story = Story::begin("modes-mutx", Mutability::MutableExcept(filters));
    two_pins(&story, false);
}

#[test]
fn an_index_is_pinned_as_it_is_with_its_children_untouched() {
    let story = Story::begin("index", Mutability::Mutable);
    let children = ["amd64", "arm64"].map(|name| stablepin_tests::app::image(&Spec::new(name)));
    let index = index(children.to_vec()).expect("an index");
    let registry = story.ecr.registry();
    registry.push_index(story.web.name(), Some("main"), &index).expect("the double takes an index");
    story.hears();
    let promotions = story.app.promotions();
    assert_eq!(promotions.len(), 1, "its children are no builds: {promotions:#?}");
    story.approve(index.digest());
    story.hears();
    assert_eq!(story.web.tag("prod-stable").as_deref(), Some(index.digest()));
    assert_eq!(story.web.tag(&story.build_tag(index.digest())).as_deref(), Some(index.digest()));
    for child in &children {
        assert!(story.web.tags(child.digest()).is_empty());
    }
    assert_eq!((story.web.count(), story.app.pins()), (3, vec![(1, index.digest().to_owned())]));
}

#[test]
fn throttled_at_every_tenth_call_everything_is_done_all_the_same() {
    let story = Story::begin("throttled", Mutability::Mutable);
    story.ecr.throttles_every(10);
    let digests = ["1", "2", "3"].map(|version| {
        let digest = story.push("main", version);
        story.hears();
        story.ticks_until("asked", || story.everybody_is_asked());
        story.approve(&digest);
        story.ticks_until("tagged", || {
            let environment = story.app.environment();
            environment["pin"]["digest"] == *digest && environment["applied"] == environment["pin"]["number"]
        });
        digest
    });
    let throttled = story.ecr.calls().iter().filter(|call| call.status == 400).count();
    assert!(throttled >= 2, "{:?}", story.ecr.counts());
    let pins: Vec<_> = story.app.pins().into_iter().map(|(_, digest)| digest).collect();
    assert_eq!(pins, digests);
    assert_eq!(story.web.tag("prod-stable").as_ref(), digests.last());
    for digest in &digests {
        assert_eq!(story.web.tag(&story.build_tag(digest)).as_ref(), Some(digest));
    }
}

/// Both doubles beside one program: what is asked of either is numbered with all the rest.
#[test]
fn a_release_of_a_service_is_pinned_beside_both_doubles() {
    let mut app = Plan::new("both").services(["web"]).deployed("bake = \"0s\"").create();
    app.goes_aside();
    let story = Story::of(app, Mutability::Immutable);
    let Story { app, ecr, web } = &story;
    let ecs = EcsDouble::start();
    ecs.by_hand();
    let image = |digest: &str| format!("{ECR_HOST}/{}@{digest}", web.name());
    let before = story.push("quiet", "0");
    let service = ecs.service(&format!("{}/web", app.plan.cluster));
    service.runs(&image(&before)).desired(2).circuit_breaker(true).create();

    let digest = story.push("v1.0.0", "1");
    story.hears();
    let click = decision(&app.link(&digest), "approve", "tried it");
    let run = app.invoke((&ecs, ecr), "approval", &click, None);
    assert_eq!(run.answer.expect("it was not killed")["statusCode"], 200);
    let mut requests = Vec::new();
    for _ in 0..TICKS {
        if app.environment()["applied"] == 1 {
            break;
        }
        (0..8).for_each(|_| ecs.advance());
        app.pauses_end();
        requests.extend(app.tick_beside((&ecs, ecr), None).requests);
    }
    assert_eq!(app.pins(), [(1, digest.clone())], "{:#?}", app.promotions());
    assert_eq!(service.images(), [image(&digest)]);
    assert_eq!(web.tag(&story.stable_tag(1, false)), Some(digest.clone()));
    assert_eq!(web.tag("production-current"), Some(digest));
    for (asked, times) in [("UpdateService", 1), ("PutImage", 2)] {
        let count = requests.iter().filter(|request| *request == asked).count();
        assert_eq!(count, times, "{asked}: {requests:?}");
    }
}

/// So many runs at a time: programs and the emulator share the machine.
const SIDE_BY_SIDE: usize = 4;

/// An application to which nothing was pushed yet.
fn unpushed() -> &'static Seed {
    static BEGUN: OnceLock<(Seed, App)> = OnceLock::new();
    let (seed, _) = BEGUN.get_or_init(|| {
        let app = Plan::new("ecr-push").create();
        (Seed::of(&app), app)
    });
    seed
}

/// Pushes, and one request goes wrong; answers whether it came to that.
fn cut_off(number: usize, fault: Fault) -> bool {
    let story = Story::of(unpushed().copy(&[]), Mutability::Mutable);
    let digest = story.push("main", "1");
    let event = story.ecr.events().pop().expect("a push is told");
    let hear = |fault| -> Run { story.app.invoke(&story.ecr, "tagger", &event, fault) };
    let run = hear(Some((number, fault)));
    let what = format!("{number} {fault:?}: {:?}", run.requests);
    if run.answer.is_none() {
        hear(None); // Lambda tries again
    }
    story.ticks_until(&what, || story.everybody_is_asked());
    assert_eq!(story.app.promotions().len(), 1, "{what}");
    assert_eq!(story.app.audited("Promotion State Change"), ["- → Pending"], "{what}");
    let name = story.build_tag(&digest);
    assert_eq!(story.web.tag(&name).as_ref(), Some(&digest), "{what}");
    story.approve(&digest);
    assert_eq!(story.app.pins(), [(1, digest.clone())], "{what}");
    let stable = &story.app.plan.stable_tag;
    let mut expected = ["main".to_owned(), name, stable.clone()];
    expected.sort();
    assert_eq!(story.web.tags(&digest), expected, "{what}");
    run.hit
}

/// The requests are counted by running: at the first of them something goes wrong, then at the second, until a run has
/// fewer.
#[test]
fn a_push_that_is_cut_off_at_any_request_beside_the_double_is_finished() {
    let (next, beyond) = (AtomicUsize::new(1), AtomicUsize::new(usize::MAX));
    thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::SeqCst);
                    if at > beyond.load(Ordering::SeqCst) {
                        return;
                    }
                    for fault in [Fault::KillBefore, Fault::KillAfter] {
                        if !cut_off(at, fault) {
                            beyond.fetch_min(at, Ordering::SeqCst);
                        }
                    }
                }
            });
        }
    });
    assert!(beyond.into_inner() > 8, "it asks AWS for something");
}
