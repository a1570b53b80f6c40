//! Creates isolated applications. Runs the programs of Stablepin's Lambda functions for these
//! applications against the fakes.

use crate::table::Table;
use jiff::SignedDuration;
use serde_json::{Value, json};
use xtask::aws::plain_item;
use xtask::image::Spec;
use xtask::stack::tick_event;

use crate::crash::{
    FakeEndpoints, Fault, ProgramRun, application_request, decision, invoke_with_fakes, registration,
};
use crate::ecr_fake::{EcrFake, Repository};
use crate::ecs_fake::EcsFake;
use crate::isolated::Isolated;
use crate::{App, Link, Plan, image, stack};

/// The number of ticks after which a test stops waiting for a result and fails.
const TICKS: usize = 12;

/// A time in the past.
const PAST: &str = "2026-01-01T00:00:00.000Z";

impl Plan {
    /// Creates an isolated application: creates its repository in a fake of ECR, then registers the
    /// application.
    #[track_caller]
    pub fn create_with_fakes(self) -> App {
        let app = App::create_unregistered(self);
        app.registers(&app.plan.name, &app.plan.toml());
        app
    }
}

impl App {
    /// Creates an isolated application that has a repository but is not registered.
    #[track_caller]
    pub fn create_unregistered(plan: Plan) -> Self {
        let mut app = Self::unborn(plan);
        let ecr = EcrFake::start();
        let web = ecr.creates(&app.plan.repository, app.plan.mutability.clone());
        let isolated = Isolated::open(&app.aws, &app.plan.name, &[], (ecr, web));
        app.subscribed(&isolated.topic); // SNS deletes the subscriptions with the topic
        app.isolated = Some(isolated);
        app
    }

    #[track_caller]
    fn isolated(&self) -> &Isolated {
        self.isolated.as_ref().expect("the application is isolated")
    }

    /// Returns the fake of ECR that contains the application's repository.
    #[track_caller]
    pub fn ecr(&self) -> &EcrFake {
        &self.isolated().ecr
    }

    /// Returns the application's repository.
    #[track_caller]
    pub fn web(&self) -> &Repository {
        &self.isolated().web
    }

    /// Registers an application in this application's table. `name` may be the name of another
    /// application.
    #[track_caller]
    pub fn registers(&self, name: &str, text: &str) {
        let run = self.invoke(None, "api", &registration(name, text), None);
        let answer = run.answer.expect("the function was not killed");
        assert!(matches!(answer["statusCode"].as_u64(), Some(200 | 201)), "{answer:#}");
    }

    /// Pushes a build as a pipeline does, but does not deliver the push event to the tagger.
    #[track_caller]
    pub fn push_unheard(&self, tag: &str, spec: &Spec) -> String {
        self.a_second_passes();
        self.push_without_event(Some(tag), &image(spec))
    }

    /// Delivers all undelivered ECR events to the tagger.
    #[track_caller]
    pub fn hears(&self) {
        self.ecr().events().iter().for_each(|event| self.deliver_to_tagger(event));
        self.a_second_passes();
    }

    /// Advances the clock of the fake of ECR by one second, so that no two pushes have the same
    /// time. Stablepin would order two pushes of the same second by their digests.
    fn a_second_passes(&self) {
        self.ecr().time_passes(SignedDuration::from_secs(1));
    }

    /// Runs ticks until `look` returns true. Fails the test after `TICKS` ticks.
    #[track_caller]
    pub fn ticks_until(&self, what: &str, look: impl Fn(&Self) -> bool) {
        for _ in 0..TICKS {
            if look(self) {
                return;
            }
            self.tick();
        }
        assert!(look(self), "{what}: {:#?}", self.promotions());
    }

    /// Returns whether promotions exist, and Stablepin has asked exactly one approver about each
    /// promotion.
    #[track_caller]
    pub fn everybody_is_asked(&self) -> bool {
        let promotions = self.promotions();
        let asked = |one: &Value| one["asked"].as_object().is_some_and(|asked| asked.len() == 1);
        !promotions.is_empty() && promotions.iter().all(asked)
    }

    #[track_caller]
    pub(crate) fn deliver_to_tagger(&self, event: &Value) {
        let answer = self.invoke(None, "tagger", event, None).answer.expect("the function was not killed");
        assert!(answer["errorMessage"].is_null(), "{event:#}: {answer:#}");
    }

    /// Gives the promoter an audit record, as the stack's event bus does.
    #[track_caller]
    pub fn publish(&self, kind: &str, record: &Value) {
        let event = json!({
            "source": "stablepin", "detail-type": kind, "detail": record,
            "account": "000000000000", "region": stack().variable("AWS_REGION"),
        });
        let answer = self.invoke(None, "promoter", &event, None).answer.expect("the function was not killed");
        assert!(answer["errorMessage"].is_null(), "{event:#}: {answer:#}");
    }

    /// Sends a pipeline's signed request to the approval Lambda function. Returns the status and
    /// the body of the response.
    #[track_caller]
    pub fn api_with_fakes(&self, route: &str, body: &Value) -> (u16, Value) {
        let event = application_request(&self.plan.name, route, body);
        let answer = self.invoke(None, "approval", &event, None).answer.expect("the function was not killed");
        let status = answer["statusCode"].as_u64().expect("a status");
        let body = serde_json::from_str(answer["body"].as_str().expect("a body")).expect("JSON");
        (u16::try_from(status).expect("a status"), body)
    }

