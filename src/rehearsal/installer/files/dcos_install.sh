#!/bin/bash
# Installs a DC/OS node, rehearsal build. Not idempotent: it refuses a host that has been installed before.
set -o nounset -o pipefail
export LC_ALL=C

BOOTSTRAP_URL="@bootstrap_url@"
BOOTSTRAP_ID="@bootstrap_id@"
PACKAGE_LIST="@cluster_package_list@"
DISABLE_PREFLIGHT=0
PREFLIGHT_ONLY=0
BLOCK=1
failed=0

usage() {
    cat <<USAGE
Usage: $(basename "$0") [-d|--disable-preflight] [-p|--preflight-only] [--no-block-dcos-setup] [-h] <role>...
Roles: master, slave, slave_public
USAGE
    exit 1
}

roles=()
while [ $# -gt 0 ]; do
    case "$1" in
        -d|--disable-preflight) DISABLE_PREFLIGHT=1 ;;
        -p|--preflight-only) PREFLIGHT_ONLY=1 ;;
        --no-block-dcos-setup) BLOCK=0 ;;
        -h|--help) usage ;;
        -*) echo "Unknown option: $1"; usage ;;
        *) roles+=("$1") ;;
    esac
    shift
done
[ ${#roles[@]} -gt 0 ] || usage

if [ "$(id -u)" -ne 0 ]; then
    echo "ERROR: This script must be run as root." >&2
    exit 1
fi

check() {
    local what=$1
    shift
    if "$@" >/dev/null 2>&1; then
        echo "Checking $what: PASS"
    else
        echo "Checking $what: FAIL"
        failed=$((failed + 1))
    fi
}

port_is_free() { ! ss -Hlnt "sport = :$1" 2>/dev/null | grep -q .; }

selinux_is_fine() {
    [ "$(getenforce 2>/dev/null || echo Disabled)" != Enforcing ] || grep -q '^SELINUXTYPE=targeted' /etc/selinux/config
}

role_is_known() { [[ "${roles[*]}" =~ ^(master|slave|slave_public|minuteman)$ ]]; }

systemd_is_recent() { [ "$(systemctl --version | awk 'NR==1 {print $2}')" -ge 200 ]; }

nothing_installed() {
    { [ ! -e /opt/mesosphere ] || [ -z "$(ls -A /opt/mesosphere 2>/dev/null)" ]; } &&
        [ ! -e /etc/systemd/system/dcos.target.wants ]
}

preflight() {
    if ! nothing_installed; then
        cat >&2 <<TEXT
Found an existing DC/OS installation. To reinstall DC/OS on this this machine you must
first uninstall DC/OS then run dcos_install.sh. To uninstall DC/OS, follow the product
documentation provided with DC/OS.
TEXT
        exit 1
    fi
    check "role (${roles[*]})" role_is_known
    check "SELinux policy" selinux_is_fine
    check "sort -V" sort -V /dev/null
    for command in curl bash ping tar xz unzip ipset systemd-notify python3 ss nft ip; do
        check "$command is installed" command -v "$command"
    done
    check "systemd is at least version 200" systemd_is_recent
    local ports="53 61003 61420 62080 62501"
    case "${roles[0]}" in
        master) ports="$ports 80 443 1050 2181 5050 7070 8080 8101 8123 8181 9000" ;;
        *) ports="$ports 5051 61001" ;;
    esac
    for port in $ports; do
        check "port $port is free" port_is_free "$port"
    done
    echo "Containers without images only: docker is neither needed nor used by this build."
}

write_files() {
    mkdir -p /etc/mesosphere/roles /etc/mesosphere/setup-flags /etc/systemd/journald.conf.d /etc/rexray \
        /opt/mesosphere /var/lib/dcos /var/lib/mesos
    for role in "${roles[@]}"; do
        touch "/etc/mesosphere/roles/$role"
    done
    echo "$BOOTSTRAP_URL" > /etc/mesosphere/setup-flags/repository-url
    echo "$PACKAGE_LIST" > /etc/mesosphere/setup-flags/cluster-package-list
    cat > /etc/systemd/journald.conf.d/dcos.conf <<'FILE'
[Journal]
MaxLevelConsole=warning
RateLimitInterval=1s
RateLimitBurst=10000
FILE
    cat > /etc/rexray/config.yml <<'FILE'
@rexray_config@
FILE
    cat > /etc/systemd/system/dcos-link-env.service <<'FILE'
[Unit]
Description=DC/OS Environment: link the environment file
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'ln -sf /opt/mesosphere/bin/dcos-shell /usr/local/bin/dcos-shell; mkdir -p /etc/profile.d; ln -sf /opt/mesosphere/environment.export /etc/profile.d/dcos.sh'
[Install]
WantedBy=multi-user.target
FILE
    cat > /etc/systemd/system/dcos-download.service <<FILE
[Unit]
Description=DC/OS Download: fetch the bootstrap tarball
After=network-online.target
ConditionPathExists=!/opt/mesosphere/active/
[Service]
Type=oneshot
TimeoutStartSec=infinity
ExecStart=/bin/bash -c 'curl --retry 20 --retry-connrefused --retry-delay 1 -fsS "$BOOTSTRAP_URL/bootstrap/$BOOTSTRAP_ID.bootstrap.tar.xz" -o /var/lib/dcos/bootstrap.tar.xz && tar -xJf /var/lib/dcos/bootstrap.tar.xz -C /opt/mesosphere && rm /var/lib/dcos/bootstrap.tar.xz'
FILE
    cat > /etc/systemd/system/dcos-setup.service <<'FILE'
[Unit]
Description=DC/OS Setup: download packages, activate them and start DC/OS
Requires=dcos-download.service
After=dcos-download.service
ConditionPathExists=!/opt/mesosphere/etc/setup-done
[Service]
Type=oneshot
TimeoutStartSec=infinity
ExecStart=/usr/bin/python3 /opt/mesosphere/bin/pkgpanda setup
[Install]
WantedBy=multi-user.target
FILE
}

if [ "$DISABLE_PREFLIGHT" -eq 0 ]; then
    echo "Running preflight checks"
    preflight
    if [ "$failed" -gt 0 ]; then
        echo "Preflight checks failed: $failed" >&2
        exit "$failed"
    fi
fi
[ "$PREFLIGHT_ONLY" -eq 0 ] || exit 0

echo "Starting DC/OS Install Process"
if ! nothing_installed; then
    echo "Found an existing DC/OS installation in /opt/mesosphere." >&2
    exit 1
fi
write_files
systemctl daemon-reload
systemctl try-restart systemd-journald
systemctl restart dcos-link-env
systemctl enable --quiet dcos-setup dcos-link-env
if [ "$BLOCK" -eq 1 ]; then
    if ! systemctl start dcos-setup; then
        journalctl -u dcos-download -u dcos-setup --no-pager -n 20 >&2
        exit 1
    fi
else
    systemctl start --no-block dcos-setup
fi
