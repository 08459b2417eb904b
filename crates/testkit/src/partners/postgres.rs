//! A private PostgreSQL: a folder and a port of its own, gone with the test.

use super::{Missing, free_port, setting};
use std::ffi::OsStr;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Where the server's programs are looked for, the newest first; `GOAROUND_POSTGRES_BIN` names
/// another folder.
const BINS: [&str; 4] = [
    "/usr/lib/postgresql/17/bin",
    "/usr/lib/postgresql/16/bin",
    "/usr/lib/postgresql/15/bin",
    "/usr/local/pgsql/bin",
];
/// The server refuses to run as root: then it runs as this user.
const USER: &str = "postgres";
/// The superuser in the server, and its password.
const SUPERUSER: &str = "goaround";
const PASSWORD: &str = "not-a-secret";
/// How long the server may take to start, or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether what is durable survives a loss of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// As in production.
    On,
    /// Only for tests that start a server for something else.
    Off,
}

/// A running server. Dropped, it is killed and its folder removed.
pub struct PostgresServer {
    folder: TempDir,
    tools: Tools,
    port: u16,
    fsync: Fsync,
    keeper: Mutex<Keeper>,
}

/// The programs, and as whom they are run.
struct Tools {
    bin: PathBuf,
    /// The ids of [`USER`], when we are root.
    user: Option<(u32, u32)>,
}

/// The thread that keeps the server: the system ends the server with this thread, so that no test
/// that is killed leaves one behind.
struct Keeper {
    orders: Sender<Order>,
    thread: Option<JoinHandle<()>>,
}

enum Order {
    Start(Box<Command>),
    Kill,
}

impl PostgresServer {
    /// Starts a server; what it says is durable is durable.
    ///
    /// # Errors
    /// [`Missing`] says what is not installed.
    pub fn start() -> Result<Self, Missing> {
        Self::start_with(Fsync::On)
    }

    /// Starts a server.
    ///
    /// # Errors
    /// [`Missing`] says what is not installed.
    ///
    /// # Panics
    /// When it is installed but does not start; what it said is in the message.
    pub fn start_with(fsync: Fsync) -> Result<Self, Missing> {
        let tools = Tools::find()?;
        let folder = tempfile::Builder::new()
            .prefix("goaround-postgres-")
            .tempdir()
            .expect("a folder for the server");
        tools.own(folder.path());
        let server = Self {
            folder,
            tools,
            port: free_port(),
            fsync,
            keeper: Mutex::new(Keeper::new()),
        };
        server.init();
        server.restart();
        Ok(server)
    }

