//! The threads: who waits for a request, who runs one, and when the house is empty.

use super::door::{self, Caller};
use super::orphans::Orphans;
use super::slot::Slot;
use super::tide::Tide;
use super::unheard::Unheard;
use super::{ATTEMPTS_MAX, attempt};
use crate::link::SLOTS_IDLE_MAX;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use wire::child::{End, Event, Hello, Invocation, NotStarted, PROTOCOL, Reply, SpawnerEvent};

/// A thread runs one command at a time and needs little.
const STACK_BYTES: usize = 256 * 1024;

/// The most threads there are. Some may not have seen yet that nobody needs them any more.
const SLOTS_MAX: usize = 2 * ATTEMPTS_MAX + SLOTS_IDLE_MAX;

/// Everything the threads share.
pub(super) struct House {
    door: UnixStream,
    writer: Mutex<UnixStream>,
    register: Mutex<Register>,
    emptied: Condvar,
    pub(super) orphans: Orphans,
    pub(super) unheard: Unheard,
    tide: Tide,
    /// What a command without a payload reads.
    pub(super) nothing: File,
}

/// The threads, and how many of them run a command.
#[derive(Default)]
struct Register {
    is_closing: bool,
    running: usize,
    /// By the attempt that each was hired for.
    slots: HashMap<u64, Arc<UnixStream>>,
}

/// A panic of another thread leaves nothing half done here that would matter.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl House {
    pub(super) fn new(socket: UnixStream) -> io::Result<Self> {
        Ok(Self {
            writer: Mutex::new(socket.try_clone()?),
            door: socket,
            register: Mutex::default(),
            emptied: Condvar::new(),
            orphans: Orphans::new(),
            unheard: Unheard::default(),
            tide: Tide::default(),
            nothing: File::open("/dev/null")?,
        })
    }

    /// Says hello, and hires a thread for each socket that is handed in, until the worker is gone.
    pub(super) fn serve(self: &Arc<Self>) {
        self.tell(Event::Hello(Hello {
            protocol: PROTOCOL,
            pid: std::process::id(),
        }));
        loop {
            match door::answer(&self.door) {
                Ok(Some(caller)) => self.welcome(caller),
                Ok(None) => break,
                Err(why) => {
                    eprintln!("goaround spawner: everything is killed: {why}");
                    break;
                }
            }
        }
        self.close();
    }

    fn welcome(self: &Arc<Self>, caller: Caller) {
        let id = caller.id;
        let hired = match caller.socket {
            Some(socket) => self.hire(id, Arc::new(socket)),
            None => Err(rustix::io::Errno::MFILE.into()),
        };
        if let Err(why) = hired {
            self.tell(Event::Reply(Reply {
                id,
                end: Some(not_started(&why)),
            }));
        }
    }

    fn hire(self: &Arc<Self>, id: u64, socket: Arc<UnixStream>) -> io::Result<()> {
        if lock(&self.register).slots.len() >= SLOTS_MAX {
            return Err(io::Error::other("too many commands at once"));
        }
        lock(&self.register).slots.insert(id, Arc::clone(&socket));
        let house = Arc::clone(self);
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let hired = thread.spawn(move || house.work(id, Slot::new(socket)));
        if hired.is_err() {
            lock(&self.register).slots.remove(&id);
        }
        hired.map(drop)
    }

    /// One thread's life: wait, run, wait.
    fn work(&self, hired_for: u64, mut slot: Slot) {
        let mut last = None;
        while let Some(invocation) = self.next_invocation(&mut slot) {
            let id = invocation.id;
            last = Some(id);
            let end = attempt::run(self, &mut slot, &invocation);
            if slot.socket().is_none() {
                self.unheard.note(&invocation, &end);
            }
            self.leave();
            // Before the reply, after which the next command may start.
            let fed = invocation.stdin.len();
            drop(invocation);
            self.tide.fell(fed);
            let said = slot.tell(Event::Reply(Reply { id, end: Some(end) }));
            self.tide.fell(said);
        }
        lock(&self.register).slots.remove(&hired_for);
        if let Some(id) = last {
            // Whoever has given up the attempt has given up its socket, and learns here that
            // nothing of it is left.
            self.tell(Event::Reply(Reply { id, end: None }));
        }
    }

    /// Waits for a command to run; `None` when there is none any more.
    fn next_invocation(&self, slot: &mut Slot) -> Option<Invocation> {
        let invocation = match slot.next() {
            Ok(invocation) => invocation?,
            Err(why) => {
                eprintln!("goaround spawner: everything is killed: {why}");
                // Who listens at the door closes the house. It may have done so already.
                self.door.shutdown(Shutdown::Read).unwrap_or(());
                return None;
            }
        };
        let mut register = lock(&self.register);
        if register.is_closing {
            return None;
        }
        register.running += 1;
        Some(invocation)
    }

    /// The worker is gone: nothing may outlive it.
    fn close(&self) {
        let mut register = lock(&self.register);
        register.is_closing = true;
        for socket in register.slots.values() {
            // One that has ended already is as good.
            socket.shutdown(Shutdown::Read).unwrap_or(());
        }
    }

    /// Waits until no command runs any more.
    pub(super) fn wait_until_empty(&self) {
        let mut register = lock(&self.register);
        while register.running > 0 {
            register = self
                .emptied
                .wait(register)
                .unwrap_or_else(PoisonError::into_inner);
        }
        drop(register);
        self.orphans.clear_all();
    }

    fn leave(&self) {
        let mut register = lock(&self.register);
        register.running -= 1;
        if register.is_closing {
            self.emptied.notify_all();
        }
    }

    /// Whether only one command runs; as long as the answer is kept, no other one starts.
    pub(super) fn alone(&self) -> Option<impl Drop> {
        let register = lock(&self.register);
        (register.running == 1).then_some(register)
    }

    pub(super) fn tell(&self, event: Event) {
        let event = SpawnerEvent { event: Some(event) };
        match wire::child::encode(&event) {
            // A worker that does not hear it is gone, and its end is noticed by reading.
            Ok(frame) => lock(&self.writer).write_all(&frame).unwrap_or(()),
            Err(error) => eprintln!("goaround spawner: a word could not be sent: {error}"),
        }
    }
}

pub(super) fn not_started(error: &io::Error) -> End {
    End::NotStarted(NotStarted {
        errno: error.raw_os_error().unwrap_or(0),
        message: error.to_string(),
    })
}
