//! A server that answers as it is told, on a real socket, so that the real program can be run.

use serde_json::Value as Json;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The method and the path with its query.
    pub(crate) line: String,
    /// The header lines, in lower case.
    pub(crate) headers: Vec<String>,
    /// The body.
    pub(crate) body: String,
}

/// The server.
pub(crate) struct Fake {
    /// Where it is.
    pub(crate) url: String,
    /// What came.
    pub(crate) seen: Arc<Mutex<Vec<Request>>>,
}

type Answer = dyn Fn(&Request) -> (u16, Json) + Send + Sync;

impl Fake {
    /// Starts a server that gives these answers; it ends with the test.
    pub(crate) fn new(answer: impl Fn(&Request) -> (u16, Json) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (answer, log): (Arc<Answer>, _) = (Arc::new(answer), Arc::clone(&seen));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                std::thread::spawn(move || serve(stream.unwrap(), &*answer, &log));
            }
        });
        Self { url, seen }
    }

    /// Runs the program against it.
    pub(crate) fn run(&self, line: &[&str]) -> Ran {
        let mut command = program(line);
        command.env("GOAROUND_URL", &self.url);
        Ran::from(command.output().unwrap())
    }

    /// The requests that came.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

/// The program with a clean environment and nobody at the keyboard.
pub(crate) fn program(line: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_goaround"));
    command
        .args(line)
        .env_clear()
        .env("USER", "ana")
        .stdin(Stdio::null());
    command
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The exit code.
    pub(crate) code: i32,
    /// The data.
    pub(crate) stdout: String,
    /// All else.
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn serve(mut stream: TcpStream, answer: &Answer, log: &Mutex<Vec<Request>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut request = Request {
        line: String::new(),
        headers: Vec::new(),
        body: String::new(),
    };
    reader.read_line(&mut request.line).unwrap();
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).unwrap() == 0 || header.trim().is_empty() {
            break;
        }
        request.headers.push(header.trim().to_lowercase());
    }
    let length = request
        .headers
        .iter()
        .find_map(|header| header.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    request.body = String::from_utf8_lossy(&body).into_owned();
    request.line = request.line.trim().trim_end_matches(" HTTP/1.1").to_owned();
    let (status, json) = answer(&request);
    log.lock().unwrap().push(request);
    let text = json.to_string();
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
}
