//! What the claims of an issuer mean.

use std::sync::Arc;

use serde_json::Value as Json;

use super::{
    super::{
        Principal, Role,
        jwt::{self, Claims, FOREIGN_AUDIENCE, MALFORMED, MISSING, OTHER_KIND, Reason},
    },
    OidcIssuer, Who,
};

const MAX_SUBJECT_BYTES: usize = 256;
const MAX_EMAIL_BYTES: usize = 254;
/// The names of API keys, which only Granary itself may give.
const RESERVED: &str = "projects/";

impl OidcIssuer {
    /// Whom the claims of one of its tokens stand for.
    pub(in super::super) fn principal(
        &self,
        claims: &Claims,
        expires: i64,
    ) -> Result<Principal, Reason> {
        if !self.is_addressed(claims)? {
            return Err(FOREIGN_AUDIENCE);
        }
        let subject = self.subject(claims)?;
        Ok(Principal {
            role: self.role(claims, subject),
            email: self.email(claims),
            subject: subject.into(),
            issuer: self.issuer.as_str().into(),
            expires,
        })
    }

    // Access tokens of Cognito have no audience: they name the client that they were given to.
    fn is_addressed(&self, claims: &Claims) -> Result<bool, Reason> {
        let kind = claims
            .get("token_use")
            .map(|kind| kind.as_str().ok_or(MALFORMED));
        match (claims.get("aud"), kind.transpose()?) {
            (None, Some("access")) => Ok(self
                .audiences
                .iter()
                .any(|audience| jwt::text(claims, "client_id") == Ok(audience))),
            (_, None | Some("id" | "access")) => jwt::is_for(claims, &self.audiences),
            (_, Some(_)) => Err(OTHER_KIND),
        }
    }

    fn subject<'a>(&self, claims: &'a Claims) -> Result<&'a str, Reason> {
        let subject = match find(claims, &self.claims.subject) {
            Some(Json::String(subject)) => subject,
            Some(_) => return Err(MALFORMED),
            None => return Err(MISSING),
        };
        let fine = (1..=MAX_SUBJECT_BYTES).contains(&subject.len())
            && !subject.chars().any(char::is_control)
            && !subject.starts_with(RESERVED);
        if fine { Ok(subject) } else { Err(MALFORMED) }
    }

    // What is no address, or not known to be this principal's, counts as none.
    fn email(&self, claims: &Claims) -> Option<Arc<str>> {
        let email = find(claims, &self.claims.email)?.as_str()?;
        let verified = self.claims.email_verified.as_ref().is_none_or(|name| {
            // Cognito says it in text in some places.
            matches!(find(claims, name), Some(Json::Bool(true)))
                || find(claims, name).and_then(Json::as_str) == Some("true")
        });
        let fine = email.contains('@')
            && email.len() <= MAX_EMAIL_BYTES
            && !email.chars().any(|c| c.is_control() || c.is_whitespace());
        (verified && fine).then(|| email.into())
    }

    fn role(&self, claims: &Claims, subject: &str) -> Option<Role> {
        let groups = find(claims, &self.claims.groups);
        let is = |who: &Who| match who {
            Who::Subject(name) => name == subject,
            Who::Group(name) => match groups {
                Some(Json::Array(all)) => all.iter().any(|one| one.as_str() == Some(name)),
                Some(Json::String(one)) => one == name,
                _ => false,
            },
        };
        if self.administrators.iter().any(is) {
            return Some(Role::Administrator);
        }
        self.workers.iter().any(is).then_some(Role::Worker)
    }
}

