use stablepin_aws::ecs::{Binding, Container, Health};

use super::*;

fn arn(name: &str) -> String {
    format!("arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/{name}/50dc6c495c0c9188")
}

fn group(names: &[&str], port: u16) -> Registration {
    Registration {
        groups: names.iter().map(|name| arn(name)).collect(),
        container: Some("web".to_owned()),
        port: Some(port),
    }
}

fn container(name: &str, bindings: &[(u16, u16)]) -> Container {
    let binding = |(container_port, host_port): &(u16, u16)| Binding {
        container_port: *container_port,
        host_port: *host_port,
    };
    Container {
        name: name.to_owned(),
        image: None,
        digest: None,
        last_status: None,
        health: Health::Unknown,
        exit_code: None,
        bindings: bindings.iter().map(binding).collect(),
        reason: None,
    }
}

fn task(addresses: &[&str]) -> Task {
    Task {
        arn: "arn:aws:ecs:eu-west-1:111122223333:task/prod/a".to_owned(),
        task_definition: "arn:aws:ecs:eu-west-1:111122223333:task-definition/web:2".to_owned(),
        started_by: None,
        last_status: "RUNNING".to_owned(),
        desired_status: "RUNNING".to_owned(),
        health: Health::Unknown,
        containers: vec![container("web", &[])],
        addresses: addresses.iter().map(|address| (*address).to_owned()).collect(),
        stop_code: None,
        stopped_reason: None,
        stopped_at: None,
    }
}

/// Returns a task on a container instance. `bindings` are the ports of its container `web`, each as
/// a pair: the port in the container, and the port on the host.
fn on_host(bindings: &[(u16, u16)]) -> Task {
    Task { containers: vec![container("side", &[(80, 1)]), container("web", bindings)], ..task(&[]) }
}

fn stopping(addresses: &[&str]) -> Task {
    Task { desired_status: "STOPPED".to_owned(), ..task(addresses) }
}

/// The id, the port and the state of a target.
type TargetRow<'a> = (&'a str, u16, TargetState);

