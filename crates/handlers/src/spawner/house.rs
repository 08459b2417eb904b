//! The threads: who waits for a request, who runs one, and when the house is empty.

use super::inbox::{Inbox, Reader, Seen};
use super::orphans::Orphans;
use super::{ATTEMPTS_MAX, Order, attempt, files_limit};
use rustix::event::{EventfdFlags, eventfd};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use wire::child::{
    End, Event, Hello, Invocation, NotStarted, PROTOCOL, Reply, Request, SpawnerEvent,
};

/// A thread runs one command at a time and needs little.
const STACK_BYTES: usize = 256 * 1024;

/// Everything the threads share.
pub(super) struct House {
    inbox: Inbox,
    writer: Mutex<UnixStream>,
    /// Threads that wait for a request, or are about to.
    free: AtomicUsize,
    register: Mutex<Register>,
    emptied: Condvar,
    pub(super) orphans: Orphans,
    /// What a command without a payload reads.
    pub(super) nothing: File,
}

/// The commands that run.
#[derive(Default)]
struct Register {
    is_closing: bool,
    running: HashMap<u64, Arc<Bell>>,
}

/// Tells a thread that its command is to end.
pub(super) struct Bell {
    pub(super) rung: OwnedFd,
    order: Mutex<Option<Order>>,
}

impl Bell {
    fn new() -> io::Result<Self> {
        Ok(Self {
            rung: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            order: Mutex::new(None),
        })
    }

    fn ring(&self, order: Order) {
        let mut place = lock(&self.order);
        *place = Some(order);
        // The counter is far from its end, so this can neither block nor fail.
        rustix::io::write(&self.rung, &1u64.to_ne_bytes()).ok();
    }

    /// What is to happen, once for each ring.
    pub(super) fn heard(&self) -> Option<Order> {
        let mut place = lock(&self.order);
        let order = place.take();
        if order.is_some() {
            // Nobody else reads it, so it holds what was rung.
            rustix::io::read(&self.rung, &mut [0u8; 8]).ok();
        }
        order
    }
}

