#!/usr/bin/env bash
# Everything that is checked without running the product. All checks run; the last line names those that failed.
#
#   scripts/check.sh [fmt] [clippy] [protos] [scripts] [tree] [licences] [ingress] [chart] [terraform] [cost] [alerts] [dashboards] [workflows]    all of them if none is named
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

CHECKS=(fmt protos scripts tree clippy licences ingress chart terraform cost alerts dashboards workflows)

check_fmt() { cargo fmt --all --check; }

check_clippy() { cargo clippy --quiet --workspace --all-targets --locked -- -D warnings; }

check_protos() {
    local buf
    buf=$(scripts/tools.sh buf && scripts/tools.sh path buf) || return
    "$buf" lint && "$buf" format --diff --exit-code
}

check_scripts() {
    local file
    for file in scripts/*.sh .ci/run; do bash -n "$file" || return; done
    for file in scripts/*.sh; do
        if [[ $file == scripts/lib.sh ]]; then continue; fi
        [[ -x $file ]] || {
            echo "  $file is not executable"
            return 1
        }
    done
    if have shellcheck; then shellcheck --severity=warning --external-sources scripts/*.sh .ci/run || return; fi
    # Parsed, not compiled: a check leaves nothing behind.
    python3 -c 'import ast, sys
for name in sys.argv[1:]: ast.parse(open(name, encoding="utf-8").read(), name)' scripts/*.py scripts/*/*.py examples/*.py
}

check_tree() { python3 -B scripts/check_tree.py; }

# What `granary ingress config` writes, as Envoy itself reads it.
check_ingress() {
    scripts/tools.sh envoy || return
    build_granary --quiet || return
    "$(scripts/tools.sh path envoy-python)" -B scripts/check_ingress.py
}

check_licences() { python3 -B scripts/check_licences.py; }

# What the chart renders to, and whether Kubernetes takes it.
check_chart() { scripts/chart.sh check; }

# The set-up for AWS, without AWS.
# Neither Terraform nor its provider can be fetched the way other tools are: where they are not there, that is no failure in CI either.
check_terraform() {
    local status=0
    scripts/terraform.sh check || status=$?
    [[ $status == "$UNAVAILABLE" ]] || return "$status"
    echo "  skipped, there is no terraform or no provider"
}

# That the tables of the page on sizing are those of the figures and prices.
check_cost() { python3 -B scripts/cost.py check; }

# That alerts fire when they should and only then, and that the runbook knows each.
check_alerts() {
    local promtool
    promtool=$(scripts/tools.sh prometheus && scripts/tools.sh path promtool) || return
    python3 -B -m doctest scripts/expressions.py && python3 -B scripts/check_alerts.py || return
    "$promtool" check rules charts/granary/rules/*.yaml && "$promtool" test rules charts/granary/ci/rules/*_test.yaml
}

# What a hosted CI runs.
check_workflows() {
    local actionlint
    actionlint=$(scripts/tools.sh actionlint && scripts/tools.sh path actionlint) || return
    # It ends with 3 where it cannot work, which here is what a tool is that cannot be had.
    "$actionlint" || return 1
}

check_dashboards() { python3 -B scripts/dashboards.py check; }

[[ $# -gt 0 ]] || set -- "${CHECKS[@]}"
for check; do
    [[ " ${CHECKS[*]} " == *" $check "* ]] || die "unknown check '$check': one of ${CHECKS[*]}"
done
failed=()
for check; do
    echo "check: $check"
    status=0
    "check_$check" || status=$?
    if [[ $status == "$UNAVAILABLE" && ${CI:-} != true ]]; then
        echo "check: $check skipped, its tool cannot be had here"
    elif [[ $status != 0 ]]; then
        failed+=("$check")
    fi
done
[[ ${#failed[@]} == 0 ]] || {
    echo "check: failed: ${failed[*]}"
    exit 1
}
echo "check: all well"
