use std::{collections::BTreeMap, path::Path, sync::Arc};

use granary_core::name::WorkerName;
use granary_proto::job::v1::{AppSpec, Entrypoint, HandlerSpec, Resources};
use granary_runtime::{
    Link,
    auth::{AuthLayer, Issuer, Role, TokenSource},
    server,
};

use super::*;
use crate::settings::tests::settings;

/// A launcher that calls nobody.
pub(crate) fn options() -> Options {
    let issuer = Issuer::ephemeral().unwrap();
    let auth = AuthLayer::inside(issuer.verifier(), None);
    let nobody = server::protect(tonic::service::Routes::default(), &auth);
    Options {
        settings: settings(),
        worker: WorkerName::new("kubernetes").unwrap(),
        tokens: Arc::new(|_| Ok("token".into())),
        job: Link::local(
            nobody,
            TokenSource::renewed(issuer, "worker:kubernetes", Role::Worker),
        ),
    }
}

/// A lease with everything that shows in the cluster.
pub(crate) fn lease() -> Lease {
    let job = Asked {
        name: "projects/lab/jobs/train-7".into(),
        env: BTreeMap::from([("SEED".into(), "$(HOME)".into())]),
        resources: Some(Resources {
            memory_bytes: 512 << 20,
            cpus: 1.5,
            gpus: 1,
            timeout: Some(prost_types::Duration {
                seconds: 600,
                nanos: 0,
            }),
        }),
        ..Asked::default()
    };
    let entrypoint = Entrypoint {
        name: "applications/a/versions/v1/entrypoints/train".into(),
        app: Some(AppSpec {
            cmd: vec!["train".into(), "--cost=$5".into()],
            env: vec!["SEED".into()],
        }),
        handler: Some(HandlerSpec {
            image_url: "registry.example/train:1".into(),
            network: true,
            profile: "gpu".into(),
            ..HandlerSpec::default()
        }),
        ..Entrypoint::default()
    };
    Lease {
        job: Some(job),
        entrypoint: Some(entrypoint),
        lease_number: 3,
        attempt: 2,
        expire_time: None,
    }
}

fn golden(name: &str, object: &impl serde::Serialize) {
    let made = serde_yaml_ng::to_string(object).unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    #[allow(clippy::disallowed_methods, reason = "how goldens are written anew")]
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap();
    assert_eq!(made, kept, "{name} differs: UPDATE_GOLDEN=1 writes it anew");
}

#[test]
fn the_job_is_as_it_was() {
    let (options, lease) = (options(), lease());
    let known = Known::of(&lease).unwrap();
    golden("job.yaml", &job(&options, &known, &lease).unwrap().unwrap());
}

#[test]
fn the_users_container_has_neither_token_nor_secret_and_no_rights() {
    let (options, lease) = (options(), lease());
    let known = Known::of(&lease).unwrap();
    let made = job(&options, &known, &lease).unwrap().unwrap();
    let pod = made.spec.unwrap().template.spec.unwrap();
    assert_eq!(pod.automount_service_account_token, Some(false));
    let program = &pod.containers[0];
    let mounts = program.volume_mounts.iter().flatten();
    let names: Vec<&str> = mounts.map(|mount| mount.name.as_str()).collect();
    assert_eq!(names, ["granary", "talk", "files", "tmp"]);
    let all = pod.init_containers.iter().flatten().chain(&pod.containers);
    for container in all {
        let context = container.security_context.as_ref().unwrap();
        assert_eq!(context.allow_privilege_escalation, Some(false));
        assert_eq!(context.read_only_root_filesystem, Some(true));
        assert!(container.env_from.is_none());
    }
}

#[test]
fn the_secret_goes_with_its_job_and_tells_the_lease() {
    let (options, lease) = (options(), lease());
    let known = Known::of(&lease).unwrap();
    let made = secret(&options, &known, &lease, "token", "uid").unwrap();
    assert_eq!(made.metadata.owner_references.unwrap()[0].uid, "uid");
    let told = made.string_data.unwrap();
    assert_eq!(told["token"], "token");
    let order: Order = serde_json::from_str(&told["order.json"]).unwrap();
    let read: Lease = granary_proto::json::from_json(order.lease).unwrap();
    assert_eq!(read, lease);
}

#[test]
fn a_job_says_its_own_profile_and_one_that_is_not_there_is_told() {
    let (options, mut lease) = (options(), lease());
    lease.job.as_mut().unwrap().profile = "tpu".into();
    let known = Known::of(&lease).unwrap();
    let error = job(&options, &known, &lease).unwrap().unwrap_err();
    assert!(error.contains("no profile \"tpu\""), "{error}");
}

#[test]
fn granarys_own_containers_continue_the_trace_and_the_users_has_nothing_of_it() {
    let (mut options, mut lease) = (options(), lease());
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317");
    let set = (endpoint.0.to_owned(), endpoint.1.to_owned());
    options.settings.environment = BTreeMap::from([set]);
    let known = Known::of(&lease).unwrap();
    let variables = |lease: &Lease| {
        let made = job(&options, &known, lease).unwrap().unwrap();
        let pod = made.spec.unwrap().template.spec.unwrap();
        let own = pod.init_containers.unwrap();
        let all = own.into_iter().chain(pod.containers);
        let names = all.map(|container| {
            let env = container.env.into_iter().flatten();
            env.map(|variable| (variable.name, variable.value.unwrap_or_default()))
                .collect::<BTreeMap<_, _>>()
        });
        names.collect::<Vec<_>>()
    };
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (given, expected) in [(trace, Some(trace)), ("nonsense", None), ("", None)] {
        lease.job.as_mut().unwrap().trace_parent = given.into();
        let [prepare, attend, program] = &variables(&lease)[..] else {
            panic!("not three containers");
        };
        for own in [prepare, attend] {
            assert_eq!(own[endpoint.0], endpoint.1);
            assert_eq!(own.get("TRACEPARENT").map(String::as_str), expected);
        }
        assert!(program.contains_key("SEED") && !program.contains_key("TRACEPARENT"));
        assert!(!program.contains_key(endpoint.0), "{program:?}");
    }
}
