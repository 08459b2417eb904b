//! What processes have used of the cores, from `/proc`.

use anyhow::Context as _;
use std::path::Path;
use std::time::Duration;

pub(crate) const TICKS_A_SECOND: f64 = 100.0;
/// Fields of `/proc/PID/stat` behind the name: utime, stime, and those of ended children.
const TIMES: std::ops::Range<usize> = 11..15;
const PARENT: usize = 1;

/// CPU time of one process so far, without its children, in clock ticks of 10 ms.
pub(crate) fn ticks(pid: u32) -> anyhow::Result<u64> {
    let fields = stat(pid)?;
    let number = |n: usize| fields.get(n).and_then(|ticks| ticks.parse::<u64>().ok());
    Ok(number(11).context("no utime")? + number(12).context("no stime")?)
}

/// CPU time of one process so far, as its scheduler counts it: a tick is too coarse for who idles.
pub(crate) fn of_threads(pid: u32) -> anyhow::Result<Duration> {
    let mut sum = Duration::ZERO;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
        let told = std::fs::read_to_string(thread.path().join("schedstat"))?;
        let nanos = told.split_whitespace().next().context("no time")?.parse()?;
        sum += Duration::from_nanos(nanos);
    }
    Ok(sum)
}

/// Memory of one process now, in bytes: what is its own, and its share of what others have as well.
pub(crate) fn proportional_bytes(pid: u32) -> anyhow::Result<u64> {
    let sums = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = sums.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.context("no Pss")?.parse::<u64>()? * 1_024)
}

/// CPU seconds of this process so far.
pub(crate) fn own() -> anyhow::Result<f64> {
    Ok(ticks(std::process::id())? as f64 / TICKS_A_SECOND)
}

/// CPU seconds of a process and everything that it has started, so far.
pub(crate) fn of_tree(pid: u32) -> anyhow::Result<f64> {
    let children = children(pid)?;
    let of = |pid: u32| stat(pid).map_or(0, |fields| times(&fields)); // It may be gone by now.
    let sum = of(pid) + children.into_iter().map(of).sum::<u64>();
    Ok(sum as f64 / TICKS_A_SECOND)
}

/// The processes that this one has started.
pub(crate) fn children(pid: u32) -> anyhow::Result<Vec<u32>> {
    let is_child = |child: &u32| {
        let fields = stat(*child).unwrap_or_default();
        fields.get(PARENT) == Some(&pid.to_string())
    };
    let processes = std::fs::read_dir("/proc")?.flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(pids.filter(is_child).collect())
}

fn times(fields: &[String]) -> u64 {
    let ticks = fields.get(TIMES).unwrap_or_default();
    ticks
        .iter()
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum()
}

fn stat(pid: u32) -> anyhow::Result<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    Ok(behind_name.split_whitespace().map(str::to_owned).collect())
}

/// The process that listens on this port of the loopback interface.
pub(crate) fn listener(port: u16) -> anyhow::Result<u32> {
    let table = std::fs::read_to_string("/proc/net/tcp")?;
    let at = format!(":{port:04X}");
    let line = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut listening = line.filter(|line| line.get(3) == Some(&"0A"));
    let socket = listening.find(|line| line.get(1).is_some_and(|place| place.ends_with(&at)));
    let socket = socket.with_context(|| format!("nobody listens on port {port}"))?;
    let link = format!("socket:[{}]", socket.get(9).context("no inode")?);
    let processes = std::fs::read_dir("/proc")?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.find(|pid| has_open(*pid, &link))
        .with_context(|| format!("whoever listens on port {port} is not ours to see"))
}

fn has_open(pid: u32, link: &str) -> bool {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter();
    let mut files = files.flatten().flatten();
    files.any(|file| std::fs::read_link(file.path()).is_ok_and(|to| to == Path::new(link)))
}