    /// The server that all tests of this process share; it ends with the last of them.
    ///
    /// # Errors
    /// [`Missing`] says what is not installed.
    pub fn shared() -> Result<Arc<Self>, Missing> {
        static SHARED: Mutex<Weak<PostgresServer>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return Ok(server);
        }
        let server = Arc::new(Self::start()?);
        *shared = Arc::downgrade(&server);
        Ok(server)
    }

    /// How to reach this database of the server.
    pub fn url(&self, database: &str) -> String {
        let port = self.port;
        format!("postgres://{SUPERUSER}:{PASSWORD}@127.0.0.1:{port}/{database}?sslmode=disable")
    }

    /// Where it listens, on the loopback interface.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Makes an empty database and returns how to reach it.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn create_database(&self, name: &str) -> String {
        self.sql("postgres", &format!("CREATE DATABASE \"{name}\""));
        self.url(name)
    }

    /// What the server answers, as unaligned text.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn sql(&self, database: &str, statement: &str) -> String {
        let url = self.url(database);
        let mut psql = self.tools.command("psql");
        psql.args([
            "-X",
            "-q",
            "-tA",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            &url,
            "-c",
            statement,
        ]);
        run(&mut psql)
    }

    /// Ends the server as a crash would: at once, with nothing written that was not durable.
    pub fn kill(&self) {
        self.tell(Order::Kill);
        // The backends see that their parent is gone, and let go of the folder.
        let lock = self.folder.path().join("db/postmaster.pid");
        let begun = Instant::now();
        while self.has_backends() && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
        std::fs::remove_file(lock).ok();
    }

    /// Stops the server as an operator would: connections are ended, everything is written.
    ///
    /// # Panics
    /// When it does not stop.
    pub fn stop(&self) {
        let db = self.db();
        let mut stop = self.tools.command("pg_ctl");
        stop.args([OsStr::new("-D"), db.as_os_str()]);
        stop.args(["-m", "fast", "-w", "-t", "60", "stop"]);
        run(&mut stop);
        self.tell(Order::Kill);
    }

    /// Starts it again after [`PostgresServer::kill`] or [`PostgresServer::stop`], with the same
    /// folder and port.
    ///
    /// # Panics
    /// When it does not start; what it said is in the message.
    pub fn restart(&self) {
        let mut server = self.tools.command("postgres");
        server
            .arg("-D")
            .arg(self.db())
            .args(["-p", &self.port.to_string()])
            .arg("-k")
            .arg(self.folder.path());
        let fsync = match self.fsync {
            Fsync::On => "on",
            Fsync::Off => "off",
        };
        for setting in [
            "listen_addresses=127.0.0.1",
            "max_connections=60",
            "shared_buffers=64MB",
            "max_wal_size=1GB",
            "logging_collector=off",
            &format!("fsync={fsync}"),
        ] {
            server.args(["-c", setting]);
        }
        let log = self.folder.path().join("log");
        let log = std::fs::File::options().create(true).append(true).open(log);
        server.stdin(Stdio::null()).stdout(Stdio::null());
        server.stderr(log.expect("the server's log can be written"));
        self.tell(Order::Start(Box::new(server)));
        self.await_ready();
    }

    fn init(&self) {
        let password = self.folder.path().join("password");
        std::fs::write(&password, PASSWORD).expect("a file for the password");
        self.tools.own(&password);
        let mut init = self.tools.command("initdb");
        init.arg("-D").arg(self.db()).arg("--pwfile").arg(&password);
        init.args([
            "-A",
            "scram-sha-256",
            "-U",
            SUPERUSER,
            "-E",
            "UTF8",
            "--no-locale",
        ]);
        init.args(["--no-sync", "--no-instructions"]);
        run(&mut init);
    }

    fn db(&self) -> PathBuf {
        self.folder.path().join("db")
    }

    fn tell(&self, order: Order) {
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        keeper
            .orders
            .send(order)
            .expect("the server's keeper lives");
    }

    fn await_ready(&self) {
        let begun = Instant::now();
        loop {
            let mut ready = self.tools.command("pg_isready");
            ready.args(["-q", "-h", "127.0.0.1", "-t", "1", "-p"]);
            ready.arg(self.port.to_string());
            let answer = ready.status().expect("pg_isready can be run");
            if answer.success() {
                return;
            }
            let log = self.folder.path().join("log");
            assert!(
                begun.elapsed() < PATIENCE,
                "PostgreSQL did not start: {}",
                std::fs::read_to_string(log).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether a process still works in the server's folder.
    fn has_backends(&self) -> bool {
        let db = self.db();
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        processes
            .filter_map(|process| std::fs::read_link(process.path().join("cwd")).ok())
            .any(|folder| folder == db)
    }
}

impl Tools {
    fn find() -> Result<Self, Missing> {
        let named = setting("GOAROUND_POSTGRES_BIN").map(PathBuf::from);
        let bins = BINS.iter().map(PathBuf::from);
        let mut bins = named.into_iter().chain(bins);
        let bin = bins.find(|bin| bin.join("initdb").exists());
        let bin = bin.ok_or_else(|| {
            Missing::new(format!(
                "PostgreSQL's server programs; looked in {} and for GOAROUND_POSTGRES_BIN",
                BINS.join(", ")
            ))
        })?;
        if !Path::new("/usr/bin/setpriv").exists() {
            return Err(Missing::new("/usr/bin/setpriv, of util-linux"));
        }
        let is_root = std::fs::metadata("/proc/self").is_ok_and(|me| {
            use std::os::unix::fs::MetadataExt;
            me.uid() == 0
        });
        let user = match is_root {
            true => Some(user().ok_or_else(|| {
                Missing::new(format!("the user {USER}, as whom root runs the server"))
            })?),
            false => None,
        };
        Ok(Self { bin, user })
    }

    /// The program, as the right user; it ends with the thread that starts it.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("/usr/bin/setpriv");
        if let Some((user, group)) = self.user {
            command.arg(format!("--reuid={user}"));
            command.arg(format!("--regid={group}"));
            command.arg("--clear-groups");
        }
        command.args(["--pdeathsig", "KILL", "--"]);
        let ours = self.bin.join(program);
        command.arg(match ours.exists() {
            true => ours,
            false => program.into(),
        });
        command.current_dir("/").env("LC_ALL", "C");
        command
    }

    fn own(&self, path: &Path) {
        if let Some((user, group)) = self.user {
            chown(path, Some(user), Some(group)).expect("root may give a folder away");
        }
    }
}

/// The ids of [`USER`].
fn user() -> Option<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|line| line.starts_with("postgres:"))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.expect("a program of PostgreSQL can be run");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Keeper {
    fn new() -> Self {
        let (orders, inbox) = channel();
        let thread = std::thread::Builder::new().name("postgres".into());
        let thread = thread.spawn(move || keep(&inbox));
        Self {
            orders,
            thread: Some(thread.expect("a thread can be started")),
        }
    }
}

/// Keeps the server until nobody gives orders any more.
fn keep(inbox: &Receiver<Order>) {
    let mut server: Option<Child> = None;
    while let Ok(order) = inbox.recv() {
        end(&mut server);
        if let Order::Start(mut command) = order {
            server = Some(command.spawn().expect("the server can be started"));
        }
    }
    end(&mut server);
}

fn end(server: &mut Option<Child>) {
    if let Some(mut server) = server.take() {
        server.kill().ok();
        server.wait().ok();
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // The keeper ends the server when nobody can give it orders any more.
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        let (orders, _) = channel();
        drop(std::mem::replace(&mut keeper.orders, orders));
        if let Some(thread) = keeper.thread.take() {
            thread.join().ok();
        }
        drop(keeper);
        let begun = Instant::now();
        while self.has_backends() && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
