use super::*;
use std::io::{Read, Write as _};

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_reader_that_takes_its_time_gets_everything_in_order() {
    let (mut reader, writer) = io::pipe().unwrap();
    let outlet = Outlet::to(writer.into()).unwrap();
    let mut pen = outlet.pen();
    let mut expected = Vec::new();
    for n in 0..10_000 {
        let line = format!("line {n}\n");
        // More than a pipe holds, so that the thread hangs in its write meanwhile.
        match n % 2 {
            0 => outlet.put(line.as_bytes()),
            _ => pen.write_all(line.as_bytes()).unwrap(),
        }
        expected.extend(line.into_bytes());
    }
    let mut read = vec![0; expected.len()];
    reader.read_exact(&mut read).unwrap();
    assert!(read == expected, "the bytes came out as they went in");
}

#[tokio::test]
async fn nobody_who_reads_stops_nobody_who_writes_and_what_is_lost_is_said() {
    let (mut reader, writer) = io::pipe().unwrap();
    let outlet = Outlet::to(writer.into()).unwrap();
    let line = [b'x'; 1_000];
    for _ in 0..3_000 {
        outlet.put(&line);
    }
    let waiting = outlet.shared.lock().waiting.len();
    assert!(waiting <= WAITING_BYTES_MAX);
    let lost = outlet.shared.lock().lost;
    assert!(lost > 1_000_000, "{lost}");
    // Once there is room again, the next bytes say what was between.
    let kept = 3_000_000 - usize::try_from(lost).unwrap();
    let mut read = vec![0; kept];
    reader.read_exact(&mut read).unwrap();
    outlet.put(b"and on\n");
    let mut rest = String::new();
    while !rest.ends_with("and on\n") {
        let mut piece = [0; 256];
        let length = reader.read(&mut piece).unwrap();
        rest.push_str(std::str::from_utf8(&piece[..length]).unwrap());
    }
    assert!(
        rest.contains(&format!("{lost} bytes are missing here")),
        "{rest}"
    );
}

#[tokio::test]
async fn a_file_that_is_closed_takes_everything_and_holds_nobody_up() {
    let (reader, writer) = io::pipe().unwrap();
    let outlet = Outlet::to(writer.into()).unwrap();
    drop(reader);
    for _ in 0..3_000 {
        outlet.put(&[b'x'; 1_000]);
    }
    let began = Instant::now();
    outlet.flush(PATIENCE).await;
    assert!(began.elapsed() < PATIENCE);
    assert!(outlet.shared.lock().waiting.is_empty());
}

#[tokio::test]
async fn a_flush_waits_for_the_reader_but_not_for_ever() {
    let (mut reader, writer) = io::pipe().unwrap();
    let outlet = Outlet::to(writer.into()).unwrap();
    outlet.put(&[b'x'; 200_000]);
    let short = Duration::from_millis(20);
    outlet.flush(short).await;
    assert!(!outlet.shared.is_idle(), "a pipe does not hold so much");
    let mut read = vec![0; 200_000];
    reader.read_exact(&mut read).unwrap();
    outlet.flush(PATIENCE).await;
    assert!(outlet.shared.is_idle());
}

#[tokio::test]
async fn a_file_that_others_have_set_to_not_wait_loses_nothing() {
    let (mut reader, writer) = io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    let outlet = Outlet::to(writer.into()).unwrap();
    outlet.put(&[b'x'; 500_000]);
    let mut read = vec![0; 500_000];
    reader.read_exact(&mut read).unwrap();
    assert!(read.iter().all(|byte| *byte == b'x'));
}