/// The claim at a path. A claim whose name has dots itself, as namespaced ones do, is found by its whole name.
fn find<'a>(claims: &'a Claims, path: &str) -> Option<&'a Json> {
    if let Some(found) = claims.get(path) {
        return Some(found);
    }
    path.match_indices('.').find_map(|(dot, _)| {
        let (head, rest) = path.split_at_checked(dot)?;
        find(claims.get(head)?.as_object()?, rest.strip_prefix('.')?)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn issuer(change: impl FnOnce(&mut OidcIssuer)) -> OidcIssuer {
        let mut issuer = OidcIssuer::new("https://id.example/", vec!["granary".into()]);
        change(&mut issuer);
        issuer
    }

    fn principal(issuer: &OidcIssuer, claims: Json) -> Result<Principal, Reason> {
        issuer.principal(claims.as_object().unwrap(), 7)
    }

    fn who(list: &[&str]) -> Vec<Who> {
        list.iter().map(|who| who.parse().unwrap()).collect()
    }

    #[test]
    fn auth0_names_groups_by_a_url() {
        let auth0 = issuer(|i| {
            i.claims.groups = "https://granary.example/groups".into();
            i.administrators = who(&["group:platform"]);
        });
        let ada = principal(
            &auth0,
            json!({"iss": "https://lab.eu.auth0.com/", "sub": "auth0|5f7c", "scope": "openid", "azp": "client",
                "aud": ["granary", "https://lab.eu.auth0.com/userinfo"], "https://granary.example/groups": ["platform"]}),
        )
        .unwrap();
        assert_eq!(
            (&*ada.subject, ada.role),
            ("auth0|5f7c", Some(Role::Administrator))
        );
        let machine = principal(
            &auth0,
            json!({"sub": "abc@clients", "aud": "granary", "gty": "client-credentials"}),
        );
        assert_eq!(machine.unwrap().role, None);
    }

    #[test]
    fn cognito_names_the_client_in_access_tokens() {
        let cognito = issuer(|i| {
            i.audiences = vec!["3n4b5urk1ft4fl3mg5e62d9ado".into()];
            i.claims.groups = "cognito:groups".into();
            i.administrators = who(&["group:admins"]);
        });
        let access = json!({"sub": "aaaa-bbbb", "token_use": "access", "client_id": "3n4b5urk1ft4fl3mg5e62d9ado",
            "username": "ada", "scope": "openid", "cognito:groups": ["admins"]});
        let ada = principal(&cognito, access.clone()).unwrap();
        assert_eq!((ada.role, ada.email), (Some(Role::Administrator), None));
        let id = json!({"sub": "aaaa-bbbb", "token_use": "id", "aud": "3n4b5urk1ft4fl3mg5e62d9ado",
            "email": "ada@example.org", "email_verified": true});
        let ada = principal(&cognito, id).unwrap();
        assert_eq!(
            (ada.role, ada.email.as_deref()),
            (None, Some("ada@example.org"))
        );
        let with = |name: &str, value: Json| {
            let mut changed = access.clone();
            changed[name] = value;
            principal(&cognito, changed).map(drop)
        };
        assert_eq!(with("client_id", json!("other")), Err(FOREIGN_AUDIENCE));
        assert_eq!(with("aud", json!("other")), Err(FOREIGN_AUDIENCE));
        assert_eq!(with("token_use", json!("refresh")), Err(OTHER_KIND));
        assert_eq!(with("token_use", json!("id")), Err(MISSING));
        assert_eq!(
            principal(
                &cognito,
                json!({"sub": "a", "client_id": "3n4b5urk1ft4fl3mg5e62d9ado"})
            ),
            Err(MISSING)
        );
    }

    #[test]
    fn keycloak_has_roles_within_claims() {
        let claims = json!({"sub": "f:1:ada", "aud": ["account", "granary"], "typ": "Bearer", "azp": "cli",
            "realm_access": {"roles": ["offline_access", "granary-admin"]},
            "resource_access": {"granary.api": {"roles": ["worker"]}},
            "email": "Ada@example.org", "email_verified": false});
        let by_realm = issuer(|i| {
            i.claims.groups = "realm_access.roles".into();
            i.administrators = who(&["group:granary-admin"]);
        });
        let ada = principal(&by_realm, claims.clone()).unwrap();
        assert_eq!((ada.role, ada.email), (Some(Role::Administrator), None));
        let by_client = issuer(|i| {
            i.claims.groups = "resource_access.granary.api.roles".into();
            i.workers = who(&["group:worker"]);
        });
        assert_eq!(
            principal(&by_client, claims).unwrap().role,
            Some(Role::Worker)
        );
    }

    #[test]
    fn service_accounts_of_kubernetes_are_subjects() {
        let cluster = issuer(|i| {
            i.audiences = vec!["granary".into(), "https://kubernetes.default.svc".into()];
            i.workers = who(&["subject:system:serviceaccount:lab:worker"]);
        });
        let pod = |name: &str| {
            let claims = json!({"sub": format!("system:serviceaccount:lab:{name}"), "aud": ["granary"],
                "iss": "https://kubernetes.default.svc.cluster.local", "nbf": 1, "iat": 1,
                "kubernetes.io": {"namespace": "lab", "serviceaccount": {"name": name, "uid": "1"}}});
            principal(&cluster, claims).unwrap().role
        };
        assert_eq!((pod("worker"), pod("other")), (Some(Role::Worker), None));
    }

    #[test]
    fn an_address_counts_only_when_it_is_verified() {
        let email = |issuer: &OidcIssuer, claims: Json| {
            let mut all = json!({"sub": "a", "aud": "granary"});
            all.as_object_mut()
                .unwrap()
                .extend(claims.as_object().unwrap().clone());
            principal(issuer, all)
                .unwrap()
                .email
                .map(|email| email.to_string())
        };
        let usual = issuer(|_| ());
        let ada = Some("ada@example.org".to_owned());
        assert_eq!(
            email(
                &usual,
                json!({"email": "ada@example.org", "email_verified": true})
            ),
            ada
        );
        assert_eq!(
            email(
                &usual,
                json!({"email": "ada@example.org", "email_verified": "true"})
            ),
            ada
        );
        for unverified in [json!(false), json!("yes"), json!(1), json!(null)] {
            assert_eq!(
                email(
                    &usual,
                    json!({"email": "ada@example.org", "email_verified": unverified})
                ),
                None
            );
        }
        assert_eq!(email(&usual, json!({"email": "ada@example.org"})), None);
        assert_eq!(
            email(&usual, json!({"email": "ada", "email_verified": true})),
            None
        );
        let mapped = issuer(|i| {
            i.claims.email = "https://granary.example/email".into();
            i.claims.email_verified = None;
        });
        assert_eq!(
            email(
                &mapped,
                json!({"https://granary.example/email": "ada@example.org"})
            ),
            ada
        );
    }

    #[test]
    fn nobody_from_outside_is_taken_for_an_api_key_or_for_a_role() {
        let usual = issuer(|i| i.administrators = who(&["group:admins"]));
        let with = |claims: Json| principal(&usual, claims);
        for subject in ["", "projects/p/apiKeys/k", "a\nb", &"x".repeat(257)] {
            assert_eq!(
                with(json!({"sub": subject, "aud": "granary"})),
                Err(MALFORMED),
                "{subject:?}"
            );
        }
        assert_eq!(with(json!({"sub": 5, "aud": "granary"})), Err(MALFORMED));
        assert_eq!(with(json!({"aud": "granary"})), Err(MISSING));
        assert_eq!(with(json!({"sub": "a"})), Err(MISSING));
        // Not a group, nor the role of a token of Granary's own; and groups are not taken apart.
        for claims in [
            json!({"sub": "admins", "aud": "granary"}),
            json!({"sub": "a", "aud": "granary", "granary/role": "administrator"}),
            json!({"sub": "a", "aud": "granary", "groups": "users admins"}),
            json!({"sub": "a", "aud": "granary", "groups": {"admins": true}}),
            json!({"sub": "a", "aud": "granary", "groups": [["admins"], "ADMINS"]}),
        ] {
            assert_eq!(with(claims.clone()).unwrap().role, None, "{claims}");
        }
        assert!("admins".parse::<Who>().is_err() && "group:".parse::<Who>().is_err());
    }
}
