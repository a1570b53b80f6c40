//! The program in the local cloud's images. Each image is FROM scratch and has only this static
//! program.
//!
//! `APP_VERSION` is the version that the program reports. `APP_MODE` is `healthy`, `unhealthy`
//! (health checks fail) or `crash` (the program exits at once). `POST /break` and `POST /mend`
//! change the health of a running program.

use std::{
    env,
    io::{BufRead, BufReader, Read, Result, Write},
    net::{TcpListener, TcpStream},
    process,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

static WELL: AtomicBool = AtomicBool::new(true);

fn main() -> Result<()> {
    let version = env::var("APP_VERSION").unwrap_or_else(|_| "unknown".into());
    let mode = env::var("APP_MODE").unwrap_or_else(|_| "healthy".into());
    println!("version {version}, built to be {mode}");
    if mode == "crash" {
        eprintln!("this build cannot start");
        process::exit(1);
    }
    WELL.store(mode != "unhealthy", Ordering::Relaxed);

    let port = env::var("PORT").unwrap_or_else(|_| "8080".into());
    let listener = TcpListener::bind(format!("0.0.0.0:{port}"))?;
    println!("listening on {}", listener.local_addr()?.port());
    for stream in listener.incoming().flatten() {
        let version = version.clone();
        // A client that sends nothing must not delay another client's health check.
        thread::spawn(move || answer(stream, &version));
    }
    Ok(())
}

fn answer(stream: TcpStream, version: &str) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new((&stream).take(16 * 1024));
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }

    let mut words = request.split_whitespace();
    let method = words.next().unwrap_or_default();
    let path = words.next().unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    let (status, body) = match (method, path) {
        ("GET" | "HEAD", "/health") if WELL.load(Ordering::Relaxed) => ("200 OK", "ok".to_owned()),
        ("GET" | "HEAD", "/health") => ("500 Internal Server Error", "this build is broken".to_owned()),
        ("GET" | "HEAD", "/" | "/version") => ("200 OK", version.to_owned()),
        ("POST", "/break") => {
            WELL.store(false, Ordering::Relaxed);
            ("200 OK", "broken".to_owned())
        }
        ("POST", "/mend") => {
            WELL.store(true, Ordering::Relaxed);
            ("200 OK", "mended".to_owned())
        }
        _ => ("404 Not Found", "nothing here".to_owned()),
    };
    let length = body.len();
    let body = if method == "HEAD" { "" } else { &body };
    write!(
        &stream,
        "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}
