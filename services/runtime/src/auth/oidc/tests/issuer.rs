//! An issuer as others see it: a document about it, and its keys.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::signer::Signer;

/// How it answers who asks for its keys.
#[derive(Clone, Debug)]
pub(super) enum Says {
    Text(String),
    Status(u16),
    /// That they are elsewhere, where they are indeed.
    Redirect,
    /// It keeps the connection and is silent.
    Nothing,
}

#[derive(Clone)]
pub(super) struct TestIssuer {
    url: String,
    state: Arc<Mutex<State>>,
    asked: watch::Sender<usize>,
}

struct State {
    says: Says,
    last_keys: String,
    names: String,
    authorization: Option<String>,
}

impl TestIssuer {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = State {
            says: Says::Status(503),
            last_keys: String::new(),
            names: url.clone(),
            authorization: None,
        };
        let issuer = Self {
            url,
            state: Arc::new(Mutex::new(state)),
            asked: watch::Sender::new(0),
        };
        let serving = issuer.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let issuer = serving.clone();
                tokio::spawn(async move { issuer.answer(connection).await });
            }
        });
        issuer
    }

    pub(super) fn url(&self) -> String {
        self.url.clone()
    }

    /// Has these keys from now on, and no others.
    pub(super) fn publish(&self, keys: &[(&str, &Signer)]) {
        let keys: Vec<_> = keys.iter().map(|(kid, signer)| signer.jwk(kid)).collect();
        self.says(Says::Text(json!({"keys": keys}).to_string()));
    }

    pub(super) fn says(&self, says: Says) {
        let mut state = self.state.lock();
        if let Says::Text(keys) = &says {
            state.last_keys.clone_from(keys);
        }
        state.says = says;
    }

    /// The name by which it calls itself.
    pub(super) fn names(&self, issuer: &str) {
        self.state.lock().names = issuer.into();
    }

    /// How many times somebody asked for the keys.
    pub(super) fn asked(&self) -> usize {
        *self.asked.borrow()
    }

    /// Waits until they were asked for so many times more.
    pub(super) async fn asked_more(&self, times: usize) {
        let goal = self.asked() + times;
        self.asked
            .subscribe()
            .wait_for(|asked| *asked >= goal)
            .await
            .unwrap();
    }

    /// What the last one who asked for the keys showed.
    pub(super) fn authorization(&self) -> Option<String> {
        self.state.lock().authorization.clone()
    }

    async fn answer(&self, connection: TcpStream) {
        let mut connection = BufReader::new(connection);
        let (mut path, mut authorization) = (String::new(), None);
        loop {
            let mut line = String::new();
            if connection.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            match line.trim_end().split_once(' ') {
                None => break,
                Some(("GET", rest)) => path = rest.split(' ').next().unwrap().to_owned(),
                Some((name, value)) if name.eq_ignore_ascii_case("authorization:") => {
                    authorization = Some(value.to_owned());
                }
                Some(_) => {}
            }
        }
        let Some((status, more, body)) = self.choose(&path, authorization) else {
            return std::future::pending().await;
        };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n{more}\r\n"
        );
        let _ = connection
            .write_all(format!("{head}{body}").as_bytes())
            .await;
        let _ = connection.shutdown().await;
    }

    fn choose(&self, path: &str, authorization: Option<String>) -> Option<(u16, String, String)> {
        let mut state = self.state.lock();
        match path {
            "/.well-known/openid-configuration" => {
                let keys = format!("{}/keys", self.url);
                let document = json!({"issuer": state.names, "jwks_uri": keys}).to_string();
                return Some((200, String::new(), document));
            }
            "/elsewhere" => return Some((200, String::new(), state.last_keys.clone())),
            "/keys" => {}
            _ => return Some((404, String::new(), String::new())),
        }
        state.authorization = authorization;
        self.asked.send_modify(|asked| *asked += 1);
        match &state.says {
            Says::Text(text) => Some((200, String::new(), text.clone())),
            Says::Status(status) => Some((*status, String::new(), String::new())),
            Says::Redirect => Some((
                302,
                format!("location: {}/elsewhere\r\n", self.url),
                String::new(),
            )),
            Says::Nothing => None,
        }
    }
}
