use super::{Container, Engine, Listed, imported, message};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::thread;

/// A shortened container list of Docker 20.10 and Podman 4.3.
const LISTED: &str = r#"[{
    "Id": "0b5c", "Names": ["/ministack-ecs-0cd25f3e-web"],
    "Image": "000000000000.dkr.ecr.us-east-1.amazonaws.com/web@sha256:c0af",
    "Labels": {"com.amazonaws.ecs.task-arn": "arn:aws:ecs:us-east-1:000000000000:task/prod/0cd25f3e"},
    "Ports": [
        {"IP": "0.0.0.0", "PrivatePort": 8080, "PublicPort": 40131, "Type": "tcp"},
        {"IP": "::", "PrivatePort": 8080, "PublicPort": 40131, "Type": "tcp"},
        {"PrivatePort": 9090, "Type": "tcp"}
    ],
    "State": "running"
}, {"Id": "1", "Names": ["/other"], "Image": "localhost/other:latest", "Labels": null, "Ports": null},
{"Id": "2", "Names": ["/of-another-cloud"], "Image": "localhost:18001/web@sha256:c0af",
    "Labels": {"com.amazonaws.ecs.task-arn": "arn:aws:ecs:us-east-1:000000000000:task/prod/1"}, "Ports": []},
{"Id": "3", "Names": ["/pulled-by-port"], "Image": "localhost:18000/web@sha256:c0af",
    "Labels": {"com.amazonaws.ecs.task-arn": "arn:aws:ecs:us-east-1:000000000000:task/prod/2"}, "Ports": []}]"#;

/// Starts a container engine that sends the same response to every request.
fn engine_that_answers(status: &'static str, body: &'static str) -> (tempfile::TempDir, Engine) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("engine.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = BufReader::new(&stream);
            let (mut line, mut length) = (String::new(), 0);
            while request.read_line(&mut line).unwrap() > 2 {
                length =
                    line.strip_prefix("Content-Length: ").map_or(length, |text| text.trim().parse().unwrap());
                line.clear();
            }
            request.read_exact(&mut vec![0; length]).unwrap();
            write!(stream, "HTTP/1.0 {status}\r\nContent-Type: application/json\r\n\r\n{body}").unwrap();
        }
    });
    (folder, Engine::new(socket, 18000))
}

#[test]
fn listed_container_has_the_digest_of_its_image() {
    let listed: Vec<Listed> = serde_json::from_str(LISTED).unwrap();
    let mut listed = listed.into_iter().map(Container::from);
    let (task, other) = (listed.next().unwrap(), listed.next().unwrap());
    assert_eq!(task.digest(), Some("sha256:c0af"));
    assert_eq!((task.name.as_str(), task.host_ports), ("ministack-ecs-0cd25f3e-web", vec![40131]));
    assert!(task.task_arn.is_some_and(|arn| arn.ends_with("task/prod/0cd25f3e")));
    assert_eq!(other.digest(), None);
    assert_eq!((other.task_arn, other.host_ports), (None, vec![]));
}

#[test]
fn container_engine_lists_only_containers_of_its_cloud() {
    let (_folder, engine) = engine_that_answers("200 OK", LISTED);
    let names: Vec<_> = engine.running().unwrap().into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["ministack-ecs-0cd25f3e-web", "pulled-by-port"]);
}

#[test]
fn probe_error_quotes_the_message_of_the_container_engine() {
    let (_folder, engine) =
        engine_that_answers("500 Internal Server Error", r#"{"message":"no space left"}"#);
    let error = engine.probe().unwrap_err();
    assert_eq!(format!("{error:#}"), "it does not take an image: 500: no space left");
}

#[test]
fn connection_error_names_the_socket() {
    let error = Engine::new("/nowhere/engine.sock", 18000).running().unwrap_err();
    assert!(format!("{error:#}").starts_with("cannot connect to /nowhere/engine.sock: "), "{error:#}");
}

#[test]
fn check_fails_if_container_engine_sends_no_registry_request() {
    let (_folder, engine) = engine_that_answers("200 OK", "{}");
    let port = crate::port::free().unwrap();
    let error = Engine { port, ..engine }.reaches_registry().unwrap_err();
    assert_eq!(error.to_string(), "it does not ask a registry on localhost without TLS");
}

#[test]
fn last_status_of_an_import_is_the_id_of_the_image() {
    let answer = b"{\"status\":\"Importing\"}\r\n{\"status\":\"sha256:c0af\\n\"}\r\n";
    assert_eq!(imported(answer).as_deref(), Some("sha256:c0af"));
    assert_eq!(imported(b""), None);
}

#[test]
fn error_message_is_parsed_from_json_or_plain_text() {
    assert_eq!(message(br#"{"message":"no such image"}"#), "no such image");
    assert_eq!(message(b"page not found\n"), "page not found");
}
