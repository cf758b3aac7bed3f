#!/usr/bin/env bash
# The set-up for AWS in `terraform`, as far as it can be looked at without a cloud.
#
#   scripts/terraform.sh check      layout, the provider's schema, its tests, and the chart with the values that come out; changes nothing
#
# The provider comes from its registry, or from a folder of providers on this machine ($GRANARY_TERRAFORM_MIRROR, or where such folders usually are).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

CHART=charts/granary
TEMPORARY=$(mktemp -d)
trap 'rm -rf "$TEMPORARY"' EXIT
# What Terraform keeps between runs stays out of the tree.
export TF_DATA_DIR=$TEMPORARY/data TF_IN_AUTOMATION=1 TF_INPUT=0 CHECKPOINT_DISABLE=1

# A folder that holds the wanted version of the provider, if there is one.
mirror() {
    local version folder
    version=$(sed -n 's/^ *version *= "\([0-9.]*\)"$/\1/p' terraform/versions.tf)
    for folder in "${GRANARY_TERRAFORM_MIRROR:-}" ~/.terraform.d/plugins /usr/{local/,}share/terraform/plugins /opt/*; do
        if [[ -n $folder && -d $folder/registry.terraform.io/hashicorp/aws/$version ]]; then
            echo "$folder"
            return
        fi
    done
}

# Where providers come from; nothing of what else is set on this machine.
configure() {
    local folder
    folder=$(mirror)
    : >"$TEMPORARY/terraformrc"
    [[ -z $folder ]] || printf 'provider_installation {\n  filesystem_mirror {\n    path = "%s"\n  }\n}\n' "$folder" >"$TEMPORARY/terraformrc"
    export TF_CLI_CONFIG_FILE=$TEMPORARY/terraformrc
}

check_layout() { terraform fmt -check -diff -recursive terraform; }

check_schema() { terraform -chdir=terraform validate -no-color; }

check_tests() { terraform -chdir=terraform test -no-color; }

# What the chart makes of the values that come out: its schema takes them, and what matters arrives in the settings.
check_values() {
    local values=$TEMPORARY/values.yaml
    TF_DATA_DIR=$TEMPORARY/values terraform -chdir=terraform/values init -backend=false -no-color >/dev/null
    TF_DATA_DIR=$TEMPORARY/values terraform -chdir=terraform/values apply -auto-approve -no-color -state="$TEMPORARY/state" \
        -var repository=111122223333.dkr.ecr.eu-central-1.amazonaws.com/granary/granary -var region=eu-central-1 -var bucket_prefix=lab-granary \
        -var 'oidc=[{ issuer = "https://lab.eu.auth0.com/", audiences = ["https://granary.example"], administrators = ["group:platform"] }]' \
        -var 'clients_from=["203.0.113.0/24"]' >/dev/null
    TF_DATA_DIR=$TEMPORARY/values terraform -chdir=terraform/values output -state="$TEMPORARY/state" -raw yaml >"$values"
    "$HELM" lint --strict --quiet "$CHART" --namespace granary --values "$values"
    "$HELM" template granary "$CHART" --namespace granary --values "$values" >"$TEMPORARY/rendered.yaml"
    python3 -B - "$TEMPORARY/rendered.yaml" <<'PYTHON'
import re, sys, tomllib
rendered = open(sys.argv[1], encoding="utf-8").read()
settings = tomllib.loads(re.sub(r"^    ", "", re.search(r"^  granary\.toml: \|\n((?:    .*\n)+)", rendered, re.M)[1], flags=re.M))
assert settings["object_store"] == "s3://lab-granary?region=eu-central-1", settings["object_store"]
assert settings["oidc"][0]["issuer"] == "https://lab.eu.auth0.com/" and settings["ingress"]["allow"] == ["203.0.113.0/24"]
assert "granary.dev/jobs" in str(settings["kubernetes"]["profiles"]["cpu"]), settings["kubernetes"]
assert "aws-load-balancer-type: nlb" in rendered and "name: granary-database" in rendered and "name: granary-store" in rendered
PYTHON
}

check() {
    local failed=() part said
    have terraform || unavailable "terraform is not in PATH (1.11 or newer)"
    HELM=$(scripts/tools.sh helm && scripts/tools.sh path helm)
    configure
    said=$(terraform -chdir=terraform init -backend=false -lockfile=readonly -no-color 2>&1) || {
        tail -n 8 <<<"$said" >&2
        unavailable "the provider for AWS cannot be had, neither from its registry nor from a folder of this machine"
    }
    for part in layout schema tests values; do
        echo "terraform: $part"
        # Apart, so that the first command that fails ends it, which it does not in a condition.
        (set -e; "check_$part") &
        wait $! || failed+=("$part")
    done
    [[ ${#failed[@]} == 0 ]] || die "failed: ${failed[*]}"
    echo "terraform: ok"
}

usage() {
    sed -n '4s/^# *//p' "$0" >&2
    exit 2
}

[[ $# == 1 && $1 == check ]] || usage
check
