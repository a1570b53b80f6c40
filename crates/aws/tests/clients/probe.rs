use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use stablepin_aws::probe::{Network, Probe, ProbeError};
use stablepin_rules::application::Endpoint;

const SOON: Duration = Duration::from_secs(5);

fn endpoint(url: &str) -> Endpoint {
    Endpoint::parse(url).unwrap()
}

fn allowing(networks: &str) -> Probe {
    Probe::new(Network::parse_list(networks).unwrap())
}

/// The heads of a server's requests, one per connection.
type Seen = Receiver<Vec<String>>;

/// Starts a server on loopback. After reading a request's head, the server calls `answer` with the
/// connection.
fn serving(answer: impl Fn(TcpStream) + Send + Sync + Copy + 'static) -> (u16, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, seen) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, tell) = (stream.unwrap(), tell.clone());
            thread::spawn(move || {
                let reader = BufReader::new(stream.try_clone().unwrap());
                let head = reader.lines().map_while(Result::ok).take_while(|line| !line.is_empty());
                tell.send(head.collect()).ok();
                answer(stream);
            });
        }
    });
    (port, seen)
}

fn with_status(status: &'static str) -> impl Fn(TcpStream) + Send + Sync + Copy {
    move |mut stream| {
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nok");
        stream.write_all(head.as_bytes()).ok();
    }
}

#[tokio::test]
async fn probe_sends_get_without_credentials_or_cookies() {
    let (port, seen) = serving(with_status("200 OK"));
    let probe = allowing("127.0.0.0/8");
    let url = endpoint(&format!("http://127.0.0.1:{port}/health?deep=1"));
    for _ in 0..3 {
        assert_eq!(probe.get(&url, SOON).await, Ok(200));
        let mut head = seen.recv_timeout(SOON).unwrap();
        head.sort();
        assert_eq!(
            head,
            [
                "GET /health?deep=1 HTTP/1.1".to_owned(),
                "accept: */*".to_owned(),
                format!("host: 127.0.0.1:{port}"),
                "user-agent: stablepin".to_owned(),
            ],
            "each attempt opens a connection and sends only this"
        );
    }
}

#[tokio::test]
async fn probe_returns_every_http_status() {
    for (line, status) in [("204 No Content", 204), ("404 Not Found", 404), ("503 Slow", 503), ("299", 299)] {
        let (port, _) = serving(with_status(line));
        let url = endpoint(&format!("http://127.0.0.1:{port}/"));
        assert_eq!(allowing("127.0.0.0/8").get(&url, SOON).await, Ok(status));
    }
}

#[tokio::test]
async fn probe_follows_no_redirect() {
    let (port, seen) = serving(|mut stream| {
        let head = "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/latest/meta-data/\r\n\
                    content-length: 0\r\n\r\n";
        stream.write_all(head.as_bytes()).ok();
    });
    let url = endpoint(&format!("http://127.0.0.1:{port}/"));
    // The probe may connect to every address here, but it must not follow the redirect.
    assert_eq!(allowing("0.0.0.0/0,::/0").get(&url, SOON).await, Ok(302));
    assert!(seen.recv_timeout(SOON).is_ok());
    assert!(seen.try_recv().is_err());
}

/// No server listens on these addresses: the probe refuses them before it connects.
#[tokio::test]
async fn probe_refuses_a_forbidden_address() {
    for (url, at, what) in [
        ("http://127.0.0.1:9001/2018-06-01/runtime/invocation/next", "127.0.0.1", "a loopback address"),
        ("http://169.254.169.254/latest/meta-data/", "169.254.169.254", "instance metadata"),
        ("http://169.254.170.2/v2/credentials/x", "169.254.170.2", "a container's credentials"),
        ("https://169.254.0.1/", "169.254.0.1", "a link-local address"),
        ("http://0.0.0.0/", "0.0.0.0", "an unspecified address"),
        ("http://224.0.0.1/", "224.0.0.1", "a multicast address"),
        ("http://255.255.255.255/", "255.255.255.255", "the broadcast address"),
        // Other spellings of these addresses, which only the resolver understands.
        ("http://2130706433/", "127.0.0.1", "a loopback address"),
        ("http://0x7f000001/", "127.0.0.1", "a loopback address"),
        ("http://127.1/", "127.0.0.1", "a loopback address"),
        ("http://0177.0.0.1/", "127.0.0.1", "a loopback address"),
        ("http://0xa9fea9fe/", "169.254.169.254", "instance metadata"),
    ] {
        let failed = Probe::new(Vec::new()).get(&endpoint(url), SOON).await.unwrap_err();
        assert_eq!(failed, ProbeError::Refused { address: at.parse().unwrap(), what }, "{url}");
        assert!(!failed.is_retryable());
    }
}

