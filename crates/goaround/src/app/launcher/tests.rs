use super::*;
use std::fmt::{Debug, Write as _};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};
use telemetry::logs::{Colour, Format};
use tokio::sync::Notify;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Metadata, Subscriber};

/// What was logged, for whoever asks.
#[derive(Clone, Default)]
struct Heard(Arc<(Mutex<String>, Notify)>);

impl Heard {
    fn says(&self, what: &str) -> bool {
        self.all().contains(what)
    }

    fn all(&self) -> String {
        self.0.0.lock().unwrap().clone()
    }

    /// Waits until it says this.
    async fn until(&self, what: &str) {
        while !self.says(what) {
            self.0.1.notified().await;
        }
    }
}

impl Visit for Heard {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            writeln!(self.0.0.lock().unwrap(), "{value:?}").unwrap();
            self.0.1.notify_one();
        }
    }
}

impl Subscriber for Heard {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// A program that does this, in a folder of its own.
struct Site(tempfile::TempDir);

impl Site {
    fn new(line: &str) -> Self {
        let site = Self(tempfile::tempdir().unwrap());
        site.install(line);
        site
    }

    fn program(&self) -> PathBuf {
        self.0.path().join("program")
    }

    fn install(&self, line: &str) {
        let next = self.0.path().join("next");
        fs::write(&next, format!("#!/bin/sh\n{line}\n")).unwrap();
        fs::set_permissions(&next, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(next, self.program()).unwrap();
    }

    fn options(&self, folder: &str, restart: Restart) -> UpOptions {
        UpOptions {
            data: self.0.path().join(folder),
            log_format: Format::Text,
            log_colour: Colour::Never,
            log_filter: "info".into(),
            launch: super::super::Launch::Alone,
            restart,
        }
    }
}

/// Runs it as this role until the launcher ends; `meanwhile` happens beside it.
async fn run(
    site: &Site,
    (role, options): (Role, &UpOptions),
    meanwhile: impl Future<Output = ()>,
) -> anyhow::Result<ExitCode> {
    let meanwhile = async {
        meanwhile.await;
        std::future::pending().await
    };
    let mut launcher = Launcher::start().unwrap();
    let watch = Watch {
        role,
        options,
        program: site.program(),
        arguments: vec!["program".into()],
    };
    tokio::select! {
        ended = watch.run(&mut launcher) => ended,
        () = meanwhile => unreachable!("it never ends"),
    }
}

/// Says that it is at work, is gone from the disk, and dies.
const LAST: &str = r#"kill -URG $PPID; rm "$0"; kill -KILL $$"#;

#[tokio::test]
async fn what_was_at_work_is_tried_on_while_it_cannot_be_started() {
    let site = Site::new(LAST);
    let heard = Heard::default();
    let _listens = tracing::subscriber::set_default(heard.clone());
    let upgrade = async {
        heard.until("cannot be started").await;
        // The launcher passes the signal on, which may come before the exit.
        site.install("trap '' TERM; kill -TERM $PPID; exit 0");
    };
    let options = site.options(".", Restart::Always);
    let patience = Duration::from_secs(30);
    let ran = run(&site, (Role::All, &options), upgrade);
    let ended = tokio::time::timeout(patience, ran).await.unwrap();
    assert_eq!(ended.unwrap(), ExitCode::SUCCESS, "{}", heard.all());
    assert!(heard.says("it is tried again in 200ms"), "{}", heard.all());
}

#[tokio::test]
async fn what_cannot_be_started_ends_a_launcher_that_has_nothing_to_go_on_with() {
    for (line, restart) in [
        // It never was at work, so the next start would do the same.
        (r#"rm "$0"; kill -KILL $$"#, Restart::Always),
        ("", Restart::Always),
        ("", Restart::Never),
    ] {
        // What nobody listens to here would be taken for what nobody listens to at all, also by the
        // test beside this one: while there is one listener, tracing asks only the thread it is on.
        let _listens = tracing::subscriber::set_default(Heard::default());
        let site = Site::new(line);
        if line.is_empty() {
            fs::remove_file(site.program()).unwrap();
        }
        let options = site.options(".", restart);
        let ended = run(&site, (Role::All, &options), async {}).await;
        let said = format!("{:#}", ended.unwrap_err());
        assert!(said.contains("goaround up cannot be started"), "{said}");
    }
}

#[tokio::test]
async fn only_a_role_that_has_a_folder_complains_that_it_is_not_there() {
    for (role, complains) in [
        (Role::Controller, false),
        (Role::Watchdog, false),
        (Role::All, true),
    ] {
        let site = Site::new("kill -KILL $$");
        let heard = Heard::default();
        let _listens = tracing::subscriber::set_default(heard.clone());
        let options = site.options("nowhere", Restart::Never);
        run(&site, (role, &options), async {}).await.unwrap();
        assert!(heard.says("the process died of"), "{}", heard.all());
        let has = heard.says("could not be written into");
        assert_eq!(has, complains, "{role}: {}", heard.all());
    }
    let site = Site::new("kill -KILL $$");
    let options = site.options(".", Restart::Never);
    let ran = run(&site, (Role::Controller, &options), async {}).await;
    ran.unwrap();
    assert!(site.0.path().join("obituaries").exists());
}
