//! Keys and settings that are not what they are taken for.

use serde_json::{Value as Json, json};

use super::{
    super::{
        super::{
            jwt::{BAD_SIGNATURE, NO_KEY_ID, UNKNOWN_KEY, WRONG_ALGORITHM},
            keys::Keys,
        },
        OidcIssuer,
    },
    EAGER, World, ada,
    signer::{Signer, with_shared_secret},
};

#[tokio::test]
async fn one_kind_of_key_is_never_taken_for_another() {
    let (rsa, ec) = (Signer::rsa(), Signer::ec());
    let world = World::start(&[("r", &rsa), ("e", &ec)], EAGER).await;
    let claims = world.claims();
    let with =
        async |signer: &Signer, header: Json| world.verify(&signer.token(&header, &claims)).await;
    assert_eq!(
        with(&ec, json!({"alg": "ES256", "kid": "r"})).await,
        Err(WRONG_ALGORITHM)
    );
    assert_eq!(
        with(&rsa, json!({"alg": "RS256", "kid": "e"})).await,
        Err(WRONG_ALGORITHM)
    );
    assert_eq!(
        with(&rsa, json!({"alg": "ES256", "kid": "e"})).await,
        Err(BAD_SIGNATURE)
    );
    assert_eq!(
        with(&ec, json!({"alg": "RS256", "kid": "r"})).await,
        Err(BAD_SIGNATURE)
    );
    assert_eq!(
        with(&rsa, json!({"alg": "none", "kid": "r"})).await,
        Err(WRONG_ALGORITHM)
    );
    assert_eq!(
        with(&rsa, json!({"alg": "PS256", "kid": "r"})).await,
        Err(WRONG_ALGORITHM)
    );
    for secret in rsa.public_forms() {
        let forged = with_shared_secret(&secret, &json!({"alg": "HS256", "kid": "r"}), &claims);
        assert_eq!(world.verify(&forged).await, Err(WRONG_ALGORITHM));
        let forged = with_shared_secret(&secret, &json!({"alg": "RS256", "kid": "r"}), &claims);
        assert_eq!(world.verify(&forged).await, Err(BAD_SIGNATURE));
    }
    // The kind of signature tells which of two keys it is, unless they are of one kind.
    assert_eq!(with(&ec, json!({"alg": "ES256"})).await, ada());
    assert_eq!(
        with(&ec, json!({"alg": "ES256", "jwk": ec.jwk("e"), "kid": "x"})).await,
        Err(UNKNOWN_KEY)
    );
    let other = Signer::ec();
    world.id.publish(&[("r", &rsa), ("e", &ec), ("o", &other)]);
    assert_eq!(
        with(&ec, json!({"alg": "ES256", "kid": "x"})).await,
        Err(UNKNOWN_KEY)
    );
    assert_eq!(with(&ec, json!({"alg": "ES256"})).await, Err(NO_KEY_ID));
}

#[test]
fn keys_for_other_purposes_are_left_out() {
    let (rsa, ec, ed) = (Signer::rsa(), Signer::ec(), Signer::ed());
    let count = |keys: &[Json]| {
        let set = serde_json::from_value(json!({"keys": keys})).unwrap();
        Keys::parse(set).unwrap().len()
    };
    let with = |signer: &Signer, member: &str, value: Json| {
        let mut jwk = signer.jwk("k");
        jwk[member] = value;
        jwk
    };
    assert_eq!(count(&[rsa.jwk("r"), ec.jwk("e"), ed.jwk("d")]), 3);
    assert_eq!(
        count(&[
            with(&rsa, "key_ops", json!(["verify"])),
            with(&ec, "x5t", json!("..."))
        ]),
        2
    );
    for other in [
        with(&rsa, "use", json!("enc")),
        with(&rsa, "key_ops", json!(["encrypt"])),
        with(&rsa, "alg", json!("RS512")),
        with(&rsa, "alg", json!("HS256")),
        with(&rsa, "d", json!("AQ")),
        with(&rsa, "n", json!("AQAB")),
        with(&rsa, "n", json!("not base64!")),
        with(&ec, "crv", json!("P-384")),
        with(&ec, "alg", json!("RS256")),
        with(&ec, "y", ec.jwk("k")["x"].clone()),
        with(&ec, "x", json!("AQAB")),
        with(&ed, "crv", json!("X25519")),
        with(&ed, "x", json!("AQAB")),
        json!({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "kid": "k"}),
        json!({"kid": "k"}),
        json!("k"),
    ] {
        assert_eq!(count(std::slice::from_ref(&other)), 0, "{other}");
    }
}

#[test]
fn settings_that_cannot_work_are_named() {
    let wrong = |change: fn(&mut OidcIssuer)| {
        let mut issuer = OidcIssuer::new("https://id.example", vec!["granary".into()]);
        change(&mut issuer);
        issuer.check().map_err(|error| error.to_string())
    };
    assert_eq!(wrong(|_| ()), Ok(()));
    assert_eq!(
        wrong(|i| (i.issuer, i.allow_http) = ("http://keycloak:8080/realms/lab".into(), true)),
        Ok(())
    );
    for (change, said) in [
        (
            (|i| i.issuer = "id.example".into()) as fn(&mut OidcIssuer),
            "issuer: expected a URL",
        ),
        (
            |i| i.issuer = "http://id.example".into(),
            "issuer: \"http://id.example/\" is not encrypted",
        ),
        (
            |i| i.issuer = "https://id.example/?a=b".into(),
            "issuer: expected a URL of at most 512 bytes without a query",
        ),
        (
            |i| i.jwks_url = Some("http://id.example/keys".parse().unwrap()),
            "jwks_url: ",
        ),
        (|i| i.audiences.clear(), "audiences: name at least one"),
        (|i| i.claims.groups.clear(), "groups_claim"),
    ] {
        let error = wrong(change).unwrap_err();
        assert!(error.contains(said), "{error}");
    }
}