/// A panic of another thread leaves nothing half done here that would matter.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl House {
    pub(super) fn new(socket: UnixStream) -> io::Result<Self> {
        Ok(Self {
            writer: Mutex::new(socket.try_clone()?),
            inbox: Inbox::new(socket)?,
            free: AtomicUsize::new(0),
            register: Mutex::default(),
            emptied: Condvar::new(),
            orphans: Orphans::new(),
            nothing: File::open("/dev/null")?,
        })
    }

    /// Says hello and lets the first thread wait.
    pub(super) fn open(self: &Arc<Self>) -> io::Result<()> {
        self.tell(Event::Hello(Hello {
            protocol: PROTOCOL,
            pid: std::process::id(),
        }));
        self.hire()
    }

    /// Waits until the worker is gone and all commands with it.
    pub(super) fn wait_until_empty(&self) {
        let mut register = lock(&self.register);
        while !(register.is_closing && register.running.is_empty()) {
            register = self
                .emptied
                .wait(register)
                .unwrap_or_else(PoisonError::into_inner);
        }
        drop(register);
        self.orphans.clear_all();
    }

    fn hire(self: &Arc<Self>) -> io::Result<()> {
        let bell = Arc::new(files_limit::raised_for(Bell::new)?);
        self.free.fetch_add(1, Ordering::AcqRel);
        let house = Arc::clone(self);
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let hired = thread.spawn(move || house.work(&bell));
        if hired.is_err() {
            self.free.fetch_sub(1, Ordering::AcqRel);
        }
        hired.map(drop)
    }

    /// One thread's life: wait, run, wait.
    fn work(self: Arc<Self>, bell: &Arc<Bell>) {
        while let Some(invocation) = self.next_invocation(bell) {
            let id = invocation.id;
            let end = attempt::run(&self, bell, &invocation);
            self.leave(id);
            // A stop that came too late is not for the next one.
            bell.heard();
            self.free.fetch_add(1, Ordering::AcqRel);
            self.tell(Event::Reply(Reply { id, end: Some(end) }));
        }
    }

    /// Waits for a command to run; `None` when the worker is gone.
    fn next_invocation(self: &Arc<Self>, bell: &Arc<Bell>) -> Option<Invocation> {
        loop {
            let mut reader = self.inbox.open();
            let invocation = match self.read(&mut reader, bell) {
                Ok(invocation) => invocation,
                Err(why) => {
                    eprintln!("goaround spawner: everything is killed: {why}");
                    self.close();
                    return None;
                }
            };
            let leaves_some = reader.leaves_some();
            drop(reader);
            if leaves_some {
                self.inbox.pass_on();
            }
            if invocation.is_some() || lock(&self.register).is_closing {
                return invocation;
            }
        }
    }

    /// Reads until there is a command to run, or nothing more.
    fn read(
        self: &Arc<Self>,
        reader: &mut Reader,
        bell: &Arc<Bell>,
    ) -> io::Result<Option<Invocation>> {
        loop {
            match reader.look()? {
                Seen::Request(Request::Stop(stop)) => self.stop(stop.id, stop.grace_ms),
                Seen::Request(Request::Invocation(invocation)) => {
                    if let Some(invocation) = self.admit(invocation, bell) {
                        return Ok(Some(invocation));
                    }
                }
                Seen::Nothing => return Ok(None),
                Seen::End => {
                    self.close();
                    return Ok(None);
                }
            }
        }
    }

    /// Registers the command before anybody reads on, so that a stop always finds it.
    fn admit(self: &Arc<Self>, invocation: Invocation, bell: &Arc<Bell>) -> Option<Invocation> {
        let is_last = self.free.fetch_sub(1, Ordering::AcqRel) == 1;
        let mut register = lock(&self.register);
        let fits = register.running.len() < ATTEMPTS_MAX;
        let hired = if is_last && fits { self.hire() } else { Ok(()) };
        if !register.is_closing && fits && hired.is_ok() {
            register.running.insert(invocation.id, Arc::clone(bell));
            return Some(invocation);
        }
        drop(register);
        self.free.fetch_add(1, Ordering::AcqRel);
        let why = hired
            .err()
            .unwrap_or_else(|| io::Error::other("too many commands at once"));
        self.tell(Event::Reply(Reply {
            id: invocation.id,
            end: Some(not_started(&why)),
        }));
        None
    }

    fn stop(&self, id: u64, grace_ms: u64) {
        let order = match grace_ms {
            0 => Order::Kill,
            grace_ms => Order::Ask(Duration::from_millis(grace_ms)),
        };
        // One that has just ended is not there any more, and its reply is on its way.
        if let Some(bell) = lock(&self.register).running.get(&id) {
            bell.ring(order);
        }
    }

    /// The worker is gone: nothing may outlive it.
    fn close(&self) {
        let mut register = lock(&self.register);
        register.is_closing = true;
        for bell in register.running.values() {
            bell.ring(Order::Kill);
        }
        self.emptied.notify_all();
    }

    fn leave(&self, id: u64) {
        let mut register = lock(&self.register);
        register.running.remove(&id);
        if register.is_closing {
            self.emptied.notify_all();
        }
    }

    /// Whether only one command runs; as long as the answer is kept, no other one starts.
    pub(super) fn alone(&self) -> Option<impl Drop> {
        let register = lock(&self.register);
        (register.running.len() == 1).then_some(register)
    }

    pub(super) fn tell(&self, event: Event) {
        let event = SpawnerEvent { event: Some(event) };
        match wire::child::encode(&event) {
            // A worker that does not hear it is gone, and its end is noticed by reading.
            Ok(frame) => lock(&self.writer).write_all(&frame).unwrap_or(()),
            Err(error) => eprintln!("goaround spawner: a reply could not be sent: {error}"),
        }
    }
}

pub(super) fn not_started(error: &io::Error) -> End {
    End::NotStarted(NotStarted {
        errno: error.raw_os_error().unwrap_or(0),
        message: error.to_string(),
    })
}
