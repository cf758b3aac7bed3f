//! What stands between clients and the store: it does to requests what networks and clocks do.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

/// What happens to a request.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// It is answered with this status and S3 code, and goes no further.
    Answer(u16, &'static str),
    /// It is served, and its answer lost.
    LoseAnswer,
    /// Its answer breaks off after so many bytes.
    CutAnswer(usize),
}

#[derive(Debug)]
struct Rule {
    method: &'static str,
    needle: &'static str,
    fault: Fault,
}

/// A proxy; each request has a connection of its own, so that each can meet a fault.
#[derive(Clone, Debug)]
pub(crate) struct Front {
    address: SocketAddr,
    rules: Arc<Mutex<Vec<Rule>>>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Front {
    pub(crate) async fn before(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let front = Self {
            address: listener.local_addr().unwrap(),
            rules: Arc::default(),
            seen: Arc::default(),
        };
        let serving = front.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(near, target));
            }
        });
        front
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next request with this method, whose line holds `needle`, meets a fault.
    pub(crate) fn next(&self, method: &'static str, needle: &'static str, fault: Fault) {
        self.rules.lock().unwrap().push(Rule {
            method,
            needle,
            fault,
        });
    }

    /// How many requests with this method, whose line holds `needle`, came so far.
    pub(crate) fn count(&self, method: &str, needle: &str) -> usize {
        self.seen
            .lock()
            .unwrap()
            .iter()
            .filter(|line| line.starts_with(method) && line.contains(needle))
            .count()
    }

    /// Whether every fault was met.
    pub(crate) fn is_spent(&self) -> bool {
        self.rules.lock().unwrap().is_empty()
    }

    fn fault(&self, line: &str) -> Option<Fault> {
        self.seen.lock().unwrap().push(line.to_owned());
        let mut rules = self.rules.lock().unwrap();
        let index = rules
            .iter()
            .position(|rule| line.starts_with(rule.method) && line.contains(rule.needle))?;
        Some(rules.remove(index).fault)
    }

    async fn serve(self, mut near: TcpStream, target: SocketAddr) {
        let mut buffer = Vec::new();
        let end = loop {
            if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            match near.read_buf(&mut buffer).await {
                Ok(1..) => {}
                _ => return,
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        let body = buffer.split_off(end + 4);
        let fault = self.fault(head.lines().next().unwrap_or_default());
        if let Some(Fault::Answer(status, code)) = fault {
            return refuse(near, &head, body.len(), status, code).await;
        }
        let Ok(mut far) = TcpStream::connect(target).await else {
            return;
        };
        let got = body.len();
        let mut request = format!("{head}\r\nconnection: close\r\n\r\n").into_bytes();
        request.extend(body);
        if far.write_all(&request).await.is_err() {
            return;
        }
        match fault {
            None => drop(copy_bidirectional(&mut near, &mut far).await),
            Some(Fault::LoseAnswer) => {
                let mut rest = (&mut near).take(missing(&head, got));
                let _ = tokio::io::copy(&mut rest, &mut far).await;
                let _ = tokio::io::copy(&mut far, &mut tokio::io::sink()).await;
            }
            Some(Fault::CutAnswer(bytes)) => {
                let mut answer = vec![0; bytes];
                let _ = far.read_exact(&mut answer).await;
                let _ = near.write_all(&answer).await;
            }
            Some(Fault::Answer(..)) => {}
        }
    }
}

async fn refuse(mut near: TcpStream, head: &str, got: usize, status: u16, code: &str) {
    let mut rest = (&mut near).take(missing(head, got));
    let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
    let body = format!(
        "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>as told</Message></Error>"
    );
    let answer = format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = near.write_all(answer.as_bytes()).await;
    let _ = near.shutdown().await;
}

/// How much of a body is still to come.
fn missing(head: &str, got: usize) -> u64 {
    let lower = head.to_ascii_lowercase();
    let length = lower
        .lines()
        .find_map(|line| {
            line.strip_prefix("content-length: ")?
                .trim()
                .parse::<usize>()
                .ok()
        })
        .unwrap_or(0);
    length.saturating_sub(got) as u64
}
