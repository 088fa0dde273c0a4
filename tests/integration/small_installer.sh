#!/bin/bash
# The advanced installer's interface and nothing behind it: what a bootstrap of hosts needs to be tried in seconds.
set -e
[ "$1" = --genconf ]
test -s genconf/config.yaml
test "$(sh genconf/ip-detect)" = "$(hostname -I | cut -d' ' -f1)"
mkdir -p genconf/serve
echo an-id >genconf/serve/bootstrap.latest
cat >genconf/serve/dcos_install.sh <<'INSTALL'
#!/bin/bash
set -e
[ -z "$(ls -A /opt/mesosphere 2>/dev/null)" ] || { echo "found an earlier DC/OS"; exit 1; }
[ ! -e /preflight-fails ] || { echo "Checking port 80 is free: FAIL"; exit 3; }
mkdir -p /etc/mesosphere/{roles,setup-flags} /opt/mesosphere/{active,etc}
touch "/etc/mesosphere/roles/$1"
echo BOOTSTRAP_URL >/etc/mesosphere/setup-flags/repository-url
systemctl restart systemd-journald
for step in 1 2 3; do echo "step $step"; sleep 1; done
[ ! -e /dies-half-way ] || exit 9
touch /opt/mesosphere/active/a
echo '{"version": "2.1.4"}' >/opt/mesosphere/etc/dcos-version.json
mkdir -p /etc/systemd/system/dcos.target.wants
touch /etc/systemd/system/dcos.target.wants/a.service
cat >/opt/answers.py <<'ANSWERS'
import http.server, json, sys, threading
ANSWERS = {
    "/exhibitor/v1/cluster/status": [{"code": 3, "description": "serving", "hostname": "m", "isLeader": True}],
    "/metrics/snapshot": {"registrar/log/recovered": 1.0, "master/elected": 1.0, "master/slaves_active": 2.0, "slave/registered": 1.0},
    "/system/health/v1/nodes": {"nodes": [{"health": 0}] * 3},
}
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps(ANSWERS[self.path], separators=(",", ":")).replace("/", "\\/").encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)
for port in map(int, sys.argv[1:]):
    threading.Thread(target=http.server.ThreadingHTTPServer(("", port), Handler).serve_forever).start()
ANSWERS
systemd-run --unit=answers python3 /opt/answers.py 8181 5050 1050 5051
INSTALL
sed -i "s|BOOTSTRAP_URL|$(sed -n 's/^bootstrap_url: //p' genconf/config.yaml)|" genconf/serve/dcos_install.sh
