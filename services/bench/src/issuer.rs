//! An OpenID issuer of its own, which says nothing but its keys, with tokens of every kind that counts.

use std::time::{Duration, SystemTime};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use granary_runtime::{
    auth::{CLOCK_SKEW, Issuer, Verifier, oidc::OidcIssuer},
    task::Tasks,
};
use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const AUDIENCE: &str = "granary";

/// How tokens are signed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Rs256,
    Es256,
    EdDsa,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Rs256, Self::Es256, Self::EdDsa];

    /// As tokens say it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// An issuer that answers on a port of its own.
#[derive(Debug)]
pub(crate) struct OtherIssuer {
    url: String,
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
}

impl OtherIssuer {
    /// Starts one, with a key of each kind; that for RS256 has 2,048 bits.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let issuer = Self {
            url: format!("http://{}", listener.local_addr()?),
            rsa: RsaKeyPair::generate(KeySize::Rsa2048)?,
            ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?,
            ed: Ed25519KeyPair::generate()?,
        };
        let keys = issuer.keys()?.to_string();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let _ = answer(connection, &keys).await;
            }
        });
        Ok(issuer)
    }

    /// What verifies its tokens.
    pub(crate) fn verifier(&self, tasks: &Tasks) -> anyhow::Result<Verifier> {
        let mut trusted = OidcIssuer::new(&self.url, vec![AUDIENCE.into()]);
        trusted.jwks_url = Some(format!("{}/keys", self.url).parse()?);
        let own = Issuer::ephemeral()?;
        Ok(Verifier::trusting(&own, &[trusted], CLOCK_SKEW, tasks)?)
    }

    /// A token of an hour.
    pub(crate) fn token(&self, kind: Kind, subject: &str) -> anyhow::Result<String> {
        let hour = Duration::from_secs(3600);
        let expires = (SystemTime::now() + hour).duration_since(SystemTime::UNIX_EPOCH)?;
        let text = |json: Json| URL_SAFE_NO_PAD.encode(json.to_string());
        let header = json!({"alg": kind.name(), "typ": "JWT", "kid": kind.name()});
        let claims =
            json!({"iss": self.url, "aud": AUDIENCE, "sub": subject, "exp": expires.as_secs()});
        let signed = format!("{}.{}", text(header), text(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.sign(kind, signed.as_bytes())?);
        Ok(format!("{signed}.{signature}"))
    }

    fn sign(&self, kind: Kind, message: &[u8]) -> anyhow::Result<Vec<u8>> {
        let random = SystemRandom::new();
        Ok(match kind {
            Kind::Rs256 => {
                let mut signature = vec![0; self.rsa.public_modulus_len()];
                self.rsa
                    .sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)?;
                signature
            }
            Kind::Es256 => self.ec.sign(&random, message)?.as_ref().to_vec(),
            Kind::EdDsa => self.ed.sign(message).as_ref().to_vec(),
        })
    }

    fn keys(&self) -> anyhow::Result<Json> {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let rsa = RsaPublicKeyComponents::<Vec<u8>>::from(self.rsa.public_key());
        // After the mark of a point that is not compressed, its halves.
        let point = self.ec.public_key().as_ref();
        let halves = point.get(1..).and_then(|point| point.split_at_checked(32));
        let (x, y) = halves.ok_or_else(|| anyhow::anyhow!("a point of another curve"))?;
        let ed = self.ed.public_key().as_ref();
        Ok(json!({"keys": [
            {"kid": "RS256", "alg": "RS256", "use": "sig", "kty": "RSA", "n": text(&rsa.n), "e": text(&rsa.e)},
            {"kid": "ES256", "alg": "ES256", "use": "sig", "kty": "EC", "crv": "P-256", "x": text(x), "y": text(y)},
            {"kid": "EdDSA", "alg": "EdDSA", "use": "sig", "kty": "OKP", "crv": "Ed25519", "x": text(ed)},
        ]}))
    }
}

/// Answers one question, whatever it is.
async fn answer(mut connection: TcpStream, keys: &str) -> std::io::Result<()> {
    let (mut question, mut part) = (Vec::new(), [0; 1024]);
    while !question.ends_with(b"\r\n\r\n") {
        let read = connection.read(&mut part).await?;
        if read == 0 {
            return Ok(());
        }
        question.extend_from_slice(part.get(..read).unwrap_or_default());
    }
    let length = keys.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    connection
        .write_all(format!("{head}{keys}").as_bytes())
        .await?;
    connection.shutdown().await
}
