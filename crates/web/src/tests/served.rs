use super::client::*;
use super::fake::*;
use crate::live::Live;
use crate::probe_server::ProbeServer;
use crate::server;
use actix_web::http::Method;
use domain::event::{Event, SettledAs};
use domain::ports::Observer as _;
use domain::ticket::Name;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

fn settled() -> Event {
    Event::TicketSettled {
        name: Name::first(id(1)),
        stage: stage("test"),
        settled: SettledAs::Finished,
    }
}

/// A client of the real server.
struct Client(TcpStream);

impl Client {
    fn ask(address: SocketAddr, path: &str) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        Self(stream)
    }

    /// Reads until the server has said this, or has closed.
    fn hear(&mut self, until: &str) -> String {
        let (mut said, mut piece) = (String::new(), [0; 4_096]);
        while !said.contains(until) {
            match self.0.read(&mut piece).unwrap() {
                0 => break,
                size => said.push_str(&String::from_utf8_lossy(&piece[..size])),
            }
        }
        said
    }
}

#[tokio::test]
async fn live_listeners_hear_sums_and_end_when_the_server_stops() {
    let web = Web::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = server::serve(listener, web.config.clone(), web.parts())
        .await
        .unwrap();
    let (handle, live) = (server.handle(), web.live.clone());
    let client = tokio::task::spawn_blocking(move || {
        let mut client = Client::ask(address, "/api/v1/events");
        let first = client.hear("}\n\n");
        live.observe(NOW, &settled());
        let second = client.hear("\"settled\":1");
        live.close();
        let last = client.hear("0\r\n\r\n");
        (first, second, last)
    });
    let stop = async {
        let said = client.await.unwrap();
        handle.stop(true).await;
        said
    };
    let (ran, (first, second, last)) = tokio::join!(server, stop);
    ran.unwrap();
    assert!(
        first.contains("content-type: text/event-stream") && first.contains("retry: 2000"),
        "{first}"
    );
    assert!(second.contains("event: change\ndata: {"), "{second}");
    assert!(last.ends_with("0\r\n\r\n"), "the stream ends: {last}");
}

#[tokio::test]
async fn a_panic_does_not_cut_the_connection() {
    let web = Web::new().with(|state| state.panics = true);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = server::serve(listener, web.config.clone(), web.parts())
        .await
        .unwrap();
    let handle = server.handle();
    let client = tokio::task::spawn_blocking(move || {
        [(); 4].map(|()| Client::ask(address, "/api/v1/books").hear("met a bug"))
    });
    let stop = async {
        let said = client.await.unwrap();
        handle.stop(true).await;
        said
    };
    let (ran, said) = tokio::join!(server, stop);
    ran.unwrap();
    for said in said {
        assert!(
            said.starts_with("HTTP/1.1 500") && said.contains("problem+json"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn more_listeners_than_there_may_be_are_refused() {
    let mut web = Web::new();
    web.config.limits.streams_max = 0;
    let answered = web.ask(Method::GET, "/api/v1/events", &[], "").await;
    check_problem(
        &answered,
        503,
        "too-many-streams",
        "0 live listeners are connected",
    );
}

#[tokio::test]
async fn a_change_wakes_every_listener_and_none_is_lost() {
    let live = Live::new();
    let seen = live.sums();
    let (one, two) = (live.changed(&seen), live.changed(&seen));
    let event = async { live.observe(NOW, &settled()) };
    tokio::join!(one, two, event);
    // Whoever looks late sees it at once.
    live.changed(&seen).await;
    let rate = live.rate(&stage("test"), NOW.plus(Duration::from_secs(1)));
    assert_eq!(rate, Some(0.1));
    assert_eq!(live.rate(&stage("build"), NOW), None);
}

#[tokio::test]
async fn probes_are_answered_one_a_connection_until_the_server_is_stopped() {
    let web = Web::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let local = tokio::task::LocalSet::new();
    let asked = |path: &'static str| async move {
        let ask = move || Client::ask(address, path).hear("never");
        tokio::task::spawn_blocking(ask).await.unwrap()
    };
    local
        .run_until(async {
            let server = ProbeServer::start(listener, &web.config, web.parts().probes()).unwrap();
            let lives = asked("/livez").await;
            assert!(lives.starts_with("HTTP/1.1 200"), "{lives}");
            assert!(lives.contains("connection: close\r\n"), "{lives}");
            assert!(lives.ends_with("\r\n\r\nok\n"), "{lives}");
            let nothing = asked("/api/v1/stages").await;
            assert!(nothing.starts_with("HTTP/1.1 404"), "{nothing}");
            assert!(nothing.contains("served by the controller"), "{nothing}");
            let silent = TcpStream::connect(address).unwrap();
            // It is let in.
            tokio::time::sleep(Duration::from_millis(50)).await;
            let begun = Instant::now();
            server.stop().await;
            let took = begun.elapsed();
            assert!(
                took < web.config.limits.drain / 2,
                "{took:?}: nobody waits for silence"
            );
            drop(silent);
            TcpStream::connect(address).expect_err("nobody listens any more");
        })
        .await;
}

#[tokio::test]
async fn who_finds_no_seat_at_the_probes_waits_for_one() {
    let mut web = Web::new();
    web.config.limits.connections_max = 1;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let server = ProbeServer::start(listener, &web.config, web.parts().probes()).unwrap();
            let seated = TcpStream::connect(address).unwrap();
            // It is let in before the next one.
            tokio::time::sleep(Duration::from_millis(50)).await;
            let next = Client::ask(address, "/livez");
            let mut next = tokio::task::spawn_blocking(move || {
                let mut next = next;
                next.hear("ok\n")
            });
            let early = tokio::time::timeout(Duration::from_millis(200), &mut next).await;
            assert!(early.is_err(), "answered beside the one that has the seat");
            drop(seated);
            let said = next.await.unwrap();
            assert!(said.starts_with("HTTP/1.1 200"), "{said}");
            server.stop().await;
        })
        .await;
}
