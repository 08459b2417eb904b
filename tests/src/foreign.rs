//! [`Foreign`]: a publisher that knows nothing of us, in Python with pika.

use crate::checkout;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use testkit::partners::{Missing, or_skip};

/// One publisher; ends with this.
pub struct Foreign {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Foreign {
    /// A publisher to this broker; `None` when pika is missing, which is said.
    pub fn start(url: &str) -> Option<Self> {
        let library = checkout().join(".partners/python");
        let there = Command::new("python3")
            .env("PYTHONPATH", &library)
            .args(["-c", "import pika"])
            .stderr(Stdio::null())
            .status();
        let there = match there {
            Ok(status) if status.success() => Ok(()),
            _ => Err(Missing::new(format!(
                "pika for python3; make test installs it into {}",
                library.display()
            ))),
        };
        or_skip(there)?;
        let mut child = Command::new("python3")
            .env("PYTHONPATH", &library)
            .arg(checkout().join("tests/tools/foreign.py"))
            .arg(url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("python3 starts");
        let to = child.stdin.take();
        let from = BufReader::new(child.stdout.take().expect("piped"));
        Some(Self { child, to, from })
    }

    /// Publishes, and returns what the broker said: the id, or why not.
    ///
    /// # Errors
    /// Why it is not confirmed.
    ///
    /// # Panics
    /// When the publisher has ended.
    pub fn publish(&mut self, message: &Value) -> Result<String, String> {
        let to = self.to.as_mut().expect("it is open until the end");
        writeln!(to, "{message}").expect("the publisher reads");
        to.flush().expect("the publisher reads");
        let mut answer = String::new();
        self.from
            .read_line(&mut answer)
            .expect("the publisher answers");
        match answer.trim().split_once(' ') {
            Some(("ok", id)) => Ok(id.to_owned()),
            Some(("no", why)) => Err(why.to_owned()),
            _ => panic!("the publisher has ended: {answer:?}"),
        }
    }

    /// Publishes what has to be confirmed.
    ///
    /// # Panics
    /// When it is not.
    pub fn must(&mut self, message: &Value) -> String {
        self.publish(message)
            .unwrap_or_else(|why| panic!("{message} was not confirmed: {why}"))
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        drop(self.to.take());
        self.child.kill().ok(); // It may have ended already.
        self.child.wait().ok();
    }
}
