#!/usr/bin/env bash
# The stand in Yandex Cloud: deploy.sh up VARIABLES | down. Called by the Makefile (TARGET=yandex).
set -euo pipefail
cd "$(dirname "$0")/.."
command -v terraform >/dev/null || {
    echo "This needs terraform (or OpenTofu as 'terraform') in the PATH: docs/deploying.md, Yandex Cloud, step 1." >&2
    exit 1
}
for name in YC_CLOUD_ID YC_FOLDER_ID; do
    [ -n "${!name:-}" ] || { echo "$name is not set: docs/deploying.md, Yandex Cloud, step 2." >&2; exit 1; }
done
[ -n "${YC_TOKEN:-}${YC_SERVICE_ACCOUNT_KEY_FILE:-}" ] || {
    echo "Neither YC_TOKEN nor YC_SERVICE_ACCOUNT_KEY_FILE is set: docs/deploying.md, Yandex Cloud, step 2." >&2
    exit 1
}
[ -f terraform/terraform.tfvars ] || {
    echo "There is no terraform/terraform.tfvars; it needs at least one line: operators = [\"your.address/32\"]" >&2
    exit 1
}
case ${1:-} in
up)
    terraform -chdir=terraform init -input=false
    terraform -chdir=terraform apply -input=false -auto-approve -var "nodes=${NODES:-2}"
    mkdir -p target/yandex
    terraform -chdir=terraform output -raw inventory >target/yandex/hosts.yml
    ansible/deploy.sh target/yandex/hosts.yml "${2:-}"
    echo "users go to http://$(terraform -chdir=terraform output -raw address)/"
    ;;
down) terraform -chdir=terraform destroy -input=false -auto-approve ;;
*)
    echo "usage: terraform/deploy.sh up VARIABLES | down" >&2
    exit 2
    ;;
esac
