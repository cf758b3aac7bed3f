//! An OpenID issuer of its own for one test: its document, its keys, and tokens that it signs.

use std::sync::{Arc, Mutex};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

/// The audience of its tokens.
pub const AUDIENCE: &str = "granary";

/// An issuer that answers on a port of its own.
#[derive(Clone)]
pub struct TestIssuer {
    url: String,
    keys: Arc<Mutex<Json>>,
}

/// A key of an issuer.
pub struct TestKey {
    id: String,
    pair: Ed25519KeyPair,
}

impl TestKey {
    /// A new key with this id.
    pub fn new(id: &str) -> Self {
        Self {
            id: id.into(),
            pair: Ed25519KeyPair::generate().unwrap(),
        }
    }

    fn jwk(&self) -> Json {
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref());
        json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": self.id, "x": x})
    }
}

/// A key of the bundled issuer, as `--signing-key-file` takes it.
pub fn signing_key() -> Vec<u8> {
    let key = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new());
    key.unwrap().as_ref().to_vec()
}

impl TestIssuer {
    /// Starts one that has no keys yet.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            keys: Arc::new(Mutex::new(json!({"keys": []}))),
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

    /// The `iss` of its tokens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Has these keys from now on, and no others.
    pub fn publish(&self, keys: &[&TestKey]) {
        let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
        *self.keys.lock().unwrap() = json!({"keys": keys});
    }

    /// A token of 10 minutes for a subject, with more claims.
    pub fn token(&self, key: &TestKey, subject: &str, more: &Json) -> String {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let mut claims =
            json!({"iss": self.url, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + 600});
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let text = |json: &Json| URL_SAFE_NO_PAD.encode(json.to_string());
        let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": key.id});
        let signed = format!("{}.{}", text(&header), text(&claims));
        let signature = URL_SAFE_NO_PAD.encode(key.pair.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    async fn answer(&self, connection: TcpStream) {
        let mut connection = BufReader::new(connection);
        let mut first = String::new();
        loop {
            let mut line = String::new();
            match connection.read_line(&mut line).await {
                Ok(1..) if line.trim().is_empty() => break,
                Ok(1..) if first.is_empty() => first = line,
                Ok(1..) => {}
                _ => return,
            }
        }
        let body = match first.split(' ').nth(1) {
            Some("/keys") => self.keys.lock().unwrap().to_string(),
            _ => json!({"issuer": self.url, "jwks_uri": format!("{}/keys", self.url)}).to_string(),
        };
        let length = body.len();
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
        let _ = connection
            .write_all(format!("{head}{body}").as_bytes())
            .await;
        let _ = connection.shutdown().await;
    }
}
