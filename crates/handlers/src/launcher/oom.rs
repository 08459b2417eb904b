//! Whether memory has run out around us: the kernel counts whom it killed for that.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::sleep;

/// How often the count is taken. What was counted between the last look but one and the death
/// may be its cause; an older kill is another one's.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The kernel's count of processes that it killed because memory had run out.
#[derive(Debug)]
pub(super) struct OomKills {
    counter: Option<PathBuf>,
    /// What it was at the last look but one, and at the last.
    before: [u64; 2],
}

impl OomKills {
    /// Begins to watch the counter that is nearest: that of our control group, else the machine's.
    pub(super) fn watch() -> Self {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let counter = counters(&groups).find(|counter| count(counter).is_some());
        let now = counter.as_deref().and_then(count).unwrap_or_default();
        Self {
            counter,
            before: [now; 2],
        }
    }

    /// Waits until it is time to look again, then looks.
    pub(super) async fn rest(&mut self) {
        sleep(LOOK_EVERY).await;
        self.look();
    }

    fn look(&mut self) {
        self.before = [self.before[1], self.now().unwrap_or(self.before[1])];
    }

    /// How many were killed since the last look but one.
    pub(super) fn lately(&self) -> u64 {
        let before = self.before[0];
        self.now().unwrap_or(before).saturating_sub(before)
    }

    fn now(&self) -> Option<u64> {
        self.counter.as_deref().and_then(count)
    }
}

/// Where there may be a counter, the nearest first: version 2 of control groups, version 1, none.
fn counters(groups: &str) -> impl Iterator<Item = PathBuf> {
    let group = |line: &str| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let path = path.trim_start_matches('/');
        match controllers {
            "" => Some(Path::new("/sys/fs/cgroup").join(path).join("memory.events")),
            _ if controllers.split(',').any(|name| name == "memory") => {
                let root = Path::new("/sys/fs/cgroup/memory");
                Some(root.join(path).join("memory.oom_control"))
            }
            _ => None,
        }
    };
    let found: Vec<PathBuf> = groups.lines().filter_map(group).collect();
    found.into_iter().chain([PathBuf::from("/proc/vmstat")])
}

fn count(counter: &Path) -> Option<u64> {
    kills_in(&fs::read_to_string(counter).ok()?)
}

/// All of them have lines of a name and a number.
fn kills_in(text: &str) -> Option<u64> {
    let mut numbers = text.lines().filter_map(|line| line.split_once(' '));
    let (_, number) = numbers.find(|(name, _)| *name == "oom_kill")?;
    number.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_of_the_own_control_group_comes_before_the_machines() {
        let paths = |groups| counters(groups).collect::<Vec<_>>();
        let machine = PathBuf::from("/proc/vmstat");
        let v2 = PathBuf::from("/sys/fs/cgroup/a/b/memory.events");
        assert_eq!(paths("0::/a/b\n"), [v2, machine.clone()]);
        let root = PathBuf::from("/sys/fs/cgroup/memory.events");
        assert_eq!(paths("0::/\n"), [root, machine.clone()]);
        let v1 = PathBuf::from("/sys/fs/cgroup/memory/x/memory.oom_control");
        assert_eq!(paths("8:pids:/\n4:cpu,memory:/x\n"), [v1, machine.clone()]);
        assert_eq!(paths("nonsense\n"), [machine]);
    }

    #[test]
    fn kills_are_read_from_each_kind_of_counter() {
        for (text, kills) in [
            (
                "low 0\nhigh 3\nmax 9\noom 4\noom_kill 2\noom_group_kill 0\n",
                Some(2),
            ),
            ("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n", Some(7)),
            ("pgfault 12\noom_kill 0\n", Some(0)),
            ("low 0\n", None),
            ("oom_kill many\n", None),
        ] {
            assert_eq!(kills_in(text), kills, "{text}");
        }
    }

    #[test]
    fn only_a_kill_of_the_last_seconds_may_be_the_cause() {
        let folder = tempfile::tempdir().unwrap();
        let counter = folder.path().join("memory.events");
        let set = |kills: u64| fs::write(&counter, format!("oom_kill {kills}\n")).unwrap();
        set(5);
        let mut oom = OomKills {
            counter: Some(counter.clone()),
            before: [5; 2],
        };
        assert_eq!(oom.lately(), 0);
        set(7);
        assert_eq!(oom.lately(), 2);
        oom.look();
        assert_eq!(oom.lately(), 2, "it may have taken long to die");
        oom.look();
        assert_eq!(oom.lately(), 0);
        fs::remove_file(&counter).unwrap();
        assert_eq!(oom.lately(), 0);
    }
}
