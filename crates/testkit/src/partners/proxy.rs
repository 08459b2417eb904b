//! A TCP proxy that can be cruel: it cuts connections, lets nothing through, refuses, or is slow.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// What happens to bytes and connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everything passes.
    Pass,
    /// Connections are accepted and stay, but not a byte passes, in either direction.
    Stall,
    /// Every piece is this late.
    Delay(Duration),
    /// New connections are closed at once.
    Refuse,
}

/// Stands before a server; ends when it is dropped.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    target: u16,
}

struct State {
    mode: Mode,
    is_over: bool,
    open: Vec<TcpStream>,
    accepted: usize,
    /// The connections up to this one are dead: see [`Proxy::half_open`].
    dead_upto: usize,
}

impl State {
    /// Whether nothing of this connection passes now; `connection` counts from 1.
    fn holds(&self, connection: usize) -> bool {
        self.mode == Mode::Stall || self.is_dead(connection)
    }

    fn is_dead(&self, connection: usize) -> bool {
        connection <= self.dead_upto
    }
}

const PIECE_BYTES: usize = 64 * 1024;

impl Proxy {
    /// Before the server at this port of loopback.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub fn start(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
        let port = listener
            .local_addr()
            .expect("a bound socket has an address")
            .port();
        let (mode, is_over, open, accepted) = (Mode::Pass, false, Vec::new(), 0);
        let state = Mutex::new(State {
            mode,
            is_over,
            open,
            accepted,
            dead_upto: 0,
        });
        let shared = Arc::new(Shared {
            state,
            changed: Condvar::new(),
            target,
        });
        let accepting = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || accepting.accept(&listener));
        Self {
            port,
            shared,
            accepting: Some(accepting),
        }
    }

    /// The port to connect to instead.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on, for connections that are open too.
    pub fn set(&self, mode: Mode) {
        self.shared.lock().mode = mode;
        self.shared.changed.notify_all();
    }

    /// Leaves what is connected now half open for good: not a byte passes in either direction, and
    /// neither side hears that the other has hung up. New connections are as the mode says.
    pub fn half_open(&self) {
        let mut state = self.shared.lock();
        state.dead_upto = state.accepted;
    }

    /// Closes every open connection, in the middle of whatever it was saying.
    pub fn cut(&self) {
        self.shared.cut();
    }

    /// How many connections there were so far.
    pub fn accepted(&self) -> usize {
        self.shared.lock().accepted
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.changed.notify_all();
        self.shared.cut();
        // Wakes the thread that accepts.
        TcpStream::connect(("127.0.0.1", self.port)).ok();
        if let Some(accepting) = self.accepting.take() {
            accepting.join().ok();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut(&self) {
        for stream in self.lock().open.drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming().flatten() {
            let mut state = self.lock();
            if state.is_over {
                return;
            }
            state.accepted += 1;
            if state.mode == Mode::Refuse {
                continue;
            }
            let connection = state.accepted;
            drop(state);
            // A server that is not there looks to the client like a connection that is closed.
            if let Ok(server) = TcpStream::connect(("127.0.0.1", self.target)) {
                self.join(connection, client, server);
            }
        }
    }

    fn join(self: &Arc<Self>, connection: usize, client: TcpStream, server: TcpStream) {
        for (from, to) in [(&client, &server), (&server, &client)] {
            let ends = (from.try_clone(), to.try_clone(), from.try_clone());
            let (Ok(from), Ok(to), Ok(held)) = ends else {
                return;
            };
            self.lock().open.push(held);
            let shared = Arc::clone(self);
            // Both ends are shut down when either thread or the proxy ends.
            std::thread::spawn(move || shared.copy(connection, from, to));
        }
    }

    fn copy(&self, connection: usize, mut from: TcpStream, mut to: TcpStream) {
        let mut piece = vec![0; PIECE_BYTES];
        while let Ok(length) = from.read(&mut piece) {
            if length == 0 || !self.let_pass(connection) || to.write_all(&piece[..length]).is_err()
            {
                break;
            }
        }
        if self.lock().is_dead(connection) {
            // Then no farewell passes either.
            self.let_pass(connection);
        }
        from.shutdown(Shutdown::Both).ok();
        to.shutdown(Shutdown::Both).ok();
    }

    /// Waits until a piece may pass; `false` once nothing passes any more.
    fn let_pass(&self, connection: usize) -> bool {
        let mut state = self.lock();
        while state.holds(connection) && !state.is_over {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let (mode, is_over) = (state.mode, state.is_over);
        drop(state);
        if let Mode::Delay(delay) = mode {
            std::thread::sleep(delay);
        }
        !is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo() -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut back = stream.try_clone().unwrap();
                    std::io::copy(&mut stream, &mut back).ok();
                });
            }
        });
        port
    }

    fn say(stream: &mut TcpStream) -> std::io::Result<[u8; 2]> {
        stream.write_all(b"hi")?;
        let mut heard = [0; 2];
        stream.read_exact(&mut heard)?;
        Ok(heard)
    }

    #[test]
    fn a_cut_ends_what_is_open_and_nothing_else() {
        let proxy = Proxy::start(echo());
        let mut first = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        assert_eq!(&say(&mut first).unwrap(), b"hi");
        proxy.cut();
        assert!(say(&mut first).is_err());
        let mut second = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        assert_eq!(&say(&mut second).unwrap(), b"hi");
        assert_eq!(proxy.accepted(), 2);
    }

    #[test]
    fn a_stalled_proxy_keeps_connections_and_passes_nothing_until_it_passes_again() {
        let proxy = Proxy::start(echo());
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        assert_eq!(&say(&mut stream).unwrap(), b"hi");
        proxy.set(Mode::Stall);
        stream
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        assert!(say(&mut stream).is_err());
        proxy.set(Mode::Pass);
        stream.set_read_timeout(None).unwrap();
        let mut heard = [0; 2];
        stream.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"hi");
    }

    #[test]
    fn what_is_half_open_hears_nothing_not_even_a_farewell_and_new_connections_pass() {
        let proxy = Proxy::start(echo());
        let mut first = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        assert_eq!(&say(&mut first).unwrap(), b"hi");
        proxy.half_open();
        let mut second = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        assert_eq!(&say(&mut second).unwrap(), b"hi");
        // The server is told of no end, so it does not hang up either.
        first.shutdown(Shutdown::Write).unwrap();
        let limit = Some(Duration::from_millis(100));
        first.set_read_timeout(limit).unwrap();
        let heard = first.read(&mut [0; 2]);
        assert!(heard.is_err(), "{heard:?}");
        assert_eq!(&say(&mut second).unwrap(), b"hi");
    }
}