#[tokio::test]
async fn probe_checks_the_address_of_a_host_name() {
    let (port, seen) = serving(with_status("200 OK"));
    for name in ["localhost", "LocalHost"] {
        let url = endpoint(&format!("http://{name}:{port}/"));
        let failed = Probe::new(Vec::new()).get(&url, SOON).await.unwrap_err();
        let ProbeError::Refused { address, what } = &failed else { panic!("{failed}") };
        assert!(address.is_loopback());
        assert_eq!(
            failed.to_string(),
            format!(
                "the endpoint is at {address}, {what}: a probe goes there only if the stack's allowed \
                 networks contain it"
            )
        );
        // An allowed network that does not contain the address changes nothing.
        let failed = allowing("169.254.0.0/16,10.0.0.0/8").get(&url, SOON).await;
        assert!(matches!(failed, Err(ProbeError::Refused { .. })), "{failed:?}");
        assert!(seen.try_recv().is_err(), "the probe did not connect");

        assert_eq!(allowing("127.0.0.0/8").get(&url, SOON).await, Ok(200));
        assert!(seen.recv_timeout(SOON).unwrap().contains(&format!("host: {name}:{port}")));
    }
}

#[tokio::test]
async fn probe_of_a_slow_server_times_out() {
    // Sends nothing, and reads until the probe closes the connection.
    fn silent(mut stream: TcpStream) {
        stream.read_to_end(&mut Vec::new()).ok();
    }
    // Sends header lines forever. Each line arrives well within the timeout.
    fn dripping(mut stream: TcpStream) {
        stream.write_all(b"HTTP/1.1 200 OK\r\n").ok();
        while stream.write_all(b"x: y\r\n").is_ok() {
            thread::park_timeout(Duration::from_millis(20));
        }
    }
    let timeout = Duration::from_millis(300);
    for slow in [silent as fn(TcpStream), dripping] {
        let (port, _) = serving(slow);
        // With `https`, the TLS handshake never completes.
        for scheme in ["http", "https"] {
            let url = endpoint(&format!("{scheme}://127.0.0.1:{port}/"));
            let from = Instant::now();
            let failed = allowing("127.0.0.0/8").get(&url, timeout).await.unwrap_err();
            assert!(from.elapsed() < SOON, "{:?}", from.elapsed());
            if scheme == "http" {
                assert_eq!(failed, ProbeError::Timeout(timeout));
                assert_eq!(failed.to_string(), "no answer within 300ms");
            }
            assert!(failed.is_retryable());
        }
    }
}

#[tokio::test]
async fn probe_does_not_read_an_endless_body() {
    let (tell, written) = channel();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut line = String::new();
        BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let mut sent = 0_u64;
        // The loop ends after the probe has closed the connection. The kernels' buffers may accept
        // some more bytes before a write fails.
        while let Ok(length) = stream.write(&[b'x'; 64 * 1024]) {
            sent += length as u64;
        }
        tell.send(sent).ok();
    });
    let url = endpoint(&format!("http://127.0.0.1:{port}/"));
    assert_eq!(allowing("127.0.0.0/8").get(&url, SOON).await, Ok(200));
    let sent = tokio::task::spawn_blocking(move || written.recv_timeout(SOON)).await.unwrap();
    assert!(sent.unwrap() < 64 * 1024 * 1024, "the probe closed the connection");
}

#[tokio::test]
async fn probe_error_explains_invalid_response() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (port, _) = serving(|mut stream| {
        stream.write_all(b"SSH-2.0-OpenSSH\r\n\r\n").ok();
    });
    let probe = allowing("127.0.0.0/8");
    for (url, said) in [
        (format!("http://127.0.0.1:{closed}/"), "refused"),
        (format!("http://127.0.0.1:{port}/"), "invalid HTTP"),
    ] {
        let failed = probe.get(&endpoint(&url), SOON).await.unwrap_err();
        assert!(matches!(failed, ProbeError::NoAnswer { .. }), "{failed:?}");
        assert!(failed.to_string().contains(said), "{failed}");
        assert!(failed.is_retryable());
    }
}

/// The handshake names the host, although the probe connects to the checked address.
#[tokio::test]
async fn tls_handshake_names_the_host() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, hello) = channel();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut record = vec![0; 5];
        stream.read_exact(&mut record).unwrap();
        let mut body = vec![0; usize::from(u16::from_be_bytes([record[3], record[4]]))];
        stream.read_exact(&mut body).unwrap();
        tell.send((record[0], body)).unwrap();
        // A fatal alert: handshake failure.
        stream.write_all(&[21, 3, 3, 0, 2, 2, 40]).unwrap();
    });
    let url = endpoint(&format!("https://localhost:{port}/health"));
    let failed = allowing("127.0.0.0/8").get(&url, SOON).await.unwrap_err();
    assert!(failed.to_string().to_lowercase().contains("handshake"), "{failed}");
    let (kind, body) = hello.recv_timeout(SOON).unwrap();
    assert_eq!(kind, 22, "the record is a handshake");
    assert!(body.windows(9).any(|part| part == b"localhost"), "the handshake names the host");
}
