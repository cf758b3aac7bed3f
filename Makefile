# What can be done here; each target is a script that says more.
.DEFAULT_GOAL := help
.PHONY: help build run ingress test test-backup test-ingress test-kubernetes smoke replicas observe e2e bench sizing check image fmt tools clean-data

help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the granary program
	cargo build --locked --package granary

run: ## start the platform, take in the examples, show what it did, stay up until Ctrl-C; GRANARY_PORT=7070 GRANARY_S3_PORT=7071, data in .granary
	@scripts/run.sh

ingress: ## start the platform with Envoy in front of it: TLS, REST, gRPC-Web; stay up until Ctrl-C
	@scripts/ingress.sh

test: ## install what tests need, then all checks and tests
	@scripts/test.sh

test-ingress: ## test Envoy in front of the platform from outside
	@scripts/test-ingress.sh

replicas: ## every service apart with two replicas behind Envoy: users go on while one after the other is killed
	@scripts/replicas.sh

observe: ## have a real Prometheus find data for every expression of dashboards and alerts
	@scripts/observe.sh

test-backup: ## lose database and buckets of a platform on PostgreSQL and MinIO, restore them, compare all rows and files
	@scripts/test-backup.sh

e2e: ## install it on a real Kubernetes of this machine by Helm, use it through its ingress, kill pods, upgrade, roll back
	@scripts/e2e.sh

smoke: ## the main job on both back ends, then with kill -9 at random moments
	@scripts/smoke.sh

bench: ## print the speed beside what the disk and others reach
	@scripts/bench.sh

sizing: ## measure what sessions, files and calls cost each service
	@scripts/sizing.sh

check: ## formatting, lints, protos, scripts, links, licences, chart, Terraform
	@scripts/check.sh

test-kubernetes: ## test jobs in the cluster of GRANARY_TEST_KUBECONFIG (see scripts/test-kubernetes.sh)
	@scripts/test-kubernetes.sh

image: ## build the container image as target/image/granary.tar, with neither a daemon nor a registry
	@scripts/image.sh

fmt: ## format Rust and protos
	cargo fmt --all
	@scripts/tools.sh buf
	"$$(scripts/tools.sh path buf)" format --write

tools: ## install PostgreSQL, MinIO, buf, Envoy and the rest
	@scripts/tools.sh all

clean-data: ## remove the example sessions and .granary: all that a platform of `make run` holds, your own data too
	rm -rf examples/data .granary
