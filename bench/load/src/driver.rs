//! Many keep-alive connections in one thread, each asking again as soon as it is answered (a closed loop).
//!
//! One thread and one `epoll`, no runtime in between: the generator has one core, and has to be faster on it
//! than the fastest target on its own.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::report::{Preparation, Recorder, Report};
use crate::response::parse;
use crate::scenario::{Plan, Task, Verdict};

/// No target's answer is longer.
const BUFFER: usize = 16 * 1024;

/// More broken connections than this, and there is nothing to measure.
const MOST_DISCONNECTS: u64 = 10_000;

/// The longest silence of all connections together that still counts as slow.
const SILENCE: Duration = Duration::from_secs(30);

/// How a run is laid out.
#[derive(Debug)]
pub struct Course {
    /// The target's address.
    pub address: SocketAddr,
    /// How many connections.
    pub connections: usize,
    /// Time that is not recorded.
    pub warm_up: Duration,
    /// Time that is.
    pub duration: Duration,
    /// The target's processes, whose CPU time is reported.
    pub servers: Vec<u32>,
}

struct Connection {
    stream: TcpStream,
    input: Box<[u8]>,
    filled: usize,
    output: Vec<u8>,
    asked: Instant,
    task: Task,
    waiting: bool,
}

impl Connection {
    fn open(address: SocketAddr) -> Result<Self> {
        Ok(Self {
            stream: connect(address)?,
            input: vec![0; BUFFER].into_boxed_slice(),
            filled: 0,
            output: Vec::with_capacity(1024),
            asked: Instant::now(),
            task: Task::default(),
            waiting: false,
        })
    }

    /// Takes in what has arrived; an end of the stream is an error, for a keep-alive connection has none.
    fn read(&mut self) -> std::io::Result<()> {
        while self.filled < self.input.len() {
            let room = &mut self.input[self.filled..];
            let asked_for = room.len();
            match self.stream.read(room) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    self.filled += count;
                    // A short read has emptied the socket: asking once more would cost a call to learn that.
                    if count < asked_for {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = std::net::TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(TcpStream::from_std(stream))
}

struct Driver {
    poll: Poll,
    address: SocketAddr,
    connections: Vec<Connection>,
    plan: Plan,
    recorder: Option<Recorder>,
    preparation: Preparation,
    disconnects: u64,
    last_answer: Instant,
}

/// Runs the plan: preparation, warm-up, measurement.
pub fn run(course: &Course, plan: Plan) -> Result<Report> {
    let mut driver = Driver::connect(course, plan)?;
    if driver.plan.is_preparing() {
        driver.pump(None)?;
        driver.preparation.started = driver.plan.end_preparation();
        if driver.preparation.started == 0 {
            bail!("the preparation started nothing: {} starts were refused", driver.preparation.errors);
        }
    }
    let exhausted_early = driver.pump(Some(Instant::now() + course.warm_up))?;
    driver.recorder = Some(Recorder::start(&course.servers)?);
    let exhausted = driver.pump(Some(Instant::now() + course.duration))?;
    let recorder = driver.recorder.take().context("the clock never ran")?;
    recorder.finish(exhausted || exhausted_early, driver.preparation)
}

impl Driver {
    fn connect(course: &Course, plan: Plan) -> Result<Self> {
        let poll = Poll::new()?;
        let mut connections = Vec::with_capacity(course.connections);
        for index in 0..course.connections {
            let mut connection = Connection::open(course.address)?;
            poll.registry().register(&mut connection.stream, Token(index), Interest::READABLE)?;
            connections.push(connection);
        }
        Ok(Self {
            poll,
            address: course.address,
            connections,
            plan,
            recorder: None,
            preparation: Preparation::default(),
            disconnects: 0,
            last_answer: Instant::now(),
        })
    }

    /// Keeps all connections busy until `deadline`, or until no work is left: then it returns true.
    fn pump(&mut self, deadline: Option<Instant>) -> Result<bool> {
        self.last_answer = Instant::now();
        for index in 0..self.connections.len() {
            if !self.connections[index].waiting {
                self.ask(index)?;
            }
        }
        let mut events = Events::with_capacity(self.connections.len());
        loop {
            if self.connections.iter().all(|connection| !connection.waiting) {
                return Ok(true);
            }
            let now = Instant::now();
            if deadline.is_some_and(|deadline| now >= deadline) {
                return Ok(false);
            }
            if now - self.last_answer > SILENCE {
                bail!("no answer for {} seconds", SILENCE.as_secs());
            }
            let pause = deadline.map_or(SILENCE, |deadline| deadline - now);
            match self.poll.poll(&mut events, Some(pause.min(Duration::from_secs(1)))) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                self.advance(event.token().0)?;
            }
        }
    }

    /// Gives a connection its next request, if there is one.
    fn ask(&mut self, index: usize) -> Result<()> {
        let connection = &mut self.connections[index];
        connection.output.clear();
        connection.filled = 0;
        connection.waiting = self.plan.next_request(&mut connection.task, &mut connection.output);
        connection.asked = Instant::now();
        // A few hundred bytes into an empty socket never wait, so there is no half-written request to keep.
        if connection.waiting && connection.stream.write_all(&connection.output).is_err() {
            self.reconnect(index)?;
        }
        Ok(())
    }

    /// Moves a connection on after the kernel said that it can.
    fn advance(&mut self, index: usize) -> Result<()> {
        let connection = &mut self.connections[index];
        if connection.read().is_err() {
            return self.reconnect(index);
        }
        if !connection.waiting || connection.filled == 0 {
            return Ok(());
        }
        let Some(response) = parse(&connection.input[..connection.filled])? else {
            if connection.filled == connection.input.len() {
                bail!("an answer of more than {BUFFER} bytes");
            }
            return Ok(());
        };
        let now = Instant::now();
        self.last_answer = now;
        let verdict = self.plan.judge(&mut connection.task, &response);
        let kind = match verdict {
            Verdict::Counted | Verdict::Halfway => None,
            Verdict::UnexpectedStatus => Some(response.status.to_string()),
            Verdict::UnexpectedBody => Some(String::from("body")),
        };
        if let Some(recorder) = &mut self.recorder {
            recorder.answered(now - connection.asked);
            match kind {
                Some(kind) => recorder.failed(kind),
                None if verdict == Verdict::Counted => recorder.counted(),
                None => {}
            }
        } else if kind.is_some() && self.plan.is_preparing() {
            self.preparation.errors += 1;
        }
        self.ask(index)
    }

    /// Replaces a broken connection and begins something new on it.
    fn reconnect(&mut self, index: usize) -> Result<()> {
        self.disconnects += 1;
        if self.disconnects > MOST_DISCONNECTS {
            bail!("the target keeps closing its connections");
        }
        let was_waiting = self.connections[index].waiting;
        if was_waiting && let Some(recorder) = &mut self.recorder {
            recorder.failed("disconnect");
        }
        let mut fresh = Connection::open(self.address)?;
        self.poll.registry().deregister(&mut self.connections[index].stream)?;
        self.poll.registry().register(&mut fresh.stream, Token(index), Interest::READABLE)?;
        self.connections[index] = fresh;
        if was_waiting { self.ask(index) } else { Ok(()) }
    }
}
