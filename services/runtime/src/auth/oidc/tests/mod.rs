//! Tokens of issuers that rotate their keys, go away, answer nonsense, and of those who try to be taken for one.
#![allow(
    clippy::disallowed_methods,
    reason = "the issuers of these tests are tasks of their own"
)]

mod confusion;
mod issuer;
mod signer;

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use granary_core::clock::SystemClock;
use serde_json::{Value as Json, json};

use super::{
    super::{
        Issuer, LAUNCHER, Role, Verifier,
        jwt::{
            BAD_SIGNATURE, EXPIRED, FOREIGN_AUDIENCE, FOREIGN_ISSUER, MALFORMED, NOT_YET,
            OWN_FORBIDDEN, UNKNOWN_KEY, WRONG_ALGORITHM,
        },
    },
    OidcIssuer, Timing, Who,
};
use crate::task::Tasks;
use issuer::{Says, TestIssuer};
use signer::{Signer, now};

const HOUR: Duration = Duration::from_secs(3600);
/// Keys are fetched for every unknown one, and otherwise at the start only.
const EAGER: Timing = Timing {
    every: HOUR,
    gap: Duration::ZERO,
    timeout: Duration::from_secs(60),
};

/// A verifier that trusts an issuer.
struct World {
    id: TestIssuer,
    own: Issuer,
    verifier: Verifier,
    _tasks: Tasks,
}

impl World {
    async fn start(keys: &[(&str, &Signer)], timing: Timing) -> Self {
        Self::start_with(keys, timing, |_| ()).await
    }

    async fn start_with(
        keys: &[(&str, &Signer)],
        timing: Timing,
        change: impl FnOnce(&mut OidcIssuer),
    ) -> Self {
        let id = TestIssuer::start().await;
        id.publish(keys);
        let mut trusted = OidcIssuer::new(id.url(), vec!["granary".into()]);
        change(&mut trusted);
        let (own, tasks) = (Issuer::ephemeral().unwrap(), Tasks::new());
        let skew = Duration::from_secs(30);
        let verifier = Verifier::timed(
            &own,
            &[trusted],
            skew,
            &tasks,
            timing,
            Arc::new(SystemClock),
        )
        .unwrap();
        Self {
            id,
            own,
            verifier,
            _tasks: tasks,
        }
    }

    fn claims(&self) -> Json {
        json!({"iss": self.id.url(), "aud": "granary", "sub": "ada", "exp": now() + 600, "iat": now()})
    }

    fn token(&self, signer: &Signer, kid: &str) -> String {
        signer.token(&json!({"alg": signer.name(), "kid": kid}), &self.claims())
    }

    async fn verify(&self, token: &str) -> Result<String, &'static str> {
        let principal = self.verifier.verify(token).await?;
        assert_eq!(*principal.issuer, self.id.url());
        Ok(principal.subject.to_string())
    }
}

fn ada() -> Result<String, &'static str> {
    Ok("ada".into())
}

#[tokio::test]
async fn each_kind_of_signature_is_verified_with_a_key_found_by_discovery() {
    let (rsa, ec, ed) = (Signer::rsa(), Signer::ec(), Signer::ed());
    let world = World::start(&[("r", &rsa), ("e", &ec), ("d", &ed)], EAGER).await;
    for (signer, kid) in [(&rsa, "r"), (&ec, "e"), (&ed, "d")] {
        let token = world.token(signer, kid);
        assert_eq!(world.verify(&token).await, ada());
        assert_eq!(world.verify(&token).await, ada());
        let (signed, _) = token.rsplit_once('.').unwrap();
        let other = world.token(&Signer::another(signer), kid);
        assert_eq!(world.verify(&other).await, Err(BAD_SIGNATURE));
        let (_, signature) = other.rsplit_once('.').unwrap();
        assert_eq!(
            world.verify(&format!("{signed}.{signature}")).await,
            Err(BAD_SIGNATURE)
        );
    }
    let with = async |claim: &str, value: Json| {
        let mut claims = world.claims();
        claims[claim] = value;
        world
            .verify(&ec.token(&json!({"alg": "ES256", "kid": "e"}), &claims))
            .await
    };
    assert_eq!(with("exp", json!(now() - 31)).await, Err(EXPIRED));
    assert_eq!(with("exp", json!(now() - 5)).await, ada());
    assert_eq!(with("nbf", json!(now() + 100)).await, Err(NOT_YET));
    assert_eq!(with("aud", json!("elsewhere")).await, Err(FOREIGN_AUDIENCE));
    assert_eq!(
        with("iss", json!("https://elsewhere.example")).await,
        Err(FOREIGN_ISSUER)
    );
    assert_eq!(
        with("iss", json!(format!("{}/", world.id.url()))).await,
        Err(FOREIGN_ISSUER)
    );
    assert_eq!(with("iss", json!([world.id.url()])).await, Err(MALFORMED));
}