fn targets(groups: &[(&str, &[TargetRow<'_>])]) -> TargetsByGroup {
    let target = |(id, port, state): &TargetRow<'_>| Target {
        id: (*id).to_owned(),
        port: Some(*port),
        state: state.clone(),
        reason: (*state != TargetState::Healthy).then(|| format!("{state:?}")),
        description: None,
    };
    groups.iter().map(|(name, all)| (arn(name), all.iter().map(target).collect())).collect()
}

const OK: TargetState = TargetState::Healthy;

#[track_caller]
fn is_open(judged: Result<(), String>, because: &str) {
    let open = judged.expect_err("the targets must not be proven");
    assert!(open.contains(because), "{open}");
}

#[test]
fn task_is_healthy_if_its_ipv4_or_ipv6_target_is_healthy() {
    let (v4, v6) = ("10.0.1.7", "2001:db8::7");
    let web = [group(&["web"], 80)];
    for (addresses, id) in [(vec![v4], v4), (vec![v6], v6), (vec![v4, v6], v4), (vec![v4, v6], v6)] {
        let found = targets(&[("web", &[(id, 80, OK)])]);
        assert_eq!(judge(&web, &found, &[task(&addresses)]), Ok(()), "{addresses:?} as {id}");
    }
    let long = targets(&[("web", &[("2001:0db8:0:0:0:0:0:7", 80, OK)])]);
    assert_eq!(judge(&web, &long, &[task(&[v4, v6])]), Ok(()), "the address in its long form");
}

#[test]
fn task_is_not_proven_until_the_target_group_lists_it() {
    let web = [group(&["web"], 80)];
    is_open(
        judge(&web, &targets(&[("web", &[])]), &[task(&["10.0.1.7"])]),
        "10.0.1.7 is not in targetgroup/web/",
    );
    is_open(judge(&web, &TargetsByGroup::new(), &[task(&["10.0.1.7"])]), "is not in");
    let others = targets(&[("web", &[("10.0.1.8", 80, OK)])]);
    is_open(judge(&web, &others, &[task(&["10.0.1.8"]), task(&["10.0.1.7"])]), "10.0.1.7 is not in");
    let sick = targets(&[("web", &[("10.0.1.8", 80, TargetState::Unhealthy)])]);
    is_open(judge(&web, &sick, &[task(&["10.0.1.7"])]), "10.0.1.7 is not in");
    is_open(
        judge(&web, &TargetsByGroup::new(), &[task(&["10.0.1.7", "2001:db8::7"])]),
        "10.0.1.7 or 2001:db8::7 is not",
    );
}

#[test]
fn task_is_not_proven_while_its_target_is_unhealthy() {
    let states = [
        TargetState::Initial,
        TargetState::Unhealthy,
        TargetState::Unused,
        TargetState::Draining,
        TargetState::Unavailable,
        TargetState::Unknown("of tomorrow".to_owned()),
    ];
    for state in states {
        let found = targets(&[("web", &[("10.0.1.7", 80, state.clone())])]);
        let judged = judge(&[group(&["web"], 80)], &found, &[task(&["10.0.1.7"])]);
        is_open(judged, "10.0.1.7 is not healthy in targetgroup/web/50dc6c495c0c9188: ");
    }
}

#[test]
fn stopping_task_needs_no_healthy_target() {
    let found = targets(&[("web", &[("10.0.1.7", 80, OK), ("10.0.1.8", 80, TargetState::Draining)])]);
    let tasks = [task(&["10.0.1.7"]), stopping(&["10.0.1.8"])];
    assert_eq!(judge(&[group(&["web"], 80)], &found, &tasks), Ok(()));
    assert_eq!(judge(&[], &found, &tasks), Ok(()), "a service without load balancing");
}

#[test]
fn task_is_not_proven_by_a_target_at_another_port() {
    let found = targets(&[("web", &[("10.0.1.7", 9000, OK)])]);
    is_open(judge(&[group(&["web"], 80)], &found, &[task(&["10.0.1.7"])]), "is not in");
    let both = [group(&["web"], 80), group(&["web"], 443)];
    let one = targets(&[("web", &[("10.0.1.7", 80, OK), ("10.0.1.7", 443, TargetState::Unhealthy)])]);
    is_open(judge(&both, &one, &[task(&["10.0.1.7"])]), "is not healthy");
    let all = targets(&[("web", &[("10.0.1.7", 80, OK), ("10.0.1.7", 443, OK)])]);
    assert_eq!(judge(&both, &all, &[task(&["10.0.1.7"])]), Ok(()));
}

#[test]
fn task_must_be_healthy_in_every_target_group() {
    let two = [group(&["public"], 80), group(&["private"], 80)];
    let one = targets(&[("public", &[("10.0.1.7", 80, OK)]), ("private", &[])]);
    is_open(judge(&two, &one, &[task(&["10.0.1.7"])]), "is not in targetgroup/private/");
    let both = targets(&[("public", &[("10.0.1.7", 80, OK)]), ("private", &[("10.0.1.7", 80, OK)])]);
    assert_eq!(judge(&two, &both, &[task(&["10.0.1.7"])]), Ok(()));
}

#[test]
fn task_is_proven_by_a_target_in_the_alternate_group() {
    let pair = [group(&["blue", "green"], 80)];
    let green = targets(&[("blue", &[("10.0.1.6", 80, OK)]), ("green", &[("10.0.1.7", 80, OK)])]);
    assert_eq!(judge(&pair, &green, &[task(&["10.0.1.7"])]), Ok(()));
    is_open(
        judge(&pair, &targets(&[("blue", &[]), ("green", &[])]), &[task(&["10.0.1.7"])]),
        " or targetgroup/green/",
    );
}

#[test]
fn host_port_needs_a_healthy_target_for_each_task() {
    let web = [group(&["web"], 80)];
    let tasks = [on_host(&[(80, 49153)]), on_host(&[(80, 49153)]), on_host(&[(443, 1), (80, 49160)])];
    let all = targets(&[("web", &[("i-1", 49153, OK), ("i-2", 49153, OK), ("i-1", 49160, OK)])]);
    assert_eq!(judge(&web, &all, &tasks), Ok(()));
    let other = targets(&[("web", &[("i-1", 49153, OK), ("i-2", 50000, OK), ("i-1", 49160, OK)])]);
    is_open(
        judge(&web, &other, &tasks),
        "1 of 2 targets of targetgroup/web/50dc6c495c0c9188 at port 49153 are healthy",
    );
    let sick =
        targets(&[("web", &[("i-1", 49153, OK), ("i-2", 49153, OK), ("i-1", 49160, TargetState::Initial)])]);
    is_open(judge(&web, &sick, &tasks), "0 of 1 targets");
    is_open(judge(&web, &targets(&[("web", &[])]), &tasks), "0 of 2 targets");
}

#[test]
fn unknown_host_port_needs_a_healthy_target_for_each_task() {
    let web = [group(&["web"], 80)];
    let found = targets(&[("web", &[("i-1", 80, OK), ("i-2", 80, TargetState::Draining)])]);
    assert_eq!(judge(&web, &found, &[on_host(&[])]), Ok(()));
    is_open(judge(&web, &found, &[on_host(&[]), on_host(&[])]), "1 of 2 targets");
}
