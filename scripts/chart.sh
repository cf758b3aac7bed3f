#!/usr/bin/env bash
# The chart and what stands beside it: what they render to, and whether Kubernetes takes that.
#
#   scripts/chart.sh check       lint, golden renderings, refusals, settings, schemas, README; changes nothing
#   scripts/chart.sh render      writes the golden renderings and the README anew, after a wanted change
#   scripts/chart.sh server      has the API server of $KUBECONFIG judge all renderings without keeping them, at the restricted Pod Security level
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

CHART=charts/granary
GOLDEN=$CHART/ci/golden
# A namespace like that of a release; `server` makes it, and takes it away.
NAMESPACE=granary
TEMPORARY=$(mktemp -d)
trap 'rm -rf "$TEMPORARY"' EXIT

tool() { scripts/tools.sh "$1" && scripts/tools.sh path "$1"; }
names() { sed -E 's#.*/([^/]+)/?$#\1#; s/-values\.yaml$//' < <(printf '%s\n' "$@"); }
cases() { names "$CHART"/ci/*-values.yaml; }
overlays() { names k8s/overlays/*/; }

# What Helm makes of values, but for what is made at random: keys, certificates, passwords.
rendering() {
    "$HELM" template granary "$CHART" --namespace "$NAMESPACE" "$@" | awk '
        /^---/ { secret = data = 0 }
        /^kind: Secret$/ { secret = 1 }
        /^[a-z]/ { data = ($0 == "data:") }
        secret && data && /^  [^ ]+: / { sub(/: .*/, ": (made)") }
        { print }'
}

values_of() { echo "$CHART/ci/$1-values.yaml"; }
render_to() {
    local name
    mkdir -p "$1"
    for name in $(cases); do rendering --values "$(values_of "$name")" >"$1/$name.yaml" || return; done
}

render_readme() { "$HELM_DOCS" --chart-search-root "$CHART" --log-level warning "$@"; }

check_lint() {
    local name
    for name in $(cases); do
        "$HELM" lint --strict --quiet "$CHART" --namespace "$NAMESPACE" --values "$(values_of "$name")" || return
    done
    # The values of the overlays, which skaffold installs.
    for name in $(overlays); do
        "$HELM" lint --strict --quiet "$CHART" --namespace "$NAMESPACE" --values "k8s/overlays/$name/values.yaml" || return
        "$HELM" lint --strict --quiet "$CHART" --namespace "$NAMESPACE" --values "k8s/overlays/$name/values.yaml" --values k8s/monitoring/granary.yaml || return
    done
}

check_golden() {
    render_to "$TEMPORARY/golden" || return
    diff -ru "$GOLDEN" "$TEMPORARY/golden" || {
        echo "  the chart renders to something else; if that is wanted: scripts/chart.sh render"
        return 1
    }
}

# refused SAID FLAG...: values that Helm does not take, and what it says of them.
refused() {
    local said=$1 output
    shift
    if output=$("$HELM" template granary "$CHART" --namespace "$NAMESPACE" --values "$(values_of minimal)" "$@" 2>&1 >"$TEMPORARY/rendered"); then
        echo "  taken, and should not be: $*"
        return 1
    fi
    grep -qF -- "$said" <<<"$output" || {
        echo "  refused $*, but it says: $output"
        return 1
    }
}

check_refusals() {
    refused "at '/oidc': minItems" --set-json 'oidc=[]' || return
    refused "additional properties 'jwks' not allowed" --set 'oidc[0].jwks=https://id.example' || return
    refused "at '/oidc/0/administrators/0'" --set 'oidc[0].administrators={ada}' || return
    refused "additional properties 'replica' not allowed" --set services.job.replica=2 || return
    refused "at '/settings/drain_delay'" --set settings.drain_delay=30s || return
    refused "additional properties 'worker' not allowed" --set services.worker.replicas=2 || return
    refused "at '/services/job/replicas'" --set-string services.job.replicas=2 || return
    refused "at '/serviceDefaults/resources/limits/memory'" --set serviceDefaults.resources.limits.memory=lots || return
    refused "at '/ingress/request_timeout'" --set ingress.request_timeout=30 || return
    refused "additional properties 'certificate' not allowed" --set ingress.certificate=/tls.crt || return
    refused "at '/envoy/service/type'" --set envoy.service.type=ExternalName || return
    refused "at '/telemetry/otlpEndpoint'" --set telemetry.otlpEndpoint=collector:4317 || return
    refused "at '/telemetry/samplerRatio'" --set telemetry.samplerRatio=10 || return
    refused "at '/image/digest'" --set image.digest=latest || return
    refused "at '/jobs/serviceAccount'" --set jobs.serviceAccount=default || return
    refused "invalid propertyName 'Big GPU'" --set 'jobs.profiles.Big GPU.gpu_resource=nvidia.com/gpu' || return
    refused "at '/objectStore/url'" --set objectStore.url=https://s3.example || return
    refused "database.existingSecret: name the Secret" --set database.existingSecret= || return
    refused "database.existingSecret: leave it empty" --set postgresql.enabled=true || return
    refused "objectStore: give url and existingSecret" --set objectStore.url= || return
    refused "objectStore: leave it empty" --set minio.enabled=true || return
    refused "jobs.namespace: jobs need a namespace of their own" --set jobs.namespace="$NAMESPACE" || return
    refused "metrics.serviceMonitor.enabled: set metrics.enabled too" --set metrics.serviceMonitor.enabled=true || return
    refused "metrics.alerts.enabled: set metrics.enabled too" --set metrics.alerts.enabled=true || return
    refused "metrics.dashboards.enabled: set metrics.enabled too" --set metrics.dashboards.enabled=true
}