#[tokio::test]
async fn a_new_key_counts_at_once_and_a_withdrawn_one_no_longer() {
    let (old, new) = (Signer::rsa(), Signer::ec());
    let world = World::start(&[("old", &old)], EAGER).await;
    let kept = world.token(&old, "old");
    assert_eq!(world.verify(&kept).await, ada());
    world.id.publish(&[("old", &old), ("new", &new)]);
    assert_eq!(world.verify(&world.token(&new, "new")).await, ada());
    assert_eq!(world.verify(&kept).await, ada());
    world.id.publish(&[("new", &new)]);
    assert_eq!(
        world.verify(&world.token(&new, "none")).await,
        Err(UNKNOWN_KEY)
    );
    // Also a verdict that was kept is gone with its key.
    assert_eq!(world.verify(&kept).await, Err(UNKNOWN_KEY));
    assert_eq!(world.verify(&world.token(&new, "new")).await, ada());
    // The same name for another key.
    world.id.publish(&[("new", &old)]);
    assert_eq!(
        world.verify(&world.token(&old, "none")).await,
        Err(UNKNOWN_KEY)
    );
    assert_eq!(
        world.verify(&world.token(&new, "new")).await,
        Err(WRONG_ALGORITHM)
    );
    assert_eq!(world.verify(&world.token(&old, "new")).await, ada());
}

#[tokio::test]
async fn keys_are_fetched_again_without_anybody_asking() {
    let (old, new) = (Signer::ed(), Signer::ed());
    let often = Timing {
        every: Duration::from_millis(5),
        gap: HOUR,
        ..EAGER
    };
    let world = World::start(&[("old", &old)], often).await;
    let kept = world.token(&old, "old");
    assert_eq!(world.verify(&kept).await, ada());
    world.id.publish(&[("new", &new)]);
    // The second one after the change begins when the first one has been taken in.
    world.id.asked_more(2).await;
    assert_eq!(world.verify(&kept).await, Err(UNKNOWN_KEY));
    assert_eq!(world.verify(&world.token(&new, "new")).await, ada());
}

#[tokio::test]
async fn known_keys_go_on_while_the_issuer_is_away_or_talks_nonsense() {
    let (known, new) = (Signer::rsa(), Signer::rsa());
    let world = World::start(
        &[("known", &known)],
        Timing {
            timeout: Duration::from_secs(2),
            ..EAGER
        },
    )
    .await;
    assert_eq!(world.verify(&world.token(&known, "known")).await, ada());
    let many: Vec<_> = (0..101).map(|i| new.jwk(&format!("k{i}"))).collect();
    let huge = json!({"keys": [new.jwk("new")], "padding": "x".repeat(300_000)});
    for away in [
        Says::Status(500),
        Says::Status(404),
        Says::Redirect,
        Says::Nothing,
        Says::Text("<html>".into()),
        Says::Text(json!({"keys": many}).to_string()),
        Says::Text(huge.to_string()),
        Says::Text("{}".into()),
    ] {
        world.id.says(away.clone());
        assert_eq!(
            world.verify(&world.token(&new, "new")).await,
            Err(UNKNOWN_KEY),
            "{away:?}"
        );
        assert_eq!(
            world.verify(&world.token(&known, "known")).await,
            ada(),
            "{away:?}"
        );
    }
    world.id.publish(&[("new", &new)]);
    assert_eq!(world.verify(&world.token(&new, "new")).await, ada());
}

#[tokio::test]
async fn an_issuer_that_is_away_at_the_start_counts_once_it_is_there() {
    let key = Signer::ec();
    let world = World::start(&[], EAGER).await;
    world.id.says(Says::Status(503));
    assert_eq!(
        world.verify(&world.token(&key, "k")).await,
        Err(UNKNOWN_KEY)
    );
    world.id.publish(&[("k", &key)]);
    assert_eq!(world.verify(&world.token(&key, "k")).await, ada());
}

#[tokio::test]
async fn a_slow_issuer_holds_up_nobody_whose_key_is_known() {
    let (known, new) = (Signer::ed(), Signer::ed());
    let world = World::start(&[("known", &known)], EAGER).await;
    assert_eq!(world.verify(&world.token(&known, "known")).await, ada());
    world.id.says(Says::Nothing);
    let token = world.token(&new, "new");
    let mut waits = Box::pin(world.verify(&token));
    assert!(futures::poll!(waits.as_mut()).is_pending());
    world.id.asked_more(1).await;
    assert_eq!(world.verify(&world.token(&known, "known")).await, ada());
    assert!(futures::poll!(waits.as_mut()).is_pending());
}