    /// Submits the form of the link's page, then delivers all undelivered ECR events to the tagger.
    /// Returns the HTTP status and the page in the response.
    #[track_caller]
    pub fn decides(&self, link: &Link, what: &str) -> (u64, String) {
        let run = self.invoke(None, "approval", &decision(link, what, "tried it"), None);
        let answer = run.answer.expect("the function was not killed");
        self.hears();
        let page = answer["body"].as_str().unwrap_or_default().to_owned();
        (answer["statusCode"].as_u64().unwrap_or_default(), page)
    }

    /// Returns every item that contains the application's name, in DynamoDB's format.
    #[track_caller]
    pub(crate) fn all_items(&self) -> Vec<Value> {
        let mut items = self.read_table().items().expect("the table answers");
        items.retain(|item| item.to_string().contains(&self.plan.name));
        items
    }

    pub(crate) fn table(&self) -> &str {
        self.isolated.as_ref().map_or_else(|| stack().table(), |isolated| &isolated.table)
    }

    pub(crate) fn read_table(&self) -> Table<'_> {
        Table { aws: &self.aws, name: self.table() }
    }

    /// Returns the ARN of the SNS topic for the application's mails and notifications.
    #[track_caller]
    pub fn isolated_topic(&self) -> &str {
        &self.isolated().topic
    }

    /// Returns the URL of the queue that receives all messages of the application's topic.
    #[track_caller]
    pub fn isolated_inbox(&self) -> &str {
        self.isolated().inbox()
    }

    /// Returns the endpoints of the application's fake of ECR, and of the fake of ECS if there is
    /// one.
    #[track_caller]
    pub(crate) fn fakes<'a>(&'a self, ecs: Option<&'a EcsFake>) -> FakeEndpoints<'a> {
        FakeEndpoints { ecs, ecr: Some(self.ecr()), sources: None }
    }

    /// Invokes the program of a Lambda function once, against the fakes.
    #[track_caller]
    pub fn invoke(
        &self,
        ecs: Option<&EcsFake>,
        function: &str,
        event: &Value,
        fault: Option<(usize, Fault)>,
    ) -> ProgramRun {
        invoke_with_fakes(self.fakes(ecs), function, &self.others(), event, fault)
    }

    /// Invokes the promoter with this application's sweep message, as the sweep queue delivers it.
    #[track_caller]
    pub fn sweep_with_fakes(&self, ecs: Option<&EcsFake>) -> ProgramRun {
        self.invoke(ecs, "promoter", &self.sweep_event(), None)
    }

    pub fn sweep_event(&self) -> Value {
        let body = json!({ "sweep": self.plan.name }).to_string();
        json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "1", "body": body }] })
    }

    pub(crate) fn others(&self) -> [(&str, &str); 6] {
        let isolated = self.isolated();
        [
            ("STABLEPIN_TABLE", isolated.table.as_str()),
            ("STABLEPIN_APPROVALS_TOPICS", &isolated.topic),
            ("STABLEPIN_NOTIFICATIONS_TOPIC", &isolated.topic),
            ("AWS_ACCESS_KEY_ID", stack().variable("AWS_ACCESS_KEY_ID")),
            ("AWS_SECRET_ACCESS_KEY", stack().variable("AWS_SECRET_ACCESS_KEY")),
            ("AWS_SESSION_TOKEN", ""),
        ]
    }

    /// Invokes the promoter with the event of one tick, against the fakes.
    #[track_caller]
    pub fn tick_with_fakes(&self, ecs: Option<&EcsFake>, fault: Option<(usize, Fault)>) -> ProgramRun {
        self.invoke(ecs, "promoter", &tick_event(), fault)
    }

    /// Makes every waiting operation due, so that the next tick works on all of them. Also ends
    /// their leases, since a killed program never releases its lease.
    #[track_caller]
    pub fn pauses_end(&self) {
        assert!(self.isolated.is_some(), "only an isolated application has no other workers");
        for item in self.raw_items(&format!("APP#{}", self.plan.name)) {
            let operation = &plain_item(&item)["record"]["operation"];
            if !operation["wake_at"].is_string() {
                continue;
            }
            let mut set = "SET wake_at = :past, #record.#operation.wake_at = :past".to_owned();
            if operation["lease"].is_object() {
                set += ", #record.#operation.#lease.#until = :past";
            }
            if operation["notify_at"].is_string() {
                set += ", #record.#operation.notify_at = :past";
            }
            let mut ask = json!({
                "TableName": self.table(),
                "Key": { "pk": item["pk"], "sk": item["sk"] },
                "UpdateExpression": set,
                "ExpressionAttributeNames": { "#record": "record", "#operation": "operation" },
                "ExpressionAttributeValues": { ":past": { "S": PAST } },
            });
            if operation["lease"].is_object() {
                ask["ExpressionAttributeNames"]["#lease"] = json!("lease");
                ask["ExpressionAttributeNames"]["#until"] = json!("until");
            }
            self.aws.dynamodb("UpdateItem", &ask).expect("the table accepts the update");
        }
    }
}