# The settings are TOML, whatever values they are made of.
check_settings() {
    python3 -B - "$GOLDEN"/*.yaml <<'PYTHON'
import re, sys, tomllib
for name in sys.argv[1:]:
    text = re.search(r"^  granary\.toml: \|\n((?:    .*\n)+)", open(name, encoding="utf-8").read(), re.M)[1]
    settings = tomllib.loads(re.sub(r"^    ", "", text, flags=re.M))
    assert settings["oidc"] and settings["kubernetes"] and isinstance(settings["trusted_hops"], int), name
    assert all(isinstance(value, int) for key, value in settings.get("ingress", {}).items() if key.startswith(("rate", "max"))), name
PYTHON
}

conforms() {
    "$KUBECONFORM" -strict -schema-location "$SCHEMAS/{{.ResourceKind}}{{.KindSuffix}}.json" "$@"
}

check_schemas() {
    local name
    for name in $(overlays); do "$KUSTOMIZE" build "k8s/overlays/$name" >"$TEMPORARY/$name.yaml" || return; done
    rendering --values k8s/overlays/ha/values.yaml --values k8s/monitoring/granary.yaml >"$TEMPORARY/observed.yaml" || return
    conforms -summary "$GOLDEN"/*.yaml "$TEMPORARY"/*.yaml skaffold.yaml || return
    # That it would see a mistake: a field that there is not.
    sed 's/^      enableServiceLinks:/      enableServiceLink:/' "$GOLDEN/minimal.yaml" >"$TEMPORARY/wrong"
    if conforms - <"$TEMPORARY/wrong" >/dev/null; then
        echo "  kubeconform takes fields that there are not"
        return 1
    fi
}

# The chart is of the program's version, whose image it asks for.
check_version() {
    local program
    program=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
    [[ $(sed -n 's/^version: //p' "$CHART/Chart.yaml") == "$program" && $(sed -n 's/^appVersion: //p' "$CHART/Chart.yaml") == "$program" ]] || {
        echo "  Chart.yaml is not of version $program, as Cargo.toml is"
        return 1
    }
}

check_readme() {
    render_readme --dry-run >"$TEMPORARY/README.md" || return
    diff -u "$CHART/README.md" "$TEMPORARY/README.md" || {
        echo "  the README is not that of the values: scripts/chart.sh render"
        return 1
    }
}

check() {
    local failed=() part
    SCHEMAS=$(tool schemas)
    KUBECONFORM=$(tool kubeconform)
    KUSTOMIZE=$(tool kustomize)
    for part in version lint golden refusals settings schemas readme; do
        echo "chart: $part"
        "check_$part" || failed+=("$part")
    done
    [[ ${#failed[@]} == 0 ]] || die "failed: ${failed[*]}"
}

# Whether the API server takes all objects, without a warning: each namespace says what breaks the restricted level.
server() {
    local name
    KUBECTL=${KUBECTL:-kubectl}
    KUSTOMIZE=$(tool kustomize)
    NAMESPACE=granary-check
    for name in $(cases); do
        # Without the operator of Prometheus its objects are unknown.
        "$HELM" template granary "$CHART" --namespace "$NAMESPACE" --values "$(values_of "$name")" \
            --set jobs.namespace=granary-check-jobs,metrics.serviceMonitor.enabled=false,metrics.alerts.enabled=false >"$TEMPORARY/$name-values.yaml"
    done
    for name in $(overlays); do
        "$KUSTOMIZE" build "k8s/overlays/$name" | sed -E 's/^(  name(space)?: )granary$/\1granary-check/' >"$TEMPORARY/$name-overlay.yaml"
    done
    # A namespace that is only dry cannot hold anything.
    trap '"$KUBECTL" delete --ignore-not-found namespace granary-check granary-check-jobs >/dev/null; rm -rf "$TEMPORARY"' EXIT
    for name in granary-check granary-check-jobs; do
        "$KUBECTL" create --save-config namespace "$name" >/dev/null
        "$KUBECTL" label namespace "$name" pod-security.kubernetes.io/{enforce,warn}=restricted >/dev/null
    done
    # As a release does: what says nothing else is in its namespace.
    "$KUBECTL" config view --flatten --minify >"$TEMPORARY/kubeconfig"
    "$KUBECTL" --kubeconfig "$TEMPORARY/kubeconfig" config set-context --current --namespace="$NAMESPACE" >/dev/null
    for name in "$TEMPORARY"/*.yaml; do taken "$name"; done
}

taken() {
    local output
    output=$("$KUBECTL" --kubeconfig "$TEMPORARY/kubeconfig" apply --dry-run=server --filename "$1" 2>&1) ||
        die "$(basename "$1") is refused: $output"
    if grep -i "^warning" <<<"$output"; then die "$(basename "$1"): the API server warns"; fi
    echo "chart: $(basename "$1" .yaml): $(grep -c "server dry run" <<<"$output") objects taken"
}

usage() {
    sed -n '4,6s/^# *//p' "$0" >&2
    exit 2
}

[[ $# == 1 ]] || usage
HELM=$(tool helm)
HELM_DOCS=$(tool helm-docs)
case $1 in
check) check ;;
render)
    rm -rf "$GOLDEN"
    render_to "$GOLDEN"
    render_readme
    ;;
server) server ;;
*) usage ;;
esac
echo "chart: ok"