#[tokio::test]
async fn unknown_keys_cannot_flood_the_issuer() {
    let key = Signer::ed();
    let world = World::start(&[("k", &key)], Timing { gap: HOUR, ..EAGER }).await;
    let tokens: Vec<_> = (0..300)
        .map(|i| world.token(&key, &format!("bad{i}")))
        .collect();
    let all = join_all(tokens.iter().map(|token| world.verify(token))).await;
    assert!(all.into_iter().all(|refused| refused == Err(UNKNOWN_KEY)));
    assert_eq!(world.id.asked(), 1);
    assert_eq!(
        world.verify(&world.token(&key, "bad")).await,
        Err(UNKNOWN_KEY)
    );
    assert_eq!(world.id.asked(), 1);
    assert_eq!(world.verify(&world.token(&key, "k")).await, ada());
}

#[tokio::test]
async fn who_asks_while_keys_are_fetched_gets_them_too() {
    let (old, new) = (Signer::ed(), Signer::ed());
    let world = World::start(&[("old", &old)], Timing { gap: HOUR, ..EAGER }).await;
    world.id.asked_more(1).await;
    world.id.publish(&[("new", &new)]);
    let token = world.token(&new, "new");
    let all = join_all((0..100).map(|_| world.verify(&token))).await;
    assert!(all.into_iter().all(|verdict| verdict == ada()));
}

#[tokio::test]
async fn an_issuer_that_names_another_one_lends_it_no_keys() {
    let key = Signer::ec();
    let world = World::start(&[("k", &key)], EAGER).await;
    world.id.names("https://elsewhere.example");
    let token = world.token(&key, "k");
    // Whatever was fetched before that counts no longer once it is fetched again.
    let fresh = OidcIssuer::new(world.id.url(), vec!["granary".into()]);
    let error = fresh.find_jwks_url().await.unwrap_err().to_string();
    assert!(
        error.contains("names the issuer \"https://elsewhere.example\""),
        "{error}"
    );
    let tasks = Tasks::new();
    let skew = Duration::from_secs(30);
    let verifier = Verifier::timed(
        &world.own,
        &[fresh],
        skew,
        &tasks,
        EAGER,
        Arc::new(SystemClock),
    )
    .unwrap();
    assert_eq!(verifier.verify(&token).await, Err(UNKNOWN_KEY));
}

#[tokio::test]
async fn keys_are_where_the_settings_say_and_are_asked_for_with_a_token_if_there_is_one() {
    let key = Signer::rsa();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "pod-token\n").unwrap();
    let world = World::start_with(&[("k", &key)], EAGER, |issuer| {
        issuer.jwks_url = Some(format!("{}/keys", issuer.issuer).parse().unwrap());
        issuer.token_file = Some(file);
    })
    .await;
    world.id.names("https://not-asked.example");
    assert_eq!(world.verify(&world.token(&key, "k")).await, ada());
    assert_eq!(
        world.id.authorization().as_deref(),
        Some("Bearer pod-token")
    );
}

#[tokio::test]
async fn beside_oidc_the_bundled_issuer_speaks_for_keys_and_services_only() {
    let key = Signer::ed();
    let world = World::start_with(&[("k", &key)], EAGER, |issuer| {
        issuer.administrators = vec![Who::Subject("ada".into())];
    })
    .await;
    let own = async |subject: &str, role: Option<Role>| {
        let (token, _) = world.own.issue(subject, role, HOUR).unwrap();
        world
            .verifier
            .verify(&token)
            .await
            .map(|principal| principal.role)
    };
    assert_eq!(
        own("local-administrator", Some(Role::Administrator)).await,
        Err(OWN_FORBIDDEN)
    );
    assert_eq!(
        own("projects/p/apiKeys/k", Some(Role::Administrator)).await,
        Err(OWN_FORBIDDEN)
    );
    assert_eq!(own("w", Some(Role::Worker)).await, Err(OWN_FORBIDDEN));
    assert!(own(LAUNCHER, Some(Role::Worker)).await.is_ok());
    assert_eq!(own(LAUNCHER, None).await, Err(OWN_FORBIDDEN));
    assert_eq!(own("ada", None).await, Err(OWN_FORBIDDEN));
    assert_eq!(
        own("service:job", Some(Role::Service)).await,
        Ok(Some(Role::Service))
    );
    assert_eq!(own("projects/p/apiKeys/k", None).await, Ok(None));
    let ada = world
        .verifier
        .verify(&world.token(&key, "k"))
        .await
        .unwrap();
    assert_eq!(ada.role, Some(Role::Administrator));
}
